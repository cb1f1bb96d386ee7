"""Parametric."""
