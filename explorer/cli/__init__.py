"""Command line: one thin module for each command."""
