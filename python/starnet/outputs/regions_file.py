"""DS9 regions: an ellipse for each object."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray

from starnet.atomic import replacing

# Objects converted and written at a time.
_BATCH = 10_000
# Standard deviation of one pixel, in pixels: nothing is narrower.
_NARROWEST = 12**-0.5

_Floats = NDArray[np.float64]


def write_regions(table: Table, path: str | Path, *, wcs: WCS | None = None, scale: float = 3.0) -> None:
    """Write the ellipses of a catalog as a DS9 region file, labelled with their ids.

    Parameters
    ----------
    table : Table
        Columns ``id``, ``x`` and ``y`` (pixels, the first centre at 0), ``semimajor_axis`` and ``semiminor_axis``
        (pixels, 1 sigma) and ``theta`` (degrees, counter-clockwise from +x), with or without units.
    path : str or Path
        The file to make or to replace.
    wcs : WCS, optional
        Celestial WCS of the pixels. With it the regions are in ``icrs``, so that they fit any image of that sky;
        without, in ``image`` pixels.
    scale : float
        Semi-axes drawn, in units of the 1-sigma ones. 3 is the ellipse that SExtractor's and sep's users draw: it holds
        about all of the isophotal light.

    Raises
    ------
    StarnetError
        If the file cannot be written; nothing is left of it then.
    ValueError
        If a position is not finite.

    Notes
    -----
    The lines are made here, because `regions` takes 0.3 to 0.5 ms for each sky region (over a minute for 150,000) and
    these take 0.01 ms; ``regions.Regions.read`` gives the same regions back as its own ``EllipsePixelRegion.to_sky``.

    References
    ----------
    https://ds9.si.edu/doc/ref/region.html: sky angles run counter-clockwise from West, position angle plus 90 degrees.
    """
    with replacing(path) as partial, partial.open("w", encoding="ascii", newline="\n") as file:
        file.write("# Region file format: DS9\n" + ("image\n" if wcs is None else "icrs\n"))
        for start in range(0, len(table), _BATCH):
            batch = table[start : start + _BATCH]
            x, y, theta = _values(batch["x"]), _values(batch["y"]), np.nan_to_num(_values(batch["theta"], "deg"))
            if not (np.isfinite(x).all() and np.isfinite(y).all()):
                raise ValueError("every object needs a finite x and y")
            major, minor = (
                scale * np.fmax(_values(batch[f"semi{name}_axis"]), _NARROWEST) for name in ("major", "minor")
            )
            ids = np.asarray(batch["id"]).tolist()
            if wcs is None:
                file.writelines(_image_lines(ids, x, y, major, minor, theta))
            else:
                file.writelines(_sky_lines(ids, *_to_sky(wcs, x, y, major, minor, theta)))


def _values(column: Any, unit: str | None = None) -> _Floats:
    """Give the numbers of a column, in `unit` where both have one."""
    if unit is not None and getattr(column, "unit", None) is not None:
        column = column.to(unit)
    column = getattr(column, "value", column)
    return np.ma.filled(np.ma.asarray(column, dtype=np.float64), np.nan)


def _image_lines(ids: list[Any], *columns: _Floats) -> Iterator[str]:
    x, y, *shape = columns
    for i, x1, y1, major, minor, angle in zip(ids, *(c.tolist() for c in (x + 1, y + 1, *shape)), strict=True):
        yield f"ellipse({x1:.3f},{y1:.3f},{major:.3f},{minor:.3f},{angle:.2f}) # text={{{i}}}\n"


def _sky_lines(ids: list[Any], *columns: _Floats) -> Iterator[str]:
    for i, ra, dec, major, minor, angle in zip(ids, *(c.tolist() for c in columns), strict=True):
        yield f'ellipse({ra:.7f},{dec:.7f},{major:.4f}",{minor:.4f}",{angle:.2f}) # text={{{i}}}\n'


def _to_sky(
    wcs: WCS, x: _Floats, y: _Floats, major: _Floats, minor: _Floats, theta: _Floats
) -> tuple[_Floats, _Floats, _Floats, _Floats, _Floats]:
    """Project ellipses: right ascension and declination (degrees), semi-axes (arcsec), DS9's angle (degrees).

    Each is the image of the pixel ellipse under the WCS made linear at its centre: its axes are the singular values of
    the Jacobian times the matrix of semi-axes.
    """
    centre = wcs.pixel_to_world(x, y).icrs
    ra, dec = centre.ra.rad, centre.dec.rad
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)], axis=-1)
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=-1)
    jacobian = np.empty((len(x), 2, 2))
    for axis, (dx, dy) in enumerate(((0.5, 0.0), (0.0, 0.5))):
        ends = (wcs.pixel_to_world(x + s * dx, y + s * dy).icrs.cartesian.xyz.value for s in (1, -1))
        step = np.subtract(*ends).T
        jacobian[:, 0, axis] = (east * step).sum(axis=-1)
        jacobian[:, 1, axis] = (north * step).sum(axis=-1)
    cos, sin = np.cos(np.radians(theta)), np.sin(np.radians(theta))
    axes = np.stack(
        [np.stack([major * cos, -minor * sin], axis=-1), np.stack([major * sin, minor * cos], axis=-1)], axis=1
    )
    directions, lengths, _ = np.linalg.svd(jacobian @ axes)
    position_angle = np.degrees(np.arctan2(directions[:, 0, 0], directions[:, 1, 0]))
    lengths = np.degrees(lengths) * 3600
    return np.degrees(ra), np.degrees(dec), lengths[:, 0], lengths[:, 1], (position_angle + 90) % 180
