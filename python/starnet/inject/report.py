"""The page of an injection."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from astropy.table import Table

from starnet.evaluate.page import plot, table, write_page
from starnet.inject import plots

_DEFINITIONS = """
A source is recovered if it has a detection of its own. All injected sources and all detections of the original image
enter one one-to-one assignment with the detections of the image with the injected sources: the one with the largest
sum of IoU (intersection over union). The mask of an injected source is where it exceeds, alone, 1 sigma of the noise-
weighted detection image. An IoU of 0.1 is enough; a source too faint for that is recovered if its centre lies in a
detection that nobody else was assigned. A source is blended if its centre lies in somebody else's detection, and
missed if nothing is found there. It is alone if neither its mask nor its centre is on a detection of the original, or
its mask on another's. The curve, P(m) (1 - exp(-exp(-(m - centre) / width))) with a straight line P for what crowding
leaves, is fitted to the single sources by maximum likelihood; limits are where it passes 90 % and 50 %, with 95 %
intervals from a bootstrap over squares of the sky. Measured magnitudes are isophotal: they lack the light below the
isophote, and have that of neighbours. Biases are medians, scatters 1.4826 times the median absolute deviation. The
image turned over (at its sky, with the same noise and threshold) has no sources: what is detected there is noise, and
its part of the detections a least part of false ones: halos of sources lift noise over the threshold in the image,
and push it down in the image turned over.
"""


def limit_text(one: dict[str, Any]) -> str:
    """A limit with its interval, as text."""
    if one["mag"] is None:
        return "not reached"
    interval = one["interval"]
    return f"{one['mag']:.2f}" + ("" if interval is None else f" ({interval[0]:.2f} to {interval[1]:.2f})")


def figures(summary: dict[str, Any]) -> dict[str, str]:
    """The figures that stand for all, as text by name."""
    purity = summary["purity"]
    counts = purity["detections"]
    rows = {
        "injected": f"{summary['n_injected']} in {summary['passes']} passes",
        "recovered": str(summary["n_recovered"]),
        "blended": str(summary["n_blended"]),
        "missed": str(summary["n_missed"]),
    }
    for level in ("90", "50"):
        for name, key in (("all", "completeness_limits"), ("alone", "completeness_limits_alone")):
            rows[f"{level} % complete, {name} [{summary['band']} mag]"] = limit_text(summary[key][level])
    rows["detections that are somebody's, with injected sources"] = _part(purity["injected_image"])
    rows["others: pieces of injected, of original, elsewhere"] = (
        f"{counts['of_injected']}, {counts['of_original']}, {counts['elsewhere']} of {counts['all']}"
    )
    rows["detections of the original, and turned over"] = (
        f"{purity['n_original']}, {'-' if purity['n_mirrored'] is None else purity['n_mirrored']}"
    )
    rows["purity by the image turned over, at most"] = _part(purity["mirrored"])
    return rows


def bin_rows(bins: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head, but for the quantity's name, and rows of a table of bins."""
    head = ["injected", "recovered", "blended", "completeness", "mag bias", "error", "scatter", "size ratio", "scatter"]
    keys = ("completeness", "mag_bias", "mag_error", "mag_scatter", "size_ratio", "size_scatter")
    signs = ("", "+", "", "", "", "")
    rows = [
        [range_text(one), str(one["n"]), str(one["recovered"]), str(one["blended"])]
        + [_part(one[key], sign) for key, sign in zip(keys, signs, strict=True)]
        for one in bins
    ]
    return head, rows


def range_text(one: dict[str, Any]) -> str:
    """A bin's range."""
    return f"{one['low']:.3g} and more" if one["high"] is None else f"{one['low']:.3g} to {one['high']:.3g}"


def write_report(sources: Table, summary: dict[str, Any], path: Path) -> None:
    """Write the page.

    Parameters
    ----------
    sources : Table
        All injected sources.
    summary : dict
        From `starnet.inject.summary.summarize`.
    path : Path
        The file to make or to replace.
    """
    title = "Injection and recovery"
    body = [
        f"<h1>{title}</h1>",
        f"<p>{escape(', '.join(summary['inputs']))}; model {escape(summary['model']['name'])}.</p>",
        *(f"<p>Note: {escape(note)}.</p>" for note in summary["notes"]),
        table(["", ""], [[name, value] for name, value in figures(summary).items()]),
    ]
    if len(sources):
        body += [
            "<h2>Completeness</h2>",
            plot(plots.draw_completeness(summary)),
            "<p>Bars are 68 % intervals; the grey band is the 95 % interval of a limit.</p>",
            plot(plots.draw_plane(sources, summary["band"])),
            "<p>White dots: sources that were not recovered.</p>",
            "<h2>Biases</h2>",
            plot(plots.draw_biases(sources, summary)),
            "<p>Of recovered sources; bars are the scatter of single ones.</p>",
            "<h2>Blends and purity</h2>",
            plot(plots.draw_purity(summary)),
        ]
    for name, bins in summary["bins"].items():
        head, rows = bin_rows(bins)
        body += ["<details><summary>" + escape(name) + "</summary>", table([name, *head], rows), "</details>"]
    settings = {key: summary[key] for key in ("passes", "density", "magnitudes", "seed", "resamples", "preset")}
    body += [
        "<h2>Definitions</h2>",
        f"<p>{_DEFINITIONS}</p>",
        f"<p>{escape(', '.join(f'{name} {value}' for name, value in settings.items()))}. "
        f"StarNet {escape(summary['starnet'])}.</p>",
    ]
    write_page(path, title, body)


def _part(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.3f}"
