"""The worst cases as pictures: what was missed, outlined badly, split, merged or made up."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from starnet.evaluate.evaluation import Evaluation, Judgement
from starnet.evaluate.metrics import FOUND, Floats
from starnet.evaluate.overlaps import Objects
from starnet.masks.runs import Ints
from starnet.mosaic import Mosaic
from starnet.outputs.overlay import outlines
from starnet.tiles import Box

#: Outlines: true, predicted, and where they coincide.
TRUTH, PRED, BOTH = (0, 200, 255), (255, 140, 0), (255, 255, 255)
#: Least and largest side of a cut-out in pixels, and the side of its picture.
_LEAST, _LARGEST, _PICTURE = 32, 1024, 192
_SAMPLES, _SAMPLE = 4, 128


@dataclass(frozen=True)
class Case:
    """One object to be looked at.

    Attributes
    ----------
    caption : str
        What it is.
    box : Box
        What the picture shows.
    truth, pred : ndarray of int64
        Labels of the objects that it is about.
    """

    caption: str
    box: Box
    truth: Ints
    pred: Ints


def worst_cases(evaluation: Evaluation, method: Judgement, count: int = 12) -> dict[str, list[Case]]:
    """The worst cases of each kind: the most significant first, or the largest where there is no S/N."""
    matches, splitting = method.matches, method.splitting
    truth, pred = matches.overlaps.truth, matches.overlaps.pred
    table = evaluation.table
    snr = None if table is None else table.numbers("snr")
    weight = truth.area.astype(float) if snr is None else np.nan_to_num(snr)
    lost = truth.area * (1 - matches.truth_iou)
    iou, counts = matches.truth_iou, matches.counts
    spurious = (matches.pred_iou < FOUND) & ~matches.ignorable
    kinds: list[tuple[str, Ints, Floats, bool]] = [
        ("Missed: IoU below 0.1", np.flatnonzero(counts & (iou < FOUND)), weight, True),
        ("Badly outlined: IoU from 0.1 to 0.5", np.flatnonzero(counts & (iou >= FOUND) & (iou < 0.5)), lost, True),
        ("Split", splitting.split, weight, True),
        ("Merged with others", splitting.merging, pred.area.astype(float), False),
        ("Spurious: predictions that are no true object", np.flatnonzero(spurious), pred.area.astype(float), False),
    ]
    return {
        f"{title} ({len(which)})": [
            (_of_truth(evaluation, method, int(i), snr) if true else _of_pred(evaluation, method, int(i)))
            for i in which[np.argsort(-order[which], kind="stable")][:count]
        ]
        for title, which, order, true in kinds
    }


def _of_truth(evaluation: Evaluation, method: Judgement, i: int, snr: Floats | None) -> Case:
    matches = method.matches
    truth, pred = matches.overlaps.truth, matches.overlaps.pred
    partner = int(matches.pred_of_truth[i])
    words = [f"true {truth.label[i]}", f"IoU {matches.truth_iou[i]:.2f}", f"{truth.area[i]} px"]
    if snr is not None:
        words.append(f"S/N {snr[i]:.1f}")
    if evaluation.table is not None and "class" in evaluation.table.columns:
        words.append(str(evaluation.table.columns["class"][i]))
    o = matches.overlaps
    # Its partner, and all that lie in it for the most part.
    inside = o.p[(o.t == i) & ((2 * o.pixels > pred.area[o.p]) | (o.p == partner))]
    return Case(
        _caption(words, truth, i), _around(truth, i, evaluation.truth.shape), truth.label[i : i + 1], pred.label[inside]
    )


def _of_pred(evaluation: Evaluation, method: Judgement, i: int) -> Case:
    o = method.matches.overlaps
    held = o.t[(o.p == i) & (2 * o.pixels > o.truth.area[o.t])]
    words = [f"predicted {o.pred.label[i]}", f"{o.pred.area[i]} px"]
    if len(held):
        words.append("holds " + " ".join(map(str, o.truth.label[held][:6])) + (" ..." if len(held) > 6 else ""))
    box = _around(o.pred, i, evaluation.truth.shape)
    return Case(_caption(words, o.pred, i), box, o.truth.label[held], o.pred.label[i : i + 1])


def _caption(words: list[str], objects: Objects, i: int) -> str:
    y, x = (centre[i] for centre in objects.centre)
    return ", ".join([*words, f"x {x:.0f}, y {y:.0f}"])


def _around(objects: Objects, i: int, shape: tuple[int, int]) -> Box:
    y0, y1, x0, x1 = (int(getattr(objects, name)[i]) for name in ("y0", "y1", "x0", "x1"))
    half = min(max(_LEAST, 2 * max(y1 - y0, x1 - x0)), _LARGEST) // 2
    y, x = (y0 + y1) // 2, (x0 + x1) // 2
    return Box(y - half, y + half, x - half, x + half).clip(shape)


class Painter:
    """Pictures of cases.

    Parameters
    ----------
    evaluation : Evaluation
        Gives the true objects.
    images : sequence of str
        One to three images on the grid of the maps, the reddest first; without any the outlines lie on grey.
    """

    def __init__(self, evaluation: Evaluation, images: Sequence[str]) -> None:
        self._truth = evaluation.truth
        self._mosaic = Mosaic.open(images, weights="none") if images else None
        self._stretch = self._sky() if self._mosaic is not None else (np.zeros(1), np.ones(1))

    def paint(self, case: Case, method: Judgement) -> bytes:
        """The picture of a case, as PNG."""
        box = case.box
        step = max(1, max(box.shape) // (2 * _PICTURE))
        zoom = max(1, round(_PICTURE / (max(box.shape) / step)))
        picture = _enlarged(self._picture(box)[::step, ::step], zoom)
        drawn = []
        for labels, own in ((self._truth.read(box), case.truth), (method.labels.read(box), case.pred)):
            enlarged = _enlarged(labels[::step, ::step], zoom)
            marked = outlines(enlarged)
            drawn.append((marked, marked & np.isin(enlarged, own)))
        for (marked, about), colour in zip(drawn, (TRUTH, PRED), strict=True):
            # Neighbours are there, but not what the picture is about.
            picture[marked] = (picture[marked] + 2 * np.array(colour)) // 4
            picture[about] = colour
        picture[drawn[0][1] & drawn[1][1]] = BOTH
        upright = picture if self._mosaic is not None and self._mosaic.origin == "upper" else picture[::-1]
        content = io.BytesIO()
        Image.fromarray(upright.astype(np.uint8)).save(content, format="png")
        return content.getvalue()

    def _picture(self, box: Box) -> NDArray[Any]:
        """Colours of a box, ``(ny, nx, 3)``: asinh of noise units."""
        if self._mosaic is None:
            return np.full((*box.shape, 3), 40)
        sky, sigma = (values[:, None, None] for values in self._stretch)
        units = (np.nan_to_num(self._mosaic.read(box).data[:3]) - sky) / sigma
        level = np.clip((np.arcsinh(units / 2) + 0.5) / (np.arcsinh(25) + 0.5), 0, 1) * 255
        bands = [level[min(i, len(level) - 1)] for i in range(3)]
        return np.stack(bands, axis=-1).astype(np.int64)

    def _sky(self) -> tuple[Floats, Floats]:
        """Median and scatter of each band, from windows all over it."""
        assert self._mosaic is not None
        ny, nx = self._mosaic.shape
        windows = [
            Box(y, y + _SAMPLE, x, x + _SAMPLE).clip((ny, nx))
            for y in range(0, ny, max(_SAMPLE, ny // _SAMPLES))
            for x in range(0, nx, max(_SAMPLE, nx // _SAMPLES))
        ]
        parts = [self._mosaic.read(one).data[:3] for one in windows]
        values = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1).astype(np.float64)
        found = [band[np.isfinite(band) & (band != 0)] for band in values]
        sky = np.array([np.median(band) if len(band) else 0.0 for band in found])
        scatter = [
            1.4826 * np.median(np.abs(band - s)) if len(band) else 0.0 for band, s in zip(found, sky, strict=True)
        ]
        return sky, np.where(np.array(scatter) > 0, scatter, 1.0)


def _enlarged(pixels: NDArray[Any], zoom: int) -> NDArray[Any]:
    return pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)
