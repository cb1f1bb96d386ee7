"""What is known: the source paper's equations (1)-(10) and its Tables 1-2."""
