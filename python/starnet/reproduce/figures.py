"""How good the objects are, and whether what the report found holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.evaluate import Evaluation, evaluate
from starnet.evaluate.blocks import Blocks
from starnet.evaluate.labels import ArrayLabels
from starnet.reproduce.parts import Part
from starnet.reproduce.plan import METHODS

Summary = dict[str, Any]


def judge(method: str, part: Part, labels: NDArray[Any]) -> Evaluation:
    """Judge what a method has found in the images of a part, ``(ny, nx)``."""
    return evaluate(ArrayLabels(labels, method), part.images.truth, table=part.images.table)


def summarise(evaluation: Evaluation, tile: int) -> Summary:
    """The figures as JSON knows them; ``mean_iou_per_image`` is over images of `tile` pixels, as the report's."""
    images = Blocks(evaluation.truth.shape, tile).tally(evaluation.pred.matches)
    some = images.truths > 0
    mean = float((images.iou[some] / images.truths[some]).mean()) if some.any() else None
    return {**evaluation.summary(), "mean_iou_per_image": mean}


@dataclass(frozen=True)
class Claim:
    """Something that the report found.

    Attributes
    ----------
    words : str
        What it was.
    holds : bool
        Whether it is so here.
    numbers : str
        By what.
    """

    words: str
    holds: bool
    numbers: str

    def __str__(self) -> str:
        return f"{self.words}: {'yes' if self.holds else 'no'}; {self.numbers}"


def find_claims(summaries: Mapping[str, Summary]) -> list[Claim]:
    """Whether direct finds few objects, tiled many with noise, and fine-tuned balances the two.

    Parameters
    ----------
    summaries : mapping
        Figures by method, of one part.

    Returns
    -------
    list of Claim
        *Few*: less than half as many true objects are found, at an IoU of 0.1, as tiled finds. *Noise*: of the tiled
        predictions a smaller part is true than of the fine-tuned ones. *Balance*: the harmonic mean of completeness and
        purity is larger than that of the other two.
    """
    complete, pure = (
        {method: summaries[method][key] or 0.0 for method in METHODS} for key in ("completeness", "purity")
    )
    balance = {method: _harmonic(complete[method], pure[method]) for method in METHODS}
    direct, tiled, tuned = METHODS
    return [
        Claim(
            "direct finds few",
            complete[direct] < complete[tiled] / 2,
            f"{_percent(complete[direct])} of the true objects, and tiled {_percent(complete[tiled])}",
        ),
        Claim(
            "tiled finds many, with noise",
            complete[tiled] > 2 * complete[direct] and pure[tiled] < pure[tuned],
            f"{_percent(complete[tiled])} of the true objects; of its own {_percent(pure[tiled])} are true, of the "
            f"fine-tuned network's {_percent(pure[tuned])}",
        ),
        Claim(
            "fine-tuned balances",
            balance[tuned] > max(balance[direct], balance[tiled]),
            "the harmonic mean of completeness and purity is "
            + ", ".join(f"{value:.2f} ({method})" for method, value in balance.items()),
        ),
    ]


def conclude(claims: list[Claim]) -> str:
    """One sentence about all of them."""
    failed = [claim.words for claim in claims if not claim.holds]
    if not failed:
        return "What the report found holds here: direct finds few, tiled finds many with noise, fine-tuned balances."
    return "What the report found does not hold here in this: " + ", ".join(failed) + "."


def _harmonic(a: float, b: float) -> float:
    return float(2 * a * b / (a + b)) if a + b else 0.0


def _percent(part: float) -> str:
    return f"{100 * part:.0f} %" if not 0 < part < 0.1 else f"{np.round(100 * part, 1):g} %"
