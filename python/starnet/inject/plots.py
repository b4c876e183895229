"""The figures of an injection as plots."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet.evaluate.plots import COLOURS, figure_url, new_figure, wilson
from starnet.inject.curves import SEPARATIONS, Curve, steps
from starnet.inject.recovery import RECOVERED

Floats = NDArray[np.float64]
# A bin's median of fewer sources is not drawn.
_LEAST = 5


def draw_completeness(summary: dict[str, Any]) -> str:
    """Against magnitude with the fits and their limits, surface brightness and size; as a data URL."""
    figure = new_figure(13, 4)
    axes = figure.subplots(1, 3)
    mags = np.linspace(summary["mag_range"][0], summary["mag_range"][1], 200)
    for name, fit, colour, text in (
        ("mag", "completeness_fit", COLOURS[0], "all"),
        ("mag, alone", "completeness_fit_alone", COLOURS[1], "alone"),
    ):
        if summary["bins"].get(name):
            _points(axes[0], summary["bins"][name], colour, text)
            if summary[fit] is not None:
                axes[0].plot(mags, Curve(**summary[fit])(mags), color=colour)
    for level, one in summary["completeness_limits"].items():
        if one["mag"] is not None:
            axes[0].axvline(one["mag"], color="0.6", linewidth=1)
            axes[0].text(one["mag"], 1.06, f"{level} %: {one['mag']:.2f}", ha="center", fontsize=8)
            if one["interval"] is not None:
                axes[0].axvspan(*one["interval"], color="0.85", zorder=0)
    axes[0].legend(frameon=False, loc="lower left")
    axes[0].set(xlabel=f"true {summary['band']} [AB mag]", ylabel="completeness")
    _points(axes[1], summary["bins"]["surface_brightness"], COLOURS[0], "")
    axes[1].set_xlabel("surface brightness in the half-light radius [AB mag / arcsec²]")
    _points(axes[2], summary["bins"]["half_light_radius"], COLOURS[0], "")
    axes[2].set_xlabel(
        f"half-light radius as seen [arcsec]\nbrighter than {summary['half_light_radius_brighter_than']:.2f} mag"
    )
    for axis in axes:
        axis.set_ylim(-0.02, 1.12)
    return figure_url(figure)


def draw_plane(table: Table, band: str) -> str:
    """Completeness in the plane of magnitude and size."""
    figure = new_figure(6.5, 4.2)
    axis = figure.subplots()
    mag, size = np.asarray(table["mag"]), np.log10(np.asarray(table["half_light_radius"]))
    edges = [np.array(steps(mag, 0.5)), np.linspace(size.min(), size.max() + 1e-6, 9)]
    hits = np.asarray(table["outcome"] == RECOVERED)
    trials, *_ = np.histogram2d(mag, size, edges)
    found, *_ = np.histogram2d(mag[hits], size[hits], edges)
    with np.errstate(invalid="ignore"):
        part = np.where(trials >= 3, found / trials, np.nan)
    shown = axis.pcolormesh(edges[0], 10 ** edges[1], part.T, vmin=0, vmax=1, cmap="viridis")
    axis.plot(mag[~hits], 10 ** size[~hits], ".", color="white", markersize=2, alpha=0.6)
    axis.set(yscale="log", xlabel=f"true {band} [AB mag]", ylabel="half-light radius as seen [arcsec]")
    figure.colorbar(shown, ax=axis, label="completeness (3 sources or more)")
    return figure_url(figure)


def draw_biases(table: Table, summary: dict[str, Any]) -> str:
    """Measured less true magnitude, and measured over true size, of recovered sources."""
    band = summary["band"]
    figure = new_figure(13, 4)
    axes = figure.subplots(1, 2)
    here = table[np.asarray(table["outcome"] == RECOVERED)]
    mag = np.asarray(here["mag"])
    alone = np.asarray(here["alone"], bool)
    offset = np.asarray(here[f"mag_out_{band}"]) - np.asarray(here[f"mag_{band}"])
    ratio = np.asarray(here["size_out"]) / np.asarray(here["size"])
    for axis, values in ((axes[0], offset), (axes[1], ratio)):
        axis.plot(mag[~alone], values[~alone], ".", color=COLOURS[1], markersize=3, alpha=0.5, label="not alone")
        axis.plot(mag[alone], values[alone], ".", color="0.5", markersize=3, alpha=0.6, label="alone")
    for axis, middle, scatter in (
        (axes[0], "mag_bias", "mag_scatter"),
        (axes[1], "size_ratio", "size_scatter"),
    ):
        found = [one for one in summary["bins"]["mag"] if one["recovered"] >= _LEAST]
        x = [(one["low"] + one["high"]) / 2 for one in found]
        axis.errorbar(
            x, [one[middle] for one in found], [one[scatter] for one in found], fmt="o-", color=COLOURS[0], capsize=2
        )
        axis.set_xlabel(f"true {band} [AB mag]")
    axes[0].axhline(0, color="0.3", linewidth=0.8)
    axes[1].axhline(1, color="0.3", linewidth=0.8)
    axes[0].set(ylim=_limits(offset, 0), ylabel="measured (isophotal) - true magnitude")
    axes[1].set(ylim=_limits(ratio, 1), ylabel="measured / true semi-major axis")
    axes[0].legend(frameon=False)
    return figure_url(figure)


def draw_purity(summary: dict[str, Any]) -> str:
    """What blends lose against separation, and detections of the image and of the image turned over."""
    figure = new_figure(13, 3.8)
    axes = figure.subplots(1, 2)
    for where, colour, text in (
        ("beside", COLOURS[0], "centre beside all detections of the original"),
        ("on", COLOURS[1], "centre on one"),
    ):
        bins = summary["bins"][f"separation, {where}"]
        x = np.array([SEPARATIONS.index(one["low"]) for one in bins], float)
        values, n = (np.array([one[key] for one in bins], float) for key in ("completeness", "n"))
        axes[0].vlines(x, *wilson(values, n.astype(np.int64)), color=colour, linewidth=1)
        axes[0].plot(x, values, "o-", color=colour, label=text)
    names = [f"{low:g}-{high:g}" for low, high in pairwise(SEPARATIONS)]
    axes[0].set_xticks(range(len(names)), [*names[:-1], f"≥ {SEPARATIONS[-2]:g}"])
    axes[0].legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    axes[0].set(ylim=(-0.02, 1.08), ylabel="completeness")
    axes[0].set_xlabel(
        f"distance to the next source's centre [FWHM], brighter than {summary['separation_brighter_than']:.2f} mag"
    )
    found = [one for one in summary["purity"]["bins"] if np.isfinite(one["low"])]
    x = np.array([(one["low"] + one["high"]) / 2 for one in found])
    axes[1].bar(x - 0.2, [one["n"] for one in found], 0.4, color=COLOURS[0], label="image")
    axes[1].bar(x + 0.2, [one["n_mirrored"] for one in found], 0.4, color=COLOURS[1], label="image turned over")
    axes[1].set(xlabel=f"isophotal {summary['band']} [AB mag]", ylabel="detections")
    axes[1].legend(frameon=False)
    return figure_url(figure)


def _points(axis: Any, bins: list[dict[str, Any]], colour: str, label: str) -> None:
    """Completeness with 68 % intervals, in the middle of the bins."""
    x = np.array([(one["low"] + one["high"]) / 2 for one in bins])
    values, n = np.array([one["completeness"] for one in bins]), np.array([one["n"] for one in bins])
    axis.vlines(x, *wilson(values, n), color=colour, linewidth=1)
    axis.plot(x, values, "o", color=colour, markersize=4, label=label)


def _limits(values: Floats, middle: float) -> tuple[float, float]:
    """So that all but a hundredth of the points are seen."""
    values = values[np.isfinite(values)]
    if not len(values):
        return middle - 1, middle + 1
    low, high = np.percentile(values, [1, 99])
    return float(min(low, middle) - 0.1), float(max(high, middle) + 0.1)
