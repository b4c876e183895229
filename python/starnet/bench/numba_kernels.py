"""The loops that a user of numba would write, compiled when they are first asked for."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from starnet.bench.peers import load

# One sum and one product, in float32 as ours.
_255, _HALF = np.float32(255), np.float32(0.5)


@cache
def numba_normalize() -> Any:
    """``kernel(a, low, high, out)``."""
    numba = load("numba")
    prange = numba.prange

    @numba.njit(parallel=True, error_model="numpy")  # type: ignore[untyped-decorator]
    def kernel(a: Any, low: Any, high: Any, out: Any) -> None:
        width = high - low
        for y in prange(a.shape[0]):
            for x in range(a.shape[1]):
                out[y, x] = (min(max(a[y, x], low), high) - low) / width

    return kernel


@cache
def numba_stack(*, eight_bits: bool) -> Any:
    """``kernel(red, green, blue, low, high, out)``."""
    numba = load("numba")
    prange = numba.prange

    @numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
    def scaled(value: Any, low: Any, high: Any) -> Any:
        unit = (min(max(value, low), high) - low) / (high - low)
        return np.uint8(unit * _255 + _HALF) if eight_bits else unit

    @numba.njit(parallel=True, error_model="numpy")  # type: ignore[untyped-decorator]
    def kernel(red: Any, green: Any, blue: Any, low: Any, high: Any, out: Any) -> None:
        for y in prange(red.shape[0]):
            for x in range(red.shape[1]):
                out[y, x, 0] = scaled(red[y, x], low[0], high[0])
                out[y, x, 1] = scaled(green[y, x], low[1], high[1])
                out[y, x, 2] = scaled(blue[y, x], low[2], high[2])

    return kernel
