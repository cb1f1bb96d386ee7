"""Deployment bundle: manifest, compressed network, README and checksums."""
