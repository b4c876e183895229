"""Completeness, biases and purity from the sources' fates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet.evaluate.blocks import Blocks, interval
from starnet.inject.recovery import BLENDED, RECOVERED

Floats = NDArray[np.float64]

#: Completeness whose magnitudes are stated.
LIMITS = (0.9, 0.5)
#: Standard deviations of a normal distribution in its median absolute deviation.
_MAD = 1.4826
#: No curve is fitted to fewer sources.
_LEAST = 30
#: Edges in FWHM.
SEPARATIONS = (0, 0.5, 1, 1.5, 2, 3, 4, 6, np.inf)
# Magnitudes are counted in bins this fine for the fit; limits are looked for in these steps.
_FINE, _STEP = 0.1, 0.01


@dataclass(frozen=True)
class Curve:
    """Completeness against magnitude.

    ``C(m) = P(m) (1 - exp(-exp(-(m - centre) / width)))``. The second factor is the complementary log-log curve, which
    leaves 1 late and reaches 0 slowly, as detection at a threshold does; a logistic one, whose ends are alike, puts the
    magnitude of 90 % a quarter too bright where there are no blends. `P` is what crowding leaves, a straight line from
    `plateau` at the brightest magnitude to ``plateau * kept`` at the faintest: neighbours hide more of the faint ones.

    Attributes
    ----------
    plateau, kept, centre, width : float
        The four parameters.
    brightest, faintest : float
        The range of magnitudes.
    """

    plateau: float
    kept: float
    centre: float
    width: float
    brightest: float
    faintest: float

    def __call__(self, mag: Floats) -> Floats:
        """Completeness."""
        part = (mag - self.brightest) / (self.faintest - self.brightest)
        rise = np.exp(np.clip((self.centre - mag) / self.width, -50, 50))
        return self.plateau * (1 + (self.kept - 1) * part) * -np.expm1(-rise)

    def limit(self, completeness: float) -> float | None:
        """Magnitude of a completeness; None if that is not inside the range."""
        mag = np.linspace(self.brightest, self.faintest, 1 + round((self.faintest - self.brightest) / _STEP))
        values = self(mag)
        if not values[0] >= completeness > values[-1]:
            return None
        return float(np.interp(-completeness, -values, mag))

    @classmethod
    def fit(
        cls, mag: Floats, trials: Floats, found: Floats, mag_range: tuple[float, float], start: Curve | None = None
    ) -> Curve:
        """The curve of maximum likelihood for so many found of so many trials at some magnitudes.

        Parameters
        ----------
        mag, trials, found : ndarray of float64
            The counts.
        mag_range : tuple of float
            The brightest and the faintest magnitude.
        start : Curve, optional
            Where to begin; by default, at several places.
        """
        from scipy.optimize import minimize

        low, high = mag_range

        def made(p: Floats) -> Curve:
            return cls(float(p[0]), float(p[1]), float(p[2]), float(p[3]), low, high)

        def loss(p: Floats) -> float:
            c = np.clip(made(p)(mag), 1e-9, 1 - 1e-9)
            return -float(np.sum(found * np.log(c) + (trials - found) * np.log(1 - c)))

        bounds = [(1e-3, 1.0), (0.0, 1.0), (low - 3, high + 3), (0.02, 2.0)]
        starts = [(0.95, 0.9, low + part * (high - low), 0.4) for part in (0.3, 0.6, 0.9, 1.1)]
        if start is not None:
            starts = [(start.plateau, start.kept, start.centre, start.width)]
        fits = [minimize(loss, one, bounds=bounds, method="L-BFGS-B") for one in starts]
        best = min(fits, key=lambda one: float(one.fun))
        return made(best.x)


@dataclass(frozen=True)
class Bin:
    """Sources of a range of some quantity.

    Attributes
    ----------
    low, high : float or None
        The range; None where it is open.
    n, recovered, blended : int
        Injected sources, and what became of them.
    completeness : float
        ``recovered / n``.
    mag_bias, mag_scatter : float or None
        Median of measured less true magnitude in the reference band, and 1.4826 times the median absolute deviation
        from it.
    mag_error : float or None
        Of that median, ``1.2533 scatter / sqrt(number)``.
    size_ratio, size_scatter : float or None
        Median of measured over true size, and the scatter likewise.
    """

    low: float | None
    high: float | None
    n: int
    recovered: int
    blended: int
    completeness: float
    mag_bias: float | None
    mag_scatter: float | None
    mag_error: float | None
    size_ratio: float | None
    size_scatter: float | None


def bins(table: Table, values: Floats, edges: Sequence[float], band: str) -> list[Bin]:
    """Bins of sources, empty ones left out.

    Parameters
    ----------
    table : Table
        Of `starnet.inject.recovery.Recovery`.
    values : ndarray of float64
        The quantity, for each row.
    edges : sequence of float
        Ascending.
    band : str
        The reference band.
    """
    found = []
    recovered, blended = (np.asarray(table["outcome"] == one) for one in (RECOVERED, BLENDED))
    offset = np.asarray(table[f"mag_out_{band}"]) - np.asarray(table[f"mag_{band}"])
    ratio = np.asarray(table["size_out"]) / np.asarray(table["size"])
    for low, high in pairwise(edges):
        here = (values >= low) & (values < high)
        n = int(here.sum())
        if n:
            bias, scatter, error = _robust(offset[here & recovered])
            size, size_scatter, _ = _robust(ratio[here & recovered])
            hits = int((here & recovered).sum())
            lost = int((here & blended).sum())
            first, last = (float(v) if np.isfinite(v) else None for v in (low, high))
            found.append(Bin(first, last, n, hits, lost, hits / n, bias, scatter, error, size, size_scatter))
    return found


def steps(values: Floats, width: float) -> list[float]:
    """Edges at multiples of a width around all values."""
    values = values[np.isfinite(values)]
    if not len(values):
        return [0.0, width]
    first, last = np.floor(values.min() / width), np.floor(values.max() / width)
    return [float(v) for v in width * np.arange(first, last + 2)]


def limits(table: Table, shape: tuple[int, int], mag_range: tuple[float, float], *, resamples: int, seed: int) -> Any:
    """The curve of maximum likelihood, the magnitudes of 90 % and 50 % completeness, and their 95 % intervals.

    The bootstrap draws squares of the sky with all that was injected there, in any pass, so that what the sky has there
    is part of the uncertainty.

    Returns
    -------
    dict
        ``fit`` (parameters of `Curve`); ``limits``: for ``90`` and ``50`` the ``mag``, None if the curve does not pass
        it inside the range of magnitudes, and its ``interval``, None if fewer than half of the draws have one. All are
        None for fewer than 30 sources.
    """
    if len(table) < _LEAST:
        return {"fit": None, "limits": {f"{100 * c:.0f}": {"mag": None, "interval": None} for c in LIMITS}}
    edges = np.arange(mag_range[0], mag_range[1] + _FINE, _FINE)
    middle = (edges[:-1] + edges[1:]) / 2
    column = np.clip(np.searchsorted(edges, np.asarray(table["mag"]), "right") - 1, 0, len(middle) - 1)
    blocks = Blocks.of(shape)
    y, x = (np.clip(np.asarray(table[axis]), 0, None).astype(np.int64) // blocks.side for axis in ("y", "x"))
    _, block = np.unique(y * shape[1] + x, return_inverse=True)
    counts = np.zeros((2, block.max() + 1, len(middle)))
    np.add.at(counts[0], (block, column), 1)
    np.add.at(counts[1], (block, column), np.asarray(table["outcome"] == RECOVERED).astype(float))

    def fitted(weights: Floats, start: Curve | None = None) -> Curve:
        trials, found = np.tensordot(counts, weights, (1, 0))
        some = trials > 0
        return Curve.fit(middle[some], trials[some], found[some], mag_range, start)

    ones = np.ones(counts.shape[1])
    best = fitted(ones)
    rng = np.random.default_rng(seed)
    draws = [fitted(rng.multinomial(len(ones), ones / len(ones)).astype(float), best) for _ in range(resamples)]
    stated = {}
    for c in LIMITS:
        drawn = np.array([np.nan if (m := one.limit(c)) is None else m for one in draws])
        enough = np.isfinite(drawn).sum() * 2 > len(drawn)
        stated[f"{100 * c:.0f}"] = {
            "mag": best.limit(c),
            "interval": interval(drawn) if enough else None,
        }
    return {"fit": asdict(best), "limits": stated}


def purity(mag: Floats, mirrored: Floats, edges: Sequence[float]) -> list[dict[str, Any]]:
    """Detections of the image and of the image turned over, by isophotal magnitude.

    What is detected on the image turned over is noise (and the edges of holes): its number is an estimate, from below,
    of the false ones among the image's.

    Returns
    -------
    list of dict
        ``low``, ``high``, ``n``, ``n_mirrored``, and ``purity``, ``max(0, 1 - n_mirrored / n)``, None where ``n`` is 0.
    """
    found = []
    for low, high in pairwise(edges):
        n, false = (int(((one >= low) & (one < high)).sum()) for one in (mag, mirrored))
        if n or false:
            part = max(0.0, 1 - false / n) if n else None
            found.append({"low": low, "high": high, "n": n, "n_mirrored": false, "purity": part})
    return found


def _robust(values: Floats) -> tuple[float | None, float | None, float | None]:
    """Median, scatter and the error of the median."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None, None, None
    median = float(np.median(values))
    scatter = float(_MAD * np.median(np.abs(values - median)))
    return median, scatter, 1.2533 * scatter / float(np.sqrt(len(values)))
