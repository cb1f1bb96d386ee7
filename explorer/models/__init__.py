"""What is predicted: evaluators that add predicted columns to designs."""
