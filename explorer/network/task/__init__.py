"""Task of a network: its feeds, the output that is read, and its score, decided once from source and data."""
