"""Artefacts are the same in every window, and as many as asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet.simulate.artefacts import Artefacts
from starnet.simulate.noise import Noise
from starnet.simulate.presets import PRESETS, Preset
from starnet.tiles import Box

CLEAN = replace(PRESETS["candels-deep"], sky=0.0, ghosts=0.0, gaps=0.0, cosmic_rays=0.0, columns=0.0, trails=0.0)
MARRED = replace(CLEAN, sky=0.2, ghosts=3.0, gaps=3.0, cosmic_rays=300.0, columns=20.0, trails=1.0)
WHOLE = Box(-200, 400, 900, 1400)


def everything(preset: Preset, box: Box) -> list[np.ndarray]:
    artefacts = Artefacts(preset, 3)
    image, weight = np.zeros(box.shape, np.float32), np.ones(box.shape, np.float32)
    artefacts.damage(1, box, image, weight)
    return [artefacts.sky(1, box), artefacts.coverage(1, box), image, weight]


@settings(max_examples=15, deadline=None)
@given(y=st.integers(-200, 390), x=st.integers(900, 1390), ny=st.integers(1, 200), nx=st.integers(1, 200))
def test_any_window_has_the_same_bits(y: int, x: int, ny: int, nx: int) -> None:
    box = Box(y, y + ny, x, x + nx).intersect(WHOLE)
    for part, whole in zip(everything(MARRED, box), everything(MARRED, WHOLE), strict=True):
        np.testing.assert_array_equal(part, whole[box.slices_in(WHOLE)])


def test_all_of_it_is_there_and_can_be_turned_off() -> None:
    sky, covered, image, weight = everything(MARRED, WHOLE)
    assert sky.std() > 0
    assert 0.3 < covered.mean() < 1
    assert (image > 0).any()
    assert (weight == 0).any()
    sky, covered, image, weight = everything(CLEAN, WHOLE)
    assert not sky.any()
    assert covered.all()
    assert not image.any()
    assert (weight == 1).all()


def test_sky_has_its_rms() -> None:
    preset = replace(CLEAN, sky=0.2)
    sigma = Noise(preset, 0).reference[0]
    samples = [Artefacts(preset, seed).sky(0, Box(0, 9000, 5, 6)).std() for seed in range(30)]
    assert np.sqrt(np.mean(np.square(samples))) == pytest.approx(0.2 * sigma, rel=0.25)


def test_cosmic_rays_are_as_many_as_asked_for() -> None:
    """Few enough not to touch: each is a connected piece."""
    from scipy.ndimage import label

    box = Box(0, 1024, 0, 1024)
    counts = []
    for seed in range(4):
        image, weight = np.zeros(box.shape, np.float32), np.ones(box.shape, np.float32)
        Artefacts(replace(CLEAN, cosmic_rays=40.0), seed).damage(0, box, image, weight)
        counts.append(label(image > 0, np.ones((3, 3)))[1])
    assert sum(counts) == pytest.approx(160, abs=45)


def test_saturated_pixels_are_cut_and_have_no_weight() -> None:
    band = CLEAN.bands[0]
    limit = 10 ** (-0.4 * (band.saturation - band.zero_point))
    image, weight = np.full((2, 2), limit / 2, np.float32), np.ones((2, 2), np.float32)
    image[0, 1] = 3 * limit
    Artefacts(CLEAN, 1).damage(0, Box(0, 2, 0, 2), image, weight)
    np.testing.assert_allclose(image, [[limit / 2, limit], [limit / 2, limit / 2]], rtol=1e-6)
    np.testing.assert_array_equal(weight, [[1, 0], [1, 1]])


def test_bands_of_a_camera_share_their_gaps() -> None:
    artefacts, box = Artefacts(replace(CLEAN, gaps=5.0), 2), Box(0, 600, 0, 600)
    np.testing.assert_array_equal(artefacts.coverage(1, box), artefacts.coverage(2, box))
    assert not np.array_equal(artefacts.coverage(0, box), artefacts.coverage(1, box))
