"""What training makes small: SAM's losses of masks, and those of the instance head. Ignored pixels count nowhere."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

#: Of the focal loss (Lin et al. 2017, arXiv:1708.02002), as SAM.
ALPHA, GAMMA = 0.25, 2.0


def focal_loss(logits: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Focal loss, mean over the valid pixels of the last two axes.

    Parameters
    ----------
    logits, truth, valid : Tensor
        Shapes that broadcast to ``(..., ny, nx)``; truth and valid are 0 or 1.
    """
    truth = truth.to(logits)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth.expand_as(logits), reduction="none")
    wrong = torch.sigmoid(logits)
    wrong = wrong + truth - 2 * wrong * truth
    weight = ALPHA * truth + (1 - ALPHA) * (1 - truth)
    return _mean(weight * wrong**GAMMA * entropy, valid)


def dice_loss(logits: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """1 - Dice coefficient of the probabilities over the last two axes, smoothed by one pixel (Milletari et al. 2016).

    Parameters
    ----------
    logits, truth, valid : Tensor
        As in `focal_loss`.
    """
    inside = torch.sigmoid(logits) * valid
    truth = (truth * valid).to(logits)
    both = (inside * truth).sum(dim=(-2, -1))
    return 1 - (2 * both + 1) / (inside.sum(dim=(-2, -1)) + truth.sum(dim=(-2, -1)) + 1)


def mask_iou(logits: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """IoU of the masks (logits above 0) with the truth over the last two axes; 1 where both are empty.

    Parameters
    ----------
    logits, truth, valid : Tensor
        As in `focal_loss`.
    """
    drawn, wanted, valid = logits > 0, truth > 0, valid > 0
    union = ((drawn | wanted) & valid).sum(dim=(-2, -1))
    both = (drawn & wanted & valid).sum(dim=(-2, -1))
    return torch.where(union > 0, both / union.clamp(min=1), 1.0)


def prompted_losses(logits: Tensor, predicted_iou: Tensor, truth: Tensor, valid: Tensor) -> dict[str, Tensor]:
    """SAM's losses of the masks that prompts asked for.

    Of several candidates for an ambiguous prompt the best alone is taught (Kirillov et al. 2023, appendix A); the
    predicted IoU of all is compared with what they reach.

    Parameters
    ----------
    logits : Tensor
        ``(p, m, h, w)``.
    predicted_iou : Tensor
        ``(p, m)``.
    truth, valid : Tensor
        ``(p, h, w)``.

    Returns
    -------
    dict of str to Tensor
        ``focal`` and ``dice``, each ``(p, m)`` (which is the best depends on their weights), and ``iou``, ``(p, m)``.
    """
    truth, valid, logits = truth[:, None], valid[:, None], logits.float()
    reached = mask_iou(logits.detach(), truth, valid)
    return {
        "focal": focal_loss(logits, truth, valid),
        "dice": dice_loss(logits, truth, valid),
        "iou": (predicted_iou.float() - reached) ** 2,
    }


def instance_losses(logits: Tensor, targets: Tensor, valid: Tensor) -> dict[str, Tensor]:
    """Losses of the instance head.

    Parameters
    ----------
    logits : Tensor
        Foreground, centre and boundary distance, ``(n, 3, ny, nx)``.
    targets : Tensor
        In 0 to 1, likewise.
    valid : Tensor
        ``(n, ny, nx)``.

    Returns
    -------
    dict of str to Tensor
        ``foreground``: cross-entropy and Dice; ``centre``: squared error, 21 times as heavy at a centre as far from
        any; ``distance``: squared error, 11 times as heavy inside as outside. Scalars.
    """
    logits = logits.float()
    foreground, centre, distance = targets.unbind(1)
    predicted = torch.sigmoid(logits[:, 1:])
    entropy = functional.binary_cross_entropy_with_logits(logits[:, 0], foreground, reduction="none")
    everywhere = valid.reshape(1, -1, valid.shape[-1])  # one Dice coefficient of the batch: a crop may be empty
    return {
        "foreground": _mean(entropy, valid).mean()
        + dice_loss(logits[:, 0].reshape(everywhere.shape), foreground.reshape(everywhere.shape), everywhere).mean(),
        "centre": _mean((predicted[:, 0] - centre) ** 2 * (1 + 20 * centre), valid).mean(),
        "distance": _mean((predicted[:, 1] - distance) ** 2 * (0.1 + foreground), valid).mean(),
    }


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid pixels of the last two axes; 0 where there is none."""
    weight = valid.to(values)
    return (values * weight).sum(dim=(-2, -1)) / weight.sum(dim=(-2, -1)).clamp(min=1)
