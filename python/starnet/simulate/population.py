"""The sources of one cell of the sky."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.simulate.presets import Preset
from starnet.simulate.streams import stream

CLASSES = ("star", "disk", "spheroid", "disk+bulge", "irregular", "merger", "arc")
STAR, DISK, SPHEROID, BULGED, IRREGULAR, MERGER, ARC = range(len(CLASSES))
SERSIC_INDICES = np.arange(0.5, 6.01, 0.25)


def source_dtype(nband: int) -> np.dtype[Any]:
    """One row per source: position in 0-based mosaic pixels, class, total flux per band in image units, and shape.

    ``n``, ``re`` (half-light radius along the major axis, pixels), ``q`` and ``pa`` (radians from +x to +y) are those of
    the whole source, 0 for a star; ``parent`` is the row of the source it is merging with, or -1.
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
    stamps : ndarray of int32
        Per component, the real stamp to draw instead of a Sersic profile, or -1.
    """

    sources: NDArray[np.void]
    components: NDArray[np.void]
    stamps: NDArray[np.int32] = field(repr=False)


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
    nband = len(preset.bands)
    area = (cell_size * preset.pixel_scale / 60) ** 2
    count = rng.poisson(250 * area)
    sources = np.zeros(count, source_dtype(nband))
    sources["y"] = cell[0] * cell_size - 0.5 + rng.random(count) * cell_size
    sources["x"] = cell[1] * cell_size - 0.5 + rng.random(count) * cell_size
    sources["mag"] = preset.faintest + np.log10(rng.random(count)) / 0.25
    sources["kind"] = np.where(rng.random(count) < 0.02, STAR, DISK)
    star = sources["kind"] == STAR
    zero = np.array([band.zero_point for band in preset.bands])
    sources["flux"] = 10 ** (-0.4 * (sources["mag"][:, None] + rng.normal(0.5, 0.4, (count, nband)) - zero))
    sources["n"] = np.where(star, 0, np.clip(np.round(4 * np.exp(rng.normal(0.3, 0.5, count))) / 4, 0.5, 6))
    sources["re"] = np.where(
        star, 0, 0.25 * 10 ** (-0.1 * (sources["mag"] - 25) + rng.normal(0, 0.2, count)) / preset.pixel_scale
    )
    sources["q"] = np.where(star, 1, rng.uniform(0.15, 1, count))
    sources["pa"] = rng.uniform(0, np.pi, count)
    sources["parent"] = -1
    components = np.zeros(count, component_dtype(nband))
    components["source"] = np.arange(count)
    for name in ("n", "re", "q", "pa", "flux"):
        components[name] = sources[name]
    return Population(sources, components, np.full(count, -1, np.int32))
