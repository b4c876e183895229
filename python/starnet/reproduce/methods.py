"""What finds the objects: the network as it is, on a whole mosaic or on tiles, and after training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.evaluate import open_labels
from starnet.mosaic import Mosaic
from starnet.pipeline import segment
from starnet.pipeline.stages import Progress
from starnet.reproduce.parts import Part
from starnet.reproduce.plan import Plan
from starnet.reproduce.start import Start
from starnet.tiles import Box

#: Points of a grid along a side of the window, as in SAM's automatic mask generator.
_POINTS = 32


def find_objects(
    method: str,
    part: Part,
    network: Path,
    recipe: str,
    plan: Plan,
    folder: Path,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> NDArray[np.int64]:
    """Objects in the images of a part, as a label map; a run that is there is taken, or continued.

    Parameters
    ----------
    method : str
        ``direct`` sees the whole mosaic at once, scaled to the network's input; the others see tiles.
    part : Part
        The images.
    network : Path
        File of the network.
    recipe : str
        Its preprocessing.
    plan : Plan
        Size of a tile, prompts, device.
    folder : Path
        Where the run directory goes.
    threads, progress : optional
        As for `segment`.

    Returns
    -------
    ndarray of int64, shape (ny, nx)
        0 is sky.
    """
    direct = method == "direct"
    scene = part.mosaic if direct else part.images
    window = max(Mosaic.open(scene.inputs).shape) if direct else plan.tile
    asking: dict[str, Any] = {"grid_spacing": max(1, round(window / _POINTS))} if plan.prompts == "grid" else {}
    run = segment(
        scene.inputs,
        folder / method / (scene.name if direct else part.name),
        model=str(network),
        mode="direct" if direct else "tiled",
        tile=plan.tile,
        recipe=recipe,
        threads=threads,
        progress=progress,
        prompts=plan.prompts,
        device=plan.device,
        **asking,
    )
    labels = open_labels(run.directory)
    ny, nx = labels.shape
    return labels.read(part.box if direct else Box(0, ny, 0, nx))


def fine_tune(
    start: Start, train: Part, validation: Part, plan: Plan, folder: Path, *, progress: Progress | None = None
) -> Path:
    """Train prompt encoder and mask decoder on the images; a training that was interrupted goes on.

    Returns
    -------
    Path
        File of the trained network.
    """
    raise NotImplementedError


def training_document(start: Start, train: Part, validation: Part, plan: Plan) -> dict[str, Any]:
    """What is written down of the training."""
    raise NotImplementedError
