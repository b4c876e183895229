"""What galaxies are made of: components for each class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A spiral that is larger than this shows its arms.
RESOLVED = 5.0
_ARM_KNOTS = 40


def half_light(parts: list[tuple[Floats, Floats, Floats]]) -> Floats:
    """Radius that holds half of the light of concentric Sersic profiles, by bisection.

    Parameters
    ----------
    parts : list of (fraction, n, re)
        Of the flux, Sersic index and half-light radius, each (nsource,).
    """
    from scipy.special import gammainc

    low, high = np.zeros(len(parts[0][0])), np.max([re for _, _, re in parts], axis=0)
    for _ in range(30):
        middle = (low + high) / 2
        # b(n): Ciotti & Bertin (1999, A&A 352, 447), eq. 18.
        light = sum(
            fraction * gammainc(2 * n, (2 * n - 1 / 3 + 4 / (405 * n)) * (middle / re) ** (1 / n))
            for fraction, n, re in parts
        )
        low, high = np.where(light < 0.5, middle, low), np.where(light < 0.5, high, middle)
    return np.asarray((low + high) / 2)


def knots(
    rng: np.random.Generator, parents: NDArray[np.void], count: NDArray[np.int64], share: Floats, redness: Floats
) -> dict[str, NDArray[Any]]:
    """Clumps of irregular galaxies: small components scattered over the disk.

    Parameters
    ----------
    rng : Generator
        Draws them.
    parents : ndarray of `starnet.simulate.population.source_dtype`
        The galaxies.
    count : ndarray of int64
        Number of clumps of each.
    share : ndarray of float64
        Of the galaxy's flux that is in clumps. Clumps hold a tenth to a half of an irregular galaxy's ultraviolet
        light (Guo et al. 2015, ApJ 800, 39).
    redness : ndarray of float64, (nband,)
        Mag that a clump changes in each band when it is one scatter bluer or redder than the galaxy.
    """
    which = np.repeat(np.arange(len(parents)), count)
    total = len(which)
    radius, angle = parents["re"][which] * rng.gamma(2.0, 0.55, total), rng.uniform(0, 2 * np.pi, total)
    q = parents["q"][which]
    return {
        "which": which,
        **_offsets(radius * np.cos(angle), radius * np.sin(angle) * q, parents["pa"][which]),
        "re": parents["re"][which] * rng.uniform(0.08, 0.3, total),
        "q": np.maximum(q, 0.5),
        "pa": parents["pa"][which],
        "n": rng.choice([0.5, 1.0], total),
        "flux": _shared(rng, which, parents["flux"], share, redness),
    }


def arms(
    rng: np.random.Generator, parents: NDArray[np.void], share: Floats, redness: Floats
) -> dict[str, NDArray[Any]]:
    """Two spiral arms of knots, logarithmic, of pitch 12 to 30 degrees (Kennicutt 1981, AJ 86, 1847); see `knots`."""
    which = np.repeat(np.arange(len(parents)), _ARM_KNOTS)
    total = len(which)
    place = np.tile(np.arange(_ARM_KNOTS) // 2 / (_ARM_KNOTS / 2), len(parents))
    pitch = np.deg2rad(rng.uniform(12, 30, len(parents)))[which] * rng.choice([-1, 1], len(parents))[which]
    radius = parents["re"][which] * (0.35 + 1.9 * place + rng.normal(0, 0.08, total)).clip(0.1)
    angle = np.log(radius / parents["re"][which] + 1e-3) / np.tan(pitch) + np.pi * (np.arange(total) % 2)
    angle += rng.uniform(0, 2 * np.pi, len(parents))[which] + rng.normal(0, 0.12, total)
    q = parents["q"][which]
    return {
        "which": which,
        **_offsets(radius * np.cos(angle), radius * np.sin(angle) * q, parents["pa"][which]),
        "re": parents["re"][which] * rng.uniform(0.12, 0.4, total),
        "q": np.maximum(q, 0.4),
        "pa": parents["pa"][which],
        "n": np.full(total, 0.5),
        "flux": _shared(rng, which, parents["flux"], share, redness) * np.exp(-1.2 * place)[:, None],
    }


def chains(rng: np.random.Generator, parents: NDArray[np.void]) -> dict[str, NDArray[Any]]:
    """Arcs: beads along a circle of 2 to 6 times the arc's half-length."""
    beads = 9
    which = np.repeat(np.arange(len(parents)), beads)
    along = np.tile(np.linspace(-1, 1, beads), len(parents))
    length = parents["re"][which] * 1.6
    bend = rng.uniform(2, 6, len(parents))[which] * length
    angle = along * length / bend
    weight = np.exp(-(along**2)) * rng.uniform(0.6, 1.4, len(which))
    weight /= np.bincount(which, weight)[which]
    tangent = _offsets(np.cos(angle), -np.sin(angle), parents["pa"][which])
    return {
        "which": which,
        **_offsets(bend * np.sin(angle), bend * (np.cos(angle) - 1), parents["pa"][which]),
        "re": length * 0.28,
        "q": np.maximum(parents["q"][which], 0.15),
        "pa": np.arctan2(tangent["dy"], tangent["dx"]) % np.pi,
        "n": np.full(len(which), 0.5),
        "flux": parents["flux"][which] * weight[:, None],
    }


def _offsets(major: Floats, minor: Floats, pa: Floats) -> dict[str, Floats]:
    return {
        "dy": major * np.sin(pa) + minor * np.cos(pa),
        "dx": major * np.cos(pa) - minor * np.sin(pa),
    }


def _shared(rng: np.random.Generator, which: NDArray[np.int64], flux: Floats, share: Floats, redness: Floats) -> Floats:
    """Flux of the pieces: not too unequal, and colours bluer on average than the galaxy's."""
    size = rng.gamma(1.5, size=len(which)) + 0.2
    size *= (share / np.bincount(which, size, len(share)))[which]
    colour = 10 ** (-0.4 * rng.normal(1.0, 1.0, (len(which), 1)) * redness)
    return np.asarray(flux[which] * size[:, None] * colour)
