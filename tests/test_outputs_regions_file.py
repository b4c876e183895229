"""DS9 regions against the `regions` package, which reads them and has its own way to the sky."""

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.wcs import WCS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from regions import EllipsePixelRegion, EllipseSkyRegion, PixCoord, Regions

from starnet.outputs import regions_file
from starnet.outputs.regions_file import write_regions


def celestial(rotation: float = 0.0, parity: int = -1, frame: str = "RA---TAN DEC--TAN", dec: float = -27.78) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = frame.split()
    wcs.wcs.crval = 53.16, dec
    wcs.wcs.crpix = 500.5, 400.25
    cos, sin = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    wcs.wcs.cd = np.array([[parity * cos, -sin], [parity * sin, cos]]) * 0.06 / 3600
    return wcs


def catalog(n: int, seed: int = 0) -> QTable:
    random = np.random.default_rng(seed)
    table = QTable()
    table["id"] = np.arange(1, n + 1)
    table["x"], table["y"] = random.uniform(0, 1000, (2, n)) * u.pix
    table["semimajor_axis"] = random.uniform(1, 12, n) * u.pix
    table["semiminor_axis"] = table["semimajor_axis"] * random.uniform(0.2, 0.95, n)
    table["theta"] = random.uniform(-90, 90, n) * u.deg
    return table


def as_region(row: Table.Row, scale: float = 3.0) -> EllipsePixelRegion:
    size = 2 * scale * row["semimajor_axis"].value, 2 * scale * row["semiminor_axis"].value
    return EllipsePixelRegion(PixCoord(row["x"].value, row["y"].value), *size, row["theta"])


def assert_same_direction(one: u.Quantity, other: u.Quantity, tolerance: float) -> None:
    difference = (one - other).to_value("deg") % 180
    assert min(difference, 180 - difference) < tolerance


def test_pixel_regions_are_the_ellipses(tmp_path: Path):
    table = catalog(50)
    write_regions(table, tmp_path / "objects.reg", scale=2.5)
    read = Regions.read(tmp_path / "objects.reg", format="ds9")
    assert len(read) == 50
    for row, region in zip(table, read, strict=True):
        expected = as_region(row, 2.5)
        assert isinstance(region, EllipsePixelRegion)
        np.testing.assert_allclose(
            (region.center.x, region.center.y), (expected.center.x, expected.center.y), atol=1e-3
        )
        np.testing.assert_allclose((region.width, region.height), (expected.width, expected.height), atol=2e-3)
        assert_same_direction(region.angle, expected.angle, 0.01)
        assert str(region.meta["text"]) == str(row["id"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=10)
@given(
    rotation=st.floats(-180, 180),
    parity=st.sampled_from([-1, 1]),
    frame=st.sampled_from(["RA---TAN DEC--TAN", "RA---SIN DEC--SIN"]),
    dec=st.floats(-80, 80),
)
def test_sky_regions_are_those_of_the_regions_package(tmp_path: Path, rotation, parity, frame, dec):
    wcs, table = celestial(rotation, parity, frame, dec), catalog(8)
    write_regions(table, tmp_path / "objects.reg", wcs=wcs)
    read = Regions.read(tmp_path / "objects.reg", format="ds9")
    for row, region in zip(table, read, strict=True):
        expected = as_region(row).to_sky(wcs)
        assert isinstance(region, EllipseSkyRegion)
        assert region.center.separation(expected.center).arcsec < 1e-3
        np.testing.assert_allclose(region.width.to_value("arcsec"), expected.width.to_value("arcsec"), atol=2e-3)
        np.testing.assert_allclose(region.height.to_value("arcsec"), expected.height.to_value("arcsec"), atol=2e-3)
        assert_same_direction(region.angle, expected.angle, 0.1)


@pytest.mark.parametrize("frame", ["RA---TAN DEC--TAN", "GLON-TAN GLAT-TAN"])
def test_ends_of_the_axes_fall_on_their_pixels(tmp_path: Path, frame):
    """In icrs also where the WCS is not: walk from the centre along the position angle, DS9's angle less 90 degrees."""
    wcs, table = celestial(25, frame=frame), catalog(10)
    write_regions(table, tmp_path / "objects.reg", wcs=wcs)
    for row, region in zip(table, Regions.read(tmp_path / "objects.reg", format="ds9"), strict=True):
        theta = row["theta"].to_value("rad")
        for name, size, turn in (("major", region.width, 0), ("minor", region.height, np.pi / 2)):
            end = region.center.directional_offset_by(region.angle - (90 - np.degrees(turn)) * u.deg, size / 2)
            length = 3 * row[f"semi{name}_axis"].value
            offset = np.array([row["x"].value, row["y"].value]) - wcs.world_to_pixel(end)
            # Either end will do: an ellipse has two.
            expected = length * np.array([np.cos(theta + turn), np.sin(theta + turn)])
            np.testing.assert_allclose(offset * np.sign(offset @ expected), expected, atol=0.05)


def test_real_wcs(tmp_path: Path, shared_data):
    with fits.open(shared_data / "phosim-decam" / "set0_img_g.fits") as hdus:
        wcs = WCS(next(hdu for hdu in hdus if hdu.data is not None).header)
    table = catalog(5)
    write_regions(table, tmp_path / "objects.reg", wcs=wcs)
    for row, region in zip(table, Regions.read(tmp_path / "objects.reg", format="ds9"), strict=True):
        assert region.center.separation(wcs.pixel_to_world(row["x"].value, row["y"].value)).arcsec < 1e-3


def test_batches_do_not_show(tmp_path: Path, monkeypatch):
    write_regions(catalog(25), tmp_path / "whole.reg", wcs=celestial())
    monkeypatch.setattr(regions_file, "_BATCH", 7)
    write_regions(catalog(25), tmp_path / "batches.reg", wcs=celestial())
    assert (tmp_path / "batches.reg").read_bytes() == (tmp_path / "whole.reg").read_bytes()


def test_plain_table_and_radians(tmp_path: Path):
    table = catalog(5)
    write_regions(table, tmp_path / "quantities.reg")
    table["theta"] = table["theta"].to("rad")
    write_regions(table, tmp_path / "radians.reg")
    plain = Table({name: getattr(column, "value", column) for name, column in catalog(5).items()})
    write_regions(plain, tmp_path / "plain.reg")
    expected = (tmp_path / "quantities.reg").read_bytes()
    assert (tmp_path / "radians.reg").read_bytes() == expected
    assert (tmp_path / "plain.reg").read_bytes() == expected


def test_shapeless_objects_are_drawn_as_a_pixel(tmp_path: Path):
    table = catalog(2)
    table["semimajor_axis"] = table["semiminor_axis"] = [0, np.nan] * u.pix
    table["theta"] = [np.nan, 0] * u.deg
    write_regions(table, tmp_path / "objects.reg")
    for region in Regions.read(tmp_path / "objects.reg", format="ds9"):
        assert region.width == region.height == pytest.approx(6 * 12**-0.5, abs=2e-3)
        assert region.angle == 0 * u.deg


def test_objects_that_are_nowhere_are_refused(tmp_path: Path):
    table = catalog(2)
    table["x"][1] = np.nan * u.pix
    with pytest.raises(ValueError, match="finite x and y"):
        write_regions(table, tmp_path / "objects.reg")
    assert list(tmp_path.iterdir()) == []


def test_empty_catalog_is_an_empty_region_file(tmp_path: Path):
    write_regions(catalog(3)[:0], tmp_path / "objects.reg", wcs=celestial())
    assert len(Regions.read(tmp_path / "objects.reg", format="ds9")) == 0
