"""A training, written down: dataclasses that are a YAML file, each value checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import yaml

from starnet.atomic import replacing
from starnet.networks import NETWORKS, NetworkConfig, TinyEncoder
from starnet.train.augmentations import config_from
from starnet.train.documents import as_mapping, difference, from_mapping, override, read_yaml
from starnet.train.sources.loading import read_choice


@dataclass(frozen=True)
class NetworkChoice:
    """The network, and where its weights begin.

    Parameters
    ----------
    name : str
        One of `starnet.networks.NETWORKS`.
    checkpoint : str or mapping of str to float, optional
        Weights to begin with: ``tiny``, which come with the package; ``sam-vit-b`` and its like, once they are fetched;
        or a file, ours (``.safetensors``) or Meta's (``.pth``). Of several, with the share of each, their mean. Random
        ones otherwise.
    instance_head : bool, optional
        Whether it has one; by default as the network of this name.
    bands : tuple of str
        Bands of a learned adapter, in order; empty for the fixed one.
    encoder, prompt : mapping
        What to change of the network's `encoder` and `prompt`, by name.
    stretch : tuple of float, optional
        Values that become black and white, for the ``vit_*``.
    """

    name: str = "tiny"
    checkpoint: str | Mapping[str, float] | None = None
    instance_head: bool | None = None
    bands: tuple[str, ...] = ()
    encoder: Mapping[str, Any] = field(default_factory=dict)
    prompt: Mapping[str, Any] = field(default_factory=dict)
    stretch: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        self.network()
        if isinstance(self.checkpoint, Mapping):
            shares = self.checkpoint.values()
            if not shares or not all(isinstance(one, int | float) and one > 0 for one in shares):
                raise ValueError(f"checkpoint={dict(self.checkpoint)!r} must give each file a share above 0")

    def network(self) -> NetworkConfig:
        """What it is made of.

        Raises
        ------
        ValueError
            If there is no such network, or a value is out of its range.
        """
        if self.name not in NETWORKS:
            raise ValueError(f"name={self.name!r} is unknown; choose {', '.join(NETWORKS)}")
        content = NETWORKS[self.name].as_dict()
        for section in ("encoder", "prompt"):
            for key, value in getattr(self, section).items():
                if key not in content[section]:
                    known = ", ".join(name for name in content[section] if name != "kind")
                    raise ValueError(f"{section}.{key} is unknown; choose from {known}")
                content[section][key] = value
        if self.instance_head is not None:
            content["instance_head"] = self.instance_head
        if self.stretch is not None:
            content["stretch"] = self.stretch
        return NetworkConfig.from_dict({**content, "bands": self.bands})


@dataclass(frozen=True)
class DataChoice:
    """What it learns from, and what it is judged by.

    Parameters
    ----------
    train, validation : tuple of mapping
        Sources of samples, as `starnet.train.sources.load_source` takes them.
    size : int
        Side of a sample in pixels.
    validation_samples : int
        Samples of the validation's sources that are judged, always the same.
    samples : int, optional
        Learn from so many samples only, over and over, augmented as they are drawn first; None for ever new ones.
    workers : int
        Processes that make samples beside the training.
    """

    train: tuple[Mapping[str, Any], ...]
    validation: tuple[Mapping[str, Any], ...]
    size: int = 256
    validation_samples: int = 16
    samples: int | None = None
    workers: int = 0

    def __post_init__(self) -> None:
        for name in ("train", "validation"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty: name a source of samples")
            for source in getattr(self, name):
                read_choice(source)
        _positive(self, "size", "validation_samples", "samples")
        if self.workers < 0:
            raise ValueError(f"workers={self.workers}: must be 0 or more")


@dataclass(frozen=True)
class Learning:
    """Which parts of the network learn.

    Parameters
    ----------
    encoder : {"full", "lora", "neck", "frozen"}
        All its weights, low-rank additions to its attention (Hu et al. 2021, arXiv:2106.09685), those of its last
        layer alone, which lead to the embedding and not to a `tiny`'s instance head, or none.
    decoder, head, adapter : bool
        Whether prompt encoder and mask decoder, the instance head, and a learned adapter of bands do.
    rank : int
        Of the additions.
    alpha : float
        They are scaled by ``alpha / rank``.
    """

    encoder: Literal["full", "lora", "neck", "frozen"] = "full"
    decoder: bool = True
    head: bool = True
    adapter: bool = True
    rank: int = 8
    alpha: float = 16.0

    def __post_init__(self) -> None:
        _positive(self, "rank", "alpha")
        if self.encoder == "frozen" and not (self.decoder or self.head or self.adapter):
            raise ValueError("encoder, decoder, head, adapter: nothing learns; let one of them")


@dataclass(frozen=True)
class Prompting:
    """Prompts that are made from the truth, as SAM's training does (Kirillov et al. 2023, appendix A).

    Parameters
    ----------
    objects : int
        Objects of a sample that are asked for, at most; 0 trains the instance head alone.
    rounds : int
        Times that each is asked for: first by a point or a box, then each time by one point more, where the mask so
        far is wrong, and by that mask's logits.
    boxes : float
        How often the first prompt is a box, 0 to 1.
    jitter : float
        Scatter of a box's sides, of their length.
    least_area : int
        Objects of fewer pixels are not asked for.
    """

    objects: int = 16
    rounds: int = 4
    boxes: float = 0.5
    jitter: float = 0.1
    least_area: int = 5

    def __post_init__(self) -> None:
        _positive(self, "rounds", "least_area")
        if self.objects < 0:
            raise ValueError(f"objects={self.objects}: must be 0 or more")
        _within(self, 0, 1, "boxes", "jitter")


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses.

    Parameters
    ----------
    focal, dice, iou : float
        Of masks that prompts ask for; SAM's are 20 : 1 : 1.
    foreground, centre, distance : float
        Of the instance head.
    """

    focal: float = 20.0
    dice: float = 1.0
    iou: float = 1.0
    foreground: float = 1.0
    centre: float = 5.0
    distance: float = 10.0

    def __post_init__(self) -> None:
        for one in fields(self):
            if getattr(self, one.name) < 0:
                raise ValueError(f"{one.name}={getattr(self, one.name)}: must be 0 or more")


@dataclass(frozen=True)
class Optimiser:
    """AdamW, with a warm-up and a cosine.

    Parameters
    ----------
    rate : float
        Largest learning rate.
    layer_decay : float
        Factor of the rate from one layer of the encoder to the one before it.
    weight_decay : float
        Of weights; normalisations and biases have none.
    betas : tuple of float
        Of AdamW.
    warmup : int
        Steps in which the rate grows from 0.
    final : float
        Part of the rate that is left at the end.
    clip : float
        Largest norm of a gradient; 0 for any.
    """

    rate: float = 2e-3
    layer_decay: float = 1.0
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    warmup: int = 50
    final: float = 0.0
    clip: float = 1.0

    def __post_init__(self) -> None:
        _positive(self, "rate", "layer_decay")
        _within(self, 0, 1, "layer_decay", "weight_decay", "final")
        if self.warmup < 0 or self.clip < 0:
            raise ValueError(f"warmup={self.warmup}, clip={self.clip}: must be 0 or more")


@dataclass(frozen=True)
class TrainConfig:
    """All that decides the outcome of a training.

    Parameters
    ----------
    data : DataChoice
        What it learns from.
    network : NetworkChoice
        What learns.
    learning : Learning
        Which parts of it.
    augmentation : mapping
        What `starnet.train.augment.Augmentation.from_mapping` takes.
    prompting : Prompting
        How masks are asked for.
    losses : LossWeights
        Weights of the losses.
    optimiser : Optimiser
        How it learns.
    steps : int
        Steps of the optimiser.
    batch : int
        Samples of a batch, on each device.
    accumulate : int
        Batches of a step.
    precision : {"auto", "fp32", "bf16", "fp16"}
        Of activations. ``auto`` is bf16 on a GPU that has it, else fp32.
    checkpointing : bool
        Compute activations again in the backward pass instead of keeping them.
    devices : int
        GPUs; each takes batches of its own.
    strategy : str
        Lightning's, for several: ``auto``, ``ddp``, ``fsdp``, ...
    average : float
        Decay of the weights' exponential moving average, which is validated and saved; 0 for none.
    validate_every : int
        Steps between validations.
    patience : int
        Validations without a better one after which training stops; 0 for none.
    best_by : {"auto", "pq", "point_iou", "loss"}
        What tells the best weights: panoptic quality of the instance head, mean IoU of masks from one point, or loss.
        ``auto`` is pq where the head learns, else point_iou.
    checkpoint_minutes : float
        Longest time between checkpoints.
    embeddings : str, optional
        Folder where a frozen encoder's embeddings are kept. Needs `data.samples`.
    seed : int
        Of weights, samples and prompts.
    """

    data: DataChoice
    network: NetworkChoice = field(default_factory=NetworkChoice)
    learning: Learning = field(default_factory=Learning)
    augmentation: Mapping[str, Any] = field(default_factory=dict)
    prompting: Prompting = field(default_factory=Prompting)
    losses: LossWeights = field(default_factory=LossWeights)
    optimiser: Optimiser = field(default_factory=Optimiser)
    steps: int = 1000
    batch: int = 4
    accumulate: int = 1
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    checkpointing: bool = False
    devices: int = 1
    strategy: str = "auto"
    average: float = 0.998
    validate_every: int = 250
    patience: int = 0
    best_by: Literal["auto", "pq", "point_iou", "loss"] = "auto"
    checkpoint_minutes: float = 10.0
    embeddings: str | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        config_from(self.augmentation)
        _positive(self, "steps", "batch", "accumulate", "devices", "validate_every")
        if not 0 <= self.average < 1:
            raise ValueError(f"average={self.average}: must be 0 or more, and less than 1")
        if self.patience < 0 or self.checkpoint_minutes < 0 or self.seed < 0:
            raise ValueError("patience, checkpoint_minutes and seed must be 0 or more")
        if not self.asks and not self.judges_head:
            raise ValueError("prompting.objects=0: nothing to learn without an instance head that does")
        if self.best_by == "pq" and not self.network.network().instance_head:
            raise ValueError("best_by='pq': the network has no instance head; set network.instance_head=true")
        if self.best_by == "point_iou" and not self.asks:
            raise ValueError("best_by='point_iou': nothing is asked for; set prompting.objects")
        if self.embeddings is not None and (self.learning.encoder != "frozen" or self.network.bands):
            raise ValueError("embeddings: only those of a frozen encoder without a learned adapter can be kept")
        if self.embeddings is not None and self.data.samples is None:
            raise ValueError("embeddings: ever new samples have ever new ones; set data.samples")

    @property
    def asks(self) -> bool:
        """Whether masks are asked for."""
        return self.prompting.objects > 0

    @property
    def judges_head(self) -> bool:
        """Whether there is an instance head, and the training changes what it says."""
        learning = self.learning
        network = self.network.network()
        unchanged = ("neck", "frozen") if isinstance(network.encoder, TinyEncoder) else ("frozen",)
        changes = learning.head or learning.encoder not in unchanged or bool(learning.adapter and self.network.bands)
        return network.instance_head and changes

    @property
    def monitor(self) -> str:
        """The figure of the validation that tells the best."""
        if self.best_by == "auto":
            return "pq" if self.judges_head else "point_iou"
        return self.best_by

    def save(self, path: str | Path) -> None:
        """Write it as YAML, complete."""
        with replacing(path) as partial:
            text = yaml.safe_dump(as_mapping(self), sort_keys=False, default_flow_style=None, width=100)
            partial.write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path, settings: Sequence[str] = ()) -> TrainConfig:
        """Read a YAML file, with some of its keys changed.

        Parameters
        ----------
        path : str or Path
            The file.
        settings : sequence of str
            ``section.key=value`` each.

        Raises
        ------
        StarnetError
            If the file cannot be read, a key is unknown or missing, or a value is of the wrong type or out of range.
        """
        content = read_yaml(path)
        override(content, settings)
        return from_mapping(cls, content, str(path))

    def difference(self, other: TrainConfig) -> str | None:
        """The first key in which two differ."""
        return difference(as_mapping(self), as_mapping(other))


def _positive(section: Any, *names: str) -> None:
    for name in names:
        value = getattr(section, name)
        if value is not None and value <= 0:
            raise ValueError(f"{name}={value}: must be more than 0")


def _within(section: Any, least: float, most: float, *names: str) -> None:
    for name in names:
        value = getattr(section, name)
        if not least <= value <= most:
            raise ValueError(f"{name}={value}: must be within {least} to {most}")
