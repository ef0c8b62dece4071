"""Predictions of several members of an ensemble on the same rows: how they are read, and their measures."""
