"""Connected components, in one image and over tiles."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from starnet import _core
from starnet.filters.arrays import Array, image, output, thread_count

_CONNECTIVITY = {1: 4, 2: 8}


def label(
    mask: npt.ArrayLike, *, connectivity: int = 2, out: Array | None = None, threads: int | None = None
) -> tuple[npt.NDArray[np.int32], int]:
    """Number the connected components of a mask.

    Equal to ``scipy.ndimage.label(mask, generate_binary_structure(2, connectivity))``: components are numbered 1, 2, …
    in the order of their first pixels.

    Parameters
    ----------
    mask : array_like
        2-D ``(ny, nx)``; what is not zero is foreground.
    connectivity : {2, 1}
        2: pixels that share a side or a corner touch, as in SExtractor; 1: only those that share a side.
    out : ndarray of int32, optional
        Where to put the labels.
    threads : int, optional
        Number of threads; by default the package's setting.

    Returns
    -------
    labels : ndarray of int32, shape (ny, nx)
        0 is background.
    count : int
        Number of components.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    """
    if connectivity not in _CONNECTIVITY:
        raise ValueError(f"connectivity={connectivity}: must be 1 (sides) or 2 (sides and corners)")
    array = np.asarray(mask)
    foreground = array if array.dtype == bool else array != 0
    pixels = image(foreground.view(np.uint8), name="mask")
    target = output(out, pixels.shape, np.int32, pixels)
    return _core.label(pixels, _CONNECTIVITY[connectivity], target, thread_count(threads))


def join_tiles(labels: npt.NDArray[np.int32], ys: list[int], xs: list[int]) -> int:
    """Join components that were numbered tile by tile, in place.

    Components that touch (sides or corners) across a seam become one, and all are numbered anew by their first pixels:
    the result equals `label` of the whole image.

    Parameters
    ----------
    labels : ndarray of int32, shape (ny, nx)
        Labels that are unique over the image; 0 is background.
    ys, xs : list of int
        Rows and columns before which tiles meet.

    Returns
    -------
    count : int
        Number of components.

    Raises
    ------
    ValueError
        If a seam lies outside, or a label is negative.
    """
    return _core.join_tiles(labels, ys, xs)
