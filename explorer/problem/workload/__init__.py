"""Use of a device over time: the workload of a study, and the columns that follow from it."""
