"""Kept embeddings change nothing but the time; nor do processes that make samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from starnet.networks.network import Network
from starnet.train.config import TrainConfig
from starnet.train.training import train
from train_samples import Skies, small

VIT = {"network": {"name": "vit_test", "instance_head": True, "encoder": {}, "prompt": {}}}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def weights(config: TrainConfig, run: Path) -> dict[str, Any]:
    train(config, run, sources=(Skies(1), Skies(2)))
    return load_file(run / "weights.safetensors")


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    # Not to the last bit: what was kept has another layout in memory, and convolutions add it up in another order.
    return one.keys() == other.keys() and all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


@pytest.mark.parametrize("changes", [{}, VIT], ids=["tiny", "vit_test"])
def test_kept_embeddings_change_nothing(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {**changes, "learning": {"encoder": "frozen"}, "data": {"samples": 4}, "batch": 1}
    plain = weights(small(**more), tmp_path / "plain")
    runs = 0
    encode = Network.encode

    def counted(self: Network, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        nonlocal runs
        runs += len(pixels)
        return encode(self, pixels)

    monkeypatch.setattr(Network, "encode", counted)
    kept = small(**more, embeddings=str(tmp_path / "embeddings"))
    assert same(weights(kept, tmp_path / "first"), plain)
    assert runs == 4 + 4  # samples of training and validation, once each
    files = list((tmp_path / "embeddings").rglob("*.safetensors"))
    assert len(files) == 8
    files[0].write_bytes(files[0].read_bytes()[:100])  # damaged: made again
    assert same(weights(kept, tmp_path / "second"), plain)
    assert runs == 8 + 1


def test_frozen_parts_stay_as_they_are(tmp_path: Path) -> None:
    first = small(learning={"encoder": "frozen", "decoder": False}, steps=1, validate_every=1)
    second = small(learning={"encoder": "frozen", "decoder": False}, steps=6, validate_every=6)
    one, other = weights(first, tmp_path / "1"), weights(second, tmp_path / "2")
    changed = {name.split(".")[0] for name in one if not torch.equal(one[name], other[name])}
    assert changed == {"instance_head"}


@pytest.mark.slow
def test_processes_that_make_samples_change_nothing(tmp_path: Path) -> None:
    assert same(weights(small(), tmp_path / "0"), weights(small(data={"workers": 1}), tmp_path / "1"))


def test_half_precision_on_a_cpu(tmp_path: Path) -> None:
    assert weights(small(precision="bf16", steps=2, validate_every=2), tmp_path)
