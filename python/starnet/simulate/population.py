"""The sources of one cell of the sky: how many, how bright, where, and of what kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.simulate import anatomy, spectra
from starnet.simulate.presets import Preset
from starnet.simulate.streams import stream

Floats = NDArray[np.float64]

CLASSES = ("star", "disk", "spheroid", "disk+bulge", "irregular", "merger", "arc")
STAR, DISK, SPHEROID, BULGED, IRREGULAR, MERGER, ARC = range(len(CLASSES))
SERSIC_INDICES = np.arange(0.5, 6.01, 0.25)


def source_dtype(nband: int) -> np.dtype[Any]:
    """One row per source: position in 0-based mosaic pixels, class, total flux per band in image units, and shape.

    ``n``, ``re`` (half-light radius along the major axis, pixels), ``q`` and ``pa`` (radians from +x to +y) are those
    of the whole source, 0 for a star; ``parent`` is the row of the source it is merging with, or -1.
    """
    return np.dtype(
        [
            ("y", "f8"),
            ("x", "f8"),
            ("kind", "u1"),
            ("flux", "f8", (nband,)),
            ("mag", "f4"),
            ("z", "f4"),
            ("n", "f4"),
            ("re", "f4"),
            ("q", "f4"),
            ("pa", "f4"),
            ("parent", "i4"),
        ]
    )


def component_dtype(nband: int) -> np.dtype[Any]:
    """One row per Sersic component.

    ``source`` is the row of the source; ``dy, dx`` the offset from it; ``n`` is 0 for a point source and else one of
    `SERSIC_INDICES`; ``re`` the half-light radius along the major axis in pixels, ``pa`` in radians from +x to +y.
    """
    return np.dtype(
        [
            ("source", "i4"),
            ("dy", "f8"),
            ("dx", "f8"),
            ("n", "f4"),
            ("re", "f4"),
            ("q", "f4"),
            ("pa", "f4"),
            ("flux", "f8", (nband,)),
        ]
    )


# Galaxies per arcmin**2 and mag at 1.6 micron (AB): Windhorst et al. 2011 (ApJS 193, 27, fig. 12) to 26th mag, where
# they agree with CANDELS (Guo et al. 2013, ApJS 207, 24); fainter as steep as leads to the 1500 per arcmin**2 of the XDF
# (Illingworth et al. 2013, ApJS 209, 6) near 30.5.
_COUNT_MAG = np.array([14.0, 16, 18, 20, 22, 24, 26, 28, 30, 32])
_COUNT_LOG = np.array([-3.1, -2.0, -0.95, -0.05, 0.70, 1.25, 1.75, 2.20, 2.55, 2.80])
_BRIGHTEST = 15.5
# Log of the median half-light radius in arcsec: at fixed magnitude from van der Wel et al. 2012 (ApJS 203, 24) to 26th
# mag, then re ~ flux**0.26 (Bouwens et al. 2004, ApJ 611, L1; Shibuya et al. 2015, ApJS 219, 15). Scatter in dex.
_SIZE_MAG = np.array([16.0, 18, 20, 22, 24, 26, 28, 30, 32])
_SIZE_LOG = np.array([0.35, 0.12, -0.13, -0.37, -0.56, -0.73, -0.93, -1.14, -1.35])
_SIZE_SCATTER = 0.20
# Of galaxies brighter and fainter than 25th mag, by class. Most of 7,628 galaxies with H < 24.5 have a disk, a fifth are
# spheroids, a tenth irregular, and these become more to the faint end (Kartaltepe et al. 2015, ApJS 221, 11).
_FRACTIONS = {
    "bright": (0.0, 0.36, 0.20, 0.26, 0.12, 0.055, 0.005),
    "faint": (0.0, 0.45, 0.14, 0.08, 0.28, 0.045, 0.005),
}
# Stars per mag rise as 10**(0.1 mag) at high latitude (Robin et al. 2003, A&A 409, 523).
_STARS_SLOPE, _STAR_BRIGHTEST, _STAR_FAINTEST = 0.1, 14.5, 26.0
# Members of a group besides its first, and sigma of their distance, in arcsec: a Thomas process (Neyman & Scott 1952,
# ApJ 116, 144).
_MEMBERS, _GROUP_SIZE = 4.0, 4.0
# An edge-on disk's thickness (Padilla & Strauss 2008, MNRAS 388, 1321).
_THICKNESS = 0.2


@dataclass(frozen=True)
class Population:
    """Sources and the components they are made of.

    Attributes
    ----------
    sources : ndarray of `source_dtype`
        Of one cell, inside it.
    components : ndarray of `component_dtype`
        In the order of their sources.
    """

    sources: NDArray[np.void]
    components: NDArray[np.void]


def draw(preset: Preset, seed: int, cell: tuple[int, int], cell_size: int = 1024) -> Population:
    """The sources whose centres lie in one cell.

    Parameters
    ----------
    preset : Preset
        The survey.
    seed : int
        Of the field.
    cell : tuple of int
        ``(iy, ix)``: the cell's first pixel is ``(iy * cell_size, ix * cell_size)``.
    cell_size : int
        In pixels.
    """
    rng = stream(seed, "population", cell=cell)
    area = (cell_size * preset.pixel_scale / 60) ** 2
    galaxies = _galaxies(rng, preset, area, cell_size)
    stars = _stars(rng, preset, area, cell_size)
    sources = np.concatenate([galaxies, stars])
    zero = np.array([band.zero_point for band in preset.bands])
    unit = 10 ** (-0.4 * (sources["mag"][:, None] - zero))
    wavelengths = np.array([band.wavelength for band in preset.bands])
    is_star = sources["kind"] == STAR
    temperature = np.where(
        rng.random(len(stars)) < 0.7, rng.uniform(2800, 4200, len(stars)), rng.uniform(4200, 6500, len(stars))
    )
    sources["flux"][is_star] = unit[is_star] * spectra.star_colours(wavelengths, temperature)
    age, dust = _histories(rng, galaxies)
    z = galaxies["z"].astype(np.float64)
    sources["flux"][~is_star] = unit[~is_star] * spectra.galaxy_colours(wavelengths, z, age, dust)
    # The bulge's population is old.
    old = np.zeros_like(unit)
    old[~is_star] = unit[~is_star] * spectra.galaxy_colours(wavelengths, z, np.full(len(z), 0.9), dust)
    components = _components(rng, sources, old)
    total = np.zeros(sources["flux"].shape)
    np.add.at(total, components["source"], components["flux"])
    sources["flux"] = total
    sources["y"] += cell[0] * cell_size - 0.5
    sources["x"] += cell[1] * cell_size - 0.5
    return Population(sources, components)


def galaxy_counts(mag: Floats) -> Floats:
    """Galaxies per arcmin**2 and mag at 1.6 micron, AB."""
    return np.asarray(10 ** np.interp(mag, _COUNT_MAG, _COUNT_LOG))


def _magnitudes(rng: np.random.Generator, faintest: float, area: float) -> Floats:
    """As many galaxies as the counts say."""
    grid = np.linspace(_BRIGHTEST, max(faintest, _BRIGHTEST + 0.01), 400)
    counts = galaxy_counts(grid)
    cumulative = np.concatenate([[0], np.cumsum((counts[1:] + counts[:-1]) / 2 * np.diff(grid))])
    number = rng.poisson(area * cumulative[-1])
    return np.asarray(np.interp(rng.random(number) * cumulative[-1], cumulative, grid))


def _galaxies(rng: np.random.Generator, preset: Preset, area: float, cell_size: int) -> NDArray[np.void]:
    mag = _magnitudes(rng, preset.faintest, area)
    count = len(mag)
    sources = np.zeros(count, source_dtype(len(preset.bands)))
    sources["mag"], sources["parent"] = mag, -1
    sources["z"] = spectra.redshifts(rng, mag)
    sources["y"], sources["x"] = _positions(rng, count, preset, cell_size)
    chances = np.where((mag < 25)[:, None], _FRACTIONS["bright"], _FRACTIONS["faint"])
    kind = (rng.random((count, 1)) > np.cumsum(chances, axis=1)).sum(axis=1).clip(DISK, ARC)
    sources["kind"] = kind

    re = 10 ** (np.interp(mag, _SIZE_MAG, _SIZE_LOG) + rng.normal(0, _SIZE_SCATTER, count))
    # Spheroids are smaller than disks of the same magnitude (van der Wel et al. 2014, ApJ 788, 28).
    re *= np.select([kind == SPHEROID, kind == ARC], [0.65, 1.8], 1.08)
    sources["re"] = re / preset.pixel_scale
    # Disks in any inclination; spheroids as in the same paper's fig. 2.
    inclined = np.sqrt(rng.random(count) ** 2 * (1 - _THICKNESS**2) + _THICKNESS**2)
    round_ = rng.normal(0.75, 0.14, count).clip(0.35, 1)
    sources["q"] = np.select([kind == SPHEROID, kind == ARC], [round_, rng.uniform(0.12, 0.25, count)], inclined)
    sources["pa"] = rng.uniform(0, np.pi, count)
    index = np.select(
        [kind == SPHEROID, kind == BULGED, kind == IRREGULAR],
        [rng.normal(3.6, 1.0, count), np.full(count, 1.0), rng.normal(0.8, 0.2, count)],
        rng.normal(1.05, 0.3, count),
    )
    sources["n"] = (np.round(index * 4) / 4).clip(SERSIC_INDICES[0], SERSIC_INDICES[-1])
    return _companions(rng, sources, cell_size)


def _positions(rng: np.random.Generator, count: int, preset: Preset, cell_size: int) -> tuple[Floats, Floats]:
    """Some anywhere, some in groups."""
    place = rng.random((count, 2)) * cell_size
    grouped = np.flatnonzero(rng.random(count) < preset.clustered)
    groups = int(np.ceil(len(grouped) / (1 + _MEMBERS)))
    if groups:
        centre = rng.random((groups, 2)) * cell_size
        spread = rng.normal(0, _GROUP_SIZE / preset.pixel_scale, (len(grouped), 2))
        place[grouped] = centre[rng.integers(groups, size=len(grouped))] + spread
    return _inside(place[:, 0], cell_size), _inside(place[:, 1], cell_size)


def _inside(place: Floats, cell_size: int) -> Floats:
    """Mirrored at the cell's edges: a cell's sources are its own."""
    folded = np.abs(place) % (2 * cell_size)
    return np.asarray(np.minimum(folded, 2 * cell_size - folded).clip(0, np.nextafter(cell_size, 0)))


def _companions(rng: np.random.Generator, sources: NDArray[np.void], cell_size: int) -> NDArray[np.void]:
    """A second galaxy to each merger, 0.5 to 2.5 of its radii away and down to a quarter of its flux."""
    primary = np.flatnonzero(sources["kind"] == MERGER)
    second = sources[primary].copy()
    count = len(second)
    second["parent"] = primary
    second["mag"] += rng.uniform(0, 1.5, count)
    second["re"] *= 10 ** rng.normal(-0.15, 0.12, count)
    second["q"], second["pa"] = rng.uniform(0.3, 1, count), rng.uniform(0, np.pi, count)
    distance, angle = sources["re"][primary] * rng.uniform(0.5, 2.5, count), rng.uniform(0, 2 * np.pi, count)
    second["y"] = _inside(second["y"] + distance * np.sin(angle), cell_size)
    second["x"] = _inside(second["x"] + distance * np.cos(angle), cell_size)
    return np.concatenate([sources, second])


def _stars(rng: np.random.Generator, preset: Preset, area: float, cell_size: int) -> NDArray[np.void]:
    faintest = min(preset.faintest, _STAR_FAINTEST)
    rise = 10 ** (_STARS_SLOPE * (np.array([_STAR_BRIGHTEST, faintest]) - _STAR_FAINTEST))
    share = (rise[1] - rise[0]) / (1 - rise[0])
    count = rng.poisson(preset.stars * area * share)
    sources = np.zeros(count, source_dtype(len(preset.bands)))
    sources["kind"], sources["q"], sources["parent"] = STAR, 1, -1
    sources["mag"] = _STAR_FAINTEST + np.log10(rng.uniform(*rise, count)) / _STARS_SLOPE
    sources["y"], sources["x"] = rng.random((2, count)) * cell_size
    return sources


def _histories(rng: np.random.Generator, galaxies: NDArray[np.void]) -> tuple[Floats, Floats]:
    """Age, 0 to 1, and dust, in mag, of galaxies: spheroids old, bright ones older and dustier than faint ones."""
    count, bright = len(galaxies), np.clip((26 - galaxies["mag"]) / 6, 0, 1)
    is_old = (galaxies["kind"] == SPHEROID) & (rng.random(count) < 0.25 + 0.6 * bright)
    age = np.where(is_old, rng.uniform(0.6, 1, count), rng.beta(1.5, 5 - 2.5 * bright))
    dust = rng.exponential(0.25 + 0.55 * bright) * np.where(is_old, 0.3, 1)
    return age, np.minimum(dust, 3.0)


def _components(rng: np.random.Generator, sources: NDArray[np.void], old: Floats) -> NDArray[np.void]:
    """What the sources are made of; sets their shapes where that follows from their components."""
    kind, flux = sources["kind"], sources["flux"]
    smooth = np.ones(len(sources))  # the share of the flux that is in the source's own profile
    parts = []

    def add(rows: NDArray[np.int64], pieces: dict[str, NDArray[Any]]) -> None:
        part = np.zeros(len(pieces["which"]), component_dtype(flux.shape[1]))
        part["source"] = rows[pieces["which"]]
        for name in ("dy", "dx", "re", "q", "pa", "n", "flux"):
            part[name] = pieces[name]
        parts.append(part)

    bulged = np.flatnonzero(kind == BULGED)
    bulge = rng.uniform(0.1, 0.6, len(bulged))
    disk_re, bulge_re = sources["re"][bulged].copy(), sources["re"][bulged] * rng.uniform(0.15, 0.45, len(bulged))
    bulge_n = np.round(rng.uniform(2, 4.5, len(bulged)) * 4) / 4
    bulge_flux = bulge[:, None] * old[bulged]

    irregular = np.flatnonzero(kind == IRREGULAR)
    count = rng.poisson(4, len(irregular)).astype(np.int64) + 1
    share = rng.uniform(0.15, 0.5, len(irregular))
    add(irregular, anatomy.knots(rng, sources[irregular], count, share, 0.25))
    smooth[irregular] -= share

    spiral = np.flatnonzero(
        ((kind == DISK) | (kind == BULGED)) & (sources["re"] > anatomy.RESOLVED) & (sources["q"] > 0.35)
    )
    share = rng.uniform(0.08, 0.3, len(spiral))
    add(spiral, anatomy.arms(rng, sources[spiral], share))
    smooth[spiral] -= share

    arcs = np.flatnonzero(kind == ARC)
    add(arcs, anatomy.chains(rng, sources[arcs]))

    own = np.flatnonzero(kind != ARC)
    profile = np.zeros(len(own), component_dtype(flux.shape[1]))
    profile["source"] = own
    for name in ("n", "re", "q", "pa"):
        profile[name] = sources[name][own]
    profile["flux"] = flux[own] * smooth[own, None]
    at = np.searchsorted(own, bulged)
    profile["flux"][at] *= (1 - bulge)[:, None]
    parts.append(profile)

    middle = np.zeros(len(bulged), component_dtype(flux.shape[1]))
    middle["source"], middle["n"], middle["re"], middle["flux"] = bulged, bulge_n, bulge_re, bulge_flux
    middle["q"] = np.maximum(sources["q"][bulged], 0.6)
    middle["pa"] = sources["pa"][bulged]
    parts.append(middle)
    sources["re"][bulged] = anatomy.half_light([(1 - bulge, np.ones(len(bulged)), disk_re), (bulge, bulge_n, bulge_re)])

    components = np.concatenate(parts)
    return components[np.argsort(components["source"], kind="stable")]
