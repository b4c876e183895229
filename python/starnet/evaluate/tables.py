"""Tables of true or predicted objects: any that astropy reads, brought into the order of a map's labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet.errors import StarnetError
from starnet.io.companions import Source
from starnet.io.tables import open_table
from starnet.masks.runs import Ints

#: What columns of labels are called: by us in truth tables, by us in catalogs, by SExtractor.
_LABELS = ("label", "id", "NUMBER")


@dataclass(frozen=True)
class ObjectTable:
    """Columns of a table, one value for each object of a map.

    Attributes
    ----------
    name : str
        The file.
    columns : dict
        Arrays by name; numbers are float64, NaN where missing, all others text.
    elsewhere : int
        Rows of the table that are in no pixel of the map, and are left out.
    """

    name: str
    columns: dict[str, NDArray[Any]]
    elsewhere: int

    def numbers(self, name: str) -> NDArray[np.float64] | None:
        """A column of numbers; None if the table has no such column.

        Raises
        ------
        StarnetError
            If it holds text.
        """
        column = self.columns.get(name)
        if column is not None and column.dtype.kind != "f":
            raise StarnetError(f"{self.name} has text in its column {name}: write numbers there")
        return column


def read_table(source: str | Path | Table, labels: Ints, map_name: str) -> ObjectTable:
    """Read a table of the objects of a map.

    Parameters
    ----------
    source : str, Path or Table
        FITS (``FILE`` or ``FILE[HDU]``), ECSV, Parquet, VOTable, CSV: what `astropy.table.Table.read` knows.
    labels : ndarray of int64
        The labels of the map, ascending.
    map_name : str
        What messages call the map.

    Raises
    ------
    StarnetError
        If the file cannot be read, has no column ``label`` (``id`` and ``NUMBER`` will do), or has not one row for each
        label.
    """
    if isinstance(source, Table):
        table, name = source, "the table"
    else:
        table = open_table(source, what=f"the table of the objects of {map_name}")
        name = str(Source.parse(source).path)
    key = next((column for column in _LABELS if column in table.colnames), None)
    if key is None:
        raise StarnetError(f"{name} has no column label: name so the one that holds the labels of {map_name}")
    row = _rows(name, np.asarray(_plain(table[key])), labels, map_name)
    columns = {one: _plain(table[one])[row] for one in table.colnames if one != key and table[one].ndim == 1}
    return ObjectTable(name, columns, len(table) - len(row))


def _rows(name: str, numbers: NDArray[Any], labels: Ints, map_name: str) -> Ints:
    """The row of each label."""
    if numbers.dtype.kind != "f" or not np.array_equal(numbers, np.rint(numbers)):
        raise StarnetError(f"{name} has labels that are no integers: give those of {map_name}")
    order = np.argsort(numbers, kind="stable")
    numbers = numbers[order]
    if (again := np.flatnonzero(np.diff(numbers) == 0)).size:
        raise StarnetError(f"{name} has two rows for the label {int(numbers[again[0]])}: leave one of them")
    at = np.searchsorted(numbers, labels)
    lost = np.append(numbers, np.nan)[at] != labels
    if lost.any():
        raise StarnetError(
            f"{name} has no row for the label {labels[np.argmax(lost)]} of {map_name}"
            f"{f', and for {lost.sum() - 1} more' if lost.sum() > 1 else ''}: give the table that belongs to this map"
        )
    return order[at]


def _plain(column: Any) -> NDArray[Any]:
    """Values without unit and mask: float64 with NaN, or text."""
    values, missing = np.asarray(getattr(column, "value", column)), getattr(column, "mask", False)
    if values.dtype.kind in "iufb":
        numbers = values.astype(np.float64)
        numbers[np.broadcast_to(missing, numbers.shape)] = np.nan
        return numbers
    text = values.astype(str) if values.dtype.kind != "S" else np.char.decode(values, "utf-8", "replace")
    return np.where(np.broadcast_to(missing, text.shape), "", np.char.strip(text))
