"""Targets of the instance head against their definition, pixel by pixel."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from starnet.train.targets import targets


def brute(labels: NDArray[np.int64], sigma: float) -> NDArray[np.float64]:
    """The definition, without a shortcut."""
    ny, nx = labels.shape
    y, x = np.mgrid[:ny, :nx]
    padded = np.pad(labels, 1)
    py, px = (axis - 1 for axis in np.mgrid[: ny + 2, : nx + 2])
    heat, depth = np.zeros((2, ny, nx))
    for number in set(labels.ravel().tolist()) - {0}:
        own = list(zip(*np.nonzero(labels == number), strict=True))
        oy, ox = py[padded != number], px[padded != number]
        distance = {(j, i): np.sqrt(((oy - j) ** 2 + (ox - i) ** 2).min()) for j, i in own}
        deepest = max(distance.values())
        for place, value in distance.items():
            depth[place] = value / deepest
        cy, cx = (math.floor(Fraction(int(sum(axis)), len(own)) + Fraction(1, 2)) for axis in zip(*own, strict=True))
        if labels[cy, cx] != number:
            cy, cx = next(place for place in own if distance[place] == deepest)
        heat = np.maximum(heat, np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * sigma**2)))
    return np.stack([labels > 0, heat, depth])


@given(seed=st.integers(0, 2**32 - 1), ny=st.integers(1, 24), nx=st.integers(1, 24), sigma=st.floats(0.5, 3))
@settings(max_examples=40, deadline=None)
def test_the_definition(seed: int, ny: int, nx: int, sigma: float) -> None:
    rng = np.random.default_rng(seed)
    labels = np.zeros((ny, nx), np.int64)
    for number in rng.permutation(20)[:6] + 1:  # overlapping boxes and discs: pieces, rings, touching objects
        y, x = rng.uniform(0, (ny, nx))
        reach = rng.uniform(0.5, 7)
        grid = np.mgrid[:ny, :nx] - np.array([y, x])[:, None, None]
        labels[np.hypot(*grid) < reach] = number * (rng.random() < 0.8)
    found = targets(labels, heat_sigma=sigma)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, brute(labels, sigma), atol=2e-6)


def test_a_ring_has_its_centre_on_itself() -> None:
    y, x = np.mgrid[-15:16, -15:16]
    ring = ((np.hypot(y, x) < 12) & (np.hypot(y, x) > 7)).astype(np.int32)
    _, heat, depth = targets(ring)
    centre = np.unravel_index(heat.argmax(), heat.shape)
    assert ring[centre] == 1
    assert depth[centre] == 1


def test_no_objects() -> None:
    assert not targets(np.zeros((5, 7), np.int32)).any()


def test_a_width_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="heat_sigma=0: must be more than 0"):
        targets(np.ones((3, 3), int), heat_sigma=0)


def test_numbers_do_not_matter() -> None:
    labels = np.zeros((30, 40), np.int64)
    labels[3:9, 4:12], labels[20:27, 30:38], labels[9:15, 5:9] = 1, 2, 3
    huge = np.array([0, 7, 2_000_000_000, 50])[labels]
    np.testing.assert_array_equal(targets(huge), targets(labels))
    np.testing.assert_array_equal(targets(np.where(labels == 0, -1, labels)), targets(labels))
