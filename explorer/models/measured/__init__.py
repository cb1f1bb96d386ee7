"""Evaluators that measure: by a function, by a network, or from the rows of a table."""
