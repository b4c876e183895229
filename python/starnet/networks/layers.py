"""Layers that the encoders and heads of ours are made of."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


def convolution(inside: int, outside: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """With batch normalisation, which export folds into it."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outside)
    )


class InvertedResidual(nn.Module):
    """Pointwise, depthwise, pointwise, and the input added (Sandler et al. 2018, arXiv:1801.04381)."""

    def __init__(self, width: int, expansion: int, kernel: int) -> None:
        super().__init__()
        inner = width * expansion
        self.widen = convolution(width, inner, 1)
        self.depthwise = convolution(inner, inner, kernel, groups=inner)
        self.narrow = convolution(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape."""
        inner = functional.relu(self.depthwise(functional.relu(self.widen(x))))
        return x + self.narrow(inner)  # type: ignore[no-any-return]
