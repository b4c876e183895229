"""Prompts from the truth: which objects to ask for, and where to point, first and where a mask is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: Largest scatter of a box's side in pixels, as SAM's.
LARGEST_JITTER = 20.0


@dataclass(frozen=True)
class Objects:
    """Objects of a batch that are asked for.

    Attributes
    ----------
    images : Tensor
        Sample of each, int64 ``(p,)``.
    masks : Tensor
        Their pixels in it, bool ``(p, ny, nx)``.
    valid : Tensor
        Pixels of the sample that count, bool ``(p, ny, nx)``.
    """

    images: Tensor
    masks: Tensor
    valid: Tensor

    def __len__(self) -> int:
        return len(self.images)


def choose(labels: Tensor, valid: Tensor, most: int, least_area: int) -> Objects:
    """Draw some objects of each sample, all with the same chance.

    Parameters
    ----------
    labels : Tensor
        ``(n, ny, nx)``, int64; 0 is sky.
    valid : Tensor
        ``(n, ny, nx)``, bool: an object's other pixels do not exist.
    most, least_area : int
        Objects of a sample, pixels of an object.
    """
    labels = torch.where(valid, labels, 0)
    images, numbers = [], []
    for i, sample in enumerate(labels):
        found, areas = torch.unique(sample, return_counts=True)
        found = found[(found > 0) & (areas >= least_area)]
        # Drawn where it does not depend on the device.
        found = found[torch.randperm(len(found)).to(found.device)[:most]]
        images.append(torch.full_like(found, i))
        numbers.append(found)
    image, number = torch.cat(images), torch.cat(numbers)
    return Objects(image, labels[image] == number[:, None, None], valid[image])


def draw_points(masks: Tensor) -> Tensor:
    """A pixel of each mask, all with the same chance; ``x, y``, float32 ``(p, 2)``.

    Parameters
    ----------
    masks : Tensor
        bool, ``(p, ny, nx)``; of an empty one the first pixel is drawn.
    """
    p, _, nx = masks.shape
    chances = torch.rand(masks.shape, device=masks.device) + 1
    place = (chances * masks).reshape(p, -1).argmax(dim=1)
    return torch.stack([place % nx, torch.div(place, nx, rounding_mode="floor")], dim=1).float()


def draw_boxes(masks: Tensor, jitter: float) -> Tensor:
    """Boxes around masks, ``x0, y0, x1, y1`` of their outermost pixels' centres, scattered; float32 ``(p, 4)``.

    Parameters
    ----------
    masks : Tensor
        bool, ``(p, ny, nx)``, none empty.
    jitter : float
        Standard deviation of each coordinate, of the box's side; at most 20 pixels, as SAM's.
    """
    edges = []
    for axis in (1, 2):  # columns, then rows
        seen = masks.any(dim=axis)
        length = seen.shape[1]
        edges.append((seen.to(torch.uint8).argmax(dim=1), length - 1 - seen.flip(1).to(torch.uint8).argmax(dim=1)))
    (x0, x1), (y0, y1) = edges
    boxes = torch.stack([x0, y0, x1, y1], dim=1).float()
    sides = (boxes[:, 2:] - boxes[:, :2] + 1).repeat(1, 2)
    boxes = boxes + torch.randn_like(boxes) * (jitter * sides).clamp(max=LARGEST_JITTER)
    corners = boxes.reshape(-1, 2, 2)
    return torch.cat([corners.amin(dim=1), corners.amax(dim=1)], dim=1)


def draw_corrections(drawn: Tensor, truth: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """A pixel of each mask's error and whether it is of the object; of a faultless mask any pixel of the object.

    Parameters
    ----------
    drawn, truth, valid : Tensor
        bool, ``(p, h, w)``.

    Returns
    -------
    points : Tensor
        ``x, y``, float32 ``(p, 2)``.
    labels : Tensor
        1 or 0, int64 ``(p,)``; -1, nothing to point at, where the mask is faultless and the object outside.
    """
    wrong = (drawn ^ truth) & valid
    region = torch.where(wrong.any(dim=(1, 2))[:, None, None], wrong, truth & valid)
    points = draw_points(region)
    x, y = points.long().unbind(1)
    labels = truth[torch.arange(len(truth), device=truth.device), y, x].long()
    return points, torch.where(region.any(dim=(1, 2)), labels, -1)


def cut(planes: Tensor, origins: Tensor, side: int, fill: float = 0) -> Tensor:
    """Squares of planes, each from an origin of its own; `fill` where a square reaches over a plane's border.

    Parameters
    ----------
    planes : Tensor
        ``(p, ny, nx)``.
    origins : Tensor
        ``y, x``, int64 ``(p, 2)``.
    side : int
        Of the squares.

    Returns
    -------
    Tensor
        ``(p, side, side)``.
    """
    ny, nx = planes.shape[1:]
    steps = torch.arange(side, device=planes.device)
    y, x = origins[:, :1] + steps, origins[:, 1:] + steps
    inside = ((y >= 0) & (y < ny))[:, :, None] & ((x >= 0) & (x < nx))[:, None, :]
    which = torch.arange(len(planes), device=planes.device)[:, None, None]
    squares = planes[which, y.clamp(0, ny - 1)[:, :, None], x.clamp(0, nx - 1)[:, None, :]]
    return torch.where(inside, squares, torch.as_tensor(fill, dtype=planes.dtype, device=planes.device))
