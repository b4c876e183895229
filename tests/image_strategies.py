"""Images as hypothesis draws them: small, strided, full of ties and of everything a float can be."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

FLOATS = ("f4", "f8")
INTEGERS = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8")
SPECIAL = (0.0, -0.0, 1.0, 1.0, -1.0, 2.0, 1e-45, -1e-45, np.inf, -np.inf)
# SciPy computes in float64, so that larger integers are no oracle.
EXACT = 2**53


def elements(dtype: np.dtype[Any], *, nan: bool, infinite: bool = True) -> st.SearchStrategy[Any]:
    """Pixels: as often one of a few, for ties and special values, as any."""
    if dtype.kind == "f":
        few = [v for v in SPECIAL if infinite or np.isfinite(v)] + [np.nan] * (2 * nan)
        few = [dtype.type(v).item() for v in few]
        anything = st.floats(width=8 * dtype.itemsize, allow_nan=nan, allow_infinity=infinite)
        return st.sampled_from(few) | anything
    limits = np.iinfo(dtype)
    low, high = max(limits.min, -EXACT), min(limits.max, EXACT)
    return st.sampled_from([low, high, 0, 1, 1, 2]) | st.integers(low, high)


@st.composite
def views(
    draw: st.DrawFn, dtypes: tuple[str, ...] = FLOATS, *, nan: bool = False, infinite: bool = True, side: int = 12
) -> NDArray[Any]:
    """2-D views of a larger array: contiguous, with steps, backwards, transposed."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    ny, nx = draw(st.integers(1, side)), draw(st.integers(1, side))
    steps = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 2), (-1, 1), (1, -1), (-2, -3)]))
    shape = (1 + (ny - 1) * abs(steps[0]), 1 + (nx - 1) * abs(steps[1]))
    base = draw(hnp.arrays(dtype, shape, elements=elements(dtype, nan=nan, infinite=infinite)))
    view = base[:: steps[0], :: steps[1]]
    return view.T if draw(st.booleans()) else view


def assert_same(actual: Any, expected: Any, *, signed_zeros: bool = False) -> None:
    """Bits are equal, but for the payload of NaN and, unless told otherwise, the sign of zero."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)
    if signed_zeros and actual.dtype.kind == "f":
        both = ~np.isnan(actual)
        np.testing.assert_array_equal(np.signbit(actual)[both], np.signbit(expected)[both])
