"""Mergeable states: update / merge / compute / to_bytes. What a one-shot call, a stream and a cluster have in common."""
