"""ONNX graphs: loading, constant folding, operation counts and onnxruntime sessions."""
