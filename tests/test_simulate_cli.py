"""`starnet simulate` from outside: files, errors, and a run on what it made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from astropy.table import Table
from typer.testing import CliRunner, Result

from starnet.cli import app
from starnet.mosaic import Mosaic
from starnet.outputs.segmentation_map import read_segmentation_map
from starnet.simulate import PRESETS, Field, load_preset, to_yaml, without_artefacts, write


def invoke(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).invoke(app, [str(a) for a in arguments])


def test_a_field_can_be_made_and_segmented(tmp_path: Path) -> None:
    made = invoke(
        *("simulate", "--size", "300x200", "--seed", "5", "--bands", "F160W,F606W"),
        *("-o", tmp_path, "--workers", "1", "--json"),
    )
    assert made.exit_code == 0, made.output
    answer = json.loads(made.stdout)
    assert answer["shape"] == [200, 300]
    assert {Path(path).name for path in answer["outputs"].values()} == {path.name for path in tmp_path.iterdir()}
    assert answer["n_sources"] == len(Table.read(tmp_path / "truth.fits"))
    assert read_segmentation_map(tmp_path / "truth_segmentation.fits").labels.shape == (200, 300)
    bands = [tmp_path / "f160w_drz.fits", tmp_path / "f606w_drz.fits"]
    found = invoke(
        "segment", *bands, "-o", tmp_path / "run", "--model", "classical", "--threads", "1", "--json", "--quiet"
    )
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["n_sources"] > 0


def test_presets_are_listed_and_shown() -> None:
    listed = invoke("simulate", "--list")
    assert (listed.exit_code, "candels-deep" in listed.stdout) == (0, True)
    shown = yaml.safe_load(invoke("simulate", "--show", "--preset", "candels-deep", "--bands", "F850LP").stdout)
    assert [band["name"] for band in shown["bands"]] == ["F850LP"]
    assert shown["pixel_scale"] == load_preset("candels-deep").pixel_scale


def test_clean_fields_have_no_artefacts(tmp_path: Path) -> None:
    made = invoke("simulate", "--clean", "--size", "64", "--bands", "F160W", "-o", tmp_path, "--workers", "1")
    assert made.exit_code == 0, made.output
    preset = yaml.safe_load((tmp_path / "simulation.yaml").read_text())["preset"]
    rates = ("sky", "ghosts", "gaps", "cosmic_rays", "columns", "trails")
    assert {preset[name] for name in rates} == {0.0}
    # What --show prints makes the same.
    shown = tmp_path / "clean.yaml"
    shown.write_text(invoke("simulate", "--clean", "--bands", "F160W", "--show").stdout)
    assert load_preset(str(shown)) == without_artefacts(load_preset("candels-deep").select(("F160W",)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "3k", "-o", "out"], "--size 3k is no size"),
        (["--size", "0", "-o", "out"], "--size 0 is no size"),
        ([], "-o DIR"),
        (["--preset", "sdss", "-o", "out"], "sdss"),
        (["--bands", "F160W,K", "-o", "out"], "no band K"),
        (["--psf", "tinytim.fits", "-o", "out"], "write BAND=tinytim.fits"),
        (["--psf", "F160W=nowhere.fits", "-o", "out"], "nowhere.fits"),
        (["--stamps", "nowhere", "-o", "out", "--size", "64"], "nowhere"),
    ],
)
def test_errors_are_one_sentence(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("simulate", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("starnet: error: ")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["nircam", "rubin", "euclid-vis"])
def test_files_say_what_the_preset_says(name: str, tmp_path: Path) -> None:
    preset = load_preset(name)
    write(Field(preset, (48, 64), 2), tmp_path)
    mosaic = Mosaic.open([tmp_path / f"{band.name.lower()}_drz.fits" for band in preset.bands])
    assert mosaic.instrument is not None
    assert {band.name: band.zero_point for band in mosaic.bands} == pytest.approx(
        {band.name: band.zero_point for band in preset.bands}
    )
    assert all(band.has_weight for band in mosaic.bands)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_being_written(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(to_yaml(PRESETS[name]))
    assert load_preset(str(path)) == PRESETS[name]
