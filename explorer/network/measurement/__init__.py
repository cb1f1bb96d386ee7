"""Measurement of compressed networks: accuracy, latency, size and energy."""
