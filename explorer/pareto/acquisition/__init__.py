"""Acquisition: candidate pools, expected hypervolume improvement, and batch plans for cheap models."""
