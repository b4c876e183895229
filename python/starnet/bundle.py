"""A model bundle: a folder with the graphs of a network in ONNX and what has to be known of them; without torch.

``encoder.onnx`` makes features of pixels, ``instances.onnx`` dense maps of features, ``decoder.onnx`` masks of prompts;
``weights.safetensors``, where it is there, holds the same weights for torch, to train them further;
``bundle.json`` holds what `Bundle` says, and a checksum of each file. docs/export.md describes inputs and outputs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from starnet.atomic import NO_ROOM, write_json
from starnet.errors import StarnetError
from starnet.networks import NetworkConfig

FORMAT = 1
MANIFEST = "bundle.json"
ENCODER, DECODER, INSTANCES = "encoder.onnx", "decoder.onnx", "instances.onnx"
WEIGHTS = "weights.safetensors"
PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files were checked.

    Attributes
    ----------
    folder : Path
        Where it is.
    config : NetworkConfig
        The network, with its bands and its recipe.
    precision : str
        Of its weights and arithmetic, one of `PRECISIONS`; inputs and outputs are float32 in all of them.
    opset : int
        Version of ONNX's operators.
    stride : int
        Windows must begin at multiples of it; extents of a tiny encoder's must be multiples too.
    reach : int or None
        Pixels around a pixel that its maps depend on; None: the whole window.
    cell : int
        Pixels of a cell of the embedding.
    about : dict
        All of ``bundle.json``: tile, files, versions it was made with, licence, training, quality and parity besides.
    """

    folder: Path
    config: NetworkConfig
    precision: str
    opset: int
    stride: int
    reach: int | None
    cell: int
    about: dict[str, Any]

    @classmethod
    def open(cls, folder: str | Path, *, bands: Sequence[str] | None = None, opset: int | None = None) -> Self:
        """Reads what a bundle says of itself, and checks that its files are those.

        Sizes are compared, then SHA-256; the latter once in a process for a file that has not changed since.

        Parameters
        ----------
        folder : str or Path
            As `starnet export` wrote it.
        bands : sequence of str, optional
            Of the mosaic that it is for.
        opset : int, optional
            The newest that can be run; that of ONNX Runtime by default, where it is installed.

        Raises
        ------
        StarnetError
            If it is no bundle, one of another format, damaged, or not for these bands or this ONNX Runtime.
        """
        folder = Path(folder)
        about = _read(folder)
        try:
            bundle = cls(
                folder, NetworkConfig.from_dict(about["network"]), about["precision"], int(about["opset"]),
                int(about["stride"]), about["reach"], int(about["cell"]), about,
            )  # fmt: skip
            files = {str(name): (int(file["bytes"]), str(file["sha256"])) for name, file in about["files"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StarnetError(
                f"{folder / MANIFEST} is damaged ({error!r}): copy or export the bundle again"
            ) from error
        newest = runtime_opset() if opset is None else opset
        if newest is not None and bundle.opset > newest:
            raise StarnetError(
                f"{folder} was exported with ONNX opset {bundle.opset}, and the ONNX Runtime here knows {newest}: "
                f"update it, or export again with --opset {newest}"
            )
        if bands is not None and (missing := [band for band in bundle.config.bands if band not in bands]):
            raise StarnetError(
                f"{folder} was made for the bands {', '.join(bundle.config.bands)}, and the mosaic has no {missing[0]} "
                f"among {', '.join(bands)}: add it, or name an input so, as in {missing[0]}=FILE.fits"
            )
        needed = {ENCODER, DECODER, *((INSTANCES,) if bundle.config.instance_head else ())}
        for name in sorted(needed | files.keys()):
            _check(folder / name, files.get(name))
        return bundle

    @property
    def encoder(self) -> Path:
        """The graph of the encoder."""
        return self.folder / ENCODER

    @property
    def decoder(self) -> Path:
        """The graph of prompts and masks."""
        return self.folder / DECODER

    @property
    def instances(self) -> Path | None:
        """The graph of the instance head; None where the network has none."""
        return self.folder / INSTANCES if self.config.instance_head else None

    @property
    def pixel_scales(self) -> tuple[float, float] | None:
        """The smallest and the largest pixel that it was trained on, in arcsec; None where nobody says."""
        found = self.about.get("training", {}).get("pixel_scales")
        return None if found is None else (float(found[0]), float(found[1]))

    @property
    def weights(self) -> Path | None:
        """The same weights for torch, where the bundle was exported with them."""
        return self.folder / WEIGHTS if WEIGHTS in self.about["files"] else None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the configuration and of the files' checksums, in hexadecimal digits."""
        files = {name: file["sha256"] for name, file in self.about["files"].items()}
        content = json.dumps([self.config.as_dict(), self.precision, files], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


def is_bundle(folder: str | Path) -> bool:
    """Whether there is a folder that says it is a bundle."""
    return (Path(folder) / MANIFEST).is_file()


def runtime_opset() -> int | None:
    """The newest opset that the installed ONNX Runtime knows operators of; None where it is not installed or mute."""
    try:
        from onnxruntime.capi import _pybind_state
    except ImportError:
        return None
    schemas: list[Any] = getattr(_pybind_state, "get_all_operator_schema", list)()
    return max((schema.since_version for schema in schemas if schema.domain in ("", "ai.onnx")), default=None)


def check_target(folder: str | Path, *, force: bool) -> None:
    """Whether a bundle may be written there.

    Raises
    ------
    StarnetError
        If something is there already: another bundle without `force`, or anything else.
    """
    folder = Path(folder)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not is_bundle(folder):
        raise StarnetError(f"{folder} exists and is no model bundle: choose another folder")
    if not force:
        raise StarnetError(f"{folder} exists: choose another folder, or give --force to replace it")


@contextmanager
def writing(folder: str | Path, *, force: bool = False) -> Iterator[Path]:
    """Names a folder beside `folder` that takes its place when the block ends well, and is removed otherwise.

    Parameters
    ----------
    folder : str or Path
        The bundle to make, or to replace.
    force : bool
        Whether a bundle that is there may be replaced.

    Yields
    ------
    Path
        An empty folder, for the graphs and what `seal` writes.

    Raises
    ------
    StarnetError
        As `check_target`, or if the disk is full.
    """
    folder = Path(folder).resolve()
    check_target(folder, force=force)
    partial, former = (folder.with_name(folder.name + end) for end in (".partial", ".former"))
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        if folder.exists():
            folder.rename(former)
        partial.rename(folder)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StarnetError(
                f"{folder} could not be written ({error.strerror}); free disk space and try again"
            ) from error
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


def seal(folder: Path, about: Mapping[str, Any]) -> None:
    """Writes ``bundle.json``, with the sizes and checksums of all other files of the folder."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != MANIFEST)
    files = {name: {"bytes": (folder / name).stat().st_size, "sha256": _sha256(folder / name)} for name in names}
    write_json(folder / MANIFEST, {"format": FORMAT, **about, "files": files})


def _read(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StarnetError(
            f"{folder} is no model bundle, it has no {MANIFEST}: give what starnet export wrote"
        ) from error
    except ValueError as error:
        raise StarnetError(f"{folder / MANIFEST} is damaged ({error}): copy or export the bundle again") from error
    found = about.get("format") if isinstance(about, dict) else None
    if found != FORMAT:
        raise StarnetError(
            f"{folder} is a bundle of format {found}, and this version of starnet reads {FORMAT}: export it again, or "
            "use the version that wrote it"
        )
    return dict(about)


def _check(path: Path, expected: tuple[int, str] | None) -> None:
    mend = "copy or export the bundle again"
    if expected is None or not path.is_file():
        raise StarnetError(f"{path.parent} lacks {path.name}: {mend}")
    size, digest = expected
    status = path.stat()
    if status.st_size != size:
        kind = "truncated" if status.st_size < size else "not the file that was exported"
        raise StarnetError(f"{path} is {kind}, {status.st_size} bytes instead of {size}: {mend}")
    if _sha256_once(path.resolve(), size, status.st_mtime_ns) != digest:
        raise StarnetError(f"{path} is not the file that was exported, its SHA-256 differs: {mend}")


@lru_cache(maxsize=64)
def _sha256_once(path: Path, size: int, modified: int) -> str:
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
