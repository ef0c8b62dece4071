"""Figures for people, drawn from computed results; computes nothing."""
