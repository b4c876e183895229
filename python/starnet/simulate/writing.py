"""A simulated field as files: an observatory's images and weight maps, and the truth."""

from __future__ import annotations

import json
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from starnet import __version__
from starnet.atomic import replacing
from starnet.errors import StarnetError
from starnet.memory import peak_memory
from starnet.outputs.fits_blocks import header_bytes, padding
from starnet.outputs.segmentation_map import write_segmentation_map
from starnet.pipeline.stages import Stopwatch, in_pixels
from starnet.simulate.catalog import Block, Catalog, table_bytes, write_masks
from starnet.simulate.field import Field
from starnet.simulate.presets import Preset
from starnet.simulate.truth import compress_runs
from starnet.tiles import Box, TileGrid
from starnet.workers import Pool, pool

BLOCK = 1024

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SimulateResult:
    """What `write` made.

    Attributes
    ----------
    directory : Path
        Where the outputs are.
    n_sources : int
        Rows of the truth table.
    shape : tuple of int
        ``(ny, nx)`` of the field.
    outputs : dict
        Paths by kind: the name of a band, ``weight NAME``, segmentation, table, masks, settings.
    seconds : dict
        Time by stage.
    peak_memory : int
        Largest resident memory of all processes together, in bytes.
    """

    directory: Path
    n_sources: int
    shape: tuple[int, int]
    outputs: dict[str, Path]
    seconds: dict[str, float]
    peak_memory: int


def write(
    field: Field,
    directory: str | Path,
    *,
    workers: int = 1,
    block: int = BLOCK,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> SimulateResult:
    """Write a field, block by block.

    The same field makes the same bytes, for any number of workers and any blocks. Memory is some 150 bytes a
    pixel and band of a block, for each worker, and a kilobyte a source.

    Parameters
    ----------
    field : Field
        What to make.
    directory : str or Path
        Made if missing. For every band ``<band>_drz.fits`` and ``<band>_wht.fits``; ``truth_segmentation.fits`` (label
        map), ``truth.fits`` (table), ``truth_masks.json`` (full masks, which overlap, as COCO annotations) and
        ``simulation.yaml`` (how it was made).
    workers : int
        Processes.
    block : int
        Side of the windows that are made at a time, in pixels.
    overwrite : bool
        Replace files that are there.
    progress : callable, optional
        Called with (stage, pixels done, all pixels).

    Returns
    -------
    SimulateResult
        Where the files are, and what they cost.

    Raises
    ------
    StarnetError
        If a file is there already or cannot be written.
    """
    directory = Path(directory)
    names = [band.name for band in field.preset.bands]
    outputs = {name: directory / f"{name.lower()}_drz.fits" for name in names}
    outputs |= {f"weight {name}": directory / f"{name.lower()}_wht.fits" for name in names}
    outputs |= {
        "segmentation": directory / "truth_segmentation.fits",
        "table": directory / "truth.fits",
        "masks": directory / "truth_masks.json",
        "settings": directory / "simulation.yaml",
    }
    existing = [path for path in outputs.values() if path.exists()]
    if existing and not overwrite:
        raise StarnetError(f"{existing[0]} exists: name another directory with -o, or add --overwrite")
    _ = field.painter  # complains before anything is made if it lacks something
    directory.mkdir(parents=True, exist_ok=True)
    stopwatch = Stopwatch()
    with ExitStack() as stack:
        partial = {
            kind: stack.enter_context(replacing(path)) for kind, path in outputs.items() if kind != "segmentation"
        }
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".labels-", dir=directory)))
        images = [_Plane.make(partial[name], field, _band_header(field, i)) for i, name in enumerate(names)]
        weights = [
            _Plane.make(partial[f"weight {name}"], field, _weight_header(field, i)) for i, name in enumerate(names)
        ]
        labels = _Plane.make(scratch / "labels", field)
        with stopwatch("simulate"):
            job = _Job(field, TileGrid(field.size, block), images, weights, labels)
            catalog, memory = _collect(job, workers, progress)

        def rows(y0: int, y1: int) -> NDArray[np.int32]:
            return catalog.number(labels.read(y0, y1))

        with stopwatch("truth"):
            partial["table"].write_bytes(table_bytes(catalog.table()))
            write_masks(partial["masks"], catalog, outputs[names[0]].name)
            partial["settings"].write_text(_settings(field), encoding="utf-8")
            told = in_pixels(progress, field.size)
            write_segmentation_map(
                outputs["segmentation"], field.size, rows, header=field.header, threads=workers, progress=told
            )
    peak = max(memory, peak_memory())
    return SimulateResult(directory, len(catalog.rows), field.size, outputs, stopwatch.seconds, peak)


def survey(field: Field, *, workers: int = 1, progress: Progress | None = None) -> Table:
    """The truth table of a field, as `write` writes it, without writing anything."""
    return _collect(_Job(field, TileGrid(field.size, BLOCK), [], [], None), workers, progress)[0].table()


@dataclass(frozen=True)
class _Plane:
    """A two-dimensional image in a file, which processes fill box by box."""

    path: Path
    size: tuple[int, int]
    offset: int
    dtype: str

    @classmethod
    def make(cls, path: Path, field: Field, header: fits.Header | None = None) -> _Plane:
        """Lay the file out in its whole length: FITS with a header, bare int32 without."""
        ny, nx = field.size
        cards = header_bytes(header) if header is not None else b""
        with path.open("wb") as file:
            file.write(cards)
            file.truncate(len(cards) + 4 * ny * nx + padding(4 * ny * nx))
        return cls(path, field.size, len(cards), ">f4" if header is not None else "=i4")

    def write(self, box: Box, image: NDArray[Any]) -> None:
        """Fill a box."""
        pixels = image.astype(self.dtype)
        with self.path.open("r+b", buffering=0) as file:
            for y, row in enumerate(pixels, box.y0):
                file.seek(self.offset + 4 * (y * self.size[1] + box.x0))
                file.write(row.data)

    def read(self, y0: int, y1: int) -> NDArray[Any]:
        """Rows ``y0 <= y < y1``."""
        nx = self.size[1]
        offset = self.offset + 4 * y0 * nx
        return np.fromfile(self.path, self.dtype, (y1 - y0) * nx, offset=offset).reshape(y1 - y0, nx)


@dataclass(frozen=True)
class _Job:
    """What a worker does: makes a block, fills the files, and tells of the sources."""

    field: Field
    grid: TileGrid
    images: list[_Plane]
    weights: list[_Plane]
    labels: _Plane | None

    def block(self, index: int) -> Block:
        """Make a block."""
        box = self.grid[index].core
        window, truth = self.field.window_and_truth(box)
        for planes, pixels in ((self.images, window.images), (self.weights, window.weights)):
            for plane, image in zip(planes, pixels, strict=bool(planes)):
                plane.write(box, image)
        if self.labels is not None:
            self.labels.write(box, window.labels)
        labels, areas = np.unique(window.labels[window.labels > 0], return_counts=True)
        return Block(truth.rows, compress_runs(truth.masks), labels, areas)


def _collect(job: _Job, workers: int, progress: Progress | None) -> tuple[Catalog, int]:
    """Make all blocks; give their sources, and the memory of all processes."""
    blocks = []
    done = 0
    with pool(job, min(workers, len(job.grid))) as processes:
        for index, block in enumerate(_made(job, processes)):
            blocks.append(block)
            done += job.grid[index].core.size
            if progress is not None:
                progress("simulate", done, job.field.whole.size)
        return Catalog.assemble(job.field, blocks), peak_memory() + processes.peak_memory


def _made(job: _Job, processes: Pool) -> Iterator[Block]:
    """The blocks in their order; some are made ahead, but not so many that they pile up."""
    running: deque[Future[Block]] = deque()
    for index in range(len(job.grid)):
        running.append(processes.submit("block", index))
        if len(running) >= 2 * processes.workers:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def _image_header(field: Field, cards: list[tuple[Any, ...]]) -> fits.Header:
    header = fits.Header(
        [
            ("SIMPLE", True, "FITS"),
            ("BITPIX", -32, "float32"),
            ("NAXIS", 2),
            ("NAXIS1", field.size[1]),
            ("NAXIS2", field.size[0]),
            *cards,
        ]
    )
    header.extend(field.header.cards)
    return header


def _band_header(field: Field, index: int) -> fits.Header:
    preset, band = field.preset, field.preset.bands[index]
    return _image_header(
        field,
        [
            ("TELESCOP", preset.telescope),
            ("INSTRUME", preset.instrument),
            ("FILTER", band.name),
            ("BUNIT", band.unit),
            ("ABMAGZP", band.zero_point, "[mag] AB magnitude of 1 BUNIT"),
            ("ORIGIN", "StarNet", "simulated"),
            ("OBJECT", preset.name, "preset of the simulation"),
            ("SEED", str(field.seed), "of the simulation"),
        ],
    )


def _weight_header(field: Field, index: int) -> fits.Header:
    band = field.preset.bands[index]
    return _image_header(field, [("FILTER", band.name), ("ORIGIN", "StarNet", "simulated")])


def to_yaml(preset: Preset) -> str:
    """A preset as YAML, as `starnet.simulate.load_preset` reads it."""
    return yaml.safe_dump(_plain(preset), sort_keys=False, allow_unicode=True)


def _plain(preset: Preset) -> Any:
    return json.loads(json.dumps(asdict(preset)))  # lists for tuples


def _settings(field: Field) -> str:
    settings = {
        "size": list(field.size),
        "seed": field.seed,
        "stamps": str(field.stamps) if field.stamps is not None else None,
        "versions": {"starnet": __version__} | {name: version(name) for name in ("numpy", "scipy", "galsim")},
        "preset": _plain(field.preset),
    }
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
