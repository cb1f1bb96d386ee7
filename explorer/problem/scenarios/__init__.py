"""Scenarios: deviations of knobs, targets and constants from their nominal values."""
