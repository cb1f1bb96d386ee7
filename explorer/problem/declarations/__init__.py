"""Schemas of the TOML files that users write: axes, search spaces, studies."""
