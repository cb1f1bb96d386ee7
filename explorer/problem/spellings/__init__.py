"""Spellings of columns and units as people and tools write them."""
