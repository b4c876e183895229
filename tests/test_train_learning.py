"""Training makes networks better: by all the ways in which they can be trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from starnet.networks import checkpoints
from starnet.networks.checkpoints import load
from starnet.train.module import Training
from starnet.train.training import feeds, start, train
from train_samples import Skies, small

VIT = {
    "network": {"name": "vit_test", "instance_head": True, "encoder": {}, "prompt": {}},
    "data": {"size": 64},
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def validated(run: Path) -> list[dict[str, float]]:
    """Figures of each validation, from the CSV file."""
    import csv

    with (run / "figures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {name.removeprefix("validation_"): float(value) for name, value in row.items() if value}
        for row in rows
        if row.get("validation_loss")
    ]


PROMPTS_ALONE = {**VIT, "network": {**VIT["network"], "instance_head": False}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "rate", "least"),
    [
        ({}, 4e-3, {"mean_iou": 0.9, "point_iou": 0.9, "box_iou": 0.9}),
        (VIT, 3e-3, {"mean_iou": 0.9}),
        # A cell of this transformer is as large as an object.
        (PROMPTS_ALONE, 1e-3, {"box_iou": 0.75}),
    ],
    ids=["tiny", "vit_test", "vit_test-prompts"],
)
def test_200_steps_learn_two_images_by_heart(
    changes: dict[str, Any], rate: float, least: dict[str, float], tmp_path: Path
) -> None:
    config = small(
        **{
            **changes,
            "data": {"size": 64, "samples": 2, "validation_samples": 2},
            "prompting": {"objects": 6, "rounds": 2},
            "optimiser": {"rate": rate, "warmup": 10, "final": 0.05},
            "steps": 200,
            "validate_every": 200,
        }
    )
    figures = train(config, tmp_path, sources=(Skies(3), Skies(3))).figures
    for name, value in least.items():
        assert figures[name] > value


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "vit_test"])
@pytest.mark.parametrize(
    "learning",
    [{"encoder": "frozen"}, {"encoder": "lora", "rank": 4}, {"encoder": "full"}],
    ids=["decoder", "lora", "full"],
)
def test_learning_lowers_the_loss_and_finds_more(name: str, learning: dict[str, Any], tmp_path: Path) -> None:
    changes: dict[str, Any] = VIT if name == "vit_test" else {}
    config = small(
        **{
            **changes,
            "learning": learning,
            "prompting": {"objects": 4, "rounds": 2},
            "optimiser": {"rate": 1e-3 if name == "vit_test" else 3e-3, "warmup": 5},
            "steps": 100,
            "validate_every": 20,
        }
    )
    sources = Skies(1), Skies(2)
    train(config, tmp_path, sources=sources)
    first, *_, last = validated(tmp_path)
    assert last["loss"] < first["loss"]
    assert last["pq"] > first["pq"]


@pytest.mark.slow
def test_the_weights_are_those_that_were_judged(tmp_path: Path) -> None:
    config = small(learning={"encoder": "lora", "rank": 2}, steps=9)
    result = train(config, tmp_path, sources=(Skies(1), Skies(2)))
    network = load(result.weights)
    module = Training(network, config, *feeds(config, (Skies(1), Skies(2)))).eval()
    with torch.no_grad():
        for i, batch in enumerate(module.val_dataloader()):
            module.validation_step(batch, i)
    module.on_validation_epoch_end()
    assert module.figures == pytest.approx(result.figures, rel=1e-4)


def test_the_neck_learns_prompts_and_leaves_the_head_as_it_is(tmp_path: Path) -> None:
    checkpoints.save(start(small().network), tmp_path / "first.safetensors", {})
    begun = {"checkpoint": str(tmp_path / "first.safetensors")}
    config = small(network=begun, learning={"encoder": "neck", "head": False}, optimiser={"rate": 1e-2})
    assert (config.judges_head, config.monitor) == (False, "point_iou")
    result = train(config, tmp_path / "run", sources=(Skies(1), Skies(2)))
    learned, before = load(result.weights).eval(), start(config.network).eval()
    pixels = torch.randn((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = learned.encode(pixels), before.encode(pixels)
        assert torch.equal(learned.instance_maps(ours), before.instance_maps(theirs))
    assert not torch.equal(ours["embedding"], theirs["embedding"])
