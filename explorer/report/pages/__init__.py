"""Self-contained HTML pages: results, comparison, paper."""
