"""Image filters, written in Rust: NumPy arrays in and out, no hidden copies, any number of threads at the same bits.

Every function takes strided views, writes into `out` if there is one, and releases the GIL. Arrays in foreign byte
order, as FITS holds them, are converted first. The types are float32, float64 and the integers of 8 to 64 bits, unless
said otherwise. ``threads=None`` is the package's setting.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from starnet import _core
from starnet.filters.arrays import Array, fits_image, image, output, pair, stored, thread_count


def median_filter(
    a: ArrayLike,
    size: int | tuple[int, int],
    *,
    mode: str = "reflect",
    nan: str = "ignore",
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Exact median of the window around each pixel.

    Equal to ``scipy.ndimage.median_filter(a, size=size, mode=mode)`` bit for bit where no NaN is in reach: the window
    of pixel ``y`` is ``y - k // 2 ... y + k - 1 - k // 2``, odd or even, and the result its value of rank
    ``ky * kx // 2``. Zeros of different sign are equal to SciPy, which returns either; here -0.0 comes before 0.0.
    Two things are exact here and not there (SciPy 1.17): 64-bit integers, and "reflect" where the window reaches over
    the border by four times the image or more.

    Parameters
    ----------
    a : array_like, (ny, nx)
        Image. Infinities are ordinary values.
    size : int or tuple of int
        Side of the window, or ``(ky, kx)``; may exceed the image.
    mode : {"reflect", "mirror", "nearest", "constant", "wrap"}
        How the image goes on beyond its border, with SciPy's names; the constant is 0.
    nan : {"ignore", "propagate"}
        "ignore": rank ``n // 2`` of the ``n`` pixels of the window that are not NaN, and NaN where there are none.
        "propagate": NaN where the window holds one.
    out : ndarray, (ny, nx), optional
        Where to put the result; must not overlap `a`.
    threads : int, optional
        Number of threads; 0 is all cores.

    Returns
    -------
    ndarray, (ny, nx)
        Of the type of `a`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or value.

    References
    ----------
    S. Perreault and P. Hebert, "Median filtering in constant time", IEEE Transactions on Image Processing 16 (2007),
    2389-2394: large windows; here with bins that follow the values, and an exact search inside the bin.

    J. Suomela, "Median filtering is equivalent to sorting" (2014), arXiv:1406.1717: very long windows.
    """
    array = image(a)
    out = output(out, array.shape, array.dtype, array)
    _core.median_filter(array, pair(size, "size"), mode, nan, out, thread_count(threads))
    return out


def rolling_median(
    a: ArrayLike,
    window: int | tuple[int, int],
    *,
    step: int = 1,
    anchor: tuple[int, int] = (0, 0),
    mode: str = "reflect",
    nan: str = "ignore",
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Rolling-median background: what varies over more than a window.

    With ``step=1`` it is `median_filter`. Otherwise the median is evaluated at nodes, and interpolated between them
    bilinearly. The nodes of an axis are the pixels ``anchor + i * step``, its first and its last pixel, so that nothing
    is extrapolated. A pixel between the nodes ``y0 <= y < y1`` has weights ``ty = (y - y0) / (y1 - y0)`` and
    ``1 - ty``, and likewise along x; its value is ``sum(w * v) / sum(w)`` in float64, rounded once, over the corners
    with ``w > 0``.

    The time depends little on the window and falls with `step`: only the nodes are computed. Memory is the result,
    the nodes and, a thread, about 17 bytes (float32; 29 for float64) for each pixel that a block of at most 512 by 512
    pixels sees with its margins.

    Parameters
    ----------
    a : array_like, (ny, nx)
        Image; float32 or float64.
    window : int or tuple of int
        Side of the window, or ``(ky, kx)``, in pixels.
    step : int
        Distance of the nodes in pixels.
    anchor : tuple of int
        Any pixel ``(y, x)`` of the grid of nodes, negative too. A window of a larger image that begins at its pixel
        ``(y0, x0)`` has the image's own nodes with ``anchor=(-y0, -x0)``; its pixels equal the image's where they lie
        ``step + k // 2`` or more from a border that is not the image's.
    mode : {"reflect", "mirror", "nearest", "constant", "wrap"}
        As for `median_filter`.
    nan : {"ignore", "propagate"}
        As for `median_filter`; "ignore" also leaves out the nodes that are NaN because their whole window is.
    out : ndarray, (ny, nx), optional
        Where to put the result; must not overlap `a`.
    threads : int, optional
        Number of threads; 0 is all cores.

    Returns
    -------
    ndarray, (ny, nx)
        Of the type of `a`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or value.

    References
    ----------
    S. Perreault and P. Hebert, "Median filtering in constant time", IEEE Transactions on Image Processing 16 (2007),
    2389-2394; here with bins that follow the values, and an exact search inside the bin.
    """
    array = image(a)
    if array.dtype.kind != "f":
        raise TypeError(f"a has dtype {array.dtype}: a background needs float32 or float64")
    if step < 1:
        raise ValueError(f"step={step}: must be at least 1")
    out = output(out, array.shape, array.dtype, array)
    anchor = anchor[0] % step, anchor[1] % step
    _core.rolling_median(array, pair(window, "window"), step, anchor, mode, nan, out, thread_count(threads))
    return out


def normalize(
    a: ArrayLike,
    lo: float | Sequence[float],
    hi: float | Sequence[float],
    *,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Clip to ``[lo, hi]`` and scale to [0, 1].

    Equal to ``(numpy.clip(a, lo, hi) - lo) / (hi - lo)`` in float32, bit for bit. NaN stays NaN; where ``lo == hi``,
    everything else is 0.

    Parameters
    ----------
    a : array_like, (ny, nx) or (nband, ny, nx)
        Image; converted to float32 if it is not.
    lo, hi : float or sequence of float
        Limits, finite, one for all bands or one for each.
    out : ndarray of float32, optional
        Where to put the result, of the shape of `a`; must not overlap it.
    threads : int, optional
        Number of threads; 0 is all cores.

    Returns
    -------
    ndarray of float32
        Of the shape of `a`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or value.
    """
    array = fits_image(a, dtype=np.float32)
    if array.ndim not in (2, 3):
        raise ValueError(f"a has {array.ndim} axes, expected 2 or 3")
    bands = stored(array if array.ndim == 3 else array[np.newaxis])
    out = output(out, array.shape, np.float32, array)
    workers = thread_count(threads)
    limits = zip(_limits(lo, len(bands), "lo"), _limits(hi, len(bands), "hi"), strict=True)
    for band, target, (low, high) in zip(bands, out.reshape(bands.shape), limits, strict=True):
        _core.normalize(band, low, high, target, workers)
    return out


def stack_rgb(
    bands: ArrayLike | Sequence[ArrayLike],
    *,
    lo: float | Sequence[float],
    hi: float | Sequence[float],
    out: Array | None = None,
    dtype: DTypeLike = np.float32,
    threads: int | None = None,
) -> Array:
    """Normalise three bands and interleave them into one picture, in one pass.

    Equal to ``numpy.stack([normalize(band, ...) for band in bands], axis=-1)``; as uint8, to ``floor(255 * v + 0.5)``
    of that, in float32, and 0 for NaN.

    Parameters
    ----------
    bands : sequence of three array_like, (ny, nx)
        Red, green and blue; converted to float32 if they are not.
    lo, hi : float or sequence of float
        Limits, finite, one for all bands or one for each.
    out : ndarray, (ny, nx, 3), optional
        Where to put the result, C-ordered; must not overlap the bands.
    dtype : dtype_like
        float32 (0 to 1) or uint8 (0 to 255).
    threads : int, optional
        Number of threads; 0 is all cores.

    Returns
    -------
    ndarray, (ny, nx, 3)
        The picture.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or value.
    """
    given = list(bands)  # type: ignore[arg-type]
    arrays = [fits_image(band, name=f"band {i}", ndim=2, dtype=np.float32) for i, band in enumerate(given)]
    if len({array.dtype for array in arrays}) > 1:
        arrays = [image(band, dtype=np.float32) for band in arrays]
    if len(arrays) != 3 or len({array.shape for array in arrays}) != 1:
        raise ValueError(f"bands have shapes {[array.shape for array in arrays]}: expected three of the same shape")
    if np.dtype(dtype) not in (np.float32, np.uint8):
        raise TypeError(f"dtype={np.dtype(dtype)}: must be float32 or uint8")
    ny, nx = arrays[0].shape
    out = output(out, (ny, nx, 3), dtype, *arrays)
    if nx and out.strides[1:] != (3 * out.itemsize, out.itemsize):
        raise ValueError("out: the pixels of a row must be contiguous (C order)")
    rows = out.reshape(ny, 3 * nx)
    _core.stack_rgb(
        [stored(array) for array in arrays], _limits(lo, 3, "lo"), _limits(hi, 3, "hi"), rows, thread_count(threads)
    )
    return out


def watershed(
    landscape: ArrayLike,
    markers: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    connectivity: int = 1,
    out: Array | None = None,
) -> Array:
    """Seeded watershed: every pixel gets the label of the marker whose flood reaches it first.

    Equal to ``skimage.segmentation.watershed(landscape, markers, mask=mask, connectivity=connectivity)`` in every pixel
    (0.26): lower pixels are flooded first, and of equals the one that waits longer. It runs on one thread.

    Parameters
    ----------
    landscape : array_like, (ny, nx)
        Heights, converted to float32 if they are not; not NaN inside the mask. Objects are floods around minima, so
        pass the negative of a flux.
    markers : array_like of int, (ny, nx)
        Labels of the seeds, 0 elsewhere.
    mask : array_like of bool, (ny, nx), optional
        Where to label; by default everywhere. Markers outside are dropped.
    connectivity : {1, 2}
        1: a pixel has the four neighbours at its sides; 2: those at its corners too.
    out : ndarray of int32, (ny, nx), optional
        Where to put the result; must not overlap the inputs.

    Returns
    -------
    ndarray of int32, (ny, nx)
        Labels; 0 outside the mask and where no flood comes.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or value.

    References
    ----------
    P. Soille and M. Ansoult, "Automated basin delineation from digital elevation models using mathematical
    morphology", Signal Processing 20 (1990) 171, doi:10.1016/0165-1684(90)90127-K.
    """
    if connectivity not in (1, 2):
        raise ValueError(f"connectivity={connectivity}: must be 1 (sides) or 2 (corners too)")
    heights = image(landscape, name="landscape", dtype=np.float32)
    seeds = np.asarray(markers)
    if seeds.dtype.kind not in "iu":
        raise TypeError(f"markers have dtype {seeds.dtype}: they must be integers")
    if seeds.size and (seeds.max() > np.iinfo(np.int32).max or seeds.min() < np.iinfo(np.int32).min):
        raise ValueError("markers exceed int32: relabel them first")
    seeds = image(seeds, name="markers", dtype=np.int32)
    inside = None
    if mask is not None:
        inside = image(np.asarray(mask, dtype=bool).view(np.uint8), name="mask")
    out = output(out, heights.shape, np.int32, heights, seeds, inside)
    _core.watershed(heights, seeds, inside, connectivity, out)
    return out


def _limits(values: float | Sequence[float], n: int, name: str) -> list[float]:
    """One limit for each of `n` bands."""
    array = np.asarray(values, dtype=np.float32)
    if array.ndim > 1 or array.size not in (1, n):
        raise ValueError(f"{name}={values}: must be one number, or one for each of the {n} bands")
    return [float(v) for v in np.broadcast_to(array, n)]
