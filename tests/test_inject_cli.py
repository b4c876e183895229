"""`starnet inject` as a user has it: a real mosaic, passes that are kept, and errors in one sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table
from typer.testing import CliRunner, Result

from starnet.cli import app
from starnet.evaluate import evaluate
from starnet.evaluate.metrics import FOUND
from starnet.inject import inject
from starnet.inject.curves import Curve
from starnet.inject.recovery import COLUMNS
from starnet.mosaic import Mosaic
from starnet.simulate import Field, load_preset, write

BANDS = ("f160w", "f850lp", "f606w")


def invoke(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def bands(shared_data: Path) -> list[Path]:
    return [shared_data / "xdf-demo" / f"xdf_{band}.fits" for band in BANDS]


@pytest.fixture(scope="module")
def first(bands: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """An injection of four passes, and what it says."""
    folder = tmp_path_factory.mktemp("injection") / "injected"
    made = invoke(
        *(
            "inject",
            *bands,
            "-o",
            folder,
            "--model",
            "classical",
            "--passes",
            "4",
            "--density",
            "300",
            "--pixel-scale",
            "0.06",
        ),
        *("--preset", "xdf", "--threads", "1", "--resamples", "20", "--json", "--quiet"),
    )
    assert made.exit_code == 0, made.output
    return folder, json.loads(made.stdout)


def test_what_the_extreme_deep_field_gives(first: tuple[Path, dict[str, Any]]) -> None:
    folder, answer = first
    summary = answer["summary"]
    assert summary == json.loads((folder / "injection.json").read_text())
    table = Table.read(folder / "recovered.fits", mask_invalid=False)
    assert len(table) == summary["n_injected"] == 4 * 75
    assert set(COLUMNS) - {"ra", "dec"} <= set(table.colnames)  # these bands have no WCS
    assert np.unique(table["pass"]).tolist() == [1, 2, 3, 4]
    assert summary["n_recovered"] + summary["n_blended"] + summary["n_missed"] == summary["n_injected"]
    # Bright sources with nothing beside them are found, the faintest ones are not, and the curve lies between.
    alone = table[table["alone"]]
    found = np.asarray(alone["outcome"] == "recovered")
    brightest, faintest = summary["mag_range"]
    assert found[np.asarray(alone["mag"]) < brightest + 2].mean() > 0.9
    assert found[np.asarray(alone["mag"]) > faintest - 1].mean() < 0.1
    limit = summary["completeness_limits_alone"]
    assert brightest + 2 < limit["90"]["mag"] < limit["50"]["mag"] < faintest - 1
    # What is measured of them is theirs.
    bright = alone[found & (np.asarray(alone["mag"]) < brightest + 2)]
    for band in BANDS:
        name = band.upper()
        assert abs(np.median(bright[f"mag_out_{name}"] - bright[f"mag_{name}"])) < 0.4
    assert abs(np.median(bright["size_out"] / bright["size"]) - 1) < 0.2
    assert summary["purity"]["injected_image"] > 0.9
    assert summary["purity"]["mirrored"] > 0.8
    assert "<img" in (folder / "injection.html").read_text()
    assert not list(folder.glob("*/images"))


def test_finished_passes_are_kept_and_more_of_them_may_follow(
    bands: list[Path], first: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, _ = first
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("*/recovered.fits")}
    options: dict[str, Any] = {"density": 300.0, "preset": "xdf", "pixel_scale": 0.06, "resamples": 5, "threads": 1}
    options |= {"model": "classical", "mode": "tiled", "tile": None, "recipe": None}
    more = inject(bands, folder, passes=5, **options)
    assert more.finished_passes == 4
    assert more.summary["n_injected"] == 5 * 75
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    # A pass that was stopped before its end is made again, to the same table.
    before = (folder / "pass-002" / "recovered.fits").read_bytes()
    (folder / "pass-002" / "pass.json").unlink()
    again = inject(bands, folder, passes=5, **options)
    assert again.finished_passes == 4
    assert (folder / "pass-002" / "recovered.fits").read_bytes() == before
    other = invoke(
        "inject",
        *bands,
        "-o",
        folder,
        "--model",
        "classical",
        "--seed",
        "2",
        "--pixel-scale",
        "0.06",
        "--preset",
        "xdf",
    )
    assert other.exit_code == 2
    assert "other settings" in other.stderr
    assert "seed" in other.stderr


def test_the_default_model_is_judged_too(bands: list[Path], tmp_path: Path) -> None:
    made = invoke(
        *("inject", *bands, "-o", tmp_path / "out", "--passes", "1", "--density", "200", "--pixel-scale", "0.06"),
        *("--preset", "xdf", "--threads", "1", "--resamples", "2", "--json", "--quiet"),
    )
    assert made.exit_code == 0, made.output
    summary = json.loads(made.stdout)["summary"]
    assert summary["model"]["name"] == "tiny"
    assert 0 < summary["n_recovered"] < summary["n_injected"]
    parameters = [
        json.loads((tmp_path / "out" / run / "run.json").read_text())["model"]["parameters"]
        for run in ("original", "mirrored/run")
    ]
    assert parameters[0] == parameters[1], "the image that is turned over is seen with the original's noise"


def test_images_can_be_kept(bands: list[Path], tmp_path: Path) -> None:
    made = invoke(
        *(
            "inject",
            f"H={bands[0]}",
            "-o",
            tmp_path / "out",
            "--model",
            "classical",
            "--passes",
            "1",
            "--density",
            "20",
            "--keep",
        ),
        *("--mag-range", "22:26", "--pixel-scale", "0.06", "--preset", "euclid-nisp", "--zero-point", "H=26"),
        *("--gain", "H=1000", "--threads", "1", "--resamples", "2", "--magnitudes", "counts", "--weights", "none"),
    )
    assert made.exit_code == 0, made.output
    assert "injected" in made.stdout
    assert "true H" in made.stdout
    kept = Mosaic.open([tmp_path / "out" / "pass-001" / "images" / "h.fits"])
    assert kept.shape == (500, 500)
    table = Table.read(tmp_path / "out" / "recovered.fits", mask_invalid=False)
    assert ((table["mag"] >= 22) & (table["mag"] <= 26)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--pixel-scale 0.06"),
        (["--pixel-scale", "0.06", "--mag-range", "faint"], "--mag-range faint is no range"),
        (["--pixel-scale", "0.06", "--mag-range", "29:22"], "the brighter, smaller, one first"),
        (["--pixel-scale", "0.06", "--band", "K"], "no band K"),
        (["--pixel-scale", "0.06", "--gain", "F160W"], "--gain F160W names no band"),
        (["--pixel-scale", "0.06", "--zero-point", "F160W=faint"], "write a number"),
        (["--pixel-scale", "0.06", "--psf", "F160W=nowhere.fits"], "nowhere.fits"),
        (["--pixel-scale", "0.06", "--preset", "rubin"], "no band F160W"),
    ],
)
def test_errors_are_one_sentence(
    arguments: list[str], message: str, bands: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [path.resolve() for path in bands]
    monkeypatch.chdir(tmp_path)
    result = invoke("inject", *paths, "-o", "out", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("starnet: error: ")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_page_names_the_columns_of_the_table(first: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = first
    page = (Path(__file__).parent.parent / "docs" / "inject.md").read_text()
    rows = re.findall(r"^\| (`.*?) \|", page.partition("## Columns")[2], re.MULTILINE)
    documented = {name.replace("BAND", "F160W") for row in rows for name in re.findall(r"`(\w+)`", row)}
    columns = Table.read(folder / "recovered.fits", mask_invalid=False).colnames
    assert documented - {"ra", "dec"} == {name for name in columns if not name.endswith(("F850LP", "F606W"))}


def test_the_curve_foretells_what_is_found_of_a_fields_own_sources(tmp_path: Path) -> None:
    """Of a simulated field the truth is known: what injection says of it has to hold for its own sources."""
    write(Field(load_preset("candels-deep"), (768, 768), 12), tmp_path / "field")
    bands = [tmp_path / "field" / f"{band}_drz.fits" for band in BANDS]
    result = inject(bands, tmp_path / "out", model="classical", passes=3, density=150, resamples=2, threads=1)
    curve = Curve(**result.summary["completeness_fit"])
    truth = Table.read(tmp_path / "field" / "truth.fits")
    mag = np.asarray(truth["mag_F160W"], float)
    own = (mag > curve.brightest) & (mag < curve.faintest)
    matches = evaluate(tmp_path / "out" / "original", tmp_path / "field", resamples=1).pred.matches
    found = np.zeros(len(truth), bool)
    found[matches.overlaps.truth.label - 1] = matches.truth_iou >= FOUND
    expected, observed = curve(mag[own]).sum(), found[own].sum()
    assert own.sum() > 100
    assert expected == pytest.approx(observed, abs=0.12 * own.sum())
