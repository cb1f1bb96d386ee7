"""Rewriting of a loaded graph: constants folded, weights stored once under unique names, what nothing uses removed."""
