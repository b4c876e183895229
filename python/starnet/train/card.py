"""The model card: what weights are, where they come from, and what they cannot do."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import yaml

from starnet import __version__
from starnet.atomic import replacing
from starnet.evaluate.metrics import NAMES
from starnet.networks import parameters
from starnet.networks.network import Network
from starnet.train.config import TrainConfig
from starnet.train.documents import as_mapping

_PACKAGES = ("torch", "lightning", "segment-anything", "peft", "kornia", "numpy")
_FIGURES = {
    "loss": "loss",
    **NAMES,
    "point_iou": "mean IoU of masks from one point",
    "box_iou": "mean IoU of masks from a box",
}


def write_card(
    path: Path, config: TrainConfig, network: Network, *, steps: int, figures: dict[str, float], command: str = ""
) -> None:
    """Write a model card in Markdown.

    Parameters
    ----------
    path : Path
        The file.
    config : TrainConfig
        The training.
    network : Network
        What came out of it.
    steps : int
        After which the weights were taken.
    figures : dict of str to float
        Of the validation then.
    command : str
        That trained it.
    """
    with replacing(path) as partial:
        partial.write_text(_text(config, network, steps, figures, command), encoding="utf-8")


def _text(config: TrainConfig, network: Network, steps: int, figures: dict[str, float], command: str) -> str:
    counts = parameters.count(network)
    learning = config.learning
    learned = {
        "encoder": {
            "full": "all weights",
            "lora": f"LoRA of rank {learning.rank}",
            "neck": "last layer",
            "frozen": "frozen",
        }[learning.encoder],
        "prompts and masks": "learned" if learning.decoder and config.asks else "frozen",
        "instance head": ("learned" if learning.head else "frozen") if network.instance_head else "none",
        "adapter of bands": ", ".join(config.network.bands) or "fixed",
    }
    begun = config.network.checkpoint or "random weights"
    if isinstance(begun, Mapping):
        begun = "the mean of " + ", ".join(f"{name} ({share:g})" for name, share in begun.items())
    source = {"train": as_mapping(config.data.train), "validation": as_mapping(config.data.validation)}
    lines = [
        f"# {config.network.name}, trained by StarNet",
        "",
        f"A network of the SAM family with {sum(counts.values()):,} weights "
        f"({', '.join(f'{name} {n:,}' for name, n in counts.items() if n)}), for images as the recipe "
        f"`{network.config.recipe}` shows them.",
        "",
        "## What it was trained on",
        "",
        "```yaml",
        yaml.safe_dump(source, sort_keys=False, default_flow_style=None, width=100).rstrip(),
        "```",
        "",
        f"Samples of {config.data.size} x {config.data.size} pixels, "
        f"{config.batch * config.accumulate * config.devices} a step; it began with {begun}.",
        "",
        "| part | |",
        "|---|---|",
        *(f"| {name} | {how} |" for name, how in learned.items()),
        "",
        "## How to make it again",
        "",
        f"Seed {config.seed}, {config.steps} steps; these are the weights after step {steps}"
        + (f", averaged with a decay of {config.average}" if config.average else "")
        + ". `config.yaml` beside this file holds every setting"
        + (f"; the command was `{command}`." if command else "."),
        "",
        f"StarNet {__version__}, Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
        + ".",
        "",
        "## Validation",
        "",
        f"On {config.data.validation_samples} samples of the validation's sources, which it did not learn from; the "
        f"best weights were chosen on them by {_FIGURES[config.monitor]}, so that these figures are a little too good.",
        "",
        "| figure | |",
        "|---|---|",
        *(f"| {name} | {figures[key]:.4f} |" for key, name in _FIGURES.items() if key in figures),
        "",
        "## Limits",
        "",
        "- It knows the surveys, bands and depths named above, and no others: judge it on your own images with "
        "`starnet evaluate` or `starnet inject` first.",
        "- Simulated sources are Sersic profiles; what they lack, it has not seen.",
        "- The figures are of samples, not of whole mosaics, and have no error bars: those of `starnet evaluate` have.",
    ]
    return "\n".join(lines) + "\n"
