"""How much memory a training needs: the arithmetic, before it begins."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import torch

from starnet.errors import StarnetError
from starnet.networks.config import TinyEncoder, VitEncoder
from starnet.networks.network import Network
from starnet.train.config import TrainConfig

#: Of torch itself, and what its allocator cannot use.
BASE = 512 << 20


@dataclass(frozen=True)
class Memory:
    """Bytes that a training needs on a device.

    Attributes
    ----------
    weights : int
        Of the network, float32.
    gradients, optimiser, average : int
        One, two and one more float32 for each weight that learns.
    encoder : int
        Activations that the encoder keeps for the backward pass, and the largest that come and go.
    decoder : int
        Those of the masks, and of the instance head.
    base : int
        Torch's own.
    """

    weights: int
    gradients: int
    optimiser: int
    average: int
    encoder: int
    decoder: int
    base: int = BASE

    @property
    def total(self) -> int:
        """All of it."""
        return sum(getattr(self, field.name) for field in fields(self))


def estimate_memory(network: Network, config: TrainConfig, *, half: bool = False) -> Memory:
    """What a training needs, within a factor of about 1.5: activations are counted, not measured.

    Parameters
    ----------
    network : Network
        Prepared: what learns requires gradients.
    config : TrainConfig
        The training.
    half : bool
        Whether activations are 16-bit.
    """
    weights = sum(4 * tensor.numel() for tensor in network.state_dict().values())
    learning = sum(4 * p.numel() for p in network.parameters() if p.requires_grad)
    deep = any(p.requires_grad for part in (network.adapter, network.image_encoder) for p in part.parameters())
    each = 2 if half else 4
    encoder = network.config.encoder
    if isinstance(encoder, VitEncoder):
        activations = each * _vit(encoder, keep=deep, checkpointing=config.checkpointing)
        frame, cells = encoder.image_size, encoder.image_size // encoder.patch_size
    else:
        activations = each * _tiny(encoder, config.data.size, keep=deep)
        frame, cells = config.data.size, (network.config.prompt.window or 0) // 4
    decoder = config.batch * each * _masks(network, config, cells)
    if network.instance_head is not None:
        # Maps of full size, those of its convolutions' finest levels and of its losses.
        decoder += config.batch * each * (300 if isinstance(encoder, VitEncoder) else 40) * frame * frame
    return Memory(
        weights,
        learning,
        2 * learning,
        learning if config.average else 0,
        config.batch * activations,
        decoder,
    )


def check_memory(network: Network, config: TrainConfig, accelerator: str, limit: int | None = None) -> None:
    """See that a training fits.

    Raises
    ------
    StarnetError
        If the estimate is more than the limit, or than the device has free.
    """
    need = estimate_memory(network, config, half=accelerator == "gpu" and config.precision != "fp32").total
    there = available(accelerator) if limit is None else limit
    if there is not None and need > there:
        raise StarnetError(
            f"this training needs about {need / 2**30:.1f} GiB of memory, and there are {there / 2**30:.1f}: lower "
            "batch, prompting.objects or data.size, or set checkpointing=true"
        )


def available(accelerator: str) -> int | None:
    """Bytes that are free on a device; None if that cannot be known."""
    if accelerator == "gpu":
        return torch.cuda.mem_get_info()[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return int(dict(line.split(":", 1) for line in lines)["MemAvailable"].split()[0]) << 10
    except (OSError, KeyError):
        return None  # not Linux


def _vit(config: VitEncoder, *, keep: bool, checkpointing: bool) -> int:
    """Numbers that a sample's pass through a transformer holds at its peak.

    A block keeps, for each token, its input, two norms, the queries, keys and values, the attention's sum, the
    projection's output, and the two layers of the MLP with what its activation function sees: 16 widths. An attention
    of s tokens by s keeps, for each head, the products, the same with relative positions, and the softmax: 3 s^2.
    """
    side = config.image_size // config.patch_size
    tokens = side * side
    windows = -(-side // config.attention_window)
    padded = (windows * config.attention_window) ** 2

    def block(index: int) -> int:
        if index in config.global_blocks:
            return 16 * tokens * config.width + 3 * config.heads * tokens * tokens
        return 16 * padded * config.width + 3 * config.heads * padded * config.attention_window**2

    blocks = [block(index) for index in range(config.depth)]
    ends = 6 * tokens * config.width + 3 * 3 * config.image_size**2
    if not keep:
        return max(blocks) + ends
    # In the backward pass of one block, gradients of its activations come to them.
    return (config.depth * tokens * config.width if checkpointing else sum(blocks)) + 2 * max(blocks) + ends


def _tiny(config: TinyEncoder, size: int, *, keep: bool) -> int:
    """Numbers that a sample's pass through the convolutions holds at its peak."""
    total, largest = 0, 0
    for level, (width, blocks) in enumerate(zip(config.widths, config.blocks, strict=True)):
        pixels = (size // (config.first_stride << level)) ** 2
        # A block keeps the inputs of its convolutions, normalisations and activation functions.
        one = pixels * width * (2 + (4 if config.block == "inverted" else 2) * config.expansion)
        total += one * (blocks + config.refine) + 6 * pixels * width
        largest = max(largest, one)
    return (total if keep else 0) + 2 * largest + 3 * size * size


def _masks(network: Network, config: TrainConfig, cells: int) -> int:
    """Numbers that a sample's prompts hold at their peak.

    For each object and round some 24 widths a cell in the decoder's two-way transformer, and in its upscaling 3 maps of
    a quarter of the width at four times the cells and 4 maps of an eighth at 16 times; then the logits and what their
    losses keep, 10 maps of each candidate in the window's pixels.
    """
    width = network.config.prompt.width
    side = network.prompt_window or config.data.size
    each = cells * cells * (24 * width + 4 * 3 * (width // 4) + 16 * 4 * (width // 8)) + 30 * side * side
    rounds = 3 if config.checkpointing else config.prompting.rounds  # one, its gradients, and what the others keep
    return config.prompting.objects * each * rounds
