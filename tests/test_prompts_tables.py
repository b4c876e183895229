"""Prompts from tables: catalogs of the sky, boxes, clicks."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, QTable, Table
from astropy.wcs import WCS, Sip
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet.errors import StarnetError
from starnet.prompts import KINDS, read_prompts
from starnet.prompts.tables import sky_to_pixel

SHAPE = (400, 300)


def make_wcs(angle=30.0, scale=0.06, crval=(53.16, -27.79), sip=False):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"] if sip else ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = crval, [150.5, 200.5]
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    wcs.wcs.cd = np.array([[-c, s], [s, c]]) * scale / 3600
    if sip:
        a = np.zeros((3, 3))
        a[2, 0] = a[1, 1] = 2e-6
        wcs.sip = Sip(a, a.T, None, None, wcs.wcs.crpix)
    wcs.wcs.set()
    return wcs


@settings(deadline=None)
@given(
    st.floats(0, 360), st.floats(0.01, 5), st.floats(0, 359.9), st.floats(-89, 89), st.booleans(),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_sky_to_pixel_and_back(angle, scale, ra, dec, sip, seed):
    wcs = make_wcs(angle, scale, (ra, dec), sip)
    xy = np.random.default_rng(seed).uniform(0, 300, (5, 2))
    sky = SkyCoord(*wcs.all_pix2world(xy, 0).T, unit=u.deg)
    np.testing.assert_allclose(sky_to_pixel(sky, wcs), xy, rtol=0, atol=1e-6)


@pytest.fixture
def xy():
    return np.random.default_rng(2).uniform(5, 295, (20, 2))


@pytest.mark.parametrize("name", ["cat.fits", "cat.ecsv", "cat.csv", "cat.vot", "cat.parquet"])
def test_catalogs_of_all_formats(name, tmp_path, xy):
    wcs = make_wcs()
    ra, dec = wcs.all_pix2world(xy, 0).T
    table = Table({"NUMBER": np.arange(20), "RA": ra, "Dec": dec})
    if name.endswith("parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({column: np.asarray(table[column]) for column in table.colnames}), tmp_path / name)
    else:
        table.write(tmp_path / name, **({"format": "votable"} if name.endswith("vot") else {}))
    prompts, remark = read_prompts(tmp_path / name, SHAPE, wcs)
    assert remark is None
    assert prompts.ids.tolist() == list(range(20))
    assert set(prompts.kind) == {KINDS.index("catalog")}
    np.testing.assert_allclose(prompts.points[:, 0], xy, atol=1e-4)


def spellings(ra, dec):
    sky = SkyCoord(ra, dec, unit=u.deg)
    yield Table({"RAJ2000": ra * u.deg, "DEJ2000": dec * u.deg})
    yield QTable({"ALPHA_J2000": (ra * u.deg).to(u.rad), "DELTA_J2000": (dec * u.deg).to(u.arcmin)})
    yield QTable({"sky": sky.galactic})
    yield Table({"ra": sky.ra.to_string(u.hourangle, precision=7), "dec": sky.dec.to_string(u.deg, precision=7)})
    yield Table({"ra": sky.ra.to_string(u.hourangle, sep=":", precision=7), "dec": dec})


@pytest.mark.parametrize("which", range(5))
def test_catalogs_of_many_spellings(which, tmp_path, xy):
    wcs = make_wcs()
    table = list(spellings(*wcs.all_pix2world(xy, 0).T))[which]
    table.write(tmp_path / "cat.ecsv")
    prompts, _ = read_prompts(tmp_path / "cat.ecsv", SHAPE, wcs)
    np.testing.assert_allclose(prompts.points[:, 0], xy, atol=1e-3)


def test_pixels_count_from_0_but_sextractors_from_1(tmp_path):
    for names, first in ((("x", "y"), 0), (("X_IMAGE", "Y_IMAGE"), 1), (("xcentroid", "ycentroid"), 0)):
        Table({names[0]: [10.0], names[1]: [20.0]}).write(tmp_path / "cat.csv", overwrite=True)
        prompts, _ = read_prompts(tmp_path / "cat.csv", SHAPE, None)
        assert prompts.points.tolist() == [[[10 - first, 20 - first]]]


def test_positions_on_the_sky_come_before_pixels_of_another_image(tmp_path, xy):
    wcs = make_wcs()
    ra, dec = wcs.all_pix2world(xy, 0).T
    Table({"x": xy[:, 0] + 50, "y": xy[:, 1], "ra": ra, "dec": dec}).write(tmp_path / "cat.ecsv")
    np.testing.assert_allclose(read_prompts(tmp_path / "cat.ecsv", SHAPE, wcs)[0].points[:, 0], xy, atol=1e-4)
    prompts, _ = read_prompts(tmp_path / "cat.ecsv", SHAPE, None)
    np.testing.assert_allclose(prompts.points[:, 0, 0], xy[prompts.ids, 0] + 50, atol=1e-4)


def test_rows_elsewhere_and_rows_without_positions_are_counted(tmp_path):
    ra = MaskedColumn([53.16, 53.16, 200.0, 53.16, np.nan], mask=[0, 1, 0, 0, 0])
    Table({"ra": ra, "dec": [-27.79, -27.79, 45.0, -91.0, -27.79]}).write(tmp_path / "cat.ecsv")
    prompts, remark = read_prompts(tmp_path / "cat.ecsv", SHAPE, make_wcs())
    assert prompts.ids.tolist() == [0]
    # The third lies behind the plane of the projection.
    assert remark == f"{tmp_path / 'cat.ecsv'}: left out 1 outside the mosaic, 3 without a position"
    Table({"ra": [53.16, 53.17], "dec": [-27.79, -27.79]}).write(tmp_path / "cat.ecsv", overwrite=True)
    prompts, remark = read_prompts(tmp_path / "cat.ecsv", SHAPE, make_wcs())
    assert remark == f"{tmp_path / 'cat.ecsv'}: left out 1 outside the mosaic"


@pytest.mark.parametrize("distortion", [2e-6, 1e-5, 5e-5])
def test_distortions_bring_nothing_from_far_away(distortion, tmp_path):
    """Their series, turned round, may put what is degrees away into the image."""
    wcs = make_wcs(sip=True)
    a = np.zeros((3, 3))
    a[2, 0] = a[1, 1] = distortion
    wcs.sip = Sip(a, a.T, None, None, wcs.wcs.crpix)
    rng = np.random.default_rng(0)
    inside = rng.uniform(0, 299, (50, 2))
    here = wcs.all_pix2world(inside, 0)
    there = np.concatenate([here[:1] + rng.uniform(-reach, reach, (20_000, 2)) for reach in (0.2, 2.0)])
    there = there[np.hypot(*(there - here[0]).T) > 0.02]
    ra, dec = np.concatenate([here, there]).T
    Table({"ra": ra, "dec": dec}).write(tmp_path / "cat.fits")
    prompts, remark = read_prompts(tmp_path / "cat.fits", SHAPE, wcs)
    assert prompts.ids.tolist() == list(range(50))
    np.testing.assert_allclose(prompts.points[:, 0], inside, atol=1e-4)
    assert f"left out {len(there)} outside the mosaic" in str(remark)


def test_boxes_of_another_image_are_left_out(tmp_path):
    wcs = make_wcs()
    ra, dec = wcs.all_pix2world([[50.0, 60.0], [100.0, 120.0]], 0).T
    corners = {"xmin": [47, 147], "ymin": [57, 117], "xmax": [53, 153], "ymax": [63, 123]}
    Table({"ra": ra, "dec": dec, **corners}).write(tmp_path / "cat.ecsv")
    prompts, remark = read_prompts(tmp_path / "cat.ecsv", SHAPE, wcs)
    assert np.isnan(prompts.boxes).all(axis=1).tolist() == [False, True]
    np.testing.assert_allclose(prompts.anchors, [[50, 60], [100, 120]], atol=1e-4)
    assert str(remark).endswith("left out 1 boxes that do not hold their positions")


def test_boxes_with_and_without_positions(tmp_path):
    box = {"xmin": [10, 30], "ymin": [20, 5], "xmax": [14, 39], "ymax": [30, 9]}
    Table(box).write(tmp_path / "cat.csv")
    prompts, _ = read_prompts(tmp_path / "cat.csv", SHAPE, None)
    assert prompts.boxes.tolist() == [[10, 20, 14, 30], [30, 5, 39, 9]]
    assert prompts.points.shape == (2, 0, 2)
    assert KINDS[prompts.kind[0]] == "boxes"
    Table({**box, "x": [11.0, 31.0], "y": [21.0, 6.0]}).write(tmp_path / "cat.csv", overwrite=True)
    prompts, _ = read_prompts(tmp_path / "cat.csv", SHAPE, None)
    assert prompts.boxes.tolist() == [[10, 20, 14, 30], [30, 5, 39, 9]]
    assert prompts.anchors.tolist() == [[11, 21], [31, 6]]


def test_clicks_of_one_object_are_one_prompt(tmp_path):
    Table(
        {"x": [9.0, 1, 2, 3, 4], "y": [0.0, 10, 20, 30, 40], "object": [7, 5, 7, 5, 7], "label": [0, 1, 1, 0, 1]}
    ).write(tmp_path / "clicks.csv")
    prompts, _ = read_prompts(tmp_path / "clicks.csv", SHAPE, None)
    assert prompts.ids.tolist() == [5, 7]
    assert prompts.points.tolist() == [[[1, 10], [3, 30], [0, 0]], [[9, 0], [2, 20], [4, 40]]]
    assert prompts.labels.tolist() == [[1, 0, -1], [0, 1, 1]]
    assert prompts.anchors.tolist() == [[1, 10], [2, 20]]


BAD = {
    "no_wcs": (Table({"ra": [1.0], "dec": [1.0]}), "positions on the sky, and the mosaic has no WCS"),
    "no_columns": (Table({"flux": [1.0], "mag": [2.0]}), r"no positions \(its columns: flux, mag\): name them"),
    "outside": (Table({"x": [-5.0], "y": [1.0]}), "none of its 1 rows lies in the mosaic of 300 x 400 pixels"),
    "empty": (Table({"x": np.empty(0), "y": np.empty(0)}), "none of its 0 rows lies"),
    "text": (Table({"x": ["a"], "y": ["b"]}), "column x holds no numbers"),
    "box": (Table({"xmin": [5], "ymin": [1], "xmax": [4], "ymax": [2]}), "the box of row 0 ends before it begins"),
    "label": (Table({"x": [1.0], "y": [1.0], "object": [1], "label": [2]}), "column label holds 2: write 1 or 0"),
    "negative": (Table({"x": [1.0], "y": [1.0], "object": [3], "label": [0]}), "object 3 has no click with label 1"),
    "clicks": (
        Table({"xmin": [1], "ymin": [1], "xmax": [4], "ymax": [2], "object": [1], "label": [1]}),
        "clicks without positions",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_of_no_use_is_said_in_one_sentence(name, tmp_path):
    table, message = BAD[name]
    table.write(tmp_path / "cat.ecsv")
    with pytest.raises(StarnetError, match=message) as error:
        read_prompts(tmp_path / "cat.ecsv", SHAPE, None)
    assert str(tmp_path / "cat.ecsv") in str(error.value)


def test_angles_that_are_none(tmp_path):
    Table({"ra": ["a"], "dec": ["b"]}).write(tmp_path / "a.ecsv")
    with pytest.raises(StarnetError, match="column ra holds no angles"):
        read_prompts(tmp_path / "a.ecsv", SHAPE, make_wcs())
    Table({"ra": [1] * u.m, "dec": [1.0]}).write(tmp_path / "b.ecsv")
    with pytest.raises(StarnetError, match="column ra is in m, which is no angle"):
        read_prompts(tmp_path / "b.ecsv", SHAPE, make_wcs())


def test_files_that_are_none(tmp_path):
    with pytest.raises(StarnetError, match=r"none\.fits does not exist: give the table of prompts"):
        read_prompts(tmp_path / "none.fits", SHAPE, None)
    (tmp_path / "bad.fits").write_text("no")
    with pytest.raises(StarnetError, match=r"bad\.fits cannot be read as a table"):
        read_prompts(tmp_path / "bad.fits", SHAPE, None)
