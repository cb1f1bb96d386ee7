"""The user's ONNX network: load, prune, quantize, count operations, and run on labelled data."""
