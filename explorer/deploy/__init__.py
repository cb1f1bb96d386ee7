"""What is shipped: the bundle of a chosen configuration."""
