"""The catalog: positions, photometry and shapes, from the sums that the kernels take over each object's pixels."""

from __future__ import annotations

from collections.abc import Sequence

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.table import QTable
from astropy.wcs import WCS

from starnet.flags import Flag
from starnet.instances import Columns
from starnet.masks import Masks
from starnet.mosaic import Band
from starnet.prompts import KINDS

Floats = npt.NDArray[np.float64]


def build_catalog(columns: Columns, bands: Sequence[Band], wcs: WCS | None) -> QTable:
    """The catalog of objects, in the order of `columns`.

    Parameters
    ----------
    columns : Columns
        Raw measurements of all objects, in the order of their ids.
    bands : sequence of Band
        The mosaic's bands.
    wcs : WCS or None
        Gives ``ra`` and ``dec``; without it there are no such columns.

    Returns
    -------
    catalog : QTable
        One row an object; every column has a unit where it has one, and a description.
    """
    area = columns["area"]
    x, y, a, b, theta = _moments(columns)
    table = QTable()

    def add(name: str, values: npt.ArrayLike, description: str, unit: u.UnitBase | None = None) -> None:
        array = np.asarray(values)
        # Quantity would turn integers into floats.
        table[name] = array if unit is None else u.Quantity(array, unit, dtype=array.dtype)
        table[name].info.description = description

    add("id", np.arange(1, len(area) + 1, dtype=np.int32), "number of the object in the segmentation map")
    add("x", x, "centroid, column, 0 is the centre of the first pixel", u.pix)
    add("y", y, "centroid, row, 0 is the centre of the first pixel", u.pix)
    if wcs is not None:
        ra, dec = wcs.pixel_to_world_values(x, y)
        add("ra", ra, f"longitude of the centroid ({_frame(wcs)})", u.deg)
        add("dec", dec, f"latitude of the centroid ({_frame(wcs)})", u.deg)
    add("area", area.astype(np.int32), "number of pixels", u.pix)
    for axis in "xy":
        add(f"bbox_{axis}min", columns[f"bbox_{axis}0"], "first pixel of the bounding box", u.pix)
        add(f"bbox_{axis}max", columns[f"bbox_{axis}1"] - 1, "last pixel of the bounding box", u.pix)
    signal_to_noise = np.zeros(len(area))
    for i, band in enumerate(bands):
        some = columns[f"pixels_{i}"] > 0
        flux = np.where(some, columns[f"flux_{i}"], np.nan)
        error = np.where(some, np.sqrt(columns[f"variance_{i}"]), np.nan)
        unit = band.unit if band.unit is not None else u.dimensionless_unscaled
        add(f"flux_{band.name}", flux, f"isophotal flux in {band.name}, sky subtracted", unit)
        add(f"flux_err_{band.name}", error, f"1-sigma error of flux_{band.name}, pixels taken as independent", unit)
        if band.zero_point is not None:
            mag, mag_err = _magnitudes(flux, error, band.zero_point)
            add(f"mag_{band.name}", mag, f"AB magnitude of flux_{band.name}", u.mag)
            add(f"mag_err_{band.name}", mag_err, f"1-sigma error of mag_{band.name}", u.mag)
        add(f"peak_{band.name}", columns[f"peak_{i}"], f"brightest pixel in {band.name}, sky subtracted", unit)
        ratio = np.divide(flux, error, out=np.zeros(len(area)), where=some & (error > 0))
        signal_to_noise += ratio
    add("snr", signal_to_noise / np.sqrt(len(bands)), "isophotal S/N of all bands together, sum(flux/err)/sqrt(bands)")
    add("peak_snr", columns["peak"], "largest value of the matched-filtered detection image")
    add("semimajor_axis", a, "1-sigma extent along the major axis, from second moments", u.pix)
    add("semiminor_axis", b, "1-sigma extent along the minor axis, from second moments", u.pix)
    add("theta", theta, "direction of the major axis, counter-clockwise from the x axis", u.deg)
    add("ellipticity", 1 - b / a, "1 - semiminor_axis / semimajor_axis")
    bits = ", ".join(f"{int(flag)} {flag.name.lower()}" for flag in Flag if flag.name)
    add("flags", columns["flags"].astype(np.int32), f"bits: {bits}")
    table.meta["FLAGS"] = "; ".join(f"{int(flag)}: {flag.description}" for flag in Flag)
    return table


def add_provenance(catalog: QTable, masks: Masks) -> None:
    """Adds to a catalog what asked for each object, and how good its mask is held to be.

    Parameters
    ----------
    catalog : QTable
        Of `build_catalog`.
    masks : Masks
        Those that its rows were made of, in their order.
    """
    columns = {
        "prompt": (np.array(KINDS)[masks.kind], "what asked for the object"),
        "prompt_id": (masks.ids, "number of the prompt with its maker: the row, from 0, of a table"),
        "predicted_iou": (masks.predicted_iou, "the network's own guess of the mask's IoU"),
        "stability": (masks.stability, "IoU of the mask cut at two levels, above and below its own"),
    }
    for name, (values, description) in columns.items():
        catalog[name] = values
        catalog[name].info.description = description


def _moments(columns: Columns) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Centroid and ellipse from the weighted sums, as SExtractor's (its manual, section "Basic shape parameters").

    Objects thinner than a pixel get the variance of a pixel, 1/12, on both axes, as there.
    """
    # A weight of zero has no centroid: the anchor stands in.
    weight = np.where(columns["weight"] > 0, columns["weight"], 1.0)
    dx, dy = columns["weight_x"] / weight, columns["weight_y"] / weight
    xx = columns["weight_xx"] / weight - dx * dx
    yy = columns["weight_yy"] / weight - dy * dy
    xy = columns["weight_xy"] / weight - dx * dy
    thin = xx * yy - xy * xy < 0.00694  # (1/12)^2
    xx, yy = np.where(thin, xx + 1 / 12, xx), np.where(thin, yy + 1 / 12, yy)
    middle, spread = (xx + yy) / 2, np.sqrt(((xx - yy) / 2) ** 2 + xy * xy)
    a, b = np.sqrt(middle + spread), np.sqrt(np.maximum(middle - spread, 0))
    theta = np.degrees(0.5 * np.arctan2(2 * xy, xx - yy))
    return columns["anchor_x"] + dx, columns["anchor_y"] + dy, a, b, theta


def _magnitudes(flux: Floats, error: Floats, zero_point: float) -> tuple[Floats, Floats]:
    """AB magnitudes and their errors; NaN where the flux is not positive."""
    positive = np.where(flux > 0, flux, np.nan)
    return zero_point - 2.5 * np.log10(positive), 2.5 / np.log(10) * error / positive


def _frame(wcs: WCS) -> str:
    return str(wcs.wcs.radesys or "ICRS")
