"""Compression of a network by a recipe: pruning, quantization, sizes by codec."""
