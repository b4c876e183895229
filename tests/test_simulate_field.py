"""A field is the same however it is cut, and its truth is what its definitions say."""

from __future__ import annotations

import filecmp
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from starnet.errors import StarnetError
from starnet.mosaic import Mosaic
from starnet.outputs.segmentation_map import read_segmentation_map
from starnet.simulate import Field, Window, load_preset, survey, write
from starnet.simulate.truth import detection, detection_weights, signal_to_noise
from starnet.tiles import Box, TileGrid

SIZE = (220, 300)
# pycocotools and NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def field() -> Field:
    return Field(load_preset("candels-deep"), SIZE, seed=11)


@pytest.fixture(scope="module")
def whole(field: Field) -> Window:
    return field.window(field.whole)


@pytest.fixture(scope="module")
def written(field: Field, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("field")
    write(field, directory, block=128)
    return directory


def masks(directory: Path) -> dict[int, np.ndarray]:
    annotations = json.loads((directory / "truth_masks.json").read_text())["annotations"]
    return {one["id"]: coco.decode(one["segmentation"]).astype(bool) for one in annotations}


@settings(max_examples=8, deadline=None)
@given(y=st.tuples(st.integers(0, 219), st.integers(1, 220)), x=st.tuples(st.integers(0, 299), st.integers(1, 300)))
def test_a_window_has_the_same_bits_as_the_whole(
    field: Field, whole: Window, y: tuple[int, int], x: tuple[int, int]
) -> None:
    box = Box(min(y), max(y[0] + 1, *y), min(x), max(x[0] + 1, *x))
    # A fresh one, so that nothing is left over from other windows.
    window = pickle.loads(pickle.dumps(field)).window(box)
    for name in ("images", "weights", "model", "labels"):
        np.testing.assert_array_equal(getattr(window, name), getattr(whole, name)[..., *box.slices])


def test_a_window_is_inside_the_field(field: Field) -> None:
    for box in (Box(0, 10, 290, 301), Box(-1, 5, 0, 5), Box(5, 5, 0, 10)):
        with pytest.raises(ValueError, match="inside"):
            field.window(box)


def test_another_seed_makes_another_field(field: Field, whole: Window) -> None:
    other = Field(field.preset, SIZE, seed=12).window(field.whole)
    assert not np.array_equal(other.model, whole.model)
    noise, noise_of_other = whole.images[0] - whole.model[0], other.images[0] - other.model[0]
    assert abs(np.corrcoef(noise.ravel(), noise_of_other.ravel())[0, 1]) < 0.1


def test_the_number_of_processes_and_the_blocks_change_no_byte(field: Field, written: Path, tmp_path: Path) -> None:
    outputs = write(field, tmp_path, block=100, workers=2).outputs
    names = sorted(path.name for path in written.iterdir())
    assert names == sorted(path.name for path in outputs.values())
    assert filecmp.cmpfiles(written, tmp_path, names, shallow=False)[1:] == ([], [])


def test_files_hold_the_field(field: Field, whole: Window, written: Path) -> None:
    mosaic = Mosaic.open([written / f"{band.name.lower()}_drz.fits" for band in field.preset.bands])
    pixels = mosaic.read(field.whole)
    wanted = {band.name: i for i, band in enumerate(field.preset.bands)}
    assert {band.name for band in mosaic.bands} == wanted.keys()
    for i, band in enumerate(mosaic.bands):
        truth = field.preset.bands[wanted[band.name]]
        assert band.zero_point == truth.zero_point
        seen = pixels.valid[i]
        np.testing.assert_array_equal(pixels.data[i][seen], whole.images[wanted[band.name]][seen])
        np.testing.assert_array_equal(pixels.ivar[i], whole.weights[wanted[band.name]])
    scale = np.abs(WCS(fits.getheader(written / "f160w_drz.fits")).proj_plane_pixel_scales()[0].to_value("arcsec"))
    assert scale == pytest.approx(field.preset.pixel_scale)


def test_labels_are_those_of_the_table(field: Field, whole: Window, written: Path) -> None:
    table, labels = (
        Table.read(written / "truth.fits"),
        read_segmentation_map(written / "truth_segmentation.fits").labels,
    )
    np.testing.assert_array_equal(table["label"], np.arange(1, len(table) + 1))
    np.testing.assert_array_equal(labels > 0, whole.labels > 0)
    # One number of the file for each label of the window, in the same order.
    assert len(np.unique(np.stack([labels, whole.labels]).reshape(2, -1), axis=1).T) == len(np.unique(labels))
    np.testing.assert_array_equal(np.argsort(np.unique(labels)), np.argsort(np.unique(whole.labels)))
    np.testing.assert_array_equal(table["area"], np.bincount(labels.ravel(), minlength=len(table) + 1)[1:])
    header = fits.getheader(written / "truth_segmentation.fits", 1)
    x, y = WCS(header).world_to_pixel_values(table["ra"], table["dec"])
    np.testing.assert_allclose([x, y], [table["x"], table["y"]], atol=1e-6)


def test_truth_by_brute_force(field: Field, written: Path) -> None:
    """Each source alone on the whole field: its detection image says what it owns and how far it reaches."""
    labels, full = read_segmentation_map(written / "truth_segmentation.fits").labels, masks(written)
    table = Table.read(written / "truth.fits")
    assert len(table) > 10
    weights = detection_weights(field.inverse_variance(field.whole))
    alone = np.stack([detection(image, weights) for image in _each_alone(field)])
    most = alone.max(axis=0)
    owner = alone.argmax(axis=0)
    np.testing.assert_array_equal(labels > 0, most > 1)
    pairs = np.unique(np.stack([labels, owner])[:, labels > 0], axis=1).T
    assert len(pairs) == len(np.unique(pairs[:, 0])) == len(np.unique(pairs[:, 1]))
    for label, source in pairs:
        np.testing.assert_array_equal(full[label], alone[source] > 1)
        assert table["full_area"][label - 1] == full[label].sum()
    assert len(full) == (alone > 1).any(axis=(1, 2)).sum()
    overlap = 1 - table["area"] / np.maximum(table["full_area"], 1)
    seen = table["full_area"] > 0
    np.testing.assert_allclose(table["overlap"][seen], overlap[seen], atol=1e-6)


def _each_alone(field: Field) -> list[np.ndarray]:
    scene = field._scene(field.whole)
    images = []
    for stamps in field.painter.stamps(
        scene.sources, scene.components, scene.layout, scene.layout.reaching(field.whole)
    ):
        for index, pixels in zip(stamps.index, stamps.pixels, strict=True):
            y0, x0, side = scene.layout.y0[index], scene.layout.x0[index], scene.layout.side[index]
            place = Box(y0, y0 + side, x0, x0 + side)
            part = place.clip(field.size)
            image = np.zeros((len(pixels), *field.size), np.float32)
            image[:, *part.slices] = pixels[:, *part.slices_in(place)]
            images.append(image)
    return images


def test_boxes_hold_their_masks(written: Path) -> None:
    annotations = json.loads((written / "truth_masks.json").read_text())["annotations"]
    for one in annotations:
        np.testing.assert_array_equal(one["bbox"], coco.toBbox(one["segmentation"]))
        assert one["area"] == coco.area(one["segmentation"])


def test_the_optimal_filter_has_the_scatter_that_its_signal_to_noise_says(field: Field) -> None:
    """On the field's noise, filtered by ``D / P``, it scatters by S/N, where the source itself gives S/N squared."""
    side, band = 48, 0
    y, x = np.mgrid[:side, :side] - side / 2
    flux = np.exp(-(y**2 + x**2) / 8).astype(np.float32)
    noise = field.noise  # its depth differs from place to place: in units of it
    power = field.noise.power(band, side)
    (snr,) = signal_to_noise(flux[None, None], np.ones((1, 1, side, side), np.float32), [power])
    optimal = np.fft.irfft2(np.fft.rfft2(flux) / power, s=(side, side))
    assert (optimal * flux).sum() == pytest.approx(snr**2, rel=1e-3)
    grid = TileGrid((20 * side, 20 * side), side)
    scatter = np.std([(optimal * noise.noise(band, tile.core) / noise.sigma(band, tile.core)).sum() for tile in grid])
    assert scatter == pytest.approx(snr, rel=0.1)  # 400 trials: 3.5 % at 1 sigma


def test_the_table_is_the_same_without_files(field: Field, written: Path) -> None:
    table, made = Table.read(written / "truth.fits"), survey(field)
    assert table.colnames == made.colnames
    for name in table.colnames:
        np.testing.assert_array_equal(table[name], made[name])


def test_settings_make_the_field_again(field: Field, written: Path) -> None:
    said = yaml.safe_load((written / "simulation.yaml").read_text())
    assert (said["size"], said["seed"], said["preset"]["name"]) == (list(SIZE), 11, "candels-deep")


def test_nothing_is_replaced_unasked(field: Field, written: Path) -> None:
    with pytest.raises(StarnetError, match="exists"):
        write(field, written)


def test_a_failure_leaves_nothing(field: Field, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(Field, "window_and_truth", fail)
    with pytest.raises(RuntimeError):
        write(field, tmp_path)
    assert list(tmp_path.iterdir()) == []
