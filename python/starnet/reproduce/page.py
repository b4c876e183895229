"""The report as a page in one file."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starnet import __version__
from starnet.evaluate.metrics import NAMES
from starnet.evaluate.page import plot, table, write_page
from starnet.networks import NetworkConfig, VitEncoder
from starnet.reproduce.plan import METHODS, PARTS, THEIRS, Plan

if TYPE_CHECKING:
    from starnet.reproduce.reproducing import Reproduction

_TITLES = {
    "direct": "direct: the whole mosaic in one window",
    "tiled": "tiled: image by image",
    "fine-tuned": "fine-tuned, image by image",
}


def write_report_page(reproduction: Reproduction, path: Path, picture: Path) -> None:
    """Write the page: what was done, the report's table beside ours, the picture, our evaluation."""
    plan, start = reproduction.plan, reproduction.start
    counts = dict(zip(PARTS, plan.images, strict=True))
    images = ", ".join(f"{count} for {part}" for part, count in counts.items())
    sky = (
        "the mosaic " + ", ".join(plan.inputs)
        if plan.inputs
        else f"simulated mosaics of {plan.preset} in {', '.join(plan.bands)}, whose truth is known exactly"
    )
    body = [
        "<h1>Segmentation with SAM: direct, tiled, fine-tuned</h1>",
        f"<p>Images of {plan.tile} x {plan.tile} pixels ({images}) from {escape(sky)}. Preprocessing: "
        f"{escape(start.config.recipe)}. Prompts: {escape(plan.prompts)}{_thresholds(plan)}. Training: "
        f"{_learning(plan)}, {plan.epochs} epochs, with the report's augmentations.</p>",
        f"<p>{_window(start.config)}</p>",
        f"<p><b>The network began with {escape(start.words)}.</b></p>",
        f"<h2>{escape(reproduction.conclusion)}</h2>",
        "<ul>" + "".join(f"<li>{escape(str(claim))}</li>" for claim in reproduction.claims) + "</ul>",
        "<p>On the images for test. Found: IoU of 0.1 or more. Few: less than half of what tiled finds. Noise: more of "
        "the predictions are false than of the fine-tuned network's.</p>",
        "<h2>Mean IoU</h2>",
        table(["", *PARTS], mean_iou_rows(reproduction.summaries)),
        "<p>Mean over images of the mean IoU of the true objects with their partners, 0 where they have none. How the "
        "report assigned objects is not known, nor is its sky the same: its figures are beside ours, not against them."
        "</p>",
        plot("data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()),
        "<p>The first image for test. Blue: true, orange: found.</p>",
        "<h2>Our evaluation</h2>",
        *(_evaluation(part, reproduction.summaries[part]) for part in reversed(PARTS)),
        "<p>Brackets are 95 % intervals, of a bootstrap over squares of the sky.</p>",
        "<h2>Time</h2>",
        table(["", "seconds"], [[stage, f"{seconds:.0f}"] for stage, seconds in reproduction.seconds.items()]),
        f"<p>StarNet {escape(__version__)}.</p>",
    ]
    write_page(path, "Segmentation with SAM", body)


def mean_iou_rows(summaries: Mapping[str, Mapping[str, dict[str, Any]]]) -> list[list[str]]:
    """The report's table: its own row, and one for each method."""
    ours = [
        [_TITLES[method], *(_number(summaries[part][method]["mean_iou_per_image"]) for part in PARTS)]
        for method in METHODS
    ]
    return [*ours, ["the report's, fine-tuned", *(f"{THEIRS[part]:.2f}" for part in PARTS)]]


def _window(config: NetworkConfig) -> str:
    if isinstance(config.encoder, VitEncoder):
        return f"The network scales its window, a mosaic or an image, to {config.encoder.image_size} pixels."
    return "The network does not scale its window: direct and tiled differ in the prompts alone, if they are a grid."


def _thresholds(plan: Plan) -> str:
    said = {"predicted IoU": plan.pred_iou_threshold, "stability": plan.stability_threshold}
    words = [f"{name} of at least {value:g}" for name, value in said.items() if value is not None]
    return "; masks with a " + " and a ".join(words) if words else ""


def _learning(plan: Plan) -> str:
    names = {"decoder": "prompt encoder and mask decoder", "head": "instance head"}
    return " and ".join(name for part, name in names.items() if plan.learning[part])


def _evaluation(part: str, summaries: Mapping[str, dict[str, Any]]) -> str:
    first = next(iter(summaries.values()))
    rows = [
        [method, *(_figure(one[key], one["intervals"][key]) for key in NAMES), str(one["n_pred"])]
        for method, one in summaries.items()
    ]
    counting = f"{first['n_truth']} true objects count, {first['n_ignored_truth']} do not"
    return f"<h3>{escape(part)}: {counting}</h3>" + table(["", *NAMES.values(), "predicted"], rows)


def _figure(value: float | None, limits: list[float] | None) -> str:
    text = _number(value)
    return text if limits is None else f"{text} [{limits[0]:.3f}, {limits[1]:.3f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
