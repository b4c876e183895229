"""Masks made disjoint: joins over seams, readings that stack, SAM's own suppression; against dense arrays."""

from __future__ import annotations

import tracemalloc
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet.masks import Masks, resolve, suppress
from starnet.masks.runs import Runs, shared_pixels, slabs
from starnet.tiles import TileGrid
from test_masks import SHAPE, as_masks, disks, painted


def equal(one, two):
    return all(np.array_equal(getattr(one, field.name), getattr(two, field.name)) for field in fields(Masks))


def tiled(dense, tiles, rng):
    """What each tile draws of each object whose middle its core holds, and others that see a good part of it."""
    drawn, windows = [], []
    for tile in tiles:
        window = np.zeros(SHAPE, bool)
        window[tile.window.slices] = True
        for one in dense:
            middle = np.argwhere(one).mean(axis=0).round().astype(int)
            seen = one & window
            own = tile.core.y0 <= middle[0] < tile.core.y1 and tile.core.x0 <= middle[1] < tile.core.x1
            if seen.any() and (own or seen.sum() > 0.4 * one.sum()):
                drawn.append(seen)
                windows.append((tile.window.y0, tile.window.y1, tile.window.x0, tile.window.x1))
    return as_masks(np.array(drawn).reshape(-1, *SHAPE), rng, np.array(windows, np.int32).reshape(-1, 4))


def same(a, b, max_overlap=0.7):
    shared = (a & b).sum()
    small, large = sorted((a.sum(), b.sum()))
    return shared > max_overlap * (small + large - shared) or (shared > 0.5 * small and small >= 0.25 * large)


def inside(window):
    box = np.zeros(SHAPE, bool)
    box[window[0] : window[1], window[2] : window[3]] = True
    return box


def is_cut(one, window):
    """Whether it has a neighbour beyond the window, in the mosaic."""
    y, x = np.nonzero(one)
    return bool(
        ((y == window[0]) & (y > 0) | (y == window[1] - 1) & (y < SHAPE[0] - 1)).any()
        or ((x == window[2]) & (x > 0) | (x == window[3] - 1) & (x < SHAPE[1] - 1)).any()
    )


def reference(masks, dense):
    """`resolve` as its docstring has it; the sets of pixels."""
    best = sorted(range(len(dense)), key=lambda i: (-masks.predicted_iou[i], -masks.stability[i]))
    windows = masks.windows.tolist()
    cut = [is_cut(one, window) for one, window in zip(dense, windows, strict=True)]
    alive: list[int] = []
    for i in best:
        if not (cut[i] and any(cut[j] and windows[i] == windows[j] and same(dense[i], dense[j]) for j in alive)):
            alive.append(i)
    groups = [{i} for i in alive]
    for i in alive:
        for j in alive:
            both = inside(windows[i]) & inside(windows[j])
            a, b = dense[i] & both, dense[j] & both
            if cut[i] and windows[i] != windows[j] and (a & b).sum() > 0.5 * (a | b).sum():
                linked = [group for group in groups if i in group or j in group]
                groups = [group for group in groups if group not in linked] + [set().union(*linked)]
    groups.sort(key=lambda group: min(best.index(i) for i in group))
    whole = [np.any([dense[i] for i in group], axis=0) for group in groups]
    kept: list[np.ndarray] = []
    for one in whole:
        if not any(same(one, other) for other in kept):
            kept.append(one)
    owner = np.full(SHAPE, -1)
    for i in sorted(range(len(kept)), key=lambda i: (-kept[i].sum(), -i)):
        owner[kept[i]] = i
    found = [owner == i for i in range(len(kept)) if (owner == i).any()]
    return sorted(found, key=lambda one: np.flatnonzero(one)[0])


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(12, 40), st.integers(0, 8), st.integers(0, 30))
def test_objects_of_tiles_are_those_of_the_rules_in_any_order(seed, core, halo, origin):
    rng = np.random.default_rng(seed)
    dense = disks(rng, 9, largest=12)
    masks = tiled(dense[dense.any(axis=(1, 2))], TileGrid(SHAPE, core, halo, (origin, origin)), rng)
    objects = resolve(masks, SHAPE)
    expected = reference(masks, painted(masks))
    assert len(objects) == len(expected)
    assert all(np.array_equal(one, two) for one, two in zip(painted(objects), expected, strict=True))
    assert equal(resolve(masks.select(rng.permutation(len(masks))), SHAPE), objects)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60))
def test_stacked_masks_are_compared_in_batches_as_if_at_once(seed, n):
    """More than are compared at first, many of which say the same."""
    rng = np.random.default_rng(seed)
    dense = disks(rng, 5)[rng.integers(0, 5, n)] & (rng.random((n, *SHAPE)) < 0.99)
    masks = as_masks(dense[dense.any(axis=(1, 2))], rng)
    expected = reference(masks, painted(masks))
    assert all(np.array_equal(*two) for two in zip(painted(resolve(masks, SHAPE)), expected, strict=True))


def test_readings_of_one_background_take_no_more_memory_than_they_are():
    n, side = 200, 300
    y, x0 = (axis.ravel().astype(np.int32) for axis in np.mgrid[:side, : side - 9 : 10])
    runs = np.column_stack([np.tile(one, n) for one in (y, x0, x0 + 8)] + [np.repeat(np.arange(1, n + 1), len(y))])
    figures = np.random.default_rng(0).random((2, n)).astype(np.float32)
    area = np.full(n, 8 * len(y))
    whole = np.tile(np.array([0, side, 0, side], np.int32), (n, 1))
    masks = Masks(runs.astype(np.int32), np.zeros(n, np.int8), np.arange(n), *figures, area, whole)
    tracemalloc.start()
    objects = resolve(masks, (side, side))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert objects.area.tolist() == [8 * len(y)]
    assert objects.predicted_iou == masks.predicted_iou.max()
    # All pairs, 20 000 of 9000 runs, would be 4 GB.
    assert peak < 25 * masks.runs.nbytes


def test_the_best_of_two_readings_in_one_window_is_joined():
    dense = np.zeros((3, *SHAPE), bool)
    dense[0, 10:20, 20:30] = dense[1, 9:21, 20:30] = dense[2, 10:20, 20:40] = True
    windows = np.array([[0, 40, 0, 30], [0, 40, 0, 30], [0, 40, 20, 50]], np.int32)
    masks = as_masks(dense, np.random.default_rng(0), windows)
    masks = replace(masks, predicted_iou=np.array([0.9, 0.8, 0.7], np.float32))
    objects = resolve(masks, SHAPE)
    assert np.array_equal(painted(objects)[0], dense[2])
    assert objects.ids.tolist() == [0]


def test_rows_that_end_and_begin_with_an_object_are_two_runs():
    dense = np.zeros((2, *SHAPE), bool)
    dense[0, 3:9], dense[1, 5, 10:20] = True, True
    objects = resolve(as_masks(dense, np.random.default_rng(0)), SHAPE)
    assert (objects.runs[:, 2] <= SHAPE[1]).all()
    assert sorted(objects.area.tolist()) == [10, 290]


def test_nothing_makes_nothing():
    assert len(resolve(Masks.none(), SHAPE)) == len(suppress(Masks.none())) == 0


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.floats(0.2, 0.9))
def test_suppression_is_that_of_segment_anything(seed, n, max_overlap):
    torch, ops = pytest.importorskip("torch"), pytest.importorskip("torchvision.ops")

    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 5, n)
    dense = disks(rng, 5)[centres] & (rng.random((n, *SHAPE)) < 0.9)
    masks = as_masks(dense[dense.any(axis=(1, 2))], rng)
    boxes = []
    for one in painted(masks):
        y, x = np.nonzero(one)
        boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
    corners = torch.tensor(np.array(boxes).reshape(-1, 4), dtype=torch.float64)
    theirs = ops.nms(corners, torch.from_numpy(masks.predicted_iou).double(), max_overlap).tolist()
    assert suppress(masks, max_overlap).ids.tolist() == masks.ids[theirs].tolist()


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3000))
def test_shared_pixels_are_those_of_dense_masks_however_they_are_cut(seed, room):
    rng = np.random.default_rng(seed)
    a, b = disks(rng, 6), disks(rng, 5)
    a, b = (as_masks(one[one.any(axis=(1, 2))], rng) for one in (a, b))
    i, j, pixels = shared_pixels(a.along(SHAPE[1]), b.along(SHAPE[1]), SHAPE[1])
    expected = np.einsum("ayx,byx->ab", painted(a).astype(int), painted(b).astype(int))
    found = np.zeros_like(expected)
    found[i - 1, j - 1] = pixels
    assert np.array_equal(found, expected)
    assert np.array_equal(np.argwhere(expected), np.column_stack([i - 1, j - 1]))
    runs = a.along(SHAPE[1])
    pieces = list(slabs([(runs.start, runs.stop - runs.start)], SHAPE[1], room))
    inside = [(runs.start >= low) & (runs.start < high) for low, high in pieces]
    assert (np.sum(inside, axis=0) == 1).all()
    for (low, high), some in zip(pieces, inside, strict=True):
        assert low % SHAPE[1] == high % SHAPE[1] == 0
        rows = np.unique(runs.start[some] // SHAPE[1])
        widest = np.bincount(runs.start // SHAPE[1], runs.stop - runs.start).max()
        assert (runs.stop - runs.start)[some].sum() <= room + widest or len(rows) == 1


def test_pieces_of_runs_are_runs():
    runs = Runs(np.array([1, 2]), np.array([0, 5]), np.array([3, 9]))
    assert len(runs[:1]) == len(runs[np.array([False, True])]) == 1
