"""A picture of a mosaic with the outlines of its objects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.outputs.canvas import Canvas
from starnet.outputs.png import Origin
from starnet.tiles import Box

# One colour for all, which no galaxy has: with a colour per object, blue and green outlines were lost on blue and green
# galaxies, and touching objects are told apart by their double line anyway.
OUTLINE = (255, 200, 60)


def write_overlay(
    path: str | Path,
    shape: tuple[int, int],
    read_rgb: Callable[[Box], NDArray[np.float32]],
    read_labels: Callable[[Box], NDArray[np.int32]],
    *,
    max_side: int = 2048,
    origin: Origin = "lower",
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Write a colour picture of a mosaic with its objects' outlines as PNG, reading it box by box.

    Parameters
    ----------
    path : str or Path
        The file to make or to replace.
    shape : tuple of int
        ``(ny, nx)`` of the mosaic.
    read_rgb : callable
        ``read_rgb(box)`` gives float32 ``(nband, ny, nx)`` of one to three bands, the reddest first: asinh of noise
        units, 0 is sky. The stretch is fixed, so that pictures can be compared.
    read_labels : callable
        ``read_labels(box)`` gives int32 ``(ny, nx)``, 0 is sky.
    max_side : int
        A larger mosaic is binned by an integer; one of 700 pixels or less is enlarged by an integer.
    origin : {"lower", "upper"}
        Where row 0 is shown: at the bottom, as FITS viewers do, or at the top, as in raster images.
    progress : callable, optional
        Called with ``("overlay", boxes done, boxes)``.

    Raises
    ------
    StarnetError
        If the file cannot be written; nothing is left of it then.
    ValueError
        If there are not one to three bands.
    """
    canvas = Canvas(shape, max_side)
    for box in canvas.boxes(None if progress is None else lambda done, total: progress("overlay", done, total)):
        canvas.paint(box, read_rgb(box))
        # One bin more on every side: an outline does not depend on where the boxes meet.
        around = box.pad(canvas.binning).clip(shape)
        drawn = outlines(canvas.labels(read_labels(around)))
        top, left = (
            (start - outer) // canvas.binning * canvas.zoom
            for start, outer in zip((box.y0, box.x0), (around.y0, around.x0), strict=True)
        )
        part = canvas.part(box)
        part[drawn[top : top + part.shape[0], left : left + part.shape[1]]] = OUTLINE
    canvas.save(path, origin=origin)


def outlines(labels: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Mark the pixels of objects that touch, by a side, a pixel of something else.

    Parameters
    ----------
    labels : ndarray
        Integers ``(ny, nx)``, 0 is sky. What lies outside is unknown and makes no outline.

    Returns
    -------
    ndarray
        bool ``(ny, nx)``.
    """
    marked = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        first, second = (
            (slice(None, -1), slice(1, None))
            if axis == 0
            else ((slice(None), slice(None, -1)), (slice(None), slice(1, None)))
        )
        differ = labels[first] != labels[second]
        marked[first] |= differ
        marked[second] |= differ
    return marked & (labels > 0)
