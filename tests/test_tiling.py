"""Tiles against numpy.pad, and blending against the same sums in NumPy."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from image_strategies import FLOATS, INTEGERS, assert_same, views
from starnet.filters.tiling import extract_tiles, stitch, taper
from starnet.tiles import Box, TileGrid

MARGIN = 40

windows = st.tuples(st.integers(1, 15), st.integers(1, 15))
corners = st.lists(st.tuples(st.integers(-25, 20), st.integers(-25, 20)), min_size=1, max_size=5)


def boxes_of(origins: list[tuple[int, int]], shape: tuple[int, int]) -> list[Box]:
    return [Box(y, y + shape[0], x, x + shape[1]) for y, x in origins]


def by_pad(a: NDArray[Any], boxes: list[Box], mode: str, **options: Any) -> NDArray[Any]:
    padded = np.pad(a, MARGIN, mode=mode, **options)  # type: ignore[call-overload]
    return np.stack([padded[box.shift(MARGIN, MARGIN).slices] for box in boxes])


def by_numpy(tiles: NDArray[Any], boxes: list[Box], shape: tuple[int, int], weights: NDArray[Any]) -> NDArray[Any]:
    """Weighted sums in the order of the tiles, float32 throughout."""
    ny, nx = (n + 2 * MARGIN for n in shape)
    total, weight = np.zeros((ny, nx), np.float32), np.zeros((ny, nx), np.float32)
    for tile, box in zip(tiles, boxes, strict=True):
        where = box.shift(MARGIN, MARGIN).slices
        total[where] += weights * tile
        weight[where] += weights
    with np.errstate(invalid="ignore"):
        return (total / weight)[MARGIN:-MARGIN, MARGIN:-MARGIN]


@given(
    views(FLOATS + INTEGERS, nan=True),
    windows,
    corners,
    st.sampled_from(["reflect", "symmetric", "edge", "wrap", "constant"]),
)
@settings(deadline=None)
def test_tiles_equal_numpy_pad(
    a: NDArray[Any], shape: tuple[int, int], origins: list[tuple[int, int]], mode: str
) -> None:
    boxes = boxes_of(origins, shape)
    assert_same(extract_tiles(a, boxes, mode=mode), by_pad(a, boxes, mode), signed_zeros=True)


def test_constants_bands_masks_and_out() -> None:
    cube = np.arange(2 * 5 * 6, dtype=np.int16).reshape(2, 5, 6)[:, ::-1]
    boxes = boxes_of([(-2, -3), (3, 4), (50, 0)], (4, 5))
    expected = np.stack([by_pad(band, boxes[:2], "constant", constant_values=-7) for band in cube], axis=1)
    frame = np.zeros((3, 2, 4, 9), np.int16)
    out = frame[..., 2:7]
    assert extract_tiles(cube, boxes, mode="constant", cval=-7, out=out) is out
    assert_same(out[:2], expected)
    assert np.all(out[2] == -7)
    assert not frame[..., :2].any()
    mask = np.eye(5, dtype=bool)
    assert_same(extract_tiles(mask, boxes[:2], mode="edge"), by_pad(mask, boxes[:2], "edge"))
    noise = np.random.default_rng(1).normal(size=(5, 6)).astype(">f4")
    assert_same(extract_tiles(noise, boxes[:2]), by_pad(noise.astype("f4"), boxes[:2], "reflect"))


@given(st.data(), windows, corners, st.tuples(st.integers(1, 20), st.integers(1, 20)), st.booleans())
@settings(deadline=None)
def test_stitching_equals_numpy(
    data: st.DataObject,
    window: tuple[int, int],
    origins: list[tuple[int, int]],
    shape: tuple[int, int],
    weighted: bool,
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    tiles = rng.normal(size=(len(origins), *window)).astype(np.float32)
    tiles[rng.random(tiles.shape) < 0.02] = np.nan
    weights = rng.random(window, dtype=np.float32) * (rng.random(window) < 0.9)
    boxes = boxes_of(origins, window)
    expected = by_numpy(tiles, boxes, shape, weights if weighted else np.ones(window, np.float32))
    for threads in (1, 2, 5):
        result = stitch(tiles, boxes, shape, weights=weights if weighted else None, threads=threads)
        assert_same(result, expected, signed_zeros=True)
    strided = np.repeat(tiles, 2, axis=2)[:, ::-1, ::2][:, ::-1]
    assert_same(stitch(strided, boxes, shape, weights=weights if weighted else None), result)


def test_an_image_cut_and_blended_is_itself() -> None:
    image = np.random.default_rng(2).integers(0, 2**10, (50, 70)).astype(np.float32)
    boxes = boxes_of([(tile.core.y0 - 4, tile.core.x0 - 4) for tile in TileGrid(image.shape, core=16)], (24, 24))
    tiles = extract_tiles(np.stack([image, -image]), boxes)
    assert_same(stitch(tiles, boxes, image.shape), np.stack([image, -image]))
    blended = stitch(tiles[:, 0], boxes, image.shape, weights=taper((24, 24), 8))
    np.testing.assert_allclose(blended, image, rtol=1e-6)


def test_taper_falls_off_and_is_never_zero() -> None:
    np.testing.assert_allclose(taper((1, 7), 3)[0], np.array([1, 2, 3, 4, 3, 2, 1]) / 4 * 0.25)
    np.testing.assert_array_equal(taper((2, 3), 0), np.ones((2, 3)))
    assert taper((9, 9), 100).min() > 0
    assert taper((9, 9), 2).dtype == np.float32


def test_concurrent_calls_equal_serial_ones() -> None:
    tiles = np.random.default_rng(3).normal(size=(9, 30, 30)).astype(np.float32)
    boxes = boxes_of([(y, x) for y in (0, 20, 40) for x in (0, 20, 40)], (30, 30))
    barrier = threading.Barrier(4)

    def run(_: int) -> NDArray[Any]:
        barrier.wait()
        return stitch(extract_tiles(stitch(tiles, boxes, (70, 70)), boxes), boxes, (70, 70))

    expected = stitch(extract_tiles(stitch(tiles, boxes, (70, 70)), boxes), boxes, (70, 70))
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(run, range(4)):
            assert_same(result, expected)


def test_wrong_arguments_are_said() -> None:
    a = np.zeros((4, 5), np.float32)
    two = boxes_of([(0, 0), (1, 1)], (2, 2))
    with pytest.raises(ValueError, match="expected one shape"):
        extract_tiles(a, [*two, Box(0, 3, 0, 3)])
    with pytest.raises(ValueError, match="no boxes"):
        extract_tiles(a, [])
    with pytest.raises(ValueError, match="'reflect', 'symmetric'"):
        extract_tiles(a, two, mode="mirror")
    with pytest.raises(ValueError, match="does not fit into uint8"):
        extract_tiles(a.astype(np.uint8), two, cval=-1)
    with pytest.raises(ValueError, match="no pixels to go on with"):
        extract_tiles(np.zeros((0, 5)), two)
    with pytest.raises(ValueError, match="pixels away"):
        extract_tiles(a, boxes_of([(2**60, 0)], (2, 2)))
    with pytest.raises(ValueError, match="expected 2 or 3"):
        extract_tiles(np.zeros(3), two)
    with pytest.raises(ValueError, match="overlaps"):
        extract_tiles(a, two, out=a.reshape(5, 2, 2)[:2])
    tiles = np.zeros((2, 2, 2), np.float32)
    with pytest.raises(ValueError, match="3 boxes"):
        stitch(tiles, [*two, two[0]], (4, 5))
    with pytest.raises(ValueError, match="weights have shape"):
        stitch(tiles, two, (4, 5), weights=np.ones((3, 2)))
    with pytest.raises(ValueError, match="finite and not negative"):
        stitch(tiles, two, (4, 5), weights=-np.ones((2, 2)))
    with pytest.raises(ValueError, match="overlaps"):
        stitch(tiles, two, (2, 2), out=tiles[0])
    with pytest.raises(ValueError, match="width=-1"):
        taper((3, 3), -1)
