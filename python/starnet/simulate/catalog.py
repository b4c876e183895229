"""The sources of a field, joined from its blocks: table and masks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray

from starnet.simulate.field import Field
from starnet.simulate.population import CLASSES

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


@dataclass(frozen=True)
class Block:
    """The sources of a block, and the pixels in it of any source."""

    rows: NDArray[np.void]
    masks: list[str]
    labels: NDArray[np.int32]
    areas: NDArray[np.int64]


@dataclass(frozen=True)
class Catalog:
    """All sources of a field, numbered from 1 in the order of their labels."""

    field: Field
    rows: NDArray[np.void]
    masks: list[str]
    areas: NDArray[np.int64]

    @classmethod
    def assemble(cls, field: Field, blocks: list[Block]) -> Catalog:
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


def table_bytes(table: Table) -> bytes:
    """The table as a FITS file."""
    buffer = BytesIO()
    hdu = fits.table_to_hdu(table)
    hdu.name = "TRUTH"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(buffer)
    return buffer.getvalue()


def write_masks(path: Path, catalog: Catalog, image: str) -> None:
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
