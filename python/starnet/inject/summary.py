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
    # Sources that would be found for certain, were they alone: what these lose, they lose to their neighbours.
    certain = fits["alone"]["limits"]["90"]["mag"]
    bright = table[mag < (certain if certain is not None else np.median(mag) if len(mag) else 0)]
    radius = np.asarray(table["half_light_radius"], float)
    quantities = {
        "mag": (mag, curves.steps(mag, 0.5)),
        "surface_brightness": ((sb := np.asarray(table["surface_brightness"], float)), curves.steps(sb, 0.5)),
        "half_light_radius": (radius, _sizes(radius)),
    }
    binned = {
        name: [asdict(one) for one in curves.bins(table, values, edges, band)]
        for name, (values, edges) in quantities.items()
    }
    if len(alone):
        binned["mag, alone"] = [
            asdict(one) for one in curves.bins(alone, np.asarray(alone["mag"], float), quantities["mag"][1], band)
        ]
    if len(bright):
        separation = np.asarray(bright["separation"], float)
        binned["separation"] = [asdict(one) for one in curves.bins(bright, separation, curves.SEPARATIONS, band)]
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


def _sizes(radius: Floats) -> list[float]:
    """Edges a factor of the square root of 2 apart."""
    radius = radius[np.isfinite(radius) & (radius > 0)]
    if not len(radius):
        return [0.0, 1.0]
    first, last = np.floor(2 * np.log2(radius.min())), np.floor(2 * np.log2(radius.max()))
    return [float(v) for v in 2 ** (np.arange(first, last + 2) / 2)]
