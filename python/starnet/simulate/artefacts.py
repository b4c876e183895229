"""What a mosaic has besides sources and noise: sky, gaps, and the marks that cleaning has left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from starnet.simulate.noise import Noise
from starnet.simulate.presets import Preset
from starnet.simulate.streams import stream
from starnet.tiles import Box

# Lengths, in pixels, of the waves that the residual sky is made of.
_WAVES = (9000.0, 4000.0, 1500.0)


@dataclass(frozen=True)
class _Kind:
    """Marks of one kind: in which cells they are drawn, and what they are like (ranges, uniform or log-uniform)."""

    purpose: str
    cell: int  # no mark reaches further than this from its centre
    length: tuple[float, float]  # half of it, px
    width: tuple[float, float]  # sigma of the profile across, px
    height: tuple[float, float]  # in sigma of the noise
    known: float  # part of them that the weight map leaves out


# What is left of cosmic rays when few exposures are combined; columns, tilted as mosaics turn the detector;
# satellites, out of focus (Rubin's trails are 3" wide: Tyson et al. 2020, AJ 160, 226).
_COSMIC_RAYS = _Kind("cosmic-ray", 512, (0.5, 8.0), (0.4, 0.6), (4.0, 120.0), 0.5)
_COLUMNS = _Kind("column", 1024, (100.0, 900.0), (0.45, 0.7), (1.0, 6.0), 0.8)
_TRAILS = _Kind("trail", 4096, (1500.0, 4000.0), (1.5, 6.5), (1.0, 8.0), 0.0)
_GAPS = _Kind("gap", 1024, (60.0, 500.0), (5.0, 30.0), (1.0, 1.0), 1.0)


@dataclass(frozen=True)
class _Mark:
    """A straight segment, soft across."""

    y: float
    x: float
    angle: float
    length: float
    width: float
    height: float
    known: bool

    def on(self, box: Box) -> tuple[Box, NDArray[np.float32]] | None:
        """The part of a box near the segment, and the profile there; outside of the segment it is 0."""
        cos, sin, margin = np.cos(self.angle), np.sin(self.angle), 4 * self.width + 1
        reach_y, reach_x = self.length * abs(sin) + margin, self.length * abs(cos) + margin
        part = box.intersect(
            Box(
                int(np.floor(self.y - reach_y)),
                int(np.ceil(self.y + reach_y)) + 1,
                int(np.floor(self.x - reach_x)),
                int(np.ceil(self.x + reach_x)) + 1,
            )
        )
        if not part.size:
            return None
        dy = np.arange(part.y0, part.y1)[:, None] - self.y
        dx = np.arange(part.x0, part.x1)[None] - self.x
        along, across = dx * cos + dy * sin, dy * cos - dx * sin
        profile = np.exp(-0.5 * (across / self.width) ** 2)
        profile[(abs(along) > self.length) | (abs(across) > 4 * self.width)] = 0
        return part, profile.astype(np.float32)


def without_artefacts(preset: Preset) -> Preset:
    """The survey with a flat sky and perfect detectors: sources and noise alone."""
    unlimited = -50.0  # mag; nothing is as bright, and float32 holds it
    return replace(
        preset,
        sky=0.0,
        ghosts=0.0,
        gaps=0.0,
        cosmic_rays=0.0,
        columns=0.0,
        trails=0.0,
        bands=tuple(replace(band, saturation=unlimited) for band in preset.bands),
    )


class Artefacts:
    """Sky, coverage and damage of every band of a field.

    Parameters
    ----------
    preset : Preset
        The survey.
    seed : int
        Of the field.
    """

    def __init__(self, preset: Preset, seed: int) -> None:
        self.preset = preset
        self.seed = seed
        self._sigma = Noise(preset, seed).reference

    def sky(self, band: int, box: Box) -> NDArray[np.float32]:
        """Residual sky: a few long waves, and the scattered light of stars beside the field, in image units."""
        rng = stream(self.seed, "sky", band)
        y, x = np.arange(box.y0, box.y1)[:, None], np.arange(box.x0, box.x1)[None]
        sky = np.zeros(box.shape, np.float32)
        height = self.preset.sky * self._sigma[band] / np.sqrt(len(_WAVES) / 2)
        for length in _WAVES:
            angle, phase = rng.uniform(0, 2 * np.pi, 2)
            rows = 2 * np.pi / length * np.sin(angle) * y + phase
            columns = 2 * np.pi / length * np.cos(angle) * x
            # sin(a + b) by rows and columns: no sine per pixel.
            sky += (height * np.sin(rows)).astype(np.float32) * np.cos(columns).astype(np.float32)
            sky += (height * np.cos(rows)).astype(np.float32) * np.sin(columns).astype(np.float32)
        for part, dy, dx, radius, height in self._ghosts(band, box):
            rows, columns = part.slices_in(box)
            r = np.sqrt((y[rows] - dy) ** 2 + (x[:, columns] - dx) ** 2) / radius
            # Out-of-focus images of a pupil: an even disk with a soft edge.
            ghost = height * self._sigma[band] * np.clip((1 - r) * 8, 0, 1) * (0.6 + 0.4 * np.minimum(r, 1))
            sky[rows, columns] += ghost.astype(np.float32)
        return sky

    def coverage(self, band: int, box: Box) -> NDArray[np.bool_]:
        """Where the band was observed."""
        covered = np.ones(box.shape, bool)
        camera = round(self.preset.bands[band].detector * 1000) % 128 + 128  # bands of a camera share their gaps
        for mark in self._marks(_GAPS, self.preset.gaps, camera, box):
            found = mark.on(box)
            if found is not None:
                covered[found[0].slices_in(box)] &= found[1] < 0.6  # as wide as the profile's sigma
        return covered

    def damage(self, band: int, box: Box, image: NDArray[np.float32], weight: NDArray[np.float32]) -> None:
        """Saturate, lay cosmic-ray residuals, columns and trails over `image`; `weight` becomes 0 where that is known.

        Charge does not bleed along columns: mosaics of turned exposures smear it, and mask most of it.
        """
        limit = np.float32(10 ** (-0.4 * (self.preset.bands[band].saturation - self.preset.bands[band].zero_point)))
        full = image > limit
        image[full] = limit
        weight[full] = 0
        rates = (self.preset.cosmic_rays, self.preset.columns, self.preset.trails)
        for kind, rate in zip((_COSMIC_RAYS, _COLUMNS, _TRAILS), rates, strict=True):
            for mark in self._marks(kind, rate, band, box):
                found = mark.on(box)
                if found is not None:
                    here = found[0].slices_in(box)
                    image[here] += np.float32(mark.height * self._sigma[band]) * found[1]
                    if mark.known:
                        weight[here][found[1] > 0.1] = 0

    def _marks(self, kind: _Kind, rate: float, band: int, box: Box) -> Iterator[_Mark]:
        """Marks of `rate` per Mpix that may reach a box, in an order that does not depend on it."""
        if rate <= 0:
            return
        for rng, iy, ix in self._cells(kind.purpose, band, kind.cell, box):
            for _ in range(rng.poisson(rate * kind.cell**2 / 2**20)):
                y, x = rng.random(2) * kind.cell
                angle, chance = rng.uniform(0, np.pi), rng.random()
                length = min(np.exp(rng.uniform(*np.log(kind.length))), kind.cell - 64)
                width, height = rng.uniform(*kind.width), np.exp(rng.uniform(*np.log(kind.height)))
                yield _Mark(iy + y, ix + x, angle, length, width, height, chance < kind.known)

    def _ghosts(self, band: int, box: Box) -> Iterator[tuple[Box, float, float, float, float]]:
        """The ghosts that reach a box: the part of it where they may lie, centre, radius and height."""
        cell = 2048
        if self.preset.ghosts <= 0:
            return
        for rng, iy, ix in self._cells("ghost", band, cell, box):
            for _ in range(rng.poisson(self.preset.ghosts * cell**2 / 2**20)):
                (y, x), radius, height = rng.random(2) * cell, rng.uniform(60, 250), rng.uniform(0.1, 0.5)
                reach = Box(*(int(v) for v in (iy + y - radius, iy + y + radius, ix + x - radius, ix + x + radius)))
                part = reach.pad(2).intersect(box)
                if part.size:
                    yield part, iy + y, ix + x, radius, height

    def _cells(self, purpose: str, band: int, cell: int, box: Box) -> Iterator[tuple[Generator, int, int]]:
        """The generators, and first pixels, of the cells from which something may reach a box."""
        near = box.pad(cell)
        rows, columns = range(near.y0 // cell, -(-near.y1 // cell)), range(near.x0 // cell, -(-near.x1 // cell))
        for iy, ix in product(rows, columns):
            yield stream(self.seed, purpose, band, (iy, ix)), iy * cell, ix * cell
