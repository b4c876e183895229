"""`starnet evaluate` as a whole: what counts, bins, splitting, outlines, classes, intervals, and what is written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from typer.testing import CliRunner

from judged_maps import as_coco, map_pairs, masks_of, random_map
from starnet.cli import app
from starnet.evaluate import evaluate
from starnet.evaluate.blocks import Blocks
from starnet.evaluate.labels import ArrayLabels
from starnet.evaluate.metrics import NAMES, match
from starnet.evaluate.overlaps import find_overlaps
from starnet.evaluate.report import write_json, write_report
from starnet.evaluate.structure import boundary_f, find_splitting
from starnet.pipeline import segment


def matched(truth: Any, pred: Any, counts: Any = None) -> Any:
    overlaps = find_overlaps(ArrayLabels(truth), ArrayLabels(pred))
    return match(overlaps, np.ones(len(overlaps.truth), bool) if counts is None else counts)


def field(seed: int, side: int = 300, n: int = 150) -> tuple[Any, Any, Table]:
    """Sources, what a method that erodes them and misses some makes of them, and their table."""
    rng = np.random.default_rng(seed)
    truth = random_map(rng, (side, side), n)
    ids = np.unique(truth)[1:]
    snr = rng.uniform(3, 100, len(ids))
    pred = np.where(np.isin(truth, ids[snr > 20]) & (rng.random(truth.shape) < 0.9), truth, 0)
    area = np.bincount(truth.ravel(), minlength=n + 1)[ids]
    kinds = np.array(["disk", "star"])[ids % 2]
    table = Table({"label": ids, "snr": snr, "area": area, "class": kinds, "mag_F160W": 30 - 2.5 * np.log10(snr)})
    return truth, pred, table


# What counts


def test_faint_and_tiny_sources_are_neither_rewarded_nor_punished(tmp_path: Path) -> None:
    truth = np.zeros((40, 40), np.int64)
    truth[0:4, 0:4], truth[10:14, 0:4], truth[20:22, 0:2], truth[30:34, 0:4] = 1, 2, 3, 4
    pred = truth.copy()
    pred[38:40, 38:40] = 9
    Table({"label": [4, 3, 2, 1], "snr": [5.0, 50, 4.99, 50], "area": [16, 4, 16, 5]}).write(tmp_path / "t.fits")
    found = evaluate(pred, truth, table=tmp_path / "t.fits", resamples=5).summary()
    assert (found["n_truth"], found["n_pred"], found["n_ignored_truth"]) == (2, 5, 2)
    assert found["thresholds"][1] == {"iou": 0.5, "tp": 2, "fp": 1, "fn": 0, "ignored": 2}
    assert (found["ap50"], found["completeness"], found["mean_iou"]) == (2 / 3, 1, 1)
    alone = evaluate(pred, truth, resamples=5).summary()
    assert (alone["n_truth"], alone["ap50"]) == (4, 4 / 5)


def test_a_table_in_memory_will_do() -> None:
    truth, pred, table = field(8)
    found = evaluate(pred, truth, table=table, resamples=5).summary()
    assert found["n_truth"] == ((table["snr"] >= 5) & (table["area"] >= 5)).sum() < len(table)
    assert found["table"] == "the table"


# Bins


def test_bins_share_out_what_the_whole_has(tmp_path: Path) -> None:
    truth, pred, table = field(1)
    table.write(tmp_path / "t.fits")
    found = evaluate(pred, truth, table=tmp_path / "t.fits", pred_table=tmp_path / "t.fits", resamples=2)
    summary = found.summary()
    assert set(summary["bins"]) == {"area", "snr", "class", "mag_F160W"}
    for name, bins in summary["bins"].items():
        assert sum(one["n_truth"] for one in bins) == summary["n_truth"], name
        weights = [one["n_truth"] for one in bins]
        for key in ("mean_iou", "completeness"):
            total = np.dot(weights, [one[key] or 0 for one in bins]) / sum(weights)
            assert total == pytest.approx(summary[key]), (name, key)
        assert sum(one["n_pred"] for one in bins) == summary["n_pred"] - summary["thresholds"][0]["ignored"]
        hits = sum(one["n_pred"] * (one["purity"] or 0) for one in bins)
        assert hits == pytest.approx(summary["thresholds"][0]["tp"])
    faint, bright = summary["bins"]["snr"][1], summary["bins"]["snr"][-1]
    assert (faint["name"], faint["completeness"], bright["completeness"]) == ("10 to 20", 0, 1)


# Splitting, outlines, classes


@settings(max_examples=100, deadline=None)
@given(map_pairs(), st.integers(0, 2**32 - 1))
def test_split_and_merged_objects_are_those_of_the_definition(maps: tuple[Any, Any], seed: int) -> None:
    truth, pred = maps
    t, p = masks_of(truth), masks_of(pred)
    counts = np.random.default_rng(seed).random(len(t)) < 0.7
    found = find_splitting(matched(truth, pred, counts))
    split = [i for i, one in enumerate(t) if counts[i] and sum((one & o).sum() > o.sum() / 2 for o in p) > 1]
    held = [[i for i, one in enumerate(t) if counts[i] and (one & o).sum() > one.sum() / 2] for o in p]
    assert found.split.tolist() == split
    assert found.merging.tolist() == [k for k, one in enumerate(held) if len(one) > 1]
    assert found.merged.tolist() == sorted({i for one in held if len(one) > 1 for i in one})


def edges(labels: Any) -> Any:
    """Pixels of each mask that erosion by a cross takes; beyond the border everything goes on."""
    marked = np.zeros(labels.shape, bool)
    for mask in masks_of(labels):
        marked |= mask & ~ndimage.binary_erosion(mask, border_value=1)
    return marked


@pytest.mark.parametrize("strip", [1 << 22, 1])
@settings(max_examples=60, deadline=None)
@given(maps=map_pairs(), seed=st.integers(0, 2**32 - 1), tolerance=st.integers(0, 3))
def test_outlines_are_compared_as_defined(strip: int, maps: tuple[Any, Any], seed: int, tolerance: int) -> None:
    truth, pred = maps
    counts = np.random.default_rng(seed).random(len(masks_of(truth))) < 0.7
    matches = matched(truth, pred, counts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("starnet.evaluate.labels._STRIP", strip)
        patch.setattr("starnet.evaluate.labels._ROWS", 256 if strip > 1 else 5)
        found = boundary_f(ArrayLabels(truth), ArrayLabels(pred), matches, tolerance=tolerance)
    asked_t = np.isin(truth, np.unique(truth[truth > 0])[counts])
    ids = np.unique(pred[pred > 0])
    on_nothing = [
        i
        for i, one in enumerate(ids)
        if (k := matches.truth_of_pred[i]) >= 0 and not counts[k] and matches.pred_iou[i] >= 0.1
    ]
    asked_p = (pred > 0) & ~np.isin(pred, ids[on_nothing])
    expected = []
    for mine, other, asked in ((truth, pred, asked_t), (pred, truth, asked_p)):
        outline = edges(mine) & asked
        near = ndimage.binary_dilation(edges(other), np.ones((3, 3)), tolerance) if tolerance else edges(other)
        expected.append((outline & near).sum() / outline.sum() if outline.any() else None)
    assert (found["recall"], found["precision"]) == tuple(expected)
    if None not in expected:
        r, p = expected
        assert found["f"] == pytest.approx(2 * p * r / (p + r) if p + r else 0)


def test_classes_of_masks_are_counted(tmp_path: Path) -> None:
    labels = random_map(np.random.default_rng(3), (80, 80), 14)
    content = as_coco(labels)
    (tmp_path / "truth.json").write_text(json.dumps(content))
    content["annotations"][0]["category_id"] = 3 - content["annotations"][0]["category_id"]
    (tmp_path / "pred.json").write_text(json.dumps(content))
    found = evaluate(tmp_path / "pred.json", tmp_path / "truth.json", resamples=2).summary()["confusion"]
    odd = sum(1 for one in content["annotations"] if one["id"] % 2)
    n = len(content["annotations"])
    first_is_odd = content["annotations"][0]["id"] % 2
    assert found["classes"] == ["galaxy", "star"]
    # Odd ids are stars; the first object was called the other thing.
    assert found["matrix"] == [
        [n - odd - (not first_is_odd), int(not first_is_odd)],
        [int(first_is_odd), odd - int(first_is_odd)],
    ]
    assert evaluate(labels, labels, resamples=2).summary()["confusion"] is None


# Intervals


def test_squares_share_out_what_the_whole_has() -> None:
    truth, pred, _ = field(2)
    matches = matched(truth, pred)
    for side in (32, 77, 1000):
        blocks = Blocks(truth.shape, side)
        parts = blocks.tally(matches)
        assert len(parts.truths) == blocks.count
        assert parts.truths.sum() == len(matches.counts)
        assert (parts.false_positives >= 0).all()
        scores, whole = parts.total().scores(), Blocks(truth.shape, 5000).tally(matches).total().scores()
        assert {k: float(v) for k, v in scores.items()} == pytest.approx({k: float(v) for k, v in whole.items()})


def test_intervals_hold_the_value_and_follow_the_seed() -> None:
    truth, pred, _ = field(3)
    one, same, other = (evaluate(pred, truth, resamples=300, seed=seed).summary() for seed in (1, 1, 2))
    assert one["intervals"] == same["intervals"] != other["intervals"]
    for name in ("pq", "mean_iou", "completeness", "ap"):
        low, high = one["intervals"][name]
        assert low < one[name] < high


def test_intervals_do_not_depend_on_the_draws_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, pred, _ = field(3)
    whole = evaluate(pred, truth, resamples=50).summary()["intervals"]
    monkeypatch.setattr("starnet.evaluate.blocks._DRAWN", 700)
    parts = evaluate(pred, truth, resamples=50).summary()["intervals"]
    assert all(parts[name] == pytest.approx(whole[name], abs=1e-12) for name in whole)


def test_intervals_are_as_wide_as_the_scatter_of_fields() -> None:
    """The bootstrap of one field against many fields, for the part of sources that is found."""
    values, widths = [], []
    for seed in range(30):
        truth, pred, _ = field(100 + seed, side=240, n=60)
        found = evaluate(pred, truth, resamples=200, block=24).summary()
        values.append(found["completeness"])
        low, high = found["intervals"]["completeness"]
        widths.append((high - low) / (2 * 1.96))
    assert 0.6 < np.mean(widths) / np.std(values) < 1.6


def test_differences_are_paired() -> None:
    truth, pred, _ = field(4)
    same = evaluate(pred, truth, against=pred, resamples=50).summary()
    assert all(one == {"difference": 0, "interval": [0, 0], "better": 0.5} for one in same["differences"].values())
    assert {k: v for k, v in same["against"].items() if k != "name"} == {
        k: v for k, v in same.items() if k in same["against"] and k != "name"
    }
    worse = np.where(np.arange(truth.shape[0])[:, None] % 4 == 0, 0, pred)
    found = evaluate(pred, truth, against=worse, resamples=300).summary()
    difference = found["differences"]["mean_iou"]
    assert difference["difference"] == pytest.approx(found["mean_iou"] - found["against"]["mean_iou"])
    low, high = difference["interval"]
    assert 0 < low < difference["difference"] < high
    assert difference["better"] == 1
    alone = found["intervals"]["mean_iou"]
    assert high - low < (alone[1] - alone[0]) / 2


# What is written


def test_what_is_heavy_is_imported_when_it_is_needed() -> None:
    code = "import sys, starnet.evaluate.report; print([m for m in ('scipy', 'matplotlib') if m in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


@pytest.mark.parametrize(("module", "option"), [("scipy.optimize", []), ("matplotlib", ["--html", "out.html"])])
def test_what_is_missing_is_named(
    module: str, option: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fits.writeto("map.fits", np.eye(9, dtype=np.int32))
    monkeypatch.setitem(sys.modules, module, None)
    done = CliRunner().invoke(app, ["evaluate", "map.fits", "map.fits", *option])
    assert done.exit_code == 2
    assert "which is not installed: pip install 'starnet[evaluate]'" in done.stderr


def test_json_has_the_figures_at_its_top(tmp_path: Path) -> None:
    truth, pred, table = field(5)
    table.write(tmp_path / "t.fits")
    evaluation = evaluate(pred, truth, table=tmp_path / "t.fits", against=truth, resamples=5)
    write_json(evaluation, tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text())
    assert list(found)[:11] == [*NAMES, "n_truth", "n_pred"]
    assert found == json.loads(json.dumps(evaluation.summary()))
    assert found["against"]["pq"] == 1
    write_json(evaluate(np.zeros((4, 4), int), np.zeros((4, 4), int), resamples=5), tmp_path / "out.json")
    assert "NaN" not in (tmp_path / "out.json").read_text()


def test_the_page_is_whole_in_one_file(tmp_path: Path) -> None:
    truth, pred, table = field(6)
    pred[200:260, 200:260] = 1000  # merges some
    table.write(tmp_path / "<b>.fits")
    evaluation = evaluate(pred, truth, table=tmp_path / "<b>.fits", against=truth, resamples=5)
    for name in ("one.html", "two.html"):
        write_report(evaluation, tmp_path / name, cases=3)
    page = (tmp_path / "one.html").read_text()
    assert page == (tmp_path / "two.html").read_text()
    assert not re.search(r"(src|href)='?(?!'?data:)", page)
    assert "<b>.fits" not in page
    pictures = re.findall(r"<img src='data:image/png;base64,", page)
    summary = evaluation.summary()
    missed = summary["n_truth"] - summary["thresholds"][0]["tp"]
    assert f"Missed: IoU below 0.1 ({missed})" in page
    assert f"Merged with others ({summary['splitting']['merging']})" in page
    assert len(pictures) > 6


@pytest.mark.parametrize("bands", [["F160W"], ["F160W", "F850LP", "F606W"]])
def test_two_thresholds_on_real_pixels(
    bands: list[str], tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = [f"{name}={shared_data / 'xdf-demo' / f'xdf_{name.lower()}.fits'}" for name in bands]
    for threshold in (3, 6):
        segment(inputs, f"run{threshold}", model="classical", threshold=threshold, threads=1)
    arguments = ["evaluate", "run6", "run3", "--table", "run3/catalog.fits", "--against", "run3"]
    arguments += ["--json", "out.json", "--html", "out.html"]
    for one in inputs:
        arguments += ["--image", one]
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)
    assert done.exit_code == 0, done.output
    found = json.loads(Path("out.json").read_text())
    # The higher threshold finds fewer and smaller sources, hardly any that are not there at the lower one.
    assert found["n_pred"] < found["n_truth"]
    assert found["purity"] > 0.85
    assert 0.2 < found["mean_iou"] < 0.7
    assert found["against"]["pq"] == 1
    assert found["differences"]["pq"]["interval"][1] < 0
    assert {"area", "snr", f"mag_{bands[0]}"} <= set(found["bins"])
    purity = [one["purity"] for one in found["bins"]["snr"] if one["n_pred"]]
    assert purity[-1] > 0.9
    assert f"{found['n_truth']} true objects count" in done.stdout
    assert "mean IoU" in done.stdout
    assert Path("out.html").read_text().count("<figure>") > 10
