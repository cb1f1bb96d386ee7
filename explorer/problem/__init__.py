"""Optimization problems: designs as columns, design spaces, objectives, constraints, studies."""
