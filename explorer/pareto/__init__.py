"""Pareto fronts: geometry, exact front, acquisition, results, decision, uncertainty, explanation, comparison."""
