"""The run directory: what a run was asked to do, what it has finished, and the pieces in between.

::

    RUN/plan.json          inputs and parameters: a directory of another plan is refused
    RUN/ledger.jsonl       one line a finished tile or batch of seam objects, appended
    RUN/recipe.yaml        the fitted recipe, with recipe.background.fits
    RUN/model.json         the engine's parameters, fitted ones included
    RUN/labels.zarr        label chunks, one a tile, each numbered from 1
    RUN/masks              masks that prompts asked for, one file a tile, and the disjoint objects made of them
    RUN/tiles, RUN/seams   measurements (Parquet) and seam patches, one a tile
    RUN/run.json           written last, with versions, parameters, timings, peak memory

Files appear under their name when complete (written beside, then renamed), and the ledger names them after that: a run
killed at any moment continues where it stopped and ends with the same outputs.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import zarr

from starnet.atomic import replacing, write_json
from starnet.errors import StarnetError
from starnet.instances import Columns, Edges, Patches, TileObjects
from starnet.masks import Masks
from starnet.tiles import TileGrid

FORMAT = 2
OUTPUTS = {
    "segmentation": "segmentation.fits",
    "catalog": "catalog.fits",
    "regions": "sources.reg",
    "overlay": "overlay.png",
}
_OWN_FILES = [
    "run.json",
    "plan.json",
    "ledger.jsonl",
    "recipe.yaml",
    "recipe.background.fits",
    "model.json",
    *OUTPUTS.values(),
]
_OWN_FOLDERS = ["labels.zarr", "masks", "tiles", "seams"]
# What an entry of the ledger says to be finished.
_KINDS = ("tile", "seams", "masks")
_FAR = np.iinfo(np.int32).max
_EDGES = ("top", "bottom", "left", "right", "drawn")


@dataclass
class RunDirectory:
    """An open run directory; locked against a second run while it is open.

    Attributes
    ----------
    path : Path
        The directory.
    finished : dict
        What the ledger holds: tiles by kind, ``"tile"``, ``"seams"`` (the components that the tile completed are split)
        and ``"masks"`` (those of the tile's prompts are drawn).
    """

    path: Path
    finished: dict[str, set[int]] = field(default_factory=lambda: {kind: set() for kind in _KINDS})
    _ledger: IO[str] | None = field(default=None, repr=False)
    _lock: IO[str] | None = field(default=None, repr=False)

    @classmethod
    def open(cls, path: Path, plan: Mapping[str, Any], *, overwrite: bool = False) -> Self:
        """Opens a directory for a run, new or to be continued.

        Parameters
        ----------
        path : Path
            Created if it is missing.
        plan : mapping
            Inputs and parameters, JSON-able.
        overwrite : bool
            Start anew: what an earlier run left is deleted (other files are not touched).

        Raises
        ------
        StarnetError
            If the path is a file, holds something else than a run, holds a run of another plan, or is in use.
        """
        if path.exists() and not path.is_dir():
            raise StarnetError(f"output {path} is a file: name a directory with -o")
        if path.is_dir() and any(path.iterdir()) and not (path / "plan.json").exists() and not overwrite:
            raise StarnetError(
                f"output {path} exists and is not a StarNet run: name another directory with -o, or add --overwrite"
            )
        path.mkdir(parents=True, exist_ok=True)
        run = cls(path)
        run._lock = (path / "lock").open("w")
        try:
            fcntl.flock(run._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            run._lock.close()
            raise StarnetError(
                f"output {path} is in use by another run: wait for it, or name another directory"
            ) from error
        try:
            run._start(json.loads(json.dumps(plan)), overwrite)
        except BaseException:
            run.close()
            raise
        return run

    def _start(self, plan: dict[str, Any], overwrite: bool) -> None:
        if overwrite:
            self._clear()
        elif (self.path / "plan.json").exists():
            self._check_plan(plan)
        for folder in ("tiles", "seams", "masks"):
            (self.path / folder).mkdir(exist_ok=True)
        self.write_json("plan.json", plan)
        ledger = self.path / "ledger.jsonl"
        if ledger.exists():
            self._read_ledger(ledger)
        self._ledger = ledger.open("a", encoding="utf-8")

    def _clear(self) -> None:
        for name in _OWN_FILES:
            (self.path / name).unlink(missing_ok=True)
        for name in _OWN_FOLDERS:
            shutil.rmtree(self.path / name, ignore_errors=True)

    def _check_plan(self, plan: dict[str, Any]) -> None:
        try:
            before = json.loads((self.path / "plan.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StarnetError(
                f"{self.path / 'plan.json'} cannot be read ({error}): add --overwrite to start anew"
            ) from error
        changes = _differences(before, plan)
        if changes:
            raise StarnetError(
                f"output {self.path} holds a run of other inputs or parameters ({'; '.join(changes[:3])}"
                f"{'; …' if len(changes) > 3 else ''}): name another directory with -o, or start anew with --overwrite"
            )

    def _read_ledger(self, ledger: Path) -> None:
        text = ledger.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]  # a kill may have torn the last line
        for line in whole.splitlines():
            entry = json.loads(line)
            self.finished[entry["kind"]].add(entry["index"])
        if whole != text:
            with replacing(ledger) as partial:
                partial.write_text(whole, encoding="utf-8")

    def record(self, kind: str, index: int, **facts: Any) -> None:
        """Adds a line to the ledger; the kinds are those of `finished`."""
        assert self._ledger is not None, "the run directory is closed"
        self._ledger.write(json.dumps({"kind": kind, "index": index, **facts}) + "\n")
        self._ledger.flush()
        os.fsync(self._ledger.fileno())
        self.finished[kind].add(index)

    @property
    def finished_tiles(self) -> set[int]:
        """Tiles that are segmented."""
        return self.finished["tile"]

    @property
    def finished_seams(self) -> set[int]:
        """Tiles whose completed components are split."""
        return self.finished["seams"]

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes one of the run's JSON files."""
        write_json(self.path / name, content)

    def read_json(self, name: str) -> Any:
        """One of the run's JSON files; None where it is not there."""
        path = self.path / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    @property
    def summary(self) -> dict[str, Any] | None:
        """The contents of ``run.json``; None while the run is not finished."""
        content: dict[str, Any] | None = self.read_json("run.json")
        return content if all((self.path / name).exists() for name in OUTPUTS.values()) else None

    def close(self) -> None:
        """Closes the ledger and gives up the lock."""
        for handle in (self._ledger, self._lock):
            if handle is not None:
                handle.close()
        self._ledger = self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Shards:
    """The pieces of a run that workers write and read; picklable.

    Parameters
    ----------
    path : Path
        The run directory.
    grid : TileGrid
        The tiles; one label chunk each.
    """

    path: Path
    grid: TileGrid

    @property
    def _chunk_shift(self) -> tuple[int, int]:
        """Where the mosaic's first pixel lies in the label array, so that cores are chunks."""
        (ys, xs), (cy, cx) = self.grid.lines, self.grid.core_shape
        return (cy - ys[1]) % cy if len(ys) > 2 else 0, (cx - xs[1]) % cx if len(xs) > 2 else 0

    def create(self) -> None:
        """Creates the label array if it is not there."""
        if not (self.path / "labels.zarr").exists():
            shape = tuple(n + shift for n, shift in zip(self.grid.shape, self._chunk_shift, strict=True))
            chunks = tuple(min(c, n) for c, n in zip(self.grid.core_shape, shape, strict=True))
            zarr.create_array(self.path / "labels.zarr", shape=shape, chunks=chunks, dtype="int32", fill_value=0)

    def _chunk(self, tile: int) -> tuple[zarr.Array[Any], tuple[slice, slice]]:
        dy, dx = self._chunk_shift
        return zarr.open_array(self.path / "labels.zarr", mode="r+"), self.grid[tile].core.shift(dy, dx).slices

    def write_tile(self, tile: int, objects: TileObjects) -> None:
        """Keeps what a tile contributes."""
        array, here = self._chunk(tile)
        array[here] = objects.labels
        patches = objects.patches
        edges = patches.edges
        self._write_arrays(
            self._name("tiles", tile, "npz"),
            **{key: getattr(patches, key) for key in ("offsets", "y", "x", "values", "flags", "extents")},
            **{key: getattr(edges, key) for key in _EDGES},
        )
        self._write_columns(self._name("tiles", tile, "parquet"), objects.columns)

    def labels(self, tile: int) -> npt.NDArray[np.int32]:
        """The labels of a tile's core, numbered as in `columns`."""
        array, here = self._chunk(tile)
        return np.asarray(array[here])

    def edges(self, tile: int) -> Edges:
        """Where a tile's patches reach its borders."""
        with np.load(self._name("tiles", tile, "npz")) as arrays:
            return Edges(**{key: arrays[key] for key in _EDGES})

    def patches(self, tile: int) -> Patches:
        """A tile's patches."""
        with np.load(self._name("tiles", tile, "npz")) as arrays:
            edges = Edges(**{key: arrays[key] for key in _EDGES})
            pixels = {key: arrays[key] for key in ("offsets", "y", "x", "values", "flags", "extents")}
            return Patches(**pixels, edges=edges)

    def write_seams(self, tile: int, columns: Columns, runs: npt.NDArray[np.int32]) -> None:
        """Keeps the objects of the components that `tile` completed, and the runs of their pixels."""
        self._write_arrays(self._name("seams", tile, "npz"), runs=runs)
        self._write_columns(self._name("seams", tile, "parquet"), columns)

    def runs(self, tile: int) -> npt.NDArray[np.int32]:
        """The runs that `write_seams` kept."""
        with np.load(self._name("seams", tile, "npz")) as arrays:
            found: npt.NDArray[np.int32] = arrays["runs"]
            return found

    def write_masks(self, tile: int, masks: Masks) -> None:
        """Keeps the masks of a tile's prompts."""
        self._write_arrays(self._name("masks", tile, "npz"), **_arrays(masks))

    def masks(self, tile: int) -> Masks:
        """The masks that `write_masks` kept."""
        with np.load(self._name("masks", tile, "npz")) as arrays:
            return Masks(**arrays)

    @property
    def object_files(self) -> tuple[Path, Path, Path]:
        """The disjoint objects made of all masks: runs ascending in y, where each row's begin, extents."""
        folder = self.path / "masks"
        return folder / "runs.npy", folder / "rows.npy", folder / "extents.npy"

    def write_objects(self, objects: Masks) -> None:
        """Keeps the objects that the masks of all tiles made."""
        runs = objects.runs[np.argsort(objects.runs[:, 0], kind="stable")]
        rows = np.searchsorted(runs[:, 0], np.arange(self.grid.shape[0] + 1)).astype(np.int64)
        y, x0, x1, number = objects.runs.T
        extents = np.empty((len(objects), 4), np.int32)
        for column, function, values, start in (
            (0, np.minimum, y, _FAR), (1, np.maximum, y + 1, 0), (2, np.minimum, x0, _FAR), (3, np.maximum, x1, 0),
        ):  # fmt: skip
            extents[:, column] = start
            function.at(extents[:, column], number - 1, values)
        arrays: tuple[npt.NDArray[Any], ...] = (runs, rows, extents)
        for path, array in zip(self.object_files, arrays, strict=True):
            with replacing(path) as partial, partial.open("wb") as file:
                np.save(file, array, allow_pickle=False)
        self._write_arrays(self.path / "masks" / "objects.npz", **_arrays(objects))

    def objects(self) -> Masks | None:
        """The objects that `write_objects` kept; None where they are not there yet."""
        path = self.path / "masks" / "objects.npz"
        if not path.exists():
            return None
        with np.load(path) as arrays:
            return Masks(**arrays)

    def columns(self, folder: str, tile: int) -> Columns:
        """Measurements of a tile's own objects (``"tiles"``), or of those it completed (``"seams"``)."""
        table = pq.read_table(self._name(folder, tile, "parquet"))
        return {name: table[name].to_numpy() for name in table.column_names}

    def _name(self, folder: str, tile: int, suffix: str) -> Path:
        return self.path / folder / f"{tile:06d}.{suffix}"

    def _write_columns(self, path: Path, columns: Columns) -> None:
        with replacing(path) as partial:
            pq.write_table(pa.table(columns), partial)

    def _write_arrays(self, path: Path, **arrays: npt.NDArray[Any]) -> None:
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)


def _arrays(masks: Masks) -> dict[str, npt.NDArray[Any]]:
    return {one.name: getattr(masks, one.name) for one in fields(masks)}


def _differences(before: Any, after: Any, name: str = "") -> list[str]:
    """What differs between two JSON values, as ``name: before -> after``."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        found = [_differences(before.get(k), after.get(k), f"{name}.{k}" if name else k) for k in keys]
        return [change for changes in found for change in changes]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        found = [_differences(b, a, f"{name}[{i}]") for i, (b, a) in enumerate(zip(before, after, strict=True))]
        return [change for changes in found for change in changes]
    return [] if before == after else [f"{name}: {before!r} there, {after!r} now"]
