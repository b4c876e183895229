"""The training of a network, for Lightning."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from starnet.networks import lora, parameters
from starnet.networks.network import Features, Network
from starnet.train.asking import asking_losses
from starnet.train.config import Learning, Optimiser, TrainConfig
from starnet.train.embeddings import Embeddings
from starnet.train.feed import Batch
from starnet.train.judging import Judge
from starnet.train.losses import instance_losses
from starnet.train.prompting import choose


class Training(LightningModule):
    """Losses of batches, the optimiser, and the figures of a validation.

    All random numbers of a batch follow from the seed, the device's rank and the batch's number: nothing has to be
    remembered of them for a training to go on as if it had not been interrupted.

    Parameters
    ----------
    network : Network
        Prepared by `prepare`.
    config : TrainConfig
        The training.
    feed : callable
        Batches from the one of a number on, ``feed(first, rank, world)``, as those of `starnet.train.feed.Feed`.
    validation : list of Batch
        The same batches each time.

    Attributes
    ----------
    batches : int
        How many this device has seen.
    figures : dict of str to float
        Of the last validation.
    latest : dict of str to Tensor
        Losses of the last batch.
    """

    def __init__(
        self,
        network: Network,
        config: TrainConfig,
        feed: Callable[[int, int, int], Iterable[Batch]],
        validation: list[Batch],
    ) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.batches = 0
        self.figures: dict[str, float] = {}
        self.latest: dict[str, Tensor] = {}
        self._feed, self._validation = feed, validation
        encoder = (network.adapter, network.image_encoder)
        self._encoder_learns = any(p.requires_grad for part in encoder for p in part.parameters())
        self._kept = None if config.embeddings is None else Embeddings(config.embeddings, network)
        self._judge = Judge()

    def train_dataloader(self) -> Iterable[Batch]:
        """Batches from the one on that comes next."""
        return self._feed(self.batches, self.global_rank, self.trainer.world_size)

    def val_dataloader(self) -> Iterable[Batch]:
        """The validation's, all of them on each device."""
        batches: Any = self._validation
        return DataLoader(batches, batch_size=None)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a batch."""
        torch.manual_seed(_seed(self.config.seed, self.global_rank, self.batches))
        losses = self._losses(self._features(batch), batch)
        self.batches += 1
        self.latest = {name: value.detach() for name, value in losses.items()}
        return losses["loss"]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Losses of a batch, and how good its objects and masks are."""
        torch.manual_seed(_seed(self.config.seed, "validation", batch_idx))
        features = self._features(batch)
        self._judge.add_losses(self._losses(features, batch))
        if self.config.judges_head:
            logits = self.network.instance_maps(features, _shape(batch))
            self._judge.add_maps(logits, batch["labels"], batch["valid"])
        if self.config.asks:
            least = self.config.prompting.least_area
            self._judge.add_masks(self.network, features, batch["labels"], batch["valid"], least)

    def on_validation_epoch_end(self) -> None:
        """Add up."""
        self.figures, self._judge = self._judge.figures(), Judge()

    def configure_optimizers(self) -> Any:
        """AdamW, warm-up and cosine."""
        chosen = self.config.optimiser
        groups = parameters.groups(
            self.network, chosen.rate, weight_decay=chosen.weight_decay, layer_decay=chosen.layer_decay
        )
        optimiser = AdamW(groups, betas=chosen.betas)
        schedule = LambdaLR(optimiser, lambda step: rate_factor(step, self.config.steps, chosen))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Where the samples are."""
        checkpoint["batches"] = self.batches

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The inverse."""
        self.batches = checkpoint["batches"]

    def _features(self, batch: Batch) -> Features:
        if self._encoder_learns:
            return self.network.encode(batch["pixels"])
        with torch.no_grad():
            if self._kept is not None:
                return self._kept.features(batch["pixels"])
            return self.network.encode(batch["pixels"])

    def _losses(self, features: Features, batch: Batch) -> dict[str, Tensor]:
        """All of them, and their weighted sum as ``loss``."""
        config, weights = self.config, self.config.losses
        losses: dict[str, Tensor] = {}
        if config.judges_head:
            logits = self.network.instance_maps(features, _shape(batch))
            losses |= instance_losses(logits, batch["targets"], batch["valid"])
        if config.asks:
            objects = choose(batch["labels"], batch["valid"], config.prompting.objects, config.prompting.least_area)
            losses |= asking_losses(
                self.network,
                features["embedding"],
                objects,
                config.prompting,
                weights,
                checkpointing=config.checkpointing,
            )
        total = torch.stack([getattr(weights, name) * value for name, value in losses.items()]).sum()
        return {"loss": total, **losses}


def prepare(network: Network, learning: Learning, *, checkpointing: bool = False) -> Network:
    """Let some parts of a network learn, and keep the others as they are; the network is changed, and returned."""
    parts = {
        "adapter": learning.adapter,
        "image_encoder": learning.encoder == "full",
        "prompt_encoder": learning.decoder,
        "mask_decoder": learning.decoder,
        "instance_head": learning.head,
    }
    parameters.freeze(network, [name for name, learns in parts.items() if not learns])
    if learning.encoder == "neck":
        network.image_encoder.neck.requires_grad_()
    if learning.encoder == "lora":
        lora.add(network, rank=learning.rank, alpha=learning.alpha)
    if hasattr(network.image_encoder, "checkpointing"):
        network.image_encoder.checkpointing = checkpointing
    return network.train()


def rate_factor(step: int, steps: int, chosen: Optimiser) -> float:
    """Part of the largest learning rate at a step: a straight warm-up, then a cosine (Loshchilov & Hutter 2016)."""
    if step < chosen.warmup:
        return (step + 1) / (chosen.warmup + 1)
    done = min((step - chosen.warmup) / max(steps - chosen.warmup, 1), 1.0)
    return chosen.final + (1 - chosen.final) * 0.5 * (1 + math.cos(math.pi * done))


def _shape(batch: Batch) -> tuple[int, int]:
    return batch["pixels"].shape[2], batch["pixels"].shape[3]


def _seed(*numbers: int | str) -> int:
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:8], "little") >> 1
