"""Normalisation and pictures against NumPy's float32 arithmetic."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from image_strategies import assert_same, views
from starnet.filters import normalize, stack_rgb

numbers = st.floats(-1e6, 1e6, width=32)
limits = st.tuples(numbers, numbers).map(sorted)


def by_numpy(a: NDArray[Any], lo: float, hi: float) -> NDArray[Any]:
    low, high = np.float32(lo), np.float32(hi)
    if low == high:
        return np.where(np.isnan(a), a, np.float32(0))
    return (np.clip(a, low, high) - low) / (high - low)


def as_bytes(picture: NDArray[Any]) -> NDArray[Any]:
    return np.floor(np.nan_to_num(picture) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


@given(views(("f4",), nan=True), limits)
@settings(deadline=None)
def test_normalize_equals_numpy(a: NDArray[Any], lohi: list[float]) -> None:
    assert_same(normalize(a, *lohi), by_numpy(a, *lohi))


@given(views(("i2", "u1"), side=5), limits)
@settings(deadline=None, max_examples=20)
def test_normalize_takes_integers(a: NDArray[Any], lohi: list[float]) -> None:
    assert_same(normalize(a, *lohi), by_numpy(a.astype(np.float32), *lohi))


def test_normalize_cubes_band_by_band() -> None:
    cube = np.random.default_rng(1).normal(size=(3, 40, 50)).astype(np.float32)[:, ::-2, 5:]
    lo, hi = [-1, -2, 0], [1.0, 2.0, 0.5]
    expected = np.stack([by_numpy(band, *pair) for band, *pair in zip(cube, lo, hi, strict=True)])
    out = np.empty((3, 20, 50), np.float32)[:, :, 5:]
    assert normalize(cube, lo, hi, out=out) is out
    assert_same(out, expected)
    assert_same(normalize(cube.astype(">f4"), lo, hi), expected)
    assert_same(normalize(cube, -1, 1), by_numpy(cube, -1, 1))


@given(st.data(), st.booleans(), st.lists(limits, min_size=3, max_size=3))
@settings(deadline=None)
def test_rgb_equals_numpy(data: st.DataObject, as_float: bool, lohi: list[list[float]]) -> None:
    red = data.draw(views(("f4",), nan=True))
    green = np.roll(red, 1)
    bands = [red, green, red[::-1, ::-1]]
    lo, hi = [pair[0] for pair in lohi], [pair[1] for pair in lohi]
    expected = np.stack([by_numpy(band, *pair) for band, pair in zip(bands, lohi, strict=True)], axis=-1)
    if as_float:
        assert_same(stack_rgb(bands, lo=lo, hi=hi), expected)
    else:
        assert_same(stack_rgb(bands, lo=lo, hi=hi, dtype=np.uint8), as_bytes(expected))


def test_rgb_into_a_window_of_a_larger_picture() -> None:
    cube = np.random.default_rng(2).normal(size=(3, 6, 7)).astype(np.float32)
    frame = np.full((8, 9, 3), 9, np.uint8)
    out = frame[1:7, 1:8]
    assert stack_rgb(cube, lo=-1, hi=1, out=out, dtype=np.uint8) is out
    assert_same(out, stack_rgb(cube, lo=-1, hi=1, dtype=np.uint8))
    assert np.all(frame[[0, -1]] == 9)
    assert np.all(frame[:, [0, -1]] == 9)


def test_threads_make_no_difference() -> None:
    cube = np.random.default_rng(3).normal(size=(3, 301, 200)).astype(np.float32)
    for threads in (1, 2, 5):
        assert_same(normalize(cube, -1, 1, threads=threads), by_numpy(cube, -1, 1))
        picture = stack_rgb(cube, lo=-1, hi=1, dtype=np.uint8, threads=threads)
        assert_same(picture, as_bytes(np.moveaxis(by_numpy(cube, -1, 1), 0, -1)))


def test_concurrent_calls_equal_serial_ones() -> None:
    cube = np.random.default_rng(4).normal(size=(3, 90, 100)).astype(np.float32)
    barrier = threading.Barrier(4)

    def run(_: int) -> NDArray[Any]:
        barrier.wait()
        return stack_rgb(cube, lo=-1, hi=1, threads=2)

    with ThreadPoolExecutor(4) as pool:
        for picture in pool.map(run, range(4)):
            assert_same(picture, stack_rgb(cube, lo=-1, hi=1))


def test_wrong_arguments_are_said() -> None:
    a = np.zeros((4, 5), np.float32)
    cube = np.zeros((3, 4, 5), np.float32)
    for lo, hi in [(1, 0), (np.nan, 1), (0, np.inf)]:
        with pytest.raises(ValueError, match="both must be finite and lo <= hi"):
            normalize(a, lo, hi)
        with pytest.raises(ValueError, match="both must be finite and lo <= hi"):
            stack_rgb(cube, lo=lo, hi=hi)
    with pytest.raises(ValueError, match="overlaps"):
        normalize(a, 0, 1, out=a)
    with pytest.raises(ValueError, match="one for each of the 3 bands"):
        normalize(cube, [0, 0], 1)
    with pytest.raises(ValueError, match="expected 2 or 3"):
        normalize(np.zeros(3), 0, 1)
    with pytest.raises(ValueError, match="three of the same shape"):
        stack_rgb(cube[:2], lo=0, hi=1)
    with pytest.raises(ValueError, match="three of the same shape"):
        stack_rgb([a, a, a.T], lo=0, hi=1)
    with pytest.raises(TypeError, match="float32 or uint8"):
        stack_rgb(cube, lo=0, hi=1, dtype=np.float64)
    with pytest.raises(TypeError, match="expected float32"):
        stack_rgb(cube, lo=0, hi=1, out=np.empty((4, 5, 3), np.uint8))
    with pytest.raises(ValueError, match="contiguous"):
        stack_rgb(cube, lo=0, hi=1, out=np.empty((3, 4, 5), np.float32).transpose(1, 2, 0))
    with pytest.raises(ValueError, match="overlaps"):
        stack_rgb(cube, lo=0, hi=1, out=cube.reshape(4, 5, 3))
