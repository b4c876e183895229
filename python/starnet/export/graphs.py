"""The graphs of a bundle, as modules of torch without control flow on data.

Their weights are the network's own, with batch normalisation folded into the convolutions. In half precision, the
layers of the encoder, the instance head and the mask decoder compute in float16; positions of pixels and prompts,
normalisations over channels, and the last scaling to pixels stay in float32, as do inputs and outputs.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn.utils.fusion import fuse_conv_bn_eval

from starnet.bundle import DECODER, ENCODER, INSTANCES
from starnet.networks import TinyEncoder, VitEncoder, lora, prompting
from starnet.networks.network import Network
from starnet.networks.official import LayerNorm2d
from starnet.networks.tiny import Tiny
from starnet.networks.vit import Vit


@dataclass(frozen=True)
class Graph:
    """One graph, and how to trace it.

    Attributes
    ----------
    file : str
        Its name in a bundle.
    module : nn.Module
        What it computes.
    inputs : dict of str to Tensor
        Examples, by name.
    outputs : tuple of str
        Names of what it returns.
    extents : dict of str to dict of int to Any
        Axes of the inputs whose extent is free.
    fine : tuple of tuple of str
        Submodules of its finest levels, the very finest first: what to leave in float if eight bits cost too much.
    """

    file: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    extents: dict[str, dict[int, Any]]
    fine: tuple[tuple[str, ...], ...] = ()


def graphs(network: Network, *, half: bool = False) -> list[Graph]:
    """The graphs of a network, which is not changed.

    Parameters
    ----------
    network : Network
        Its low-rank matrices, if any, are merged.
    half : bool
        Whether layers compute in float16.
    """
    network = _folded(lora.merge(deepcopy(network)) if lora.has_lora(network) else deepcopy(network)).eval()
    network.requires_grad_(False)
    if half:
        for part in (network.image_encoder, network.mask_decoder, network.instance_head):
            if part is not None:
                _halve(part)
    local = isinstance(network.image_encoder, Tiny)
    return _of_tiny(network) if local else _of_vit(network)


class TinyEncoderGraph(nn.Module):
    """``image`` to ``embedding`` and ``pixels``; extents are multiples of the stride."""

    encoder: Tiny

    def __init__(self, network: Network) -> None:
        super().__init__()
        assert isinstance(network.image_encoder, Tiny)
        self.adapter, self.encoder = network.adapter, network.image_encoder
        self.dtype, self.with_pixels = _dtype(self.encoder), network.instance_head is not None

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Of windows, float32."""
        features = self.encoder.embed(self.adapter(image).to(self.dtype))
        return _returned(features["embedding"], features["pixels"], with_pixels=self.with_pixels)


class VitEncoderGraph(nn.Module):
    """``image`` and ``frame`` to ``embedding`` and ``pixels``."""

    encoder: Vit

    def __init__(self, network: Network) -> None:
        super().__init__()
        assert isinstance(network.image_encoder, Vit)
        self.adapter, self.encoder = network.adapter, network.image_encoder
        self.dtype, self.with_pixels = _dtype(self.encoder), network.instance_head is not None

    def forward(self, image: Tensor, frame: Tensor) -> tuple[Tensor, ...]:
        """Of windows; the picture is scaled by matrices, which also know the filter of a picture that shrinks."""
        encoder = self.encoder
        pictures = (encoder.stretched(self.adapter(image)) - encoder.mean) / encoder.std
        rows = interpolation(image.shape[2], frame[0], encoder.img_size)
        columns = interpolation(image.shape[3], frame[1], encoder.img_size)
        square = rows @ (pictures @ columns.T)
        return _returned(encoder.embed(square.to(self.dtype)), square, with_pixels=self.with_pixels)


class TinyHeadGraph(nn.Module):
    """``pixels`` to ``maps``."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        assert network.instance_head is not None
        self.head = network.instance_head
        self.dtype = _dtype(self.head)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of the windows."""
        return self.head({"pixels": pixels.to(self.dtype)}).float()  # type: ignore[no-any-return]


class VitHeadGraph(nn.Module):
    """``embedding``, ``pixels``, ``frame`` and ``shape`` to ``maps``."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        assert network.instance_head is not None
        self.head, self.unframed = network.instance_head, Unframed(network)
        self.dtype = _dtype(self.head)

    def forward(self, embedding: Tensor, pixels: Tensor, frame: Tensor, shape: Tensor) -> Tensor:
        """Logits of the windows."""
        features = {"embedding": embedding.to(self.dtype), "pixels": pixels.to(self.dtype)}
        return self.unframed(self.head(features).float(), frame, shape)  # type: ignore[no-any-return]


class DecoderGraph(nn.Module):
    """Prompts to logits and predicted IoU, four by four to a cell of the embedding."""

    place: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.prompts, self.masks = network.prompt_encoder, network.mask_decoder
        self.dtype = _dtype(self.masks)
        self.register_buffer("place", prompting.positions(network.prompt_encoder).to(self.dtype))

    def forward(
        self, embedding: Tensor, points: Tensor, labels: Tensor, mask_input: Tensor, has_mask: Tensor, which: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Of p prompts; `which` of the four masks, 0 being the single one."""
        sparse = prompting.marked(self.prompts, prompting.places(self.prompts, points), labels)
        drawn, blank = prompting.masks(self.prompts, mask_input), prompting.masks(self.prompts, None)
        dense = has_mask * drawn + (1 - has_mask) * blank
        features, tokens, added = (one.to(self.dtype) for one in (embedding, sparse, dense))
        logits, iou = prompting.draw(self.masks, features, self.place, tokens, added)
        return logits.index_select(1, which).float(), iou.index_select(1, which).float()


class VitDecoderGraph(nn.Module):
    """The same in a window's pixels."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.decoder, self.unframed = DecoderGraph(network), Unframed(network)

    def forward(
        self,
        embedding: Tensor,
        points: Tensor,
        labels: Tensor,
        mask_input: Tensor,
        has_mask: Tensor,
        which: Tensor,
        frame: Tensor,
        shape: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Of p prompts in one window."""
        logits, iou = self.decoder(embedding, points, labels, mask_input, has_mask, which)
        return self.unframed(logits, frame, shape), iou


class Unframed(nn.Module):
    """From the encoder's square to a window's pixels."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.scale = network.unframed
        self.side = _square(network)

    def forward(self, logits: Tensor, frame: Tensor, shape: Tensor) -> Tensor:
        """`frame` is what the window takes up of the square, `shape` the window's own; int64, ``(2,)``."""
        rows, columns = frame.tolist()
        ny, nx = shape.tolist()
        for extent in (rows, columns, ny, nx):
            torch._check(extent >= 1)
        for extent in (rows, columns):
            torch._check(extent <= self.side)
        return self.scale(logits, (rows, columns), (ny, nx))


def interpolation(extent: int, framed: Tensor, side: int) -> Tensor:
    """The matrix that scales `extent` pixels to the first `framed` of `side`, and leaves the rest at zero.

    Bilinear, and over as many pixels as go into one where it shrinks: `torch.nn.functional.interpolate` with
    ``antialias=True``, which is the same without wherever it does not shrink.
    """
    scale = extent / framed.float()
    centres = (torch.arange(side) + 0.5) * scale
    distances = (torch.arange(extent) + 0.5 - centres[:, None]).abs()
    weights = (1 - distances / scale.clamp(min=1)).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-6) * (torch.arange(side) < framed)[:, None]


class Float32(nn.Module):
    """A normalisation within layers of float16: squares of numbers over 256 have no place there."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Of the same type."""
        return self.norm(x.float()).to(x.dtype)  # type: ignore[no-any-return]


def _of_tiny(network: Network) -> list[Graph]:
    config, prompt, stride = network.config.encoder, network.config.prompt, network.stride
    assert isinstance(config, TinyEncoder)
    assert isinstance(network.image_encoder, Tiny)
    _see_pixels(network.image_encoder)
    width, cells = prompt.width, (prompt.window or 0) // Tiny.cell
    n, rows, columns = Dim("n"), Dim("rows"), Dim("columns")
    image = torch.zeros((2, len(network.config.bands) or 3, 2 * stride, 3 * stride))
    has_head = network.instance_head is not None
    found = [
        Graph(
            ENCODER, TinyEncoderGraph(network), {"image": image}, _features(has_head),
            {"image": {0: n, 2: stride * rows, 3: stride * columns}}, _fine("encoder"),
        )
    ]  # fmt: skip
    if has_head:
        first = config.first_stride
        pixels = torch.zeros((2, config.widths[0], 2 * stride // first, 3 * stride // first))
        found.append(
            Graph(
                INSTANCES,
                TinyHeadGraph(network),
                {"pixels": pixels},
                ("maps",),
                {"pixels": {0: n, 2: rows, 3: columns}},
            )
        )
    p = Dim("p")
    inputs, extents = _prompts(cells, p)
    inputs = {"embedding": torch.zeros((3, width, cells, cells)), **inputs}
    found.append(Graph(DECODER, DecoderGraph(network), inputs, ("logits", "iou"), {"embedding": {0: p}, **extents}))
    return found


def _of_vit(network: Network) -> list[Graph]:
    config, side = network.config.encoder, _square(network)
    assert isinstance(config, VitEncoder)
    cell = config.patch_size
    width, cells = network.config.prompt.width, side // cell
    n, p = Dim("n"), Dim("p")
    sizes = {"frame": torch.tensor([side - cell, side]), "shape": torch.tensor([side // 2 - cell, side // 2])}
    image = torch.zeros((2, len(network.config.bands) or 3, side // 2 - cell, side // 2))
    has_head = network.instance_head is not None
    found = [
        Graph(
            ENCODER, VitEncoderGraph(network), {"image": image, "frame": sizes["frame"]}, _features(has_head),
            {"image": {0: n, 2: Dim("ny"), 3: Dim("nx")}, "frame": {}},
        )
    ]  # fmt: skip
    fixed: dict[str, dict[int, Any]] = {name: {} for name in sizes}
    if has_head:
        features = {"embedding": torch.zeros((2, width, cells, cells)), "pixels": torch.zeros((2, 3, side, side))}
        found.append(
            Graph(
                INSTANCES, VitHeadGraph(network), {**features, **sizes}, ("maps",),
                {"embedding": {0: n}, "pixels": {0: n}, **fixed}, _fine("head"),
            )
        )  # fmt: skip
    inputs, extents = _prompts(cells, p)
    inputs = {"embedding": torch.zeros((1, width, cells, cells)), **inputs, **sizes}
    found.append(
        Graph(DECODER, VitDecoderGraph(network), inputs, ("logits", "iou"), {"embedding": {}, **extents, **fixed})
    )
    return found


def _square(network: Network) -> int:
    """Side of a vision transformer's input."""
    assert isinstance(network.config.encoder, VitEncoder)
    return network.config.encoder.image_size


def _prompts(cells: int, p: Any) -> tuple[dict[str, Tensor], dict[str, dict[int, Any]]]:
    k = Dim("k")
    inputs = {
        "points": torch.zeros((3, 2, 2)),
        "labels": torch.tensor([[1, -1], [2, 3], [1, 0]]),
        "mask_input": torch.zeros((3, 1, 4 * cells, 4 * cells)),
        "has_mask": torch.zeros(1),
        "which": torch.tensor([1, 2, 3]),
    }
    return inputs, {
        "points": {0: p, 1: k}, "labels": {0: p, 1: k}, "mask_input": {0: p}, "has_mask": {}, "which": {0: Dim("m")},
    }  # fmt: skip


def _features(has_head: bool) -> tuple[str, ...]:
    return ("embedding", "pixels") if has_head else ("embedding",)


def _fine(part: str) -> tuple[tuple[str, ...], ...]:
    """The two finest levels of a pyramid: on eight bits, faint objects in the wings of bright ones are lost there."""
    return tuple(
        (f"{part}.stem" if level == 0 else f"{part}.down.{level - 1}", f"{part}.up.{level}", f"{part}.refine.{level}")
        for level in range(2)
    )


def _returned(embedding: Tensor, pixels: Tensor, *, with_pixels: bool) -> tuple[Tensor, ...]:
    return (embedding.float(), pixels.float()) if with_pixels else (embedding.float(),)


def _dtype(module: nn.Module) -> torch.dtype:
    return next(module.parameters()).dtype


def _folded(network: Network) -> Network:
    """Batch normalisation as part of the convolution before it."""
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential):
            for i in range(len(module) - 1):
                convolution, norm = module[i], module[i + 1]
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[i], module[i + 1] = fuse_conv_bn_eval(convolution.eval(), norm.eval()), nn.Identity()
    return network


def _see_pixels(encoder: Tiny) -> None:
    """The first convolution takes pixels as they lie: the same products, without moving them first."""
    first, side = encoder.first, encoder.first * 3
    cells: nn.Conv2d = encoder.stem[0][0]  # type: ignore[index]
    pixels = nn.Conv2d(3, cells.out_channels, side, first, padding=first, dtype=cells.weight.dtype)
    weights = cells.weight.reshape(-1, 3, first, first, 3, 3).permute(0, 1, 4, 2, 5, 3)
    pixels.weight = nn.Parameter(weights.reshape(-1, 3, side, side), requires_grad=False)
    pixels.bias = cells.bias
    encoder.stem[0][0] = pixels  # type: ignore[operator]
    encoder.unshuffle = nn.Identity()


def _halve(part: nn.Module) -> None:
    """Layers in float16, normalisations in float32."""
    part.half()
    for name, norm in [(n, m) for n, m in part.named_modules() if isinstance(m, nn.LayerNorm | LayerNorm2d)]:
        parent, _, attribute = name.rpartition(".")
        setattr(part.get_submodule(parent), attribute, Float32(norm.float()))
