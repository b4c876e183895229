"""Predicted against true objects: how good a segmentation is, in figures that anyone can check.

In the order in which they are built upon each other: `runs` (pixels as runs), `coco` and `labels` (readers), `overlaps`
(the sparse overlap matrix), `matching` (the assignment), `metrics` (the figures), `tables`, `bins`, `blocks` (the
bootstrap), `structure` (splitting, outlines, classes), `evaluation` (all of it), `plots`, `cutouts` and `report` (the
HTML page).
"""

from starnet.evaluate.evaluation import Evaluation, Judgement, evaluate
from starnet.evaluate.labels import open_labels

__all__ = ["Evaluation", "Judgement", "evaluate", "open_labels"]
