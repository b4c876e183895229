"""Our own models, run as `starnet segment` runs them."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from starnet import __version__
from starnet.compare.methods import Grid, Labels, Settings
from starnet.compare.scenes import Scene
from starnet.errors import StarnetError
from starnet.models import Backend, Classical, Dense, NetworkOptions, open_backend
from starnet.mosaic import Mosaic
from starnet.outputs.segmentation_map import read_segmentation_map
from starnet.pipeline import segment
from starnet.recipe import Recipe

#: What is tried of `classical`, and of networks with an instance head: as many settings as of every other method.
CLASSICAL_GRID: Grid = {
    "threshold": [3.0, 3.5, 4.0],
    "kernel_fwhm": [1.5, 2.5, 4.0],
    "min_area": [8, 12],
    "deblend_contrast": [0.002, 0.01],
}
HEAD_GRID: Grid = {
    "foreground_threshold": [0.4, 0.5],
    "centre_threshold": [0.3, 0.6, 0.75],
    "valley": [0.65, 0.75, 0.85],
    "min_area": [5, 8],
}


class OurModel:
    """A model of ours on one thread, catalog and pictures included.

    Parameters
    ----------
    model : str
        As after ``--model`` of `starnet segment`: ``classical``, or a network with an instance head.

    Raises
    ------
    StarnetError
        If there is no such model, or nothing of it could be tuned.
    """

    def __init__(self, model: str) -> None:
        self.name = Path(model).name
        self.version = f"starnet {__version__}"
        self.model: str | Backend = model
        self.grid: Grid = CLASSICAL_GRID
        make: Any = Classical
        if model != "classical":
            self.model = open_backend(model, NetworkOptions(device="cpu", threads=1))
            if not self.model.config.instance_head:
                raise StarnetError(f"model {model} has no instance head, without which there is nothing to compare yet")
            self.version += f", weights {self.model.fingerprint[:12]}"
            self.grid, make = HEAD_GRID, Dense
        defaults = {key: one.default for key, one in inspect.signature(make).parameters.items()}
        self.defaults: Settings = {key: defaults[key] for key in self.grid}

    def prepare(self, scene: Scene, scratch: Path) -> Any:
        """Fit the recipe."""
        Recipe.fit(Mosaic.open(scene.inputs), threads=1).save(scratch / "recipe.yaml")
        return scene, scratch

    def label(self, prepared: Any, settings: Settings) -> Labels:
        """One run."""
        scene, scratch = prepared
        result = segment(
            scene.inputs,
            scratch / "run",
            model=self.model,
            mode="direct",
            recipe=scratch / "recipe.yaml",
            threads=1,
            overwrite=True,
            **settings,
        )
        return read_segmentation_map(result.outputs["segmentation"]).labels
