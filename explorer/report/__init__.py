"""What is shown: plots and pages from results."""
