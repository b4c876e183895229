"""What became of injected sources: which detection is whose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet.evaluate.labels import LabelSource, strips
from starnet.evaluate.metrics import FOUND, Matches, match
from starnet.evaluate.overlaps import Progress, find_overlaps
from starnet.inject.scene import Scene, Seen
from starnet.inject.sources import magnitude
from starnet.masks.runs import Ints, Runs
from starnet.simulate.population import CLASSES
from starnet.tiles import Box

Floats = NDArray[np.float64]

#: Sources of fewer pixels above 1 sigma are nobody's neighbours.
_LEAST_AREA = 5
#: What becomes of an injected source: found as a detection of its own; its place lies in one that is somebody else's;
#: nothing is found there.
RECOVERED, BLENDED, MISSED = "recovered", "blended", "missed"


@dataclass(frozen=True)
class Together:
    """The injected sources, with what was detected before them, as one set of objects.

    Attributes
    ----------
    injected : LabelSource
        Masks, labelled from 1 to `count`.
    before : LabelSource
        The segmentation of the original; its labels follow after `count`.
    count : int
        Number of injected sources, those without a mask included.
    """

    injected: LabelSource
    before: LabelSource
    count: int
    name: str = "the injected sources and the original's detections"
    classes: None = None

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)`` in pixels."""
        return self.before.shape

    def read(self, box: Box) -> NDArray[np.int64]:
        """See `LabelSource.read`; the injected sources are on top."""
        above, below = self.injected.read(box), self.before.read(box)
        return np.where(above > 0, above, np.where(below > 0, below + self.count, 0))

    def runs(self, y0: int, y1: int) -> Runs:
        """See `LabelSource.runs`."""
        above, below = self.injected.runs(y0, y1), self.before.runs(y0, y1)
        label = np.concatenate([above.label, below.label + self.count])
        start, stop = np.append(above.start, below.start), np.append(above.stop, below.stop)
        order = np.argsort(start, kind="stable")
        return Runs(label[order], start[order], stop[order])


@dataclass(frozen=True)
class Recovery:
    """One pass.

    Attributes
    ----------
    table : Table
        A row for each injected source; see `COLUMNS`.
    detections : dict
        How many there are in the image with the injected sources: ``all`` of them; ``injected``, assigned to an
        injected source; ``original``, assigned to a detection of the original; of the others, ``of_injected`` and
        ``of_original``, pieces with most of their pixels on one; ``elsewhere``, the rest.
    lost : int
        Detections of the original that are none any more.
    """

    table: Table
    detections: dict[str, int]
    lost: int


#: The columns of `recovered.fits` with their units; ``mag_BAND``, ``flux_out_BAND`` and ``mag_out_BAND`` for each band.
COLUMNS = {
    "pass": (None, "number of the pass"),
    "number": (None, "number of the source in its pass"),
    "x": ("pix", "centre; 0 is the centre of the first pixel"),
    "y": ("pix", "centre; 0 is the centre of the first pixel"),
    "ra": ("deg", "right ascension"),
    "dec": ("deg", "declination"),
    "class": (None, "kind of source"),
    "mag": ("mag", "true magnitude in the reference band"),
    "surface_brightness": ("mag / arcsec2", "mean within the half-light radius, in the reference band"),
    "half_light_radius": ("arcsec", "as seen through the optics, circular, in the reference band"),
    "intrinsic_radius": ("arcsec", "half-light radius along the major axis, before the optics"),
    "n": (None, "Sersic index; 0: star"),
    "axis_ratio": (None, "minor to major axis, before the optics"),
    "snr": (None, "S/N of the optimal filter, were the noise white"),
    "area": ("pix", "pixels where it exceeds 1 sigma alone"),
    "separation": (None, "distance to the next detection of the original or injected source, in FWHM"),
    "on_original": (None, "its centre is on a detection of the original"),
    "alone": (None, "no pixel of its mask, nor its centre, is on a detection of the original or another's mask"),
    "outcome": (None, "recovered, blended (its centre is in another's detection) or missed"),
    "id": (None, "of its detection, in the catalog of the pass; 0: none"),
    "iou": (None, "of its mask and its detection; 0 where it was found by its centre alone"),
    "size": ("pix", "semi-major axis (second moments) of its light above 1 sigma"),
    "size_out": ("pix", "semimajor_axis of its detection"),
}


def recover(
    scene: Scene,
    seen: Seen,
    before: LabelSource,
    catalog_before: Table,
    after: LabelSource,
    catalog: Table,
    *,
    which: int = 1,
    progress: Progress | None = None,
) -> Recovery:
    """Find out which detections are the injected sources.

    The masks of the injected sources and the detections of the original image enter, together, one assignment with the
    detections of the image with the injected sources: the one-to-one assignment of the largest sum of IoU. A source is
    recovered if its IoU is at least 0.1. One that is too faint to have a mask, or so faint that the IoU is less, is
    recovered if its centre lies in a detection that nobody else was assigned; of several the brightest.

    Parameters
    ----------
    scene, seen : Scene, Seen
        The injected sources.
    before, catalog_before : LabelSource, Table
        Segmentation and catalog of the original.
    after, catalog : LabelSource, Table
        Those of the image with the injected sources.
    which : int
        Number of the pass.
    progress : callable, optional
        Called with ``(stage, done, total)``.
    """
    n = len(scene.sources)
    overlaps = find_overlaps(Together(seen.masks, before, n), after, progress=progress)
    matches = match(overlaps, np.ones(len(overlaps.truth), bool))
    owner, iou = np.zeros(n, np.int64), np.zeros(n)
    taken = matches.pred_iou >= FOUND
    labels, found = overlaps.truth.label, matches.truth_iou >= FOUND
    ours = found & (labels <= n)
    owner[labels[ours] - 1] = overlaps.pred.label[matches.pred_of_truth[ours]]
    iou[labels[ours] - 1] = matches.truth_iou[ours]

    centre, centre_before = _at_centres(scene, after), _at_centres(scene, before)
    free = set(overlaps.pred.label[~taken].tolist())
    mag = magnitude(scene.target, scene.sources)
    by_centre = np.zeros(n, bool)
    for i in np.argsort(mag, kind="stable").tolist():
        if not owner[i] and centre[i] in free:
            owner[i], by_centre[i] = centre[i], True
            free.remove(int(centre[i]))
    outcome = np.where(owner > 0, RECOVERED, np.where(centre > 0, BLENDED, MISSED))

    table = _described(scene, seen, mag)
    table["separation"] = _separation(scene, seen, catalog_before)
    table["on_original"] = centre_before > 0
    table["alone"] = _alone(seen, before, n) & (centre_before == 0)
    table["outcome"], table["id"], table["iou"] = outcome, owner, iou
    table["size"] = seen.size
    _measured(table, scene, catalog, owner)
    table["pass"] = which
    for name, (unit, text) in COLUMNS.items():
        if name in table.colnames:
            table[name].unit, table[name].description = unit, text
    order = [name for name in COLUMNS if name in table.colnames]
    table = table[order + [name for name in table.colnames if name not in order]]
    counted, lost = _detections(matches, n, taken, owner[by_centre])
    return Recovery(table, counted, lost)


def _described(scene: Scene, seen: Seen, mag: Floats) -> Table:
    """What was injected."""
    target, rows = scene.target, scene.sources.sources
    scale = target.preset.pixel_scale
    table = Table({"number": np.arange(1, len(rows) + 1, dtype=np.int32), "x": rows["x"], "y": rows["y"]})
    if target.mosaic.wcs is not None:
        ra, dec = target.mosaic.wcs.pixel_to_world_values(rows["x"], rows["y"])
        table["ra"], table["dec"] = np.asarray(ra, float), np.asarray(dec, float)
    table["class"] = np.array(CLASSES)[rows["kind"]]
    table["mag"] = mag
    table["half_light_radius"] = seen.radius * scale
    table["surface_brightness"] = mag + 2.5 * np.log10(2 * np.pi * (seen.radius * scale) ** 2)
    table["intrinsic_radius"] = rows["re"] * scale
    table["n"], table["axis_ratio"] = rows["n"], rows["q"]
    table["snr"], table["area"] = seen.snr, seen.area
    for i, band in enumerate(target.preset.bands):
        with np.errstate(divide="ignore"):
            table[f"mag_{band.name}"] = band.zero_point - 2.5 * np.log10(rows["flux"][:, i])
        table[f"mag_{band.name}"].unit, table[f"mag_{band.name}"].description = "mag", f"true AB mag in {band.name}"
    return table


def _measured(table: Table, scene: Scene, catalog: Table, owner: Ints) -> None:
    """What was measured of the detections; NaN where there is none."""
    ids = np.asarray(catalog["id"])
    row = np.full(int(ids.max(initial=0)) + 1, -1)
    row[ids] = np.arange(len(ids))
    at = row[owner] if len(ids) else np.full(len(owner), -1)
    some = (owner > 0) & (at >= 0)

    def column(name: str) -> Floats:
        values = np.full(len(owner), np.nan)
        values[some] = np.asarray(catalog[name], float)[at[some]]
        return values

    table["size_out"] = column("semimajor_axis")
    for band in scene.target.preset.bands:
        flux = column(f"flux_{band.name}")
        with np.errstate(invalid="ignore", divide="ignore"):
            mag = band.zero_point - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))
        for name, values, text in (("flux", flux, "isophotal flux"), ("mag", mag, "AB mag of the isophotal flux")):
            table[f"{name}_out_{band.name}"] = values
            table[f"{name}_out_{band.name}"].description = f"{text} of its detection in {band.name}"


def _at_centres(scene: Scene, labels: LabelSource) -> Ints:
    """Labels of the pixels with the sources' centres."""
    y, x = (np.floor(scene.sources.sources[axis] + 0.5).astype(np.int64) for axis in ("y", "x"))
    found = np.zeros(len(y), np.int64)
    for y0, y1 in strips(labels.shape):
        here = np.flatnonzero((y >= y0) & (y < y1))
        if len(here):
            found[here] = labels.read(Box(y0, y1, 0, labels.shape[1]))[y[here] - y0, x[here]]
    return found


def _separation(scene: Scene, seen: Seen, catalog_before: Table) -> Floats:
    """Distance to the next detection of the original, or injected source with a mask, in FWHM."""
    from scipy.spatial import cKDTree

    rows = scene.sources.sources
    own = np.stack([rows["y"], rows["x"]], axis=1)
    before = np.stack([np.asarray(catalog_before[axis], float) for axis in ("y", "x")], axis=1)
    others = np.flatnonzero(seen.area >= _LEAST_AREA)
    distance = np.full(len(own), np.inf)
    if len(before):
        distance = cKDTree(before).query(own)[0]
    if len(others) > 1:
        near, which = cKDTree(own[others]).query(own, k=2)
        itself = others[np.minimum(which, len(others) - 1)] == np.arange(len(own))[:, None]
        distance = np.minimum(distance, np.where(itself, np.inf, near).min(axis=1))
    return np.asarray(distance / scene.target.fwhm())


def _alone(seen: Seen, before: LabelSource, n: int) -> NDArray[np.bool_]:
    """Whose masks touch neither a detection of the original nor another mask."""
    alone = np.ones(n, bool)
    on_before = find_overlaps(seen.masks, before)
    alone[on_before.truth.label[on_before.t] - 1] = False
    on_others = find_overlaps(seen.masks, seen.masks)
    other = on_others.t != on_others.p
    alone[on_others.truth.label[on_others.t[other]] - 1] = False
    return alone


def _detections(
    matches: Matches, n: int, taken: NDArray[np.bool_], by_centre: NDArray[Any]
) -> tuple[dict[str, int], int]:
    """Count the detections by what they belong to."""
    overlaps = matches.overlaps
    original = overlaps.truth.label > n
    partner = np.append(original, False)[matches.truth_of_pred]
    centred = np.isin(overlaps.pred.label, by_centre)
    rest = ~taken & ~centred
    shared = np.zeros((2, len(rest)))
    np.add.at(shared, (original[overlaps.t].astype(int), overlaps.p), overlaps.pixels)
    piece = rest & (shared.max(axis=0) > overlaps.pred.area / 2)
    of_original = piece & (shared[1] >= shared[0])
    counts = {
        "all": len(rest),
        "injected": int((taken & ~partner).sum() + centred.sum()),
        "original": int((taken & partner).sum()),
        "of_injected": int((piece & ~of_original).sum()),
        "of_original": int(of_original.sum()),
        "elsewhere": int((rest & ~piece).sum()),
    }
    return counts, int((original & (matches.truth_iou < FOUND)).sum())
