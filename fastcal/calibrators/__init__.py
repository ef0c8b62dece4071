"""Calibrators: one file a method, with scikit-learn's way of being fitted and asked."""
