"""Planes of PNG, JPEG and TIFF images.

Row 0 is the first row of the file, hence the top of a PNG; nothing is flipped, and the orientation that cameras write
into EXIF is not applied. Where alpha is 0 there is no data (NaN); other alpha is dropped. Uncompressed TIFF files are
read in windows, all others are decoded whole.
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from starnet.errors import StarnetError
from starnet.io.planes import Plane, RawPlane, assign, first_line, quiet
from starnet.tiles import Box

#: Images above are not decoded whole. It is Pillow's limit, beyond which it suspects a decompression bomb.
MAX_PIXELS = 89_478_485

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_COLOURS = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


class Raster:
    """A small image, decoded whole; its planes share the pixels, which do not travel to other processes."""

    def __init__(self, path: Path, tiff: bool) -> None:
        self.path, self.tiff = path, tiff
        self._lock = threading.Lock()
        self._pixels: NDArray[Any] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Raster, (self.path, self.tiff)

    @property
    def pixels(self) -> NDArray[Any]:
        """Array ``(plane, ny, nx)``."""
        with self._lock:
            if self._pixels is None:
                self._pixels = _decode_tiff(self.path) if self.tiff else _decode(self.path)
            return self._pixels


@dataclass(frozen=True)
class RasterPlane:
    """One colour or page of a `Raster`."""

    raster: Raster
    hdu: str
    shape: tuple[int, int]
    index: int

    @property
    def path(self) -> Path:
        """The file."""
        return self.raster.path

    def read(self, box: Box, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """See `Plane.read`."""
        out = np.empty(box.shape, np.float32) if out is None else out
        assign(out, self.raster.pixels[self.index][box.slices])
        return out


@dataclass(frozen=True)
class MaskedPlane:
    """A plane that has no data where another one, its alpha, is 0."""

    plane: Plane
    alpha: Plane

    @property
    def path(self) -> Path:
        """The file."""
        return self.plane.path

    @property
    def hdu(self) -> str:
        """Name of the colour."""
        return self.plane.hdu

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)`` in pixels."""
        return self.plane.shape

    def read(self, box: Box, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """See `Plane.read`."""
        out = self.plane.read(box, out)
        out[self.alpha.read(box) == 0] = np.nan if out.dtype.kind == "f" else 0
        return out


def read_raster(path: Path, head: bytes) -> tuple[list[Plane], list[str]]:
    """Planes of an image file that is not FITS, and remarks for the user.

    Parameters
    ----------
    path : Path
        The file.
    head : bytes
        Its first bytes.

    Returns
    -------
    list of Plane
        Their `hdu` is ``L`` (grey), ``R``, ``G``, ``B``, or the number of the page from 0.
    list of str
        Remarks.

    Raises
    ------
    StarnetError
        If it is no image, is damaged, has pixels that are no real numbers, or is too large to be decoded whole.
    """
    if head.startswith(_TIFF):
        planes, plain = _tiff_planes(path)
        if plain:
            return planes, []
    raster = Raster(path, tiff=False)
    names = _COLOURS[len(raster.pixels)]
    notes = []
    if head.startswith(b"\x89PNG") and head[24:26] in (b"\x10\x02", b"\x10\x06"):
        notes.append(f"{path} has 16 bits a colour, of which 8 are read: TIFF or FITS would keep them all")
    return _masked([RasterPlane(raster, name, _size(raster.pixels), k) for k, name in enumerate(names)]), notes


def _size(pixels: NDArray[Any]) -> tuple[int, int]:
    return int(pixels.shape[-2]), int(pixels.shape[-1])


def _masked(planes: list[Any]) -> list[Plane]:
    """Planes without their alpha, but without data where it is 0."""
    if planes[-1].hdu != "A":
        return planes
    return [MaskedPlane(plane, planes[-1]) for plane in planes[:-1]]


def _decode(path: Path) -> NDArray[Any]:
    """Decode an image with Pillow."""
    try:
        with quiet():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                clear = "transparency" in image.info
                plain = image.mode in ("L", "LA", "I", "F", "RGB", "RGBA") or image.mode.startswith("I;16")
                if image.mode == "1":
                    pixels = np.asarray(image.convert("L"))
                elif plain and not clear:
                    pixels = np.asarray(image)
                else:
                    pixels = np.asarray(image.convert("RGBA" if clear or image.mode in ("PA", "La", "RGBa") else "RGB"))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise StarnetError(_too_large(path)) from error
    except UnidentifiedImageError as error:
        raise StarnetError(f"{path} is neither FITS nor an image that Pillow can read: is it damaged?") from error
    except Exception as error:  # OSError, SyntaxError, ValueError, struct.error, zlib.error... of damaged images
        raise StarnetError(f"{path} cannot be decoded ({first_line(error)}): is it damaged?") from error
    return pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def _too_large(path: Path) -> str:
    return (
        f"{path} has more than {MAX_PIXELS // 10**6} million pixels, too many to be decoded whole: "
        "convert it to FITS or to uncompressed TIFF, which are read in windows"
    )


def _tiff_planes(path: Path) -> tuple[list[Plane], bool]:
    """Planes of a TIFF, and whether that is what they are (a palette, say, is left to Pillow)."""
    try:
        with tifffile.TiffFile(path) as file:
            series, order = file.series[0], file.byteorder
            page, axes, shape = series.keyframe, series.axes, series.shape
            dtype = np.dtype(series.dtype).newbyteorder(order)
            offset = series.dataoffset if page.bitspersample == 8 * dtype.itemsize else None
    except Exception as error:  # TiffFileError, ValueError, struct.error, IndexError... of damaged files
        raise StarnetError(f"{path} cannot be read as TIFF ({first_line(error)}): is it damaged?") from error
    if page.photometric not in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB):
        return [], False
    if dtype.kind not in "buif":
        raise StarnetError(f"{path} has pixels of type {dtype.name}: save it with integers or floats")
    kept = [(axis, n) for axis, n in zip(axes, shape, strict=True) if axis in "YX" or n > 1]
    layout = "".join("YX"["YX".index(axis)] if axis in "YX" else "S" if axis == "S" else "P" for axis, _ in kept)
    if layout not in ("YX", "YXS", "SYX", "PYX") or 0 in shape:
        size = " x ".join(map(str, shape))
        raise StarnetError(
            f"{path} is {size} pixels with axes {axes}, not an image: save one plane or one stack of them"
        )
    (ny, nx) = (next(n for axis, n in kept if axis == wanted) for wanted in "YX")
    count = int(np.prod(shape)) // (ny * nx)
    rgb = page.photometric == tifffile.PHOTOMETRIC.RGB and count in (3, 4)
    names = _COLOURS[count] if rgb or count == 1 else [str(k) for k in range(count)]
    if offset is not None:
        has, needed = path.stat().st_size, offset + count * ny * nx * dtype.itemsize
        if has < needed:
            raise StarnetError(f"{path} is truncated: it asks for {needed} bytes and has {has}; copy it again")
        first = RawPlane(path, "", (ny, nx), dtype.str, offset)
        step = ny * nx * dtype.itemsize
        planes: list[Any] = [
            replace(first, hdu=name, samples=count, sample=k)
            if layout == "YXS"
            else replace(first, hdu=name, offset=offset + k * step)
            for k, name in enumerate(names)
        ]
        return _masked(planes), True
    if count * ny * nx > 4 * MAX_PIXELS:
        raise StarnetError(_too_large(path))
    raster = Raster(path, tiff=True)
    planes = [RasterPlane(raster, name, _size(raster.pixels), k) for k, name in enumerate(names)]
    return _masked(planes), True


def _decode_tiff(path: Path) -> NDArray[Any]:
    """Decode a compressed or tiled TIFF."""
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            pixels = np.asarray(series.asarray())
            if series.axes.endswith("YXS"):
                pixels = np.moveaxis(pixels, -1, 0)
    except Exception as error:  # damaged files, and codecs that are not installed
        raise StarnetError(f"{path} cannot be decoded ({first_line(error)}): save it uncompressed") from error
    return pixels.reshape(-1, *_size(pixels))
