"""Cases of objects: components, watershed, measurements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from starnet import _core
from starnet.bench.cases import EQUAL, OURS, ROUNDING, Agreement, Array, Call, Case, Contender
from starnet.bench.files_and_tiles import written
from starnet.bench.peers import load
from starnet.bench.scene import Scene
from starnet.catalog import build_catalog
from starnet.filters import label, median_filter, watershed
from starnet.mosaic import Mosaic


def foreground(pixels: Array) -> Array:
    """Pixels whose 3 x 3 median stands out of the sky by about 2 sigma."""
    low, middle = np.percentile(pixels, [15.865525393145708, 50])
    return median_filter(pixels, 3) > np.float32(middle + 2 * (middle - low))


def canonical(labels: Array) -> Array:
    """The same objects, numbered by their first pixels."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int32)
    # The sky, 0, keeps its number.
    order[np.argsort(np.where(labels.ravel()[first] == 0, -1, first))] = np.arange(len(first))
    return np.asarray(order[inverse.reshape(labels.shape)])


RENUMBERED = Agreement("equal but for the numbers", lambda a, b: EQUAL.differ(canonical(a), canonical(b)))


def label_cases(scene: Scene) -> Iterator[Case]:
    """Connected components, corners included."""

    def ours(pixels: Array, threads: int) -> Call:
        mask = foreground(pixels)
        out = np.empty(mask.shape, np.int32)
        return lambda: label(mask, out=out, threads=threads)[0]

    def scipy(pixels: Array, _: int) -> Call:
        function, mask, structure = load("scipy", "ndimage").label, foreground(pixels), np.ones((3, 3))
        out = np.empty(mask.shape, np.int32)

        def run() -> Array:
            function(mask, structure, output=out)
            return out

        return run

    def skimage(pixels: Array, _: int) -> Call:
        function, mask = load("scikit-image", "measure").label, foreground(pixels)
        return lambda: function(mask, connectivity=2)

    def opencv(pixels: Array, _: int) -> Call:
        cv2, mask = load("OpenCV"), foreground(pixels).view(np.uint8)
        return lambda: cv2.connectedComponents(mask, connectivity=8, ltype=cv2.CV_32S)[1]

    yield Case(
        "label",
        "label components",
        scene.image,
        Contender(OURS, "filters.label", ours, threaded=True),
        (
            Contender("OpenCV", "connectedComponents", opencv, RENUMBERED, threaded=True),
            Contender("scikit-image", "measure.label", skimage),
            Contender("scipy", "ndimage.label", scipy),
        ),
    )


def watershed_cases(scene: Scene) -> Iterator[Case]:
    """A seeded watershed of the foreground."""

    def inputs(pixels: Array) -> tuple[Array, Array, Array]:
        mask = foreground(pixels)
        inner = mask & (pixels > np.median(pixels[mask]) if mask.any() else mask)
        return -pixels, label(inner)[0], mask

    def ours(pixels: Array, _: int) -> Call:
        landscape, markers, mask = inputs(pixels)
        out = np.empty(mask.shape, np.int32)
        return lambda: watershed(landscape, markers, mask=mask, out=out)

    def skimage(pixels: Array, _: int) -> Call:
        function, (landscape, markers, mask) = load("scikit-image", "segmentation").watershed, inputs(pixels)
        return lambda: function(landscape, markers, mask=mask)

    def scipy(pixels: Array, _: int) -> Call:
        landscape, markers, _mask = inputs(pixels)
        low, high = landscape.min(), landscape.max()
        levels = ((landscape - low) / (high - low) * 65535).astype(np.uint16)
        function = load("scipy", "ndimage").watershed_ift
        return lambda: function(levels, markers)

    def opencv(pixels: Array, _: int) -> Call:
        cv2, (_landscape, markers, mask) = load("OpenCV"), inputs(pixels)
        low, high = np.percentile(pixels, [1, 99.5])
        picture = np.repeat(np.clip((pixels - low) / (high - low) * 255, 0, 255).astype(np.uint8)[..., None], 3, 2)
        start = np.where(mask, markers, int(markers.max()) + 1)

        def run() -> Array:
            labels = start.astype(np.int32)
            cv2.watershed(picture, labels)
            return labels

        return run

    yield Case(
        "watershed",
        "seeded watershed",
        scene.image,
        Contender(OURS, "filters.watershed", ours),
        (
            Contender("scikit-image", "segmentation.watershed", skimage),
            Contender("scipy", "ndimage.watershed_ift", scipy, None),
            Contender("OpenCV", "watershed", opencv, None),
        ),
    )


def catalog_cases(scene: Scene) -> Iterator[Case]:
    """Area, flux, error and centroid (and more, each by its own lights) of all objects of a label map."""

    def inputs(pixels: Array) -> tuple[Array, int, Array, Array]:
        labels, count = label(foreground(pixels))
        low, middle = np.percentile(pixels, [15.865525393145708, 50]).astype(np.float32)
        return labels, count, pixels - middle, np.full_like(pixels, middle - low)

    def ours(pixels: Array, threads: int) -> Call:
        labels, count, flux, sigma = inputs(pixels)
        bands = Mosaic.open([written(pixels, scene.folder)]).bands
        flags = np.zeros(labels.shape, np.uint8)
        name = bands[0].name

        def run() -> Any:
            columns = _core.measure(labels, count, flux, flags, flux[np.newaxis], sigma[np.newaxis], threads=threads)
            table = build_catalog(columns, bands, None)
            return tuple(np.asarray(table[key]) for key in ("area", f"flux_{name}", f"flux_err_{name}"))

        return run

    def photutils(pixels: Array, _: int) -> Call:
        labels, _count, flux, sigma = inputs(pixels)
        module = load("photutils", "segmentation")
        columns = ["area", "segment_flux", "segment_flux_err", "x_centroid", "y_centroid", "semimajor_axis"]
        columns += ["semiminor_axis", "orientation", "max_value"]

        def run() -> Any:
            catalog = module.SourceCatalog(flux, module.SegmentationImage(labels), error=sigma)
            measured = [np.asarray(getattr(catalog, name)) for name in columns]
            return tuple(measured[:3])

        return run

    def scipy(pixels: Array, _: int) -> Call:
        labels, count, flux, sigma = inputs(pixels)
        ndimage, index = load("scipy", "ndimage"), np.arange(1, count + 1)

        def run() -> Any:
            area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
            total = ndimage.sum_labels(flux, labels, index)
            error = np.sqrt(ndimage.sum_labels(sigma * sigma, labels, index))
            ndimage.center_of_mass(flux, labels, index)
            ndimage.maximum(flux, labels, index)
            return area, total, error

        return run

    def skimage(pixels: Array, _: int) -> Call:
        labels, _count, flux, sigma = inputs(pixels)
        function, planes = load("scikit-image", "measure").regionprops_table, np.stack([flux, sigma * sigma], axis=-1)
        wanted = ["area", "bbox", "centroid_weighted", "intensity_mean", "intensity_max", "orientation"]
        wanted += ["axis_major_length", "axis_minor_length"]

        def run() -> Any:
            table = function(labels, planes, properties=wanted)
            area = table["area"]
            return area, area * table["intensity_mean-0"], np.sqrt(area * table["intensity_mean-1"])

        return run

    yield Case(
        "catalog",
        "measure objects",
        scene.image,
        Contender(OURS, "measure, build_catalog", ours, threaded=True),
        (
            Contender("scipy", "ndimage.sum_labels, center_of_mass, ...", scipy, ROUNDING),
            Contender("photutils", "SourceCatalog", photutils, ROUNDING),
            Contender("scikit-image", "measure.regionprops_table", skimage, ROUNDING),
        ),
        least=256,
    )
