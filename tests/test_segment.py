"""The whole walk on real pixels: the same result however it is cut, interrupted or parallelised."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS

from starnet.errors import StarnetError
from starnet.flags import Flag
from starnet.mosaic import Mosaic
from starnet.outputs.photutils_bridge import source_catalog
from starnet.pipeline import SegmentResult, segment
from starnet.recipe import Recipe
from starnet.run import OUTPUTS
from starnet.tiles import Box

COMMAND = [sys.executable, "-m", "starnet", "segment", "--model", "classical"]


@pytest.fixture(scope="session")
def xdf(shared_data: Path) -> list[Path]:
    return [shared_data / "xdf-demo" / f"xdf_{band}.fits" for band in ("f160w", "f850lp", "f606w")]


@pytest.fixture(scope="session")
def kids(shared_data: Path) -> list[Path]:
    return [shared_data / "profound-kids-viking" / "r.fits"]


@pytest.fixture(scope="session")
def decals(shared_data: Path) -> list[Path]:
    return [shared_data / "phosim-decam" / f"set0_img_{band}.fits" for band in "zrg"]


@pytest.fixture(scope="session")
def xdf_run(xdf: list[Path], tmp_path_factory: pytest.TempPathFactory) -> SegmentResult:
    return segment(xdf, tmp_path_factory.mktemp("xdf") / "direct", model="classical", mode="direct", threads=1)


@pytest.fixture(scope="session")
def kids_run(kids: list[Path], tmp_path_factory: pytest.TempPathFactory) -> SegmentResult:
    return segment(kids, tmp_path_factory.mktemp("kids") / "run", model="classical", tile=400)


@pytest.fixture(scope="session")
def decals_run(decals: list[Path], tmp_path_factory: pytest.TempPathFactory) -> SegmentResult:
    return segment(decals, tmp_path_factory.mktemp("decals") / "run", model="classical", tile=200)


def assert_same_outputs(one: Path, two: Path) -> None:
    for name in OUTPUTS.values():
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def labels_of(result: SegmentResult) -> np.ndarray:
    return np.asarray(fits.getdata(result.outputs["segmentation"]))


@pytest.mark.parametrize(
    "settings",
    [
        {"tile": 128, "threads": 2},
        {"tile": 256, "threads": 1},
        {"tile": 500, "threads": 2},
        {"tile": 682, "threads": 2},
        {"tile": 128, "tile_origin": (37, 91), "threads": 2},
        {"tile": 256, "tile_origin": (200, 1), "threads": 3},
    ],
    ids=str,
)
def test_outputs_do_not_depend_on_the_grid_nor_on_the_workers(
    xdf: list[Path], xdf_run: SegmentResult, tmp_path: Path, settings: dict[str, Any]
) -> None:
    result = segment(xdf, tmp_path / "run", model="classical", **settings)
    assert_same_outputs(result.directory, xdf_run.directory)


def test_seed_recipe_does_not_depend_on_the_grid(xdf: list[Path], tmp_path: Path) -> None:
    direct = segment(xdf, tmp_path / "direct", model="classical", recipe="seed", mode="direct", threads=2)
    tiled = segment(xdf, tmp_path / "tiled", model="classical", recipe="seed", tile=190, threads=2)
    assert direct.n_sources > 20
    assert_same_outputs(direct.directory, tiled.directory)


def test_catalog_and_map_agree(xdf_run: SegmentResult) -> None:
    labels, catalog = labels_of(xdf_run), QTable.read(xdf_run.outputs["catalog"])
    assert len(catalog) == xdf_run.n_sources == labels.max() > 150
    np.testing.assert_array_equal(catalog["id"], np.arange(1, len(catalog) + 1))
    np.testing.assert_array_equal(np.bincount(labels.ravel())[1:], catalog["area"].value)
    first = [np.flatnonzero(labels.ravel() == i)[0] for i in catalog["id"]]
    assert np.all(np.diff(first) > 0)
    assert catalog["area"].value.min() >= 8
    assert fits.getdata(xdf_run.outputs["catalog"])["area"].dtype.kind == "i"
    ys, xs = np.nonzero(labels)
    at_border = (ys == 0) | (xs == 0) | (ys == 499) | (xs == 499)
    flagged = set(catalog["id"][catalog["flags"] & Flag.EDGE > 0].tolist())
    assert set(labels[ys[at_border], xs[at_border]].tolist()) == flagged
    for row in catalog[:20]:
        y, x = np.nonzero(labels == row["id"])
        assert (x.min(), x.max()) == (row["bbox_xmin"].value, row["bbox_xmax"].value)
        assert (y.min(), y.max()) == (row["bbox_ymin"].value, row["bbox_ymax"].value)


def test_bright_objects_are_whole(xdf_run: SegmentResult) -> None:
    """The bright star and the large spiral of the XDF cutout hold their own centres and most of their light."""
    labels = labels_of(xdf_run)
    star, spiral = labels[379, 121], labels[400, 235]
    assert star
    assert spiral
    assert star != spiral
    assert np.count_nonzero(labels == spiral) > 4000


@pytest.mark.parametrize("run", ["xdf_run", "kids_run", "decals_run"])
def test_fluxes_agree_with_photutils(run: str, request: pytest.FixtureRequest) -> None:
    from photutils.segmentation import SegmentationImage, SourceCatalog

    result: SegmentResult = request.getfixturevalue(run)
    mosaic = Mosaic.open(request.getfixturevalue(run.removesuffix("_run")))
    recipe = Recipe.load(result.directory / "recipe.yaml")
    whole = recipe.apply(mosaic, Box(0, mosaic.shape[0], 0, mosaic.shape[1]))
    catalog, segments = QTable.read(result.outputs["catalog"]), SegmentationImage(labels_of(result))
    for i, band in enumerate(mosaic.bands):
        # Real pixels minus the frozen sky, in double precision: not the numbers that the kernel summed.
        data = mosaic.read(whole.box).data[i].astype(float) - recipe.skies[i].background.level(whole.box)
        error = whole.sigma[i].astype(float)
        bad = ~whole.valid[i]
        theirs = SourceCatalog(np.where(bad, 0, data), segments, error=np.where(bad, 0, error), mask=bad)
        ours = catalog[f"flux_{band.name}"].value
        # Where positive and negative pixels cancel, their rounding stands against the error, not against the flux.
        rounding = 1e-5 * np.maximum(np.abs(theirs.segment_flux), theirs.segment_flux_err)
        np.testing.assert_array_less(np.abs(ours - theirs.segment_flux), rounding + 1e-12)
        np.testing.assert_allclose(catalog[f"flux_err_{band.name}"].value, theirs.segment_flux_err, rtol=1e-5)


def test_photutils_catalog_is_one_call_away(xdf_run: SegmentResult, xdf: list[Path], tmp_path: Path) -> None:
    theirs = source_catalog(xdf_run.directory, "F606W")
    ours = QTable.read(xdf_run.outputs["catalog"])
    np.testing.assert_array_equal(theirs.labels, ours["id"])
    np.testing.assert_allclose(theirs.segment_flux, ours["flux_F606W"].value, rtol=1e-5, atol=1e-6)
    assert np.all(theirs.kron_flux[ours["snr"] > 100] > 0)
    with pytest.raises(StarnetError, match="choose one of F160W"):
        source_catalog(xdf_run.directory, "F105W")
    with pytest.raises(StarnetError, match="not those of"):
        source_catalog(xdf_run.directory, inputs=xdf[:1])
    with pytest.raises(StarnetError, match="no finished run"):
        source_catalog(tmp_path)


def test_positions_agree_with_astropy(decals: list[Path], decals_run: SegmentResult) -> None:
    catalog = QTable.read(decals_run.outputs["catalog"])
    assert len(catalog) > 20
    sky = WCS(fits.getheader(decals[0])).pixel_to_world(catalog["x"].value, catalog["y"].value)
    from astropy.coordinates import SkyCoord

    apart = sky.separation(SkyCoord(catalog["ra"], catalog["dec"], frame=sky.frame.name))
    assert apart.arcsec.max() < 1e-6
    header = fits.getheader(decals_run.outputs["segmentation"], 1)
    again = WCS(header).pixel_to_world(catalog["x"].value, catalog["y"].value)
    assert again.separation(sky).arcsec.max() < 1e-6


def test_a_finished_run_is_said_to_be_finished(xdf: list[Path], xdf_run: SegmentResult) -> None:
    before = xdf_run.outputs["catalog"].stat().st_mtime_ns
    again = segment(xdf, xdf_run.directory, model="classical", mode="direct", threads=2)
    assert again.was_finished
    assert again.n_sources == xdf_run.n_sources
    assert xdf_run.outputs["catalog"].stat().st_mtime_ns == before


def test_a_run_of_other_parameters_is_refused(xdf: list[Path], xdf_run: SegmentResult, tmp_path: Path) -> None:
    for settings in ({"tile": 256}, {"mode": "direct", "threshold": 2.0}, {"mode": "direct", "recipe": "seed"}):
        with pytest.raises(StarnetError, match="other inputs or parameters"):
            segment(xdf, xdf_run.directory, model="classical", **settings)
    with pytest.raises(StarnetError, match="other inputs or parameters"):
        segment(xdf[:2], xdf_run.directory, model="classical", mode="direct")


def test_too_little_memory_is_one_sentence(xdf: list[Path], tmp_path: Path) -> None:
    with pytest.raises(StarnetError, match=r"too little.*--tile"):
        segment(xdf, tmp_path / "run", model="classical", memory=2**20)


def interrupt(inputs: list[Path], run: Path, number: signal.Signals, lines: int) -> int:
    """Starts a run, sends a signal when the ledger has so many lines, and returns the exit code."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, inputs), "-o", str(run), "--tile", "400", "--threads", "2"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    ledger = run / "ledger.jsonl"
    deadline = time.monotonic() + 120
    while not ledger.exists() or ledger.read_text().count("\n") < lines:
        assert process.poll() is None, f"the run ended too early: {process.stderr.read() if process.stderr else ''}"
        assert time.monotonic() < deadline, "the run makes no progress"
        time.sleep(0.005)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    return process.returncode


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_an_interrupted_run_continues_to_the_same_outputs(
    kids: list[Path], kids_run: SegmentResult, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    run = tmp_path / "run"
    assert interrupt(kids, run, number, lines=6) == code
    done = (run / "ledger.jsonl").read_text().count('"tile"')
    assert 0 < done < 49
    assert not (run / "run.json").exists()
    time.sleep(0.5)  # the workers of a killed parent end by themselves, and free the run
    result = segment(kids, run, model="classical", tile=400, threads=2)
    assert result.resumed_tiles >= done
    assert_same_outputs(run, kids_run.directory)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found in /proc")
def test_ctrl_c_while_the_workers_start_is_one_line(kids: list[Path], tmp_path: Path) -> None:
    """A terminal's Ctrl-C reaches the workers, too; they leave it to their parent from their first moment on."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, kids), "-o", str(tmp_path / "run"), "--tile", "400", "--threads", "2"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )

    def workers() -> int:
        count = 0
        for task in Path(f"/proc/{process.pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                count += b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        return count

    while not workers():
        assert process.poll() is None
        time.sleep(0.002)
    time.sleep(0.1)  # they are importing now
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_a_full_disk_is_one_sentence_and_the_run_goes_on_later(
    kids: list[Path], kids_run: SegmentResult, tmp_path: Path
) -> None:
    """Files may not grow beyond a limit, as when the disk is full; later they may."""
    run = tmp_path / "run"
    process = subprocess.run(
        [*COMMAND, *map(str, kids), "-o", str(run), "--tile", "400", "--threads", "1"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY)),
    )
    assert process.returncode == 2
    assert "Traceback" not in process.stderr
    assert process.stderr.strip().count("\n") <= 4
    assert "disk" in process.stderr
    assert not list(run.rglob("*.partial"))
    segment(kids, run, model="classical", tile=400)
    assert_same_outputs(run, kids_run.directory)


def test_run_json_tells_what_was_done(kids_run: SegmentResult) -> None:
    content = json.loads((kids_run.directory / "run.json").read_text())
    assert content["sources"] == kids_run.n_sources > 1000
    assert content["model"]["name"] == "classical"
    assert content["model"]["parameters"]["noise"] > 0.9
    assert content["tile"]["core"] == [400, 400]
    assert set(content["versions"]) >= {"starnet", "numpy", "astropy", "sep"}
    assert content["peak_memory"] > 50e6
    assert {"fit", "segment", "catalog", "outputs"} <= set(content["seconds"])


def test_nothing_is_found_without_coverage(xdf: list[Path], tmp_path: Path) -> None:
    """A weight of zero, and NaN, over half of the image: the other half is as before, the blank one is empty."""
    paths = []
    for path in xdf:
        with fits.open(path) as hdus:
            copy = fits.HDUList([hdu.copy() for hdu in hdus])
        copy["WHT"].data[:, 300:] = 0
        copy["SCI"].data[:, 400:] = np.nan
        paths.append(tmp_path / path.name)
        copy.writeto(paths[-1])
    result = segment(paths, tmp_path / "run", model="classical", tile=128)
    labels = labels_of(result)
    assert not labels[:, 300:].any()
    assert labels[:, :290].any()
    catalog = QTable.read(result.outputs["catalog"])
    edge = np.unique(labels[:, 299])[1:]
    assert np.all(catalog["flags"][edge - 1] & Flag.EDGE > 0)
