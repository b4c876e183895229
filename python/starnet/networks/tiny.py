"""A small hierarchical convolutional encoder that keeps sources of a few pixels apart.

Nothing in it depends on the window's extent: it holds convolutions, normalisations with fixed numbers (once trained),
bilinear factors of two, and at most attention within squares that are fixed to the window's origin. So its outputs at a
pixel depend on `starnet.networks.receptive.reach` pixels around it and on nothing else, if the window begins at a
multiple of its stride.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from starnet.networks.config import TinyEncoder
from starnet.networks.layers import BLOCKS, convolution
from starnet.networks.receptive import reach


class WindowAttention(nn.Module):
    """Cells attend to each other within squares of `window` cells that begin at the origin."""

    def __init__(self, width: int, window: int, head_width: int = 32) -> None:
        super().__init__()
        self.window, self.heads = window, max(width // head_width, 1)
        self.norm = nn.LayerNorm(width)
        self.place = nn.Parameter(0.02 * torch.randn(window * window, width))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape; ny and nx must be multiples of the window."""
        n, c, ny, nx = x.shape
        side = self.window
        rows, columns = ny // side, nx // side
        squares = x.reshape(n, c, rows, side, columns, side).permute(0, 2, 4, 3, 5, 1).reshape(-1, side * side, c)
        qkv = self.qkv(self.norm(squares) + self.place)
        q, k, v = qkv.reshape(-1, side * side, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, side * side, c)
        mixed = self.proj(mixed).reshape(n, rows, columns, side, side, c).permute(0, 5, 1, 3, 2, 4)
        return x + mixed.reshape(n, c, ny, nx)  # type: ignore[no-any-return]


class Tiny(nn.Module):
    """Three channels of a recipe's image to features at stride 4 and finer.

    Parameters
    ----------
    config : TinyEncoder
        Its widths and depths.
    out : int
        Channels of the embedding.
    """

    cell = 4

    def __init__(self, config: TinyEncoder, out: int) -> None:
        super().__init__()
        widths, kernel = config.widths, config.kernel
        self.stride, self.reach = config.stride, reach(config)

        self.first = config.first_stride

        def blocks(width: int, number: int) -> list[nn.Module]:
            return [BLOCKS[config.block](width, config.expansion, kernel) for _ in range(number)]

        self.unshuffle: nn.Module = nn.PixelUnshuffle(self.first)
        self.stem = nn.Sequential(
            convolution(3 * self.first**2, widths[0], 3), nn.ReLU(), *blocks(widths[0], config.blocks[0])
        )
        self.down = nn.ModuleList(
            nn.Sequential(convolution(fine, coarse, 3, stride=2), nn.ReLU(), *blocks(coarse, number))
            for (fine, coarse), number in zip(pairwise(widths), config.blocks[1:], strict=True)
        )
        self.attention = WindowAttention(widths[-1], config.attention_window) if config.attention_window else None
        self.up = nn.ModuleList(
            nn.Sequential(convolution(coarse, fine, 1), nn.ReLU()) for fine, coarse in pairwise(widths)
        )
        self.refine = nn.ModuleList(nn.Sequential(*blocks(width, config.refine)) for width in widths[:-1])
        self.neck = convolution(widths[self._prompted], out, 1)
        self.to(memory_format=torch.channels_last)

    @property
    def _prompted(self) -> int:
        """The level at stride 4."""
        return 4 // self.first - 1

    def frame(self, shape: tuple[int, int]) -> tuple[int, int]:
        """The shape that a window of this shape is padded to."""
        return -(-shape[0] // self.stride) * self.stride, -(-shape[1] // self.stride) * self.stride

    def padded(self, pixels: Tensor) -> Tensor:
        """A window with zeros below and to the right, up to multiples of the stride."""
        ny, nx = pixels.shape[2:]
        height, width = self.frame((ny, nx))
        return functional.pad(pixels, (0, width - nx, 0, height - ny))

    def forward(self, channels: Tensor) -> dict[str, Tensor]:
        """``embedding`` at stride 4 and ``pixels`` at the finest, of the padded window."""
        return self.embed(self.padded(channels))

    def embed(self, channels: Tensor) -> dict[str, Tensor]:
        """The features of a window whose extents are multiples of the stride."""
        x = self.unshuffle(channels)
        # A cell's channels side by side: faster on CPUs, and torch then adds them up in the same order in windows of
        # any extent, except for bilinear factors and convolutions of a few hundred pixels' windows (last bits).
        x = x.contiguous(memory_format=torch.channels_last)
        levels = [self.stem(x)]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = levels[-1] if self.attention is None else self.attention(levels[-1])
        ascending = {len(self.down): x}
        for level in range(len(self.down) - 1, -1, -1):
            up = functional.interpolate(self.up[level](x), scale_factor=2, mode="bilinear", align_corners=False)
            x = ascending[level] = self.refine[level](up + levels[level])
        return {"embedding": self.neck(ascending[self._prompted]), "pixels": x}

    def depth_of(self, name: str) -> int:
        """How deep a parameter lies: the stem, the strides downwards, then all that leads up again."""
        first, _, rest = name.partition(".")
        if first == "stem":
            return 0
        return 1 + int(rest.split(".")[0]) if first == "down" else len(self.down) + 1
