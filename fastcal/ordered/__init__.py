"""Rows in the order of their scores: groups of equal scores, and the blocks of their isotonic fit."""
