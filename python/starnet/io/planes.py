"""Readers of one image plane: any window, as native float32, without ever holding the image.

Row 0 of a window is the first row stored in the file: the bottom row of a FITS image as it is usually shown,
the top row of a PNG.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

from starnet import _core
from starnet.errors import StarnetError
from starnet.tiles import Box

#: Bytes read before they are converted: few enough to lie in the cache of a core still.
_STRIP_BYTES = 1 << 20
#: Largest block of decompressed tiles that a compressed plane keeps.
CACHED_BYTES = 64 << 20

_quiet_lock = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep astropy's remarks on stubborn headers from the user; one thread at a time, as filters are global."""
    with _quiet_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        yield


def first_line(error: BaseException) -> str:
    """What a library's error says, short enough to be put between brackets."""
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


class Plane(Protocol):
    """One image plane of a file; picklable, and safe to read from several threads."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def hdu(self) -> str:
        """Which image of the file: ``SCI``, ``SCI,2``, ``0``, ``R``."""

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)`` in pixels."""

    def read(self, box: Box, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Read the pixels of `box`, which must lie inside the image.

        Parameters
        ----------
        box : Box
            The window.
        out : ndarray, optional
            Array of the shape of `box` to fill; physical values are cast to its dtype. Otherwise a new float32 array.

        Returns
        -------
        ndarray
            `out`, native byte order; NaN where the file says BLANK (0 if the dtype has no NaN).

        Raises
        ------
        StarnetError
            If the file is damaged or has changed since it was opened.
        """


def label(plane: Plane) -> str:
    """Name a plane in a message: ``mosaic.fits[SCI]``."""
    return f"{plane.path}[{plane.hdu}]"


def physical(raw: NDArray[Any], scale: float, zero: float, blank: int | None) -> NDArray[Any]:
    """Values of stored pixels: ``zero + scale * raw``, NaN at `blank`.

    The arithmetic is astropy's, so that pixels are equal to the last bit: in float32 for integers of 8 and 16 bits,
    in float64 for longer ones, in the pixel's own type for floats; exact for unsigned integers stored with a BZERO of
    half their range. Unlike in astropy, BLANK counts for these too.
    """
    kind, size = raw.dtype.kind, raw.dtype.itemsize
    half = 1 << (8 * size - 1)
    working = raw.dtype.newbyteorder("=") if kind == "f" else np.dtype(np.float32 if size <= 2 else np.float64)
    if scale == 1 and zero == 0:
        values = raw
    elif kind != "f" and scale == 1 and zero == (-half if kind == "u" else half):
        flipped = raw.astype(f"u{size}") ^ np.array(half, f"u{size}")
        values = flipped.view("i1") if kind == "u" else flipped
    else:
        values = raw.astype(working)
        with np.errstate(over="ignore", invalid="ignore"):
            if scale != 1:
                values *= scale
            if zero != 0:
                values += zero
    if blank is not None and kind != "f" and (missing := raw == blank).any():
        values = values.astype(working)
        values[missing] = np.nan
    return values


def assign(out: NDArray[Any], values: NDArray[Any]) -> None:
    """Copy, cast and change the byte order in one pass.

    What float32 cannot hold becomes infinite; what is not finite becomes 0 in an integer.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if out.dtype.kind in "iu" and values.dtype.kind == "f":
            values = np.where(np.isfinite(values), values, 0)
        out[...] = values


@dataclass(frozen=True)
class RawPlane:
    """Pixels that lie one after the other in a file, read row by row.

    Reads, not a mapping: pages of a mapping count as resident memory (64 kB around each row of a window), cost more
    than a read once the file is not fresh in the page cache, and kill the process if the file is cut short.

    Attributes
    ----------
    path, hdu, shape
        As in `Plane`.
    dtype : str
        Of a stored pixel, byte order included.
    offset : int
        Byte where the first pixel lies.
    scale, zero, blank
        As in `physical`.
    samples, sample : int
        Interleaved colours (TIFF): how many, and which.
    """

    path: Path
    hdu: str
    shape: tuple[int, int]
    dtype: str
    offset: int
    scale: float = 1.0
    zero: float = 0.0
    blank: int | None = None
    samples: int = 1
    sample: int = 0

    def read(self, box: Box, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """See `Plane.read`."""
        out = np.empty(box.shape, np.float32) if out is None else out
        if not box.size:
            return out
        item = np.dtype(self.dtype).itemsize * self.samples
        row, part = self.shape[1] * item, box.shape[1] * item
        rows = max(1, _STRIP_BYTES // part)
        strip = np.empty((min(rows, box.shape[0]), box.shape[1], self.samples), self.dtype)
        view = strip.view(np.uint8).reshape(len(strip), part)
        try:
            with self.path.open("rb", buffering=0) as file:
                for y0 in range(box.y0, box.y1, rows):
                    n = min(rows, box.y1 - y0)
                    start = self.offset + y0 * row + box.x0 * item
                    _core.read_rows(file.fileno(), start, row, view[:n])
                    values = physical(strip[:n, :, self.sample], self.scale, self.zero, self.blank)
                    assign(out[y0 - box.y0 : y0 - box.y0 + n], values)
        except OSError as error:
            raise StarnetError(
                f"{label(self)} has changed since it was opened ({error.strerror or error}): put it back or start again"
            ) from error
        return out


@dataclass(frozen=True)
class ArrayPlane:
    """Pixels in memory.

    Attributes
    ----------
    pixels : ndarray
        ``(ny, nx)``, of any dtype.
    hdu : str
        What messages call it.
    path : Path
        Stands for a file, of which there is none.
    """

    pixels: NDArray[Any]
    hdu: str
    path: Path = Path("array")

    @property
    def shape(self) -> tuple[int, int]:
        """See `Plane.shape`."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def read(self, box: Box, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """See `Plane.read`."""
        out = np.empty(box.shape, np.float32) if out is None else out
        assign(out, self.pixels[box.slices])
        return out


class _Cached:
    """A plane that keeps some pixels of its file in memory, but never takes them along to another process."""

    def __init__(self, path: Path, hdu: str, shape: tuple[int, int]) -> None:
        self.path, self.hdu, self.shape = path, hdu, shape
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._box = Box(0, 0, 0, 0)
        self._block: NDArray[Any] = np.empty((0, 0))

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_lock", "_box", "_block")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _take(self, index: int, pixels: Callable[[Any], Any]) -> NDArray[Any]:
        """Open the file, take pixels of one HDU, close it again."""
        try:
            with quiet():
                hdus = fits.open(self.path, memmap=False)
            with hdus:
                with quiet():
                    hdu = hdus[index]
                return np.asarray(pixels(hdu))
        except Exception as error:  # OSError, EOFError, zlib.error, and whatever the decompressors raise
            raise StarnetError(
                f"{self.path}[{self.hdu}] is damaged ({first_line(error)}): copy or download it again"
            ) from error


class CompressedPlane(_Cached):
    """A tile-compressed image (FITS standard 4.0, section 10): only the tiles under a window are decompressed.

    The last block of tiles is kept while it is no larger than `CACHED_BYTES`: the usual tiles are whole rows, and the
    windows along one row of a grid would decompress the same ones again and again.

    Parameters
    ----------
    path, hdu, shape
        As in `Plane`.
    index : int
        Of the HDU.
    leading : tuple of int
        Index along the axes before y and x, if there are any.
    tile : tuple of int
        ``(ny, nx)`` of a tile.
    itemsize : int
        Bytes of a decompressed pixel.
    """

    def __init__(
        self,
        path: Path,
        hdu: str,
        shape: tuple[int, int],
        index: int,
        leading: tuple[int, ...],
        tile: tuple[int, int],
        itemsize: int,
    ) -> None:
        super().__init__(path, hdu, shape)
        self.index, self.leading, self.tile, self.itemsize = index, leading, tile, itemsize

    def block_bytes(self, box: Box) -> int:
        """Bytes of all the tiles that a window touches; above `CACHED_BYTES` they are not kept."""
        return self._covering(box).size * self.itemsize

    def _covering(self, box: Box) -> Box:
        ty, tx = self.tile
        return Box(box.y0 // ty * ty, -(-box.y1 // ty) * ty, box.x0 // tx * tx, -(-box.x1 // tx) * tx).clip(self.shape)

    def read(self, box: Box, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """See `Plane.read`."""
        out = np.empty(box.shape, np.float32) if out is None else out
        whole = self._covering(box)
        rows = max(1, CACHED_BYTES // (self.tile[0] * whole.shape[1] * self.itemsize)) * self.tile[0]
        with self._lock:
            for y0 in range(whole.y0, whole.y1, rows):
                tiles = Box(y0, min(whole.y1, y0 + rows), whole.x0, whole.x1)
                part = box.intersect(tiles)
                block, at = self._tiles(tiles)
                assign(out[part.slices_in(box)], block[part.slices_in(at)])
        return out

    def _tiles(self, box: Box) -> tuple[NDArray[Any], Box]:
        """Some decompressed block that holds `box`, and where it lies."""
        if self._box.intersect(box) == box:
            return self._block, self._box
        block = self._take(self.index, lambda hdu: hdu.section[(*self.leading, *box.slices)])
        if block.nbytes <= CACHED_BYTES:
            self._block, self._box = block, box
        return block, box


class PackedPlane(_Cached):
    """An image in a gzipped file (or bzip2, xz): unpacked whole at the first window and kept.

    Such a file has no windows; unpack it where memory matters.
    """

    def __init__(self, path: Path, hdu: str, shape: tuple[int, int], index: int, plane: int) -> None:
        super().__init__(path, hdu, shape)
        self.index, self.plane = index, plane

    def read(self, box: Box, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """See `Plane.read`."""
        out = np.empty(box.shape, np.float32) if out is None else out
        with self._lock:
            if not self._block.size:
                self._block = self._take(self.index, lambda hdu: hdu.data).reshape(-1, *self.shape)[self.plane]
        assign(out, self._block[box.slices])
        return out
