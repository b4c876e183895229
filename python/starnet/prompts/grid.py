"""SAM's automatic prompts: a regular grid of points."""

from __future__ import annotations

import numpy as np

from starnet.prompts.base import Prompts, pixel_numbers
from starnet.tiles import Box


def grid(box: Box, shape: tuple[int, int], spacing: int = 16) -> Prompts:
    """The points of a grid that lie in a box.

    It is fixed to the mosaic, so that a point does not depend on the tile it is in. SAM's own has 32 points on a side
    of its window (Kirillov et al. 2023, arXiv:2304.02643, appendix B), as here the first half a step from the border.

    Parameters
    ----------
    box : Box
        In the mosaic.
    shape : tuple of int
        ``(ny, nx)`` of the mosaic.
    spacing : int
        Pixels from point to point.

    Returns
    -------
    prompts : Prompts
        Row by row.

    Raises
    ------
    ValueError
        If the spacing is not positive.
    """
    if spacing < 1:
        raise ValueError(f"spacing={spacing}: must be at least 1 pixel")
    half = spacing // 2
    ys, xs = (
        np.arange(first + (half - first) % spacing, last, spacing)
        for first, last in ((box.y0, box.y1), (box.x0, box.x1))
    )
    y, x = (axis.ravel() for axis in np.meshgrid(ys, xs, indexing="ij"))
    return Prompts.of_points("grid", np.column_stack([x, y]).astype(np.float32), pixel_numbers(y, x, shape))
