"""Evaluators: surrogate models, tables, networks and functions that add target columns to designs."""
