"""SAM's interactive training: ask for objects, and again with a point where the mask is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from starnet.networks.network import Network, prompt_anchors
from starnet.train.config import LossWeights, Prompting
from starnet.train.losses import mask_iou, prompted_losses
from starnet.train.prompting import Objects, cut, draw_boxes, draw_corrections, draw_points

#: Logit of pixels that no mask was drawn in yet.
_NOTHING = -10.0


@dataclass(frozen=True)
class Answer:
    """Masks of one round.

    Attributes
    ----------
    logits : Tensor
        Candidates, ``(p, m, h, w)``.
    predicted_iou : Tensor
        ``(p, m)``.
    truth, valid : Tensor
        bool, ``(p, h, w)``: the same pixels.
    """

    logits: Tensor
    predicted_iou: Tensor
    truth: Tensor
    valid: Tensor

    @property
    def iou(self) -> Tensor:
        """IoU with the truth of the candidate that the network itself thinks best, ``(p,)``."""
        every = torch.arange(len(self.logits), device=self.logits.device)
        best = self.logits[every, self.predicted_iou.argmax(dim=1)]
        return mask_iou(best, self.truth, self.valid)


def ask(
    network: Network,
    embedding: Tensor,
    objects: Objects,
    *,
    rounds: int,
    box: bool,
    jitter: float = 0.0,
    checkpointing: bool = False,
) -> Iterator[Answer]:
    """Ask for objects, round by round.

    Parameters
    ----------
    network : Network
        Whose masks are wanted.
    embedding : Tensor
        Of all samples.
    objects : Objects
        At least one.
    rounds : int
        How often.
    box : bool
        Whether the first prompt is a box instead of a point. A point is ambiguous and gets three candidates.
    jitter : float
        Scatter of boxes.
    checkpointing : bool
        Whether a round's activations are computed again in the backward pass.

    Yields
    ------
    Answer
        Of each round.
    """
    shape = (objects.masks.shape[1], objects.masks.shape[2])
    every = torch.arange(len(objects), device=objects.images.device)
    points, labels = embedding.new_zeros((len(objects), 0, 2)).float(), objects.images.new_zeros((len(objects), 0))
    boxes = draw_boxes(objects.masks, jitter) if box else None
    if not box:
        points, labels = draw_points(objects.masks)[:, None], torch.ones_like(objects.images)[:, None]
    former, before = None, None
    for i in range(rounds):
        origins = network.prompt_origins(prompt_anchors(points, labels, boxes), shape)
        if former is not None and network.prompt_window and before is not None:
            # A first point after a box moves the prompt's window.
            former = cut(former[:, 0], origins - before, network.prompt_window, _NOTHING)[:, None]
        arguments = (embedding, points, labels, boxes, former)
        draw = partial(network.draw, multimask=i == 0 and not box, shape=shape, images=objects.images)
        if checkpointing and torch.is_grad_enabled():
            drawn, predicted = checkpoint(draw, *arguments, use_reentrant=False)
        else:
            drawn, predicted = draw(*arguments)
        if network.prompt_window:
            logits = drawn
            truth, valid = (cut(p, origins, network.prompt_window) for p in (objects.masks, objects.valid))
        else:
            logits, truth, valid = network.to_window(drawn, shape), objects.masks, objects.valid
        yield Answer(logits, predicted, truth, valid)
        if i + 1 < rounds:
            # As in use, the candidate that it thinks best is what is corrected.
            best = predicted.detach().argmax(dim=1)
            former, before = drawn[every, best][:, None].detach(), origins
            places, kinds = draw_corrections(logits[every, best].detach() > 0, truth, valid)
            points = torch.cat([points, (places + origins.flip(1))[:, None]], dim=1)
            labels = torch.cat([labels, kinds[:, None]], dim=1)


def asking_losses(
    network: Network,
    embedding: Tensor,
    objects: Objects,
    prompting: Prompting,
    weights: LossWeights,
    *,
    checkpointing: bool = False,
) -> dict[str, Tensor]:
    """Losses of all rounds, mean over objects and rounds: ``focal``, ``dice`` and ``iou``, scalars.

    Of the candidates for an ambiguous prompt the best is taught; without objects all losses are zero.
    """
    if not len(objects):
        # With a frozen encoder it is the decoder's weights that a gradient must reach, be it of nothing.
        nothing = embedding.sum() * 0 + sum(weight.sum() * 0 for weight in network.mask_decoder.parameters())
        return {"focal": nothing, "dice": nothing, "iou": nothing}
    sums: dict[str, list[Tensor]] = {"focal": [], "dice": [], "iou": []}
    answers = ask(
        network,
        embedding,
        objects,
        rounds=prompting.rounds,
        box=bool(torch.rand(()) < prompting.boxes),
        jitter=prompting.jitter,
        checkpointing=checkpointing,
    )
    for answer in answers:
        terms = prompted_losses(answer.logits, answer.predicted_iou, answer.truth, answer.valid)
        best = (weights.focal * terms["focal"] + weights.dice * terms["dice"]).detach().argmin(dim=1, keepdim=True)
        for name in ("focal", "dice"):
            sums[name].append(terms[name].gather(1, best).mean())
        sums["iou"].append(terms["iou"].mean())
    return {name: torch.stack(values).mean() for name, values in sums.items()}
