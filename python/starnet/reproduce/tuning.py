"""The training, on few images: of the mask decoder, or of what else the prompts ask."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from starnet.compare.scenes import Scene
from starnet.pipeline.stages import Progress
from starnet.reproduce.parts import Part
from starnet.reproduce.plan import Plan
from starnet.reproduce.start import Start

if TYPE_CHECKING:
    from starnet.train.config import TrainConfig


def fine_tune(
    start: Start,
    train: Part,
    validation: Part,
    plan: Plan,
    folder: Path,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train a network on the images, its encoder frozen; a training that was interrupted goes on.

    Parameters
    ----------
    start : Start
        The network before.
    train, validation : Part
        Images to learn from, and to choose the best epoch by.
    plan : Plan
        Epochs, device, seed.
    folder : Path
        Where the training goes.
    threads, progress : optional
        As for `segment`.

    Returns
    -------
    Path
        File of the trained network.
    """
    from starnet.train.training import WEIGHTS
    from starnet.train.training import train as run

    if (done := folder / WEIGHTS).exists():
        return done

    def report(step: int, steps: int, figures: dict[str, float]) -> None:
        if progress is not None:
            progress("training", step, steps)

    config = training_config(start, train, validation, plan)
    result = run(config, folder, resume=folder.exists(), device=plan.device, threads=threads, report=report)
    assert result.weights is not None  # it was told of no earlier end
    return result.weights


def training_config(start: Start, train: Part, validation: Part, plan: Plan) -> TrainConfig:
    """The training, written down.

    An image is a step, as large as the tiles of the segmentation; the weights are validated after each epoch.
    """
    from starnet.train.config import DataChoice, Learning, NetworkChoice, Optimiser, TrainConfig

    images, judged, _ = plan.images
    network = start.config.as_dict()
    for name in ("encoder", "prompt"):
        network[name] = {key: value for key, value in network[name].items() if key != "kind"}
    return TrainConfig(
        data=DataChoice(
            train=(_source(train.images, start.config.recipe),),
            validation=(_source(validation.images, start.config.recipe),),
            size=plan.tile,
            validation_samples=judged,
        ),
        network=NetworkChoice(
            name=start.config.name,
            checkpoint=str(start.path),
            instance_head=start.config.instance_head,
            bands=start.config.bands,
            encoder=network["encoder"],
            prompt=network["prompt"],
            stretch=start.config.stretch,
        ),
        learning=Learning(encoder="frozen", adapter=False, **plan.learning),
        augmentation={"preset": "report"},
        optimiser=Optimiser(rate=1e-4, warmup=0),
        steps=plan.epochs * images,
        batch=1,
        average=0.0,  # of so few steps the mean would be the beginning
        validate_every=images,
        seed=plan.seed,
    )


def _source(scene: Scene, recipe: str) -> dict[str, Any]:
    table = {} if scene.table is None else {"table": str(scene.table)}
    return {"kind": "images", "images": list(scene.inputs), "labels": str(scene.truth), "recipe": recipe, **table}
