"""A FITS cube written box by box, in any order."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from astropy.io import fits
from numpy.typing import DTypeLike, NDArray

from starnet.atomic import replacing
from starnet.outputs.fits_blocks import descriptive_cards, header_bytes, padding
from starnet.tiles import Box

# BITPIX of the dtypes that FITS stores as they are.
_BITPIX = {"u1": 8, "i2": 16, "i4": 32, "i8": 64, "f4": -32, "f8": -64}


class FitsCubeWriter:
    """An image cube in the primary HDU of a FITS file, on disk alone: only the box at hand is in memory.

    Use it as a context manager. When the block ends well the file takes its place; when it ends with an error,
    nothing is left. Pixels that were never written are 0. Not for several threads at once.

    Parameters
    ----------
    path : str or Path
        The file to make or to replace.
    shape : tuple of int
        ``(nband, ny, nx)``.
    header : fits.Header, optional
        WCS and other keywords to keep. Those that describe storage and units, and ``DATE``, are left out.
    unit : str, optional
        ``BUNIT``.
    dtype : dtype-like
        float32 by default; any that FITS stores as it is.

    Raises
    ------
    StarnetError
        If the file cannot be written.
    ValueError
        If a size is not positive, or FITS has no such dtype.

    Examples
    --------
    >>> with FitsCubeWriter("cube.fits", (3, *mosaic.shape), mosaic.wcs.to_header()) as cube:  # doctest: +SKIP
    ...     for tile in TileGrid(mosaic.shape):
    ...         cube.write(tile.core, recipe.apply(mosaic, tile.core).image)
    """

    def __init__(
        self,
        path: str | Path,
        shape: tuple[int, int, int],
        header: fits.Header | None = None,
        *,
        unit: str | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        kind = np.dtype(dtype).str[1:]
        if kind not in _BITPIX:
            raise ValueError(
                f"FITS has no {np.dtype(dtype)}; take one of {', '.join(str(np.dtype(k)) for k in _BITPIX)}"
            )
        if min(shape) < 1:
            raise ValueError(f"shape {shape} must be positive")
        self.path = Path(path)
        self.shape = shape
        self._dtype = np.dtype(">" + kind)
        self._size = int(np.prod(shape, dtype=np.int64)) * self._dtype.itemsize
        cards: list[Any] = [
            ("SIMPLE", True, "FITS"),
            ("BITPIX", _BITPIX[kind], "array data type"),
            ("NAXIS", 3, "x, y, band"),
            ("NAXIS1", shape[2]),
            ("NAXIS2", shape[1]),
            ("NAXIS3", shape[0]),
        ]
        if unit is not None:
            cards.append(("BUNIT", unit, "unit of the pixels"))
        self._header = header_bytes(fits.Header([*cards, *descriptive_cards(header)]))
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            partial = stack.enter_context(replacing(self.path))
            self._file = stack.enter_context(partial.open("wb"))
            self._file.write(self._header)
            # Its whole length at once, padding included; the file system fills what is not written with zeros.
            self._file.truncate(len(self._header) + self._size + padding(self._size))
            self._stack = stack.pop_all()
        return self

    def write(self, box: Box, image: NDArray[Any]) -> None:
        """Write the pixels of a box.

        Parameters
        ----------
        box : Box
            Inside the cube.
        image : ndarray
            ``(nband, ny, nx)`` of the box.

        Raises
        ------
        ValueError
            If the shapes disagree, or the box is not inside.
        """
        if self._file is None:
            raise ValueError("the cube is not open: use it in a with statement")
        nband, ny, nx = self.shape
        if box.clip((ny, nx)) != box or image.shape != (nband, *box.shape):
            raise ValueError(f"{image.shape} does not fit {box} of a cube {self.shape}")
        pixels = image.astype(self._dtype, order="C")
        whole_rows = box.x0 == 0 and box.x1 == nx
        for band in range(nband):
            for y in [box.y0] if whole_rows else range(box.y0, box.y1):
                run = pixels[band] if whole_rows else pixels[band, y - box.y0]
                self._file.seek(len(self._header) + ((band * ny + y) * nx + box.x0) * self._dtype.itemsize)
                self._file.write(run.data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._file = None
        return self._stack.__exit__(kind, error, traceback)
