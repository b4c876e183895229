"""Our own models, run as `starnet segment` runs them."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from starnet import __version__
from starnet.compare.methods import Grid, Labels, Settings
from starnet.compare.scenes import Scene
from starnet.errors import StarnetError
from starnet.models import MODELS
from starnet.mosaic import Mosaic
from starnet.outputs.segmentation_map import read_segmentation_map
from starnet.pipeline import segment
from starnet.recipe import Recipe

#: What is tried of the models that have something to be tuned.
GRIDS: dict[str, Grid] = {
    "classical": {
        "threshold": [3.0, 3.5, 4.0],
        "kernel_fwhm": [1.5, 2.5, 4.0],
        "min_area": [8, 12],
        "deblend_contrast": [0.002, 0.01],
    }
}


class OurModel:
    """One of `starnet.models.MODELS`, on one thread, catalog and pictures included."""

    def __init__(self, name: str) -> None:
        if name not in MODELS:
            raise StarnetError(f"model {name!r} is unknown: choose one of {', '.join(MODELS)}")
        self.name = name
        self.version = f"starnet {__version__}"
        self.grid: Grid = GRIDS.get(name, {})
        defaults = {key: one.default for key, one in inspect.signature(MODELS[name]).parameters.items()}
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
            model=self.name,
            mode="direct",
            recipe=scratch / "recipe.yaml",
            threads=1,
            overwrite=True,
            **settings,
        )
        return read_segmentation_map(result.outputs["segmentation"]).labels
