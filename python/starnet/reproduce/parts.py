"""The images: cut from simulated mosaics, or from one whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starnet.compare.scenes import Scene, area_scene, check_area, open_truth, simulated_scene
from starnet.evaluate import open_labels
from starnet.mosaic import Mosaic
from starnet.reproduce.plan import PARTS, SEEDS, Plan
from starnet.splits import AreaSplit, SimulatedSplit
from starnet.tiles import Box


@dataclass(frozen=True)
class Part:
    """The images of a part, side by side.

    Attributes
    ----------
    name : str
        train, validation or test.
    mosaic : Scene
        All of the mosaic that they lie in.
    box : Box
        Where they lie in it.
    images : Scene
        They alone.
    """

    name: str
    mosaic: Scene
    box: Box
    images: Scene


def make_parts(plan: Plan, folder: Path, *, workers: int = 1) -> list[Part]:
    """The images of all parts, in the order of `PARTS`; what is there already is taken as it is.

    Parameters
    ----------
    plan : Plan
        How many, how large, of which sky.
    folder : Path
        Where the files go.
    workers : int
        Processes that simulate.

    Raises
    ------
    StarnetError
        If the mosaic, its truth or its table cannot be used, or is too small.
    """
    scenes = _given(plan) if plan.inputs else _simulated(plan, folder, workers)
    parts = []
    for name, (scene, box) in scenes.items():
        mosaic = Mosaic.open(scene.inputs)
        images = area_scene(mosaic, open_labels(scene.truth), scene.table, box, folder / name)
        parts.append(Part(name, scene, box, images))
    return parts


def _simulated(plan: Plan, folder: Path, workers: int) -> dict[str, tuple[Scene, Box]]:
    # The report's test takes the place of `tune`: see `SEEDS`.
    seeds = {"tune" if part == "test" else part: (seed,) for part, seed in SEEDS.items()}
    split = SimulatedSplit(plan.preset, plan.simulated_shape, seeds, plan.bands)
    boxes = plan.simulated_boxes
    return {
        part: (simulated_scene(split, SEEDS[part], folder / "mosaics", workers=workers), boxes[part]) for part in PARTS
    }


def _given(plan: Plan) -> dict[str, tuple[Scene, Box]]:
    assert plan.truth is not None
    mosaic = Mosaic.open(plan.inputs)
    truth, beside = open_truth(plan.truth)
    table = beside if plan.table is None else Path(plan.table)
    boxes = plan.boxes(mosaic.shape)
    check_area(AreaSplit(mosaic.shape, {}), mosaic, truth)
    scene = Scene("mosaic", plan.inputs, Path(plan.truth), table, {"inputs": mosaic.fingerprint()})
    return {part: (scene, boxes[part]) for part in PARTS}
