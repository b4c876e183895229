"""The mosaic: bands on one pixel grid, read in windows, with their noise, quality, WCS, units and zero points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import ArrayLike, NDArray

from starnet import instruments
from starnet.errors import StarnetError
from starnet.io import headers
from starnet.io.bands import Band, Opened, open_bands, with_weights
from starnet.io.companions import Flags, Source, Weight
from starnet.io.planes import ArrayPlane, Plane, label
from starnet.tiles import Box

__all__ = ["ArrayMosaic", "Band", "Mosaic", "Pixels"]

#: How far apart, in pixels, two bands may put the same pixel. Headers of one grid agree to 1e-4 px and better even when
#: their numbers were rounded; a CRPIX off by half a pixel, the usual mistake, must not pass. A shift of 0.05 px changes
#: the flux of a star in a segment by less than 0.1 %.
GRID_TOLERANCE = 0.05

Weights = Literal["none"] | Sequence[str | Path | None] | None


@dataclass
class Pixels:
    """The pixels of a window, native byte order.

    Attributes
    ----------
    box : Box
        The window.
    data : ndarray
        ``(nband, ny, nx)`` float32 in the units of the bands; NaN where there is no data.
    ivar : ndarray or None
        ``(nband, ny, nx)`` float32 inverse variance, 0 where there is no coverage. NaN in a band without weight map,
        None if no band has one.
    valid : ndarray
        ``(nband, ny, nx)`` bool: finite, covered where there is a weight map, and not flagged as bad.
    saturated : ndarray or None
        ``(ny, nx)`` bool: saturated in any band; None if nothing is known of it.
    """

    box: Box
    data: NDArray[np.float32]
    ivar: NDArray[np.float32] | None
    valid: NDArray[np.bool_]
    saturated: NDArray[np.bool_] | None


class Mosaic:
    """Bands on one pixel grid.

    It holds no image, and no open file: it may be sent to other processes, and be read from several threads.

    Attributes
    ----------
    bands : tuple of Band
        In the order of the inputs.
    shape : tuple of int
        ``(ny, nx)`` in pixels.
    instrument : Instrument or None
        Preset that all bands share.
    origin : {"lower", "upper"}
        Where row 0 is shown: below (FITS), or above if all inputs are pictures (PNG, JPEG, TIFF). Row 0 is always the
        first row of the file.
    notes : list of str
        What the user may want to know of the inputs.
    """

    def __init__(self, opened: Sequence[Opened], notes: Sequence[str] = ()) -> None:
        if not opened:
            raise StarnetError("there is no input: give at least one image file")
        self.bands = tuple(one.band for one in opened)
        self.shape = opened[0].band.science.shape
        self.notes = list(notes)
        found = {one.instrument.name: one.instrument for one in opened if one.instrument is not None}
        self.instrument = next(iter(found.values())) if len(found) == 1 else None
        self.origin: Literal["lower", "upper"] = "upper" if all(one.raster for one in opened) else "lower"
        if self.origin == "lower" and any(one.raster for one in opened):
            self.notes.append("pictures and FITS images are matched row by row in the order of their files")
        self._check_names()
        self._check_shapes()
        self._cards = self._common_wcs(opened)

    @classmethod
    def open(cls, inputs: Sequence[str | Path], *, instrument: str | None = None, weights: Weights = None) -> Mosaic:
        """Open the bands of a mosaic.

        Parameters
        ----------
        inputs : sequence of str or Path
            ``path``, ``path[HDU]`` or ``NAME=path[HDU]`` each; HDU is ``EXTNAME``, ``EXTNAME,version`` or an index,
            and may be followed by ``[plane]`` of a cube. Without HDU it is the instrument's science extension, else
            ``SCI``, else the first image. Without NAME it is the filter that the header names, else one that the file
            name contains, else the stem. A PNG, JPEG or TIFF is three bands ``R``, ``G``, ``B``, or one, ``L``, or one
            a page. Plain and tile-compressed FITS (``.fz``) and uncompressed TIFF are read in windows; all others
            (``.fits.gz``, PNG, JPEG) are decoded whole by each process that reads them.
        instrument : str, optional
            Name of a preset (`starnet.instruments`); detected from the headers if not given.
        weights : "none" or sequence, optional
            By default weight maps are looked for in the same file and beside it. ``"none"`` leaves them out; a sequence
            gives one for each band: ``kind=path[HDU]`` (kinds as in `companions.WEIGHT_NAMES`) or None.

        Raises
        ------
        StarnetError
            If an input cannot be used, or the bands do not lie on one grid.
        """
        preset = None if instrument is None else instruments.get(instrument)
        if isinstance(inputs, str | Path):
            inputs = [inputs]
        opened: list[Opened] = []
        notes: list[str] = []
        for text in inputs:
            found, remarks = open_bands(Source.parse(text), preset, search=weights is None)
            opened += found
            notes += remarks
        if weights is not None and weights != "none":
            opened = with_weights(opened, weights)
        return cls(opened, notes)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "wcs"}

    @cached_property
    def wcs(self) -> WCS | None:
        """Celestial WCS, distortions included; None if no input has any."""
        return None if self._cards is None else headers.make_wcs(self._cards)

    def wcs_header(self) -> fits.Header:
        """Cards that say the same in the header of an output; none without a WCS."""
        return fits.Header() if self._cards is None else self._cards.copy()

    @property
    def pixel_scale(self) -> float | None:
        """Side of a pixel in arcsec, at the reference point; None without a WCS."""
        return None if self.wcs is None else float(np.degrees(np.sqrt(headers.pixel_area(self.wcs))) * 3600)

    @property
    def whole(self) -> Box:
        """All of it."""
        return Box(0, self.shape[0], 0, self.shape[1])

    def fingerprint(self) -> list[dict[str, Any]]:
        """Identity of the inputs, ready for JSON: change one and the fingerprint changes."""
        return [
            {
                "band": band.name,
                **_identity(band.science),
                "weight": _identity(w.plane) | {"kind": w.kind} if (w := band.weight_source) is not None else None,
                "flags": _identity(band.flags.plane) if band.flags is not None else None,
            }
            for band in self.bands
        ]

    def read(self, box: Box) -> Pixels:
        """Read a window of all bands.

        Parameters
        ----------
        box : Box
            Inside the mosaic, not empty.

        Raises
        ------
        ValueError
            If it is not.
        StarnetError
            If a file is damaged or has changed.
        """
        if box.clip(self.shape) != box or not box.size:
            raise ValueError(f"{box} does not lie inside a mosaic of {self.shape} pixels")
        shape = (len(self.bands), *box.shape)
        data = np.empty(shape, np.float32)
        valid = np.empty(shape, np.bool_)
        ivar = np.empty(shape, np.float32) if any(band.has_weight for band in self.bands) else None
        saturated: NDArray[np.bool_] | None = None
        for i, band in enumerate(self.bands):
            band.science.read(box, data[i])
            np.isfinite(data[i], out=valid[i])
            if not valid[i].all():
                data[i][~valid[i]] = np.nan
            for mask in _saturated(band, box, data[i], valid[i]):
                saturated = mask if saturated is None else np.logical_or(saturated, mask, out=saturated)
            if ivar is not None:
                if band.weight_source is None:
                    ivar[i] = np.nan
                else:
                    _read_ivar(band.weight_source, box, ivar[i])
                    valid[i] &= ivar[i] > 0
        return Pixels(box, data, ivar, valid, saturated)

    def _check_names(self) -> None:
        first: dict[str, Band] = {}
        for band in self.bands:
            if (other := first.setdefault(band.name, band)) is not band:
                raise StarnetError(
                    f"{label(other.science)} and {label(band.science)} are both called {band.name}: "
                    f"name the bands, as in NAME={band.path}"
                )

    def _check_shapes(self) -> None:
        for band in self.bands:
            if band.science.shape != self.shape:
                ny, nx = band.science.shape
                raise StarnetError(
                    f"{label(band.science)} is {nx} x {ny} pixels, but {label(self.bands[0].science)} is "
                    f"{self.shape[1]} x {self.shape[0]}: resample the bands to one pixel grid first"
                )

    def _common_wcs(self, opened: Sequence[Opened]) -> fits.Header | None:
        first = next((one for one in opened if one.wcs is not None), None)
        if first is None:
            return None
        reference = headers.make_wcs(first.wcs)
        for one in opened:
            if one.wcs is None:
                here, there = label(one.band.science), label(first.band.science)
                self.notes.append(f"{here} has no WCS: it is taken to lie on the grid of {there}")
            elif one is not first:
                offset = headers.grid_offset(reference, headers.make_wcs(one.wcs), self.shape)
                if offset > GRID_TOLERANCE:
                    how = f"by {offset:.3g} pixels" if np.isfinite(offset) else "in their coordinate systems"
                    raise StarnetError(
                        f"the WCS of {label(one.band.science)} and {label(first.band.science)} differ {how}: "
                        "resample the bands to one pixel grid first, or mend the header"
                    )
        return first.wcs


class ArrayMosaic(Mosaic):
    """A mosaic of arrays in memory, read by the same code as files.

    Parameters
    ----------
    data : ndarray
        ``(nband, ny, nx)``; NaN where there is no data.
    ivar : ndarray, optional
        Inverse variance of the same shape; a band of NaN alone has no weight map.
    names : sequence of str, optional
        Of the bands; ``B0``, ``B1``, ... by default.
    valid : ndarray of bool, optional
        Of the same shape; False where a pixel is spoiled.
    saturation : float, optional
        Pixels at or above it are saturated.
    """

    def __init__(
        self,
        data: ArrayLike,
        ivar: ArrayLike | None = None,
        *,
        names: Sequence[str] | None = None,
        valid: ArrayLike | None = None,
        saturation: float | None = None,
    ) -> None:
        self.data = np.asarray(data, np.float32)
        self.ivar = None if ivar is None else np.asarray(ivar, np.float32)
        spoiled = None if valid is None else np.logical_not(valid).astype(np.uint8)
        bands = []
        for i, name in enumerate(names or [f"B{i}" for i in range(len(self.data))]):
            weight = flags = None
            if self.ivar is not None and not np.isnan(self.ivar[i]).all():
                weight = Weight("weight", ArrayPlane(self.ivar[i], f"{name} weight"))
            if spoiled is not None:
                flags = Flags(ArrayPlane(spoiled[i], f"{name} flags"), bad=1, saturated=0)
            bands.append(Band(name, ArrayPlane(self.data[i], name), weight, flags, saturation=saturation))
        super().__init__([Opened(band, None, None, raster=False) for band in bands])

    def fingerprint(self) -> list[dict[str, Any]]:
        """Names and sizes; an array has no other identity."""
        return [{"band": band.name, "file": "array", "bytes": self.data[0].nbytes} for band in self.bands]


def _read_ivar(weight: Weight, box: Box, out: NDArray[np.float32]) -> None:
    """Inverse variance from whatever kind of plane; 0 where that is no positive number."""
    weight.plane.read(box, out)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        # One comparison finds NaN, negative numbers and infinities alike.
        np.copyto(out, 0, where=~((out > 0) & (out < np.inf)))
        if weight.kind in ("err", "var"):
            covered = out > 0
            if weight.kind == "err":
                np.multiply(out, out, out=out)
            np.divide(1, out, out=out, where=covered)
            if np.isinf(out).any():
                raise StarnetError(
                    f"{label(weight.plane)} has pixels so small that 1/variance is beyond float32: "
                    "scale image and errors to a larger unit, such as nJy"
                )


def _saturated(band: Band, box: Box, data: NDArray[np.float32], valid: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Masks of saturated pixels; flags that spoil pixels are taken out of `valid` on the way."""
    masks: list[NDArray[np.bool_]] = []
    if band.saturation is not None:
        masks.append(data >= band.saturation)
    if band.flags is not None:
        bits = band.flags.plane.read(box, np.empty(box.shape, np.int64))
        valid &= (bits & band.flags.bad) == 0
        if band.flags.saturated:
            masks.append((bits & band.flags.saturated) != 0)
    return masks


def _identity(plane: Plane) -> dict[str, Any]:
    try:
        stat = plane.path.stat()
    except OSError as error:
        raise StarnetError(f"{plane.path} is gone since it was opened ({error.strerror}): put it back") from error
    return {"file": plane.path.name, "hdu": plane.hdu, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
