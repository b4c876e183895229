"""`reproduce`: from images to the report, stage by stage; what is done is not done again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starnet import __version__
from starnet.atomic import write_json
from starnet.compare.scenes import read_json
from starnet.errors import StarnetError
from starnet.evaluate import open_labels
from starnet.evaluate.matching import check_scipy
from starnet.evaluate.plots import check_matplotlib
from starnet.mosaic import Mosaic
from starnet.networks import require_torch
from starnet.pipeline.stages import Progress, picture
from starnet.recipe import Recipe
from starnet.reproduce.figures import Claim, Summary, conclude, find_claims, judge, summarise
from starnet.reproduce.methods import find_objects
from starnet.reproduce.page import write_report_page
from starnet.reproduce.parts import make_parts
from starnet.reproduce.pictures import draw_comparison
from starnet.reproduce.plan import METHODS, PARTS, THEIRS, Plan
from starnet.reproduce.start import Start, prepare_start
from starnet.reproduce.tuning import fine_tune
from starnet.tiles import Box

_FOLDERS = ("data", "network", "training", *METHODS)


@dataclass(frozen=True)
class Reproduction:
    """What came of it.

    Attributes
    ----------
    plan : Plan
        What was asked for.
    start : Start
        The network before training.
    summaries : dict
        Figures by part and method, as `Evaluation.summary`.
    claims : list of Claim
        What the report found, and whether it is so here, on the images for test.
    seconds : dict
        Time by stage, in all calls together.
    outputs : dict
        Paths by kind: page, json, picture.
    """

    plan: Plan
    start: Start
    summaries: dict[str, dict[str, Summary]]
    claims: list[Claim]
    seconds: dict[str, float]
    outputs: dict[str, Path]

    @property
    def conclusion(self) -> str:
        """One sentence about the claims."""
        return conclude(self.claims)

    def document(self) -> dict[str, Any]:
        """All of it as JSON knows it."""
        return {
            "plan": self.plan.document(),
            "weights": self.start.words,
            "learned_before": self.start.learned,
            "recipe": self.start.config.recipe,
            "mean_iou": {
                **{
                    method: {part: self.summaries[part][method]["mean_iou_per_image"] for part in PARTS}
                    for method in METHODS
                },
                "the report's, fine-tuned": THEIRS,
            },
            "claims": [vars(claim) for claim in self.claims],
            "conclusion": self.conclusion,
            "evaluation": self.summaries,
            "seconds": self.seconds,
            "starnet": __version__,
        }


def reproduce(
    plan: Plan,
    folder: str | Path,
    *,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Reproduction:
    """Do the report again.

    Parameters
    ----------
    plan : Plan
        What is asked for.
    folder : str or Path
        Where everything goes; made if missing. One that was interrupted is continued.
    threads : int, optional
        CPU cores to use; all of them by default.
    overwrite : bool
        Begin anew where the folder holds another one.
    progress : callable, optional
        Told of the stages.

    Returns
    -------
    Reproduction
        Also as ``report.html``, ``report.json`` and ``comparison.png``.

    Raises
    ------
    StarnetError
        For all that the user can mend.
    """
    require_torch()
    check_scipy()
    check_matplotlib()
    folder = Path(folder)
    _claim_folder(folder, plan, overwrite)
    watch = _Watch(folder / "seconds.json")
    with watch("images"):
        parts = make_parts(plan, folder / "data", workers=threads or os.cpu_count() or 1)
    start = prepare_start(plan, folder / "network")
    networks = {"direct": start.path, "tiled": start.path}
    summaries: dict[str, dict[str, Summary]] = {part.name: {} for part in parts}
    test = parts[-1]
    found = {}
    for method in METHODS:
        if method not in networks:
            with watch("training"):
                networks[method] = fine_tune(
                    start, parts[0], parts[1], plan, folder / "training", threads=threads, progress=progress
                )
        with watch(method):
            for part in parts:
                labels = find_objects(
                    method,
                    part,
                    networks[method],
                    start.config.recipe,
                    plan,
                    folder,
                    threads=threads,
                    progress=progress,
                )
                summaries[part.name][method] = summarise(judge(method, part, labels), plan.tile)
            found[method] = labels
    outputs = {
        "page": folder / "report.html",
        "json": folder / "report.json",
        "picture": folder / "comparison.png",
    }
    recipe = Recipe.load(folder / "tiled" / test.name / "recipe.yaml")
    truth = open_labels(test.images.truth)
    draw_comparison(
        outputs["picture"],
        Box(0, plan.tile, 0, plan.tile),
        picture(Mosaic.open(test.images.inputs), recipe),
        truth.read(Box(0, truth.shape[0], 0, truth.shape[1])),
        found,
    )
    reproduction = Reproduction(plan, start, summaries, find_claims(summaries[test.name]), watch.seconds, outputs)
    write_json(outputs["json"], reproduction.document())
    write_report_page(reproduction, outputs["page"], outputs["picture"])
    return reproduction


class _Watch:
    """Seconds by stage, those of interrupted calls included: what is done already takes next to none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, float] = read_json(path) or {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - start, 1)
            write_json(self.path, self.seconds)


def _claim_folder(folder: Path, plan: Plan, overwrite: bool) -> None:
    """Say so if the folder holds what another plan has made."""
    path = folder / "plan.json"
    wanted, kept = {**plan.document(), "starnet": __version__}, read_json(path)
    if kept == wanted:
        return
    occupied = next((name for name in _FOLDERS if (folder / name).exists()), None)
    if occupied is not None and kept is None:
        raise StarnetError(f"{folder / occupied} is there and of no report: name another folder with -o")
    if occupied is not None and not overwrite:  # a plan of which nothing came is nobody's loss
        key = next((key for key in wanted if kept.get(key) != wanted[key]), "plan")
        raise StarnetError(
            f"{folder} holds a report with another {key} ({kept.get(key)}): name another folder with -o, or add "
            "--overwrite"
        )
    for name in ("plan.json", "seconds.json"):
        (folder / name).unlink(missing_ok=True)
    for name in _FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, wanted)
