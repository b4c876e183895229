"""Dense maps from which objects are formed: foreground, centres and distance to the boundary.

The pattern is the UNETR decoder of the microscopy SAM (Archit et al. 2025, Nature Methods 22, 579): it needs no
prompts, and a seeded watershed makes objects of its maps.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from starnet.networks.config import VitEncoder
from starnet.networks.layers import InvertedResidual, convolution

PRIORS = (0.1, 0.01, 0.1)
"""Of foreground, a centre, and the distance, before anything is learned: training starts near what is common."""


class TinyHead(nn.Module):
    """From features at stride 2 to pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = nn.Conv2d(width, 12, 3, padding=1)
        _expect(self.out, each=4)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Logits, ``(n, 3, ny, nx)``, of the padded window."""
        return functional.pixel_shuffle(self.out(features["pixels"]), 2)


class VitHead(nn.Module):
    """From a vision transformer's embedding, with the pixels' own details through a shallow convolutional pyramid.

    A patch of 16 pixels alone loses sources of 3.
    """

    def __init__(self, config: VitEncoder, embedding: int, width: int = 8) -> None:
        super().__init__()
        levels = config.patch_size.bit_length() - 1
        if 1 << levels != config.patch_size:
            raise ValueError(f"patch_size={config.patch_size}: must be a power of two for an instance head")
        widths = [min(width << level, 64) for level in range(levels)]
        self.stem = nn.Sequential(convolution(3, widths[0], 3), nn.ReLU())
        self.down = nn.ModuleList(
            nn.Sequential(convolution(fine, coarse, 3, stride=2), nn.ReLU(), InvertedResidual(coarse, 2, 3))
            for fine, coarse in pairwise(widths)
        )
        self.up = nn.ModuleList(
            nn.Sequential(convolution(coarse, fine, 1), nn.ReLU())
            for fine, coarse in zip(widths, [*widths[1:], embedding], strict=True)
        )
        self.refine = nn.ModuleList(InvertedResidual(width, 2, 3) for width in widths)
        self.out = nn.Conv2d(widths[0], 3, 3, padding=1)
        _expect(self.out, each=1)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Logits, ``(n, 3, side, side)``, of the encoder's square."""
        levels = [self.stem(features["pixels"])]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = features["embedding"]
        for level in range(len(levels) - 1, -1, -1):
            up = functional.interpolate(self.up[level](x), scale_factor=2, mode="bilinear", align_corners=False)
            x = self.refine[level](up + levels[level])
        return self.out(x)  # type: ignore[no-any-return]


def _expect(out: nn.Conv2d, *, each: int) -> None:
    """Lets a layer's logits begin at the priors; `each` is how many of its channels make one map."""
    biases = [math.log(prior / (1 - prior)) for prior in PRIORS for _ in range(each)]
    with torch.no_grad():
        out.bias.copy_(torch.tensor(biases))  # type: ignore[union-attr]
