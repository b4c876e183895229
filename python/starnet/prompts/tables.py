"""Prompts from a table: objects of a sky catalog, boxes, clicks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import Angle, SkyCoord
from astropy.table import Column, Table
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame
from numpy.typing import NDArray

from starnet.errors import StarnetError
from starnet.io.tables import open_table
from starnet.prompts.base import KINDS, Prompts

Floats = NDArray[np.float64]

#: Names of columns, in lower case, and the number of the first pixel of those in pixels.
_SKY = [
    ("ra", "dec"), ("ra_icrs", "de_icrs"), ("ra_icrs", "dec_icrs"), ("raj2000", "dej2000"), ("raj2000", "decj2000"),
    ("alpha_j2000", "delta_j2000"), ("alphawin_j2000", "deltawin_j2000"), ("alpha_sky", "delta_sky"),
    ("ra_deg", "dec_deg"), ("radeg", "dedeg"), ("right_ascension", "declination"),
]  # fmt: skip
_PIXELS = {
    ("x", "y"): 0, ("xcentroid", "ycentroid"): 0, ("x_centroid", "y_centroid"): 0, ("xpeak", "ypeak"): 0,
    ("xwin_image", "ywin_image"): 1, ("x_image", "y_image"): 1,
}  # fmt: skip
_BOX = ("xmin", "ymin", "xmax", "ymax")
#: Pixels that a position may be off, once it has been brought to the image and back.
_SAME_PLACE = 0.01


def read_prompts(path: str | Path, shape: tuple[int, int], wcs: WCS | None) -> tuple[Prompts, str | None]:
    """Prompts of a table, one a row or one an object that was clicked at.

    Positions are right ascension and declination (degrees unless the column has another unit, or text such as
    ``03:32:38.1``; ``ra dec``, ``RAJ2000 DEJ2000``, ``ALPHA_J2000 DELTA_J2000``, …, or a column of `SkyCoord`) where
    the table and the mosaic have them, else pixels: ``x y`` from 0, SExtractor's ``X_IMAGE Y_IMAGE`` from 1. The
    columns ``xmin ymin xmax ymax``, pixels from 0, make boxes, with the positions or without; one that does not hold
    its position is of another image, and left out. With the columns ``object`` and ``label`` the rows are clicks, of an
    object (1) or not of it (0).

    Parameters
    ----------
    path : str or Path
        As for `starnet.io.tables.open_table`.
    shape : tuple of int
        ``(ny, nx)`` of the mosaic.
    wcs : WCS or None
        Of the mosaic.

    Returns
    -------
    prompts : Prompts
        Those whose anchors lie in the mosaic; their ids are rows of the table, from 0, or the numbers of objects.
    remark : str or None
        What was left out.

    Raises
    ------
    StarnetError
        If the file cannot be read, has no columns of use, or nothing inside the mosaic.
    """
    table = open_table(path, what="the table of prompts")
    columns = {name.lower(): table[name] for name in table.colnames}
    xy, boxes = _positions(path, table, columns, wcs), _boxes(path, columns)
    if xy is None and boxes is None:
        raise StarnetError(
            f"{path} has no positions (its columns: {', '.join(table.colnames[:12])}): name them ra and dec, x and y, "
            f"or {', '.join(_BOX)}"
        )
    given = np.column_stack([one for one in (xy, boxes) if one is not None])
    known, rows = ~np.isnan(given).any(axis=1), np.flatnonzero(np.isfinite(given).all(axis=1))
    xy, boxes = (None if one is None else one[rows] for one in (xy, boxes))
    if "object" in columns and "label" in columns:
        if xy is None:
            raise StarnetError(f"{path} has clicks without positions: name their columns x and y, or ra and dec")
        prompts = _clicks(path, xy, boxes, *(_plain(columns[name])[rows] for name in ("object", "label")))
    elif xy is None:
        assert boxes is not None
        prompts = Prompts.of_boxes("boxes", boxes, rows)
    else:
        prompts = Prompts.of_points("catalog", xy, rows)
        if boxes is not None:
            holds = (boxes[:, :2] - 0.5 <= xy) & (xy <= boxes[:, 2:] + 0.5)
            around = np.asarray(holds).all(axis=1, keepdims=True)
            prompts = prompts.with_boxes(np.where(around, boxes, np.nan))
    x, y = np.floor(prompts.anchors.astype(np.float64) + 0.5).T
    inside = (x >= 0) & (x < shape[1]) & (y >= 0) & (y < shape[0])
    boxless = np.isnan(prompts.boxes).any(axis=1)
    if not inside.any():
        raise StarnetError(
            f"{path}: none of its {len(table)} rows lies in the mosaic of {shape[1]} x {shape[0]} pixels: give a table "
            "of this field"
        )
    elsewhere = int(known.sum()) - len(rows) + int((~inside).sum())
    left_out = {
        "outside the mosaic": elsewhere,
        "without a position": int((~known).sum()),
        "boxes that do not hold their positions": 0 if boxes is None else int(np.count_nonzero(inside & boxless)),
    }
    remark = ", ".join(f"{count} {why}" for why, count in left_out.items() if count)
    return prompts.select(inside), f"{path}: left out {remark}" if remark else None


def sky_to_pixel(sky: SkyCoord, wcs: WCS) -> Floats:
    """``x, y`` of positions on the sky, 0 is the centre of the first pixel, ``(n, 2)``; inf off the image."""
    there = sky.transform_to(wcs_to_celestial_frame(wcs)).spherical
    lonlat = np.column_stack([there.lon.deg, there.lat.deg])
    # quiet: far outside, the series for a distortion need not converge, or converges to a pixel of another place.
    xy = np.asarray(wcs.all_world2pix(lonlat, 0, tolerance=1e-7, quiet=True), np.float64).reshape(-1, 2)
    plane = wcs.wcs_world2pix(lonlat, 0)
    back = wcs.wcs_world2pix(wcs.all_pix2world(xy, 0), 0)
    found = (np.abs(back - plane) < _SAME_PLACE).all(axis=1)
    return np.where(found[:, None], xy, np.inf)


def _positions(path: str | Path, table: Table, columns: dict[str, Any], wcs: WCS | None) -> Floats | None:
    sky = _sky(path, table, columns)
    if sky is not None and wcs is not None:
        finite = np.isfinite(sky.ra.deg) & np.isfinite(sky.dec.deg)
        xy = np.full((len(table), 2), np.nan)
        if finite.any():
            xy[finite] = sky_to_pixel(sky[finite], wcs)
        return xy
    for names, first in _PIXELS.items():
        if all(name in columns for name in names):
            return np.column_stack([_numbers(path, name, columns[name]) for name in names]) - first
    if sky is not None:
        raise StarnetError(
            f"{path} has positions on the sky, and the mosaic has no WCS: give columns x and y, or images with a WCS"
        )
    return None


def _sky(path: str | Path, table: Table, columns: dict[str, Any]) -> SkyCoord | None:
    for column in columns.values():
        if isinstance(column, SkyCoord):
            return column.icrs
    for ra, dec in _SKY:
        if ra in columns and dec in columns:
            lon, lat = _angles(path, ra, columns[ra], u.hourangle), _angles(path, dec, columns[dec], u.deg)
            lat[np.abs(lat) > 90] = np.nan
            return SkyCoord(lon, lat, unit=u.deg)
    return None


def _angles(path: str | Path, name: str, column: Any, of_text: u.UnitBase) -> Floats:
    """Degrees."""
    values = _plain(column)
    if values.dtype.kind in "US":
        try:
            return np.array(Angle([str(value) for value in values], unit=of_text).deg)
        except ValueError as error:
            raise StarnetError(f"{path}: column {name} holds no angles: write degrees, or 03:32:38.1") from error
    numbers = _numbers(path, name, column)
    unit = getattr(column, "unit", None)
    try:
        return numbers if unit is None else np.array((numbers * u.Unit(unit)).to_value(u.deg))
    except (u.UnitConversionError, ValueError, TypeError) as error:
        raise StarnetError(f"{path}: column {name} is in {unit}, which is no angle: write degrees") from error


def _boxes(path: str | Path, columns: dict[str, Any]) -> Floats | None:
    if not all(name in columns for name in _BOX):
        return None
    boxes = np.column_stack([_numbers(path, name, columns[name]) for name in _BOX])
    if (boxes[:, :2] > boxes[:, 2:]).any():
        row = int((boxes[:, :2] > boxes[:, 2:]).any(axis=1).argmax())
        raise StarnetError(f"{path}: the box of row {row} ends before it begins: write xmin <= xmax and ymin <= ymax")
    return boxes


def _clicks(path: str | Path, xy: Floats, boxes: Floats | None, objects: NDArray[Any], labels: NDArray[Any]) -> Prompts:
    """One prompt an object, in ascending order."""
    if not np.isin(labels, (0, 1)).all():
        raise StarnetError(f"{path}: column label holds {labels[~np.isin(labels, (0, 1))][0]}: write 1 or 0")
    numbers, owner, counts = np.unique(objects, return_inverse=True, return_counts=True)
    if numbers.dtype.kind not in "iu":
        raise StarnetError(f"{path}: column object must hold whole numbers")
    order = np.argsort(owner, kind="stable")
    place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    points = np.zeros((len(numbers), counts.max(initial=0), 2), np.float32)
    signs = np.full(points.shape[:2], -1, np.int8)
    points[owner[order], place], signs[owner[order], place] = xy[order], labels[order]
    around = np.full((len(numbers), 4), np.nan, np.float32)
    if boxes is not None:
        around[owner[order[::-1]]] = boxes[order[::-1]]  # the first of each object
    elif not (some := (signs == 1).any(axis=1)).all():
        raise StarnetError(f"{path}: object {numbers[~some][0]} has no click with label 1: add one")
    kind = np.full(len(numbers), KINDS.index("clicks"), np.int8)
    return Prompts(kind, numbers.astype(np.int64), points, signs, around)


def _numbers(path: str | Path, name: str, column: Any) -> Floats:
    values = _plain(column)
    if values.dtype.kind not in "fiub":
        raise StarnetError(f"{path}: column {name} holds no numbers: write pixels")
    return values.astype(np.float64)


def _plain(column: Any) -> NDArray[Any]:
    """Values without unit; NaN where masked."""
    if isinstance(column, u.Quantity):
        return np.asarray(column.value)
    masked = getattr(column, "mask", None)
    values = np.asarray(column.data if isinstance(column, Column) else column)
    if masked is None or not np.any(masked) or values.dtype.kind not in "fiu":
        return values.astype(str) if values.dtype.kind == "O" else values
    return np.where(masked, np.nan, values.astype(np.float64))
