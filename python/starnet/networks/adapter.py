"""Any number of bands as three channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from starnet.networks.geometry import grouped


class Adapter(nn.Module):
    """``(n, bands, ny, nx)`` to ``(n, 3, ny, nx)``.

    Parameters
    ----------
    bands : int
        Of a learned mixture, which starts as `grouped`; 0 for `grouped` itself, of any number of bands.
    pictures : bool
        Whether bands are pictures, not in units of their noise.
    """

    def __init__(self, bands: int = 0, *, pictures: bool = False) -> None:
        super().__init__()
        self.bands, self.pictures = bands, pictures
        if bands:
            self.mix = nn.Conv2d(bands, 3, 1)
            with torch.no_grad():
                self.mix.weight.copy_(torch.from_numpy(grouped(bands, pictures=pictures))[:, :, None, None])
                nn.init.zeros_(self.mix.bias)  # type: ignore[arg-type]

    def forward(self, pixels: Tensor) -> Tensor:
        """The channels."""
        if self.bands:
            return self.mix(pixels)  # type: ignore[no-any-return]
        bands = pixels.shape[1]
        if bands == 3:
            return pixels
        matrix = torch.from_numpy(grouped(bands, pictures=self.pictures)).to(pixels)
        return functional.conv2d(pixels, matrix[:, :, None, None])
