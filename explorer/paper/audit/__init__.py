"""Audit of the paper: every quantitative statement recomputed from its tables."""
