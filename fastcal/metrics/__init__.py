"""One-shot functions: an accumulator, one update, one figure."""
