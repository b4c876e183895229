"""What a segmentation program is to a comparison; `sep` and photutils."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import sep
from numpy.typing import NDArray

from starnet.compare.images import detection_image
from starnet.compare.scenes import Scene
from starnet.detection import gaussian_profile, sep_room
from starnet.errors import StarnetError
from starnet.mosaic import Mosaic

Labels = NDArray[np.int32]
Settings = dict[str, Any]
Grid = Mapping[str, list[Any]]

# SExtractor's own: the mesh of the background, and its median filter.
MESH, MESH_FILTER = 64, 3


class Method(Protocol):
    """A way from images to a label map.

    Attributes
    ----------
    name : str
        As after ``--method``.
    version : str
        Of the program.
    grid : mapping
        Values to try, by setting; all combinations are tried.
    defaults : dict
        Settings as its authors ship it.
    """

    name: str
    grid: Grid
    defaults: Settings

    @property
    def version(self) -> str: ...  # noqa: D102  (Attributes, above)

    def prepare(self, scene: Scene, scratch: Path) -> Any:
        """What does not depend on the settings: read, subtract the sky, combine the bands.

        Parameters
        ----------
        scene : Scene
            The field.
        scratch : Path
            A directory for files.
        """
        ...

    def label(self, prepared: Any, settings: Settings) -> Labels:
        """The label map, ``(ny, nx)``."""
        ...


def combinations(grid: Grid) -> list[Settings]:
    """All settings of a grid, in its order."""
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def gaussian_kernel(fwhm: float) -> NDArray[np.float32]:
    """A round Gaussian of unit sum, for the convolution before detection."""
    profile = gaussian_profile(fwhm)
    kernel: NDArray[np.float32] = np.outer(profile, profile) / profile.sum() ** 2
    return kernel


# Grids are of equal size, 36 settings, so that no method is tuned harder than another.
SEP_GRID: Grid = {
    "threshold": [1.0, 1.25, 1.5],
    "kernel_fwhm": [1.5, 2.5, 4.0],
    "min_area": [5, 8],
    "deblend_levels": [64],
    "deblend_contrast": [0.002, 0.01],
}
#: SExtractor's, with a Gaussian like its default filter of 3 x 3 pixels.
SEP_DEFAULTS: Settings = {
    "threshold": 1.5,
    "kernel_fwhm": 2.0,
    "min_area": 5,
    "deblend_levels": 32,
    "deblend_contrast": 0.005,
}


class Sep:
    """SExtractor's detection and deblending as `sep` does them (Barbary 2016, JOSS 1, 58).

    The threshold is in units of the noise of a pixel of the detection image, on that image convolved.
    """

    name = "sep"

    def __init__(self) -> None:
        self.grid: Grid = SEP_GRID
        self.defaults: Settings = SEP_DEFAULTS

    @property
    def version(self) -> str:
        """Of the package."""
        return f"sep {sep.__version__}"

    def prepare(self, scene: Scene, scratch: Path) -> Any:
        """The detection image."""
        return detection_image(Mosaic.open(scene.inputs), sep_background)

    def label(self, prepared: Any, settings: Settings) -> Labels:
        """One `sep.extract`."""
        with _ample_buffers(prepared.mean.size, settings):
            _, labels = sep.extract(
                prepared.snr,
                settings["threshold"],
                mask=prepared.empty,
                filter_kernel=gaussian_kernel(settings["kernel_fwhm"]),
                filter_type="conv",
                minarea=settings["min_area"],
                deblend_nthresh=settings["deblend_levels"],
                deblend_cont=settings["deblend_contrast"],
                segmentation_map=True,
            )
        found: Labels = labels
        return found


@contextmanager
def _ample_buffers(pixels: int, settings: Settings) -> Iterator[None]:
    """A low threshold on a large image must not be `sep`'s error: it may have a pixel stack of the whole image."""
    with sep_room(pixels, branches=16384):
        try:
            yield
        except Exception as error:  # sep raises bare Exceptions
            raise StarnetError(
                f"sep fails with {settings} ({error}): give it a higher threshold, with --grids"
            ) from error


def sep_background(data: NDArray[np.float32], empty: NDArray[np.bool_]) -> tuple[Any, Any]:
    """SExtractor's mesh."""
    sky = sep.Background(data, mask=empty, bw=MESH, bh=MESH, fw=MESH_FILTER, fh=MESH_FILTER)
    return sky.back(), sky.rms()


PHOTUTILS_GRID: Grid = {
    "threshold": [1.0, 1.25, 1.5],
    "kernel_fwhm": [2.0, 3.0, 4.0],
    "min_area": [5, 10],
    "deblend_contrast": [0.001, 0.01],
}
#: Of its user guide; contrast and levels are the function's.
PHOTUTILS_DEFAULTS: Settings = {"threshold": 1.5, "kernel_fwhm": 3.0, "min_area": 10, "deblend_contrast": 0.001}


class Photutils:
    """Image segmentation of photutils: threshold on the convolved image, multi-threshold and watershed deblending.

    The threshold is in units of the noise of a pixel of the detection image, as in its user guide.
    """

    name = "photutils"

    def __init__(self) -> None:
        self.grid: Grid = PHOTUTILS_GRID
        self.defaults: Settings = PHOTUTILS_DEFAULTS

    @property
    def version(self) -> str:
        """Of the package."""
        return f"photutils {version('photutils')}"

    def prepare(self, scene: Scene, scratch: Path) -> Any:
        """The detection image."""
        return detection_image(Mosaic.open(scene.inputs), photutils_background)

    def label(self, prepared: Any, settings: Settings) -> Labels:
        """Detection and deblending."""
        import warnings

        from astropy.convolution import convolve
        from photutils.segmentation import deblend_sources, detect_sources
        from photutils.utils.exceptions import NoDetectionsWarning

        smooth = convolve(prepared.snr, gaussian_kernel(settings["kernel_fwhm"]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoDetectionsWarning)
            found = detect_sources(smooth, settings["threshold"], settings["min_area"], mask=prepared.empty)
        if found is None:
            return np.zeros(smooth.shape, np.int32)
        found = deblend_sources(
            smooth, found, settings["min_area"], contrast=settings["deblend_contrast"], progress_bar=False
        )
        labels: Labels = found.data.astype(np.int32)
        return labels


def photutils_background(data: NDArray[np.float32], empty: NDArray[np.bool_]) -> tuple[Any, Any]:
    """SExtractor's estimator on a mesh, as photutils does it."""
    from photutils.background import Background2D, SExtractorBackground

    # A mesh counts where a tenth of it has data.
    sky = Background2D(
        data,
        MESH,
        coverage_mask=empty,
        exclude_percentile=90,
        filter_size=MESH_FILTER,
        bkg_estimator=SExtractorBackground(),
    )
    return sky.background.astype(np.float32), sky.background_rms.astype(np.float32)
