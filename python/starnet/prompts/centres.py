"""Prompts where an instance head sees centres."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from starnet.prompts.base import Prompts, pixel_numbers
from starnet.tiles import Box


def centres(
    heights: NDArray[np.float32],
    window: Box,
    core: Box,
    shape: tuple[int, int],
    *,
    threshold: float = 0.3,
    distance: int = 1,
) -> Prompts:
    """The local maxima of a centre map.

    A maximum depends on the pixels up to `distance` around it alone: where the window reaches as far beyond the core,
    two tiles neither miss nor repeat it.

    Parameters
    ----------
    heights : ndarray of float32, shape (ny, nx)
        The centre map of the window.
    window, core : Box
        In the mosaic; maxima in the core are returned.
    shape : tuple of int
        ``(ny, nx)`` of the mosaic.
    threshold, distance : float, int
        See `local_maxima`.

    Returns
    -------
    prompts : Prompts
        In the order of the maxima, y before x.
    """
    y, x = local_maxima(heights, threshold, distance)
    y, x = y + window.y0, x + window.x0
    found = Prompts.of_points("centres", np.column_stack([x, y]).astype(np.float32), pixel_numbers(y, x, shape))
    return found.select(found.inside(core))


def local_maxima(
    heights: NDArray[np.float32], threshold: float, distance: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pixels above a threshold that none within a distance exceeds, in scan order.

    Parameters
    ----------
    heights : ndarray of float32, shape (ny, nx)
        Finite.
    threshold : float
        What a maximum has to exceed.
    distance : int
        No other pixel within so many along both axes is higher, and none that is as high comes before it: of a plateau
        its first pixel stays.

    Returns
    -------
    ys, xs : ndarray of int
        Further apart than `distance` along one axis.

    Raises
    ------
    ValueError
        If the distance is not positive.
    """
    if distance < 1:
        raise ValueError(f"distance={distance}: must be at least 1 pixel")
    around = np.pad(heights, distance, constant_values=-np.inf)
    highest = around
    for axis in (0, 1):
        lines = np.moveaxis(highest, axis, 0)
        count = len(lines) - 2 * distance
        most = lines[:count].copy()
        for k in range(1, 2 * distance + 1):
            np.maximum(most, lines[k : k + count], out=most)
        highest = np.moveaxis(most, 0, axis)
    ys, xs = np.nonzero((heights > threshold) & (heights == highest))
    for dy in range(-distance, 1):
        for dx in range(-distance, distance + 1 if dy else 0):
            first = around[ys + distance + dy, xs + distance + dx] < heights[ys, xs]
            ys, xs = ys[first], xs[first]
    return ys, xs
