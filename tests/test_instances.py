"""Components, seams and splitting: the same objects however the image is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet import _core, instances
from starnet.flags import Flag
from starnet.instances import Columns, finish_component, form_objects, runs_of
from starnet.layers import Layers
from starnet.models.classical import SepDeblender
from starnet.stitch import SeamJoiner
from starnet.tiles import Box, TileGrid

SPLITTER = SepDeblender(threshold=1.5, min_area=5, levels=32, contrast=0.001)


def field(seed: int, shape: tuple[int, int], sources: int) -> Layers:
    """Noise and Gaussian blobs, in two bands."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = rng.normal(0, 1, shape)
    for cy, cx, width, peak in zip(
        rng.uniform(0, shape[0], sources),
        rng.uniform(0, shape[1], sources),
        rng.uniform(1, 4, sources),
        rng.uniform(3, 60, sources),
        strict=True,
    ):
        image += peak * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * width**2))
    detection = image.astype(np.float32)
    flux = np.stack([detection, rng.normal(0, 1, shape).astype(np.float32) + 0.3 * detection])
    flux[:, rng.random(shape) < 0.01] = np.nan
    sigma = np.full_like(flux, 0.7)
    flags = (rng.random(shape) < 0.01).astype(np.uint8) * np.uint8(Flag.SATURATED)
    return Layers(Box(0, shape[0], 0, shape[1]), detection, np.empty((0, *shape), np.float32), flux, sigma, flags)


def objects_of(layers: Layers, grid: TileGrid, order: list[int] | None = None) -> tuple[np.ndarray, Columns]:
    """Label map and measurements, in the order of the anchors, through the tiles of a grid."""
    foreground = layers.detection > 1.5
    joiner = SeamJoiner(grid)
    kept: dict[int, instances.Patches] = {}
    pieces: list[Columns] = []
    runs = [np.empty((0, 4), np.int32)]
    count = 0

    def take(columns: Columns, pixels: np.ndarray) -> None:
        nonlocal count
        pixels[:, 3] += count
        columns["label"] = columns["label"] + count
        count += len(columns["label"])
        pieces.append(columns)
        runs.append(pixels)

    for index in order or range(len(grid)):
        core = grid[index].core
        objects = form_objects(layers.crop(core), foreground[core.slices], grid.shape, SPLITTER, 5)
        kept[index] = objects.patches
        take(objects.columns, runs_of(objects.labels, core))
        for parts in joiner.add(index, objects.patches.edges):
            for columns, pixels in finish_component([(kept[t], n) for t, n in parts], 2, SPLITTER, 5):
                take(columns, pixels)
    assert not joiner._components, "components were left waiting"
    columns = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    by_anchor = np.lexsort((columns["anchor_x"], columns["anchor_y"]))
    ids = np.zeros(count + 1, np.int32)
    ids[columns["label"][by_anchor]] = np.arange(1, count + 1)
    painted = np.concatenate(runs)
    painted[:, 3] = ids[painted[:, 3]]
    labels = np.zeros(grid.shape, np.int32)
    _core.paint_runs(painted, (0, 0), labels)
    del columns["label"]
    return labels, {name: values[by_anchor] for name, values in columns.items()}


def assert_same(one: tuple[np.ndarray, Columns], two: tuple[np.ndarray, Columns]) -> None:
    np.testing.assert_array_equal(one[0], two[0])
    for name, values in one[1].items():
        np.testing.assert_array_equal(values, two[1][name], err_msg=name)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_objects_do_not_depend_on_the_tiles_nor_on_their_order(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 90), st.integers(1, 90)))
    layers = field(data.draw(st.integers(0, 10**6)), shape, data.draw(st.integers(0, 25)))
    grid = TileGrid(
        shape,
        data.draw(st.tuples(st.integers(7, 60), st.integers(7, 60))),
        origin=data.draw(st.tuples(st.integers(0, 60), st.integers(0, 60))),
    )
    order = data.draw(st.permutations(range(len(grid))))
    whole = objects_of(layers, TileGrid(shape, shape))
    assert_same(whole, objects_of(layers, grid, order))


def test_a_component_larger_than_the_window_is_cut_and_flagged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(instances, "SPLIT_WINDOW", 24)
    layers = field(3, (80, 90), 40)
    whole = objects_of(layers, TileGrid((80, 90), (80, 90)))
    flagged = whole[1]["flags"] & Flag.SEAM > 0
    assert flagged.any()
    assert not flagged.all()
    for core in (13, 31, 50):
        assert_same(whole, objects_of(layers, TileGrid((80, 90), core)))
    # A flagged object lies inside one window of the grid.
    for low, high in (("bbox_y0", "bbox_y1"), ("bbox_x0", "bbox_x1")):
        np.testing.assert_array_equal(whole[1][low][flagged] // 24, (whole[1][high][flagged] - 1) // 24)


def test_deblended_objects_cover_their_component_and_are_flagged() -> None:
    layers = field(0, (60, 60), 0)
    y, x = np.mgrid[:60, :60]
    pair = sum(100 * np.exp(-((y - 30) ** 2 + (x - cx) ** 2) / 8) for cx in (25, 33))
    layers.detection[:] = pair
    labels, columns = objects_of(layers, TileGrid((60, 60), 60))
    assert len(columns["area"]) == 2
    np.testing.assert_array_equal(labels > 0, layers.detection > 1.5)
    assert (columns["flags"] & Flag.BLENDED > 0).all()


def test_runs_paint_back_what_they_came_from() -> None:
    labels = np.random.default_rng(1).integers(0, 4, (17, 23)).astype(np.int32)
    out = np.zeros((17, 23), np.int32)
    _core.paint_runs(runs_of(labels, Box(5, 22, 7, 30)), (5, 7), out)
    np.testing.assert_array_equal(out, labels)


def test_splitting_leaves_the_settings_of_sep_alone() -> None:
    import sep

    before = sep.get_extract_pixstack()
    objects_of(field(0, (60, 60), 10), TileGrid((60, 60), 60))
    assert sep.get_extract_pixstack() == before
