"""The classical engine: matched filter, threshold, and the deblending of `sep`.

It is SExtractor's way (Bertin & Arnouts 1996, A&AS 117, 393) through `sep` (Barbary 2016, JOSS 1, 58), on noise-scaled
pixels, with each component deblended once and on its own pixels: SExtractor's own result depends on where an image is
cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import sep

from starnet.detection import detection_image, detection_noise, gaussian_profile, sep_room
from starnet.models.base import Maps, Splitter
from starnet.mosaic import Mosaic
from starnet.recipe import Preprocessed, Recipe


@dataclass(frozen=True)
class SepDeblender:
    """Multi-threshold deblending of `sep` on the filtered detection image.

    Parameters
    ----------
    threshold : float
        The detection threshold, the lowest of the levels.
    min_area : int
        Smallest number of pixels of a branch.
    levels : int
        Number of levels between the threshold and the peak, spaced exponentially.
    contrast : float
        Smallest share of a component's flux above a level that makes a branch an object of its own.
    """

    threshold: float
    min_area: int
    levels: int
    contrast: float

    def split(
        self, detection: npt.NDArray[np.float32], landscape: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.int32]:
        """See `starnet.models.base.Splitter`."""
        area = int(np.count_nonzero(mask))
        if area < 2 * self.min_area:  # two branches do not fit
            return mask.astype(np.int32)
        with sep_room(area):
            return np.where(mask, self._deblend(detection), 0).astype(np.int32, copy=False)

    def _deblend(self, detection: npt.NDArray[np.float32]) -> npt.NDArray[np.int32] | int:
        levels = self.levels
        while levels > 1:
            try:
                # sep seeds its random numbers anew in each call: the result is a function of these pixels alone.
                _, labels = sep.extract(
                    detection,
                    self.threshold,
                    filter_kernel=None,
                    minarea=self.min_area,
                    deblend_nthresh=levels,
                    deblend_cont=self.contrast,
                    clean=False,
                    segmentation_map=True,
                )
            except Exception as error:  # sep raises bare Exceptions
                if "deblend" not in str(error):
                    raise
                levels //= 2  # more branches than sep can hold: coarser levels
            else:
                found: npt.NDArray[np.int32] = labels
                return found
        return 1


@dataclass(frozen=True)
class Classical:
    """Matched filter, threshold and deblending.

    Parameters
    ----------
    threshold : float
        Detection threshold on the matched-filtered image, in units of that image's own noise: it means the same where
        the pixels' noise is correlated. SExtractor's ``DETECT_THRESH`` is in units of the unfiltered pixels' noise.
    min_area : int
        Smallest number of pixels of an object.
    kernel_fwhm : float
        FWHM of the Gaussian matched filter in pixels.
    deblend_levels : int
        Number of deblending levels.
    deblend_contrast : float
        Smallest contrast of a deblended object.
    noise : float, optional
        Noise of the matched-filtered image in units of a pixel's; measured by `fit` where it is not given.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    threshold: float = 3.0
    min_area: int = 8
    kernel_fwhm: float = 2.5
    deblend_levels: int = 64
    deblend_contrast: float = 0.0005
    noise: float | None = None
    name: ClassVar[str] = "classical"
    recipe: ClassVar[str] = "noise"
    stride: ClassVar[int] = 1
    even: ClassVar[bool] = False
    tile: ClassVar[int] = 682
    at_once: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not self.threshold > 0:
            raise ValueError(f"threshold={self.threshold}: must be positive")
        if self.min_area < 1:
            raise ValueError(f"min_area={self.min_area}: must be at least 1 pixel")
        if not 1 <= self.deblend_levels <= 1024:
            raise ValueError(f"deblend_levels={self.deblend_levels}: must be between 1 (no deblending) and 1024")
        if not 0 <= self.deblend_contrast <= 1:
            raise ValueError(f"deblend_contrast={self.deblend_contrast}: must be between 0 and 1 (no deblending)")
        if not 0 < self.kernel_fwhm <= 100:
            raise ValueError(f"kernel_fwhm={self.kernel_fwhm}: must be positive, and at most 100 pixels")
        if self.noise is not None and not self.noise > 0:
            raise ValueError(f"noise={self.noise}: must be positive")

    @property
    def parameters(self) -> Mapping[str, Any]:
        """All that decides the output."""
        return asdict(self)

    @property
    def profile(self) -> npt.NDArray[np.float32]:
        """Of the matched filter."""
        return gaussian_profile(self.kernel_fwhm)

    @property
    def halo(self) -> int:
        """Half of the matched filter."""
        return len(self.profile) // 2

    @property
    def splitter(self) -> Splitter:
        """The deblending of `sep`."""
        return SepDeblender(self.threshold, self.min_area, self.deblend_levels, self.deblend_contrast)

    def fit(self, mosaic: Mosaic, recipe: Recipe) -> Self:
        """Measures the noise of the detection image."""
        if self.noise is not None:
            return self
        return replace(self, noise=detection_noise(mosaic, recipe, self.profile))

    def fitted(self, parameters: Mapping[str, Any]) -> Self:
        """The noise as it was measured before."""
        return replace(self, noise=parameters["noise"])

    def memory(self, window: tuple[int, int]) -> int:
        """Nothing worth mentioning."""
        return 0

    def maps(self, preprocessed: Preprocessed, *, threads: int | None = None) -> Maps:
        """The detection image and where it exceeds the threshold."""
        if self.noise is None:
            raise ValueError("the noise of the detection image is not known: use the engine that fit() returns")
        detection = detection_image(preprocessed, self.profile, threads=threads)
        detection /= np.float32(self.noise)
        # The comparison that sep makes: greater, in float32.
        foreground = detection > np.float32(self.threshold)
        return Maps(foreground, detection, np.empty((0, *detection.shape), np.float32))
