"""Files that are whole or absent."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starnet.errors import StarnetError

# Only writing can fail with these, whichever file the operating system names (it names none for a write).
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Name a file beside `path` that takes its place when the block ends well, and is removed otherwise.

    Parameters
    ----------
    path : str or Path
        The file to make or to replace. Until the end it stays as it is.

    Yields
    ------
    Path
        ``path`` with ``.partial`` appended.

    Raises
    ------
    StarnetError
        If the disk is full or the file cannot be made.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        reason = error.strerror or str(error)
        if error.errno in NO_ROOM:
            raise StarnetError(
                f"{path} could not be written ({reason}); nothing is left of it: free disk space and run again"
            ) from error
        if error.filename is not None and os.fsdecode(error.filename).startswith(str(partial)):
            raise StarnetError(
                f"{path} could not be written ({reason}); check that its folder exists and is writable"
            ) from error
        raise


def write_json(path: str | Path, content: Any, *, indent: int | None = 2) -> None:
    """Write JSON, whole or not at all.

    Parameters
    ----------
    path : str or Path
        The file to make or to replace.
    content : Any
        What `json.dumps` takes.
    indent : int, optional
        Spaces a level; None for one line.

    Raises
    ------
    StarnetError
        As `replacing`.
    """
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
