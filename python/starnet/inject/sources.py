"""Which sources are painted, and where."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from starnet.errors import StarnetError
from starnet.inject.target import Target
from starnet.simulate.population import draw
from starnet.tiles import Box

Magnitudes = Literal["flat", "counts"]

#: Sources that are drawn to choose from, at each depth, and the steps in depth: bright sources are rare.
_POOL, _STEP = 400, 1.5
#: A magnitude takes one of so many sources that are nearest to it.
_NEAREST = 20
#: Sides of the cells that sources are drawn from, in pixels.
_CELL, _LARGEST_CELL = 1024, 1 << 17
_ROWS = 512


@dataclass(frozen=True)
class Sources:
    """Sources and their components, as `starnet.simulate.population.Population` has them."""

    sources: NDArray[np.void]
    components: NDArray[np.void]

    def __len__(self) -> int:
        return len(self.sources)

    def take(self, rows: NDArray[np.integer[Any]]) -> Sources:
        """Some of the sources, or some more than once."""
        first = np.searchsorted(self.components["source"], np.arange(len(self)))
        count = np.bincount(self.components["source"], minlength=len(self))
        number = count[rows]
        before = np.cumsum(number) - number
        owner = np.repeat(np.arange(len(rows)), number)
        components = self.components[np.arange(len(owner)) - before[owner] + first[rows][owner]]
        components["source"] = owner
        sources = self.sources[rows]
        sources["parent"] = -1
        return Sources(sources, components)

    def brighten(self, factor: NDArray[np.float64]) -> Sources:
        """Multiply the fluxes, one factor for each source."""
        sources, components = self.sources.copy(), self.components.copy()
        sources["flux"] *= factor[:, None]
        components["flux"] *= factor[components["source"], None]
        return Sources(sources, components)

    @classmethod
    def concatenate(cls, parts: list[Sources]) -> Sources:
        """Several sets as one."""
        offsets = np.cumsum([0, *(len(part) for part in parts)])
        components = np.concatenate([part.components for part in parts])
        components["source"] += np.repeat(offsets[:-1], [len(part.components) for part in parts]).astype(np.int32)
        return cls(np.concatenate([part.sources for part in parts]), components)


@dataclass(frozen=True)
class Pool:
    """Sources to choose from, whose magnitudes in the reference band lie in a range.

    Attributes
    ----------
    target : Target
        Into what they will be painted.
    mag_range : tuple of float
        AB mag of the brightest and of the faintest ones.
    magnitudes : {"flat", "counts"}
        As many at each magnitude, or as many as the sky has. Either way a source of some magnitude has the shape and
        the colours of sources of that magnitude.
    seed : int
        Of everything.
    """

    target: Target
    mag_range: tuple[float, float]
    magnitudes: Magnitudes
    seed: int
    sources: Sources

    @classmethod
    def fill(cls, target: Target, mag_range: tuple[float, float], magnitudes: Magnitudes, seed: int) -> Pool:
        """Draw the sources."""
        bright, faint = mag_range
        parts = []
        for limit in np.arange(faint + 1, bright, -_STEP) if magnitudes == "flat" else [faint + 1]:
            part = _draw(target, float(limit), seed)
            mag = magnitude(target, part)
            if magnitudes == "counts":
                part = part.take(np.flatnonzero((mag >= bright) & (mag < faint)))
            parts.append(part)
        pool = Sources.concatenate(parts)
        if not len(pool):
            raise StarnetError(
                f"the sky has no sources of {bright:g} to {faint:g} mag: give another --mag-range, or --magnitudes flat"
            )
        return cls(target, mag_range, magnitudes, seed, pool)

    def choose(self, number: int, which: int) -> Sources:
        """The sources of a pass, on pixels that have data.

        Parameters
        ----------
        number : int
            On the whole mosaic; those that would lie on uncovered pixels are left out.
        which : int
            Number of the pass.
        """
        rng = np.random.default_rng([self.seed, which])
        ny, nx = self.target.mosaic.shape
        y, x = rng.uniform(-0.5, ny - 0.5, number), rng.uniform(-0.5, nx - 0.5, number)
        wanted = rng.uniform(*self.mag_range, number)
        have = magnitude(self.target, self.sources)
        order = np.argsort(have, kind="stable")
        if self.magnitudes == "flat":
            nearest = np.searchsorted(have[order], wanted) + rng.integers(-_NEAREST // 2, _NEAREST // 2, number)
            rows = order[np.clip(nearest, 0, len(order) - 1)]
        else:
            rows = rng.integers(0, len(order), number)
            wanted = have[rows]
        turn = rng.uniform(0, np.pi, number)
        chosen = self.sources.take(rows).brighten(10 ** (-0.4 * (wanted - have[rows])))
        chosen.sources["y"], chosen.sources["x"] = y, x
        _turn(chosen, turn)
        return chosen.take(np.flatnonzero(_covered(self.target, y, x)))


def magnitude(target: Target, sources: Sources) -> NDArray[np.float64]:
    """AB mag in the reference band."""
    with np.errstate(divide="ignore"):
        return np.asarray(target.zero_point - 2.5 * np.log10(sources.sources["flux"][:, target.reference]))


def _draw(target: Target, limit: float, seed: int) -> Sources:
    """Sources of the survey's sky down to a limit, from a cell wide enough for a fair number."""
    preset = replace(target.preset, faintest=limit)
    side = _CELL
    while True:
        found = draw(preset, seed, (0, 0), side)
        if len(found.sources) >= _POOL or side >= _LARGEST_CELL:
            order = np.argsort(found.components["source"], kind="stable")
            have = np.flatnonzero(found.sources["flux"][:, target.reference] > 0)
            return Sources(found.sources, found.components[order]).take(have)
        side *= 2


def _turn(sources: Sources, angle: NDArray[np.float64]) -> None:
    """Turn every source about its centre."""
    components = sources.components
    own = angle[components["source"]]
    dy, dx = components["dy"].copy(), components["dx"].copy()
    components["dx"] = dx * np.cos(own) - dy * np.sin(own)
    components["dy"] = dx * np.sin(own) + dy * np.cos(own)
    components["pa"] = (components["pa"] + own) % np.pi
    sources.sources["pa"] = (sources.sources["pa"] + angle) % np.pi


def _covered(target: Target, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the reference band has data at positions."""
    ny, nx = target.mosaic.shape
    rows, columns = (np.floor(v + 0.5).astype(np.int64) for v in (y, x))
    covered = np.zeros(len(y), bool)
    for y0 in range(0, ny, _ROWS):
        box = Box(y0, min(y0 + _ROWS, ny), 0, nx)
        here = np.flatnonzero((rows >= box.y0) & (rows < box.y1))
        if len(here):
            covered[here] = target.mosaic.read(box).valid[target.reference, rows[here] - y0, columns[here]]
    return covered
