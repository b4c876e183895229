"""The figures of `starnet evaluate` against the dense IoU matrix and pycocotools, on maps that hypothesis makes."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from judged_maps import as_coco, dense, figures, map_pairs, masks_of, random_map
from starnet.evaluate import evaluate
from starnet.evaluate.coco import MaskLabels, decode_counts, read_coco
from starnet.evaluate.labels import ArrayLabels
from starnet.evaluate.matching import assign
from starnet.evaluate.metrics import Matches, match, tally
from starnet.evaluate.overlaps import find_overlaps
from starnet.tiles import Box


def matched(truth: Any, pred: Any, counts: Any = None) -> Matches:
    overlaps = find_overlaps(truth, pred)
    return match(overlaps, np.ones(len(overlaps.truth), bool) if counts is None else counts)


@settings(max_examples=200, deadline=None)
@given(map_pairs())
def test_overlaps_are_those_of_the_dense_matrix(maps: tuple[Any, Any]) -> None:
    truth, pred = maps
    o = find_overlaps(ArrayLabels(truth), ArrayLabels(pred))
    t, p = masks_of(truth), masks_of(pred)
    expected = np.einsum("tyx,pyx->tp", t.astype(int), p.astype(int))
    found = np.zeros_like(expected)
    found[o.t, o.p] = o.pixels
    assert np.array_equal(found, expected)
    assert (o.pixels > 0).all()
    for objects, masks, labels in ((o.truth, t, truth), (o.pred, p, pred)):
        assert np.array_equal(objects.label, [one for one in np.unique(labels) if one > 0])
        assert np.array_equal(objects.area, masks.sum(axis=(1, 2)))
        for i, mask in enumerate(masks):
            y, x = np.nonzero(mask)
            box = objects.y0[i], objects.y1[i], objects.x0[i], objects.x1[i]
            assert box == (y.min(), y.max() + 1, x.min(), x.max() + 1)


def test_overlaps_do_not_depend_on_the_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    truth, pred = (random_map(rng, (300, 70), 40) for _ in range(2))
    whole = find_overlaps(ArrayLabels(truth), ArrayLabels(pred))
    monkeypatch.setattr("starnet.evaluate.labels._ROWS", 7)
    monkeypatch.setattr("starnet.evaluate.labels._STRIP", 1)
    monkeypatch.setattr("starnet.evaluate.overlaps._WAITING", 5)
    parts = find_overlaps(ArrayLabels(truth), ArrayLabels(pred))
    for name in ("t", "p", "pixels"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))
    for side in ("truth", "pred"):
        for name in ("label", "area", "y0", "y1", "x0", "x1"):
            assert np.array_equal(getattr(getattr(whole, side), name), getattr(getattr(parts, side), name))


@settings(max_examples=200, deadline=None)
@given(map_pairs(), st.integers(0, 2**32 - 1))
def test_the_figures_are_those_of_the_definitions(maps: tuple[Any, Any], seed: int) -> None:
    truth, pred = maps
    masks = masks_of(truth), masks_of(pred)
    counts = np.random.default_rng(seed).random(len(masks[0])) < 0.7
    matches = matched(ArrayLabels(truth), ArrayLabels(pred), counts)
    reference = dense(*masks)
    pairs = [(t, p) for t, p in enumerate(matches.pred_of_truth.tolist()) if p >= 0]

    assert len({p for _, p in pairs}) == len(pairs)
    assert [matches.truth_of_pred[p] for _, p in pairs] == [t for t, _ in pairs]
    assert (matches.truth_of_pred >= 0).sum() == len(pairs)
    assert [matches.truth_iou[t] for t, _ in pairs] == [reference.iou[pair] for pair in pairs]
    assert sum(reference.iou[pair] for pair in pairs) == pytest.approx(reference.total, abs=1e-12)
    if reference.unique:
        assert pairs == reference.pairs
    # The pairs of a tie are any of the best: the figures are those of the pairs that were taken.
    expected = figures([(reference.iou[t, p], bool(counts[t])) for t, p in pairs], int(counts.sum()), len(masks[1]))
    found = {name: None if np.isnan(v) else float(v) for name, v in tally(matches).total().scores().items()}
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("largest_dense", [0, 1 << 16])
@pytest.mark.parametrize("seed", range(5))
def test_large_components_are_solved_exactly_too(
    monkeypatch: pytest.MonkeyPatch, largest_dense: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    seeds = rng.uniform(0, 90, (2, 120, 2))
    y, x = np.indices((90, 90))
    distance = (y[..., None] - seeds[:, None, None, :, 0]) ** 2 + (x[..., None] - seeds[:, None, None, :, 1]) ** 2
    truth, pred = distance.argmin(axis=-1) + 1
    monkeypatch.setattr("starnet.evaluate.matching._DENSE", largest_dense)
    o = find_overlaps(ArrayLabels(truth), ArrayLabels(pred))
    chosen = assign(o.t, o.p, o.iou)
    assert len(set(o.t[chosen])) == len(set(o.p[chosen])) == len(chosen)
    assert o.iou[chosen].sum() == pytest.approx(dense(masks_of(truth), masks_of(pred)).total, abs=1e-10)


@pytest.mark.parametrize(
    ("shared", "union", "threshold"), [(11, 20, 1), (3, 5, 2), (13, 20, 3), (7, 10, 4), (19, 20, 9)]
)
def test_an_iou_equal_to_a_threshold_reaches_it(shared: int, union: int, threshold: int) -> None:
    truth, pred = np.zeros((2, 1, union), np.int64)
    truth[0, :union] = 1
    pred[0, :shared] = 1
    hits = tally(matched(ArrayLabels(truth), ArrayLabels(pred))).total().hits
    assert hits[1 + threshold] == 1
    assert hits[2 + threshold :].sum() == 0


def test_one_field_by_hand() -> None:
    truth = np.zeros((4, 20), np.int64)
    truth[:, 0:5], truth[:, 6:11], truth[0, 12:16], truth[3, 18:20] = 1, 2, 3, 4
    pred = np.zeros_like(truth)
    pred[:, 0:5], pred[:, 8:11], pred[3, 17:20] = 10, 20, 30  # IoU 1, 0.6, 2/3 of one that does not count
    pred[2, 14:16] = 40
    matches = matched(ArrayLabels(truth), ArrayLabels(pred), np.array([True, True, True, False]))
    scores = tally(matches).total().scores()
    assert scores["sq"] == pytest.approx((1 + 0.6) / 2)
    assert scores["rq"] == pytest.approx(2 / (2 + 0.5 + 0.5))
    assert scores["ap50"] == pytest.approx(2 / 4)
    assert scores["ap75"] == pytest.approx(1 / (1 + 3 + 2))  # at 0.75 the third prediction fits nothing
    assert scores["mean_iou"] == pytest.approx(1.6 / 3)
    assert scores["completeness"] == pytest.approx(2 / 3)
    assert scores["purity"] == pytest.approx(2 / 3)


def test_nothing_against_nothing_is_no_figure() -> None:
    empty = np.zeros((5, 5), np.int64)
    assert all(value is None for value in list(evaluate(empty, empty).summary().values())[:9])
    something = evaluate(np.ones_like(empty), empty).summary()
    assert (something["pq"], something["ap"], something["purity"], something["completeness"]) == (0, 0, 0, None)


# pycocotools


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_masks_are_read_and_compared_as_pycocotools_does(data: st.DataObject, tmp_path: Path) -> None:
    coco = importlib.import_module("pycocotools.mask")
    shape = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    sides = []
    for name in ("truth", "pred"):
        masks = [random_map(rng, shape, 1) > 0 for _ in range(data.draw(st.integers(0, 6)))]  # they overlap
        masks = np.array([one for one in masks if one.any()], bool).reshape(-1, *shape)
        content = as_coco(np.zeros(shape, np.int64), masks)
        if data.draw(st.booleans()):  # uncompressed
            for one in content["annotations"]:
                one["segmentation"]["counts"] = decode_counts([one["segmentation"]["counts"]])[0].tolist()
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content))
        sides.append((masks, read_coco(path)))
    (truth, truth_labels), (pred, pred_labels) = sides
    o = find_overlaps(truth_labels, pred_labels)
    found = np.zeros((len(truth), len(pred)))
    found[o.t, o.p] = o.iou
    encoded = [[coco.encode(np.asfortranarray(m.astype(np.uint8))) for m in masks] for masks in (truth, pred)]
    if len(truth) and len(pred):
        assert np.array_equal(found, coco.iou(*encoded, [0] * len(pred)))
    assert np.array_equal(o.truth.area, [coco.area(one) for one in encoded[0]])
    for masks, labels in sides:
        for i, mask in enumerate(masks):
            mine = MaskLabels("one", shape, labels.masks, None).runs(0, shape[0])
            painted = np.zeros(shape, bool)
            for begin, end in zip(mine.start[mine.label == i + 1], mine.stop[mine.label == i + 1], strict=True):
                painted.ravel()[begin:end] = True
            assert np.array_equal(painted, mask)


def test_masks_do_not_depend_on_how_many_are_decoded_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    masks = np.array([random_map(rng, (50, 60), 1) > 0 for _ in range(40)])
    masks = masks[masks.any(axis=(1, 2))]
    path = tmp_path / "m.json"
    path.write_text(json.dumps(as_coco(np.zeros((50, 60), np.int64), masks)))
    whole = read_coco(path).masks
    for batch, chunk in ((1, 1), (7, 100), (40, 30), (1000, 5)):
        monkeypatch.setattr("starnet.evaluate.coco._BATCH", batch)
        monkeypatch.setattr("starnet.evaluate.coco._CHUNK", chunk)
        parts = read_coco(path).masks
        for name in ("label", "start", "stop"):
            assert np.array_equal(getattr(whole, name), getattr(parts, name))


def test_reading_paints_the_smallest_mask_on_top(tmp_path: Path) -> None:
    masks = np.zeros((3, 6, 8), bool)
    masks[0, 2:4, 2:5], masks[1, :, :], masks[2, 3:5, 4:8] = True, True, True
    (tmp_path / "m.json").write_text(json.dumps(as_coco(np.zeros((6, 8), np.int64), masks)))
    expected = np.full((6, 8), 2)
    expected[3:5, 4:8] = 3
    expected[2:4, 2:5] = 1
    labels = read_coco(tmp_path / "m.json")
    assert np.array_equal(labels.read(Box(0, 6, 0, 8)), expected)
    assert np.array_equal(labels.read(Box(3, 5, 3, 6)), expected[3:5, 3:6])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_hits_are_those_of_pycocotools_where_pairs_are_beyond_doubt(seed: int) -> None:
    """In each cell of a grid lies one source at most, and one prediction."""
    pycocotools = importlib.import_module("pycocotools.cocoeval")
    from pycocotools.coco import COCO

    rng = np.random.default_rng(seed)
    truth, pred = np.zeros((2, 36, 36), np.int64)
    for i in range(9):
        cell = slice(i // 3 * 12, i // 3 * 12 + 12), slice(i % 3 * 12, i % 3 * 12 + 12)
        truth[cell] = (i + 1) * random_map(rng, (12, 12), 1)
        pred[cell] = (9 - i) * (random_map(rng, (12, 12), 1) if rng.random() < 0.3 else np.roll(truth[cell] > 0, 1, 1))
    assume(truth.any() and pred.any())
    sets = []
    for labels in (truth, pred):
        content = as_coco(labels)
        for one in content["annotations"]:
            one["category_id"], one["score"] = 1, 1.0
        sets.append(COCO())
        sets[-1].dataset = content
        sets[-1].createIndex()
    judge = pycocotools.COCOeval(*sets, "segm")
    judge.params.maxDets = [1000]
    judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
    judge.evaluate()
    image = next(one for one in judge.evalImgs if one is not None and one["category_id"] == 1)
    theirs = [(image["dtMatches"][k] > 0).sum() for k in (0, 5)]
    ours = tally(matched(ArrayLabels(truth), ArrayLabels(pred))).total()
    assert [ours.hits[1], ours.hits[6]] == theirs
