"""All the figures of an injection, as JSON knows them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet.inject import curves
from starnet.inject.recovery import BLENDED, MISSED, RECOVERED

Floats = NDArray[np.float64]


def summarize(
    table: Table,
    *,
    band: str,
    shape: tuple[int, int],
    mag_range: tuple[float, float],
    detections: dict[str, int],
    before: Floats,
    mirrored: Floats | None,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Figures of an injection.

    Parameters
    ----------
    table : Table
        All passes.
    band : str
        The reference band.
    shape : tuple of int
        ``(ny, nx)`` of the mosaic.
    mag_range : tuple of float
        What was injected.
    detections : dict
        As `starnet.inject.recovery.Recovery` has them, all passes together.
    before, mirrored : ndarray of float64
        Isophotal magnitudes of the detections of the original, and of the original turned over (None: not made).
    resamples, seed : int
        Of the bootstrap.
    """
    mag = np.asarray(table["mag"], float)
    alone = table[np.asarray(table["alone"], bool)]
    fits = {
        name: curves.limits(part, shape, mag_range, resamples=resamples, seed=seed)
        for name, part in (("all", table), ("alone", alone))
    }
    # Sources that would be found for certain, were they alone: what these lose, they lose to their neighbours. And
    # sources that may be found: sizes of others say nothing.
    certain, possible = (_or_faintest(fits["alone"]["limits"][level]["mag"], mag_range) for level in ("90", "50"))
    chosen = {
        "mag": (table, mag),
        "mag, alone": (alone, np.asarray(alone["mag"], float)),
        "surface_brightness": _column(table, "surface_brightness"),
        "half_light_radius": _column(table[mag < possible], "half_light_radius"),
        "separation, beside": _column(table[(mag < certain) & ~np.asarray(table["on_original"], bool)], "separation"),
        "separation, on": _column(table[(mag < certain) & np.asarray(table["on_original"], bool)], "separation"),
    }
    edges = {
        **{name: curves.steps(mag, 0.5) for name in ("mag", "mag, alone")},
        "surface_brightness": curves.steps(chosen["surface_brightness"][1], 0.5),
        "half_light_radius": _sizes(chosen["half_light_radius"][1]),
        **{f"separation, {where}": curves.SEPARATIONS for where in ("beside", "on")},
    }
    binned = {
        name: [asdict(one) for one in curves.bins(part, values, edges[name], band)]
        for name, (part, values) in chosen.items()
    }
    outcomes = {one: int(np.sum(table["outcome"] == one)) for one in (RECOVERED, BLENDED, MISSED)}
    assigned = detections["injected"] + detections["original"]
    return {
        "band": band,
        "n_injected": len(table),
        **{f"n_{name}": number for name, number in outcomes.items()},
        "completeness": outcomes[RECOVERED] / len(table) if len(table) else None,
        "completeness_limits": fits["all"]["limits"],
        "completeness_limits_alone": fits["alone"]["limits"],
        "completeness_fit": fits["all"]["fit"],
        "completeness_fit_alone": fits["alone"]["fit"],
        "mag_range": list(mag_range),
        "separation_brighter_than": certain,
        "half_light_radius_brighter_than": possible,
        "purity": {
            "injected_image": assigned / detections["all"] if detections["all"] else None,
            "detections": detections,
            "n_original": len(before),
            "n_mirrored": None if mirrored is None else len(mirrored),
            "mirrored": None if mirrored is None or not len(before) else max(0.0, 1 - len(mirrored) / len(before)),
            "bins": []
            if mirrored is None
            else curves.purity(before, mirrored, curves.steps(np.append(before, mirrored), 1.0)),
        },
        "bins": binned,
    }


def _column(table: Table, name: str) -> tuple[Table, Floats]:
    return table, np.asarray(table[name], float)


def _or_faintest(mag: float | None, mag_range: tuple[float, float]) -> float:
    return mag_range[1] if mag is None else mag


def _sizes(radius: Floats) -> list[float]:
    """Edges a factor of the fourth root of 2 apart."""
    radius = radius[np.isfinite(radius) & (radius > 0)]
    if not len(radius):
        return [0.0, 1.0]
    first, last = np.floor(4 * np.log2(radius.min())), np.floor(4 * np.log2(radius.max()))
    return [float(v) for v in 2 ** (np.arange(first, last + 2) / 4)]
