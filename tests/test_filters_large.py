"""Medians of large windows, and the rolling median through them, against SciPy and brute force."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from image_strategies import FLOATS, INTEGERS, assert_same, views
from starnet.filters import median_filter, rolling_median

NUMPY_PAD = {"reflect": "symmetric", "mirror": "reflect", "nearest": "edge", "wrap": "wrap", "constant": "constant"}
KINDS = ("sky", "constant", "two values", "integers", "zeros", "infinities", "signed zeros", "nan", "steps")

modes = st.sampled_from(sorted(NUMPY_PAD))
sizes = st.tuples(st.integers(26, 90), st.integers(26, 90)) | st.tuples(st.integers(1, 4), st.integers(30, 400))


def picture(kind: str, shape: tuple[int, int] = (150, 170), dtype: str = "f4") -> NDArray[Any]:
    """What has broken median filters: ties, and everything that a float can be."""
    rng = np.random.default_rng(len(kind))
    a = rng.normal(100, 10, shape) + 30 * np.hypot(*np.indices(shape) - 60.5) ** -0.5
    some = rng.random(shape)
    if kind == "constant":
        a = np.full(shape, 7.0)
    elif kind == "two values":
        a = np.where(some < 0.5, 1.0, 2.0)
    elif kind == "integers":
        a = np.round(a)
    elif kind == "zeros":
        a = np.where(some < 0.3, 0.0, a - 100)
    elif kind == "infinities":
        a = np.where(some < 0.3, np.inf, np.where(some > 0.7, -np.inf, a))
    elif kind == "signed zeros":
        a = np.where(some < 0.5, -0.0, np.where(some < 0.9, 0.0, a))
    elif kind == "nan":
        a = np.where(some < 0.1, np.nan, a)
        a[20:90, 100:] = np.nan
    elif kind == "steps":
        a[:, 85:] += 1e6
    return a.astype(dtype)


def by_brute_force(
    a: NDArray[Any], size: tuple[int, int], mode: str, nan: str, nodes: tuple[NDArray[Any], NDArray[Any]]
) -> NDArray[Any]:
    """Sort the windows of the nodes, NaN last."""
    margins = [(k // 2, k - 1 - k // 2) for k in size]
    windows = sliding_window_view(np.pad(a, margins, mode=NUMPY_PAD[mode]), size)  # type: ignore[call-overload]
    chosen = windows[np.ix_(*nodes)].reshape(len(nodes[0]), len(nodes[1]), -1)
    n = np.sum(~np.isnan(chosen), axis=-1)
    rank = np.minimum(n // 2, chosen.shape[-1] - 1)
    medians = np.take_along_axis(np.sort(chosen, axis=-1), rank[..., None], axis=-1)[..., 0]
    spoilt = n < chosen.shape[-1] if nan == "propagate" else n == 0
    return np.where(spoilt, a.dtype.type(np.nan), medians)


@given(views(FLOATS + INTEGERS, side=25), sizes, modes.filter(lambda mode: mode != "reflect"))
@settings(deadline=None, max_examples=60)
def test_equals_scipy(a: NDArray[Any], size: tuple[int, int], mode: str) -> None:
    # "reflect", which SciPy 1.17 does not carry on far beyond a small image, is left to brute force.
    assert_same(median_filter(a, size, mode=mode), scipy.ndimage.median_filter(a, size=size, mode=mode))


@given(views(nan=True), sizes, modes, st.sampled_from(["ignore", "propagate"]))
@settings(deadline=None, max_examples=60)
def test_nan_equals_brute_force(a: NDArray[Any], size: tuple[int, int], mode: str, nan: str) -> None:
    expected = by_brute_force(a, size, mode, nan, (np.arange(a.shape[0]), np.arange(a.shape[1])))
    assert_same(median_filter(a, size, mode=mode, nan=nan), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(33, 33), (51, 30), (101, 101), (7, 60)])
def test_pictures_equal_brute_force(kind: str, size: tuple[int, int]) -> None:
    a = picture(kind)
    nodes = np.array([0, 1, 60, 95, 96, 149]), np.array([0, 84, 85, 96, 130, 169])
    for nan in ("ignore", "propagate"):
        result = median_filter(a, size, nan=nan)
        expected = by_brute_force(a, size, "reflect", nan, nodes)
        # NumPy's sort does not order zeros.
        assert_same(result[np.ix_(*nodes)], expected)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "u1"])
def test_whole_picture_equals_scipy(dtype: str) -> None:
    a = picture("sky", (130, 120), dtype)
    assert_same(median_filter(a, 35), scipy.ndimage.median_filter(a, size=35))


def test_negative_zeros_come_first() -> None:
    a = picture("signed zeros")
    result = median_filter(a, 41)
    negative = median_filter(np.signbit(a).astype("u1"), 41)
    # The window's lower half is at -0.0 exactly where half its pixels and one more have the sign bit.
    zero = result == 0
    assert zero.any()
    np.testing.assert_array_equal(np.signbit(result)[zero], negative[zero] == 1)


@pytest.mark.parametrize("kind", KINDS)
def test_threads_leave_no_trace(kind: str) -> None:
    a = picture(kind, (230, 210))
    one = median_filter(a, 45, threads=1)
    for threads in (2, 5):
        assert_same(median_filter(a, 45, threads=threads), one, signed_zeros=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [3, 16, 70])
def test_nodes_of_the_rolling_median_are_those_of_the_filter(kind: str, step: int) -> None:
    a = picture(kind)
    ys, xs = np.arange(0, a.shape[0], step), np.arange(0, a.shape[1], step)
    rolling = rolling_median(a, 51, step=step)[np.ix_(ys, xs)]
    exact = median_filter(a, 51)[np.ix_(ys, xs)]
    # At a node that is NaN, the next ones have weight 0 too; an infinite one is itself.
    assert_same(rolling, exact)


def test_real_pixels(shared_data: Path) -> None:
    image = fits.getdata(shared_data / "xdf-demo" / "xdf_f160w.fits", "SCI").astype(np.float32)
    nodes = np.array([0, 60, 250, 499]), np.array([3, 128, 129, 400])
    for size in (51, 101, 301):
        expected = by_brute_force(image, (size, size), "reflect", "ignore", nodes)
        assert_same(median_filter(image, size)[np.ix_(*nodes)], expected)


@pytest.mark.parametrize("level", ["scalar", "avx2", "avx512"])
def test_levels_give_the_same_bits(level: str, tmp_path: Path) -> None:
    """Every level that this processor has; one that it lacks is refused in a sentence."""
    program = (
        "import sys; import numpy as np; from starnet.filters import median_filter, rolling_median\n"
        "a = np.load(sys.argv[1])\n"
        "np.savez(sys.argv[2], median_filter(a, 51), rolling_median(a, 65, step=8))"
    )
    a = picture("nan")
    np.save(tmp_path / "in.npy", a)
    arguments = [sys.executable, "-c", program, str(tmp_path / "in.npy"), str(tmp_path / "out.npz")]
    run = subprocess.run(arguments, env={**os.environ, "STARNET_SIMD": level}, capture_output=True, text=True)
    if run.returncode:
        assert level != "scalar"
        assert "this processor has not" in run.stderr, run.stderr
        return
    with np.load(tmp_path / "out.npz") as out:
        assert_same(out["arr_0"], median_filter(a, 51))
        assert_same(out["arr_1"], rolling_median(a, 65, step=8))
