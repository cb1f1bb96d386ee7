"""Samples: tables of measured designs, read from CSV files or the paper."""
