"""A network of the SAM family: an encoder, SAM's prompts and masks, and an instance head."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from starnet.networks import prompting
from starnet.networks.adapter import Adapter
from starnet.networks.config import NetworkConfig, TinyEncoder
from starnet.networks.instance_head import TinyHead, VitHead
from starnet.networks.tiny import Tiny
from starnet.networks.vit import Vit

Features = dict[str, Tensor]
PARTS = ("adapter", "image_encoder", "prompt_encoder", "mask_decoder", "instance_head")


class Network(nn.Module):
    """From pixels to features, and from features to maps and masks.

    The names of its parts are those of the official `Sam`: without a learned adapter and an instance head, a `vit_*`
    has the state dict of Meta's files.

    Attributes
    ----------
    config : NetworkConfig
        What it is made of.
    stride : int
        Windows must begin at multiples of it.
    reach : int or None
        Pixels around a pixel that its maps depend on; None: the whole window.
    prompt_window : int or None
        Side of the window around a prompt in which its mask is drawn; None: the whole window.
    frozen : frozenset of str
        Parts that do not learn: those of `PARTS` that `starnet.networks.parameters.freeze` was told.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.frozen: frozenset[str] = frozenset()
        self.adapter = Adapter(len(config.bands), pictures=config.pictures)
        width, encoder = config.prompt.width, config.encoder
        self.image_encoder: Tiny | Vit
        self.instance_head: TinyHead | VitHead | None = None
        if isinstance(encoder, TinyEncoder):
            self.image_encoder = Tiny(encoder, width)
            side = config.prompt.window or 0
            cells = side // self.image_encoder.cell
            if config.instance_head:
                self.instance_head = TinyHead(encoder)
        else:
            self.image_encoder = Vit(encoder, width, config.stretch)
            side, cells = encoder.image_size, encoder.image_size // encoder.patch_size
            if config.instance_head:
                self.instance_head = VitHead(encoder, width)
        self.prompt_encoder = prompting.prompt_encoder(config.prompt, cells, side)
        self.mask_decoder = prompting.mask_decoder(config.prompt)
        self.stride, self.reach = self.image_encoder.stride, self.image_encoder.reach
        self.prompt_window = config.prompt.window

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation; frozen parts always evaluate, so that their normalisation keeps its numbers."""
        super().train(mode)
        for name in self.frozen:
            part = getattr(self, name)
            if part is not None:
                part.eval()
        return self

    def encode(self, pixels: Tensor) -> Features:
        """Features of windows.

        Parameters
        ----------
        pixels : Tensor
            As the recipe shows them, ``(n, bands, ny, nx)``.

        Returns
        -------
        dict of str to Tensor
            ``embedding``, and what the instance head needs besides.
        """
        if isinstance(self.image_encoder, Tiny):
            # Before a learned adapter, whose constant would else end where the window does: bundles pad pixels too.
            pixels = self.image_encoder.padded(pixels)
        features = self.image_encoder(self.adapter(pixels))
        return features if self.instance_head is not None else {"embedding": features["embedding"]}

    def instance_maps(self, features: Features, shape: tuple[int, int] | None = None) -> Tensor:
        """Logits of foreground, centre and boundary distance.

        Parameters
        ----------
        features : dict of str to Tensor
            Of `encode`.
        shape : tuple of int, optional
            Of the windows; the encoder's own, padded one where it is not given.

        Returns
        -------
        Tensor
            ``(n, 3, ny, nx)``.
        """
        if self.instance_head is None:
            raise ValueError(f"the network {self.config.name} has no instance head")
        return self.to_window(self.instance_head(features), shape)

    def decode(
        self,
        embedding: Tensor,
        points: Tensor,
        labels: Tensor,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        *,
        multimask: bool = False,
        shape: tuple[int, int] | None = None,
        images: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Masks that p prompts ask for.

        Parameters
        ----------
        embedding : Tensor
            Of `encode`, ``(n, width, cells, cells)``.
        points, labels : Tensor
            ``x, y`` in pixels of the window, 0 the centre of the first, ``(p, k, 2)``, and ``(p, k)``: 1 of the object,
            0 not, -1 nothing.
        boxes : Tensor, optional
            ``x0, y0, x1, y1``, ``(p, 4)``: one for each prompt or none at all.
        mask_input : Tensor, optional
            Logits of a former mask, as `draw` returns them, ``(p, 1, h, w)``.
        multimask : bool
            Three masks for an ambiguous prompt instead of one.
        shape : tuple of int, optional
            Of the windows; the encoder's own, padded one where it is not given.
        images : Tensor, optional
            Which of the n windows each prompt is for, ``(p,)``; not needed for one.

        Returns
        -------
        logits : Tensor
            ``(p, m, h, w)``: the whole window, or the prompt's, which begins at `prompt_origins`.
        iou : Tensor
            ``(p, m)``.
        """
        logits, iou = self.draw(
            embedding, points, labels, boxes, mask_input, multimask=multimask, shape=shape, images=images
        )
        return (logits if self.prompt_window else self.to_window(logits, shape)), iou

    def draw(
        self,
        embedding: Tensor,
        points: Tensor,
        labels: Tensor,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        *,
        multimask: bool = False,
        shape: tuple[int, int] | None = None,
        images: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As `decode`, with logits of four by four to a cell of the embedding: what `mask_input` takes."""
        shape = self._whole(embedding) if shape is None else shape
        if self.prompt_window is None:
            frame = self.image_encoder.frame(shape)
            scale = points.new_tensor([frame[1] / shape[1], frame[0] / shape[0]])
            own = embedding if images is None else embedding[images]
        else:
            scale = points.new_ones(2)
            origins = self.prompt_origins(prompt_anchors(points, labels, boxes), shape)
            own = self._cut(embedding, origins, images)
            shift = origins.flip(1).to(points)
            points = points - shift[:, None]
            boxes = None if boxes is None else boxes - shift.repeat(1, 2)
        sparse = prompting.tokens(
            self.prompt_encoder, points * scale, labels, None if boxes is None else boxes * scale.repeat(2)
        )
        dense = prompting.masks(self.prompt_encoder, mask_input)
        logits, iou = prompting.draw(self.mask_decoder, own, prompting.positions(self.prompt_encoder), sparse, dense)
        return (logits[:, 1:], iou[:, 1:]) if multimask else (logits[:, :1], iou[:, :1])

    def prompt_origins(self, anchors: Tensor, shape: tuple[int, int]) -> Tensor:
        """Where the windows begin in which prompts are drawn.

        Parameters
        ----------
        anchors : Tensor
            ``x, y`` in pixels of the window, ``(p, 2)``.
        shape : tuple of int
            Of the window.

        Returns
        -------
        Tensor
            ``y, x``, int64, ``(p, 2)``: whole cells, centred on the anchors' where that does not lead over the window's
            border. Masks reach over the end of a window that is smaller than theirs, or ends within a cell.
        """
        if self.prompt_window is None:
            return torch.zeros(anchors.shape, dtype=torch.int64, device=anchors.device)
        cell = self.image_encoder.cell
        cells = torch.floor((anchors.flip(1) + 0.5) / cell).to(torch.int64) - self.prompt_window // cell // 2
        last = [max(-(-extent // cell) - self.prompt_window // cell, 0) for extent in shape]
        return torch.minimum(cells, cells.new_tensor(last)).clamp(min=0) * cell

    def _cut(self, embedding: Tensor, origins: Tensor, images: Tensor | None) -> Tensor:
        """Squares of the embedding, ``(p, width, cells, cells)``."""
        side = self.prompt_encoder.image_embedding_size[0]
        short = [max(side - extent, 0) for extent in embedding.shape[2:]]
        embedding = functional.pad(embedding, (0, short[1], 0, short[0]))
        first = origins // self.image_encoder.cell
        steps = torch.arange(side, device=origins.device)
        which = first.new_zeros(len(first)) if images is None else images
        rows, columns = first[:, :1] + steps, first[:, 1:] + steps
        squares = embedding.permute(0, 2, 3, 1)[which[:, None, None], rows[:, :, None], columns[:, None, :]]
        return squares.permute(0, 3, 1, 2)

    def _whole(self, embedding: Tensor) -> tuple[int, int]:
        cell = self.image_encoder.cell
        return embedding.shape[2] * cell, embedding.shape[3] * cell

    def to_window(self, logits: Tensor, shape: tuple[int, int] | None) -> Tensor:
        """Logits of the encoder's frame, or of `draw` where there is no prompt window, in the windows' pixels."""
        if isinstance(self.image_encoder, Tiny):
            return logits if shape is None else logits[:, :, : shape[0], : shape[1]]
        if shape is None:
            return scaled(logits, (self.image_encoder.img_size,) * 2)
        return self.unframed(logits, self.image_encoder.frame(shape), shape)

    def unframed(self, logits: Tensor, frame: tuple[int, int], shape: tuple[int, int]) -> Tensor:
        """As the official postprocess_masks: to the encoder's square, without its padding, to the window."""
        side = self.config.encoder.image_size  # type: ignore[union-attr]
        return scaled(scaled(logits, (side, side))[:, :, : frame[0], : frame[1]], shape)


def prompt_anchors(points: Tensor, labels: Tensor, boxes: Tensor | None) -> Tensor:
    """``x, y`` of the first positive point or of the box's centre, ``(p, 2)``; as `starnet.prompts.Prompts.anchors`."""
    if boxes is None:
        first = (labels == 1).to(torch.int64).argmax(dim=1)
        return points.gather(1, first[:, None, None].expand(-1, 1, 2))[:, 0]
    centres = 0.5 * (boxes[:, :2] + boxes[:, 2:])
    if not points.shape[1]:
        return centres
    positive = labels == 1
    first = positive.to(torch.int64).argmax(dim=1)
    chosen = points.gather(1, first[:, None, None].expand(-1, 1, 2))[:, 0]
    return torch.where(positive.any(dim=1)[:, None], chosen, centres)


def scaled(logits: Tensor, shape: tuple[int, int]) -> Tensor:
    """By bilinear interpolation, pixels' corners on corners."""
    return functional.interpolate(logits, shape, mode="bilinear", align_corners=False)


def build(config: NetworkConfig) -> Network:
    """A network of this make, with fresh weights."""
    return Network(config)
