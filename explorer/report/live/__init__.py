"""Interactive part of the result page: data, markup, style and scripts."""
