"""The network before training: weights that a user has, Meta's, or random ones; said plainly."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from starnet.atomic import write_json
from starnet.compare.scenes import read_json
from starnet.errors import StarnetError
from starnet.networks import NETWORKS, NetworkConfig
from starnet.reproduce.plan import RANDOM, Plan
from starnet.weights import EMBEDDED, KNOWN, embedded_weights, find_weights

#: Preprocessing of the report, and what of it is black and white.
_RECIPE, _STRETCH = "seed", (0.0, 1.0)


@dataclass(frozen=True)
class Start:
    """A network with its weights, as one file.

    Attributes
    ----------
    path : Path
        In the format of `starnet.networks.checkpoints`.
    config : NetworkConfig
        What the network is made of; its recipe is the preprocessing for it.
    words : str
        Where the weights come from, as a sentence.
    learned : bool
        Whether they have learned anything.
    """

    path: Path
    config: NetworkConfig
    words: str
    learned: bool


def prepare_start(plan: Plan, folder: Path) -> Start:
    """The network of a plan, as a file of its own; what is there already is taken as it is.

    Weights that were made for pictures, and random ones, get the report's preprocessing; ours keep that of their
    training.

    Raises
    ------
    StarnetError
        If there is no such network, or its weights are missing or of another one.
    """
    path, about = folder / "start.safetensors", folder / "start.json"
    if path.exists() and (kept := read_json(about)) is not None:
        return Start(path, NetworkConfig.from_dict(kept["config"]), kept["words"], kept["learned"])
    folder.mkdir(parents=True, exist_ok=True)
    start = _random(plan, path) if plan.checkpoint == RANDOM else _given(plan, path)
    write_json(about, {"config": start.config.as_dict(), "words": start.words, "learned": start.learned})
    return start


def _random(plan: Plan, path: Path) -> Start:
    import torch

    from starnet.networks.checkpoints import save
    from starnet.networks.network import build

    if plan.model not in NETWORKS:
        raise StarnetError(f"network '{plan.model}' is unknown: choose {', '.join(NETWORKS)}")
    config = _for_recipe(NETWORKS[plan.model], plan.recipe or _RECIPE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        network = build(config)
    words = (
        f"random weights of {plan.model} (seed {plan.seed}): it had learned nothing before, and what direct and tiled "
        "show is chance"
    )
    save(network, path, {"weights": words})
    return Start(path, config, words, learned=False)


def _given(plan: Plan, path: Path) -> Start:
    from starnet.networks.checkpoints import fit, read, save

    named = NETWORKS.get(plan.model)
    file = Path(plan.model) if named is None else find_weights(plan.model, plan.checkpoint)
    content = read(file)
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    published = next((name for name, known in KNOWN.items() if known.sha256 == sha256), None)
    # A file that does not say what it was made for was made for pictures.
    recipe = plan.recipe or (_RECIPE if content.config is None else None)
    config = content.config or named
    if config is not None and recipe is not None:
        config = _for_recipe(config, recipe)
    network = fit(content, expected=named, config=config)
    config = network.config
    if published:
        words = f"Meta's weights {published} (SHA-256 {sha256[:12]}…)"
    elif file in map(embedded_weights, EMBEDDED):
        words = f"the weights of {config.name} that come with StarNet (SHA-256 {sha256[:12]}…)"
    else:
        words = f"weights of {config.name} from {file.name} (SHA-256 {sha256[:12]}…), which are not Meta's"
    save(network, path, {"weights": words})
    return Start(path, config, words, learned=True)


def _for_recipe(config: NetworkConfig, recipe: str) -> NetworkConfig:
    return replace(config, recipe=recipe, stretch=_STRETCH if recipe == _RECIPE else NetworkConfig.stretch)
