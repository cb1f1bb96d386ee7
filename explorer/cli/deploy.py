"""`explorer deploy`: the bundle of a chosen configuration."""


def deploy() -> None:
    """x."""
