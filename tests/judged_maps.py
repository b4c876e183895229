"""Label maps for the tests of `starnet.evaluate`, and the figures computed from them the slow and plain way."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Labels = NDArray[np.int64]


@st.composite
def map_pairs(draw: st.DrawFn, most: int = 24) -> tuple[Labels, Labels]:
    """Two label maps of one shape that have something to do with each other; labels are not consecutive."""
    shape = draw(st.integers(1, most)), draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truth = random_map(rng, shape, draw(st.integers(0, 8)))
    if draw(st.booleans()):
        pred = random_map(rng, shape, draw(st.integers(0, 8)))
    else:  # moved, eaten at, merged
        pred = np.roll(truth, draw(st.tuples(st.integers(-2, 2), st.integers(-2, 2))), (0, 1))
        pred[rng.random(shape) < draw(st.sampled_from([0, 0.1, 0.3]))] = 0
        for a, b in draw(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), max_size=2)):
            pred[pred == a] = b
    names = np.append(0, rng.permutation(np.arange(1, 9) * 2**28 - rng.integers(1, 2**28)))
    return (truth, names[pred]) if draw(st.booleans()) else (names[truth], pred)


def random_map(rng: np.random.Generator, shape: tuple[int, int], n: int) -> Labels:
    """Up to `n` ellipses and pieces of them."""
    labels = np.zeros(shape, np.int64)
    y, x = np.indices(shape)
    for label in range(1, n + 1):
        cy, cx = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        ry, rx = rng.uniform(0.5, 6, 2)
        labels[((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1] = label
    return labels


@dataclass(frozen=True)
class Dense:
    """The dense IoU matrix of some masks, and the best sum over all one-to-one assignments."""

    iou: NDArray[np.float64]
    pairs: list[tuple[int, int]]

    @property
    def total(self) -> float:
        return float(sum(self.iou[pair] for pair in self.pairs))

    @property
    def unique(self) -> bool:
        """Whether every other assignment has a smaller sum: none reaches it without one of the pairs."""
        for pair in self.pairs:
            without = self.iou.copy()
            without[pair] = 0
            if without[linear_sum_assignment(without, maximize=True)].sum() > self.total - 1e-9:
                return False
        return True


def masks_of(labels: Labels) -> NDArray[np.bool_]:
    return np.array([labels == one for one in np.unique(labels) if one > 0], bool).reshape(-1, *labels.shape)


def dense(truth: NDArray[np.bool_], pred: NDArray[np.bool_]) -> Dense:
    iou = np.zeros((len(truth), len(pred)))
    for t, p in product(range(len(truth)), range(len(pred))):
        iou[t, p] = (truth[t] & pred[p]).sum() / (truth[t] | pred[p]).sum()
    pairs = zip(*linear_sum_assignment(iou, maximize=True), strict=True)
    return Dense(iou, [(int(t), int(p)) for t, p in pairs if iou[t, p] > 0])


def figures(pairs: list[tuple[float, bool]], n_truth: int, n_pred: int) -> dict[str, float | None]:
    """The figures from the IoU of all assigned pairs, each with whether its true source counts; None for 0 / 0."""

    def ratio(a: float, b: float) -> float | None:
        return a / b if b else None

    def at(t: float) -> tuple[int, int, int]:
        tp = sum(1 for iou, counts in pairs if iou >= t and counts)
        ignored = sum(1 for iou, counts in pairs if iou >= t and not counts)
        return tp, n_pred - tp - ignored, n_truth - tp

    def ap(t: float) -> float | None:
        tp, fp, fn = at(t)
        return ratio(tp, tp + fp + fn)

    tp, fp, fn = at(0.5)
    rq = ratio(tp, tp + fp / 2 + fn / 2)
    good = [iou for iou, counts in pairs if iou >= 0.5 and counts]
    sq = None if rq is None else sum(good) / len(good) if good else 0.0
    aps = [ap(t) for t in (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)]
    found, spurious, missed = at(0.1)
    return {
        "pq": None if rq is None or sq is None else sq * rq,
        "sq": sq,
        "rq": rq,
        "ap50": aps[0],
        "ap75": aps[5],
        "ap": None if None in aps else sum(one for one in aps if one is not None) / 10,
        "mean_iou": ratio(sum(iou for iou, counts in pairs if counts), n_truth),
        "completeness": ratio(found, found + missed),
        "purity": ratio(found, found + spurious),
    }


def as_coco(labels: Labels, masks: NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """A data set of COCO of one image, its masks encoded by pycocotools."""
    from pycocotools import mask as coco

    ids = [int(one) for one in np.unique(labels) if one > 0] if masks is None else list(range(1, len(masks) + 1))
    masks = masks_of(labels) if masks is None else masks
    encoded = [coco.encode(np.asfortranarray(one.astype(np.uint8))) for one in masks]
    ny, nx = labels.shape
    return {
        "images": [{"id": 7, "width": nx, "height": ny, "file_name": "field.fits"}],
        "annotations": [
            {
                "id": i,
                "image_id": 7,
                "category_id": 1 + i % 2,
                "iscrowd": 0,
                "bbox": [0, 0, nx, ny],
                "area": int(mask.sum()),
                "segmentation": {"size": one["size"], "counts": one["counts"].decode()},
            }
            for i, one, mask in zip(ids, encoded, masks, strict=True)
        ],
        "categories": [{"id": 1, "name": "galaxy"}, {"id": 2, "name": "star"}],
    }
