"""`explorer paper`: the source paper again, and the audit of its claims."""


def paper() -> None:
    """Print the paper's tables and figures again, and the audit of its claims."""
