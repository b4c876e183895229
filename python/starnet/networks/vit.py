"""SAM's vision transformers, from the official classes."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from starnet.networks.config import VitEncoder
from starnet.networks.official import ImageEncoderViT

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of ImageNet's pixels in 0 to 255: SAM's own normalisation."""


def scaled_shape(shape: tuple[int, int], side: int) -> tuple[int, int]:
    """Shape with its longest side scaled to `side`, rounded as SAM rounds it."""
    scale = side * 1.0 / max(shape)
    return int(shape[0] * scale + 0.5), int(shape[1] * scale + 0.5)


class Vit(ImageEncoderViT):  # type: ignore[misc]
    """The official image encoder, from three channels of a recipe's image.

    Parameters
    ----------
    config : VitEncoder
        Of which make.
    out : int
        Channels of the embedding.
    stretch : tuple of float
        Values that become black and white.
    """

    stride = 1
    reach: int | None = None

    def __init__(self, config: VitEncoder, out: int, stretch: tuple[float, float]) -> None:
        super().__init__(
            depth=config.depth,
            embed_dim=config.width,
            img_size=config.image_size,
            mlp_ratio=4,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            num_heads=config.heads,
            patch_size=config.patch_size,
            qkv_bias=True,
            use_rel_pos=True,
            global_attn_indexes=config.global_blocks,
            window_size=config.attention_window,
            out_chans=out,
        )
        self.cell, self.stretch = config.patch_size, stretch
        self.checkpointing = False
        self.register_buffer("mean", torch.tensor(MEAN).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(-1, 1, 1), persistent=False)

    def frame(self, shape: tuple[int, int]) -> tuple[int, int]:
        """The shape that a window of this shape has inside the encoder's square."""
        return scaled_shape(shape, self.img_size)

    def picture(self, channels: Tensor) -> Tensor:
        """What SAM takes for a photograph: 0 to 255, its longest side scaled to the encoder's; not yet normalised."""
        low, high = self.stretch
        pictures = ((channels - low) * (255 / (high - low))).clamp(0, 255)
        size = self.frame((channels.shape[2], channels.shape[3]))
        if size == tuple(channels.shape[2:]):
            return pictures
        # As SAM's own transform; an enlarged picture has no aliases, and export knows no filter against them.
        shrinks = self.img_size < max(channels.shape[2:])
        return functional.interpolate(pictures, size, mode="bilinear", align_corners=False, antialias=shrinks)

    def square(self, pictures: Tensor) -> Tensor:
        """Normalised as SAM's, and padded to its square."""
        normal = (pictures - self.mean) / self.std
        return functional.pad(normal, (0, self.img_size - normal.shape[3], 0, self.img_size - normal.shape[2]))

    def forward(self, channels: Tensor) -> dict[str, Tensor]:
        """``embedding``, a cell a patch, and ``pixels``, the square itself."""
        square = self.square(self.picture(channels.contiguous()))
        x = self.patch_embed(square) + self.pos_embed
        for block in self.blocks:
            # Checkpointing: activations of a block are computed again in the backward pass instead of being kept.
            keep = self.checkpointing and torch.is_grad_enabled()
            x = checkpoint(block, x, use_reentrant=False) if keep else block(x)
        return {"embedding": self.neck(x.permute(0, 3, 1, 2)), "pixels": square}

    def depth_of(self, name: str) -> int:
        """How deep a parameter lies: 0 for patches and positions, then the blocks, then the neck."""
        first, _, rest = name.partition(".")
        if first == "blocks":
            return 1 + int(rest.split(".")[0])
        return len(self.blocks) + 1 if first == "neck" else 0
