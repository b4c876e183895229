"""Readers of what other programs and our own runs leave behind: label maps and masks, as runs, in strips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from starnet.errors import StarnetError
from starnet.evaluate.coco import read_coco
from starnet.io.companions import Source
from starnet.io.hdus import Hdu, find_hdu, is_fits, open_plane, read_hdus, read_head
from starnet.io.planes import Plane, label
from starnet.io.rasters import read_raster
from starnet.masks.runs import Runs, find_runs
from starnet.tiles import Box

#: Extensions that hold the objects, where a file has several: ours, GNU Astronomy Utilities' Segment, its NoiseChisel.
_EXTENSIONS = ("SEGMENTATION", "OBJECTS", "DETECTIONS")
#: Pixels of a strip. Our own maps are compressed in tiles of 256 rows: strips are multiples of them.
_STRIP, _ROWS = 1 << 22, 256
_LARGEST = 2**31 - 1


class LabelSource(Protocol):
    """True or predicted objects of an image."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)`` in pixels."""

    @property
    def classes(self) -> dict[int, str] | None:
        """Class of each label, where the file has them."""

    def read(self, box: Box) -> NDArray[np.int64]:
        """Labels of a box inside the map, 0 is sky; of masks that overlap, the smallest is on top."""

    def runs(self, y0: int, y1: int) -> Runs:
        """Runs of the rows ``y0 <= y < y1``."""


def strips(shape: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Rows, from and to, of strips that are read at once."""
    rows = _ROWS * max(1, _STRIP // (_ROWS * shape[1]))
    return ((y0, min(y0 + rows, shape[0])) for y0 in range(0, shape[0], rows))


@dataclass(frozen=True)
class ArrayLabels:
    """A label map in memory.

    Attributes
    ----------
    pixels : ndarray
        ``(ny, nx)``, integers (or floats that are integers); 0 and less is sky.
    name : str
        What messages call it.
    """

    pixels: NDArray[Any]
    name: str = "the array"
    classes: dict[int, str] | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or not self.pixels.size:
            raise ValueError(f"a label map has two axes and some pixels, not the shape {self.pixels.shape}")

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)`` in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def read(self, box: Box) -> NDArray[np.int64]:
        """See `LabelSource.read`."""
        return checked(self.pixels[box.slices], box, self.name)

    def runs(self, y0: int, y1: int) -> Runs:
        """See `LabelSource.runs`."""
        return find_runs(self.read(Box(y0, y1, 0, self.shape[1])), y0)


@dataclass(frozen=True)
class PlaneLabels:
    """A label map in a file, read in windows."""

    plane: Plane
    integers: bool
    classes: dict[int, str] | None = None

    @property
    def name(self) -> str:
        """File and HDU."""
        return label(self.plane)

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)`` in pixels."""
        return self.plane.shape

    def read(self, box: Box) -> NDArray[np.int64]:
        """See `LabelSource.read`."""
        pixels = self.plane.read(box, np.empty(box.shape, np.int64 if self.integers else np.float64))
        return checked(pixels, box, self.name)

    def runs(self, y0: int, y1: int) -> Runs:
        """See `LabelSource.runs`."""
        return find_runs(self.read(Box(y0, y1, 0, self.shape[1])), y0)


def checked(pixels: NDArray[Any], box: Box, name: str) -> NDArray[np.int64]:
    """Labels as int64; NaN and negative numbers (the rivers between clumps of Segment) are sky, 0.

    Raises
    ------
    StarnetError
        If a pixel is no integer, or has more than 31 bits.
    """
    if pixels.dtype.kind == "f":
        pixels = np.where(np.isnan(pixels), 0, pixels)
        broken = pixels != np.rint(pixels)
        if broken.any():
            y, x = (int(i[0]) for i in np.nonzero(broken))
            raise StarnetError(
                f"{name} holds no labels (pixel x={box.x0 + x}, y={box.y0 + y} is {pixels[y, x]:g}): give a label map "
                "of integers, or name its HDU, as in FILE[SEGMENTATION]"
            )
    elif pixels.dtype.kind not in "iub":
        raise StarnetError(f"{name} holds {pixels.dtype}, no labels: give a label map of integers")
    if pixels.size and pixels.max() > _LARGEST:
        raise StarnetError(f"{name} has the label {pixels.max():.0f}, of more than 31 bits: number its objects anew")
    labels: NDArray[np.int64] = np.maximum(pixels, 0).astype(np.int64, copy=False)
    return labels


def open_labels(source: str | Path | NDArray[Any] | LabelSource) -> LabelSource:
    """Open a label map or masks.

    Parameters
    ----------
    source : str, Path or ndarray
        A FITS label map (``FILE`` or ``FILE[HDU]``; any program's), the directory of a finished run or of a simulated
        field, masks as COCO JSON (``FILE.json``, or ``FILE.json[IMAGE]`` where it is about several images), a PNG or
        TIFF of labels, or an array ``(ny, nx)``.

    Raises
    ------
    StarnetError
        If it cannot be read, or holds no labels.
    """
    if isinstance(source, np.ndarray):
        return ArrayLabels(source)
    if not isinstance(source, str | Path):
        return source
    if Path(source).is_dir():
        return open_labels(_map_of_directory(Path(source)))
    parsed = Source.parse(source)
    head = read_head(parsed.path)
    if is_fits(head):
        hdus = read_hdus(parsed.path)
        hdu = _label_hdu(hdus) if parsed.hdu is None else find_hdu(hdus, parsed.hdu)
        # A BSCALE other than 1 may make fractions of integers.
        integers = int(hdu.header["BITPIX"]) > 0 and float(hdu.header.get("BSCALE", 1)) == 1
        return PlaneLabels(open_plane(hdu, parsed.plane), integers)
    if head.lstrip()[:1] in (b"{", b"["):
        return read_coco(parsed.path, parsed.hdu)
    planes, _ = read_raster(parsed.path, head)
    if len(planes) > 1:
        raise StarnetError(f"{parsed.path} is a picture of {len(planes)} colours: give a label map of one plane")
    return PlaneLabels(planes[0], integers=False)


def _map_of_directory(directory: Path) -> Path:
    for name in ("segmentation.fits", "truth_segmentation.fits"):
        if (directory / name).exists():
            return directory / name
    if (directory / "plan.json").exists():
        raise StarnetError(f"{directory} holds a run that is not finished: start `starnet segment` on it again")
    raise StarnetError(
        f"{directory} is no run directory (it has no segmentation.fits): name one that `starnet segment -o` wrote, "
        "or a file"
    )


def _label_hdu(hdus: list[Hdu]) -> Hdu:
    """The extension with the objects: one of the known names, else the first of integers, else the first image."""
    images = [hdu for hdu in hdus if hdu.is_plane]
    if not images:
        raise StarnetError(f"{hdus[0].path} holds no image, hence no labels: give the file of a label map")
    for name in _EXTENSIONS:
        for hdu in images:
            if hdu.name == name:
                return hdu
    return next((hdu for hdu in images if int(hdu.header["BITPIX"]) > 0), images[0])
