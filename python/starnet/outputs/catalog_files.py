"""Catalogs as FITS, ECSV, Parquet and VOTable, with units, descriptions and metadata."""

from __future__ import annotations

import errno
import gzip
import io
import json
import re
import shutil
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import astropy.units as u
import numpy as np
import pyarrow as pa
from astropy.io import fits, votable
from astropy.io.votable.exceptions import W50
from astropy.io.votable.tree import Info
from astropy.table import Column, MaskedColumn, QTable, Table, meta
from astropy.utils.exceptions import AstropyUserWarning
from astropy.utils.masked import Masked
from pyarrow import parquet

from starnet.atomic import replacing
from starnet.errors import StarnetError

# Header keyword of the table's metadata as JSON, exact; plain values are keywords of their own besides.
_META = "METAJSON"
# Key of a Parquet schema under which astropy keeps units, descriptions and metadata.
_ASTROPY_META = "table_meta_yaml"


def write_catalog(table: Table, path: str | Path) -> None:
    """Write a catalog in the format that the file's extension names.

    ``.fits``, ``.fits.gz``, ``.ecsv``, ``.parquet``, ``.xml`` or ``.vot`` (VOTable). The same table
    makes the same bytes.

    Parameters
    ----------
    table : Table or QTable
        Columns of one dimension, with units and descriptions. ``table.meta`` holds what JSON can: text, numbers, lists,
        dicts; anything else is kept as text.
    path : str or Path
        The file to make or to replace.

    Raises
    ------
    StarnetError
        If the extension is none of these, the format cannot hold a column, or the file cannot be written; nothing is
        left of it then.

    Notes
    -----
    Missing numbers are NaN and missing text is empty, for not all formats know the difference; other missing values are
    null, but false in FITS, which has nulls for integers alone. Give magnitudes the unit ``mag``: neither FITS nor
    VOTable knows ``mag(AB)``. Units unknown to FITS (``electron / s``, ``mag(AB)``) go into astropy's own comments, so
    that astropy reads them back without a warning, and into the description (``TCOMM``) for all other programs. VOTable
    widens unsigned integers.
    """
    form = _format_of(path)
    table = QTable(table, copy=False)
    for name in table.colnames:
        if table[name].ndim != 1:
            raise StarnetError(f"column {name} has {table[name].ndim} dimensions; split it into columns of one value")
        table[name] = _tidy(table[name])
    table.meta = json.loads(_to_json(dict(table.meta)))
    with replacing(path) as partial:
        form.write(table, partial)


def read_catalog(path: str | Path) -> QTable:
    """Read a catalog that `write_catalog` wrote.

    Parameters
    ----------
    path : str or Path
        A file with one of the extensions of `write_catalog`.

    Returns
    -------
    QTable
        Columns with units, masked only where an integer or a truth value is missing.

    Raises
    ------
    StarnetError
        If the extension is unknown, or the file cannot be read.
    """
    form = _format_of(path)
    try:
        table = form.read(Path(path))
    except (OSError, ValueError, IndexError) as error:
        raise StarnetError(f"{path} could not be read ({error}); give a catalog that StarNet wrote") from error
    for name in table.colnames:
        table[name] = _tidy(table[name])
    return table


def _tidy(column: Any) -> Any:
    """Give a column in native byte order; NaN is for missing numbers, empty for missing text, a mask for the rest."""
    values = column.astype(column.dtype.newbyteorder("="), copy=False)
    if isinstance(values, Masked | MaskedColumn):
        if values.dtype.kind == "f":
            values = values.filled(np.nan * values.unit if isinstance(values, Masked) else np.nan)
        elif values.dtype.kind == "U":
            values = values.filled("")
        elif not np.any(values.mask):
            values = values.unmasked if isinstance(values, Masked) else Column(values.data.data, unit=values.unit)
    values.info.description = column.info.description
    return values


def _to_json(value: Any) -> str:
    """Serialize metadata; numpy's numbers and arrays are numbers and lists, what JSON does not know is text."""
    return json.dumps(
        value, default=lambda item: item.tolist() if isinstance(item, np.ndarray | np.generic) else str(item)
    )


# FITS


def _write_fits(table: QTable, path: Path) -> None:
    """Write a binary table, ``CATALOG``, in extension 1."""
    try:
        _write_fits_table(table, path)
    except OSError as error:
        if error.errno is None:  # astropy found fewer bytes written than asked for, and does not know why
            raise OSError(errno.ENOSPC, str(error)) from error
        raise


def _write_fits_table(table: QTable, path: Path) -> None:
    table = table.copy(copy_data=False)
    metadata, table.meta = table.meta, {}
    for name in table.colnames:
        column = table[name]
        if column.dtype.kind == "U" and not all(str(text).isascii() for text in column):
            raise StarnetError(f"column {name} has letters that FITS cannot hold; write .ecsv or .parquet")
        if isinstance(column, MaskedColumn) and column.dtype.kind == "i":
            column.fill_value = np.iinfo(column.dtype).min  # TNULL; by default 999999, which may be an id
    with warnings.catch_warnings():
        # The description says it instead, below.
        warnings.filterwarnings("ignore", "The unit .* could not be saved in native FITS", AstropyUserWarning)
        table.write(path, format="fits", overwrite=True)
    with fits.open(path, mode="update") as hdus:
        header = hdus[1].header
        header["EXTNAME"] = "CATALOG"
        for i, column in enumerate(table.itercols(), start=1):
            text = column.info.description or ""
            if column.info.unit is not None and f"TUNIT{i}" not in header:
                text = f"{text} [{column.info.unit}]".lstrip()
            if text:
                header[f"TCOMM{i}"] = _ascii(text)
        for key, value in metadata.items():
            # Only what every program can read; longer names, lists and dicts are in the JSON.
            keyword = key.upper()
            finite = isinstance(value, bool | int | str) or (isinstance(value, float) and np.isfinite(value))
            if finite and re.fullmatch(r"[A-Z][A-Z0-9_-]{0,7}", keyword) and keyword not in header:
                header[keyword] = _ascii(value) if isinstance(value, str) else value
        header[_META] = _to_json(metadata)


def _ascii(text: str) -> str:
    """Spell a text for a FITS header: accents are dropped, other letters become question marks."""
    letters = unicodedata.normalize("NFKD", text)
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" else "?" for letter in letters)


def _write_fits_gz(table: QTable, path: Path) -> None:
    plain = path.with_name(path.name + ".fits")
    try:
        _write_fits(table, plain)
        # No name and no time inside, so that the same table makes the same bytes.
        with plain.open("rb") as source, path.open("wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
            shutil.copyfileobj(source, packed)
    finally:
        plain.unlink(missing_ok=True)


def _read_fits(path: Path) -> QTable:
    with warnings.catch_warnings():
        warnings.simplefilter("error", u.UnitsWarning)
        table = QTable.read(path, hdu=1, format="fits", character_as_bytes=False, mask_invalid=False)
    text = table.meta.get(_META)
    table.meta = json.loads(text) if text else dict(table.meta)
    return table


# ECSV

_ECSV_ROWS = 10_000


def _write_ecsv(table: QTable, path: Path) -> None:
    """Write some rows at a time: astropy holds the text of all values at once."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for start in range(0, max(1, len(table)), _ECSV_ROWS):
            text = io.StringIO()
            table[start : start + _ECSV_ROWS].write(text, format="ascii.ecsv")
            lines = text.getvalue().splitlines(keepends=True)
            # The header, comments and then the names of the columns, is the same for all rows.
            names = next(i for i, line in enumerate(lines) if not line.startswith("#"))
            file.writelines(lines[names + 1 :] if start else lines)


def _read_ecsv(path: Path) -> QTable:
    table = QTable.read(path, format="ascii.ecsv")
    table.meta = dict(table.meta)
    return table


# Parquet


def _write_parquet(table: QTable, path: Path) -> None:
    """Write with nulls for missing values, and the metadata where astropy's own reader looks for it.

    astropy's writer makes a second column of every mask, which no other program understands.
    """
    plain = Table(meta=table.meta)
    arrays, fields = [], []
    for name in table.colnames:
        info = table[name].info
        values = table[name] if info.unit is None else table[name].value
        plain[name] = MaskedColumn(values, unit=info.unit, description=info.description, copy=False)
        arrays.append(pa.array(plain[name].data.data, mask=np.ma.getmaskarray(plain[name])))
        about = {key: str(value) for key, value in (("unit", info.unit), ("description", info.description)) if value}
        fields.append(pa.field(name, arrays[-1].type, metadata=about))
    about_all = {_ASTROPY_META: "\n".join(meta.get_yaml_from_table(plain))}
    # astropy's reader wants the length of text columns told.
    about_all |= {f"table::len::{c.name}": str(c.dtype.itemsize // 4) for c in plain.itercols() if c.dtype.kind == "U"}
    schema = pa.schema(fields, metadata=about_all)
    with path.open("wb") as file:
        parquet.write_table(pa.Table.from_arrays(arrays, schema=schema), file, compression="zstd", use_dictionary=False)


def _read_parquet(path: Path) -> QTable:
    """Read without pandas, which astropy's own reader needs."""
    data = parquet.read_table(path)
    yaml = (data.schema.metadata or {}).get(_ASTROPY_META.encode(), b"").decode()
    header = meta.get_header_from_yaml(yaml.split("\n")) if yaml else {}
    about = {column["name"]: column for column in header.get("datatype", [])}
    table = Table(meta=header.get("meta", {}))
    for name in data.column_names:
        values = data[name].combine_chunks()
        text = pa.types.is_string(values.type)
        kind = values.type
        nothing = "" if text else False if pa.types.is_boolean(kind) else np.nan if pa.types.is_floating(kind) else 0
        column = values.fill_null(nothing).to_numpy(zero_copy_only=False)
        if text:
            column = column.astype(str)
        if values.null_count and column.dtype.kind != "f":
            column = MaskedColumn(column, mask=values.is_null().to_numpy(zero_copy_only=False))
        table[name] = column
        table[name].unit = about.get(name, {}).get("unit")
        table[name].description = about.get(name, {}).get("description")
    return QTable(table)


# VOTable

# Integers that it does not have, and what holds them.
_VOTABLE_INTEGERS = {"i1": "i2", "u2": "i4", "u4": "i8"}


def _write_votable(table: QTable, path: Path) -> None:
    table = table.copy(copy_data=False)
    for name in table.colnames:
        if isinstance(table[name], u.Magnitude):
            # VOTable has no function units: the description names the system.
            description = f"{table[name].info.description or ''} [{table[name].unit}]".lstrip()
            table[name] = table[name].value * u.mag
            table[name].info.description = description
        elif wider := _VOTABLE_INTEGERS.get(table[name].dtype.str[1:]):
            description = table[name].info.description
            table[name] = table[name].astype(wider)
            table[name].info.description = description
    with warnings.catch_warnings():
        # Units that VOTable does not know, like electron, are written as they are, and read back.
        warnings.simplefilter("ignore", W50)
        file = votable.from_table(Table(table, copy=False))
        element = file.get_first_table()
        for key, value in table.meta.items():
            element.infos.append(Info(name=key, value=_to_info(value)))
        file.to_xml(str(path), tabledata_format="binary2")


def _to_info(value: Any) -> str:
    """Text as it is, anything else as JSON; text that would pass for JSON in quotes."""
    return value if isinstance(value, str) and _from_info(value) == value else _to_json(value)


def _from_info(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read_votable(path: Path) -> QTable:
    element = votable.parse(path).get_first_table()
    table = element.to_table(use_names_over_ids=True)
    for column in table.itercols():
        if column.unit is not None:
            # VOTable's parser makes a unit of its own of each that it does not know, and no two of them are equal.
            column.unit = u.Unit(str(column.unit), parse_strict="silent")
    table = QTable(table)
    table.meta = {info.name: _from_info(info.value) for info in element.infos}
    return table


class _Format(NamedTuple):
    write: Callable[[QTable, Path], None]
    read: Callable[[Path], QTable]


_FORMATS = {
    ".fits": _Format(_write_fits, _read_fits),
    ".fits.gz": _Format(_write_fits_gz, _read_fits),
    ".ecsv": _Format(_write_ecsv, _read_ecsv),
    ".parquet": _Format(_write_parquet, _read_parquet),
    ".xml": _Format(_write_votable, _read_votable),
    ".vot": _Format(_write_votable, _read_votable),
}


def _format_of(path: str | Path) -> _Format:
    """Choose the format by the extension."""
    name = Path(path).name.lower()
    for extension, form in _FORMATS.items():
        if name.endswith(extension):
            return form
    raise StarnetError(f"{path} has no extension of a catalog; end it with one of {', '.join(_FORMATS)}")
