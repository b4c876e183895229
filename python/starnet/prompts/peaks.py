"""Prompts where `sep` finds objects."""

from __future__ import annotations

import numpy as np
import sep
from numpy.typing import NDArray

from starnet.detection import sep_room
from starnet.prompts.base import Prompts, pixel_numbers
from starnet.tiles import Box

LEVELS, CONTRAST = 32, 0.005
"""Of deblending: those of SExtractor's and `sep`'s defaults."""


def peaks(
    detection: NDArray[np.float32],
    window: Box,
    core: Box,
    shape: tuple[int, int],
    *,
    threshold: float = 3.0,
    min_area: int = 5,
    with_boxes: bool = False,
) -> Prompts:
    """The peaks of the objects that `sep` detects and deblends (Barbary 2016, JOSS 1, 58).

    An object that the window does not cut off has the same peak in every window: two tiles neither miss nor repeat it.

    Parameters
    ----------
    detection : ndarray of float32, shape (ny, nx)
        Matched-filtered detection image of the window, in units of its own noise.
    window, core : Box
        In the mosaic; peaks in the core are returned.
    shape : tuple of int
        ``(ny, nx)`` of the mosaic.
    threshold : float
        Of detection, in sigma.
    min_area : int
        Fewest pixels of an object.
    with_boxes : bool
        Whether the object's bounding box goes with its peak.

    Returns
    -------
    prompts : Prompts
        In the order of the peaks, y before x.

    Raises
    ------
    ValueError
        If the threshold is not positive.
    """
    if not threshold > 0:
        raise ValueError(f"threshold={threshold}: must be positive")
    found = _extracted(np.ascontiguousarray(detection, np.float32), threshold, min_area)
    y, x = found["ypeak"] + window.y0, found["xpeak"] + window.x0
    inside = (y >= core.y0) & (y < core.y1) & (x >= core.x0) & (x < core.x1)
    order = np.flatnonzero(inside)[np.lexsort((x[inside], y[inside]))]
    y, x, found = y[order], x[order], found[order]
    prompts = Prompts.of_points("peaks", np.column_stack([x, y]).astype(np.float32), pixel_numbers(y, x, shape))
    if not with_boxes:
        return prompts
    corners = np.column_stack([found[name] for name in ("xmin", "ymin", "xmax", "ymax")])
    return prompts.with_boxes(corners + np.tile([window.x0, window.y0], 2))


def _extracted(detection: NDArray[np.float32], threshold: float, min_area: int) -> NDArray[np.void]:
    # Room for all that there may be: with less, `sep` fails, and one crowded object would cost all others theirs.
    above = int(np.count_nonzero(detection > threshold))
    with sep_room(above, branches=above // max(min_area, 1)):
        found: NDArray[np.void] = sep.extract(
            detection, threshold, filter_kernel=None, minarea=min_area, deblend_nthresh=LEVELS,
            deblend_cont=CONTRAST, clean=False,
        )  # fmt: skip
    return found
