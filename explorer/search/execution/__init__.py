"""Executors that evaluate designs: in this process, in child processes, and on a Dask cluster."""
