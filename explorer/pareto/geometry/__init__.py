"""Geometry of fronts: dominance, hypervolume, box decomposition, subset selection, refinement."""
