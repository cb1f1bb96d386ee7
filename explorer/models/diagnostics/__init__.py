"""Data diagnostics: checks of a table's measurements and of a fit's residuals, as warnings."""
