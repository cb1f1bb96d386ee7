"""Uncertainty of a front: front probabilities, sensitivity, warnings, next measurement."""
