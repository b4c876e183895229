"""Programs that a user may have installed: SExtractor, and NoiseChisel with Segment of the GNU Astronomy Utilities."""

from __future__ import annotations

import shutil
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from starnet.compare.images import DetectionImage, detection_image
from starnet.compare.methods import (
    MESH,
    MESH_FILTER,
    SEP_DEFAULTS,
    SEP_GRID,
    Grid,
    Labels,
    Settings,
    gaussian_kernel,
    sep_background,
)
from starnet.compare.scenes import Scene
from starnet.errors import StarnetError
from starnet.evaluate.labels import open_labels
from starnet.mosaic import Mosaic
from starnet.tiles import Box

_NAMES = ("source-extractor", "sex", "sextractor")


class _Program:
    """Runs in a directory with the detection image, and reads the map that it leaves there."""

    executable: str

    @cached_property
    def version(self) -> str:
        """What ``--version`` prints first."""
        return run([self.executable, "--version"], Path.cwd()).strip().split("\n")[0]

    def prepare(self, scene: Scene, scratch: Path) -> Path:
        """The files of the detection image."""
        write_images(detection_image(Mosaic.open(scene.inputs), sep_background), scratch)
        return scratch


def write_images(image: DetectionImage, directory: Path) -> None:
    """The mean with its weight map, and the same in units of noise with NaN where there are no data."""
    fits.writeto(directory / "detection.fits", image.mean, overwrite=True)
    fits.writeto(directory / "weight.fits", image.weight, overwrite=True)
    blank = np.where(image.empty, np.float32(np.nan), image.snr)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(blank)]).writeto(directory / "snr.fits", overwrite=True)


class SourceExtractor(_Program):
    """SExtractor itself (Bertin & Arnouts 1996, A&AS 117, 393), on the weighted mean with its weight map."""

    name = "source-extractor"

    def __init__(self, executable: str) -> None:
        self.executable = executable
        self.grid: Grid = SEP_GRID
        self.defaults: Settings = SEP_DEFAULTS

    def label(self, prepared: Path, settings: Settings) -> Labels:
        """One run; its check image."""
        kernel = gaussian_kernel(settings["kernel_fwhm"])
        rows = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in kernel)
        (prepared / "gauss.conv").write_text(f"CONV NORM\n{rows}\n", encoding="ascii")
        (prepared / "starnet.param").write_text("NUMBER\n", encoding="ascii")
        configuration = {
            "CATALOG_NAME": "objects.cat",
            "CATALOG_TYPE": "ASCII_HEAD",
            "PARAMETERS_NAME": "starnet.param",
            "DETECT_TYPE": "CCD",
            "DETECT_MINAREA": settings["min_area"],
            "DETECT_THRESH": settings["threshold"],
            "ANALYSIS_THRESH": settings["threshold"],
            "THRESH_TYPE": "RELATIVE",
            "FILTER": "Y",
            "FILTER_NAME": "gauss.conv",
            "DEBLEND_NTHRESH": settings["deblend_levels"],
            "DEBLEND_MINCONT": settings["deblend_contrast"],
            "CLEAN": "Y",
            "CLEAN_PARAM": 1.0,
            "WEIGHT_TYPE": "MAP_WEIGHT",
            "WEIGHT_IMAGE": "weight.fits",
            "BACK_TYPE": "AUTO",
            "BACK_SIZE": MESH,
            "BACK_FILTERSIZE": MESH_FILTER,
            "CHECKIMAGE_TYPE": "SEGMENTATION",
            "CHECKIMAGE_NAME": "segmentation.fits",
            "MEMORY_PIXSTACK": 3_000_000,
            "VERBOSE_TYPE": "QUIET",
        }
        lines = "".join(f"{key} {value}\n" for key, value in configuration.items())
        (prepared / "starnet.sex").write_text(lines, encoding="ascii")
        run([self.executable, "detection.fits", "-c", "starnet.sex"], prepared)
        return read_labels(prepared / "segmentation.fits")


NOISECHISEL_GRID: Grid = {
    "qthresh": [0.3, 0.5],
    "snquant": [0.95, 0.99],
    "objbordersn": [1.0, 2.0],
    "map": ["OBJECTS", "CLUMPS"],
}
NOISECHISEL_DEFAULTS: Settings = {"qthresh": 0.3, "snquant": 0.99, "objbordersn": 1.0, "map": "OBJECTS"}


class NoiseChisel(_Program):
    """NoiseChisel and Segment (Akhlaghi & Ichikawa 2015, ApJS 220, 1), on the image in units of noise.

    ``map`` is the extension of Segment's output: whole objects, or the clumps in them.
    """

    name = "noisechisel"

    def __init__(self, executable: str, segment: str) -> None:
        self.executable, self._segment = executable, segment
        self.grid: Grid = NOISECHISEL_GRID
        self.defaults: Settings = NOISECHISEL_DEFAULTS

    def label(self, prepared: Path, settings: Settings) -> Labels:
        """One run of both."""
        detect = {"hdu": 1, "qthresh": settings["qthresh"], "snquant": settings["snquant"], "output": "detected.fits"}
        segment = {"objbordersn": settings["objbordersn"], "output": "segmented.fits"}
        for name, source, options in (
            (self.executable, "snr.fits", detect),
            (self._segment, "detected.fits", segment),
        ):
            words = [f"--{key}={value}" for key, value in options.items()]
            run([name, source, *words, "--numthreads=1", "--quiet"], prepared)
        return read_labels(f"{prepared / 'segmented.fits'}[{settings['map']}]")


def run(command: list[str], directory: Path) -> str:
    """Run a program.

    Raises
    ------
    StarnetError
        If it fails; with its last words.
    """
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().split("\n")[-1]
        raise StarnetError(f"`{' '.join(command)}` failed ({words}): mend it, or leave the program out with --method")
    return done.stdout


def read_labels(source: str | Path) -> Labels:
    """A label map that a program wrote; a reader of any format."""
    labels = open_labels(source)
    return labels.read(Box(0, labels.shape[0], 0, labels.shape[1])).astype(np.int32)


def installed() -> list[Any]:
    """Those of the programs that are on the path."""
    found: list[Any] = []
    for name in _NAMES:
        if path := shutil.which(name):
            found.append(SourceExtractor(path))
            break
    detect, segment = shutil.which("astnoisechisel"), shutil.which("astsegment")
    if detect and segment:
        found.append(NoiseChisel(detect, segment))
    return found
