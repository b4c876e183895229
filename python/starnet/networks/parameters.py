"""Which weights learn, and how fast."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import nn

from starnet.networks.network import PARTS, Network

_PLAIN = (nn.LayerNorm, nn.BatchNorm2d, nn.Embedding)


def freeze(network: Network, parts: Collection[str]) -> None:
    """Keeps parts as they are: their weights, and what their normalisations remember; the others learn.

    Weights that LoRA froze stay frozen: add it after.

    Parameters
    ----------
    network : Network
        Is changed.
    parts : collection of str
        Some of `PARTS`.

    Raises
    ------
    ValueError
        If there is no such part.
    """
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise ValueError(f"freeze={sorted(unknown)}: choose from {', '.join(PARTS)}")
    for name in PARTS:
        part = getattr(network, name)
        if part is not None:
            part.requires_grad_(name not in parts)
    network.frozen = frozenset(parts)
    network.train(network.training)


def groups(
    network: Network,
    rate: float,
    *,
    weight_decay: float = 0.0,
    layer_decay: float = 1.0,
    factors: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Groups of an optimiser, of all weights that learn.

    Parameters
    ----------
    network : Network
        After `freeze`.
    rate : float
        Learning rate.
    weight_decay : float
        Of matrices and kernels; biases, normalisations and embeddings have none.
    layer_decay : float
        Factor of the rate from a layer of the encoder to the one below (Bao et al. 2021, arXiv:2106.08254).
    factors : mapping of str to float, optional
        Of the rate, by part.
    """
    encoder = network.image_encoder
    deepest = max(encoder.depth_of(name) for name, _ in encoder.named_parameters())
    plain = {id(p) for m in network.modules() if isinstance(m, _PLAIN) for p in m.parameters(recurse=False)}
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        part, _, inside = name.partition(".")
        own = rate * (factors or {}).get(part, 1.0)
        if part == "image_encoder":
            own *= layer_decay ** (deepest - encoder.depth_of(inside))
        decay = 0.0 if parameter.ndim < 2 or id(parameter) in plain else weight_decay
        found.setdefault((own, decay), []).append(parameter)
    return [{"params": members, "lr": own, "weight_decay": decay} for (own, decay), members in found.items()]


def count(network: Network) -> dict[str, int]:
    """Number of weights of each part."""
    parts = {name: getattr(network, name) for name in PARTS}
    return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items() if part is not None}
