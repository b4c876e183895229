"""The engine of instance heads, on a network that is a few lines of arithmetic."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from fake_backend import FakeBackend
from fake_sky import SHAPE, sources, write_sky
from starnet import _core
from starnet.errors import StarnetError
from starnet.filters import label, watershed
from starnet.flags import Flag
from starnet.models import Embedding
from starnet.models.dense import Dense, SeededWatershed
from starnet.models.encoder import Encoder
from starnet.pipeline import SegmentResult, segment
from starnet.prompts import local_maxima
from starnet.recipe import Preprocessed
from starnet.run import OUTPUTS
from starnet.tiles import Box, TileGrid


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_sky(tmp_path_factory.mktemp("sky"))


@pytest.fixture(scope="module")
def direct(sky: list[Path], tmp_path_factory: pytest.TempPathFactory) -> SegmentResult:
    return segment(
        sky, tmp_path_factory.mktemp("dense") / "run", model=FakeBackend(), mode="direct", threads=1, valley=1
    )


def test_it_finds_and_separates_sources(direct: SegmentResult) -> None:
    labels = fits.getdata(direct.outputs["segmentation"])
    catalog = QTable.read(direct.outputs["catalog"])
    x, y, peak = sources().T
    bright = peak > 30
    found = labels[np.round(y).astype(int), np.round(x).astype(int)]
    assert np.mean(found[bright] > 0) > 0.95
    # The two that are 7 pixels apart, and the three beside each other, are one object each.
    assert len(set(found[-6:-1].tolist()) - {0}) == 5
    assert np.all(catalog["flags"][found[-6:-1] - 1] & Flag.BLENDED)
    assert direct.run["network"]["device"] == "cpu (arithmetic)"
    assert direct.run["workers"] == 1


@settings(max_examples=8, deadline=None)
@given(tile=st.integers(32, 120), origin=st.tuples(st.integers(0, 200), st.integers(0, 200)))
def test_the_outputs_do_not_depend_on_the_tiles(
    sky: list[Path], direct: SegmentResult, tmp_path_factory: pytest.TempPathFactory, tile: int, origin: tuple[int, int]
) -> None:
    run = tmp_path_factory.mktemp("tiled") / "run"
    segment(sky, run, model=FakeBackend(), tile=tile, tile_origin=origin, threads=2, valley=1)
    for name in OUTPUTS.values():
        assert (run / name).read_bytes() == (direct.directory / name).read_bytes(), name


def test_windows_begin_at_multiples_of_the_stride(sky: list[Path], tmp_path: Path) -> None:
    backend = FakeBackend()
    segment(sky, tmp_path / "run", model=backend, tile=50, tile_origin=(13, 29))
    grid = TileGrid(SHAPE, 50, 5, (13, 29), stride=8)
    assert backend.encoded == [(2, *tile.window.shape) for tile in grid]
    for tile in grid:
        assert tile.window.y0 % 8 == tile.window.x0 % 8 == 0
        assert tile.core.pad(5).clip(SHAPE).intersect(tile.window) == tile.core.pad(5).clip(SHAPE)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_even_windows_have_one_size_and_hold_their_cores(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 90), st.integers(1, 90)))
    core, halo = data.draw(st.integers(1, 60)), data.draw(st.integers(0, 20))
    origin = data.draw(st.tuples(st.integers(0, 60), st.integers(0, 60)))
    for tile in TileGrid(shape, core, halo, origin, even=True):
        assert tile.window.shape == tuple(min(core + 2 * halo, side) for side in shape)
        assert tile.window.clip(shape) == tile.window
        assert tile.window.intersect(tile.core) == tile.core


@settings(max_examples=60, deadline=None)
@given(
    npst.arrays(np.float32, npst.array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.sampled_from(
        [0.0, 0.2, 0.5, 0.7, 1.0])),
    st.integers(1, 3),
)  # fmt: skip
def test_seeds_are_maxima_that_are_apart(centre: np.ndarray, distance: int) -> None:
    ys, xs = local_maxima(centre, 0.3, distance)
    for y, x in zip(ys, xs, strict=True):
        near = centre[max(0, y - distance) : y + distance + 1, max(0, x - distance) : x + distance + 1]
        assert centre[y, x] == near.max() > 0.3
        others = (np.abs(ys - y) <= distance) & (np.abs(xs - x) <= distance)
        assert np.count_nonzero(others) == 1
    if centre.max() > 0.3:
        assert centre[ys, xs].max() == centre.max()


def split_in_words(centre: np.ndarray, distance: np.ndarray, mask: np.ndarray, splitter: SeededWatershed) -> np.ndarray:
    """What `SeededWatershed` is to do with one component, in functions that have oracles of their own."""
    heights = np.where(mask, centre, np.float32(0))
    ys, xs = local_maxima(heights, splitter.centre_threshold, splitter.seed_distance)
    while len(ys) > 1:
        markers = np.zeros(mask.shape, np.int32)
        markers[ys, xs] = np.arange(1, len(ys) + 1)
        split = watershed(-distance, markers, mask=mask, connectivity=2)
        large = np.bincount(split.ravel(), minlength=len(ys) + 1)[1:] >= splitter.min_area
        if large.all():
            return joined_in_words(distance, split, splitter.valley)
        ys, xs = ys[large], xs[large]
    return mask.astype(np.int32)


def joined_in_words(distance: np.ndarray, split: np.ndarray, valley: float) -> np.ndarray:
    """Basins whose pass is higher than a part of the lower summit are one, from the highest pass on."""
    passes: dict[tuple[int, int], np.float32] = {}
    ny, nx = split.shape
    for y, x in np.ndindex(ny, nx):
        for yy, xx in ((y, x + 1), (y + 1, x - 1), (y + 1, x), (y + 1, x + 1)):
            if yy < ny and 0 <= xx < nx and 0 < split[y, x] != split[yy, xx] > 0:
                a, b = sorted((int(split[y, x]), int(split[yy, xx])))
                passes[a, b] = max(passes.get((a, b), np.float32(-np.inf)), min(distance[y, x], distance[yy, xx]))
    groups = {label: {label} for label in range(1, split.max() + 1)}
    for (a, b), height in sorted(passes.items(), key=lambda item: (-item[1], item[0])):
        one, other = groups[a], groups[b]
        summits = [distance[np.isin(split, list(group))].max() for group in (one, other)]
        if one is not other and height > np.float32(valley) * min(summits):
            one |= other
            groups |= dict.fromkeys(one, one)
    firsts = sorted({min(group) for group in groups.values()})
    numbers = [0, *(firsts.index(min(groups[label])) + 1 for label in range(1, split.max() + 1))]
    return np.array(numbers, np.int32)[split]


LEVELS = st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.7, 1.0])


@settings(max_examples=150, deadline=None)
@given(
    npst.arrays(np.float32, (2, 17, 23), elements=LEVELS | st.floats(0, 1, width=32)),
    npst.arrays(np.bool_, (17, 23), elements=st.sampled_from([True, True, False])),
    st.builds(
        SeededWatershed,
        st.sampled_from([0.05, 0.3, 0.5]),
        st.integers(1, 3),
        st.integers(1, 9),
        st.sampled_from([0.3, 0.75, 1.0]),
    ),
    st.integers(1, 9),
)
def test_all_components_of_a_tile_are_split_as_one_by_one(
    landscape: np.ndarray, foreground: np.ndarray, splitter: SeededWatershed, first: int
) -> None:
    components, count = label(foreground & (landscape[0] != np.float32(0.1)))
    extents = _core.extents(components, count)
    which = np.arange(1, count + 1)[:: 2 if count > 3 else 1]
    labels = np.full(foreground.shape, -1, np.int32)
    counts = splitter.split_all(landscape, components, extents, which, labels, first)
    expected = np.full(foreground.shape, -1, np.int32)
    numbers = []
    for component in which:
        mask = components == component
        split = split_in_words(*landscape, mask, splitter)
        own = np.zeros_like(landscape)
        own[:, mask] = landscape[:, mask]
        np.testing.assert_array_equal(splitter.split(own[0], own, mask), split)
        expected[mask] = split[mask] + first - 1
        first += split.max()
        numbers.append(split.max())
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(counts, numbers)


def test_a_component_without_a_centre_is_one_object() -> None:
    mask = np.zeros((7, 9), bool)
    mask[2:5, 1:8] = True
    split = SeededWatershed(0.3, 1, 1, 1).split(np.zeros((7, 9), np.float32), np.zeros((2, 7, 9), np.float32), mask)
    np.testing.assert_array_equal(split, mask)


def test_a_basin_that_is_too_small_is_its_neighbours() -> None:
    mask = np.ones((5, 20), bool)
    centre, distance = np.zeros((2, 5, 20), np.float32)
    centre[2, [3, 9, 16]] = 1
    distance[:] = 0.5
    distance[:, [7, 11]] = 0
    landscape = np.stack([centre, distance])
    none = np.zeros((5, 20), np.float32)
    assert np.unique(SeededWatershed(0.3, 1, 4, 1).split(none, landscape, mask)).tolist() == [1, 2, 3]
    split = SeededWatershed(0.3, 1, 30, 1).split(none, landscape, mask)
    assert np.unique(split).tolist() == [1, 2]
    assert np.all(split[:, :7] == 1)
    assert np.all(split[:, 14:] == 2)


class Leaning(FakeBackend):
    """Whose maps are the first band, moved by a pixel to the right."""

    def encode(self, image: np.ndarray) -> Embedding:
        assert all(side % self.stride == 0 for side in image.shape[1:])
        self.encoded.append(image.shape)
        return {"moved": np.pad(image[0], ((0, 0), (1, 0)))[:, :-1]}

    def maps(self, embedding: Embedding) -> np.ndarray:
        return np.stack([embedding["moved"]] * 3)


def test_flips_are_eight_and_turned_back() -> None:
    rng = np.random.default_rng(8)
    image = rng.random((2, 13, 22), np.float32)
    snr = np.zeros_like(image)
    pixels = Preprocessed(Box(8, 21, 16, 38), image, snr, snr, snr, np.ones(image.shape, bool), None)
    backend = Leaning()
    found = Dense(Encoder(backend, (0, 1)), flips=True).infer(pixels)
    padded = np.pad(image[0], 1)
    neighbours = padded[1:-1, :-2] + padded[1:-1, 2:] + padded[:-2, 1:-1] + padded[2:, 1:-1]
    np.testing.assert_allclose(found, np.stack([neighbours / 4] * 3), rtol=1e-6)
    assert sorted(backend.encoded) == [(2, 16, 24)] * 4 + [(2, 24, 16)] * 4


def test_a_run_tells_its_network_and_goes_on_only_with_the_same(sky: list[Path], direct: SegmentResult) -> None:
    plan = json.loads((direct.directory / "plan.json").read_text())
    assert plan["model"]["parameters"]["network"] == FakeBackend().fingerprint
    with pytest.raises(StarnetError, match=r"other inputs or parameters \(model\.parameters\.network"):
        segment(sky, direct.directory, model=FakeBackend(stretch=(0.0, 1.0)), mode="direct")


def test_bands_are_chosen_by_name(sky: list[Path], tmp_path: Path) -> None:
    backend = FakeBackend(bands=("F606W",))
    segment(sky, tmp_path / "run", model=backend, mode="direct")
    assert backend.encoded == [(1, *SHAPE)]
    with pytest.raises(StarnetError, match=r"sees the bands F606W, F435W, but there is no F435W .* F435W=FILE\.fits"):
        segment(sky, tmp_path / "other", model=FakeBackend(bands=("F606W", "F435W")))


def test_the_recipe_is_the_models_own_and_another_is_noted(sky: list[Path], tmp_path: Path) -> None:
    own = segment(sky, tmp_path / "own", model=FakeBackend(recipe="seed"), mode="direct")
    assert own.run["recipe"]["name"] == "seed"
    assert own.notes == []
    other = segment(sky, tmp_path / "other", model=FakeBackend(recipe="seed"), recipe="noise", mode="direct")
    assert (
        other.notes
        == other.run["notes"]
        == ["model fake was made for the recipe seed, not noise: leave --recipe out to give it what it knows"]
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"foreground_threshold": 1.5}, r"foreground_threshold=1\.5: must be between 0 and 1"),
        ({"min_area": 0}, "must be at least 1 pixel"),
        ({"kernel_fwhm": -1}, "kernel_fwhm=-1: must be positive"),
        ({"deblend_levels": 3}, r"takes no deblend_levels \(it has .*centre_threshold.*\): choose --model classical, "),
        ({"memory": 500 * 2**20}, r"too little for windows.*model fake: lower --tile.* give \d+ MiB"),
    ],
)
def test_a_wrong_setting_is_one_sentence(
    sky: list[Path], tmp_path: Path, settings: dict[str, float], message: str
) -> None:
    with pytest.raises(StarnetError, match=message):
        segment(sky, tmp_path / "run", model=FakeBackend(), **settings)
    assert not (tmp_path / "run").exists()
