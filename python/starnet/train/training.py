"""A training from its configuration to weights that can be used."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from starnet.errors import StarnetError
from starnet.networks.checkpoints import average, fit, read, save
from starnet.networks.network import Network, build
from starnet.train.augment import Augmentation
from starnet.train.callbacks import BEST, LAST, Average, Figures, Keeper, Report
from starnet.train.card import write_card
from starnet.train.config import NetworkChoice, TrainConfig
from starnet.train.feed import Batch, Feed
from starnet.train.memory import check_memory
from starnet.train.module import Training, prepare
from starnet.train.pictures import draw_samples
from starnet.train.samples import Source
from starnet.train.sources import load_sources
from starnet.train.targets import targets
from starnet.weights import named_weights

CONFIG, WEIGHTS, CARD, SAMPLES = "config.yaml", "weights.safetensors", "model_card.md", "samples.png"


@dataclass(frozen=True)
class TrainResult:
    """What a training left behind.

    Attributes
    ----------
    run : Path
        Its folder.
    weights : Path or None
        The best weights; None if the training was told to stop before its end.
    steps, best_step : int
        Steps done, and the one after which validation was best.
    figures : dict of str to float
        Of that validation.
    seconds : float
        Time in all, over interruptions.
    """

    run: Path
    weights: Path | None
    steps: int
    best_step: int
    figures: dict[str, float]
    seconds: float


def train(
    config: TrainConfig,
    output: str | Path,
    *,
    sources: tuple[Source, Source] | None = None,
    resume: bool = False,
    device: str = "auto",
    threads: int | None = None,
    until: int | None = None,
    memory: int | None = None,
    report: Report | None = None,
    command: str = "",
) -> TrainResult:
    """Train a network.

    Parameters
    ----------
    config : TrainConfig
        What, with what, and how.
    output : str or Path
        Folder of the run: checkpoints, figures, and at the end weights, configuration, model card and samples.
    sources : tuple of Source, optional
        For training and validation, instead of the configuration's.
    resume : bool
        Go on from the last checkpoint, if there is one; on one CPU thread the outcome is that of a training that was
        not interrupted, bit for bit.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    threads : int, optional
        Of the CPU; by default torch's own choice.
    until : int, optional
        Stop after this step, to be resumed.
    memory : int, optional
        Bytes to stay under; by default what the device has.
    report : callable, optional
        Told of progress: step, steps, figures.
    command : str
        For the model card.

    Raises
    ------
    StarnetError
        If data, weights or the device are not there, memory is too small, or the folder holds another training.
    """
    run = Path(output)
    accelerator = choose_device(device, config.devices)
    precision = _precision(config, accelerator)
    _check_run(run, config, resume=resume)
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(config.seed)
    network = prepare(start(config.network), config.learning, checkpointing=config.checkpointing)
    check_memory(network, config, accelerator, memory)
    feed, validation = feeds(config, sources)
    _make_run(run, config)
    if not (run / SAMPLES).exists():
        draw_samples(run / SAMPLES, next(feed()), recipe=config.network.network().recipe)
    module = Training(network, config, feed, validation)
    average = Average(config.average) if config.average else None
    figures = Figures(run, report=report)
    keeper = Keeper(
        run, monitor=config.monitor, patience=config.patience, minutes=config.checkpoint_minutes, average=average
    )
    steps = config.steps if until is None else min(until, config.steps)
    with _quiet():
        trainer = Trainer(
            accelerator=accelerator,
            devices=config.devices,
            strategy=_strategy(config),
            precision=precision,
            max_steps=steps,
            max_epochs=-1,
            val_check_interval=config.validate_every * config.accumulate,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            accumulate_grad_batches=config.accumulate,
            gradient_clip_val=config.optimiser.clip or None,
            callbacks=[one for one in (average, figures, keeper) if one is not None],
            logger=TensorBoardLogger(str(run), name="", version="tensorboard"),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        last = run / LAST
        trainer.fit(module, ckpt_path=last if last.exists() else None, weights_only=True)
        figures.write()
        done = trainer.global_step >= config.steps or keeper.stopped
        if done and keeper.validated != trainer.global_step:
            trainer.validate(module, verbose=False)
            figures.write()
    weights = run / WEIGHTS if done else None
    result = TrainResult(
        run, weights, trainer.global_step, keeper.best_step, keeper.best_figures, round(figures.seconds, 1)
    )
    if weights is not None and trainer.is_global_zero:
        network.load_state_dict(torch.load(run / BEST, map_location="cpu", weights_only=True))
        save(network, weights, {"steps": result.best_step, "seed": config.seed, "figures": result.figures})
        write_card(run / CARD, config, network, steps=result.best_step, figures=result.figures, command=command)
    return result


def start(choice: NetworkChoice) -> Network:
    """The network with the weights that training begins with.

    Raises
    ------
    StarnetError
        If the file of weights is missing, or of another network.
    """
    config = choice.network()
    if choice.checkpoint is None:
        return build(config)
    if isinstance(choice.checkpoint, str):
        content = read(named_weights(choice.checkpoint) or choice.checkpoint)
    else:
        content = average({named_weights(name) or name: share for name, share in choice.checkpoint.items()})
    return fit(content, expected=config if content.config is None else None, config=config)


def feeds(config: TrainConfig, sources: tuple[Source, Source] | None = None) -> tuple[Feed, list[Batch]]:
    """What is learned from, and the batches that are judged.

    Raises
    ------
    StarnetError
        If a source cannot be opened, or its bands are not those of the network's adapter.
    """
    data, make = config.data, config.network.network()
    pictures = make.pictures
    train, validation = sources or tuple(load_sources(one, pictures=pictures) for one in (data.train, data.validation))
    for source in (train, validation):
        _check_bands(config.network.bands, source.bands)
    augment = None
    if config.augmentation:
        recipe: Any = make.recipe
        augment = Augmentation.from_mapping(config.augmentation, recipe=recipe, stretch=make.stretch)
    feed = Feed(train, data.size, config.batch, config.seed, targets, augment, data.samples, data.workers)
    judged = Feed(validation, data.size, config.batch, config.seed, targets)
    return feed, judged.validation(data.validation_samples)


def _check_bands(wanted: tuple[str, ...], there: tuple[str, ...]) -> None:
    if wanted and wanted != there:
        unknown = [band for band in wanted if band not in there]
        fault = f"the band {unknown[0]} of network.bands is not" if unknown else "network.bands are in another order"
        raise StarnetError(f"{fault} {'among' if unknown else 'than'} those of the samples, {', '.join(there)}")


def choose_device(device: str, count: int = 1) -> str:
    """Lightning's name of a device that is there.

    Raises
    ------
    StarnetError
        If it is not, or there are not as many.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise StarnetError(f"--device {device} is unknown: choose auto, cpu or cuda")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cpu" or (device == "auto" and not there):
        if count > 1:
            raise StarnetError(f"devices={count}, but there is no GPU: set devices=1")
        return "cpu"
    if there < count:
        found = f"{there} GPU{'s' if there > 1 else ''}" if there else "no GPU"
        mend = f"set devices={there}" if there else "use --device cpu"
        raise StarnetError(f"{count} GPU{'s' if count > 1 else ''} asked for, but torch sees {found}: {mend}")
    return "gpu"


def _check_run(run: Path, config: TrainConfig, *, resume: bool) -> None:
    """See that the run's folder holds this training or none."""
    held = run / CONFIG
    if held.exists():
        if not resume:
            raise StarnetError(f"{run} holds a training: go on with it with --resume, or give another --output")
        if key := TrainConfig.load(held).difference(config):
            raise StarnetError(
                f"{held} has another {key} than this training: resume with the same, or give another --output"
            )


def _make_run(run: Path, config: TrainConfig) -> None:
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StarnetError(f"{run} could not be made ({error.strerror}): give another --output") from error
    config.save(run / CONFIG)


def _strategy(config: TrainConfig) -> str:
    # A batch without a box, or without a second round, leaves some of the prompts' weights without a gradient.
    several = config.strategy == "auto" and config.devices > 1
    return "ddp_find_unused_parameters_true" if several else config.strategy


def _precision(config: TrainConfig, accelerator: str) -> Any:
    if config.precision == "auto":
        return "bf16-mixed" if accelerator == "gpu" and torch.cuda.is_bf16_supported() else "32-true"
    if config.precision == "fp16" and accelerator == "cpu":
        raise StarnetError("precision=fp16 needs a GPU: set precision to bf16 or fp32")
    return {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[config.precision]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's lines about devices, and its advice: to use more workers, and not to freeze anything."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*does not have many workers.*")
            warnings.filterwarnings("ignore", r".*module\(s\) in eval mode at the start.*")  # those that are frozen
            # Lightning 2.6 uses what newer versions of torch are about to drop.
            warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
