"""StarNet: a survey mosaic in, a WCS label map and a flux catalog out."""

from starnet._core import __version__

__all__ = ["__version__"]
