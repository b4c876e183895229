"""SAM's prompt encoder and mask decoder, for prompts that each see an embedding of their own.

The official modules hold the weights; their forward passes take one image for all prompts, and change tensors in place
by masks, which neither training on several images nor export can use. The numbers are the same, bit for bit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from starnet.networks.config import PromptDecoder
from starnet.networks.official import MaskDecoder, PromptEncoder, TwoWayTransformer


def prompt_encoder(config: PromptDecoder, cells: int, side: int) -> PromptEncoder:
    """For squares of `side` pixels whose embedding has `cells` cells a side."""
    return PromptEncoder(
        embed_dim=config.width,
        image_embedding_size=(cells, cells),
        input_image_size=(side, side),
        mask_in_chans=config.mask_channels,
    )


def mask_decoder(config: PromptDecoder) -> MaskDecoder:
    """With three masks for ambiguous prompts beside the single one, as SAM's."""
    return MaskDecoder(
        num_multimask_outputs=3,
        transformer=TwoWayTransformer(
            depth=2, embedding_dim=config.width, mlp_dim=config.mlp_width, num_heads=config.heads
        ),
        transformer_dim=config.width,
        iou_head_depth=3,
        iou_head_hidden_dim=config.iou_width,
    )


def tokens(encoder: PromptEncoder, points: Tensor, labels: Tensor, boxes: Tensor | None) -> Tensor:
    """Tokens of points and boxes, ``(p, k + 1 or 2, width)``, as `PromptEncoder` makes them.

    A box is two points more, of labels 2 and 3; without one SAM appends an empty point, of label -1.
    """
    p = len(labels)
    if boxes is None:
        nowhere = points.new_full((p, 1, 2), -0.5)
        places, kinds = _places(encoder, torch.cat([points, nowhere], dim=1)), [-1]
    else:
        # One by one, as the official code has it: a product of matrices of another shape has other last bits.
        corners = _places(encoder, boxes.reshape(p, 2, 2))
        places, kinds = torch.cat([_places(encoder, points), corners], dim=1), [2, 3]
    labels = torch.cat([labels, labels.new_tensor([kinds]).expand(p, -1)], dim=1)
    which = labels[:, :, None]
    where = torch.where(which == -1, encoder.not_a_point_embed.weight[None], places)
    for kind, embedding in enumerate(encoder.point_embeddings):
        where = torch.where(which == kind, places + embedding.weight[None], where)
    return where


def _places(encoder: PromptEncoder, points: Tensor) -> Tensor:
    with torch.autocast(points.device.type, enabled=False):
        # A position of few bits is none.
        return encoder.pe_layer.forward_with_coords(points.float() + 0.5, encoder.input_image_size)  # type: ignore[no-any-return]


def positions(encoder: PromptEncoder) -> Tensor:
    """Of the embedding's cells, ``(1, width, cells, cells)``."""
    with torch.autocast(encoder.no_mask_embed.weight.device.type, enabled=False):
        return encoder.get_dense_pe()  # type: ignore[no-any-return]


def masks(encoder: PromptEncoder, mask_input: Tensor | None) -> Tensor:
    """What a former mask, ``(p, 1, 4 cells, 4 cells)``, adds to each cell."""
    if mask_input is None:
        return encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)  # type: ignore[no-any-return]
    return encoder.mask_downscaling(mask_input)  # type: ignore[no-any-return]


def draw(
    decoder: MaskDecoder, embeddings: Tensor, place: Tensor, sparse: Tensor, dense: Tensor
) -> tuple[Tensor, Tensor]:
    """Logits ``(p, 4, 4 cells, 4 cells)`` and predicted IoU ``(p, 4)``, as `MaskDecoder.predict_masks`.

    Parameters
    ----------
    decoder : MaskDecoder
        With its weights.
    embeddings : Tensor
        ``(p, width, cells, cells)``, or ``(1, ...)`` for all prompts.
    place, sparse, dense : Tensor
        Of `positions`, `tokens` and `masks`.
    """
    p = sparse.shape[0]
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight], dim=0)
    queries = torch.cat((own[None].expand(p, -1, -1), sparse), dim=1)
    source = (embeddings + dense).expand(p, -1, -1, -1)
    height, width = source.shape[2:]
    answers, source = decoder.transformer(source, place.expand(p, -1, -1, -1), queries)
    upscaled = decoder.output_upscaling(source.transpose(1, 2).reshape(p, -1, height, width))
    kernels = torch.stack([mlp(answers[:, 1 + i, :]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)], dim=1)
    logits = (kernels @ upscaled.flatten(2)).reshape(p, -1, 4 * height, 4 * width)
    return logits, decoder.iou_prediction_head(answers[:, 0, :])
