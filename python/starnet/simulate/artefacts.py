"""What a mosaic has besides sources and noise: sky, gaps, and the marks that cleaning has left."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from starnet.simulate.presets import Preset
from starnet.tiles import Box


class Artefacts:
    """Sky, coverage and damage of every band of a field.

    Parameters
    ----------
    preset : Preset
        The survey.
    seed : int
        Of the field.
    """

    def __init__(self, preset: Preset, seed: int) -> None:
        self.preset = preset
        self.seed = seed

    def sky(self, band: int, box: Box) -> NDArray[np.float32]:
        """Residual sky: a gradient and scattered light, in image units."""
        return np.zeros(box.shape, np.float32)

    def coverage(self, band: int, box: Box) -> NDArray[np.bool_]:
        """Where the band was observed."""
        return np.ones(box.shape, bool)

    def damage(self, band: int, box: Box, image: NDArray[np.float32], weight: NDArray[np.float32]) -> None:
        """Saturate, and lay cosmic-ray residuals, bad columns and trails over `image`; set `weight` to 0 where known."""
