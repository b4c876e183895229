"""tiny: the same pixel gets the same value in every window that is wide enough."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from network_samples import network, prompts_of
from starnet.networks import NETWORKS, NetworkConfig, TinyEncoder
from starnet.networks.network import build
from starnet.networks.receptive import reach

SMALL = TinyEncoder((8, 12, 16), (1, 1, 1))


def config(encoder: TinyEncoder) -> NetworkConfig:
    return replace(NETWORKS["tiny"], encoder=encoder)


def influence(encoder: TinyEncoder) -> int:
    """Largest distance between an output pixel and an input pixel that its gradient names, over all phases."""
    # All weights positive and all activations too, so that nothing cancels and no unit sleeps; and even, so that the
    # farthest pixels still count for something in float32.
    net = build(config(encoder)).eval()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.fill_(1 / (module.weight.shape[1] * module.kernel_size[0]))
    stride, extent = encoder.stride, reach(encoder) + 2 * encoder.stride
    first = -(-extent // stride) * stride
    side = 2 * first + stride
    pixels = torch.rand((stride, 3, stride, side), requires_grad=True)
    maps = net.instance_maps(net.encode(pixels))
    columns = first + torch.arange(stride)
    maps[torch.arange(stride), :, :, columns].sum().backward()
    assert pixels.grad is not None
    seen = (pixels.grad != 0).any(dim=2).any(dim=1)
    distance = (torch.arange(side)[None] - columns[:, None]).abs()
    return int(distance[seen].max())


@pytest.mark.parametrize(
    "encoder",
    [
        SMALL,
        TinyEncoder((8, 12), (0, 2), refine=2, kernel=5),
        TinyEncoder((8, 12, 16), (2, 1, 1), block="fused", expansion=1, first_stride=4),
        TinyEncoder((8, 12, 16), (1, 1, 1), refine=0, attention_window=2),
        TinyEncoder(),
    ],
)
def test_the_reach_is_what_gradients_see(encoder: TinyEncoder) -> None:
    assert influence(encoder) == reach(encoder) == build(config(encoder)).reach


@pytest.fixture(scope="module")
def whole() -> dict[str, torch.Tensor]:
    """An image whose sides are no multiples of the stride, and all that the network says of it."""
    torch.set_num_threads(1)
    net = network(config(SMALL))
    pixels = torch.randn((1, 3, 541, 620), generator=torch.Generator().manual_seed(2)) * 2
    with torch.inference_mode():
        features = net.encode(pixels)
        maps = net.instance_maps(features, (541, 620))
    return {"pixels": pixels, "embedding": features["embedding"], "maps": maps}


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_windows_give_the_whole_image(whole: dict[str, torch.Tensor], data: st.DataObject) -> None:
    net = network(config(SMALL))
    assert net.reach is not None
    spans = []
    for extent in whole["pixels"].shape[2:]:
        lo = data.draw(st.integers(0, extent - 1))
        hi = data.draw(st.integers(lo + 1, extent))
        first = max(lo - net.reach, 0) // net.stride * net.stride
        # At least 300 pixels: torch adds up smaller windows in another order, and differs in the last bits.
        first = max(min(first, (extent - 300) // net.stride * net.stride), 0)
        spans.append((lo, hi, first, min(max(hi + net.reach, first + 300), extent)))
    (y0, y1, wy0, wy1), (x0, x1, wx0, wx1) = spans
    with torch.inference_mode():
        features = net.encode(whole["pixels"][:, :, wy0:wy1, wx0:wx1])
        maps = net.instance_maps(features, (wy1 - wy0, wx1 - wx0))
    core = np.s_[:, :, y0 - wy0 : y1 - wy0, x0 - wx0 : x1 - wx0]
    assert torch.equal(maps[core], whole["maps"][:, :, y0:y1, x0:x1])
    cells = np.s_[:, :, -(-(y0 - wy0) // 4) : (y1 - wy0) // 4, -(-(x0 - wx0) // 4) : (x1 - wx0) // 4]
    own = np.s_[:, :, -(-y0 // 4) : y1 // 4, -(-x0 // 4) : x1 // 4]
    assert torch.equal(features["embedding"][cells], whole["embedding"][own])


def test_small_windows_differ_in_the_last_bits_at_most(whole: dict[str, torch.Tensor]) -> None:
    net = network(config(SMALL))
    reached = net.reach
    assert reached is not None
    y0, x0 = 96 + 3, 64 + 5
    with torch.inference_mode():
        window = whole["pixels"][:, :, 96 - 48 : 96 + 64, 64 - 48 : 64 + 64]
        maps = net.instance_maps(net.encode(window), (112, 112))
    np.testing.assert_allclose(
        maps[:, :, y0 - 48 : y0 - 40, x0 - 16 : x0 - 8], whole["maps"][:, :, y0 : y0 + 8, x0 : x0 + 8], atol=1e-5
    )


@pytest.mark.parametrize("kind", ["points", "boxes", "both"])
def test_a_mask_depends_on_its_prompt_window_only(whole: dict[str, torch.Tensor], kind: str) -> None:
    net = network(config(SMALL))
    asked, shape = prompts_of(kind, 500), (541, 620)
    anchors = (asked["boxes"][:, :2] + asked["boxes"][:, 2:]) / 2 if kind == "boxes" else asked["points"][:, 0]
    origins = net.prompt_origins(anchors, shape)
    with torch.inference_mode():
        logits, iou = net.decode(whole["embedding"], **asked, shape=shape, multimask=True)
        assert logits.shape == (3, 3, 128, 128)
        for one, (y, x) in enumerate(origins.tolist()):
            assert 0 <= y < shape[0] - 128 + 4
            assert 0 <= x < shape[1] - 128 + 4
            # All else of the embedding is noise now.
            noise = torch.randn_like(whole["embedding"])
            square = np.s_[:, :, y // 4 : y // 4 + 32, x // 4 : x // 4 + 32]
            noise[square] = whole["embedding"][square]
            again, iou_again = net.decode(noise, **asked, shape=shape, multimask=True)
            assert torch.equal(again[one], logits[one])
            assert torch.equal(iou_again[one], iou[one])
            inside = anchors[one] - torch.tensor([x, y])
            assert (inside >= -0.5).all()
            assert (inside < 127.5).all()


def test_a_prompt_in_another_window_draws_the_same_mask(whole: dict[str, torch.Tensor]) -> None:
    net = network(config(SMALL))
    points, labels = torch.tensor([[[300.25, 290.5]]]), torch.tensor([[1]])
    # Wide enough for the mask and the reach of its embedding.
    y0, x0, y1, x1 = 160, 144, 480, 500
    with torch.inference_mode():
        mask, iou = net.decode(whole["embedding"], points, labels, shape=(541, 620))
        embedding = net.encode(whole["pixels"][:, :, y0:y1, x0:x1])["embedding"]
        moved = points - torch.tensor([x0, y0])
        again, iou_again = net.decode(embedding, moved, labels, shape=(y1 - y0, x1 - x0))
    origin = net.prompt_origins(points[:, 0], (541, 620)) - torch.tensor([y0, x0])
    assert torch.equal(net.prompt_origins(moved[:, 0], (y1 - y0, x1 - x0)), origin)
    assert torch.equal(again, mask)
    assert torch.equal(iou_again, iou)


def test_prompts_of_several_windows_at_once(whole: dict[str, torch.Tensor]) -> None:
    net = network(config(SMALL))
    embeddings = torch.cat([whole["embedding"], torch.randn_like(whole["embedding"])])
    asked = prompts_of("points", 500)
    images = torch.tensor([1, 0, 1])
    with torch.inference_mode():
        logits, _ = net.decode(embeddings, **asked, images=images)
        for one in range(3):
            alone, _ = net.decode(embeddings[images[one]][None], asked["points"][[one]], asked["labels"][[one]])
            np.testing.assert_allclose(logits[one], alone[0], atol=1e-4)


def test_a_window_smaller_than_the_prompts() -> None:
    net = network(config(SMALL))
    with torch.inference_mode():
        features = net.encode(torch.randn((1, 3, 40, 50)))
        logits, _ = net.decode(
            features["embedding"], torch.tensor([[[45.0, 39.0]]]), torch.tensor([[1]]), shape=(40, 50)
        )
        assert net.instance_maps(features, (40, 50)).shape == (1, 3, 40, 50)
    assert logits.shape == (1, 1, 128, 128)
    assert net.prompt_origins(torch.tensor([[45.0, 39.0]]), (40, 50)).tolist() == [[0, 0]]
