"""Connected components against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from starnet.filters import join_tiles, label


@given(st.integers(0, 10**6), st.sampled_from([1, 2]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_label_equals_scipy(seed: int, connectivity: int, strided: bool) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 40, 2)) < rng.random()
    if strided:
        mask = mask[::-1, ::2]
    labels, count = label(mask, connectivity=connectivity, threads=1 + seed % 4)
    expected, n = ndimage.label(mask, ndimage.generate_binary_structure(2, connectivity))
    assert count == n
    np.testing.assert_array_equal(labels, expected)


@given(st.integers(0, 10**6), st.integers(1, 15), st.integers(1, 15))
@settings(max_examples=60, deadline=None)
def test_joined_tiles_equal_scipy_on_the_whole(seed: int, step_y: int, step_x: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 40, 2)) < 0.55
    ys, xs = list(range(step_y, mask.shape[0], step_y)), list(range(step_x, mask.shape[1], step_x))
    labels = np.zeros(mask.shape, np.int32)
    offset = 0
    for rows in np.split(np.arange(mask.shape[0]), ys):
        for columns in np.split(np.arange(mask.shape[1]), xs):
            part, count = label(mask[np.ix_(rows, columns)])
            labels[np.ix_(rows, columns)] = np.where(part, part + offset, 0)
            offset += count
    count = join_tiles(labels, ys, xs)
    expected, n = ndimage.label(mask, np.ones((3, 3)))
    assert count == n
    np.testing.assert_array_equal(labels, expected)


def test_arguments_are_checked() -> None:
    out = np.empty((3, 4), np.int32)
    assert label(np.ones((3, 4)), out=out)[0] is out
    with pytest.raises(ValueError, match="connectivity"):
        label(np.ones((3, 4)), connectivity=8)
    with pytest.raises(ValueError, match="out has shape"):
        label(np.ones((3, 5)), out=out)
    with pytest.raises(ValueError, match="seams"):
        join_tiles(out, [3], [])
    with pytest.raises(ValueError, match="negative"):
        join_tiles(np.full((3, 4), -1, np.int32), [1], [])
