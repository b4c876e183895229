"""Catalogs there and back, through our reader and through those of others."""

from pathlib import Path

import astropy.units as u
import fitsio
import numpy as np
import pyarrow.parquet
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from starnet.errors import StarnetError
from starnet.outputs import catalog_files
from starnet.outputs.catalog_files import read_catalog, write_catalog

EXTENSIONS = [".fits", ".fits.gz", ".ecsv", ".parquet", ".xml", ".vot"]

META = {
    "TELESCOP": "HST",
    "pixel_scale": 0.06,
    "bands": ["F160W", "F850LP"],
    "recipe": {"name": "noise", "clip": [2.5, 97.5], "mask": None},
    "version": "0.1",
    "note": "Σ of é",
    "objects": 3,
    "resumed": False,
}


def catalog() -> QTable:
    table = QTable()
    table["id"] = np.array([1, 7, 2**31 - 1], np.int32)
    table["ra"] = [53.1, 53.2, 53.3] * u.deg
    table["x"] = [0.25, 1.5, 2.75] * u.pix
    table["flux_f160w"] = np.array([1.5, np.nan, -0.25], np.float32) * u.nJy
    table["counts_f160w"] = np.array([1, 2, 3], np.float32) * u.Unit("electron/s")
    table["mag_f160w"] = np.array([25.5, np.nan, 27], np.float32) * u.mag
    table["flags"] = np.array([0, 3, 256], np.int16)
    table["blended"] = [True, False, True]
    table["class"] = ["star", "galaxy", ""]
    table["npix"] = np.array([2**40, 5, 6])
    for name in table.colnames:
        table[name].info.description = f"what {name} means"
    table.meta = dict(META)
    return table


def assert_same(read: QTable, written: QTable) -> None:
    assert read.colnames == written.colnames
    for name in written.colnames:
        assert read[name].unit == written[name].unit, name
        assert read[name].info.description == written[name].info.description, name
        assert read[name].dtype.kind == written[name].dtype.kind, name
        assert read[name].dtype.isnative, name
        if written[name].dtype.kind != "U":
            assert read[name].dtype == written[name].dtype, name
        assert type(read[name]) is type(written[name]), name
        np.testing.assert_array_equal(read[name], written[name], err_msg=name)
    assert dict(read.meta) == dict(written.meta)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_units_descriptions_and_metadata_return(tmp_path, extension):
    path = tmp_path / f"catalog{extension}"
    write_catalog(catalog(), path)
    assert_same(read_catalog(path), catalog())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_empty_catalog_keeps_its_columns(tmp_path, extension):
    path = tmp_path / f"catalog{extension}"
    write_catalog(catalog()[:0], path)
    read = read_catalog(path)
    assert len(read) == 0
    assert read.colnames == catalog().colnames
    assert read["ra"].unit == u.deg
    assert read.meta == META


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_bytes_do_not_depend_on_the_clock(tmp_path, extension, monkeypatch):
    path = tmp_path / f"catalog{extension}"
    write_catalog(catalog(), path)
    first = path.read_bytes()
    monkeypatch.setattr("time.time", lambda: 1e9)
    write_catalog(catalog(), path)
    assert path.read_bytes() == first
    assert b"202" not in b"".join(line for line in first.splitlines() if b"DATE" in line)


def test_writing_leaves_the_table_alone(tmp_path):
    table = catalog()
    for extension in EXTENSIONS:
        write_catalog(table, tmp_path / f"catalog{extension}")
    assert_same(table, catalog())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(
    values=hnp.arrays(np.float64, st.integers(0, 12), elements=st.floats(width=64)),
    words=st.lists(st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=5), min_size=12, max_size=12),
    extension=st.sampled_from([".fits", ".ecsv", ".parquet", ".xml"]),
)
def test_all_numbers_return_to_the_last_bit(tmp_path: Path, values, words, extension):
    table = QTable(
        {"double": values * u.nJy, "id": np.arange(len(values)), "word": np.array(words[: len(values)], "U5")}
    )
    with np.errstate(over="ignore"):
        table["single"] = values.astype(np.float32)
    path = tmp_path / f"catalog{extension}"
    write_catalog(table, path)
    read = read_catalog(path)
    for name in table.colnames:
        np.testing.assert_array_equal(read[name], table[name])


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_missing_values(tmp_path, extension):
    table = catalog()
    table["seed"] = MaskedColumn(np.array([5, 999_999, 999_999], np.int32), mask=[True, False, False])
    table["radius"] = MaskedColumn([1.0, 2.0, 3.0], mask=[False, False, True], unit=u.arcsec)
    path = tmp_path / f"catalog{extension}"
    write_catalog(table, path)
    read = read_catalog(path)
    np.testing.assert_array_equal(read["seed"].mask, [True, False, False])
    assert read["seed"][1] == 999_999
    assert type(read["radius"]) is u.Quantity
    np.testing.assert_array_equal(read["radius"].value, [1, 2, np.nan])


def test_fits_is_read_by_others_without_a_warning(tmp_path):
    path = tmp_path / "catalog.fits"
    write_catalog(catalog(), path)
    assert QTable.read(path)["counts_f160w"].unit == u.Unit("electron/s")
    with fits.open(path) as hdus:
        hdus.verify("exception")
        header = hdus["CATALOG"].header
        assert header["TUNIT2"] == "deg"
        assert header["TUNIT6"] == "mag"
        assert header["TCOMM5"] == "what counts_f160w means [electron / s]"
        assert header["TELESCOP"] == "HST"
        assert header["NOTE"] == "? of e"
    read = fitsio.read(path, ext="CATALOG")
    np.testing.assert_array_equal(read["id"], catalog()["id"])
    np.testing.assert_array_equal(read["flux_f160w"], catalog()["flux_f160w"].value)


def test_parquet_has_nulls_and_units_for_others(tmp_path):
    table = catalog()
    table["seed"] = MaskedColumn([5, 6, 7], mask=[True, False, False])
    path = tmp_path / "catalog.parquet"
    write_catalog(table, path)
    read = pyarrow.parquet.read_table(path)
    assert read.column_names == table.colnames
    assert read["seed"].to_pylist() == [None, 6, 7]
    assert read.schema.field("flux_f160w").metadata == {b"unit": b"nJy", b"description": b"what flux_f160w means"}


def test_parquet_without_our_metadata_is_read(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"id": [1, 2], "name": ["a", None]}), tmp_path / "other.parquet")
    read = read_catalog(tmp_path / "other.parquet")
    assert read["id"].tolist() == [1, 2]
    assert read["name"].tolist() == ["a", ""]


def test_votable_is_read_by_astropy(tmp_path):
    write_catalog(catalog(), tmp_path / "catalog.vot")
    read = Table.read(tmp_path / "catalog.vot", format="votable")
    assert read["flux_f160w"].unit == u.nJy
    assert read["id"].tolist() == catalog()["id"].tolist()


def test_ecsv_in_batches_is_what_astropy_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog_files, "_ECSV_ROWS", 2)
    write_catalog(catalog(), tmp_path / "catalog.ecsv")
    catalog().write(tmp_path / "whole.ecsv", format="ascii.ecsv")
    assert (tmp_path / "catalog.ecsv").read_bytes() == (tmp_path / "whole.ecsv").read_bytes()


@pytest.mark.parametrize("extension", [".fits", ".ecsv", ".parquet"])
def test_ab_magnitudes_return(tmp_path, extension):
    table = QTable({"mag": [20.5, 21.0] * u.ABmag})
    write_catalog(table, tmp_path / f"catalog{extension}")
    read = read_catalog(tmp_path / f"catalog{extension}")["mag"]
    assert read.unit == u.ABmag
    assert isinstance(read, u.Magnitude)


def test_ab_magnitudes_in_votable_are_plain_magnitudes_and_say_which(tmp_path):
    table = QTable({"mag": [20.5, 21.0] * u.ABmag})
    write_catalog(table, tmp_path / "catalog.vot")
    read = read_catalog(tmp_path / "catalog.vot")["mag"]
    assert read.unit == u.mag
    assert read.value.tolist() == [20.5, 21.0]
    assert read.info.description == "[mag(AB)]"


def test_metadata_of_numpy_and_paths_is_kept_as_plain_values(tmp_path):
    table = QTable({"id": [1]})
    table.meta = {
        "scale": np.float64(0.06),
        "n": np.int64(3),
        "edges": np.arange(3),
        "path": Path("a/b.fits"),
        "t": "3",
    }
    for extension in EXTENSIONS:
        write_catalog(table, tmp_path / f"catalog{extension}")
        read = read_catalog(tmp_path / f"catalog{extension}")
        assert read.meta == {"scale": 0.06, "n": 3, "edges": [0, 1, 2], "path": str(Path("a/b.fits")), "t": "3"}


def test_unknown_extension_lists_the_known(tmp_path):
    for call in (lambda path: write_catalog(catalog(), path), read_catalog):
        with pytest.raises(
            StarnetError, match=r"catalog\.csv has no extension .*\.fits\.gz, \.ecsv, \.parquet, \.xml, \.vot"
        ):
            call(tmp_path / "catalog.csv")


def test_columns_that_a_format_cannot_hold_are_named(tmp_path):
    with pytest.raises(StarnetError, match="column name has letters that FITS cannot hold"):
        write_catalog(QTable({"name": ["é"]}), tmp_path / "catalog.fits")
    with pytest.raises(StarnetError, match="column radii has 2 dimensions"):
        write_catalog(QTable({"radii": np.zeros((2, 3))}), tmp_path / "catalog.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_reading_what_is_no_catalog_says_so(tmp_path, extension):
    path = tmp_path / f"catalog{extension}"
    with pytest.raises(StarnetError, match="could not be read"):
        read_catalog(path)
    path.write_bytes(b"nothing of the kind\n")
    with pytest.raises(StarnetError, match="could not be read"):
        read_catalog(path)
