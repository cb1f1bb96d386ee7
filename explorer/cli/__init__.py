"""What is called: one thin module for each command group."""
