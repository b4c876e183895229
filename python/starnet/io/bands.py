"""One band of a mosaic: its image, and what belongs to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import astropy.units as u
from astropy.io import fits

from starnet import instruments
from starnet.errors import StarnetError
from starnet.instruments import Instrument
from starnet.io import headers
from starnet.io.companions import Flags, Source, Weight, find_flags, find_weight, open_weight
from starnet.io.hdus import card, find_hdu, is_fits, number, open_plane, read_hdus, read_head, science_hdu
from starnet.io.planes import CACHED_BYTES, CompressedPlane, Plane, label
from starnet.io.rasters import read_raster
from starnet.tiles import Box


@dataclass(frozen=True)
class Band:
    """One band of a mosaic.

    Attributes
    ----------
    name : str
        Filter.
    science : Plane
        Reader of its image.
    weight_source : Weight or None
        Where its noise is known from: `kind`, `path` and `hdu`.
    flags : Flags or None
        Its quality plane.
    unit : astropy unit or None
        Of a pixel; None if the header has none that astropy understands.
    zero_point : float or None
        AB magnitude of one unit.
    zero_point_source : str or None
        Where that comes from.
    saturation : float or None
        Pixels at or above it are saturated (header keyword SATURATE).
    """

    name: str
    science: Plane
    weight_source: Weight | None = None
    flags: Flags | None = None
    unit: u.UnitBase | None = None
    zero_point: float | None = None
    zero_point_source: str | None = None
    saturation: float | None = None

    @property
    def path(self) -> Path:
        """File of the image."""
        return self.science.path

    @property
    def hdu(self) -> str:
        """HDU of the image, as one writes it between brackets."""
        return self.science.hdu

    @property
    def has_weight(self) -> bool:
        """Whether there is a weight map, an error or a variance plane."""
        return self.weight_source is not None


@dataclass(frozen=True)
class Opened:
    """A band just opened, with what only the comparison of bands needs."""

    band: Band
    wcs: fits.Header | None
    instrument: Instrument | None
    raster: bool


def open_bands(source: Source, preset: Instrument | None, search: bool) -> tuple[list[Opened], list[str]]:
    """Bands of one input, and remarks."""
    head = read_head(source.path)
    if not is_fits(head):
        return _open_raster(source, head)
    notes: list[str] = []
    hdus = read_hdus(source.path)
    named = None if source.hdu is None else find_hdu(hdus, source.hdu)
    # Where no HDU is named, the first extension says what the primary header leaves out.
    instrument = preset or instruments.detect((named or hdus[-1 if len(hdus) < 2 else 1]).header, hdus[0].header)
    hdu = named or science_hdu(hdus, instrument.science if instrument is not None else ())
    plane = open_plane(hdu, source.plane)
    cards = [hdu.header] if hdu.index == 0 else [hdu.header, hdus[0].header]

    name = source.name or headers.filter_name(cards) or headers.filter_from_file_name(source.path)
    name = name if source.name or instrument is None else instrument.band(name)
    found = headers.celestial_wcs(hdu.header, str(hdu))
    wcs, tables = found if found is not None else (None, False)
    if tables:
        notes.append(f"{hdu} has distortions by lookup table, which are left out of its WCS")
    weight = find_weight(hdu, plane, hdus, instrument) if search else None
    flags = find_flags(hdu, plane, hdus, instrument)
    if flags is not None and flags.bad == -1:
        notes.append(f"the bits of {label(flags.plane)} have no names: any of them spoils a pixel")
    notes += [
        f"{label(part)} is compressed in tiles too large to be kept: funpack it, or reading takes long"
        for part in (plane, weight.plane if weight else None, flags.plane if flags else None)
        if isinstance(part, CompressedPlane) and part.block_bytes(Box(0, 682, 0, 1)) > CACHED_BYTES
    ]
    unit = headers.unit_of(card(cards, "BUNIT") or (instrument.unit if instrument is not None else None))
    area = None if wcs is None else headers.pixel_area(headers.make_wcs(wcs))
    zero_point, origin = headers.zero_point(cards, name, unit, instrument, area) or (None, None)
    saturation = number(cards, "SATURATE")
    saturation = saturation if saturation and saturation > 0 else None
    band = Band(name, plane, weight, flags, unit, zero_point, origin, saturation)
    return [Opened(band, wcs, instrument, raster=False)], notes


def _open_raster(source: Source, head: bytes) -> tuple[list[Opened], list[str]]:
    """Bands of a PNG, JPEG or TIFF."""
    planes, notes = read_raster(source.path, head)
    names = [plane.hdu for plane in planes]
    if source.hdu is not None:
        wanted = source.hdu.upper()
        if wanted not in names and not (wanted.isdigit() and int(wanted) < len(planes)):
            raise StarnetError(f"{source.path} has no plane [{source.hdu}]: choose one of {', '.join(names)}")
        planes = [planes[names.index(wanted) if wanted in names else int(wanted)]]
    if source.name is not None and len(planes) > 1:
        raise StarnetError(
            f"{source.path} holds {len(planes)} bands, which cannot all be called {source.name}: "
            f"choose one, as in {source.name}={source.path}[{planes[0].hdu}]"
        )
    return [Opened(Band(source.name or plane.hdu, plane), None, None, raster=True) for plane in planes], notes


def with_weights(opened: list[Opened], weights: Sequence[str | Path | None]) -> list[Opened]:
    """Give each band the weight map that the user names."""
    if isinstance(weights, str | Path) or len(weights) != len(opened):
        count = 1 if isinstance(weights, str | Path) else len(weights)
        raise StarnetError(f"{count} weight maps were given for {len(opened)} bands: give one for each band, or None")
    return [
        replace(one, band=replace(one.band, weight_source=open_weight(text, one.band.science))) if text else one
        for one, text in zip(opened, weights, strict=True)
    ]
