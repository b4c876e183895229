"""Networks in which no weight is left at zero or one, and Meta's files of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from starnet.networks import NETWORKS, NetworkConfig, VitEncoder
from starnet.networks.network import Network, build
from starnet.networks.official import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

M = TypeVar("M", bound=nn.Module)


def randomised(module: M, seed: int = 0) -> M:
    """Positions, biases and normalisations too, which begin as zeros and ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=generator)
            elif tensor.is_floating_point() and (tensor.ndim == 1 or "pos" in name):
                tensor.add_(torch.empty_like(tensor).normal_(0, 0.2, generator=generator))
    return module


def network(config: NetworkConfig | str, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return randomised(build(NETWORKS[config] if isinstance(config, str) else config), seed).eval()


def official_sam(config: NetworkConfig, seed: int = 0) -> Sam:
    """As `segment_anything.build_sam` puts it together, of any size."""
    encoder, prompt = config.encoder, config.prompt
    assert isinstance(encoder, VitEncoder)
    cells = encoder.image_size // encoder.patch_size
    torch.manual_seed(seed)
    sam = Sam(
        image_encoder=ImageEncoderViT(
            depth=encoder.depth,
            embed_dim=encoder.width,
            img_size=encoder.image_size,
            mlp_ratio=4,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            num_heads=encoder.heads,
            patch_size=encoder.patch_size,
            qkv_bias=True,
            use_rel_pos=True,
            global_attn_indexes=encoder.global_blocks,
            window_size=encoder.attention_window,
            out_chans=prompt.width,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=prompt.width,
            image_embedding_size=(cells, cells),
            input_image_size=(encoder.image_size, encoder.image_size),
            mask_in_chans=prompt.mask_channels,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=prompt.width, mlp_dim=prompt.mlp_width, num_heads=prompt.heads
            ),
            transformer_dim=prompt.width,
            iou_head_depth=3,
            iou_head_hidden_dim=prompt.iou_width,
        ),
    )
    return randomised(sam, seed).eval()


def meta_file(folder: Path, config: NetworkConfig, seed: int = 0) -> Path:
    """A file as Meta's: the state dict of the official `Sam`, pickled by torch."""
    path = folder / f"sam_{config.name}.pth"
    torch.save(official_sam(config, seed).state_dict(), path)
    return path


def prompts_of(kind: str, side: int) -> dict[str, Any]:
    """Three prompts in a window: points, a box, or both."""
    generator = torch.Generator().manual_seed(5)
    points = torch.rand((3, 2, 2), generator=generator) * side
    labels = torch.tensor([[1, 1], [1, 0], [1, -1]])
    corner = torch.rand((3, 2), generator=generator) * side / 2
    boxes = torch.cat([corner, corner + side / 4], dim=1)
    if kind == "boxes":
        return {"points": points[:, :0], "labels": labels[:, :0], "boxes": boxes}
    return {"points": points, "labels": labels, "boxes": boxes if kind == "both" else None}
