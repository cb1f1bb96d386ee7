"""What is compressed: a user's own ONNX network, pruned, quantized, counted and run on labelled data."""
