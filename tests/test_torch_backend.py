"""torch runs a network: arrays in, arrays out, and what is not there is said in a sentence."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from network_samples import network
from starnet.errors import StarnetError
from starnet.models.backend import Backend
from starnet.models.torch_backend import TorchBackend, choose_device
from starnet.networks import NETWORKS, TinyEncoder, checkpoints
from starnet.prompts import Prompts

TINY = replace(NETWORKS["tiny"], encoder=TinyEncoder((8, 12, 16), (1, 1, 1)))
IMAGE = np.random.default_rng(0).standard_normal((3, 150, 170)).astype(np.float32)


def some_prompts() -> Prompts:
    """Of one point, two points, a box, a point in a box; and room in between."""
    mixed = Prompts.concatenate(
        [
            Prompts.of_points("peaks", np.array([[20.0, 30.0], [100.5, 99.0]])),
            Prompts.of_boxes("boxes", np.array([[10.0, 20.0, 40.0, 70.0]])),
            Prompts(
                np.array([5], np.int8),
                np.array([9]),
                np.array([[[60, 60], [0, 0], [70, 60]]], np.float32),
                np.array([[1, -1, 0]], np.int8),
                np.full((1, 4), np.nan, np.float32),
            ),
            Prompts.of_points("peaks", np.array([[70.0, 40.0]])).with_boxes(np.array([[60, 30, 85, 55]], np.float32)),
        ]
    )
    return mixed.select(np.array([3, 0, 2, 4, 1]))


@pytest.mark.parametrize("config", [TINY, replace(NETWORKS["vit_test"], instance_head=True)])
def test_arrays_in_arrays_out(tmp_path: Path, config: object) -> None:
    net = network(config)  # type: ignore[arg-type]
    checkpoints.save(net, tmp_path / "ours.safetensors")
    backend: Backend = TorchBackend.load(tmp_path / "ours.safetensors", device="cpu", threads=1)
    assert backend.config == net.config
    assert backend.device == "cpu"
    assert backend.fingerprint == checkpoints.fingerprint(net)
    before = torch.get_num_threads()
    features = backend.encode(IMAGE)
    maps = backend.maps(features)
    assert maps.shape == IMAGE.shape
    assert maps.dtype == np.float32
    with torch.inference_mode():
        direct = net.encode(torch.from_numpy(IMAGE)[None])
        np.testing.assert_allclose(maps, net.instance_maps(direct, (150, 170)).sigmoid()[0], atol=1e-6)
    prompts = some_prompts()
    decoded = backend.decode(features, prompts, multimask=True)
    side = backend.prompt_window
    assert decoded.logits.shape == (5, 3, *((side, side) if side else (150, 170)))
    assert decoded.logits.dtype == decoded.predicted_iou.dtype == np.float32
    assert torch.get_num_threads() == before
    for one in range(5):
        alone = backend.decode(features, prompts.select(np.array([one])), multimask=True)
        np.testing.assert_allclose(decoded.logits[one], alone.logits[0], atol=1e-5)
        np.testing.assert_allclose(decoded.predicted_iou[one], alone.predicted_iou[0], atol=1e-5)
        assert np.array_equal(decoded.origins[one], alone.origins[0])
    none = backend.decode(features, Prompts.none(), multimask=False)
    assert none.logits.shape == (0, 1, *decoded.logits.shape[2:])
    # Another process makes it anew from its file.
    again = pickle.loads(pickle.dumps(backend))
    assert again.fingerprint == backend.fingerprint
    assert np.array_equal(again.maps(again.encode(IMAGE)), maps)
    assert len(pickle.dumps(backend)) < 1000


@pytest.mark.parametrize(
    ("device", "gpus", "said"),
    [
        ("gpu", 0, "device 'gpu' is unknown: choose auto, cpu, cuda or cuda:N"),
        ("cpu:1", 0, "device 'cpu:1' is unknown"),
        ("cuda:x", 0, "device 'cuda:x' is unknown"),
        ("cuda", 0, "device cuda: torch finds no GPU here: choose --device cpu"),
        ("cuda:1", 0, "device cuda:1: torch finds no GPU here"),
        ("cuda:2", 2, "device cuda:2: there are only cuda:0 to cuda:1: choose one of these"),
    ],
)
def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch, device: str, gpus: int, said: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(StarnetError, match=said):
        TorchBackend.load("missing.safetensors", device=device)


def test_auto_says_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == (torch.device("cpu"), "cpu (torch finds no GPU)")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"Name {index}")
    assert choose_device("auto") == (torch.device("cuda", 0), "cuda:0 (Name 0)")
    assert choose_device("cuda:1") == (torch.device("cuda", 1), "cuda:1 (Name 1)")


def test_bands_must_be_those_of_the_network() -> None:
    backend = TorchBackend(network(replace(TINY, bands=("F160W", "F814W"))), device="cpu")
    with pytest.raises(StarnetError, match=r"tiny takes the bands F160W, F814W, and the mosaic has 3: give"):
        backend.encode(IMAGE)


@pytest.mark.parametrize(
    "error", [torch.cuda.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_too_little_memory(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    backend = TorchBackend(network(TINY), device="cpu")

    def fail(pixels: object) -> None:
        raise error

    monkeypatch.setattr(backend.network, "encode", fail)
    with pytest.raises(StarnetError, match="cpu has too little memory for a window of 170 x 150 pixels: use smaller"):
        backend.encode(IMAGE)
