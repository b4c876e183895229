"""Injection and recovery by their definitions: what is painted, what is found again, what follows from that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet.errors import StarnetError
from starnet.evaluate.coco import MaskLabels
from starnet.evaluate.labels import ArrayLabels
from starnet.evaluate.overlaps import find_overlaps
from starnet.inject import curves, images
from starnet.inject.recovery import Together, recover
from starnet.inject.scene import Scene, _half_light_radius, default_range
from starnet.inject.sources import Pool, Sources, magnitude
from starnet.inject.summary import summarize
from starnet.inject.target import Target, adapt
from starnet.masks.runs import Runs, find_runs
from starnet.mosaic import Mosaic
from starnet.recipe import Recipe
from starnet.simulate.truth import detection, detection_weights
from starnet.tiles import Box

SIDE = 320
RANGE = (23.5, 25.5)


def write_band(path: Path, seed: int, zero_point: float | None = 25.0, **cards: Any) -> Path:
    """Noise with a sky, one weight map, a corner without data."""
    rng = np.random.default_rng(seed)
    data = rng.normal(5, 0.01, (SIDE, SIDE)).astype(np.float32)
    weight = np.full(data.shape, 1e4, np.float32)
    weight[:40, :60] = 0
    header = fits.Header([("FILTER", path.stem), ("BUNIT", "electron/s"), *cards.items()])
    if zero_point is not None:
        header["ABMAGZP"] = zero_point
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(data, header, name="SCI"), fits.ImageHDU(weight, name="WHT")]
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    folder = tmp_path_factory.mktemp("mosaic")
    mosaic = Mosaic.open([write_band(folder / f"{name}.fits", i) for i, name in enumerate(("F160W", "F606W"))])
    survey, _ = adapt(mosaic, preset="candels-deep", pixel_scale=0.06)
    return Target(mosaic, survey, Recipe.fit(mosaic, threads=1))


@pytest.fixture(scope="module")
def pool(target: Target) -> Pool:
    return Pool.fill(target, RANGE, "flat", 3)


@pytest.fixture(scope="module")
def scene(target: Target, pool: Pool) -> Scene:
    """Sources far from each other, each brighter than the noise somewhere."""
    chosen = pool.choose(80, 1)
    compact = np.flatnonzero((chosen.sources["re"] < 6) & (magnitude(target, chosen) < RANGE[1] - 1))[:9]
    assert len(compact) == 9
    chosen = chosen.take(compact)
    y, x = np.divmod(np.arange(9), 3)
    chosen.sources["y"], chosen.sources["x"] = 70.3 + 90 * y, 70.8 + 90 * x
    return Scene(target, chosen)


# What is painted


def test_the_survey_has_the_mosaics_zero_points_and_pixels(target: Target) -> None:
    assert [band.name for band in target.preset.bands] == ["F160W", "F606W"]
    assert [band.zero_point for band in target.preset.bands] == [25, 25]
    assert target.preset.pixel_scale == 0.06
    assert 2 < target.fwhm() < 4  # WFC3: 0.15 to 0.2 arcsec


def test_sources_are_flat_in_magnitude_on_pixels_with_data_and_repeatable(target: Target, pool: Pool) -> None:
    chosen = pool.choose(3000, 1)
    mag = magnitude(target, chosen)
    assert mag.min() >= RANGE[0]
    assert mag.max() <= RANGE[1]
    counts = np.histogram(mag, 8, RANGE)[0]
    assert counts.min() > 0.75 * counts.mean()
    y, x = chosen.sources["y"], chosen.sources["x"]
    assert not ((y < 39.5) & (x < 59.5)).any()
    assert ((y < 60) & (x < 60)).any()
    assert len(chosen) == pytest.approx(3000 * (1 - 2400 / SIDE**2), abs=60)
    again, other = pool.choose(3000, 1), pool.choose(3000, 2)
    assert again.components.tobytes() == chosen.components.tobytes()
    assert other.components.tobytes() != chosen.components.tobytes()


def test_components_stay_with_their_sources(pool: Pool) -> None:
    rows = np.array([5, 3, 3, 0])
    taken = pool.sources.take(rows)
    for i, row in enumerate(rows.tolist()):
        own = taken.components[taken.components["source"] == i]
        before = pool.sources.components[pool.sources.components["source"] == row]
        np.testing.assert_array_equal(own["flux"], before["flux"])
    bright = taken.brighten(np.full(4, 2.0))
    np.testing.assert_allclose(bright.sources["flux"], 2 * taken.sources["flux"])
    np.testing.assert_allclose(bright.components["flux"], 2 * taken.components["flux"])
    both = Sources.concatenate([taken, bright])
    assert len(both) == 8
    assert set(both.components["source"]) == set(range(8))


def test_light_is_the_same_in_any_window_and_all_of_the_flux(scene: Scene) -> None:
    whole = scene.light(Box(0, SIDE, 0, SIDE))
    part = Box(33, 190, 50, 171)
    assert whole[:, *part.slices].tobytes() == scene.light(part).tobytes()
    # Wings beyond a stamp are below the noise, but not nothing.
    flux = scene.sources.sources["flux"].sum(axis=0)
    np.testing.assert_allclose(whole.sum(axis=(1, 2)), flux, rtol=0.05)


def test_masks_are_where_a_source_alone_exceeds_the_noise(scene: Scene, target: Target) -> None:
    seen = scene.look()
    box = Box(0, SIDE, 0, SIDE)
    sigma = target.recipe.apply(target.mosaic, box).sigma
    weights = detection_weights(np.float32(1) / (sigma * sigma))
    found = np.zeros((SIDE, SIDE), np.int64)
    for i in range(len(scene.sources)):
        alone = Scene(target, scene.sources.take(np.array([i])))
        mask = detection(alone.light(box), weights) > 1
        assert seen.area[i] == mask.sum() > 0
        found[mask] = i + 1
    np.testing.assert_array_equal(seen.masks.read(box), found)


@settings(max_examples=30, deadline=None)
@given(sigma=st.floats(1.5, 8))
def test_half_light_radius_of_a_gaussian(sigma: float) -> None:
    y, x = np.mgrid[-60:61, -60:61]
    image = np.exp(-(x**2 + y**2) / (2 * sigma**2)).astype(np.float32)
    assert _half_light_radius(image) == pytest.approx(sigma * np.sqrt(2 * np.log(2)), rel=0.02)


def test_the_default_range_goes_from_certain_to_hopeless(target: Target) -> None:
    bright, faint = default_range(target, 1)
    pool = Pool.fill(target, (bright, faint), "flat", 1)
    chosen = pool.choose(150, 1)
    snr, mag = Scene(target, chosen).look().snr, magnitude(target, chosen)
    assert np.median(snr[mag < bright + 1]) > 100
    assert np.median(snr[mag > faint - 0.5]) < 5


# Copies of the mosaic


def test_copies_hold_the_light_and_keep_what_the_header_says(scene: Scene, target: Target, tmp_path: Path) -> None:
    inputs = images.write_copies(target.mosaic, tmp_path, images.with_light(scene, {}, [1]), "write")
    copy = Mosaic.open(inputs, weights=images.weights(target.mosaic))
    box = Box(0, SIDE, 0, SIDE)
    before, after = target.mosaic.read(box), copy.read(box)
    np.testing.assert_array_equal(after.data, before.data + scene.light(box))
    np.testing.assert_array_equal(after.valid, before.valid)
    np.testing.assert_array_equal(after.ivar, before.ivar)
    assert [(b.name, b.zero_point, b.unit) for b in copy.bands] == [
        (b.name, b.zero_point, b.unit) for b in target.mosaic.bands
    ]
    for path in tmp_path.glob("*.fits"):
        with fits.open(path) as hdus:
            hdus.verify("exception")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f160w.fits", "f606w.fits"]


def test_flags_and_observation_go_along(tmp_path: Path) -> None:
    path = tmp_path / "image.fits"
    bits = np.zeros((50, 40), np.int16)
    bits[3, 4], bits[5, 6] = 1, 2
    quality = fits.Header([("MP_BAD", 0), ("MP_SAT", 1)])
    hdus = [
        fits.PrimaryHDU(header=fits.Header([("TELESCOP", "mine"), ("FILTER", "r")])),
        fits.ImageHDU(np.ones((50, 40), np.int16), fits.Header([("BSCALE", 2.0), ("CRVAL1", 3.5)]), name="SCI"),
        fits.ImageHDU(bits, quality, name="MASK"),
    ]
    fits.HDUList(hdus).writeto(path)
    mosaic = Mosaic.open([path])
    inputs = images.write_copies(mosaic, tmp_path / "copy", lambda _, pixels: pixels + np.float32(0.5), "write")
    assert images.weights(mosaic) == "none"
    copy = Mosaic.open(inputs)
    box = Box(0, 50, 0, 40)
    before, after = mosaic.read(box), copy.read(box)
    np.testing.assert_array_equal(after.data[before.valid], before.data[before.valid] + 0.5)
    np.testing.assert_array_equal(after.valid, before.valid)
    np.testing.assert_array_equal(after.saturated, before.saturated)
    assert not before.valid.all()
    assert before.saturated is not None
    assert before.saturated.any()
    with fits.open(tmp_path / "copy" / "r.fits") as written:
        assert (written[0].header["TELESCOP"], written["SCI"].header["CRVAL1"]) == ("mine", 3.5)


def test_photons_bring_their_noise(scene: Scene, target: Target) -> None:
    box = Box(0, 256, 0, SIDE)
    gain = 5.0
    pixels = np.zeros((2, *box.shape), np.float32)
    light = scene.light(box)
    noisy = images.with_light(scene, {"F606W": gain}, [7])(box, pixels.copy())
    np.testing.assert_array_equal(noisy[0], light[0])
    bright = light[1] > 0.001
    pull = (noisy[1] - light[1])[bright] / np.sqrt(light[1][bright] / gain)
    assert pull.std() == pytest.approx(1, abs=4 / np.sqrt(2 * bright.sum()))
    again = images.with_light(scene, {"F606W": gain}, [7])(box, pixels.copy())
    assert again.tobytes() == noisy.tobytes()


def test_an_image_turned_over_mirrors_at_the_sky(target: Target) -> None:
    box = Box(50, 150, 60, 200)
    pixels = target.mosaic.read(box).data
    turned = images.mirrored(target)(box, pixels.copy())
    level = target.recipe.skies[1].background.level(box)
    np.testing.assert_allclose((pixels[1] + turned[1]) / 2, level, rtol=1e-6)


# What is found again


def fake(scene: Scene, *, factor: float = 1.0) -> tuple[ArrayLabels, Table]:
    """A segmentation that knows the masks, and a catalog that knows the fluxes, times a factor."""
    seen = scene.look()
    labels = seen.masks.read(Box(0, SIDE, 0, SIDE))
    rows = scene.sources.sources
    ids = np.arange(1, len(rows) + 1)
    catalog = Table({"id": ids, "x": rows["x"], "y": rows["y"], "semimajor_axis": seen.size})
    for i, band in enumerate(scene.target.preset.bands):
        catalog[f"flux_{band.name}"] = rows["flux"][:, i] * factor
    return ArrayLabels(labels), catalog


def nothing(scene: Scene) -> tuple[ArrayLabels, Table]:
    labels, catalog = fake(scene)
    return ArrayLabels(np.zeros_like(labels.pixels)), catalog[:0]


def figures(scene: Scene, after: tuple[ArrayLabels, Table]) -> dict[str, Any]:
    recovery = recover(scene, scene.look(), *nothing(scene), *after)
    empty = np.zeros(0)
    return summarize(
        recovery.table, band="F160W", shape=(SIDE, SIDE), mag_range=RANGE, detections=recovery.detections,
        before=empty, mirrored=empty, resamples=5, seed=1,
    )  # fmt: skip


def test_a_perfect_segmentation_finds_all_without_bias(scene: Scene) -> None:
    found = figures(scene, fake(scene))
    assert (found["completeness"], found["n_recovered"], found["purity"]["injected_image"]) == (1, 9, 1)
    for one in found["bins"]["mag"]:
        assert one["mag_bias"] == pytest.approx(0, abs=1e-6)
        assert one["size_ratio"] == pytest.approx(1)
    assert found["completeness_limits"]["50"]["mag"] is None  # it is fainter than all that was injected


def test_a_known_shift_of_the_flux_is_the_bias(scene: Scene) -> None:
    found = figures(scene, fake(scene, factor=10 ** (-0.4 * 0.3)))
    assert [one["mag_bias"] for one in found["bins"]["mag"]] == pytest.approx([0.3] * len(found["bins"]["mag"]))


def test_a_blind_segmentation_finds_nothing(scene: Scene) -> None:
    found = figures(scene, nothing(scene))
    assert (found["completeness"], found["n_missed"], found["completeness_fit"]) == (0, 9, None)  # of nine sources
    assert found["purity"]["injected_image"] is None
    assert all(one["mag_bias"] is None for one in found["bins"]["mag"])
    assert found["completeness_limits"] == {
        "90": {"mag": None, "interval": None}, "50": {"mag": None, "interval": None},
    }  # fmt: skip


def test_what_lies_in_somebody_elses_detection_is_blended(scene: Scene) -> None:
    """A detection of the original swallows one source; another source swallows a detection of the original."""
    after, catalog = fake(scene)
    before = np.zeros_like(after.pixels)
    here = scene.look().masks.read(Box(0, SIDE, 0, SIDE)) == 1
    wide = np.zeros_like(here)
    wide[20:160, 20:120] = True
    wide &= (after.pixels == 0) | here
    before[wide] = 1
    after.pixels[wide] = 1  # not split off
    y, x = np.argwhere(after.pixels == 9)[0]
    before[y, x] = 2
    rows = Table({"id": [1, 2], "x": [70.0, x], "y": [90.0, y]})
    found = recover(scene, scene.look(), ArrayLabels(before), rows, after, catalog)
    assert found.table["outcome"].tolist() == ["blended"] + ["recovered"] * 8
    assert found.table["alone"].tolist() == [False] + [True] * 7 + [False]
    assert found.lost == 1
    assert found.detections == {
        "all": 9, "injected": 8, "original": 1, "of_injected": 0, "of_original": 0, "elsewhere": 0,
    }  # fmt: skip


def test_pieces_and_noise_are_counted_as_such(scene: Scene) -> None:
    after, catalog = fake(scene)
    after.pixels[300:303, 300:303] = 20
    rows = np.argwhere(after.pixels == 5)
    after.pixels[tuple(rows[-len(rows) // 12 :].T)] = 21
    found = recover(scene, scene.look(), *nothing(scene), after, catalog)
    assert found.detections == {
        "all": 11, "injected": 9, "original": 0, "of_injected": 1, "of_original": 0, "elsewhere": 1,
    }  # fmt: skip


def test_a_source_too_faint_for_a_mask_is_found_by_its_centre(scene: Scene) -> None:
    faint = Scene(scene.target, scene.sources.brighten(np.full(9, 1e-4)))
    seen = faint.look()
    assert not seen.area.any()
    after, catalog = fake(scene)
    found = recover(faint, seen, *nothing(scene), after, catalog)
    assert (found.table["outcome"] == "recovered").all()
    assert not found.table["iou"].any()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_injected_and_original_objects_overlap_as_if_each_were_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (11, 13)
    masks = rng.random((3, *shape)) < 0.4
    before, after = rng.integers(0, 4, shape), rng.integers(0, 5, shape)
    runs = [find_runs(mask.astype(np.int64) * (i + 1)) for i, mask in enumerate(masks)]
    label, start, stop = (np.concatenate([getattr(one, k) for one in runs]) for k in ("label", "start", "stop"))
    order = np.argsort(start, kind="stable")
    injected = MaskLabels("masks", shape, Runs(label[order], start[order], stop[order]))
    overlaps = find_overlaps(Together(injected, ArrayLabels(before), 3), ArrayLabels(after))
    truth = {**{i + 1: mask for i, mask in enumerate(masks)}, **{3 + k: before == k for k in (1, 2, 3)}}
    expected = {(t, p): n for t, mask in truth.items() for p in (1, 2, 3, 4) if (n := int((mask & (after == p)).sum()))}
    pairs = zip(overlaps.truth.label[overlaps.t].tolist(), overlaps.pred.label[overlaps.p].tolist(), strict=True)
    assert dict(zip(pairs, overlaps.pixels.tolist(), strict=True)) == expected


# Curves


def sample(curve: curves.Curve, n: int, seed: int) -> Table:
    rng = np.random.default_rng(seed)
    mag = rng.uniform(curve.brightest, curve.faintest, n)
    outcome = np.where(rng.random(n) < curve(mag), "recovered", "missed")
    y, x = rng.uniform(0, 500, (2, n))
    return Table({"mag": mag, "outcome": outcome, "x": x, "y": y})


@pytest.mark.parametrize("plateau", [1.0, 0.95])
def test_limits_are_those_of_the_curve_that_was_drawn_from(plateau: float) -> None:
    curve = curves.Curve(plateau, 0.9, 27.3, 0.4, 24.0, 29.0)
    found = curves.limits(sample(curve, 4000, 1), (500, 500), (24.0, 29.0), resamples=60, seed=2)
    for level in (0.9, 0.5):
        one, true = found["limits"][f"{100 * level:.0f}"], curve.limit(level)
        assert true is not None
        assert curve(np.array([true]))[0] == pytest.approx(level, abs=1e-3)
        assert one["interval"][0] <= one["mag"] <= one["interval"][1]
        assert one["mag"] == pytest.approx(true, abs=0.35 if level == 0.9 else 0.08)
        assert one["interval"][0] - 0.1 < true < one["interval"][1] + 0.1


def test_a_limit_that_is_not_passed_is_none() -> None:
    for outcome in ("recovered", "missed"):
        table = sample(curves.Curve(1.0, 1.0, 27.0, 0.3, 24.0, 29.0), 200, 1)
        table["outcome"] = outcome
        found = curves.limits(table, (500, 500), (24.0, 29.0), resamples=4, seed=1)
        assert found["fit"] is not None
        assert [one["mag"] for one in found["limits"].values()] == [None, None]
    crowded = curves.Curve(0.7, 1.0, 27.0, 0.3, 24.0, 29.0)
    found = curves.limits(sample(crowded, 2000, 3), (500, 500), (24.0, 29.0), resamples=10, seed=1)
    assert found["limits"]["90"] == {"mag": None, "interval": None}
    assert found["limits"]["50"]["mag"] == pytest.approx(crowded.limit(0.5), abs=0.15)
    assert curves.Curve(1.0, 1.0, 35.0, 0.3, 24.0, 29.0).limit(0.5) is None


def test_purity_is_what_the_image_turned_over_leaves() -> None:
    found = curves.purity(np.array([20.5, 21.5, 21.6, np.inf]), np.array([21.1, 22.5]), [20, 21, 22, 23])
    assert [(one["n"], one["n_mirrored"], one["purity"]) for one in found] == [(1, 0, 1), (2, 1, 0.5), (0, 1, None)]


# What the user has to mend


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    nameless = Mosaic.open([write_band(tmp_path / "F160W.fits", 1, zero_point=None)])
    with pytest.raises(StarnetError, match=r"F160W.fits .*--zero-point F160W="):
        adapt(nameless, preset="candels-deep", pixel_scale=0.06)
    survey, notes = adapt(nameless, preset="candels-deep", pixel_scale=0.06, zero_points={"F160W": 26.5})
    assert survey.bands[0].zero_point == 26.5
    assert "preset candels-deep" in notes[0]
    with pytest.raises(StarnetError, match="--pixel-scale"):
        adapt(nameless, preset="candels-deep", zero_points={"F160W": 26.5})
    with pytest.raises(StarnetError, match="no such band"):
        adapt(nameless, pixel_scale=0.06, zero_points={"K": 26.5})
    with pytest.raises(StarnetError, match=r"nowhere.fits"):
        adapt(nameless, pixel_scale=0.06, zero_points={"F160W": 26.5}, psf={"F160W": "nowhere.fits"})
    unknown = Mosaic.open([write_band(tmp_path / "clear.fits", 1)])
    with pytest.raises(StarnetError, match="no preset has the bands"):
        adapt(unknown, pixel_scale=0.06)
