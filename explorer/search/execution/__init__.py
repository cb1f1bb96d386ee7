"""Execution of designs that are measured: one coordinator, and executors that evaluate elsewhere."""
