"""`starnet report`: its images, its figures, its page, and that nothing is done twice; networks are stood in for."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner, Result

from starnet.cli import app
from starnet.errors import StarnetError
from starnet.evaluate import open_labels
from starnet.mosaic import Mosaic
from starnet.networks import NETWORKS
from starnet.pipeline import segment
from starnet.reproduce import Plan, methods, reproduce, reproducing
from starnet.reproduce.figures import conclude, find_claims, judge, summarise
from starnet.reproduce.parts import Part, make_parts
from starnet.reproduce.plan import METHODS, PARTS, SEEDS, THEIRS
from starnet.reproduce.start import Start
from starnet.splits import SimulatedSplit, load_split
from starnet.tiles import Box

SMALL = Plan(model="vit_test", checkpoint="random", images=(2, 1, 1), tile=128, bands=("F160W", "F606W"))


def invoke(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def parts(data: Path) -> list[Part]:
    return make_parts(SMALL, data)


counts = st.tuples(*[st.integers(1, 12)] * 3)


@given(counts, st.integers(32, 700))
def test_images_lie_in_the_mosaic_and_do_not_overlap(images: tuple[int, int, int], tile: int) -> None:
    plan = Plan(images=images, tile=tile)
    ny, nx = plan.simulated_shape
    assert ny * nx >= sum(images) * tile**2
    for count, box in zip(images, plan.simulated_boxes.values(), strict=True):
        assert box.size == count * tile**2
        assert box.clip((ny, nx)) == box
        assert not any(side % tile for side in box.shape)
    shape = (tile * 40 + 7, tile * 15 + 1)
    given_boxes = plan.boxes(shape)
    assert list(given_boxes) == list(PARTS)
    assert [box.shape for box in given_boxes.values()] == [box.shape for box in plan.simulated_boxes.values()]
    covered = np.zeros(shape, np.int8)
    for box in given_boxes.values():
        assert box.clip(shape) == box
        covered[box.slices] += 1
    assert covered.max() == 1


def test_the_reports_own_numbers() -> None:
    plan = Plan()
    assert plan.simulated_shape == (3 * 682, 5 * 682)
    assert [box.shape for box in plan.simulated_boxes.values()] == [(1364, 3410), (682, 1364), (682, 2046)]
    assert THEIRS == {"train": 0.20, "validation": 0.20, "test": 0.18}
    assert (plan.model, plan.images, plan.epochs, plan.bands) == (
        "vit_b", (10, 2, 3), 3, ("F160W", "F850LP", "F606W"),
    )  # fmt: skip


def test_its_fields_are_those_of_the_split_and_none_of_the_sealed_ones() -> None:
    split = load_split(Path(__file__).parent.parent / "configs" / "splits" / "candels-deep.yaml")
    assert isinstance(split, SimulatedSplit)
    assert SEEDS["train"] in split.parts["train"]
    assert SEEDS["validation"] in split.parts["validation"]
    assert SEEDS["test"] in split.parts["tune"]
    assert not set(SEEDS.values()) & set(split.parts["test"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": (1, 0, 1)}, "--images 1 0 1: give at least one"),
        ({"tile": 8}, "--tile 8 is too small"),
        ({"epochs": 0}, "--epochs 0"),
        ({"inputs": ("x.fits",)}, "needs its true label map"),
        ({"truth": "x.fits"}, "--truth and --table are those of a mosaic"),
    ],
)
def test_what_is_no_plan(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(StarnetError, match=words):
        Plan(**changes)


def test_parts_are_cut_from_their_own_mosaics(parts: list[Part]) -> None:
    assert [part.name for part in parts] == list(PARTS)
    assert len({part.mosaic.name for part in parts}) == 3
    for part in parts:
        whole, cut = Mosaic.open(part.mosaic.inputs), Mosaic.open(part.images.inputs)
        inside = Box(0, cut.shape[0], 0, cut.shape[1])
        assert cut.shape == part.box.shape
        before, after = whole.read(part.box), cut.read(inside)
        np.testing.assert_array_equal(after.data[after.valid], before.data[after.valid])
        np.testing.assert_array_equal(
            open_labels(part.images.truth).read(inside), open_labels(part.mosaic.truth).read(part.box)
        )


def test_parts_of_a_mosaic_that_is_given(parts: list[Part], tmp_path: Path) -> None:
    scene = parts[0].mosaic
    plan = dataclasses.replace(
        SMALL, inputs=scene.inputs, truth=str(scene.truth.parent), images=(1, 1, 1), tile=64, bands=()
    )
    given_parts = make_parts(plan, tmp_path)
    assert {part.mosaic.name for part in given_parts} == {"mosaic"}
    assert all(part.images.table == scene.truth.with_name("truth.fits") for part in given_parts)
    for part in given_parts:
        inside = Box(0, 64, 0, 64)
        np.testing.assert_array_equal(
            open_labels(part.images.truth).read(inside), open_labels(scene.truth).read(part.box)
        )
    with pytest.raises(StarnetError, match=r"need 256 x 384 pixels, and the mosaic has 256 x 256"):
        make_parts(dataclasses.replace(plan, tile=128, images=(2, 1, 1)), tmp_path / "large")
    fits.writeto(tmp_path / "other.fits", np.zeros((50, 60), np.int32))
    with pytest.raises(StarnetError, match="give those of one grid"):
        make_parts(dataclasses.replace(plan, truth=str(tmp_path / "other.fits")), tmp_path)


def test_mean_iou_is_that_of_images(parts: list[Part]) -> None:
    """Against a plain loop: objects belong to the image with the middle of their bounding box."""
    part = parts[0]
    ny, nx = part.box.shape
    truth = open_labels(part.images.truth).read(Box(0, ny, 0, nx))
    found = np.roll(truth, 1, axis=1)
    evaluation = judge("direct", part, found)
    assert evaluation.pred.labels.name == "direct"
    table = Table.read(part.images.table)
    counting = set(table["label"][(table["snr"] >= 5) & (table["area"] >= 5)].tolist())
    pairs = evaluation.pred.matches
    iou = dict(zip(pairs.overlaps.truth.label.tolist(), pairs.truth_iou.tolist(), strict=True))
    sums: dict[tuple[int, int], list[float]] = {}
    for label in sorted(counting & set(truth[truth > 0].tolist())):
        y, x = np.nonzero(truth == label)
        middle = [math.floor((i.min() + i.max()) / 2) // 128 for i in (y, x)]
        sums.setdefault((middle[0], middle[1]), []).append(iou[label])
    assert len(sums) == 2
    expected = np.mean([np.mean(values) for values in sums.values()])
    assert summarise(evaluation, 128)["mean_iou_per_image"] == pytest.approx(expected)


def summaries(**figures: tuple[float | None, float | None]) -> dict[str, dict[str, Any]]:
    return {
        method: {"completeness": complete, "purity": pure}
        for method, (complete, pure) in zip(METHODS, figures.values(), strict=True)
    }


@pytest.mark.parametrize(
    ("figures", "hold"),
    [
        (summaries(a=(0.1, 0.9), b=(0.7, 0.4), c=(0.6, 0.9)), (True, True, True)),
        (summaries(a=(0.4, 0.9), b=(0.7, 0.4), c=(0.6, 0.9)), (False, False, True)),
        (summaries(a=(0.1, 0.9), b=(0.7, 0.4), c=(0.6, 0.4)), (True, False, False)),
        (summaries(a=(0.0, None), b=(0.0, None), c=(0.0, None)), (False, False, False)),
        (summaries(a=(None, None), b=(0.5, 0.5), c=(0.5, 0.6)), (True, True, True)),
    ],
)
def test_claims_follow_from_the_figures(figures: dict[str, dict[str, Any]], hold: tuple[bool, ...]) -> None:
    claims = find_claims(figures)
    assert tuple(claim.holds for claim in claims) == hold
    sentence = conclude(claims)
    assert ("does not hold" in sentence) != all(hold)
    for claim in claims:
        assert all(hold) or (claim.words in sentence) != claim.holds
    found = [f"{100 * (figures[method]['completeness'] or 0):.0f} %" for method in ("direct", "tiled")]
    assert claims[0].numbers == f"{found[0]} of the true objects, and tiled {found[1]}"


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch, data: Path) -> list[tuple[str, str]]:
    """`classical` in the place of networks: of a high threshold before training, and its own after. What is done."""
    done: list[tuple[str, str]] = []

    def classical(
        inputs: Any, output: Path, *, model: str, prompts: str, device: str, grid_spacing: int, **options: Any
    ) -> Any:
        assert grid_spacing == (8 if options["mode"] == "direct" else 4)  # 32 points a side
        result = segment(
            inputs, output, model="classical", threshold=float(Path(model).read_text()), **{**options, "threads": 1}
        )
        if not result.was_finished:
            done.append((output.parent.name, output.name))
        return result

    def start(plan: Plan, folder: Path) -> Start:
        folder.mkdir(exist_ok=True)
        (folder / "start").write_text("30")
        return Start(folder / "start", NETWORKS["vit_test"], "a stand-in", False)

    def train(start: Start, train: Part, validation: Part, plan: Plan, folder: Path, **_: Any) -> Path:
        assert (train.name, validation.name) == ("train", "validation")
        folder.mkdir(exist_ok=True)
        (folder / "trained").write_text("3")
        return folder / "trained"

    monkeypatch.setattr(reproducing, "make_parts", lambda *_, **__: make_parts(SMALL, data))
    monkeypatch.setattr(methods, "segment", classical)
    monkeypatch.setattr(reproducing, "prepare_start", start)
    monkeypatch.setattr(reproducing, "fine_tune", train)
    return done


def test_the_report(data: Path, parts: list[Part], stand_ins: list[tuple[str, str]], tmp_path: Path) -> None:
    folder = tmp_path / "report"
    made = reproduce(SMALL, folder)
    assert {(method, name) for method, name in stand_ins} == {
        *(("direct", part.mosaic.name) for part in parts),
        *((method, part.name) for method in METHODS[1:] for part in parts),
    }
    document = json.loads((folder / "report.json").read_text())
    assert document["mean_iou"]["the report's, fine-tuned"] == THEIRS
    assert document["plan"]["images"] == [2, 1, 1]
    assert list(document["seconds"]) == ["images", "direct", "tiled", "training", "fine-tuned"]
    test = document["evaluation"]["test"]
    assert test["fine-tuned"]["completeness"] > test["tiled"]["completeness"]
    assert document["conclusion"] == made.conclusion
    page = (folder / "report.html").read_text()
    for words in ("a stand-in", "0.18", "data:image/png;base64,", made.conclusion, "PQ", "candels-deep"):
        assert words in page
    with Image.open(folder / "comparison.png") as picture:
        assert picture.width > 4 * picture.height
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24) or ()}
    assert {(0, 200, 255), (255, 140, 0)} <= colours

    stand_ins.clear()
    again = reproduce(SMALL, folder)
    assert not stand_ins
    assert again.summaries == made.summaries
    assert all(again.seconds[stage] >= seconds for stage, seconds in made.seconds.items())


def test_a_killed_report_goes_on(
    stand_ins: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = reproducing.fine_tune

    def killed(*_: Any, **__: Any) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(reproducing, "fine_tune", killed)
    with pytest.raises(KeyboardInterrupt):
        reproduce(SMALL, tmp_path)
    assert {method for method, _ in stand_ins} == {"direct", "tiled"}
    stand_ins.clear()
    monkeypatch.setattr(reproducing, "fine_tune", whole)
    reproduce(SMALL, tmp_path)
    assert {method for method, _ in stand_ins} == {"fine-tuned"}


def test_another_plan_needs_another_folder(stand_ins: list[tuple[str, str]], tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(json.dumps({**SMALL.document(), "tile": 64}))
    (tmp_path / "tiled").mkdir()
    (tmp_path / "tiled" / "old").write_text("")
    (tmp_path / "mine").write_text("")
    with pytest.raises(StarnetError, match=r"holds a report with another tile \(64\): .* --overwrite"):
        reproduce(SMALL, tmp_path)
    assert not stand_ins
    reproduce(SMALL, tmp_path, overwrite=True)
    assert not (tmp_path / "tiled" / "old").exists()
    assert (tmp_path / "mine").exists()


def test_a_plan_of_which_nothing_came_does_not_take_the_folder(
    stand_ins: list[tuple[str, str]], tmp_path: Path
) -> None:
    """As that of a mosaic too small for the images: the next try, with smaller ones, is no other report."""
    (tmp_path / "plan.json").write_text(json.dumps({**SMALL.document(), "tile": 4096}))
    reproduce(SMALL, tmp_path)
    assert json.loads((tmp_path / "plan.json").read_text())["tile"] == SMALL.tile


def test_a_folder_of_something_else_is_left_alone(stand_ins: list[tuple[str, str]], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(StarnetError, match="data is there and of no report"):
        reproduce(SMALL, tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_the_command(stand_ins: list[tuple[str, str]], tmp_path: Path) -> None:
    arguments = ("report", "--model", "vit_test", "--images", "2", "1", "1", "--tile", "128", "--checkpoint", "random")
    result = invoke(*arguments, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "0.18" in result.stdout
    assert "began with a stand-in" in result.stdout
    assert str(tmp_path / "out" / "report.html") in result.stdout
    result = invoke(*arguments, "-o", tmp_path / "out", "--epochs", "2")
    assert result.exit_code == 2
    assert "another epochs (3)" in result.stderr
