"""Populations have the counts, sizes, classes and colours that are cited, and components that add up."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from scipy.stats import kstest

from starnet.simulate.anatomy import half_light
from starnet.simulate.population import (
    ARC,
    CLASSES,
    DISK,
    IRREGULAR,
    MERGER,
    SERSIC_INDICES,
    SPHEROID,
    STAR,
    Population,
    draw,
    galaxy_density,
)
from starnet.simulate.presets import HST_ACS, PRESETS, Band, Preset
from starnet.simulate.spectra import galaxy_colours, redshifts, star_colours

# The bands of 3D-HST's table.
PIVOTS = {
    "F435W": 0.433,
    "F606W": 0.592,
    "F775W": 0.769,
    "F850LP": 0.905,
    "F125W": 1.248,
    "F140W": 1.392,
    "F160W": 1.537,
}
SURVEY = Preset(
    "test", "", "", "", 0.06,
    tuple(Band(name, pivot, 0.1, 23.9, 28, HST_ACS, 0.05, 0.05) for name, pivot in PIVOTS.items()),
    faintest=27.5,
)  # fmt: skip


@cache
def sky() -> np.ndarray:
    """Sources of 67 square arcmin."""
    return np.concatenate([draw(SURVEY, 1, (i, j)).sources for i in range(8) for j in range(8)])


@pytest.fixture(params=PRESETS)
def population(request: pytest.FixtureRequest) -> Population:
    return draw(PRESETS[request.param], 5, (3, -2), 512)


def test_a_cell_is_the_same_again_and_unlike_others() -> None:
    preset = PRESETS["candels-deep"]
    one, again, other = draw(preset, 5, (3, -2)), draw(preset, 5, (3, -2)), draw(preset, 5, (-2, 3))
    np.testing.assert_array_equal(one.sources, again.sources)
    np.testing.assert_array_equal(one.components, again.components)
    assert not np.array_equal(one.sources["mag"][:20], other.sources["mag"][:20])


def test_sources_are_in_their_cell_and_components_add_up(population: Population) -> None:
    sources, components = population.sources, population.components
    assert ((sources["y"] >= 3 * 512 - 0.5) & (sources["y"] < 4 * 512 - 0.5)).all()
    assert ((sources["x"] >= -2 * 512 - 0.5) & (sources["x"] < -512 - 0.5)).all()
    total = np.zeros_like(sources["flux"])
    np.add.at(total, components["source"], components["flux"])
    np.testing.assert_allclose(total, sources["flux"], rtol=1e-12)
    assert (np.diff(components["source"]) >= 0).all()
    assert (np.bincount(components["source"], minlength=len(sources)) > 0).all()
    assert (components["flux"] >= 0).all()


def test_components_can_be_painted(population: Population) -> None:
    sources, components = population.sources, population.components
    point = components["n"] == 0
    np.testing.assert_array_equal(sources["kind"][components["source"]] == STAR, point)
    assert np.isin(components["n"][~point], SERSIC_INDICES).all()
    assert (components["re"][~point] > 0).all()
    assert ((components["q"] > 0) & (components["q"] <= 1)).all()


def test_pairs_touch_and_share_their_redshift() -> None:
    sources = draw(replace(SURVEY, faintest=26.0), 2, (0, 0), 4096).sources
    second = np.flatnonzero(sources["parent"] >= 0)
    first = sources["parent"][second]
    assert len(second) > 20
    assert (sources["kind"][second] == MERGER).all()
    assert (sources["kind"][first] == MERGER).all()
    assert (sources["z"][second] == sources["z"][first]).all()
    apart = np.hypot(sources["y"][second] - sources["y"][first], sources["x"][second] - sources["x"][first])
    near = apart / (sources["re"][second] + sources["re"][first]) < 2.01
    assert near.mean() > 0.97  # but for those that the cell's edge parts


def test_counts() -> None:
    galaxies = sky()[(sky()["kind"] != STAR) & (sky()["parent"] < 0)]
    area = 64 * (1024 * 0.06 / 60) ** 2
    for limit in (23, 25, 27.5):
        expected = galaxy_density(limit) * area
        assert np.count_nonzero(galaxies["mag"] < limit) == pytest.approx(expected, abs=4 * np.sqrt(expected))
    # Guo et al. (2013): 34 930 in 170 arcmin**2 where most is complete to 27th mag.
    assert galaxy_density(27.0) < 34930 / 170 < galaxy_density(28.5)


def test_classes_are_those_that_people_saw(shared_data: Path) -> None:
    votes = Table.read(shared_data / "candels-psf-noise/kartaltepe2015_labels.csv")
    columns = ["ClSph", "ClDk", "ClIr"]
    seen = np.stack([votes[name] for name in [*columns, "ClPS", "ClUn"]]).argmax(axis=0)
    seen = seen[seen < len(columns)]
    bright = sky()[(sky()["mag"] < 24.5) & ~np.isin(sky()["kind"], [STAR, MERGER, ARC])]
    for i, name in enumerate(columns):
        kinds = {"ClSph": [SPHEROID], "ClIr": [IRREGULAR], "ClDk": [DISK, CLASSES.index("disk+bulge")]}[name]
        assert np.isin(bright["kind"], kinds).mean() == pytest.approx((seen == i).mean(), abs=0.05)


def test_sizes_and_colours_are_those_of_goods_south(shared_data: Path) -> None:
    table = Table.read(shared_data / "sim-priors/goodss-3dhst-example.fits")
    flux = np.stack([table[name] for name in PIVOTS], axis=1).astype(float)
    mag = 23.9 - 2.5 * np.log10(np.maximum(flux[:, -1], 1e-3))
    galaxies = sky()[sky()["kind"] != STAR]
    own = 23.9 - 2.5 * np.log10(galaxies["flux"][:, -1])
    for low, high in ((19, 22), (22, 23.5), (23.5, 25), (25, 26)):
        real, ours = (mag > low) & (mag < high), (own > low) & (own < high)
        size = np.median(galaxies["re"][ours]) * SURVEY.pixel_scale / np.median(table["rhalf"][real])
        assert size == pytest.approx(1, abs=0.2)
        colours = np.median(-2.5 * np.log10(np.maximum(flux, 1e-3) / flux[:, -1:])[real], axis=0)
        mine = np.median(-2.5 * np.log10(galaxies["flux"] / galaxies["flux"][:, -1:])[ours], axis=0)
        np.testing.assert_allclose(mine, colours, atol=0.35)


def test_galaxies_cluster() -> None:
    """More close pairs than a uniform sky has, and none more without groups."""
    ratios = []
    for clustered in (0.3, 0.0):
        preset = replace(SURVEY, clustered=clustered, faintest=26.0, stars=0.0)
        pairs = expected = 0.0
        for i in range(30):
            sources = draw(preset, i, (0, 0)).sources
            sources = sources[sources["kind"] != MERGER]
            apart = np.hypot(*(sources[axis][:, None] - sources[axis] for axis in "yx"))
            pairs += np.count_nonzero(apart[np.triu_indices(len(sources), 1)] < 40)
            expected += len(sources) * (len(sources) - 1) / 2 * np.pi * 40**2 / 1024**2
        ratios.append(pairs / expected)
    assert ratios[0] > 1.15
    assert ratios[1] == pytest.approx(0.97, abs=0.08)  # a square's edges lose some


def test_disks_are_seen_from_all_sides() -> None:
    disks = sky()[sky()["kind"] == DISK]
    assert kstest(disks["pa"] / np.pi, "uniform").pvalue > 1e-3
    assert np.median(disks["q"]) == pytest.approx(0.6, abs=0.06)


def test_half_light_of_two_profiles() -> None:
    one = np.ones(1)
    assert half_light([(one, one * 4, one * 3)])[0] == pytest.approx(3, rel=0.01)
    both = half_light([(one / 2, one, one), (one / 2, one, one * 4)])[0]
    assert 1 < both < 4


def test_light_bluer_than_lymans_limit_is_gone() -> None:
    z, age = np.array([0.5, 4.0, 7.0]), np.zeros(3)
    flux = galaxy_colours(np.array([0.435, 0.9, 1.5]), z, age, age)
    assert flux[0, 0] > 0.3
    assert flux[1, 0] < 0.05
    assert flux[2, 1] < 0.1 * flux[2, 2]


def test_old_and_dusty_galaxies_and_cool_stars_are_red() -> None:
    z, zero, one = np.ones(1), np.zeros(1), np.ones(1)
    blue = np.array([0.6])
    young = galaxy_colours(blue, z, zero, zero)
    assert galaxy_colours(blue, z, one, zero) < young
    assert galaxy_colours(blue, z, zero, one) < young
    stars = star_colours(blue, np.array([3300.0, 6000.0]))
    assert stars[0] < 0.3 < stars[1]


def test_faint_galaxies_are_farther() -> None:
    rng = np.random.default_rng(1)
    medians = [np.median(redshifts(rng, np.full(4000, mag))) for mag in (20.0, 24.0, 27.0)]
    np.testing.assert_allclose(medians, [0.5, 1.38, 2.04], rtol=0.07)
