"""Scaffold for `explorer init`: a commented space and study for a user's table."""
