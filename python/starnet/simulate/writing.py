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
from astropy.wcs import WCS
from numpy.typing import NDArray

from starnet import __version__
from starnet.atomic import replacing
from starnet.errors import StarnetError
from starnet.outputs.fits_blocks import header_bytes, padding
from starnet.outputs.segmentation_map import write_segmentation_map
from starnet.simulate.field import Field
from starnet.simulate.population import CLASSES
from starnet.simulate.presets import Preset
from starnet.simulate.truth import compress_runs
from starnet.tiles import Box, TileGrid
from starnet.workers import pool

BLOCK = 1024

Progress = Callable[[str, int, int], None]


def write(
    field: Field,
    directory: str | Path,
    *,
    workers: int = 1,
    block: int = BLOCK,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Path]:
    """Write a field, block by block.

    The same field makes the same bytes, for any number of workers and any blocks. Memory is some 150 bytes a pixel and band of a
    block, for each worker, and a kilobyte a source.

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
    dict
        Path of each file, by what it is.

    Raises
    ------
    StarnetError
        If a file is there already or cannot be written.
    """
    directory = Path(directory)
    names = [band.name for band in field.preset.bands]
    outputs = {name: directory / f"{name.lower()}_drz.fits" for name in names}
    outputs |= {f"weight of {name}": directory / f"{name.lower()}_wht.fits" for name in names}
    outputs |= {
        "labels": directory / "truth_segmentation.fits",
        "table": directory / "truth.fits",
        "masks": directory / "truth_masks.json",
        "settings": directory / "simulation.yaml",
    }
    existing = [path for path in outputs.values() if path.exists()]
    if existing and not overwrite:
        raise StarnetError(f"{existing[0]} exists: name another directory with -o, or add --overwrite")
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        partial = {kind: stack.enter_context(replacing(path)) for kind, path in outputs.items() if kind != "labels"}
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".labels-", dir=directory)))
        images = [_Plane.make(partial[name], field, _band_header(field, i)) for i, name in enumerate(names)]
        weights = [
            _Plane.make(partial[f"weight of {name}"], field, _weight_header(field, i)) for i, name in enumerate(names)
        ]
        labels = _Plane.make(scratch / "labels", field)
        catalog = _collect(_Job(field, TileGrid(field.size, block), images, weights, labels), workers, progress)

        def rows(y0: int, y1: int) -> NDArray[np.int32]:
            return catalog.number(labels.read(y0, y1))

        partial["table"].write_bytes(_table_bytes(catalog.table()))
        _write_masks(partial["masks"], catalog, f"{names[0].lower()}_drz.fits")
        partial["settings"].write_text(_settings(field), encoding="utf-8")
        write_segmentation_map(outputs["labels"], field.size, rows, header=field.header, threads=workers)
    return outputs


def survey(field: Field, *, workers: int = 1, progress: Progress | None = None) -> Table:
    """The truth table of a field, as `write` writes it, without writing anything."""
    return _collect(_Job(field, TileGrid(field.size, BLOCK), [], [], None), workers, progress).table()


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

    def block(self, index: int) -> _Block:
        """Make a block."""
        box = self.grid[index].core
        window, truth = self.field.window_and_truth(box)
        for planes, pixels in ((self.images, window.images), (self.weights, window.weights)):
            for plane, image in zip(planes, pixels, strict=bool(planes)):
                plane.write(box, image)
        if self.labels is not None:
            self.labels.write(box, window.labels)
        labels, areas = np.unique(window.labels[window.labels > 0], return_counts=True)
        return _Block(truth.rows, compress_runs(truth.masks), labels, areas)


@dataclass(frozen=True)
class _Block:
    """The sources of a block, and the pixels in it of any source."""

    rows: NDArray[np.void]
    masks: list[str]
    labels: NDArray[np.int32]
    areas: NDArray[np.int64]


@dataclass(frozen=True)
class _Catalog:
    """All sources of a field, numbered from 1 in the order of their labels."""

    field: Field
    rows: NDArray[np.void]
    masks: list[str]
    areas: NDArray[np.int64]

    @classmethod
    def assemble(cls, field: Field, blocks: list[_Block]) -> _Catalog:
        """Join the blocks' sources; those that lie outside and are not seen are left out."""
        rows = np.concatenate([block.rows for block in blocks])
        masks = [mask for block in blocks for mask in block.masks]
        inside = (np.abs(rows["y"] - (field.size[0] - 1) / 2) <= field.size[0] / 2) & (
            np.abs(rows["x"] - (field.size[1] - 1) / 2) <= field.size[1] / 2
        )
        order = np.argsort(rows["label"])
        order = order[(inside | (rows["full_area"] > 0))[order]]
        rows = rows[order]
        areas = np.zeros(len(rows), np.int64)
        for block in blocks:
            areas[np.searchsorted(rows["label"], block.labels)] += block.areas
        return cls(field, rows, [masks[i] for i in order.tolist()], areas)

    def number(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Numbers, from 1, for labels of windows; 0 for those that are not in the catalog."""
        known = np.concatenate([[0], self.rows["label"]])
        place = np.minimum(np.searchsorted(known, labels), len(known) - 1)
        return np.where(known[place] == labels, place, 0).astype(np.int32)

    def table(self) -> Table:
        """The truth table."""
        rows, preset = self.rows, self.field.preset
        ra, dec = WCS(self.field.header).pixel_to_world_values(rows["x"], rows["y"])
        full = rows["full_area"]
        table = Table(
            {
                "label": np.arange(1, len(rows) + 1, dtype=np.int32),
                "x": rows["x"],
                "y": rows["y"],
                "ra": np.asarray(ra, float),
                "dec": np.asarray(dec, float),
                "class": np.array(CLASSES)[rows["kind"]],
            }
        )
        for i, band in enumerate(preset.bands):
            with np.errstate(divide="ignore"):
                magnitude = band.zero_point - 2.5 * np.log10(rows["flux"][:, i])
            table[f"mag_{band.name}"] = magnitude.astype(np.float32)
            table[f"mag_{band.name}"].unit = "mag"
        table["redshift"] = rows["z"]
        table["snr"] = rows["snr"]
        table["n"] = rows["n"]
        table["half_light_radius"] = rows["re"] * np.float32(preset.pixel_scale)
        table["axis_ratio"] = rows["q"]
        table["position_angle"] = np.rad2deg(rows["pa"])
        table["area"] = self.areas
        table["full_area"] = full
        hidden = np.divide(self.areas, full, out=np.ones(len(rows)), where=full > 0)
        table["overlap"] = (1 - hidden).astype(np.float32)
        table["saturated"] = rows["saturated"]
        table["parent"] = self.number(rows["parent"])
        for name, (unit, text) in _COLUMNS.items():
            table[name].unit, table[name].description = unit, text
        return table


_COLUMNS = {
    "label": (None, "number of the source in the label map"),
    "x": ("pix", "centre; 0 is the centre of the first pixel"),
    "y": ("pix", "centre; 0 is the centre of the first pixel"),
    "ra": ("deg", "right ascension"),
    "dec": ("deg", "declination"),
    "class": (None, "kind of source"),
    "redshift": (None, "redshift"),
    "snr": (None, "S/N of the optimal filter over all bands"),
    "n": (None, "Sersic index"),
    "half_light_radius": ("arcsec", "along the major axis"),
    "axis_ratio": (None, "minor to major axis"),
    "position_angle": ("deg", "of the major axis, from +x to +y"),
    "area": ("pix", "pixels in the label map"),
    "full_area": ("pix", "pixels where it exceeds 1 sigma alone"),
    "overlap": (None, "1 - area / full_area"),
    "saturated": (None, "whether any band is"),
    "parent": (None, "label of the source it belongs to; 0: none"),
}


def _collect(job: _Job, workers: int, progress: Progress | None) -> _Catalog:
    """Make all blocks; what is true of them comes in their order."""
    blocks = []
    done = 0
    for index, block in enumerate(_made(job, min(workers, len(job.grid)))):
        blocks.append(block)
        done += job.grid[index].core.size
        if progress is not None:
            progress("simulate", done, job.field.whole.size)
    return _Catalog.assemble(job.field, blocks)


def _made(job: _Job, workers: int) -> Iterator[_Block]:
    with pool(job, workers) as processes:
        running: deque[Future[_Block]] = deque()
        for index in range(len(job.grid)):
            running.append(processes.submit("block", index))
            if len(running) >= 2 * workers:
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


def _table_bytes(table: Table) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    hdu = fits.table_to_hdu(table)
    hdu.name = "TRUTH"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(buffer)
    return buffer.getvalue()


def _write_masks(path: Path, catalog: _Catalog, image: str) -> None:
    """COCO annotations, one a line."""
    ny, nx = catalog.field.size
    head = {
        "info": {"description": f"StarNet simulation {catalog.field.preset.name}, seed {catalog.field.seed}"},
        "images": [{"id": 1, "file_name": image, "height": ny, "width": nx}],
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES, 1)],
    }
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head)[:-1] + ', "annotations": [')
        separator = "\n"
        for number, (row, counts) in enumerate(zip(catalog.rows, catalog.masks, strict=True), 1):
            if row["full_area"] == 0:
                continue
            y0, y1, x0, x1 = row["box"].tolist()
            annotation = {
                "id": number,
                "image_id": 1,
                "category_id": int(row["kind"]) + 1,
                "segmentation": {"size": [ny, nx], "counts": counts},
                "area": int(row["full_area"]),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "iscrowd": 0,
            }
            file.write(separator + json.dumps(annotation))
            separator = ",\n"
        file.write("\n]}\n")


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
