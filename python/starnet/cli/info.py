"""`starnet info`."""


def info() -> None:
    """Show what is in the images."""
