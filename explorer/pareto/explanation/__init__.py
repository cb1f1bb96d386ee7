"""Explanation of one design: local sensitivities, active limits, neighbours, narrative."""
