"""The fields of a split, as files: simulated ones, or squares cut from a mosaic whose truth is known."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from astropy.io import fits

from starnet import __version__
from starnet.errors import StarnetError
from starnet.evaluate.labels import LabelSource, open_labels
from starnet.mosaic import Mosaic
from starnet.outputs.segmentation_map import write_segmentation_map
from starnet.splits import AreaSplit, SimulatedSplit
from starnet.tiles import Box

IDENTITY = "identity.json"


@dataclass(frozen=True)
class Scene:
    """Images of one field, and what is true of it.

    Attributes
    ----------
    name : str
        Of its directory.
    inputs : tuple of str
        The bands, as for `Mosaic.open`.
    truth : Path
        Label map.
    table : Path or None
        Of the true objects.
    identity : dict
        What made it, JSON-able.
    """

    name: str
    inputs: tuple[str, ...]
    truth: Path
    table: Path | None
    identity: dict[str, Any]


def simulated_scene(split: SimulatedSplit, seed: int, fields: Path, *, workers: int = 1) -> Scene:
    """A simulated field, made if it is not there."""
    from starnet import simulate

    preset = simulate.load_preset(split.preset)
    if split.bands:
        preset = preset.select(split.bands)
    field = simulate.Field(preset, split.size, seed)
    identity = {
        "preset": yaml.safe_load(simulate.to_yaml(preset)),
        "size": list(split.size),
        "seed": seed,
        "starnet": __version__,
    }
    directory = fields / f"seed-{seed}"
    _make(directory, identity, lambda partial: simulate.write(field, partial, workers=workers))
    inputs = tuple(f"{band.name}={directory / f'{band.name.lower()}_drz.fits'}" for band in preset.bands)
    return Scene(directory.name, inputs, directory / "truth_segmentation.fits", directory / "truth.fits", identity)


def area_scene(mosaic: Mosaic, truth: LabelSource, table: Path | None, box: Box, fields: Path) -> Scene:
    """A square of a mosaic, cut out if it is not there; its weight maps and its truth too.

    An object that the edge cuts is judged by what is inside; whether it counts is decided by its row in the table.
    """
    identity = {
        "inputs": mosaic.fingerprint(),
        "truth": _file_identity(truth.name),
        "table": None if table is None else _file_identity(str(table)),
        "box": [box.y0, box.y1, box.x0, box.x1],
        "starnet": __version__,
    }
    directory = fields / f"y{box.y0:05d}-x{box.x0:05d}"
    _make(directory, identity, lambda partial: _cut(mosaic, truth, box, partial))
    inputs = tuple(f"{band.name}={directory / f'{band.name.lower()}_drz.fits'}" for band in mosaic.bands)
    return Scene(directory.name, inputs, directory / "truth_segmentation.fits", table, identity)


def check_area(split: AreaSplit, mosaic: Mosaic, truth: LabelSource) -> None:
    """Say so if the split, the images and the truth are not of one pixel grid.

    Raises
    ------
    StarnetError
        If they are not.
    """
    for what, shape in (("the true map", truth.shape), ("the split", split.shape)):
        if shape != mosaic.shape:
            (ny, nx), (sy, sx) = mosaic.shape, shape
            raise StarnetError(f"the images have {nx} x {ny} pixels and {what} {sx} x {sy}: give those of one grid")


def open_truth(path: str) -> tuple[LabelSource, Path | None]:
    """The true map, and the table beside it in the directory of a simulated field."""
    beside = Path(path) / "truth.fits"
    return open_labels(path), beside if beside.is_file() else None


def _make(directory: Path, identity: dict[str, Any], make: Callable[[Path], Any]) -> None:
    """Make a directory, whole or not at all, unless it was made from the same."""
    if read_json(directory / IDENTITY) == json.loads(json.dumps(identity)):
        return
    partial = directory.with_name(directory.name + ".partial")
    for stale in (partial, directory):
        if stale.exists():
            shutil.rmtree(stale)
    partial.mkdir(parents=True)
    make(partial)
    (partial / IDENTITY).write_text(json.dumps(identity, indent=1), encoding="utf-8")
    partial.rename(directory)


def read_json(path: Path) -> Any:
    """What a JSON file holds; None if there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _cut(mosaic: Mosaic, truth: LabelSource, box: Box, directory: Path) -> None:
    pixels = mosaic.read(box)
    header = mosaic.wcs_header()
    for axis, start in (("CRPIX1", box.x0), ("CRPIX2", box.y0)):
        if axis in header:
            header[axis] -= start
    for i, band in enumerate(mosaic.bands):
        own = header.copy()
        own["FILTER"] = band.name
        # What a flag spoils is no data here: the flags themselves are not cut.
        image = np.where(pixels.valid[i], pixels.data[i], np.nan)
        fits.writeto(directory / f"{band.name.lower()}_drz.fits", image, own)
        if pixels.ivar is not None and band.weight_source is not None:
            fits.writeto(directory / f"{band.name.lower()}_wht.fits", pixels.ivar[i], own)
    labels = truth.read(box).astype(np.int32)
    write_labels(directory / "truth_segmentation.fits", labels, header)


def write_labels(path: Path, labels: np.ndarray[Any, np.dtype[np.int32]], header: fits.Header | None = None) -> None:
    """Write a label map as our runs do."""
    ny, nx = labels.shape
    write_segmentation_map(path, (ny, nx), lambda y0, y1: labels[y0:y1], header=header)


def file_sizes(paths: Sequence[Path]) -> list[list[Any]]:
    """Name, bytes and time of change of some files."""
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in paths]


def _file_identity(name: str) -> Any:
    path = Path(name.split("[")[0])
    return file_sizes([path])[0] if path.is_file() else name
