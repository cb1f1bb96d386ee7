"""Online surrogate for active learning: fitted to few measurements and refitted after each."""
