"""Median filter and rolling median against SciPy, brute force, and their definitions."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
from astropy.io import fits
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from image_strategies import FLOATS, INTEGERS, assert_same, views
from starnet.filters import median_filter, rolling_median

NUMPY_PAD = {"reflect": "symmetric", "mirror": "reflect", "nearest": "edge", "wrap": "wrap", "constant": "constant"}

modes = st.sampled_from(sorted(NUMPY_PAD))
sizes = (
    st.integers(1, 7)
    | st.tuples(st.integers(1, 40), st.integers(1, 9))
    | st.tuples(st.integers(1, 9), st.integers(1, 40))
)


def by_brute_force(a: NDArray[Any], size: tuple[int, int], mode: str, nan: str) -> NDArray[Any]:
    """Sort every window, NaN last."""
    margins = [(k // 2, k - 1 - k // 2) for k in size]
    padded = np.pad(a, margins, mode=NUMPY_PAD[mode])  # type: ignore[call-overload]
    windows = np.sort(sliding_window_view(padded, size).reshape(*a.shape, -1), axis=-1)
    n = np.sum(~np.isnan(windows), axis=-1)
    medians = np.take_along_axis(windows, np.minimum(n // 2, windows.shape[-1] - 1)[..., None], axis=-1)[..., 0]
    spoilt = n < windows.shape[-1] if nan == "propagate" else n == 0
    return np.where(spoilt, a.dtype.type(np.nan), medians)


@given(views(FLOATS + INTEGERS), sizes, modes)
@settings(deadline=None)
def test_equals_scipy(a: NDArray[Any], size: int | tuple[int, int], mode: str) -> None:
    # Farther out SciPy 1.17's reflection takes a pixel before the first one; brute force, below, has no limit.
    reach = max(k // 2 / n for k, n in zip(np.broadcast_to(size, 2), a.shape, strict=True))
    assume(mode != "reflect" or reach < 4)
    assert_same(median_filter(a, size, mode=mode), scipy.ndimage.median_filter(a, size=size, mode=mode))


@given(views(nan=True), sizes, modes, st.sampled_from(["ignore", "propagate"]))
@settings(deadline=None)
def test_nan_equals_brute_force(a: NDArray[Any], size: int | tuple[int, int], mode: str, nan: str) -> None:
    window = size if isinstance(size, tuple) else (size, size)
    assert_same(median_filter(a, size, mode=mode, nan=nan), by_brute_force(a, window, mode, nan))


def test_integers_of_64_bits_are_exact() -> None:
    a = np.array([[2**63 - 1, 2**63 - 3, 2**63 - 2]])
    np.testing.assert_array_equal(median_filter(a, (1, 3), mode="nearest")[0, 1], 2**63 - 2)


@pytest.mark.parametrize("size", [2, 10, (3, 150)])
def test_blocks_leave_no_seam_and_threads_no_trace(size: int | tuple[int, int]) -> None:
    a = np.random.default_rng(1).normal(size=(300, 260)).astype(np.float32).round(1)
    expected = scipy.ndimage.median_filter(a, size=size)
    for threads in (1, 2, 5):
        assert_same(median_filter(a, size, threads=threads), expected)


def test_real_pixels(shared_data: Path) -> None:
    part = fits.getdata(shared_data / "xdf-demo" / "xdf_f160w.fits", "SCI")[100:260, 200:390]
    assert_same(
        median_filter(part, 10), scipy.ndimage.median_filter(part.astype(part.dtype.newbyteorder("=")), size=10)
    )


def test_foreign_byte_order_and_unaligned_pixels() -> None:
    a = np.random.default_rng(2).normal(size=(20, 30)).astype(np.float32)
    expected = median_filter(a, 5)
    assert_same(median_filter(a.astype(">f4"), 5), expected)
    table = np.zeros(a.shape, dtype=[("flag", "u1"), ("flux", "f4")])
    table["flux"] = a
    assert_same(median_filter(table["flux"], 5), expected)


def test_empty_images() -> None:
    for shape in [(0, 0), (0, 5), (5, 0)]:
        assert median_filter(np.empty(shape), 3).shape == shape
        assert rolling_median(np.empty(shape), 3, step=4).shape == shape


@given(views(nan=True), st.integers(1, 5))
@settings(deadline=None, max_examples=30)
def test_out_is_filled_and_returned(a: NDArray[Any], size: int) -> None:
    frame = np.full((a.shape[0] + 2, a.shape[1] + 3), 7, a.dtype)
    out = frame[1:-1, 1:-2]
    assert median_filter(a, size, out=out) is out
    assert_same(out, median_filter(a, size))
    frame[1:-1, 1:-2] = 7
    assert np.all(frame == 7)


def test_out_must_fit_and_not_overlap() -> None:
    base = np.zeros((8, 9), np.float32)
    for out in (base, base[::-1][:7], base[1:]):
        a = base if out is base else base[:7]
        with pytest.raises(ValueError, match=r"overlaps|backwards"):
            median_filter(a, 3, out=out)
    # The same memory without a common base that NumPy knows of.
    with pytest.raises(ValueError, match="overlaps"):
        median_filter(base, 3, out=np.frombuffer(memoryview(base), np.float32).reshape(8, 9))
    with pytest.raises(ValueError, match="shape"):
        median_filter(base, 3, out=np.zeros((9, 8), np.float32))
    with pytest.raises(TypeError, match="dtype"):
        median_filter(base, 3, out=np.zeros((8, 9)))
    with pytest.raises(TypeError, match="numpy array"):
        median_filter(base, 3, out=[0.0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="contiguous"):
        median_filter(base, 3, out=np.zeros((9, 8), np.float32).T)
    frozen = np.zeros_like(base)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        median_filter(base, 3, out=frozen)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"size": 0}, ValueError, "at least 1"),
        ({"size": (3, -1)}, ValueError, "at least 1"),
        ({"size": (3, 3, 3)}, ValueError, "one integer or two"),
        ({"size": 2.5}, TypeError, "one integer or two"),
        ({"size": 10**6}, ValueError, "too large"),
        ({"threads": -1}, ValueError, "between 0"),
        ({"threads": 10**6}, ValueError, "between 0"),
        ({"threads": 1.5}, TypeError, "integer or None"),
        ({"mode": "symmetric"}, ValueError, "'reflect', 'mirror'"),
        ({"nan": "drop"}, ValueError, "'ignore' or 'propagate'"),
        ({"a": np.zeros(5)}, ValueError, "1 axes, expected 2"),
        ({"a": np.zeros((5, 5), complex)}, TypeError, "complex128"),
        ({"a": np.zeros((5, 5), np.float16)}, TypeError, "float16"),
        ({"a": np.ma.masked_equal(np.zeros((5, 5)), 0)}, TypeError, "masked"),
    ],
)
def test_wrong_arguments_are_said(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        median_filter(**{"a": np.zeros((5, 5)), "size": 3, **arguments})


def test_concurrent_calls_equal_serial_ones() -> None:
    rng = np.random.default_rng(3)
    images = [rng.normal(size=(90, 110)).astype(np.float32) for _ in range(4)]
    shared = images[0]
    serial = [(median_filter(image, 7), rolling_median(shared, 9, step=5)) for image in images]
    barrier = threading.Barrier(4)

    def run(image: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        barrier.wait()
        return median_filter(image, 7, threads=2), rolling_median(shared, 9, step=5)

    with ThreadPoolExecutor(4) as pool:
        for (a, b), (c, d) in zip(pool.map(run, images), serial, strict=True):
            assert_same(a, c)
            assert_same(b, d)


def by_definition(
    a: NDArray[Any], window: int, step: int, anchor: tuple[int, int], mode: str, nan: str
) -> NDArray[Any]:
    """Medians at the nodes, then the weighted mean of the corners of each cell."""
    medians = median_filter(a, window, mode=mode, nan=nan).astype(np.float64)
    lower, upper, way = [], [], []
    for n, origin in zip(a.shape, anchor, strict=True):
        nodes = np.array([i for i in range(n) if (i - origin) % step == 0 or i in (0, n - 1)])
        i = np.searchsorted(nodes, np.arange(n), side="right") - 1
        following = np.minimum(i + 1, len(nodes) - 1)
        lower.append(nodes[i])
        upper.append(nodes[following])
        way.append((np.arange(n) - nodes[i]) / np.maximum(nodes[following] - nodes[i], 1))
    ty, tx = way[0][:, None], way[1][None, :]
    total = np.zeros(a.shape)
    weight = np.zeros(a.shape)
    for wy, ys in ((1 - ty, lower[0]), (ty, upper[0])):
        for wx, xs in ((1 - tx, lower[1]), (tx, upper[1])):
            w, v = wy * wx, medians[np.ix_(ys, xs)]
            used = (w > 0) & ~(np.isnan(v) & (nan == "ignore"))
            with np.errstate(invalid="ignore", over="ignore"):
                total += np.where(used, w * np.where(used, v, 0), 0)
            weight += np.where(used, w, 0)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        return (total / weight).astype(a.dtype)


@given(
    views(nan=True),
    st.integers(1, 6),
    st.integers(2, 9),
    st.tuples(st.integers(-20, 20), st.integers(-20, 20)),
    modes,
    st.sampled_from(["ignore", "propagate"]),
)
@settings(deadline=None)
def test_rolling_median_equals_its_definition(
    a: NDArray[Any], window: int, step: int, anchor: tuple[int, int], mode: str, nan: str
) -> None:
    result = rolling_median(a, window, step=step, anchor=anchor, mode=mode, nan=nan)
    assert_same(result, by_definition(a, window, step, anchor, mode, nan))


@given(views(nan=True), sizes, modes)
@settings(deadline=None, max_examples=30)
def test_rolling_median_of_step_one_is_the_median_filter(
    a: NDArray[Any], window: int | tuple[int, int], mode: str
) -> None:
    assert_same(rolling_median(a, window, mode=mode), median_filter(a, window, mode=mode))


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_rolling_median_of_a_window_is_that_of_the_image(data: st.DataObject) -> None:
    image = np.random.default_rng(4).normal(size=(70, 60)).astype(np.float32)
    step, window = data.draw(st.integers(2, 11)), data.draw(st.integers(1, 12))
    y0, x0 = data.draw(st.integers(0, 40)), data.draw(st.integers(0, 30))
    y1, x1 = data.draw(st.integers(y0 + 1, 70)), data.draw(st.integers(x0 + 1, 60))
    whole = rolling_median(image, window, step=step)
    part = rolling_median(image[y0:y1, x0:x1], window, step=step, anchor=(-y0, -x0))
    halo = step + window // 2
    # Borders of the image need no halo.
    top, left = y0 + halo * (y0 > 0), x0 + halo * (x0 > 0)
    bottom, right = y1 - halo * (y1 < 70), x1 - halo * (x1 < 60)
    if top < bottom and left < right:
        assert_same(part[top - y0 : bottom - y0, left - x0 : right - x0], whole[top:bottom, left:right])


def test_rolling_median_says_wrong_arguments() -> None:
    with pytest.raises(TypeError, match="float32 or float64"):
        rolling_median(np.zeros((5, 5), int), 3)
    with pytest.raises(ValueError, match="step=0"):
        rolling_median(np.zeros((5, 5)), 3, step=0)
    a = np.zeros((5, 5))
    with pytest.raises(ValueError, match="overlaps"):
        rolling_median(a, 3, step=2, out=a)


# Sizes with and without a network, and images that fill few lanes, many, and several blocks.
LEVELS_CHECK = """
import numpy as np, scipy.ndimage, sys
import starnet._core
from starnet.filters import median_filter
from test_filters_median import by_brute_force

assert starnet._core.__simd__ == sys.argv[1]
rng = np.random.default_rng(5)
modes = ["reflect", "mirror", "nearest", "wrap", "constant"]
for dtype in ["f4", "f8", "u1", "i1", "u2", "i2", "u4", "i4", "i8"]:
    for size in [1, 2, 3, 4, 5, 7, 8, 10, 11, 14, 15, 16, 17, 21]:
        for i, shape in enumerate([(1, 1), (1, 90), (33, 2), (20, 130), (150, 70)]):
            if size * shape[0] > 1600 or size > 11 and dtype not in ("f4", "u2"):
                continue
            a = (rng.normal(size=shape) * 50).clip(-120, 120).astype(dtype) if "i" in dtype or "f" in dtype else (
                rng.integers(0, 200, shape).astype(dtype))
            mode = modes[(size + i) % 5]
            if mode == "reflect" and size // 2 / min(shape) >= 4:
                mode = "nearest"
            expected = scipy.ndimage.median_filter(a, size=size, mode=mode)
            np.testing.assert_array_equal(median_filter(a, size, mode=mode), expected)
            wide = np.repeat(a, 2, axis=1)[:, ::2]
            np.testing.assert_array_equal(median_filter(wide, size, mode=mode, threads=2), expected)
for dtype in ["f4", "f8"]:
    for size in [2, 3, 5, 7, 10]:
        a = rng.normal(size=(70, 140)).astype(dtype).round(1)
        a[rng.random(a.shape) < 0.05] = np.nan
        a[:30, :40] = np.nan
        a[40:, 70:] = np.where(rng.random((30, 70)) < 0.5, np.inf, -0.0)
        a[50, :] = -np.inf
        for nan in ["ignore", "propagate"]:
            expected = by_brute_force(a, (size, size), "mirror", nan)
            np.testing.assert_array_equal(median_filter(a, size, mode="mirror", nan=nan), expected)
"""


@pytest.mark.parametrize("level", ["scalar", "avx2", "avx512"])
def test_every_level_equals_scipy_and_brute_force(level: str) -> None:
    environment = {**os.environ, "STARNET_SIMD": level, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", LEVELS_CHECK, level]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if "this processor has not" in done.stderr:
        pytest.skip(f"this processor has no {level}")
    assert done.returncode == 0, done.stderr


def test_an_unknown_level_is_said() -> None:
    environment = {**os.environ, "STARNET_SIMD": "mmx"}
    command = [sys.executable, "-c", "import starnet._core"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "STARNET_SIMD=mmx: unknown; use scalar" in done.stderr
