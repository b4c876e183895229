"""What finds the objects: a network, on a whole mosaic or on tiles."""

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
    asking: dict[str, Any] = {
        "grid_spacing": max(1, round(window / _POINTS)) if plan.prompts == "grid" else None,
        "pred_iou_threshold": plan.pred_iou_threshold,
        "stability_threshold": plan.stability_threshold,
    }
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
        **{name: value for name, value in asking.items() if value is not None},
    )
    labels = open_labels(run.directory)
    ny, nx = labels.shape
    return labels.read(part.box if direct else Box(0, ny, 0, nx))
