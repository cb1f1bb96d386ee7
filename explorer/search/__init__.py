"""Search of a study with Optuna: samplers, executors, storage, and the table of its COMPLETE trials."""
