"""Verification of a bundle: checksums, stored weights, measurements, clock."""
