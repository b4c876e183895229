"""The HDUs of a FITS file: what they hold, which one is meant, and the reader of its pixels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from astropy.io import fits

from starnet.errors import StarnetError
from starnet.io.planes import CompressedPlane, PackedPlane, Plane, RawPlane, first_line, quiet

#: First bytes of gzip, bzip2, xz, zip and compress files, all of which astropy unpacks.
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"PK\x03\x04", b"\x1f\x9d")
_DTYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


@dataclass(frozen=True)
class Hdu:
    """What a FITS file says about one of its HDUs.

    Attributes
    ----------
    path, index, name, version
        Where it is; `name` is EXTNAME (else EXTTYPE) in capitals, empty if there is none.
    kind : {"image", "compressed", "table", "empty"}
        An image may be stored plainly or in compressed tiles.
    shape : tuple of int
        Of the array, slowest axis first.
    header : astropy.io.fits.Header
        Of the image (not of the table that holds a compressed one).
    offset : int
        Byte in the file where the data begin.
    tile : tuple of int or None
        Shape of the tiles of a compressed image.
    packed : bool
        Whether the whole file is gzipped or the like, so that windows of it cannot be read.
    """

    path: Path
    index: int
    name: str
    version: int
    kind: Literal["image", "compressed", "table", "empty"]
    shape: tuple[int, ...]
    header: fits.Header
    offset: int
    tile: tuple[int, ...] | None
    packed: bool

    @property
    def selector(self) -> str:
        """What the user writes between brackets to choose this HDU."""
        if not self.name or self.name == "PRIMARY":
            return str(self.index)
        return self.name if self.version == 1 else f"{self.name},{self.version}"

    @property
    def size(self) -> str:
        """Length of the axes, NAXIS1 first."""
        return " x ".join(map(str, reversed(self.shape)))

    def __str__(self) -> str:
        return f"{self.path}[{self.selector}]"

    @property
    def is_plane(self) -> bool:
        """Whether it is an image of two axes, but for leading axes of length 1."""
        return self.kind in ("image", "compressed") and len(self.shape) >= 2 and all(n == 1 for n in self.shape[:-2])


def read_head(path: Path) -> bytes:
    """First bytes of a file, from which its format is known.

    Raises
    ------
    StarnetError
        If there is no such file, or it may not be read.
    """
    if path.is_dir():
        raise StarnetError(f"{path} is a folder: give the image files in it by name")
    try:
        with path.open("rb") as file:
            return file.read(32)
    except FileNotFoundError as error:
        raise StarnetError(f"{path} does not exist: check the name and the folder") from error
    except OSError as error:
        raise StarnetError(f"{path} cannot be opened ({error.strerror}): check its permissions") from error


def is_fits(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a FITS file, or a packed one."""
    return head.startswith((b"SIMPLE", *_PACKED))


def read_hdus(path: Path) -> list[Hdu]:
    """List the HDUs of a FITS file.

    Raises
    ------
    StarnetError
        If the file is not there, is no FITS file, or is shorter than its headers say.
    """
    packed = read_head(path).startswith(_PACKED)
    try:
        with quiet(), fits.open(path, memmap=False) as hdus:
            found = [_describe(path, index, hdu, packed) for index, hdu in enumerate(hdus)]
    except StarnetError:
        raise
    except Exception as error:  # broken headers raise OSError, ValueError, KeyError, TypeError, VerifyError...
        raise StarnetError(f"{path} cannot be read as FITS ({first_line(error)}): is it damaged?") from error
    return found


def _describe(path: Path, index: int, hdu: Any, packed: bool) -> Hdu:
    header = hdu.header
    compressed = isinstance(hdu, fits.CompImageHDU)
    shape = tuple(int(n) for n in hdu.shape) if hdu.is_image else ()
    info = hdu.fileinfo() or {}
    offset = int(info.get("datLoc") or 0)
    # Many a file lacks the padding of its last block to 2880 bytes, and needs it not.
    needed = offset + max(0, int(info.get("datSpan") or 0) - 2879)
    if hdu.is_image and not compressed and shape:
        needed = offset + int(np.prod(shape)) * abs(int(header["BITPIX"])) // 8
    if not packed and (size := path.stat().st_size) < needed:
        raise StarnetError(
            f"{path}[{index}] is truncated: its header asks for {needed} bytes, the file has {size}; copy it again"
        )
    name = str(hdu.name or card([header], "EXTTYPE") or "").strip().upper()
    kind: Any = "table" if not hdu.is_image else "empty" if not shape else "compressed" if compressed else "image"
    tile = tuple(int(n) for n in hdu.tile_shape) if compressed else None
    return Hdu(path, index, name, int(hdu.ver), kind, shape, header, offset, tile, packed)


def card(headers: list[fits.Header], *keys: str) -> Any | None:
    """Value of the first of the keys that any of the headers has; None if all are missing, blank or unreadable."""
    for key in keys:
        for header in headers:
            try:
                value = header.get(key)
            except fits.VerifyError:  # a card that no reader of FITS understands
                continue
            if value is not None and not isinstance(value, fits.card.Undefined) and str(value).strip():
                return value
    return None


def number(headers: list[fits.Header], *keys: str) -> float | None:
    """Like `card`, for finite numbers alone; what is none counts as missing."""
    for key in keys:
        value = card(headers, key)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            continue
        try:
            if np.isfinite(found := float(value)):
                return found
        except ValueError:
            continue
    return None


def find_hdu(hdus: list[Hdu], selector: str) -> Hdu:
    """HDU by ``NAME``, ``NAME,version`` or index.

    Raises
    ------
    StarnetError
        If there is none, with the list of those there are.
    """
    name, _, version = (part.strip().upper() for part in selector.partition(","))
    for hdu in hdus:
        if hdu.name == name and (not version or str(hdu.version) == version):
            return hdu
    if re.fullmatch(r"\d+", name) and not version and int(name) < len(hdus):
        return hdus[int(name)]
    listed = [f"[{h.selector}] ({h.kind if h.kind in ('table', 'empty') else h.size})" for h in hdus]
    more = ", ..." if len(listed) > 20 else ""
    raise StarnetError(f"{hdus[0].path} has no HDU [{selector}]: choose one of {', '.join(listed[:20])}{more}")


def science_hdu(hdus: list[Hdu], names: tuple[str, ...] = ()) -> Hdu:
    """HDU of the image: the first of `names` there is, else ``SCI``, else the first image of two axes.

    Raises
    ------
    StarnetError
        If the file holds no image.
    """
    for name in (*names, "SCI"):
        for hdu in hdus:
            if hdu.name == name and hdu.kind in ("image", "compressed"):
                return hdu
    images = [hdu for hdu in hdus if hdu.kind in ("image", "compressed")]
    if not images:
        tables = "only tables" if any(hdu.kind == "table" for hdu in hdus) else "no data"
        raise StarnetError(f"{hdus[0].path} holds {tables}, not an image: give the file of the mosaic")
    return next((hdu for hdu in images if hdu.is_plane), images[0])


def open_plane(hdu: Hdu, plane: int | None = None) -> Plane:
    """Make the reader of an image HDU.

    Parameters
    ----------
    hdu : Hdu
        The HDU.
    plane : int, optional
        Which plane of a cube, counted from 0 along its slowest axis.

    Raises
    ------
    StarnetError
        If the HDU is no image, has no pixels or pixels of an unknown type, or is a cube and no plane is chosen.
    """
    if hdu.kind in ("table", "empty"):
        what = "a table" if hdu.kind == "table" else "an HDU without data"
        raise StarnetError(f"{hdu} is {what}, not an image: choose another HDU, as in {hdu.path}[SCI]")
    if len(hdu.shape) < 2:
        raise StarnetError(f"{hdu} has one axis, not the two of an image: choose another HDU, as in {hdu.path}[SCI]")
    if 0 in hdu.shape:
        raise StarnetError(f"{hdu} has no pixels ({hdu.size}): write the image again, or choose another HDU")
    leading, shape = hdu.shape[:-2], (hdu.shape[-2], hdu.shape[-1])
    count = int(np.prod(leading))
    if plane is None and count > 1:
        raise StarnetError(
            f"{hdu} is a cube of {hdu.size} pixels, not an image: "
            f"choose a plane, {hdu}[0] to {hdu}[{count - 1}], or another HDU"
        )
    k = plane or 0
    if k >= count:
        raise StarnetError(f"{hdu} has no plane [{k}]: choose one of {hdu}[0] to {hdu}[{count - 1}]")
    name = hdu.selector if count == 1 else f"{hdu.selector}][{k}"
    bits = int(hdu.header["BITPIX"])
    if bits not in _DTYPES:
        raise StarnetError(f"{hdu} has pixels of an unknown type (BITPIX = {bits}): write it with 32-bit floats")
    if hdu.packed:
        return PackedPlane(hdu.path, name, shape, hdu.index, k)
    if hdu.tile is not None:
        at = tuple(int(i) for i in np.unravel_index(k, leading)) if leading else ()
        tile = (hdu.tile[-2], hdu.tile[-1])
        return CompressedPlane(hdu.path, name, shape, hdu.index, at, tile, abs(bits) // 8)
    start = hdu.offset + k * shape[0] * shape[1] * abs(bits) // 8
    return RawPlane(hdu.path, name, shape, _DTYPES[bits], start, *_scaling(hdu))


def _scaling(hdu: Hdu) -> tuple[float, float, int | None]:
    """BSCALE, BZERO and BLANK of a header."""
    cards = {key: card([hdu.header], key) for key in ("BSCALE", "BZERO", "BLANK")}
    if int(hdu.header["BITPIX"]) < 0:
        cards["BLANK"] = None  # belongs to integers; it means nothing here (FITS standard 4.0, section 4.4.2.5)
    for key, value in cards.items():
        if value is not None and number([hdu.header], key) is None:
            raise StarnetError(f"{hdu} has a {key} that is no number ({value!r}): mend its header")
    scale, zero, blank = cards.values()
    return (
        1.0 if scale is None else float(scale),
        0.0 if zero is None else float(zero),
        None if blank is None else int(blank),  # of up to 64 bits, more than a float holds
    )
