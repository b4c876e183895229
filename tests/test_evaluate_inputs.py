"""What `starnet evaluate` reads, and what it says of what it cannot use."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table
from PIL import Image
from typer.testing import CliRunner

from judged_maps import as_coco, random_map
from starnet.cli import app
from starnet.errors import StarnetError
from starnet.evaluate import evaluate, open_labels
from starnet.evaluate.tables import read_table
from starnet.outputs.catalog_files import write_catalog
from starnet.outputs.segmentation_map import write_segmentation_map
from starnet.tiles import Box

LABELS = random_map(np.random.default_rng(4), (60, 50), 12)
NOISE = np.random.default_rng(5).normal(size=LABELS.shape).astype(np.float32)


def rivers() -> Any:
    """Segment's clumps: -1 in what is detected and is no clump."""
    return np.where((LABELS == 0) & (NOISE > 1), -1, LABELS).astype(np.int32)


def gnuastro(path: Path, **maps: Any) -> None:
    """A file as GNU Astronomy Utilities write them: the image first."""
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(NOISE, name="INPUT-NO-SKY")]
    hdus += [fits.ImageHDU(pixels, name=name) for name, pixels in maps.items()]
    fits.HDUList(hdus).writeto(path)


def blank(path: Path) -> None:
    """-32768 is nothing known."""
    hdu = fits.PrimaryHDU(np.where(LABELS == 0, -32768, LABELS).astype(np.int16))
    hdu.header["BLANK"] = -32768
    hdu.writeto(path)


def photutils(path: Path) -> None:
    segmentation = importlib.import_module("photutils.segmentation")
    fits.writeto(path, segmentation.SegmentationImage(LABELS).data)


WRITERS: dict[str, Callable[[Path], Any]] = {
    "check.fits": lambda path: fits.writeto(path, LABELS.astype(np.int32)),
    "photutils.fits": photutils,
    "short.fits": lambda path: fits.writeto(path, LABELS.astype(np.int16)),
    "unsigned.fits": lambda path: fits.writeto(path, LABELS.astype(np.uint32)),
    "float.fits": lambda path: fits.writeto(path, np.where(LABELS == 0, np.nan, LABELS).astype(np.float32)),
    "packed.fits.gz": lambda path: fits.writeto(path, LABELS.astype(np.int32)),
    "objects.fits": lambda path: gnuastro(path, CLUMPS=rivers() * 2, OBJECTS=LABELS.astype(np.int32)),
    "clumps.fits[CLUMPS]": lambda path: gnuastro(path, CLUMPS=rivers(), OBJECTS=LABELS.astype(np.int32) * 2),
    "noisechisel.fits": lambda path: gnuastro(path, DETECTIONS=LABELS.astype(np.int32)),
    "any_name.fits": lambda path: gnuastro(path, SEGMAP=LABELS.astype(np.int32)),
    "blank.fits": blank,
    "ours.fits": lambda path: write_segmentation_map(path, LABELS.shape, lambda a, b: LABELS[a:b].astype(np.int32)),
    "picture.png": lambda path: Image.fromarray(LABELS.astype(np.uint16)).save(path),
    "picture.tif": lambda path: Image.fromarray(LABELS.astype(np.int32)).save(path),
    "masks.json": lambda path: path.write_text(json.dumps(as_coco(LABELS))),
    "results.json": lambda path: path.write_text(json.dumps(as_coco(LABELS)["annotations"])),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_labels(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name.partition("[")[0])
    labels = open_labels(str(tmp_path / name))
    assert np.array_equal(labels.read(Box(0, 60, 0, 50)), LABELS)
    assert np.array_equal(labels.read(Box(11, 33, 7, 41)), LABELS[11:33, 7:41])
    assert evaluate(tmp_path / name, LABELS, resamples=2).summary()["pq"] == 1


def test_a_directory_stands_for_the_map_in_it(tmp_path: Path) -> None:
    WRITERS["check.fits"](tmp_path / "truth_segmentation.fits")
    ids = np.unique(LABELS)[1:]
    Table({"label": ids, "snr": 4.9 + 0.1 * (ids % 2), "area": np.full(len(ids), 9)}).write(tmp_path / "truth.fits")
    found = evaluate(LABELS, tmp_path, resamples=2).summary()
    assert found["n_truth"] == (ids % 2 == 1).sum()
    assert found["n_pred"] == len(ids)
    assert found["n_ignored_truth"] == (ids % 2 == 0).sum()
    (tmp_path / "truth.fits").unlink()
    assert evaluate(LABELS, tmp_path, resamples=2).summary()["n_truth"] == len(ids)


def test_one_of_several_images_is_chosen(tmp_path: Path) -> None:
    content = as_coco(LABELS)
    content["images"].append({"id": 8, "width": 50, "height": 60, "file_name": "other.fits"})
    path = tmp_path / "two.json"
    path.write_text(json.dumps(content))
    assert np.array_equal(open_labels(f"{path}[7]").read(Box(0, 60, 0, 50)), LABELS)
    assert not open_labels(f"{path}[other.fits]").read(Box(0, 60, 0, 50)).any()
    with pytest.raises(StarnetError, match=r"is about 2 images: choose one, as in .*two.json\[7\]"):
        open_labels(path)
    with pytest.raises(StarnetError, match=r"has no image \[9\]"):
        open_labels(f"{path}[9]")


# Tables


@pytest.mark.parametrize("name", ["t.fits", "t.ecsv", "t.parquet", "t.csv", "t.xml"])
def test_tables_of_any_format_and_order(name: str, tmp_path: Path) -> None:
    table = QTable({"label": [30, 7, 12], "snr": [3.0, 1, 2], "class": ["star", "disk", "arc"], "x": [0.5, 1, 2]})
    if name.endswith(".csv"):
        Table(table).write(tmp_path / name)
    else:
        write_catalog(table, tmp_path / name)
    found = read_table(tmp_path / name, np.array([7, 12]), "the map")
    assert found.columns["snr"].tolist() == [1, 2]
    assert found.columns["class"].tolist() == ["disk", "arc"]
    assert found.elsewhere == 1


def test_what_the_table_does_not_say_is_no_reason_to_ignore(tmp_path: Path) -> None:
    path, ids = tmp_path / "t.fits", np.unique(LABELS)[1:]
    Table({"label": ids, "snr": np.where(ids == ids[0], np.nan, 1.0)}).write(path)
    found = evaluate(LABELS, LABELS, table=path, resamples=2)
    assert found.summary()["n_truth"] == 1
    assert found.notes == [f"{path} has no column area: no source is ignored for it"]


def broken_table(text: str) -> Callable[[Path], list[str]]:
    def write(folder: Path) -> list[str]:
        (folder / "t.csv").write_text(text)
        return ["pred.fits", "truth.fits", "--table", "t.csv"]

    return write


def broken_map(name: str, content: Any) -> Callable[[Path], list[str]]:
    def write(folder: Path) -> list[str]:
        path = folder / name
        if isinstance(content, np.ndarray):
            fits.writeto(path, content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return [name, "truth.fits"]

    return write


def truncated(folder: Path) -> list[str]:
    whole = (folder / "pred.fits").read_bytes()
    (folder / "cut.fits").write_bytes(whole[: len(whole) // 2])
    return ["cut.fits", "truth.fits"]


def unfinished(folder: Path) -> list[str]:
    (folder / "run").mkdir()
    (folder / "run" / "plan.json").write_text("{}")
    return ["run", "truth.fits"]


def small_image(folder: Path) -> list[str]:
    fits.writeto(folder / "small.fits", NOISE[:30])
    return ["pred.fits", "truth.fits", "--html", "out.html", "--image", "small.fits"]


def changed(**changes: Any) -> dict[str, Any]:
    content = as_coco(LABELS)
    content["annotations"][1]["segmentation"] |= changes
    return content


MISTAKES: list[tuple[Callable[[Path], list[str]], str]] = [
    (broken_map("s.fits", LABELS[:40].astype(np.int32)), r"s.fits\[0\] has 50 x 40 pixels and truth.fits\[0\] has"),
    (broken_map("noise.fits", NOISE), r"noise.fits\[0\] holds no labels \(pixel x=0, y=0 is .*\): give a label map"),
    (broken_map("inf.fits", np.full((60, 50), np.inf)), r"has the label inf, of more than 31 bits"),
    (broken_map("big.fits", LABELS * 2**40), r"of more than 31 bits: number its objects anew"),
    (truncated, r"cut.fits\[0\] is truncated: its header asks for \d+ bytes, the file has \d+"),
    (lambda folder: ["absent.fits", "truth.fits"], "absent.fits does not exist"),
    (lambda folder: [".", "truth.fits"], r"\. is no run directory \(it has no segmentation.fits\)"),
    (unfinished, "run holds a run that is not finished"),
    (lambda folder: ["pred.fits[SEGM]", "truth.fits"], r"pred.fits has no HDU \[SEGM\]: choose one of"),
    (lambda folder: ["table.fits", "truth.fits"], "table.fits holds no image, hence no labels"),
    (broken_map("a.json", "{"), "a.json cannot be read as JSON"),
    (broken_map("a.json", {"boxes": []}), "a.json holds no masks"),
    (broken_map("a.json", {"annotations": []}), "a.json says nothing about the size of its image"),
    (broken_map("a.json", [{"segmentation": [[1, 2, 3, 4, 5, 6]]}]), "a.json has polygons: write its masks as"),
    (broken_map("a.json", changed(counts="~~")), "a.json has a damaged mask, number 2"),
    (broken_map("a.json", changed(counts="0")), "a.json has a damaged mask, number 2"),
    (broken_map("a.json", changed(counts=[5, -5, 3000])), "a.json has a damaged mask, number 2"),
    (broken_map("a.json", changed(counts=["x"])), "a.json has a damaged mask, number 2"),
    (broken_map("a.json", changed(size=[5, 5])), r"a.json has masks of other sizes than its image, \[60, 50\]: mask 2"),
    (broken_table("id,snr\n1,9\n"), "t.csv has no row for the label 2 of truth.fits"),
    (broken_table("object,snr\n1,9\n"), "t.csv has no column label: name so the one that holds the labels of truth"),
    (broken_table("label,snr\n1,9\n1,8\n"), "t.csv has two rows for the label 1: leave one of them"),
    (broken_table("label,snr\na,9\n"), "t.csv has labels that are no integers"),
    (broken_table("label,snr\n" + "".join(f"{i},bright\n" for i in range(20))), "t.csv has text in its column snr"),
    (lambda folder: ["pred.fits", "truth.fits", "--table", "no.fits"], "no.fits does not exist: give the table"),
    (lambda folder: ["pred.fits", "truth.fits", "--table", "pred.fits"], "pred.fits cannot be read as a table"),
    (small_image, "small.fits has 50 x 30 pixels and the true map 50 x 60"),
    (lambda folder: ["pred.fits", "truth.fits", "--json", "no/out.json"], r"no/out.json could not be written"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "sentence"), MISTAKES, ids=[sentence[:30] for _, sentence in MISTAKES])
def test_mistakes_are_told_in_one_sentence(
    make: Callable[[Path], list[str]], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("pred.fits", "truth.fits"):
        fits.writeto(name, LABELS.astype(np.int32))
    Table({"label": [1]}).write("table.fits")
    done = CliRunner().invoke(app, ["evaluate", *make(tmp_path), "--quiet", "--resamples", "2"])
    assert done.exit_code == 2, done.output
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("starnet: error: ")
    assert re.search(sentence, done.stderr), done.stderr
    assert not list(tmp_path.glob("out.*"))
