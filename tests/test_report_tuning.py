"""The report's training: few images, few steps, the encoder frozen."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from starnet.networks import NETWORKS
from starnet.networks.checkpoints import load
from starnet.reproduce import tuning
from starnet.reproduce.parts import Part, make_parts
from starnet.reproduce.plan import Plan
from starnet.reproduce.start import prepare_start
from starnet.reproduce.tuning import fine_tune, training_config

SMALL = Plan(
    model="vit_test", checkpoint="random", images=(2, 1, 1), tile=64, epochs=2, bands=("F160W", "F606W"), device="cpu"
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Part]:
    return make_parts(SMALL, tmp_path_factory.mktemp("parts"))


@pytest.mark.parametrize("model", ["vit_test", "tiny"])
def test_the_network_of_the_training_is_that_of_the_start(model: str, parts: list[Part], tmp_path: Path) -> None:
    plan = dataclasses.replace(SMALL, model=model)
    start = prepare_start(plan, tmp_path)
    config = training_config(start, parts[0], parts[1], plan)
    assert dataclasses.replace(config.network.network(), recipe=start.config.recipe) == start.config
    assert (config.steps, config.validate_every, config.data.size) == (4, 2, 64)
    assert (config.learning.encoder, config.learning.decoder, config.learning.head) == ("frozen", True, False)


@pytest.mark.parametrize(
    ("prompts", "decoder", "head"), [("grid", True, False), ("head", False, True), ("centres", True, True)]
)
def test_what_learns_is_what_the_prompts_ask(
    prompts: str, decoder: bool, head: bool, parts: list[Part], tmp_path: Path
) -> None:
    plan = dataclasses.replace(SMALL, model="tiny", prompts=prompts)
    learning = training_config(prepare_start(plan, tmp_path), parts[0], parts[1], plan).learning
    assert (learning.decoder, learning.head) == (decoder, head)


def test_the_decoder_learns_and_the_encoder_stays(
    parts: list[Part], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = prepare_start(SMALL, tmp_path)
    steps: list[tuple[str, int, int]] = []
    options = {"threads": 1, "progress": lambda *step: steps.append(step)}
    trained = fine_tune(start, parts[0], parts[1], SMALL, tmp_path / "training", **options)  # type: ignore[arg-type]
    assert steps[-1] == ("training", 4, 4)
    before, after = load(start.path), load(trained)
    assert after.config.stretch == before.config.stretch
    changed = {
        name.split(".")[0]
        for (name, old), new in zip(before.state_dict().items(), after.state_dict().values(), strict=True)
        if not torch.equal(old, new)
    }
    assert "mask_decoder" in changed
    assert changed <= {"mask_decoder", "prompt_encoder"}
    monkeypatch.setattr(tuning, "training_config", None)  # nothing is trained again
    assert fine_tune(start, parts[0], parts[1], SMALL, tmp_path / "training") == trained
    assert NETWORKS["vit_test"].stretch != start.config.stretch
