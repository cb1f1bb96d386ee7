"""What is best: dominance, hypervolume, fronts, and results as a value."""
