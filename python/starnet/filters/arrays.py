"""What the kernels ask of their arrays."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[Any]

_FLOATS_AND_INTEGERS = {np.dtype(code) for code in ("f4", "f8", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8")}

_FITS = np.dtype(">f4")


def image(a: ArrayLike, *, name: str = "a", ndim: int | None = 2, dtype: DTypeLike | None = None) -> Array:
    """Make an argument an array that a kernel can borrow: native byte order and aligned, copied only if it is not.

    Parameters
    ----------
    a : array_like
        The argument.
    name : str
        What the caller knows it by.
    ndim : int, optional
        Number of axes it must have.
    dtype : dtype_like, optional
        Type to convert it to; by default it keeps its own, which must be float32, float64 or an integer type.

    Raises
    ------
    TypeError
        If it is a masked array (whose mask would be lost), or of another type.
    ValueError
        If it has another number of axes.
    """
    if isinstance(a, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: fill it first, for example with {name}.filled(numpy.nan)")
    array = np.asarray(a)
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} has {array.ndim} axes, expected {ndim}")
    native = array.dtype.newbyteorder("=")
    if dtype is None and native not in _FLOATS_AND_INTEGERS:
        raise TypeError(f"{name} has dtype {array.dtype}: use float32, float64 or an integer type")
    if dtype is not None and native.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}: it must hold real numbers")
    wanted = native if dtype is None else np.dtype(dtype)
    if array.dtype != wanted:
        return array.astype(wanted)
    return array if array.flags.aligned else array.copy()


def fits_image(a: ArrayLike, *, name: str = "a", ndim: int | None = None, dtype: DTypeLike | None = None) -> Array:
    """As `image`, but big-endian float32, as FITS holds it, stays as it is: for kernels that take what is `stored`."""
    raw = isinstance(a, np.ndarray) and not isinstance(a, np.ma.MaskedArray) and a.dtype == _FITS
    if raw and a.flags.aligned and (ndim is None or a.ndim == ndim):  # type: ignore[union-attr]
        return np.asarray(a)
    return image(a, name=name, ndim=ndim, dtype=dtype)


def stored(a: Array) -> Array:
    """Show big-endian float32 to the kernels as what they know it by, the bits in uint32; other arrays as they are."""
    return a.view(np.uint32) if a.dtype == _FITS else a


def output(out: Array | None, shape: tuple[int, ...], dtype: DTypeLike, *inputs: Array | None) -> Array:
    """Check the `out` of a caller, or make one.

    Parameters
    ----------
    out : ndarray or None
        What the caller gave.
    shape, dtype
        What the result will be.
    *inputs : ndarray or None
        Arrays that are read while `out` is written.

    Raises
    ------
    TypeError, ValueError
        If `out` cannot take the result, or overlaps an input.
    """
    wanted = np.dtype(dtype)
    if out is None:
        return np.empty(shape, wanted)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy array, not {type(out).__name__}")
    if out.dtype != wanted or not out.dtype.isnative:
        raise TypeError(f"out has dtype {out.dtype}, expected {wanted} in native byte order")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}, expected {shape}")
    if not (out.flags.writeable and out.flags.aligned):
        raise ValueError("out must be writable and aligned")
    if out.size and any(n > 1 and stride <= 0 for n, stride in zip(out.shape, out.strides, strict=True)):
        raise ValueError("out must not run backwards nor repeat pixels: use a C-ordered array")
    if any(a is not None and np.shares_memory(out, a) for a in inputs):
        raise ValueError("out overlaps an input array: use another array, or a copy of the input")
    return out


def pair(value: int | tuple[int, int], name: str) -> tuple[int, int]:
    """Read a size given as one number or as ``(ny, nx)``.

    Raises
    ------
    TypeError, ValueError
        If it is not one or two positive integers.
    """
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(values) != 2:
        raise ValueError(f"{name}={value}: must be one integer or two, (ny, nx)")
    try:
        ny, nx = (operator.index(v) for v in values)
    except TypeError:
        raise TypeError(f"{name}={value!r}: must be one integer or two, (ny, nx)") from None
    if ny < 1 or nx < 1:
        raise ValueError(f"{name}={value}: must be at least 1")
    return ny, nx


def thread_count(threads: int | None) -> int | None:
    """Check a number of threads; None is the package's setting, 0 all cores.

    Raises
    ------
    TypeError, ValueError
        If it is neither None nor an integer from 0 to 1024.
    """
    if threads is None:
        return None
    try:
        n = operator.index(threads)
    except TypeError:
        raise TypeError(f"threads={threads!r}: must be an integer or None") from None
    if not 0 <= n <= 1024:
        raise ValueError(f"threads={threads}: must lie between 0 (all cores) and 1024")
    return n


def planes(a: Array) -> Iterator[Array]:
    """2-D views that hold every pixel of an array of any shape once, in no particular order."""
    if a.flags.forc or a.ndim < 2:
        # "A" keeps Fortran order, so that this is a view.
        yield (a if a.ndim == 1 else a.reshape(-1, order="A"))[np.newaxis]
    elif a.ndim == 2:
        yield a if abs(a.strides[1]) <= abs(a.strides[0]) else a.T
    else:
        for part in a:
            yield from planes(part)
