"""Results of a study and their files."""
