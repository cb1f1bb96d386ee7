"""Readings of a user's table: what each column is, in which unit, and why."""
