"""Target device: operating point, clock scripts, device-tree overlay."""
