"""Pictures: what is painted where, and that it does not depend on how the mosaic is read."""

from pathlib import Path

import numpy as np
import pytest
import sep
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from skimage.segmentation import find_boundaries

from starnet.outputs import canvas
from starnet.outputs.canvas import Canvas, composite
from starnet.outputs.overlay import OUTLINE, outlines, write_overlay
from starnet.outputs.png import write_rgb_tile
from starnet.outputs.preview import write_preview
from starnet.tiles import Box

same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)


def read_picture(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.mode == "RGB"
        return np.asarray(picture)


def is_outline(pixels: np.ndarray) -> np.ndarray:
    return (pixels == OUTLINE).all(axis=-1)


@same_folder
@given(
    labels=hnp.arrays(
        np.int32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
        elements=st.sampled_from([0, 1, 2, 2**31 - 1]),
    )
)
def test_outlines_are_the_inner_boundaries_of_scikit_image(labels):
    # Object by object: on touching objects its "inner" would ask only the sky around them.
    expected = np.zeros(labels.shape, bool)
    for label in np.unique(labels[labels > 0]):
        expected |= find_boundaries(labels == label, connectivity=1, mode="inner", background=0)
    np.testing.assert_array_equal(outlines(labels), expected)


@same_folder
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    max_side=st.integers(1, 60),
    box_side=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_picture_does_not_depend_on_the_boxes(tmp_path: Path, shape, max_side, box_side, seed):
    random = np.random.default_rng(seed)
    image = random.normal(2, 3, (3, *shape)).astype(np.float32)
    labels = (random.integers(0, 4, shape) * random.integers(0, 2, shape)).astype(np.int32)
    pictures = []
    for side in (1024, box_side):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(canvas, "_BOX", side)
            write_overlay(
                tmp_path / "overlay.png",
                shape,
                lambda box: image[:, *box.slices],
                lambda box: labels[box.slices],
                max_side=max_side,
            )
        pictures.append(read_picture(tmp_path / "overlay.png").astype(int))
    assert max(pictures[0].shape[:2]) <= max_side
    # Sums of a bin are taken in the same order, so that even the rounding is the same.
    np.testing.assert_array_equal(*pictures)


def test_bins_are_means_and_keep_every_object(tmp_path):
    image = np.random.default_rng(0).uniform(0, 9, (3, 10, 7)).astype(np.float32)
    labels = np.zeros((10, 7), np.int32)
    labels[4, 5] = 3
    picture = Canvas((10, 7), 4)
    assert picture.binning == 3
    assert picture.pixels.shape == (4, 3, 3)
    whole = Box(0, 10, 0, 7)
    picture.paint(whole, image)
    means = np.zeros((3, 4, 3), np.float32)
    for y in range(4):
        for x in range(3):
            means[:, y, x] = image[:, 3 * y : 3 * y + 3, 3 * x : 3 * x + 3].mean(axis=(1, 2))
    assert np.abs(picture.pixels.astype(int) - composite(means)).max() <= 1
    expected = np.zeros((4, 3), np.int32)
    expected[1, 1] = 3
    np.testing.assert_array_equal(picture.labels(labels), expected)


def test_small_images_are_enlarged_and_their_outlines_thin(tmp_path):
    labels = np.zeros((100, 80), np.int32)
    labels[40:50, 20:30] = 1
    write_overlay(
        tmp_path / "overlay.png",
        labels.shape,
        lambda box: np.zeros((1, *box.shape), np.float32),
        lambda box: labels[box.slices],
        origin="upper",
    )
    drawn = is_outline(read_picture(tmp_path / "overlay.png"))
    assert drawn.shape == (800, 640)
    expected = np.zeros((800, 640), bool)
    expected[320:400, 160:240] = True
    expected[321:399, 161:239] = False
    np.testing.assert_array_equal(drawn, expected)


def test_origin(tmp_path):
    image = np.zeros((1, 900, 900), np.float32)
    image[0, 0, 5] = 10
    for origin, row in (("lower", -1), ("upper", 0)):
        write_preview(tmp_path / "preview.png", (900, 900), lambda box: image[:, *box.slices], origin=origin)
        picture = read_picture(tmp_path / "preview.png")
        assert picture.sum() == 3 * 255
        assert picture[row, 5].tolist() == [255, 255, 255]


def test_stretch_is_fixed_and_monotonic():
    signal = np.arcsinh(np.array([-5, 0, 1, 3, 10, 100, 550, 1e5, np.nan], np.float32))
    grey = composite(signal.reshape(1, 1, -1))[0, :, 0].tolist()
    assert grey[:3] == [0, 0, 0]
    assert grey[3:8] == sorted(grey[3:8])
    assert 40 < grey[3] < grey[4] < grey[5] < grey[6] < 255
    assert grey[7:] == [255, 0]
    # The same values have the same colour whatever is beside them.
    assert composite(signal[4:5].reshape(1, 1, 1))[0, 0, 0] == grey[4]


def test_one_two_and_three_bands():
    bands = np.array([6, 3, 0], np.float32).reshape(3, 1, 1)
    red, green, blue = composite(bands)[0, 0].tolist()
    assert red > green > blue == 0
    assert len(set(composite(bands[:1])[0, 0].tolist())) == 1
    two = composite(bands[::2])[0, 0].tolist()
    assert two[0] == red
    assert two[2] == blue
    assert abs(two[1] - red / 2) <= 1
    for wrong in (bands[:0], np.zeros((4, 2, 2), np.float32), np.zeros((2, 2), np.float32)):
        with pytest.raises(ValueError, match="one to three bands"):
            composite(wrong)


def test_real_image_looks_as_it_should(tmp_path, shared_data):
    """The XDF: sky nearly black, objects bright, hardly any of them white, and an outline around what sep finds."""
    bands = []
    for name in ("f160w", "f850lp", "f606w"):
        with fits.open(shared_data / "xdf-demo" / f"xdf_{name}.fits") as hdus:
            data = next(hdu.data for hdu in hdus if hdu.data is not None).astype(np.float32)
        sky = sep.Background(data)
        bands.append(np.arcsinh((data - sky.back()) / sky.globalrms))
    image = np.stack(bands).astype(np.float32)
    _, labels = sep.extract(np.sinh(image.mean(axis=0)), 2.0, minarea=8, segmentation_map=True)
    write_overlay(
        tmp_path / "overlay.png",
        labels.shape,
        lambda box: image[:, *box.slices],
        lambda box: labels[box.slices],
        origin="upper",
    )
    write_preview(tmp_path / "preview.png", labels.shape, lambda box: image[:, *box.slices], origin="upper")
    overlay, preview = (
        read_picture(tmp_path / "overlay.png")[::2, ::2],
        read_picture(tmp_path / "preview.png")[::2, ::2],
    )
    assert np.median(preview[labels == 0].max(axis=-1)) < 40
    assert np.median(preview[labels > 0].max(axis=-1)) > 60
    assert (preview.min(axis=-1) == 255).mean() < 0.005
    assert (is_outline(read_picture(tmp_path / "overlay.png")).sum()) > 1000
    differ = (overlay != preview).any(axis=-1)
    assert differ.any()
    assert (labels[differ] > 0).all()


def test_progress(tmp_path, monkeypatch):
    monkeypatch.setattr(canvas, "_BOX", 8)
    seen = []
    write_preview(
        tmp_path / "preview.png",
        (10, 20),
        lambda box: np.zeros((1, *box.shape), np.float32),
        progress=lambda *call: seen.append(call),
    )
    assert seen == [("preview", i, 6) for i in range(1, 7)]


@same_folder
@given(
    image=hnp.arrays(
        np.float32, st.tuples(st.just(3), st.integers(1, 9), st.integers(1, 9)), elements=st.floats(-1, 2, width=32)
    )
)
def test_tile_pictures_round_to_eight_bits(tmp_path: Path, image):
    write_rgb_tile(tmp_path / "tile.png", image)
    picture = read_picture(tmp_path / "tile.png").transpose(2, 0, 1)
    assert np.abs(picture - np.clip(image, 0, 1) * 255).max() <= 0.5 + 1e-4
    write_rgb_tile(tmp_path / "flipped.png", image, origin="lower")
    np.testing.assert_array_equal(read_picture(tmp_path / "flipped.png")[::-1].transpose(2, 0, 1), picture)


def test_same_pixels_same_bytes(tmp_path):
    image = np.random.default_rng(0).uniform(-0.5, 1.5, (3, 30, 20)).astype(np.float32)
    image[0, 0, 0] = np.nan
    for name in ("a.png", "b.png"):
        write_rgb_tile(tmp_path / name, image)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert read_picture(tmp_path / "a.png")[0, 0, 0] == 0


def test_wrong_arguments(tmp_path):
    with pytest.raises(ValueError, match=r"\(3, ny, nx\)"):
        write_rgb_tile(tmp_path / "tile.png", np.zeros((2, 3, 3)))
    with pytest.raises(ValueError, match="origin"):
        write_rgb_tile(tmp_path / "tile.png", np.zeros((3, 3, 3)), origin="left")
    with pytest.raises(ValueError, match="max_side"):
        write_preview(tmp_path / "preview.png", (3, 3), lambda box: np.zeros((1, *box.shape), np.float32), max_side=0)
    assert list(tmp_path.iterdir()) == []
