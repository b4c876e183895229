"""What networks are made of, what of them learns, LoRA, and export."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from network_samples import network, prompts_of
from starnet.networks import NETWORKS, NetworkConfig, PromptDecoder, TinyEncoder, VitEncoder, lora, parameters
from starnet.networks.adapter import Adapter
from starnet.networks.geometry import grouped
from starnet.networks.network import PARTS, build, prompt_anchors
from starnet.networks.tiny import WindowAttention
from starnet.networks.vit import Vit
from starnet.prompts import Prompts

SMALL = replace(NETWORKS["tiny"], encoder=TinyEncoder((8, 12, 16), (1, 1, 1)))
VIT = replace(NETWORKS["vit_test"], instance_head=True)


@pytest.mark.parametrize("name", NETWORKS)
def test_configurations_survive_json(name: str) -> None:
    config = replace(NETWORKS[name], bands=("F160W", "F606W"))
    assert NetworkConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: TinyEncoder((8,), (1,)), "at least 2"),
        (lambda: TinyEncoder((8, 8), (1, -1)), "not negative"),
        (lambda: TinyEncoder((8, 8), (1, 1), kernel=4), "odd"),
        (lambda: TinyEncoder((8, 8), (1, 1), block="swin"), "fused or inverted"),
        (lambda: TinyEncoder((8, 8), (1, 1), first_stride=3), "2 or 4"),
        (lambda: VitEncoder(64, 2, 3, ()), "multiple of heads"),
        (lambda: VitEncoder(64, 2, 2, (2,)), "within the 2 blocks"),
        (lambda: VitEncoder(64, 2, 2, (), image_size=100), "multiple of patch_size"),
        (lambda: PromptDecoder(width=60), "multiple of 8"),
        (lambda: PromptDecoder(window=100), "multiple of 8"),
        (lambda: replace(SMALL, stretch=(1.0, 1.0)), "lower one first"),
        (lambda: replace(SMALL, bands=("F160W", "F160W")), "must differ"),
        (lambda: replace(SMALL, prompt=PromptDecoder()), r"prompt\.window"),
        (lambda: NetworkConfig.from_dict({"name": "x"}), "encoder"),
        (lambda: NetworkConfig.from_dict({**SMALL.as_dict(), "depth": 3}), "depth"),
        (lambda: NetworkConfig.from_dict({**SMALL.as_dict(), "encoder": {"kind": "swin"}}), "swin"),
    ],
)
def test_wrong_configurations_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


@given(bands=st.integers(1, 40))
def test_bands_are_grouped_evenly(bands: int) -> None:
    means = grouped(bands, pictures=True)
    np.testing.assert_allclose(means.sum(axis=1), 1, rtol=1e-6)
    # Each band counts as much as any other.
    np.testing.assert_allclose(means.sum(axis=0), 3 / bands, rtol=1e-5)
    if bands % 3 == 0:
        assert np.array_equal(means, np.repeat(np.eye(3), bands // 3, axis=1) * np.float32(3 / bands))


@given(bands=st.integers(1, 40))
def test_channels_of_noise_units_are_in_noise_units(bands: int) -> None:
    weights, means = grouped(bands), grouped(bands, pictures=True)
    # Of bands with noise of 1 each, which are not correlated.
    np.testing.assert_allclose(np.square(weights).sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(weights / weights.sum(axis=1, keepdims=True), means, rtol=1e-5, atol=1e-7)
    if bands in (1, 3):
        assert np.array_equal(weights, means)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 9])
def test_a_learned_adapter_starts_as_the_fixed_one(bands: int) -> None:
    pixels = torch.randn((2, bands, 7, 9))
    fixed, learned = Adapter()(pixels), Adapter(bands)(pixels)
    assert fixed.shape == (2, 3, 7, 9)
    assert torch.equal(fixed, learned)
    if bands == 3:
        assert torch.equal(fixed, pixels)
    if bands == 1:
        assert torch.equal(fixed, pixels.expand(2, 3, 7, 9))


@pytest.mark.parametrize("config", [SMALL, VIT])
def test_any_number_of_bands_makes_maps_of_the_window(config: NetworkConfig) -> None:
    with torch.inference_mode():
        for bands in (1, 5):
            net = network(config)
            features = net.encode(torch.randn((2, bands, 50, 70)))
            assert net.instance_maps(features, (50, 70)).shape == (2, 3, 50, 70)


def test_fresh_maps_begin_near_what_is_common() -> None:
    with torch.inference_mode():
        for config in (SMALL, VIT):
            torch.manual_seed(0)
            net = build(config).eval()
            maps = net.instance_maps(net.encode(torch.randn((1, 3, 128, 128)))).sigmoid().mean(dim=(0, 2, 3))
            np.testing.assert_allclose(maps, [0.1, 0.01, 0.1], atol=0.08)


def test_a_network_without_an_instance_head_says_so() -> None:
    net = network("vit_test")
    features = net.encode(torch.zeros((1, 3, 32, 32)))
    assert list(features) == ["embedding"]
    with pytest.raises(ValueError, match="vit_test has no instance head"):
        net.instance_maps(features)


def test_anchors_are_those_of_prompts() -> None:
    rng = np.random.default_rng(0)
    for n in (0, 7):
        labels = rng.integers(-1, 2, (n, 3)).astype(np.int8)
        corner = rng.random((n, 2), np.float32)
        boxes = np.concatenate([corner, corner + 3], axis=1)
        points = rng.random((n, 3, 2), np.float32) * 100
        prompts = Prompts(np.zeros(n, np.int8), np.arange(n), points, labels, boxes)
        ours = prompt_anchors(*map(torch.from_numpy, (points, labels, boxes)))
        assert np.array_equal(ours, prompts.anchors)


def test_attention_stays_within_its_squares() -> None:
    torch.manual_seed(0)
    attention = WindowAttention(16, 4)
    cells = torch.randn((1, 16, 8, 12))
    changed = cells.clone()
    changed[:, :, 4:, :4] += 1
    same = (attention(cells) == attention(changed)).all(dim=1)[0]
    assert same[:4].all()
    assert same[:, 4:].all()
    assert not same[4:, :4].any()


@pytest.mark.parametrize("config", [SMALL, VIT])
def test_merged_lora_is_the_same_network(config: NetworkConfig) -> None:
    net = network(config)
    names = set(net.state_dict())
    pixels = torch.randn((1, 3, 64, 64))
    with torch.no_grad():
        before = net.encode(pixels)["embedding"]
        lora.add(net, rank=4)
        assert lora.has_lora(net)
        assert torch.equal(net.encode(pixels)["embedding"], before)
        adapted = [p for p in net.image_encoder.parameters() if p.requires_grad]
        assert 0 < sum(p.numel() for p in adapted) < 0.5 * sum(p.numel() for p in net.image_encoder.parameters())
        for matrix in adapted:
            matrix.normal_(0, 0.05)
        learned = net.encode(pixels)["embedding"]
        assert (learned - before).abs().max() > 0.01
        lora.merge(net)
        np.testing.assert_allclose(net.encode(pixels)["embedding"], learned, atol=1e-5)
    assert set(net.state_dict()) == names
    assert not lora.has_lora(net)


def test_lora_is_where_it_belongs() -> None:
    vit, tiny = lora.add(build(VIT), rank=2), lora.add(build(SMALL), rank=2)

    def adapted(net: nn.Module) -> set[str]:
        return {name.split(".lora_A")[0] for name, _ in net.named_parameters() if "lora_A" in name}

    block = {"attn.qkv", "attn.proj", "mlp.lin1", "mlp.lin2"}
    assert adapted(vit) == {f"image_encoder.blocks.{i}.{name}" for i in range(2) for name in block}
    kernels = {name: tiny.get_submodule(name).get_base_layer().kernel_size for name in adapted(tiny)}
    assert {kernel for name, kernel in kernels.items() if "widen" not in name} == {(1, 1)}
    # Two for each of the blocks down and up, the way up, and the neck.
    assert len(kernels) == 2 * 3 + 2 * 2 + 2 + 1


def test_checkpointing_changes_neither_values_nor_gradients() -> None:
    net = network(VIT)
    assert isinstance(net.image_encoder, Vit)
    gradients = []
    for checkpointing in (False, True):
        net.image_encoder.checkpointing = checkpointing
        net.zero_grad()
        net.encode(torch.ones((1, 3, 64, 64)))["embedding"].square().sum().backward()
        gradients.append([p.grad.clone() for p in net.image_encoder.parameters() if p.grad is not None])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_frozen_parts_keep_all_their_numbers() -> None:
    net = network(SMALL).train()
    parameters.freeze(net, ["image_encoder", "prompt_encoder"])
    net.eval().train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    optimiser = torch.optim.SGD(parameters.groups(net, 0.1))
    features = net.encode(torch.randn((2, 3, 64, 64)))
    masks, _ = net.decode(features["embedding"][:1], **prompts_of("points", 64))
    (net.instance_maps(features).square().mean() + masks.square().mean()).backward()
    optimiser.step()
    changed = {name.split(".")[0] for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"mask_decoder", "instance_head"}
    parameters.freeze(net, [])
    assert all(p.requires_grad for p in net.parameters())
    assert net.image_encoder.training
    with pytest.raises(ValueError, match="neck"):
        parameters.freeze(net, ["neck"])


@pytest.mark.parametrize("config", [SMALL, VIT])
def test_rates_fall_with_the_depth(config: NetworkConfig) -> None:
    net = build(replace(config, bands=("F160W", "F814W")))
    found = parameters.groups(net, 1e-3, weight_decay=0.1, layer_decay=0.5, factors={"mask_decoder": 0.1})
    of = {id(p): group for group in found for p in group["params"]}
    assert len(of) == len(list(net.parameters()))
    names = dict(net.named_parameters())

    def rate(name: str) -> float:
        return float(of[id(names[name])]["lr"])

    first, deepest = ("patch_embed.proj.weight", "blocks.1.mlp.lin1.weight") if config is VIT else (
        "stem.0.0.weight", "down.1.0.0.weight")  # fmt: skip
    assert rate("image_encoder.neck.0.weight") == 1e-3
    assert rate(f"image_encoder.{deepest}") == 0.5e-3
    assert rate(f"image_encoder.{first}") == 1e-3 * 0.5**3
    assert rate("mask_decoder.iou_token.weight") == pytest.approx(1e-4)
    assert rate("adapter.mix.weight") == 1e-3
    for name, decay in {"neck.0.weight": 0.1, "neck.1.weight": 0.0}.items():
        assert of[id(names[f"image_encoder.{name}"])]["weight_decay"] == decay
    assert of[id(names["mask_decoder.iou_token.weight"])]["weight_decay"] == 0


def test_sizes() -> None:
    with torch.device("meta"):
        sizes = {name: parameters.count(build(config)) for name, config in NETWORKS.items()}
    # As published: encoders of 90, 308 and 637 million, and 4 of prompts and masks.
    assert [round(sum(sizes[name].values()) / 1e6) for name in ("vit_b", "vit_l", "vit_h")] == [94, 312, 641]
    assert sum(sizes["tiny"].values()) < 3e6  # 12 MB: it is to come with the package
    assert sum(sizes["vit_test"].values()) < 0.5e6
    assert set(sizes["tiny"]) == set(PARTS)


class _Part(nn.Module):
    """A part of a network, as export wants it."""

    def __init__(self, net: nn.Module, run: Any) -> None:
        super().__init__()
        self.net, self.run = net, run

    def forward(self, *tensors: Tensor) -> Any:
        return self.run(*tensors)


@pytest.mark.parametrize("config", [SMALL, VIT])
def test_each_part_is_free_of_control_flow_on_data(config: NetworkConfig) -> None:
    net = network(config).requires_grad_(False)
    pixels = torch.randn((1, 3, 128, 128))
    features = net.encode(pixels)
    asked = prompts_of("both", 128)
    parts = {
        "encode": (net.encode, (pixels,)),
        "maps": (lambda e, p: net.instance_maps({"embedding": e, "pixels": p}), tuple(features.values())),
        "points": (net.decode, (features["embedding"], asked["points"], asked["labels"])),
        "boxes": (net.decode, (features["embedding"], asked["points"][:, :0], asked["labels"][:, :0], asked["boxes"])),
    }
    for run, tensors in parts.values():
        part = _Part(net, run).eval()
        exported = torch.export.export(part, tensors).module()
        for ours, theirs in zip(_flat(part(*tensors)), _flat(exported(*tensors)), strict=True):
            np.testing.assert_allclose(theirs.detach(), ours.detach(), atol=1e-5)


def _flat(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else list(result.values() if isinstance(result, dict) else result)
