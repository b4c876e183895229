"""Meta's files give the numbers of Meta's code, bit for bit; oracle: segment_anything itself."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.modeling import Sam

from network_samples import meta_file, official_sam, prompts_of, randomised
from starnet.networks import NETWORKS
from starnet.networks.checkpoints import load
from starnet.networks.network import Network, build
from starnet.networks.vit import Vit


def assert_same(sam: Sam, network: Network, shape: tuple[int, int], kinds: tuple[str, ...]) -> None:
    """Encoder, prompt encoder and mask decoder, from a window of this shape on."""
    encoder = network.image_encoder
    assert isinstance(encoder, Vit)
    pixels = torch.randn((1, 3, *shape), generator=torch.Generator().manual_seed(1)) * 3
    predictor = SamPredictor(sam)
    with torch.inference_mode():
        predictor.set_torch_image(encoder.picture(pixels), shape)
        embedding = network.encode(pixels)["embedding"]
        assert torch.equal(embedding, predictor.features)
        for kind in kinds:
            asked = prompts_of(kind, min(shape))
            points = predictor.transform.apply_coords_torch(asked["points"], shape)
            boxes = asked["boxes"]
            if boxes is not None:
                boxes = predictor.transform.apply_boxes_torch(boxes, shape)
            coordinates = None if kind == "boxes" else points
            mask_input = None
            for multimask in (False, True):
                masks, iou, low = predictor.predict_torch(
                    coordinates, asked["labels"], boxes, mask_input, multimask, return_logits=True
                )
                ours = network.decode(embedding, **asked, mask_input=mask_input, multimask=multimask, shape=shape)
                drawn = network.draw(embedding, **asked, mask_input=mask_input, multimask=multimask, shape=shape)
                assert torch.equal(drawn[0], low)
                assert torch.equal(ours[0], masks)
                assert torch.equal(ours[1], iou)
                # The second time, from the mask of the first.
                mask_input = low


@pytest.mark.parametrize("shape", [(128, 128), (90, 128), (47, 61), (300, 200)])
def test_a_small_network_of_the_official_classes(tmp_path: Path, shape: tuple[int, int]) -> None:
    config = NETWORKS["vit_test"]
    assert_same(
        official_sam(config), load("vit_test", checkpoint=meta_file(tmp_path, config)), shape,
        ("points", "boxes", "both"),
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(300, 200), (64, 100)])
def test_pictures_are_scaled_as_the_official_transform_does(shape: tuple[int, int]) -> None:
    network = build(replace(NETWORKS["vit_test"], stretch=(0.0, 255.0)))
    assert isinstance(network.image_encoder, Vit)
    photograph = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    official = SamPredictor(official_sam(network.config)).transform.apply_image(photograph)
    picture = network.image_encoder.picture(torch.from_numpy(photograph).permute(2, 0, 1)[None].float())
    # The official one rounds to bytes, twice.
    np.testing.assert_allclose(picture[0].permute(1, 2, 0), official, atol=1.01)


def test_a_photograph_of_bytes_passes_unchanged(tmp_path: Path) -> None:
    config = NETWORKS["vit_test"]
    network = load("vit_test", checkpoint=meta_file(tmp_path, config))
    assert isinstance(network.image_encoder, Vit)
    network.image_encoder.stretch = (0.0, 255.0)
    photograph = np.random.default_rng(0).integers(0, 256, (128, 96, 3), dtype=np.uint8)
    predictor = SamPredictor(official_sam(config))
    predictor.set_image(photograph)
    pixels = torch.from_numpy(photograph).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        assert torch.equal(network.encode(pixels)["embedding"], predictor.features)


@pytest.mark.slow
def test_vit_b_of_the_official_registry(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sam = randomised(sam_model_registry["vit_b"]())
    path = tmp_path / "sam_vit_b_01ec64.pth"
    torch.save(sam.state_dict(), path)
    network = load(path)
    assert network.config == NETWORKS["vit_b"]
    assert_same(sam, network, (1024, 1024), ("points", "boxes"))
    assert_same(sam, network, (682, 600), ("both",))


def test_torchvision_is_not_needed(tmp_path: Path) -> None:
    path = meta_file(tmp_path, NETWORKS["vit_test"])
    code = f"""
import sys
sys.modules["torchvision"] = None  # an import of it fails
import numpy as np
from starnet.models.torch_backend import TorchBackend
from starnet.prompts import Prompts
backend = TorchBackend.load({str(path)!r}, device="cpu", threads=1)
features = backend.encode(np.ones((3, 64, 64), np.float32))
print(backend.decode(features, Prompts.of_points("grid", np.array([[3.0, 4.0]])), multimask=True).logits.shape)
import pickle
from starnet.networks.official import Sam
assert pickle.loads(pickle.dumps(Sam)) is Sam
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(1, 3, 64, 64)", done.stderr
