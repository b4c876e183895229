"""Every writer: a file is whole or absent, and a full disk is said in one sentence."""

import errno
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from starnet.atomic import replacing
from starnet.errors import StarnetError
from starnet.outputs.catalog_files import write_catalog
from starnet.outputs.cube import FitsCubeWriter
from starnet.outputs.overlay import write_overlay
from starnet.outputs.png import write_rgb_tile
from starnet.outputs.preview import write_preview
from starnet.outputs.regions_file import write_regions
from starnet.outputs.segmentation_map import write_segmentation_map
from starnet.tiles import Box

NOISE = np.random.default_rng(0).integers(0, 2**31, (400, 400)).astype(np.int32)


def catalog() -> QTable:
    random = np.random.default_rng(0)
    table = QTable({"id": np.arange(5000)})
    for name in ("x", "y", "semimajor_axis", "semiminor_axis"):
        table[name] = random.uniform(1, 100, 5000) * u.pix
    table["theta"] = random.uniform(-90, 90, 5000) * u.deg
    return table


def write_cube(path: Path) -> None:
    with FitsCubeWriter(path, (1, 400, 400)) as cube:
        cube.write(Box(0, 400, 0, 400), NOISE[None])


def read_noise(box: Box) -> np.ndarray:
    return (NOISE[box.slices] % 1000 / 125).astype(np.float32)[None]


WRITERS: dict[str, Callable[[Path], None]] = {
    "map.fits": lambda path: write_segmentation_map(path, NOISE.shape, lambda y0, y1: NOISE[y0:y1]),
    "cube.fits": write_cube,
    "tile.png": lambda path: write_rgb_tile(path, (NOISE % 1000 / 1000)[None].repeat(3, axis=0)),
    "preview.png": lambda path: write_preview(path, NOISE.shape, read_noise),
    "overlay.png": lambda path: write_overlay(path, NOISE.shape, read_noise, lambda box: NOISE[box.slices] % 5),
    "objects.reg": lambda path: write_regions(catalog(), path),
    **{
        f"catalog{extension}": lambda path: write_catalog(catalog(), path)
        for extension in (".fits", ".fits.gz", ".ecsv", ".parquet", ".xml", ".vot")
    },
}


@contextmanager
def no_room_beyond(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", WRITERS)
def test_full_disk(tmp_path, name):
    path = tmp_path / name
    path.write_text("precious")
    with no_room_beyond(40_000), pytest.raises(StarnetError, match=f"{name} could not be written .*free disk space"):
        WRITERS[name](path)
    assert path.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", WRITERS)
def test_missing_folder(tmp_path, name):
    with pytest.raises(StarnetError, match=f"{name} could not be written .*folder"):
        WRITERS[name](tmp_path / "nowhere" / name)


@pytest.mark.parametrize("name", WRITERS)
def test_with_room_the_same_bytes_replace_what_stood(tmp_path, name):
    path = tmp_path / name
    path.write_text("old")
    WRITERS[name](path)
    first = path.read_bytes()
    assert len(first) > 40_000  # or the test of the full disk would test nothing
    WRITERS[name](path)
    assert path.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_full_disk_by_its_own_error(tmp_path):
    path = tmp_path / "file"

    def fill_the_disk() -> None:
        with replacing(path) as partial:
            partial.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StarnetError, match="No space left"):
        fill_the_disk()
    assert list(tmp_path.iterdir()) == []


def test_errors_of_others_pass_through(tmp_path):
    def write(error: BaseException) -> None:
        with replacing(tmp_path / "file") as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(FileNotFoundError, match="input"):
        write(FileNotFoundError(errno.ENOENT, "No such file", str(tmp_path / "input")))
    with pytest.raises(KeyboardInterrupt):
        write(KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []
