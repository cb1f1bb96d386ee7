"""Multi-objective design-space explorer for energy-efficient neural-network deployment."""

__version__ = "0.1.0"
