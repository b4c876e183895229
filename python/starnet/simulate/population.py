"""The sources of one cell of the sky."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.simulate import anatomy, spectra
from starnet.simulate.presets import Preset
from starnet.simulate.streams import stream

CLASSES = ("star", "disk", "spheroid", "disk+bulge", "irregular", "merger", "arc")
STAR, DISK, SPHEROID, BULGED, IRREGULAR, MERGER, ARC = range(len(CLASSES))
SERSIC_INDICES = np.arange(0.5, 6.01, 0.25)

# Galaxies per mag and square degree at 1.6 micron, as log10, by AB mag: after the counts of Windhorst et al. (2011,
# ApJS 193, 27, fig. 12) and those of CANDELS in GOODS-South (Guo et al. 2013, ApJS 207, 24, fig. 8), whose 35 000
# sources in 170 arcmin**2 they give by 27.5; from 26th mag on 0.1 to 0.15 dex higher, as found in 30" x 30" of the XDF.
_MAG = np.array([14.0, 16.0, 18.0, 19.0, 20.0, 21.0, 22.0, 23.0, 24.0, 25.0, 26.0, 27.0, 28.0, 29.0, 30.0, 31.0, 32.0])
_LOG = np.array([-0.4, 0.8, 2.0, 2.55, 3.1, 3.58, 3.97, 4.32, 4.64, 4.95, 5.24, 5.48, 5.69, 5.88, 6.05, 6.20, 6.32])
# Stars at high galactic latitude: 10**(0.13 mag), between these magnitudes.
_STAR_SLOPE, _STAR_BRIGHTEST, _STAR_FAINTEST = 0.13, 15.0, 26.0
# Group members: how many, and how far from the centre, in arcsec.
_MEMBERS, _GROUP = 4.0, 4.0
Floats = NDArray[np.float64]


def source_dtype(nband: int) -> np.dtype[Any]:
    """One row per source: position in 0-based mosaic pixels, class, total flux per band in image units, and shape.

    ``mag`` is the AB mag at 1.6 micron. ``n``, ``re`` (half-light radius along the major axis, pixels), ``q`` and
    ``pa`` (radians from +x to +y) are those of the smooth body of the source, ``n`` and ``re`` 0 for a star; ``parent``
    is the row of the source it is merging with, or -1.
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
    stars = _stars(rng, preset, rng.poisson(preset.stars * area), cell_size)
    galaxies, ages = _galaxies(rng, preset, rng.poisson(galaxy_density(preset.faintest) * area), cell_size)
    sources = np.concatenate([stars, galaxies])
    sources["parent"][sources["parent"] >= 0] += len(stars)
    components = _components(rng, preset, sources, np.concatenate([np.zeros(len(stars)), ages]))
    np.add.at(sources["flux"], components["source"], components["flux"])
    sources["y"] += cell[0] * cell_size - 0.5
    sources["x"] += cell[1] * cell_size - 0.5
    return Population(sources, components)


def galaxy_density(faintest: float) -> float:
    """Galaxies per square arcmin brighter than an AB mag at 1.6 micron."""
    return float(_counts(faintest)[1][-1])


def _counts(faintest: float) -> tuple[Floats, Floats]:
    """Magnitudes, and galaxies per square arcmin brighter than them."""
    mag = np.linspace(_MAG[0], faintest, 512)
    density = 10 ** np.interp(mag, _MAG, _LOG) / 3600
    steps = np.diff(mag) * (density[1:] + density[:-1]) / 2
    return mag, np.concatenate([[0.0], np.cumsum(steps)])


def _stars(rng: np.random.Generator, preset: Preset, count: int, cell_size: int) -> NDArray[np.void]:
    stars = np.zeros(count, source_dtype(len(preset.bands)))
    stars["y"], stars["x"] = rng.random((2, count)) * cell_size
    low, high = 10 ** (_STAR_SLOPE * np.array([_STAR_BRIGHTEST, _STAR_FAINTEST]))
    stars["mag"] = np.log10(low + (high - low) * rng.random(count)) / _STAR_SLOPE
    stars["kind"], stars["q"], stars["parent"] = STAR, 1, -1
    # Most faint stars at high latitude are M dwarfs of the disk.
    cool = rng.random(count) < 0.7
    temperature = np.where(cool, rng.normal(3500, 250, count), rng.normal(5300, 700, count)).clip(2400, 9000)
    stars["flux"] = _fluxes(preset, stars["mag"], spectra.star_colours(_wavelengths(preset), temperature))
    return stars


def _galaxies(rng: np.random.Generator, preset: Preset, count: int, cell_size: int) -> tuple[NDArray[np.void], Floats]:
    """Galaxies in a cell that begins at pixel (0, 0), and how old their light is."""
    mags, brighter = _counts(preset.faintest)
    mag = np.interp(rng.random(count) * brighter[-1], brighter, mags)
    y, x = _positions(rng, preset, count, cell_size)
    z = spectra.redshifts(rng, mag)
    kind = _kinds(rng, mag)
    # A major merger is a pair: its second galaxy is up to 1.5 mag fainter, and touches the first.
    first = np.flatnonzero(kind == MERGER)
    parent = np.concatenate([np.full(count, -1), first])
    mag = np.concatenate([mag, mag[first] + rng.uniform(0, 1.5, len(first))])
    z, kind = np.concatenate([z, z[first]]), np.concatenate([kind, kind[first]])
    galaxies = np.zeros(len(mag), source_dtype(len(preset.bands)))
    for name, value in (("mag", mag), ("z", z), ("kind", kind), ("parent", parent)):
        galaxies[name] = value
    _shape(rng, preset, galaxies)
    apart = rng.uniform(0.8, 2.0, len(first)) * (galaxies["re"][first] + galaxies["re"][count:])
    angle = rng.uniform(0, 2 * np.pi, len(first))
    galaxies["y"] = np.concatenate([y, (y[first] + apart * np.sin(angle)) % cell_size])
    galaxies["x"] = np.concatenate([x, (x[first] + apart * np.cos(angle)) % cell_size])

    # Old spheroids, younger disks, younger still where they are faint (which most are by their distance and mass).
    faint = np.clip((mag - 20.5) / 5, 0, 1)
    disk = 0.5 - 0.38 * faint
    mean = np.select([kind == SPHEROID, kind == BULGED, kind == DISK], [disk + 0.2, disk + 0.1, disk], disk - 0.05)
    age = np.clip(rng.normal(mean, 0.16), 0, 1)
    age[kind == ARC] = 0
    dust = rng.exponential(np.where(kind == SPHEROID, 0.1, 0.4 - 0.25 * faint))
    colours = spectra.galaxy_colours(_wavelengths(preset), z, age, dust)
    galaxies["flux"] = _fluxes(preset, mag, colours * 10 ** (-0.4 * rng.normal(0, 0.05, colours.shape)))
    return galaxies, age


def _kinds(rng: np.random.Generator, mag: Floats) -> NDArray[np.uint8]:
    """Classes, in the fractions that people saw in CANDELS.

    Spheroids 0.25, disks 0.56, irregulars 0.11 to H = 24.5 (most votes of 7 628 galaxies in Kartaltepe et al. 2015,
    ApJS 221, 11); irregulars take over from disks and spheroids where galaxies are fainter (Conselice 2014, ARA&A
    52, 291, fig. 4); 6 % major pairs (Man et al. 2016, ApJ 830, 89).
    """
    faint = np.clip((mag - 23) / 5, 0, 1)
    irregular, spheroid = 0.10 + 0.2 * faint, 0.26 - 0.10 * faint
    bulged = np.clip(0.30 - 0.08 * (mag - 21), 0.05, 0.35)
    merger, arc = np.full(len(mag), 0.06), np.where(mag > 21, 0.003, 0.0)
    edges = np.cumsum([spheroid, bulged, irregular, merger, arc], axis=0)
    place = (rng.random(len(mag)) >= edges).sum(axis=0)
    return np.asarray(np.array([SPHEROID, BULGED, IRREGULAR, MERGER, ARC, DISK], np.uint8)[place])


def _positions(rng: np.random.Generator, preset: Preset, count: int, cell_size: int) -> tuple[Floats, Floats]:
    """A Thomas process (Neyman & Scott 1958, J. R. Stat. Soc. B 20, 1): some galaxies gather about random centres."""
    y, x = rng.random((2, count)) * cell_size
    member = np.flatnonzero(rng.random(count) < preset.clustered)
    groups = max(1, round(len(member) / _MEMBERS))
    centres = rng.random((2, groups)) * cell_size
    spread = _GROUP / preset.pixel_scale * rng.choice([0.25, 1.0, 2.0], groups)
    group = rng.integers(groups, size=len(member))
    scatter = rng.normal(size=(2, len(member))) * spread[group]
    y[member], x[member] = (centres[:, group] + scatter) % cell_size
    return y, x


def _shape(rng: np.random.Generator, preset: Preset, galaxies: NDArray[np.void]) -> None:
    """Half-light radii, Sersic indices, axis ratios and position angles.

    The median radius is 0.28" at H = 22.7 and falls by 0.067 dex per mag (403 galaxies of GOODS-South between 20th and
    27th mag, fitted to 3D-HST); it rises faster towards bright ones (van der Wel et al. 2012, ApJS 203, 24). Scatter
    0.17 dex; spheroids are half the size of disks (van der Wel et al. 2014, ApJ 788, 28). Indices: medians 1 and 3.
    Disks are seen from all sides, with a thickness of 0.25 (Law et al. 2012, ApJ 745, 85): median axis ratio 0.6, as
    visually chosen disks of CANDELS have; spheroids have 0.84 +- 0.1 there.
    """
    count, kind, mag = len(galaxies), galaxies["kind"], galaxies["mag"].astype(float)
    size = np.log10(0.3) - 0.067 * (mag - 22.7) + 0.07 * np.maximum(22.7 - mag, 0)
    factor = np.select([kind == SPHEROID, kind == IRREGULAR, kind == ARC], [0.6, 1.15, 3.0], 1.1)
    galaxies["re"] = factor * 10 ** (size + rng.normal(0, 0.17, count)) / preset.pixel_scale
    faint = np.clip((mag - 23) / 5, 0, 1)
    index = np.where(kind == SPHEROID, 3.2 - 1.2 * faint, 1.0) * 10 ** rng.normal(0, 0.17, count)
    index = np.where((kind == IRREGULAR) | (kind == ARC), 0.5 + 0.5 * rng.random(count), index)
    galaxies["n"] = _on_grid(index)
    thickness = rng.normal(0.25, 0.07, count).clip(0.1, 0.6)
    disk = np.sqrt(thickness**2 + (1 - thickness**2) * rng.random(count) ** 2)
    round_ = rng.normal(0.84, 0.1, count)
    round_ = np.where(round_ > 1, 2 - round_, round_).clip(0.4, 1)
    galaxies["q"] = np.select([kind == SPHEROID, kind == ARC], [round_, 0.12], disk)
    galaxies["pa"] = rng.uniform(0, np.pi, count)


def _components(rng: np.random.Generator, preset: Preset, sources: NDArray[np.void], age: Floats) -> NDArray[np.void]:
    """Take the sources' flux apart: none is left in ``sources``, and ``n`` and ``re`` are those of the whole."""
    wavelengths, kind = _wavelengths(preset), sources["kind"]
    redness = -0.25 * np.log2(wavelengths / spectra.REFERENCE).clip(-2, 1)
    pieces: list[NDArray[np.void]] = []
    share = np.zeros(len(sources))

    def add(rows: NDArray[np.intp], parts: dict[str, NDArray[Any]]) -> None:
        made = np.zeros(len(parts["n"]), component_dtype(len(preset.bands)))
        made["source"] = rows[parts.pop("which")]
        for name, value in parts.items():
            made[name] = value
        pieces.append(made)

    clumpy = np.flatnonzero(kind == IRREGULAR)
    share[clumpy] = rng.uniform(0.2, 0.65, len(clumpy))
    if clumpy.size:
        add(clumpy, anatomy.knots(rng, sources[clumpy], rng.integers(3, 9, len(clumpy)), share[clumpy], -redness))
    grand = np.isin(kind, (DISK, BULGED, MERGER)) & (sources["re"] * sources["q"] > anatomy.RESOLVED)
    spiral = np.flatnonzero(grand)
    share[spiral] = rng.uniform(0.06, 0.18, len(spiral))
    if spiral.size:
        add(spiral, anatomy.arms(rng, sources[spiral], share[spiral], -redness))
    curved = np.flatnonzero(kind == ARC)
    share[curved] = 1
    if curved.size:
        add(curved, anatomy.chains(rng, sources[curved]))

    bulged = np.flatnonzero(kind == BULGED)
    if bulged.size:
        add(bulged, _bulges(rng, preset, sources, bulged, age[bulged]))
    body = np.flatnonzero(share < 1)
    smooth = {name: sources[name][body] for name in ("n", "re", "q", "pa")}
    add(body, {"which": np.arange(len(body)), **smooth, "flux": sources["flux"][body] * (1 - share[body, None])})
    if bulged.size:
        _sum_up(sources, bulged, pieces[-2], pieces[-1])
    sources["flux"] = 0
    components = np.concatenate(pieces)
    return components[np.argsort(components["source"], kind="stable")]


def _bulges(
    rng: np.random.Generator, preset: Preset, sources: NDArray[np.void], rows: NDArray[np.intp], age: Floats
) -> dict[str, NDArray[Any]]:
    """Bulges hold 10 to 60 % of the light at 1.6 micron, are older, rounder and a quarter of the disk's size.

    After Lang et al. (2014, ApJ 788, 11) and Bruce et al. (2014, MNRAS 444, 1660). The disk's flux is lowered.
    """
    count, wavelengths = len(rows), _wavelengths(preset)
    part, z = rng.uniform(0.1, 0.6, count), sources["z"][rows].astype(float)
    none = np.zeros(count)
    old = spectra.galaxy_colours(wavelengths, z, np.clip(age + 0.35, 0, 1), none)
    own = spectra.galaxy_colours(wavelengths, z, age, none)
    total = sources["flux"][rows]
    flux = total * np.minimum(part[:, None] * old / own, 0.9)
    sources["flux"][rows] = total - flux
    return {
        "which": np.arange(count),
        "n": _on_grid(rng.uniform(2.0, 4.5, count)),
        "re": sources["re"][rows] * rng.uniform(0.15, 0.4, count),
        "q": np.maximum(sources["q"][rows], rng.uniform(0.65, 1.0, count)),
        "pa": sources["pa"][rows],
        "flux": flux,
    }


def _sum_up(
    sources: NDArray[np.void], rows: NDArray[np.intp], bulges: NDArray[np.void], bodies: NDArray[np.void]
) -> None:
    """Half-light radius of disk and bulge together, in the mean over the bands."""
    disks = bodies[np.searchsorted(bodies["source"], rows)]
    part = (bulges["flux"] / (bulges["flux"] + disks["flux"])).mean(axis=1)
    profiles = [(w, one["n"].astype(float), one["re"].astype(float)) for w, one in ((part, bulges), (1 - part, disks))]
    sources["re"][rows] = anatomy.half_light(profiles)
    sources["n"][rows] = part * bulges["n"] + (1 - part) * disks["n"]


def _on_grid(n: Floats) -> Floats:
    return np.asarray(np.clip(np.round(4 * n) / 4, SERSIC_INDICES[0], SERSIC_INDICES[-1]))


def _wavelengths(preset: Preset) -> Floats:
    return np.array([band.wavelength for band in preset.bands])


def _fluxes(preset: Preset, mag: NDArray[Any], relative: Floats) -> Floats:
    zero = np.array([band.zero_point for band in preset.bands])
    return np.asarray(relative * 10 ** (-0.4 * (mag[:, None].astype(float) - zero)))
