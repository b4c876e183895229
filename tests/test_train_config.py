"""Configurations: every shipped one trains, and what is wrong in one is said in one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from starnet.errors import StarnetError
from starnet.train.config import TrainConfig
from starnet.train.documents import as_mapping, from_mapping
from starnet.train.training import start, train
from train_samples import SMALL, Skies, small

FOLDER = Path(__file__).parent.parent / "configs" / "train"
SHIPPED = sorted(FOLDER.glob("*.yaml"))
# What makes a shipped training one of seconds.
TOY = {
    "tiny": {**SMALL["network"], "checkpoint": None},
    "vit_b": {"name": "vit_test", "checkpoint": None},
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_what_is_shipped() -> None:
    assert {path.stem for path in SHIPPED} == {
        "tiny",
        "tiny-first",
        "tiny-bands",
        "tiny-hot-pixels",
        "tiny-mean",
        "tiny-prompts",
        "tiny-quick",
        "vit_b-decoder",
        "vit_b-full",
        "vit_b-lora",
    }


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_ones_load_and_train(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    full = TrainConfig.load(path)
    content = as_mapping(full)
    content["network"] |= TOY[full.network.name]
    content["data"] |= {"size": 64, "validation_samples": 2, "workers": 0}
    content["data"]["samples"] = full.data.samples and 2
    content |= {"steps": 1, "validate_every": 1, "batch": 2}
    config = from_mapping(TrainConfig, content, str(path))
    result = train(config, tmp_path / "run", sources=(Skies(1), Skies(2)))
    assert result.steps == 1
    assert result.weights is not None
    made = {one.name for one in (tmp_path / "run").iterdir()}
    assert {"config.yaml", "figures.csv", "last.ckpt", "model_card.md", "samples.png", "tensorboard"} <= made
    assert TrainConfig.load(tmp_path / "run" / "config.yaml") == config
    assert (tmp_path / "embeddings").exists() == (full.embeddings is not None)


def test_round_trip(tmp_path: Path) -> None:
    config = small(learning={"encoder": "lora"}, losses={"focal": 10}, network={"stretch": [-2, 7]})
    config.save(tmp_path / "config.yaml")
    assert TrainConfig.load(tmp_path / "config.yaml") == config
    changed = TrainConfig.load(tmp_path / "config.yaml", ["optimiser.rate=1e-5", "data.samples=3", "seed=7"])
    assert (changed.optimiser.rate, changed.data.samples, changed.seed) == (1e-5, 3, 7)
    assert config.difference(changed) == "data.samples"
    of_two = small(network={"checkpoint": {"one.safetensors": 3, "tiny": 1}})
    of_two.save(tmp_path / "config.yaml")
    assert TrainConfig.load(tmp_path / "config.yaml") == of_two
    assert TrainConfig.load(tmp_path / "config.yaml", ["network.checkpoint=tiny"]).network.checkpoint == "tiny"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stepz": 3}, "there is no key stepz; choose from data, network"),
        ({"optimiser": {"rates": 1}}, r"there is no key optimiser\.rates; choose from rate"),
        ({"steps": "many"}, "steps='many' must be a whole number"),
        ({"steps": True}, "steps=True must be a whole number"),
        ({"optimiser": {"betas": [0.9]}}, r"optimiser\.betas=\[0\.9\] must be 2 values"),
        ({"optimiser": 3}, r"optimiser\. must hold keys, not 3"),
        ({"steps": 0}, "steps=0: must be more than 0"),
        ({"network": {"name": "huge"}}, r"network\.name='huge' is unknown; choose tiny"),
        ({"network": {"checkpoint": 3}}, r"network\.checkpoint=3 must be a word"),
        ({"network": {"checkpoint": {}}}, r"network\.checkpoint=\{\} must give each file a share above 0"),
        ({"network": {"checkpoint": {"a.pth": 0}}}, r"network\.checkpoint=.* must give each file a share above 0"),
        ({"network": {"encoder": {"depth": 3}}}, r"network\.encoder\.depth is unknown; choose from widths"),
        ({"learning": {"encoder": "half"}}, r"learning\.encoder='half' is unknown; choose full, lora, neck, frozen"),
        ({"embeddings": "kept"}, "embeddings: only those of a frozen encoder"),
        ({"embeddings": "kept", "learning": {"encoder": "frozen"}}, r"embeddings: .* set data\.samples"),
        ({"data": {"train": []}}, r"data\.train is empty"),
        ({"data": {"train": [{"kind": "dreams"}]}}, "a source of the kind 'dreams' is unknown"),
        ({"augmentation": {"wobble": True}}, r"augmentation\.wobble is unknown"),
        ({"best_by": "pq", "network": {"instance_head": False}}, "the network has no instance head"),
        ({"prompting": {"objects": 0}, "network": {"instance_head": False}}, "nothing to learn"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    content = {key: dict(value) if isinstance(value, dict) else value for key, value in SMALL.items()}
    for key, value in changes.items():
        content[key] = {**content.get(key, {}), **value} if isinstance(value, dict) else value
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(StarnetError, match=message) as caught:
        TrainConfig.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (None, [], "cannot be read"),
        ("a: [", [], "is not YAML"),
        ("- 1", [], "holds no keys"),
        ("steps: 3", [], "has no data: add it"),
        ("steps: 3", ["steps"], "--set steps is no setting"),
        ("steps: 3", ["steps.more=1"], "steps is a value, not a section"),
    ],
)
def test_files_that_are_none(text: str | None, settings: list[str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(StarnetError, match=message):
        TrainConfig.load(path, settings)


def test_a_training_that_begins_with_the_mean_of_two(tmp_path: Path) -> None:
    files: dict[str, float] = {}
    for seed in (1, 2):
        result = train(small(seed=seed, steps=1), tmp_path / str(seed), sources=(Skies(1), Skies(2)))
        assert result.weights is not None
        files[str(result.weights)] = seed
    choice = small(network={"checkpoint": files})
    name = "instance_head.out.weight"
    one, other, begun = (start(each.network).state_dict() for each in (*map(_from, files), choice))
    assert not torch.equal(one[name], other[name])
    torch.testing.assert_close(begun[name], one[name] / 3 + other[name] * 2 / 3)
    train(choice, tmp_path / "run", sources=(Skies(1), Skies(2)))
    card = (tmp_path / "run" / "model_card.md").read_text()
    assert "it began with the mean of " in card
    assert all(f"{file} ({share})" in card for file, share in files.items())


def _from(file: str) -> TrainConfig:
    return small(network={"checkpoint": file})


def test_errors_of_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = Skies(1), Skies(2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(StarnetError, match="1 GPU asked for, but torch sees no GPU: use --device cpu"):
        train(small(), tmp_path / "a", sources=sources, device="cuda")
    with pytest.raises(StarnetError, match="devices=2, but there is no GPU"):
        train(small(devices=2), tmp_path / "a", sources=sources)
    with pytest.raises(StarnetError, match="precision=fp16 needs a GPU"):
        train(small(precision="fp16"), tmp_path / "a", sources=sources)
    with pytest.raises(StarnetError, match=r"needs about 0\.\d GiB of memory, and there are 0\.0: lower"):
        train(small(), tmp_path / "b", sources=sources, memory=10_000_000)
    with pytest.raises(StarnetError, match=r"the band F444W of network\.bands is not among those of the samples"):
        train(small(network={"bands": ["F160W", "F444W"]}), tmp_path / "c", sources=sources)
    with pytest.raises(StarnetError, match=r"gone\.safetensors could not be read"):
        train(small(network={"checkpoint": "gone.safetensors"}), tmp_path / "d", sources=sources)
    missing = small(data={"train": [{"kind": "images", "images": ["gone.fits"], "labels": "gone.fits"}]})
    with pytest.raises(StarnetError, match=r"gone\.fits"):
        train(missing, tmp_path / "e")
    # What could not begin has left nothing that a second try would stumble over.
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_says_it_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("steps: 3\nstepz: 4\n")
    command = [sys.executable, "-m", "starnet", "train", str(path), "-o", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"starnet: error: {path}: there is no key stepz; choose from data, ")
    assert done.stderr.count("\n") == 1
