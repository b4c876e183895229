"""The network that comes with the package, on skies of all kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray
from PIL import Image

from starnet.errors import StarnetError
from starnet.mosaic import Mosaic
from starnet.outputs.segmentation_map import read_segmentation_map
from starnet.pipeline import SegmentResult, segment
from starnet.run import OUTPUTS

BANDS = ("F160W", "F850LP", "F606W")
SIDE = 640
#: False detections in a million pixels of white noise, at most. In 16.8 million there were none in three bands and five
#: in one, which the network is shown as three that agree on every fluctuation.
FALSE_IN_THREE, FALSE_IN_ONE = 2.0, 4.0


def write(path: Path, image: NDArray[Any], *, weighted: bool = True, scale: float | None = None) -> Path:
    """An image with unit noise, or said to have it."""
    header = fits.Header()
    if scale is not None:
        header.update(
            CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=53.1, CRVAL2=-27.8, CRPIX1=1.0, CRPIX2=1.0,
            CDELT1=-scale / 3600, CDELT2=scale / 3600,
        )  # fmt: skip
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(image.astype(np.float32), header, name="SCI")]
    if weighted:
        hdus.append(fits.ImageHDU(np.ones(image.shape, np.float32), name="WHT"))
    fits.HDUList(hdus).writeto(path)
    return path


def noise(number: int, side: int = SIDE) -> NDArray[np.float64]:
    return np.random.default_rng(number).normal(size=(side, side))


def run_of(folder: Path, images: dict[str, NDArray[Any]], **options: Any) -> SegmentResult:
    written = {key: options.pop(key) for key in ("weighted", "scale") if key in options}
    return segment(
        [write(folder / f"{name}.fits", image, **written) for name, image in images.items()],
        folder / "run",
        **{"threads": 1, **options},
    )


def labels_of(result: SegmentResult) -> NDArray[np.int32]:
    return np.asarray(read_segmentation_map(result.outputs["segmentation"]).labels)


def per_megapixel(result: SegmentResult) -> float:
    return result.n_sources / labels_of(result).size * 1e6


def test_an_image_without_noise_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """Zeros, and a hot pixel on them: there is nothing to measure the noise on."""
    empty = np.zeros((SIDE, SIDE))
    with pytest.raises(StarnetError, match="F160W is constant, or nearly so: there is no noise to measure"):
        run_of(tmp_path, dict.fromkeys(BANDS, empty))
    (tmp_path / "hot").mkdir()
    hot = empty.copy()
    hot[300, 300] = 1e4
    with pytest.raises(StarnetError, match="F160W is constant, or nearly so"):
        run_of(tmp_path / "hot", dict.fromkeys(BANDS, hot))


@pytest.mark.parametrize("weighted", [True, False])
def test_pure_noise_is_all_but_empty(tmp_path: Path, weighted: bool) -> None:
    images = {band: noise(k, 1024) for k, band in enumerate(BANDS)}
    assert per_megapixel(run_of(tmp_path, images, weighted=weighted)) <= FALSE_IN_THREE


def test_pure_noise_of_one_band(tmp_path: Path) -> None:
    assert per_megapixel(run_of(tmp_path, {"F160W": noise(7, 1024)})) <= FALSE_IN_ONE


def test_the_sky_of_a_gradient_is_no_object(tmp_path: Path) -> None:
    """Of a few sigma over the image, as an imperfect sky subtraction leaves; steeper ones the mesh does not follow."""
    y, x = np.mgrid[:1024, :1024] / 1024
    images = {band: noise(10 + k, 1024) + 3 * x + 2 * y for k, band in enumerate(BANDS)}
    assert per_megapixel(run_of(tmp_path, images)) <= FALSE_IN_THREE


@pytest.mark.parametrize("height", [20, 1e4])
@pytest.mark.parametrize("hot", [BANDS[:1], BANDS], ids=["one band", "all bands"])
def test_a_hot_pixel_is_no_object(tmp_path: Path, hot: tuple[str, ...], height: float) -> None:
    images = {band: noise(20 + k) for k, band in enumerate(BANDS)}
    for band in hot:
        images[band][300, 301] += height
    assert labels_of(run_of(tmp_path, images))[300, 301] == 0


def test_where_there_is_no_data_there_is_no_object(tmp_path: Path) -> None:
    images = {band: noise(30 + k) for k, band in enumerate(BANDS)}
    for image in images.values():
        image[250:260, 250:260] += 10  # one source, beside
        image[:, 320:] = np.nan
    labels = labels_of(run_of(tmp_path, images))
    assert not labels[:, 320:].any()
    assert labels[255, 255] > 0


@pytest.fixture(scope="module")
def xdf(shared_data: Path) -> list[Path]:
    return sorted((shared_data / "xdf-demo").glob("xdf_*.fits"))


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_any_number_of_bands(xdf: list[Path], tmp_path: Path, count: int) -> None:
    assert len(xdf) == 9
    result = segment(xdf[:count], tmp_path / "run", threads=1)
    assert result.n_sources > 20
    assert result.notes == []  # there is no WCS that could tell of pixels
    assert len([name for name in Table.read(result.outputs["catalog"]).colnames if name.startswith("mag_err")]) == count


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pictures_of_eight_bits(tmp_path: Path, mode: str) -> None:
    from skimage.data import hubble_deep_field

    path = tmp_path / "picture.png"
    Image.fromarray(hubble_deep_field()[200:600, 200:600]).convert(mode).save(path)
    result = segment([path], tmp_path / "run", threads=1)
    assert result.n_sources > 20
    assert 0.005 < (labels_of(result) > 0).mean() < 0.6


@pytest.mark.parametrize("name", ["kids", "decals"])
def test_ground_based_seeing(shared_data: Path, tmp_path: Path, name: str) -> None:
    """KiDS r, whose file does not say how large a pixel is, and DECam: it runs, and says if it saw no such pixels."""
    inputs: list[Path] = []
    if name == "kids":
        with fits.open(shared_data / "profound-kids-viking" / "r.fits") as hdus:
            (plane,) = (hdu for hdu in hdus if hdu.data is not None and hdu.data.ndim == 2)
            inputs.append(tmp_path / "R.fits")
            fits.PrimaryHDU(plane.data[:500, :500], plane.header).writeto(inputs[0])
    else:
        inputs = [shared_data / "phosim-decam" / f"set0_img_{band}.fits" for band in "zrg"]
    result = segment(inputs, tmp_path / "run", threads=1)
    assert result.n_sources > 10
    scale, seen = Mosaic.open(inputs).pixel_scale, result.run["network"]["pixel_scales"]
    assert (scale is None) == (name == "kids")
    unseen = scale is not None and not seen[0] / 1.2 < scale < seen[1] * 1.2
    assert any("was trained on pixels of" in note for note in result.notes) == unseen


@pytest.mark.parametrize(
    ("scale", "remarked"), [(0.03, False), (0.06, False), (0.2, False), (0.001, True), (4.0, True)]
)
def test_pixels_that_it_has_not_seen_are_remarked_on(tmp_path: Path, scale: float, remarked: bool) -> None:
    result = run_of(tmp_path, {band: noise(40 + k, 128) for k, band in enumerate(BANDS)}, scale=scale)
    said = [note for note in result.notes if "model tiny was trained on pixels of" in note]
    assert bool(said) == remarked
    if remarked:
        assert f"these have {scale:.3g}: see with starnet inject what it finds here" in said[0]
    assert result.run["notes"] == result.notes


def assert_same(one: SegmentResult, two: SegmentResult) -> None:
    """Bit for bit, all that is written."""
    for name in OUTPUTS.values():
        assert (one.directory / name).read_bytes() == (two.directory / name).read_bytes(), name


@pytest.fixture(scope="module")
def direct(xdf: list[Path], tmp_path_factory: pytest.TempPathFactory) -> SegmentResult:
    return segment(xdf[:3], tmp_path_factory.mktemp("direct") / "run", mode="direct", threads=1)


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "direct", "threads": 2},
        {"tile": 256, "threads": 1},
        {"tile": 256, "threads": 2, "tile_origin": (37, 91)},
        {"tile": 300, "threads": 2, "tile_origin": (32, 64)},
        {"tile": 512, "threads": 1, "tile_origin": (250, 130)},
    ],
    ids=str,
)
def test_the_cut_changes_nothing(
    xdf: list[Path], direct: SegmentResult, tmp_path: Path, settings: dict[str, Any]
) -> None:
    assert direct.n_sources > 50
    assert_same(segment(xdf[:3], tmp_path / "run", **settings), direct)


def test_the_cut_changes_nothing_of_the_mean_over_flips(xdf: list[Path], direct: SegmentResult, tmp_path: Path) -> None:
    whole = segment(xdf[:3], tmp_path / "direct", mode="direct", threads=2, flips=True)
    cut = segment(xdf[:3], tmp_path / "cut", tile=256, tile_origin=(37, 91), threads=2, flips=True)
    assert_same(whole, cut)
    one, other = (read_segmentation_map(run.outputs["segmentation"]).labels > 0 for run in (whole, direct))
    assert not np.array_equal(one, other)
    assert np.count_nonzero(one & other) > 0.9 * np.count_nonzero(one | other)


@pytest.mark.slow
def test_the_cut_changes_nothing_up_to_tiles_of_2048(tmp_path: Path) -> None:
    """On a field that is larger than the largest tile, with sources on all seams."""
    rng = np.random.default_rng(3)
    ny, nx = 2150, 2210
    light = np.zeros((ny, nx))
    y, x = np.mgrid[-20:21, -20:21]
    for peak, width, row, column in zip(
        rng.uniform(5, 100, 900), rng.uniform(1, 5, 900), rng.integers(20, ny - 21, 900),
        rng.integers(20, nx - 21, 900), strict=True,
    ):  # fmt: skip
        light[row - 20 : row + 21, column - 20 : column + 21] += peak * np.exp(-(x**2 + y**2) / (2 * width**2))
    inputs = [
        write(tmp_path / f"{band}.fits", light * (1 - 0.2 * k) + rng.normal(size=light.shape))
        for k, band in enumerate(BANDS)
    ]
    whole = segment(inputs, tmp_path / "direct", mode="direct", threads=2)
    assert whole.n_sources > 500
    cuts: list[dict[str, Any]] = [
        {"tile": 256},
        {"tile": 512, "tile_origin": (96, 160)},
        {"tile": 1024, "threads": 1},
        {"tile": 1024, "tile_origin": (333, 777)},
        {"tile": 2048},
        {"tile": 2048, "tile_origin": (1, 1)},
    ]
    for number, cut in enumerate(cuts):
        assert_same(segment(inputs, tmp_path / str(number), **{"threads": 2, **cut}), whole)
