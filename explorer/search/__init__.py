"""What is tried: running a study with Optuna, resuming it, recording it."""
