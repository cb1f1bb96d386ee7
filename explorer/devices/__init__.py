"""Physical devices: operating points, device trees, energy meters."""
