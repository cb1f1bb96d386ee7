"""Plotly figures of results, comparisons and the paper."""
