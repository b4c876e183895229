"""Prompts: what they are, and how they are made of pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from starnet.prompts import KINDS, Prompts, centres, grid, local_maxima, peaks
from starnet.tiles import Box, TileGrid

SHAPE = (90, 110)


def sky(seed=0, shape=SHAPE):
    """A detection image of round sources in sigma."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    image = rng.normal(0, 0.3, shape)
    for _ in range(25):
        y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        image += rng.uniform(5, 40) * np.exp(-((yy - y) ** 2 + (xx - x) ** 2) / 2 / 1.6**2)
    return image.astype(np.float32)


def equal(a, b):
    return all(
        np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name == "boxes")
        for name in ("kind", "ids", "points", "labels", "boxes")
    )


def test_anchors_are_first_positive_points_or_the_middle_of_boxes():
    prompts = Prompts(
        np.array([5, 5, 4], np.int8),
        np.arange(3),
        np.array([[[9, 9], [1, 2]], [[3, 4], [0, 0]], [[0, 0], [0, 0]]], np.float32),
        np.array([[0, 1], [1, -1], [-1, -1]], np.int8),
        np.array([[np.nan] * 4, [0, 0, 9, 9], [10, 20, 15, 30]], np.float32),
    )
    assert prompts.anchors.tolist() == [[1, 2], [3, 4], [12.5, 25]]
    assert prompts.anchors.dtype == np.float32
    assert prompts.inside(Box(2, 5, 0, 4)).tolist() == [True, True, False]
    moved = prompts.shift(2, -1)
    assert moved.anchors.tolist() == [[3, 1], [5, 3], [14.5, 24]]
    assert equal(moved.shift(-2, 1), prompts)


def test_a_prompt_needs_a_point_or_a_box_and_arrays_that_fit():
    with pytest.raises(ValueError, match="a positive point or a box"):
        Prompts.of_boxes("boxes", np.full((1, 4), np.nan))
    with pytest.raises(ValueError, match=r"ids has the shape \(2,\) instead of \(1,\)"):
        Prompts.of_points("grid", np.zeros((1, 2)), np.arange(2))


def test_concatenating_makes_room_for_the_one_with_most_points():
    clicks = Prompts(
        np.array([KINDS.index("clicks")], np.int8), np.array([7]), np.ones((1, 3, 2), np.float32),
        np.array([[1, 0, 0]], np.int8), np.full((1, 4), np.nan, np.float32),
    )  # fmt: skip
    one = Prompts.of_points("peaks", np.array([[3.0, 4.0]]))
    boxes = Prompts.of_boxes("boxes", np.array([[1.0, 2, 3, 4]]))
    both = Prompts.concatenate([one, clicks, boxes])
    assert both.labels.tolist() == [[1, -1, -1], [1, 0, 0], [-1, -1, -1]]
    assert both.anchors.tolist() == [[3, 4], [1, 1], [2, 3]]
    assert [KINDS[k] for k in both.kind] == ["peaks", "clicks", "boxes"]
    assert len(Prompts.concatenate([])) == 0


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(5, 60), st.integers(0, 59), st.integers(0, 59))
def test_the_grid_does_not_depend_on_tiles(spacing, core, oy, ox):
    whole = grid(Box(0, SHAPE[0], 0, SHAPE[1]), SHAPE, spacing)
    tiles = TileGrid(SHAPE, core, 0, (oy, ox))
    parts = Prompts.concatenate([grid(tile.core, SHAPE, spacing) for tile in tiles])
    assert equal(parts.select(np.argsort(parts.ids)), whole)
    y, x = np.divmod(whole.ids, SHAPE[1])
    assert np.array_equal(whole.points[:, 0], np.column_stack([x, y]))
    assert (y % spacing == spacing // 2).all()
    assert len(whole) == sum(y % spacing == spacing // 2 for y in range(90)) * sum(
        x % spacing == spacing // 2 for x in range(110)
    )


def test_the_grid_of_a_window_is_that_of_segment_anything():
    from segment_anything.utils.amg import build_point_grid

    theirs = build_point_grid(32) * 1024
    ours = grid(Box(0, 1024, 0, 1024), (1024, 1024), 32)
    assert np.array_equal(ours.points[:, 0], theirs)


@pytest.mark.parametrize("with_boxes", [False, True])
def test_peaks_of_compact_sources_do_not_depend_on_tiles(with_boxes):
    image = sky()
    box = Box(0, SHAPE[0], 0, SHAPE[1])
    whole = peaks(image, box, box, SHAPE, threshold=5, with_boxes=with_boxes)
    assert len(whole) > 15
    for core, origin in ((37, (0, 0)), (50, (13, 29))):
        parts = [
            peaks(image[tile.window.slices], tile.window, tile.core, SHAPE, threshold=5, with_boxes=with_boxes)
            for tile in TileGrid(SHAPE, core, 30, origin)
        ]
        together = Prompts.concatenate(parts)
        assert equal(together.select(np.argsort(together.ids)), whole)


def test_peaks_are_local_maxima_above_the_threshold_and_their_boxes_hold_them():
    image = sky(3)
    box = Box(0, SHAPE[0], 0, SHAPE[1])
    found = peaks(image, box, box, SHAPE, threshold=6, with_boxes=True)
    x, y = found.points[:, 0].astype(int).T
    padded = np.pad(image, 1, constant_values=-9)
    around = np.max([padded[y + dy, x + dx] for dy in range(3) for dx in range(3)], axis=0)
    assert (image[y, x] == around).all()
    assert (image[y, x] > 6).all()
    assert ((found.boxes[:, :2] <= found.points[:, 0]) & (found.points[:, 0] <= found.boxes[:, 2:])).all()


def test_a_crowded_object_does_not_cost_others_their_peaks():
    """More branches than `sep` has room for by default, in one object; two stars that touch, in another."""
    yy, xx = np.mgrid[:360, :330]
    image = np.where(xx < 260, 20 + 15 * np.cos(yy * 2 * np.pi / 6) * np.cos(xx * 2 * np.pi / 6), 0)
    for x in (300, 307):
        image = image + 100 * np.exp(-((yy - 100) ** 2 + (xx - x) ** 2) / 2 / 2**2)
    box = Box(0, 360, 0, 330)
    found = peaks(image.astype(np.float32), box, box, box.shape)
    right = found.points[found.points[:, 0, 0] > 270, 0]
    assert right.tolist() == [[300, 100], [307, 100]]


@settings(deadline=None)
@given(
    npst.arrays(np.float32, npst.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.sampled_from(
        [0.0, 0.2, 0.5, 0.7, 1.0])),
    st.integers(1, 3),
)  # fmt: skip
def test_maxima_are_those_of_the_definition(heights, distance):
    expected = []
    for y, x in np.ndindex(heights.shape):
        others = [
            (heights[v, u], (v, u))
            for v in range(max(0, y - distance), min(heights.shape[0], y + distance + 1))
            for u in range(max(0, x - distance), min(heights.shape[1], x + distance + 1))
            if (v, u) != (y, x)
        ]
        exceeded = any(h > heights[y, x] or (h == heights[y, x] and at < (y, x)) for h, at in others)
        if heights[y, x] > np.float32(0.3) and not exceeded:
            expected.append((y, x))
    ys, xs = local_maxima(heights, 0.3, distance)
    assert list(zip(ys.tolist(), xs.tolist(), strict=True)) == expected


def test_a_plateau_has_one_maximum():
    heights = np.zeros((20, 30), np.float32)
    heights[4:9, 3:25] = 1
    assert [at.tolist() for at in local_maxima(heights, 0.3, 1)] == [[4], [3]]
    with pytest.raises(ValueError, match="distance=0: must be at least 1 pixel"):
        local_maxima(heights, 0.3, 0)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(15, 60), st.integers(0, 50), st.integers(1, 4))
def test_centres_do_not_depend_on_tiles(seed, core, origin, distance):
    # Few heights: many are the same, across seams too.
    heights = (np.random.default_rng(seed).integers(0, 40, SHAPE) / 40).astype(np.float32)
    box = Box(0, SHAPE[0], 0, SHAPE[1])
    whole = centres(heights, box, box, SHAPE, distance=distance)
    assert len(whole) > 10
    parts = [
        centres(heights[tile.window.slices], tile.window, tile.core, SHAPE, distance=distance)
        for tile in TileGrid(SHAPE, core, distance, (origin, origin // 2))
    ]
    together = Prompts.concatenate(parts)
    assert equal(together.select(np.argsort(together.ids)), whole)
    assert set(whole.kind) == {KINDS.index("centres")}


def test_empty_sky_has_no_peaks():
    box = Box(0, 20, 0, 20)
    assert len(peaks(np.zeros((20, 20), np.float32), box, box, (20, 20))) == 0
    with pytest.raises(ValueError, match="threshold=0: must be positive"):
        peaks(np.zeros((20, 20), np.float32), box, box, (20, 20), threshold=0)
    with pytest.raises(ValueError, match="spacing=0"):
        grid(box, (20, 20), 0)
