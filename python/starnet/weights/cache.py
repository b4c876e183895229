"""The folder of downloaded weights, and what is in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from starnet.errors import StarnetError
from starnet.weights.download import download, is_verified, partial_of
from starnet.weights.embedded import EMBEDDED, embedded_weights
from starnet.weights.known import KNOWN, Weights

State = Literal["verified", "not checked", "wrong size", "in part", "missing"]


def cache_folder() -> Path:
    """The folder for downloaded files; it need not exist.

    Returns
    -------
    Path
        ``$STARNET_CACHE``, else ``starnet`` in the platform's folder for caches (``$XDG_CACHE_HOME`` or ``~/.cache``,
        ``~/Library/Caches`` on macOS).
    """
    if chosen := os.environ.get("STARNET_CACHE"):
        return Path(chosen).expanduser()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if base.is_absolute():  # a relative one is to be ignored, says the standard
        return base / "starnet"
    home = Path.home()
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "starnet"


def find_weights(network: str, checkpoint: str | Path | None = None) -> Path:
    """The file of a network's weights.

    Parameters
    ----------
    network : str
        Name of the network, such as ``vit_b``.
    checkpoint : str or Path, optional
        A file, a folder that holds the published one, or a name as for `named_weights`. By default those that come with
        the package, else the published one, which is looked for in `cache_folder`.

    Returns
    -------
    Path
        A file that exists. What is in it, whoever loads it will see.

    Raises
    ------
    StarnetError
        If there is none, or the published one is not whole.
    """
    if checkpoint is None and network in EMBEDDED:
        return embedded_weights(network)
    if checkpoint is not None and (found := named_weights(checkpoint)) is not None:
        return found
    if checkpoint is not None and (chosen := Path(checkpoint).expanduser()).is_file():
        return chosen
    name = next((name for name, known in KNOWN.items() if known.network == network), None)
    if checkpoint is not None and not chosen.is_dir():
        mend = f", or run `starnet fetch {name}` and leave it out" if name else ""
        raise StarnetError(
            f"{chosen}, the weights of {network}, is not there: name a file with --checkpoint FILE{mend}"
        )
    if name is None and network in EMBEDDED:
        raise StarnetError(
            f"the weights of {network} come with the package, not in {chosen}: leave --checkpoint out, or name a file"
        )
    if name is None:
        raise StarnetError(f"no weights of {network} are published: name a file with --checkpoint FILE")
    folder = cache_folder() if checkpoint is None else chosen
    path = folder / KNOWN[name].file_name
    option = "" if checkpoint is None else f" --folder {folder}"
    if not path.is_file():
        raise StarnetError(
            f"the weights of {network} are not in {folder}: run `starnet fetch {name}{option}`, or name a file with "
            "--checkpoint FILE"
        )
    if (size := path.stat().st_size) != KNOWN[name].size:
        raise StarnetError(
            f"{path} is not whole ({size} of {KNOWN[name].size} bytes): run `starnet fetch {name} --force{option}`"
        )
    return path


def named_weights(name: str | Path) -> Path | None:
    """The file of weights of this name; None if it is no name but a file's.

    Parameters
    ----------
    name : str or Path
        One of `EMBEDDED`, such as ``tiny``, or of `KNOWN`, such as ``sam-vit-b``.

    Raises
    ------
    StarnetError
        If there are such weights, but they have not been fetched.
    """
    name = str(name)
    if name in EMBEDDED:
        return embedded_weights(name)
    return find_weights(KNOWN[name].network) if name in KNOWN else None


def fetch(
    name: str,
    folder: str | Path | None = None,
    *,
    url: str | None = None,
    replace: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Download known weights, or check the file that is there.

    Parameters
    ----------
    name : str
        One of `KNOWN`, or of `EMBEDDED`, for which nothing is to be done.
    folder : str or Path, optional
        Where to put the file; made if missing. By default `cache_folder`.
    url : str, optional
        Another address of the same file. By default ``$STARNET_MIRROR/FILE``, if that is set, else that of its makers.
    replace : bool
        Download it even where it is there.
    progress : callable, optional
        Called with stage, bytes done, bytes in all.

    Returns
    -------
    Path
        The file, whose checksum is right.

    Raises
    ------
    StarnetError
        If the name is unknown; if a file of that name is there and is another one; as `download`.
    """
    if name in EMBEDDED:
        return embedded_weights(name)
    if name not in KNOWN:
        raise StarnetError(f"there are no known weights '{name}': choose {', '.join(KNOWN)}")
    known = KNOWN[name]
    if url is None and (mirror := os.environ.get("STARNET_MIRROR")):
        url = f"{mirror.rstrip('/')}/{known.file_name}"
    path = (cache_folder() if folder is None else Path(folder).expanduser()) / known.file_name
    download(url or known.url, path, sha256=known.sha256, size=known.size, replace=replace, progress=progress)
    return path


def state(known: Weights, folder: Path) -> State:
    """What is there of a file of weights.

    Parameters
    ----------
    known : Weights
        Which.
    folder : Path
        Where.

    Returns
    -------
    str
        'verified' if its checksum was compared since it was last written.
    """
    path = folder / known.file_name
    if path.is_file():
        if path.stat().st_size != known.size:
            return "wrong size"
        return "verified" if is_verified(path, known.sha256) else "not checked"
    return "in part" if partial_of(path).is_file() else "missing"
