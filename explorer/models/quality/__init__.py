"""Model quality: cross-validation and summaries of fits."""
