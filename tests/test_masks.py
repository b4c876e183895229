"""Masks as runs, against dense arrays; SAM's own figures; objects that do not overlap, whatever the order."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from starnet.masks import Decoded, Masks, resolve
from starnet.masks.drawn import areas_of
from starnet.prompts import Prompts
from starnet.tiles import Box

SHAPE = (40, 50)


def disks(rng, n, shape=SHAPE, largest=9):
    """Dense masks of n disks."""
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    y, x, r = rng.uniform(0, shape[0], n), rng.uniform(0, shape[1], n), rng.uniform(0.6, largest, n)
    return np.hypot(yy - y[:, None, None], xx - x[:, None, None]) <= r[:, None, None]


def as_masks(dense, rng, windows=None):
    """Masks of dense arrays, with figures drawn at random."""
    n = len(dense)
    edges = np.diff(dense.astype(np.int8), axis=2, prepend=0, append=0)
    number, y, x0 = np.nonzero(edges == 1)
    runs = np.column_stack([y, x0, np.nonzero(edges == -1)[2], number + 1]).astype(np.int32)
    whole = np.tile(np.array([0, dense.shape[1], 0, dense.shape[2]], np.int32), (n, 1))
    figures = rng.random((2, n)).astype(np.float32)
    return Masks(
        runs, np.zeros(n, np.int8), np.arange(n), *figures, areas_of(runs, n), whole if windows is None else windows
    )


def painted(masks, shape=SHAPE):
    out = np.zeros((len(masks), *shape), bool)
    for y, x0, x1, number in masks.runs:
        assert not out[number - 1, y, x0:x1].any()
        out[number - 1, y, x0:x1] = True
    return out


def decoded(logits, origins=None):
    n, m = logits.shape[:2]
    iou = np.linspace(0.1, 0.9, n * m, dtype=np.float32).reshape(n, m)
    return Decoded(logits.astype(np.float32), iou, np.zeros((n, 2), np.int64) if origins is None else origins)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_runs_are_the_pixels_of_the_piece_that_was_asked_for(seed, m):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 5))
    window = Box(3, 27, 5, 41)
    logits = ndimage.gaussian_filter(rng.normal(size=(n, m, *window.shape)), (0, 0, 2, 2)).astype(np.float32) - 0.02
    at = rng.uniform((5, 3), (40, 26), (n, 2))
    prompts = Prompts.of_points("peaks", at, rng.integers(0, 99, n))
    masks = Masks.from_logits(decoded(logits), prompts, window, SHAPE)
    found, expected = iter(painted(masks)), 0
    for i, k in np.ndindex(n, m):
        pieces, count = ndimage.label(logits[i, k] > 0, np.ones((3, 3)))
        if not count:
            continue
        x, y = np.floor(prompts.anchors[i] + 0.5).astype(int)
        number = pieces[y - 3, x - 5] or np.bincount(pieces.ravel())[1:].argmax() + 1
        one = next(found)
        assert np.array_equal(one[window.slices], pieces == number)
        assert one.sum() == (pieces == number).sum() == masks.area[expected]
        assert masks.ids[expected] == prompts.ids[i]
        expected += 1
    assert expected == len(masks)
    assert (masks.windows == [3, 27, 5, 41]).all()


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1))
def test_what_is_not_cut_out_is_what_would_be_thrown_away(seed, iou, stability):
    rng = np.random.default_rng(seed)
    logits = 10 * ndimage.gaussian_filter(rng.normal(size=(4, 3, 20, 24)), (0, 0, 3, 3)).astype(np.float32)
    prompts = Prompts.of_points("grid", rng.uniform(0, 20, (4, 2)), rng.integers(0, 99, 4))
    given = decoded(logits), prompts, Box(0, 20, 0, 24), SHAPE
    every = Masks.from_logits(*given)
    some = Masks.from_logits(*given, least_iou=iou, least_stability=stability)
    expected = every.select((every.predicted_iou >= iou) & (every.stability >= stability))
    for one in fields(Masks):
        assert np.array_equal(getattr(some, one.name), getattr(expected, one.name)), one.name


def test_stability_is_that_of_segment_anything():
    torch = pytest.importorskip("torch")
    from segment_anything.utils.amg import calculate_stability_score

    rng = np.random.default_rng(1)
    logits = ndimage.gaussian_filter(rng.normal(size=(6, 2, 30, 30)), (0, 0, 3, 3)).astype(np.float32) * 20
    prompts = Prompts.of_points("grid", np.full((6, 2), 15.0))
    masks = Masks.from_logits(decoded(logits), prompts, Box(0, 30, 0, 30), (30, 30), offset=0.7)
    assert len(masks) == 12
    theirs = calculate_stability_score(torch.from_numpy(logits), 0.0, 0.7).numpy()
    np.testing.assert_allclose(masks.stability, theirs.ravel(), rtol=1e-6)


def test_masks_of_small_windows_lie_where_they_begin_and_end_with_the_mosaic():
    logits = np.ones((2, 1, 8, 8), np.float32)
    prompts = Prompts.of_points("clicks", np.array([[12.0, 11.0], [47.0, 37.0]]))
    origins = np.array([[4, 6], [26, 37]])
    masks = Masks.from_logits(decoded(logits, origins), prompts, Box(6, 40, 5, 50), SHAPE)
    one, two = painted(masks)
    assert one[10:18, 11:19].all()
    assert one.sum() == 64
    assert two[32:40, 42:50].all()
    assert two.sum() == 64
    assert masks.windows.tolist() == [[10, 18, 11, 19], [32, 40, 42, 50]]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_select_and_concatenate_keep_pixels_and_figures_together(seed):
    rng = np.random.default_rng(seed)
    dense = disks(rng, 7)
    masks = as_masks(dense[dense.any(axis=(1, 2))], rng)
    dense = painted(masks)
    which = rng.permutation(len(masks))[: len(masks) // 2 + 1]
    some = masks.select(which)
    assert np.array_equal(painted(some), dense[which])
    both = Masks.concatenate([some, masks])
    assert np.array_equal(painted(both), np.concatenate([dense[which], dense]))
    assert np.array_equal(both.stability, np.concatenate([masks.stability[which], masks.stability]))
    assert len(Masks.concatenate([])) == 0


def reference(masks, dense, max_overlap=0.7):
    """`resolve` without joins, on dense arrays; masks by their rows."""
    order = np.lexsort((-masks.area, -masks.stability, -masks.predicted_iou))
    kept: list[int] = []
    for i in order:
        same = False
        for j in kept:
            shared = (dense[i] & dense[j]).sum()
            small, large = sorted((masks.area[i], masks.area[j]))
            same |= shared > max_overlap * (small + large - shared)
            same |= shared > 0.5 * small and small >= 0.25 * large
        if not same:
            kept.append(i)
    owner = np.full(dense.shape[1:], -1)
    for i in sorted(kept, key=lambda i: -masks.area[i]):
        owner[dense[i]] = i
    return owner


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 14))
def test_objects_are_those_of_the_rules_in_any_order(seed, n):
    rng = np.random.default_rng(seed)
    dense = disks(rng, n)
    masks = as_masks(dense[dense.any(axis=(1, 2))], rng)
    # Areas that differ leave no ties for the reference to break.
    masks = masks.select(np.unique(masks.area, return_index=True)[1])
    dense = painted(masks)
    owner = reference(masks, dense)
    objects = resolve(masks, SHAPE)
    pixels = painted(objects)
    assert (pixels.sum(axis=0) <= 1).all()
    assert np.array_equal(objects.area, pixels.sum(axis=(1, 2)))
    for one, number in zip(pixels, objects.ids, strict=True):
        assert np.array_equal(one, owner == np.flatnonzero(masks.ids == number)[0])
    assert pixels.sum() == (owner >= 0).sum()
    first = [np.flatnonzero(one.ravel())[0] for one in pixels]
    assert first == sorted(first)
    again = resolve(masks.select(rng.permutation(len(masks))), SHAPE)
    assert all(np.array_equal(getattr(objects, f.name), getattr(again, f.name)) for f in fields(Masks))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_masks_cut_by_their_windows_are_joined(seed):
    """A disk over a seam, drawn by both tiles as far as their windows reach, is the whole disk again."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    disk = np.hypot(yy - rng.uniform(15, 25), xx - 25) <= rng.uniform(8.5, 12)
    left, right = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    left[:, :31], right[:, 19:] = True, True
    other = np.hypot(yy - 3, xx - 45) <= 2.5
    windows = np.array([[0, 40, 0, 31], [0, 40, 19, 50], [0, 40, 19, 50]], np.int32)
    masks = as_masks(np.stack([disk & left, disk & right, other]), rng, windows)
    objects = resolve(masks, SHAPE)
    assert len(objects) == 2
    pixels = painted(objects)
    assert any(np.array_equal(one, disk) for one in pixels)
    assert objects.windows[np.argmax(objects.area)].tolist() == [0, 40, 0, 50]


def test_masks_of_one_window_are_not_joined():
    dense = np.zeros((2, *SHAPE), bool)
    dense[0, 10:20, 20:31] = dense[1, 10:20, 26:31] = True
    masks = as_masks(dense, np.random.default_rng(0), np.array([[0, 40, 0, 31]] * 2, np.int32))
    masks = replace(masks, predicted_iou=np.array([0.9, 0.5], np.float32))
    assert resolve(masks, SHAPE).area.tolist() == [110]  # the second lies in the first, and says the same


def test_a_small_object_on_a_large_one_keeps_its_pixels():
    rng = np.random.default_rng(0)
    dense = np.zeros((2, *SHAPE), bool)
    dense[0, 5:35, 5:35] = True
    dense[1, 10:14, 10:14] = True
    masks = as_masks(dense, rng)
    assert sorted(resolve(masks, SHAPE).area.tolist()) == [16, 900 - 16]
