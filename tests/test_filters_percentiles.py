"""Percentiles against NumPy, whole and in chunks."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from image_strategies import FLOATS, INTEGERS, assert_same, views
from starnet.filters import StreamingPercentiles, percentiles

percentages = st.floats(0, 100) | st.sampled_from([0, 50, 100, 2.5, 97.5])
questions = (
    percentages
    | st.lists(percentages, max_size=5)
    | st.lists(percentages, min_size=4, max_size=4).map(lambda q: np.array(q).reshape(2, 2))
    | st.lists(percentages, min_size=1, max_size=3).map(lambda q: np.array(q, np.float32))
    | percentages.map(np.float32)
)


def by_numpy(a: NDArray[Any], q: Any) -> Any:
    """NumPy's answer, without what it says of infinities, wrapping integers and images that are all NaN."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanpercentile(a, q)


def in_chunks(chunks: list[NDArray[Any]], q: Any, **options: Any) -> StreamingPercentiles:
    statistics = StreamingPercentiles(q, dtype=chunks[0].dtype, **options)
    for _ in statistics.passes():
        for chunk in chunks:
            statistics.add(chunk)
    return statistics


@given(views(FLOATS, nan=True) | views(INTEGERS), questions)
@settings(deadline=None, max_examples=200)
def test_equals_numpy(a: NDArray[Any], q: Any) -> None:
    # Where zeros of both signs stand side by side, NumPy's partition takes either.
    mixed = a.dtype.kind == "f" and len({bool(s) for s in np.signbit(a[a == 0])}) == 2
    result = percentiles(a, q)
    expected = by_numpy(a, q)
    assert type(result) is type(expected)
    assert_same(result, expected, signed_zeros=not mixed)


@given(views(FLOATS, nan=True) | views(INTEGERS), st.lists(percentages, min_size=1, max_size=5), st.data())
@settings(deadline=None, max_examples=60)
def test_chunks_make_no_difference(a: NDArray[Any], q: list[float], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, a.shape[0]), max_size=4)))
    chunks = data.draw(st.permutations(np.split(a, cuts)))
    statistics = in_chunks(chunks, q)
    assert_same(statistics.result(), percentiles(a, q), signed_zeros=True)
    assert statistics.count == np.sum(~np.isnan(a))


@pytest.mark.parametrize(("dtype", "passes"), [("u1", 1), ("i2", 1), ("f4", 2), ("i4", 2), ("f8", 4), ("u8", 4)])
def test_number_of_passes(dtype: str, passes: int) -> None:
    statistics = StreamingPercentiles(50, dtype=dtype)
    numbers = []
    for number in statistics.passes():
        numbers.append(number)
        statistics.add(np.arange(9, dtype=dtype))
    assert numbers == list(range(passes))
    assert statistics.result() == 4


def test_threads_make_no_difference() -> None:
    a = np.random.default_rng(1).normal(size=(900, 1000)).astype(np.float32)
    a[::7, ::11] = np.nan
    expected = by_numpy(a, [0.1, 50, 99])
    for view in (a, a.T, a[::-1], a.reshape(-1), a.reshape(3, 300, 1000)[:, :, ::-1].transpose(1, 0, 2)):
        for threads in (1, 2, 5):
            assert_same(percentiles(view, [0.1, 50, 99], threads=threads), expected)


def test_strided_cubes() -> None:
    cube = np.random.default_rng(2).integers(0, 99, (4, 6, 8, 10)).astype(np.float32)
    part = cube[::2, 1:4, ::-1, 3:9].swapaxes(0, 2)
    assert_same(percentiles(part, [10, 90]), by_numpy(part, [10, 90]))
    assert_same(percentiles(np.float32(3), 50), by_numpy(np.array(3, np.float32), 50))


def test_many_percentages_at_once() -> None:
    a = np.random.default_rng(3).normal(size=(50, 60)).astype(np.float32)
    q = np.linspace(0, 100, 101)
    assert_same(percentiles(a, q), by_numpy(a, q))


def test_real_pixels(shared_data: Path) -> None:
    image = fits.getdata(shared_data / "xdf-demo" / "xdf_f606w.fits", "SCI")
    native = image.astype(np.float32)
    assert image.dtype.byteorder == ">"
    for q in (2.5, [2.5, 97.5]):
        assert_same(percentiles(image, q), by_numpy(native, q))
        assert_same(in_chunks([native[:100], native[100:, :7], native[100:, 7:]], q).result(), by_numpy(native, q))


@pytest.mark.parametrize("a", [np.full((2, 3), np.nan, np.float32), np.empty((0, 4), np.float32)])
def test_nothing_to_count_is_nan_without_a_warning(a: NDArray[Any]) -> None:
    assert np.isnan(percentiles(a, 50))
    assert_same(percentiles(a, [1, 99]), np.full(2, np.nan, np.float32))
    assert_same(in_chunks([a], [1, 99]).result(), np.full(2, np.nan, np.float32))


def test_infinities_can_be_skipped() -> None:
    a = np.array([np.inf, 1, 2, -np.inf, 3, np.nan], np.float32)
    statistics = in_chunks([a], 100.0, skip_infinite=True)
    assert (statistics.count, statistics.result()) == (3, 3)
    assert in_chunks([a], 50.0).count == 5


def test_chunks_may_come_from_several_threads() -> None:
    chunks = list(np.random.default_rng(4).normal(size=(16, 40, 50)).astype(np.float32))
    statistics = StreamingPercentiles([5, 95])
    with ThreadPoolExecutor(4) as pool:
        for _ in statistics.passes():
            list(pool.map(statistics.add, chunks))
    assert_same(statistics.result(), percentiles(np.stack(chunks), [5, 95]))


def test_passes_must_see_the_same_pixels() -> None:
    statistics = StreamingPercentiles(50)
    statistics.add(np.zeros((3, 3), np.float32))
    with pytest.raises(ValueError, match="not there yet"):
        statistics.result()
    assert not statistics.next_pass()
    statistics.add(np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match="saw 6 pixels, the first one 9"):
        statistics.next_pass()


def test_wrong_arguments_are_said() -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        percentiles(np.zeros(3), [50, 101])
    with pytest.raises(ValueError, match="between 0 and 100"):
        percentiles(np.zeros(3), np.nan)
    with pytest.raises(TypeError, match="complex"):
        percentiles(np.zeros(3, complex), 50)
    with pytest.raises(ValueError, match="at most 16"):
        StreamingPercentiles(np.linspace(0, 100, 17))
    with pytest.raises(TypeError, match="float16"):
        StreamingPercentiles(50, dtype=np.float16)
    statistics = StreamingPercentiles(50)
    with pytest.raises(TypeError, match="float64, expected float32"):
        statistics.add(np.zeros(3))
    for _ in statistics.passes():
        statistics.add(np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="all passes are done"):
        statistics.add(np.zeros(3, np.float32))


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["sky", "zeros", "constant", "nan", "infinite", "steps", "gradient", "two"]),
    dtype=st.sampled_from([np.float32, np.float64, np.int32, ">f4", ">f8"]),
    q=st.sampled_from([[2.5, 97.5], [0, 15.865525393145708, 50, 100], 50, [30.0, 30.01], [0, 100]]),
    strided=st.booleans(),
)
def test_images_large_enough_to_be_sampled(seed: int, kind: str, dtype: Any, q: Any, strided: bool) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(0, 100, (300, 517))
    there = rng.random(a.shape) < 0.3
    if kind == "gradient":
        a = np.sort(a, axis=None).reshape(a.shape)
    elif kind == "steps":
        a = np.round(a / 100)
    elif kind in ("constant", "two"):
        a = np.where(there & (kind == "two"), 3.0, 7.0)
    else:
        a[there] = {"sky": 1e6, "zeros": 0, "nan": np.nan, "infinite": -np.inf}[kind]
    if np.dtype(dtype).kind == "i":
        a = np.nan_to_num(a, neginf=-1e9)
    a = a.astype(dtype)
    a = a[::2, ::-1] if strided else a
    got = percentiles(a, q, threads=1 + seed % 3)
    np.testing.assert_array_equal(got, by_numpy(a.astype(a.dtype.newbyteorder("=")), q))
