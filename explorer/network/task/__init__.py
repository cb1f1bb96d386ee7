"""Task of a network: what it is fed, which output is read, and how it is scored, decided once from source and data."""
