"""A picture of a mosaic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet.outputs.canvas import Canvas
from starnet.outputs.png import Origin
from starnet.tiles import Box


def write_preview(
    path: str | Path,
    shape: tuple[int, int],
    read_rgb: Callable[[Box], NDArray[np.float32]],
    *,
    max_side: int = 2048,
    origin: Origin = "lower",
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Write a colour picture of a mosaic as PNG, reading it box by box.

    Parameters
    ----------
    path : str or Path
        The file to make or to replace.
    shape : tuple of int
        ``(ny, nx)`` of the mosaic.
    read_rgb : callable
        ``read_rgb(box)`` gives float32 ``(nband, ny, nx)`` of one to three bands, the reddest first: asinh of noise
        units, 0 is sky. The stretch is fixed, so that pictures can be compared.
    max_side : int
        A larger mosaic is binned by an integer; one of 700 pixels or less is enlarged by an integer.
    origin : {"lower", "upper"}
        Where row 0 is shown: at the bottom, as FITS viewers do, or at the top, as in raster images.
    progress : callable, optional
        Called with ``("preview", boxes done, boxes)``.

    Raises
    ------
    StarnetError
        If the file cannot be written; nothing is left of it then.
    ValueError
        If there are not one to three bands.
    """
    canvas = Canvas(shape, max_side)
    for box in canvas.boxes(None if progress is None else lambda done, total: progress("preview", done, total)):
        canvas.paint(box, read_rgb(box))
    canvas.save(path, origin=origin)
