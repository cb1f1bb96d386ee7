"""Model files: JSON form and validation of fitted models."""
