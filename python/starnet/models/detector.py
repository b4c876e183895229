"""The detection image of engines that do not detect on it: the weights of centroids and shapes, and ``peak_snr``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from starnet.detection import detection_image, detection_noise, gaussian_profile
from starnet.mosaic import Mosaic
from starnet.recipe import Preprocessed, Recipe


@dataclass(frozen=True)
class Detector:
    """A matched filter, in units of the filtered image's own noise.

    Parameters
    ----------
    kernel_fwhm : float
        FWHM of the Gaussian matched filter in pixels.
    noise : float, optional
        Noise of the filtered image in units of a pixel's; measured by `fit` where it is not given.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    kernel_fwhm: float = 2.5
    noise: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.kernel_fwhm <= 100:
            raise ValueError(f"kernel_fwhm={self.kernel_fwhm}: must be positive, and at most 100 pixels")

    @property
    def halo(self) -> int:
        """Half of the matched filter."""
        return len(gaussian_profile(self.kernel_fwhm)) // 2

    def fit(self, mosaic: Mosaic, recipe: Recipe) -> Self:
        """Measures the noise of the detection image."""
        if self.noise is not None:
            return self
        return replace(self, noise=detection_noise(mosaic, recipe, gaussian_profile(self.kernel_fwhm)))

    def image(self, preprocessed: Preprocessed, *, threads: int | None = None) -> NDArray[np.float32]:
        """The detection image of a window; float32, ``(ny, nx)``."""
        if self.noise is None:
            raise ValueError("the noise of the detection image is not known: use the engine that fit() returns")
        image = detection_image(preprocessed, gaussian_profile(self.kernel_fwhm), threads=threads)
        image /= np.float32(self.noise)
        return image
