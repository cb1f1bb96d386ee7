"""Comparison of the fronts and declarations of several studies."""
