"""Tables of the user: any that astropy reads."""

from __future__ import annotations

import warnings
from pathlib import Path

import pyarrow.parquet as pq
from astropy.table import Table

from starnet.errors import StarnetError
from starnet.io.companions import Source
from starnet.io.planes import first_line


def open_table(path: str | Path, *, what: str) -> Table:
    """Read a table.

    Parameters
    ----------
    path : str or Path
        FITS (``FILE`` or ``FILE[HDU]``), ECSV, Parquet, VOTable, CSV: what `astropy.table.Table.read` knows.
    what : str
        What the table should hold, for messages: ``"the table of prompts"``.

    Raises
    ------
    StarnetError
        If there is no such file, or it cannot be read.
    """
    source = Source.parse(path)
    if not source.path.is_file():
        raise StarnetError(f"{source.path} does not exist: give {what}")
    options = {} if source.hdu is None else {"hdu": int(source.hdu) if source.hdu.isdigit() else source.hdu}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if source.path.suffix == ".parquet":  # astropy's own reader needs pandas
                columns = pq.read_table(source.path)
                return Table({name: columns[name].to_numpy() for name in columns.column_names})
            return Table.read(source.path, **options)
    except Exception as error:  # each of the formats raises its own
        raise StarnetError(
            f"{source.path} cannot be read as a table ({first_line(error)}): give FITS, ECSV, CSV, Parquet or VOTable"
        ) from error
