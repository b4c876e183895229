"""Artefacts are the same in every window, and as many as asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet.simulate import Field, load_preset
from starnet.simulate.artefacts import _COLUMNS, _GAPS, _TRAILS, Artefacts, without_artefacts
from starnet.simulate.noise import Noise
from starnet.simulate.presets import PRESETS, Preset
from starnet.tiles import Box

CLEAN = replace(without_artefacts(PRESETS["candels-deep"]), bands=PRESETS["candels-deep"].bands)  # but for saturation
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


@pytest.mark.parametrize("kind", ["columns", "trails", "gaps", "ghosts"])
def test_marks_are_as_many_as_asked_for(kind: str) -> None:
    """Each is drawn by the cell that its centre lies in: over 400 Mpix, the mean is the rate."""
    artefacts = Artefacts(replace(CLEAN, **{kind: 0.5}), 7)
    whole = Box(0, 20480, 0, 20480)
    if kind == "ghosts":
        centres = [(y, x) for _, y, x, *_ in artefacts._ghosts(0, whole)]
    else:
        table = {"columns": _COLUMNS, "trails": _TRAILS, "gaps": _GAPS}[kind]
        centres = [(mark.y, mark.x) for mark in artefacts._marks(table, 0.5, 0, whole)]
    inside = sum(0 <= y < 20480 and 0 <= x < 20480 for y, x in centres)
    assert inside == pytest.approx(200, abs=5 * np.sqrt(200))


def test_telescopes_far_from_earth_see_no_satellites() -> None:
    assert {name for name, preset in PRESETS.items() if preset.trails} == {"candels-deep", "candels-wide", "rubin"}


def test_sources_and_labels_do_not_know_of_artefacts() -> None:
    """All but gaps: what was not observed cannot be seen."""
    preset = replace(MARRED, gaps=0.0)
    fields = [Field(one, (160, 160), 4) for one in (preset, without_artefacts(preset))]
    (marred, truth), (clean, truth_of_clean) = (one.window_and_truth(one.whole) for one in fields)
    np.testing.assert_array_equal(marred.model, clean.model)
    np.testing.assert_array_equal(marred.labels, clean.labels)
    for name in set(truth.rows.dtype.names or ()) - {"saturated"}:
        np.testing.assert_array_equal(truth.rows[name], truth_of_clean.rows[name])
    assert (marred.images != clean.images).any()
    assert (marred.weights == 0).any()
    assert (clean.weights > 0).all()
    assert not truth_of_clean.rows["saturated"].any()


def test_a_bright_star_saturates_unless_clean() -> None:
    preset = load_preset("candels-deep")
    band, box = preset.bands[0], Box(0, 1, 0, 1)
    brightest = 10 ** (-0.4 * (0.0 - band.zero_point))  # 0th mag in one pixel
    for one, cut in ((preset, True), (without_artefacts(preset), False)):
        image, weight = np.full((1, 1), brightest, np.float32), np.ones((1, 1), np.float32)
        Artefacts(one, 1).damage(0, box, image, weight)
        assert (weight[0, 0] == 0) == cut == (image[0, 0] < 0.99 * brightest)
