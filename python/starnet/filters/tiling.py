"""Tiles of pixels: cut from an image with a margin, and blended back into one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from starnet import _core
from starnet.filters.arrays import Array, image, output, thread_count
from starnet.tiles import Box

_SCIPY_NAMES = {"reflect": "mirror", "symmetric": "reflect", "edge": "nearest", "wrap": "wrap", "constant": "constant"}


def extract_tiles(
    a: ArrayLike,
    boxes: Iterable[Box],
    *,
    mode: str = "reflect",
    cval: float = 0.0,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Cut windows that may stick out of the image.

    Equal to the same windows of ``numpy.pad(a, ..., mode=mode)``.

    Parameters
    ----------
    a : array_like, (ny, nx) or (nband, ny, nx)
        Image; float32, float64, an integer type or bool.
    boxes : iterable of Box
        Windows of one shape ``(h, w)``, in pixels of `a`.
    mode : {"reflect", "symmetric", "edge", "wrap", "constant"}
        How the image goes on beyond its border, with the names of ``numpy.pad``: "reflect" does not repeat the border
        pixel, "symmetric" does (to `scipy.ndimage` these are "mirror" and "reflect").
    cval : float
        The constant of ``mode="constant"``.
    out : ndarray, (n, h, w) or (n, nband, h, w), optional
        Where to put the result; must not overlap `a`.
    threads : int, optional
        Number of threads; 0 is all cores.

    Returns
    -------
    ndarray, (n, h, w) or (n, nband, h, w)
        The windows, of the type of `a`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or value.
    """
    array = np.asarray(a)
    flags = array.dtype == bool
    array = image(array.view(np.uint8) if flags else a, ndim=None)
    if array.ndim not in (2, 3):
        raise ValueError(f"a has {array.ndim} axes, expected 2 or 3")
    if mode not in _SCIPY_NAMES:
        raise ValueError(f"mode={mode!r}: must be one of {', '.join(map(repr, _SCIPY_NAMES))}")
    if array.dtype.kind != "f":
        limits = np.iinfo(array.dtype)
        if not (float(cval).is_integer() and limits.min <= cval <= limits.max):
            raise ValueError(f"cval={cval}: does not fit into {array.dtype}")
    origins, shape = _origins(boxes)
    wanted = (len(origins), *array.shape[:-2], *shape)
    dtype = np.dtype(bool) if flags else array.dtype
    out = output(out, wanted, dtype, array)
    target = out.view(np.uint8) if flags else out
    bands = [(array, target)] if array.ndim == 2 else [(band, target[:, i]) for i, band in enumerate(array)]
    workers = thread_count(threads)
    for band, tiles in bands:
        _core.extract_tiles(band, origins, tiles, _SCIPY_NAMES[mode], float(cval), workers)
    return out


def stitch(
    tiles: ArrayLike,
    boxes: Iterable[Box],
    shape: tuple[int, int],
    *,
    weights: ArrayLike | None = None,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Blend overlapping tiles: ``sum(weights * tile) / sum(weights)``.

    The sums are float32 and run in the order of the tiles, whatever the number of threads; NumPy's are the same, bit
    for bit.

    Parameters
    ----------
    tiles : array_like of float32, (n, h, w) or (n, nband, h, w)
        The tiles; converted to float32 if they are not.
    boxes : iterable of Box
        Where they lie, ``n`` boxes of shape ``(h, w)``; what sticks out is dropped.
    shape : tuple of int
        ``(ny, nx)`` of the result.
    weights : array_like of float32, (h, w), optional
        Weights of the pixels of every tile, finite and not negative, for example a `taper`; by default 1.
    out : ndarray of float32, (ny, nx) or (nband, ny, nx), optional
        Where to put the result; must not overlap the tiles.
    threads : int, optional
        Number of threads; 0 is all cores.

    Returns
    -------
    ndarray of float32, (ny, nx) or (nband, ny, nx)
        NaN where no tile lies, or only tiles of weight 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or value.
    """
    array = image(tiles, name="tiles", ndim=None, dtype=np.float32)
    if array.ndim not in (3, 4):
        raise ValueError(f"tiles have {array.ndim} axes, expected 3 or 4")
    origins, window = _origins(boxes)
    if array.shape[-2:] != window or len(array) != len(origins):
        raise ValueError(f"tiles have shape {array.shape}, but there are {len(origins)} boxes of shape {window}")
    weight = None if weights is None else image(weights, name="weights", dtype=np.float32)
    if weight is not None and weight.shape != window:
        raise ValueError(f"weights have shape {weight.shape}, but the boxes {window}")
    if weight is not None and not np.all((weight >= 0) & (weight < np.inf)):
        raise ValueError("weights must be finite and not negative")
    out = output(out, (*array.shape[1:-2], *shape), np.float32, array, weight)
    bands = [(array, out)] if array.ndim == 3 else [(array[:, i], band) for i, band in enumerate(out)]
    workers = thread_count(threads)
    for band, target in bands:
        _core.stitch(band, origins, shape, weight, target, workers)
    return out


def taper(shape: tuple[int, int], width: int) -> Array:
    """Weights that fall off linearly over the outer `width` pixels of a tile.

    The i-th pixel from the border has ``min(1, (i + 1) / (width + 1))``, and the two axes multiply: never 0, so that a
    pixel that only one tile holds keeps its value.

    Parameters
    ----------
    shape : tuple of int
        ``(h, w)``.
    width : int
        Pixels over which the weight falls off; 0 gives 1 everywhere.

    Returns
    -------
    ndarray of float32, (h, w)
        The weights.

    Raises
    ------
    ValueError
        If `width` is negative.
    """
    if width < 0:
        raise ValueError(f"width={width}: must not be negative")
    ramps = (np.minimum(np.arange(n), np.arange(n)[::-1]) for n in shape)
    along_y, along_x = (np.minimum(1, (ramp + 1) / (width + 1)) for ramp in ramps)
    return np.outer(along_y, along_x).astype(np.float32)


def _origins(boxes: Iterable[Box]) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Corners of boxes, and their one shape."""
    listed = list(boxes)
    shapes = {box.shape for box in listed}
    if len(shapes) != 1:
        raise ValueError(f"boxes have shapes {sorted(shapes)}: expected one shape" if shapes else "there are no boxes")
    return [(box.y0, box.x0) for box in listed], shapes.pop()
