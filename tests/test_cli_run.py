"""The commands on real images, as a user types them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from PIL import Image
from typer.testing import CliRunner, Result

from starnet.cli import app
from starnet.pipeline import PreprocessResult, SegmentResult

REPOSITORY = Path(__file__).resolve().parent.parent
STARNET = Path(sys.executable).with_name("starnet")


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def size_of(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as image:
        return image.size


@pytest.fixture(scope="module")
def bands(shared_data: Path) -> list[Path]:
    return [shared_data / "xdf-demo" / f"xdf_{name}.fits" for name in ("f160w", "f850lp", "f606w")]


@pytest.fixture(scope="module")
def run(bands: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    directory = tmp_path_factory.mktemp("runs") / "run"
    return directory, invoke(
        "segment", *bands, "-o", directory, "--model", "classical", "--threads", "1", "--tile", "200"
    )


def test_segment_says_what_it_found_and_where(run: tuple[Path, Result]) -> None:
    directory, result = run
    assert result.exit_code == 0, result.output
    catalog = QTable.read(directory / "catalog.fits")
    lines = result.stdout.splitlines()
    assert lines[0] == f"{len(catalog)} sources in 500 x 500 pixels"
    assert re.search(r"\d+\.\d s, \d+\.\d\d Mpix/s", result.stdout)
    assert re.search(r"\d+ MiB", result.stdout)
    for kind in ("segmentation", "catalog", "regions", "overlay"):
        (path,) = (Path(line.split(maxsplit=1)[1]) for line in lines if line.split()[0] == kind)
        assert path.is_file()
    with fits.open(directory / "segmentation.fits") as hdus:
        assert hdus["SEGMENTATION"].data.max() == len(catalog) > 50
    assert min(size_of(directory / "overlay.png")) >= 500
    stages = [line.split(":")[0] for line in result.stderr.splitlines()]
    assert "segment" in stages
    assert len(stages) == len(set(stages))


def test_a_finished_run_is_left_as_it_is(run: tuple[Path, Result], bands: list[Path]) -> None:
    directory, _ = run
    before = {path: path.stat().st_mtime_ns for path in directory.iterdir() if path.suffix in (".fits", ".reg", ".png")}
    result = invoke("segment", *bands, "-o", directory, "--model", "classical", "--tile", "200")
    assert result.exit_code == 0
    assert "finished before" in result.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_json_is_one_object_and_nothing_else(run: tuple[Path, Result], bands: list[Path]) -> None:
    directory, _ = run
    result = invoke("segment", *bands, "-o", directory, "--model", "classical", "--tile", "200", "--json")
    answer = json.loads(result.stdout)
    assert set(answer) == {field.name for field in fields(SegmentResult)}
    assert answer["was_finished"] is True
    assert answer["n_sources"] == len(QTable.read(answer["outputs"]["catalog"]))
    assert answer["run"] == json.loads((directory / "run.json").read_text())


def test_parameters_of_the_model_reach_it(run: tuple[Path, Result], bands: list[Path], tmp_path: Path) -> None:
    result = invoke(
        *(
            "segment",
            bands[0],
            "-o",
            tmp_path / "run",
            "--model",
            "classical",
            "--json",
            "--quiet",
            "--threads",
            "1",
            "--mode",
            "direct",
        ),
        *("--threshold", "5", "--min-area", "20", "--kernel-fwhm", "3", "--deblend-levels", "32"),
        *("--deblend-contrast", "0.01"),
    )
    answer = json.loads(result.stdout)
    assert result.stderr == ""
    assert answer["run"]["mode"] == "direct"
    assert answer["run"]["model"]["name"] == "classical"
    parameters = {"threshold": 5, "min_area": 20, "kernel_fwhm": 3, "deblend_levels": 32, "deblend_contrast": 0.01}
    assert answer["run"]["model"]["parameters"].items() >= parameters.items()
    catalog = QTable.read(tmp_path / "run" / "catalog.fits")
    assert catalog["peak_snr"].min() > 5
    assert catalog["area"].value.min() >= 20


def test_weights_are_left_out_or_named(bands: list[Path], tmp_path: Path) -> None:
    command = ("segment", bands[0], "--model", "classical", "--json", "--quiet", "--threads", "1", "--mode", "direct")
    kinds = {}
    for name, options in {"found": [], "none": ["none"], "named": [f"weight={bands[1]}[WHT]"]}.items():
        arguments = [word for option in options for word in ("--weights", option)]
        answer = json.loads(invoke(*command, *arguments, "-o", tmp_path / name).stdout)
        kinds[name] = answer["run"]["inputs"][0]["weight"]
    assert kinds["none"] is None
    assert kinds["found"]["file"] == bands[0].name
    assert kinds["named"]["file"] == bands[1].name
    refused = invoke(*command, "-o", tmp_path / "x", "--weights", "none", "--weights", "none")
    assert refused.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["segment", "missing.fits", "-o", "run"], ["missing.fits", "exist"]),
        (["segment", "BAND", "-o", "run", "--recipe", "best"], ["best", "noise", "seed"]),
        (["segment", "BAND", "-o", "run", "--recipe", "missing.yaml"], ["missing.yaml"]),
        (["segment", "BAND", "-o", "run", "--model", "vit_x"], ["vit_x", "classical"]),
        (["segment", "BAND", "-o", "run", "--instrument", "kodak"], ["kodak", "hst"]),
        (["segment", "BAND", "-o", "run", "--memory", "1MB"], ["memory", "--tile"]),
        (["segment", "BAND", "-o", "run", "--tile", "3"], ["tile", "3"]),
        (["segment", "BAND", "-o", "run", "--model", "classical", "--threshold", "0"], ["threshold"]),
        (["segment", "BAND", "-o", "run", "--threshold", "3"], ["model tiny", "no threshold", "--model classical"]),
        (
            ["segment", "BAND", "-o", "run", "--model", "classical", "--centre-threshold", "0.3"],
            ["classical", "leave it out"],
        ),
        (["segment", "BAND", "BAND", "-o", "run"], ["F160W", "NAME="]),
        (["segment", "BAND", "-o", "notes.txt"], ["notes.txt", "-o"]),
        (["segment", "BAND", "-o", "mine"], ["mine", "--overwrite"]),
        (["segment", "notes.txt", "-o", "run"], ["notes.txt"]),
        (["preprocess", "missing.fits", "-o", "run"], ["missing.fits"]),
        (["info", "missing.fits"], ["missing.fits"]),
    ],
)
def test_what_the_user_can_mend_is_one_line(
    arguments: list[str], words: list[str], bands: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("seeing 0.8 arcsec\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("\\title")
    result = invoke(*(bands[0] if argument == "BAND" else argument for argument in arguments))
    assert (result.exit_code, result.stdout) == (2, "")
    # A stage may have been reported before; the error is one line, the last.
    error = result.stderr.splitlines()[-1]
    assert error.startswith("starnet: error: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in error
    assert (tmp_path / "notes.txt").read_text() == "seeing 0.8 arcsec\n"
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_a_run_of_other_parameters_is_refused_unless_told(
    bands: list[Path], tmp_path: Path, run: tuple[Path, Result]
) -> None:
    arguments = ("segment", bands[0], "-o", tmp_path / "run", "--model", "classical", "-q", "--threads", "1")
    assert invoke(*arguments).exit_code == 0
    refused = invoke(*arguments, "--threshold", "7")
    assert refused.exit_code == 2
    assert "threshold" in refused.stderr
    assert "--overwrite" in refused.stderr
    assert invoke(*arguments, "--threshold", "7", "--overwrite").exit_code == 0
    parameters = json.loads((tmp_path / "run" / "run.json").read_text())["model"]["parameters"]
    assert parameters["threshold"] == 7


def test_after_ctrl_c_the_same_command_goes_on(bands: list[Path], tmp_path: Path) -> None:
    command = [STARNET, "segment", *bands, "--model", "classical", "--tile", "64", "--threads", "1", "--json"]
    process = subprocess.Popen(
        [*command, "-o", tmp_path / "stopped"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    ledger = tmp_path / "stopped" / "ledger.jsonl"
    while process.poll() is None and not (ledger.exists() and len(ledger.read_text().splitlines()) >= 5):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (130, "")
    assert stderr.splitlines()[-1] == "starnet: interrupted; the same command goes on where this one stopped"
    assert "Traceback" not in stderr

    results = {}
    for name in ("stopped", "whole"):
        done = subprocess.run([*command, "-o", tmp_path / name], capture_output=True, text=True, check=True)
        results[name] = json.loads(done.stdout)
    assert 0 < results["stopped"]["resumed_tiles"] < 64
    assert results["whole"]["resumed_tiles"] == 0
    for output in ("segmentation.fits", "catalog.fits", "sources.reg", "overlay.png"):
        assert (tmp_path / "stopped" / output).read_bytes() == (tmp_path / "whole" / output).read_bytes()


def test_no_output_names_a_folder_of_this_machine(run: tuple[Path, Result], shared_data: Path) -> None:
    directory, _ = run
    for path in directory.rglob("*"):
        if path.is_file() and path.name != "run.json":  # which repeats the paths that it was given
            content = path.read_bytes()
            for folder in (shared_data, REPOSITORY, directory.parent):
                assert os.fsencode(folder) not in content, path.name


def test_preprocess_writes_a_cube_and_tiles(bands: list[Path], tmp_path: Path) -> None:
    arguments = ("preprocess", *bands, "-o", tmp_path / "images", "--recipe", "seed", "--tiles", "--tile", "300")
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert set(answer) == {field.name for field in fields(PreprocessResult)}
    cube = fits.getdata(answer["outputs"]["preprocessed"])
    assert (cube.shape, cube.dtype.newbyteorder("=")) == ((3, 500, 500), np.float32)
    assert 0 <= cube.min() < cube.max() <= 1
    assert sorted(path.name for path in (tmp_path / "images" / "tiles").iterdir()) == [
        f"y{y:05d}_x{x:05d}.png" for y in (0, 300) for x in (0, 300)
    ]
    assert size_of(tmp_path / "images" / "tiles" / "y00000_x00000.png") == (300, 300)

    again = invoke(*arguments)
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr
    summary = invoke(*arguments, "--overwrite")
    assert summary.exit_code == 0
    assert str(tmp_path / "images" / "recipe.yaml") in summary.stdout


def test_info_shows_the_bands(bands: list[Path]) -> None:
    table = invoke("info", *bands)
    assert table.exit_code == 0
    assert table.stdout.splitlines()[0] == "500 x 500 pixels, no WCS, no instrument known"
    for word in ("F160W", "F850LP", "F606W", "xdf_f160w.fits[SCI]", "[WHT]", "electron / s", "float32"):
        assert word in table.stdout

    facts = json.loads(invoke("info", *bands, "--json").stdout)
    assert facts["shape"] == [500, 500]
    assert facts["centre"] is None
    assert [band["filter"] for band in facts["bands"]] == ["F160W", "F850LP", "F606W"]
    with fits.open(bands[0]) as hdus:
        assert facts["bands"][0]["zero_point"] == pytest.approx(hdus["SCI"].header["ABZP"])


def test_info_shows_where_the_image_lies(shared_data: Path) -> None:
    paths = [shared_data / "phosim-decam" / f"set0_img_{band}.fits" for band in "grz"]
    header = fits.getheader(paths[0])
    result = invoke("info", *paths)
    scale = 3600 * abs(header["CD1_1"])
    assert f'512 x 512 pixels of {scale:.4g}", centre at 197.86' in result.stdout
    facts = json.loads(invoke("info", *paths, "--json").stdout)
    assert facts["pixel_scale"] == pytest.approx(scale, rel=1e-3)
    # The reference pixel is the centre of this image, to half a pixel.
    assert facts["centre"] == pytest.approx([header["CRVAL1"], header["CRVAL2"]], abs=scale / 3600)
    assert facts["instrument"] == "legacy"


def test_info_without_images_lists_what_a_bug_report_wants() -> None:
    facts = json.loads(invoke("info", "--json").stdout)
    assert {"starnet", "python", "numpy", "astropy", "sep", "zarr"} <= facts["versions"].keys()
    assert facts["versions"]["numpy"] == np.__version__
    assert facts["cores"] == os.cpu_count()
    assert re.search(rf"^numpy +{re.escape(np.__version__)}$", invoke("info").stdout, re.MULTILINE)


def test_demo_segments_the_deep_field_that_scikit_image_ships(tmp_path: Path) -> None:
    from skimage.data import hubble_deep_field

    result = invoke("demo", "-o", tmp_path / "demo", "--threads", "1")
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "demo" / "hubble_deep_field.png") as image:
        assert np.array_equal(np.asarray(image), hubble_deep_field())
    assert "sources in 1000 x 872 pixels" in result.stdout
    overlay = tmp_path / "demo" / "run" / "overlay.png"
    assert str(overlay) in result.stdout
    assert size_of(overlay) == (1000, 872)


def test_demo_without_scikit_image_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    result = invoke("demo", "-o", tmp_path / "demo")
    assert result.exit_code == 2
    assert result.stderr == ("starnet: error: the demo's image comes with scikit-image: pip install 'starnet[demo]'\n")
