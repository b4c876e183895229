"""The engine of prompts, on a network that is a few lines of arithmetic."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_backend import FakeBackend
from fake_sky import SHAPE, sources, write_sky
from starnet.errors import StarnetError
from starnet.flags import Flag
from starnet.mosaic import Mosaic
from starnet.pipeline import SegmentResult, segment
from starnet.prompts import Prompts
from starnet.run import OUTPUTS

# The fake network is sure of its masks only to 0.9, 0.85 and 0.8, and cuts them at one level.
LENIENT = {"pred_iou_threshold": 0.5, "stability_threshold": 0.2}


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_sky(tmp_path_factory.mktemp("sky"))


def run_of(sky: list[Path], run: Path, **settings: Any) -> SegmentResult:
    backend = settings.pop("model", None) or FakeBackend()
    return segment(sky, run, model=backend, **{"threads": 1, "prompts": "peaks", **LENIENT, **settings})


@pytest.fixture(scope="module")
def directs(sky: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, SegmentResult]:
    folder = tmp_path_factory.mktemp("direct")
    kinds = ("peaks", "grid", "centres")
    return {kind: run_of(sky, folder / kind, prompts=kind, mode="direct") for kind in kinds}


def assert_same_outputs(one: Path, two: Path) -> None:
    for name in OUTPUTS.values():
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_each_bright_source_has_an_object_and_it_tells_its_prompt(directs: dict[str, SegmentResult]) -> None:
    x, y, peak = sources().T
    for kind in ("peaks", "centres"):
        labels = fits.getdata(directs[kind].outputs["segmentation"])
        catalog = QTable.read(directs[kind].outputs["catalog"])
        found = labels[np.round(y).astype(int), np.round(x).astype(int)]
        assert np.mean(found[peak > 30] > 0) > 0.9
        close = found[-6:-1][found[-6:-1] > 0]
        assert len(set(close.tolist())) == len(close) >= 4
        assert set(catalog["prompt"]) == {kind}
        assert np.all(catalog["predicted_iou"] == np.float32(0.9))
        assert np.all((catalog["stability"] > 0.2) & (catalog["stability"] <= 1))
        blended = catalog["flags"] & Flag.BLENDED > 0
        assert blended.any()
        assert not blended.all()
        np.testing.assert_array_equal(np.bincount(labels.ravel())[1:], catalog["area"].value)


@settings(max_examples=8, deadline=None)
@given(
    kind=st.sampled_from(["peaks", "grid", "centres"]),
    tile=st.integers(32, 120),
    origin=st.tuples(st.integers(0, 200), st.integers(0, 200)),
)
def test_the_outputs_do_not_depend_on_the_tiles(
    sky: list[Path],
    directs: dict[str, SegmentResult],
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    tile: int,
    origin: tuple[int, int],
) -> None:
    run = tmp_path_factory.mktemp("tiled") / "run"
    run_of(sky, run, prompts=kind, tile=tile, tile_origin=origin)
    assert_same_outputs(run, directs[kind].directory)


def test_objects_are_measured_by_several_workers_alike(
    sky: list[Path], directs: dict[str, SegmentResult], tmp_path: Path
) -> None:
    result = run_of(sky, tmp_path / "run", tile=64, threads=2)
    assert result.run["workers"] == 2
    assert_same_outputs(result.directory, directs["peaks"].directory)


def test_the_encoder_runs_once_a_tile_and_only_where_there_are_prompts(sky: list[Path], tmp_path: Path) -> None:
    backend = FakeBackend()
    run_of(sky, tmp_path / "grid", model=backend, prompts="grid", tile=64, memory=2 * 2**30)
    assert len(backend.encoded) == 12
    assert len(backend.batches) >= 12
    one = FakeBackend()
    run_of(sky, tmp_path / "one", model=one, prompts=Prompts.of_points("clicks", np.array([[60.0, 60.0]])), tile=64)
    assert len(one.encoded) == len(one.batches) == 1


def test_masks_are_decoded_in_batches_within_the_memory(sky: list[Path], tmp_path: Path) -> None:
    roomy, tight = FakeBackend(), FakeBackend()
    one = run_of(sky, tmp_path / "roomy", model=roomy, prompts="grid", mode="direct")
    with pytest.raises(StarnetError, match=r"give (\d+) MiB") as error:
        run_of(sky, tmp_path / "none", prompts="grid", mode="direct", memory=2**20)
    least = int(str(error.value).rsplit(" ", 2)[1]) * 2**20
    two = run_of(sky, tmp_path / "tight", model=tight, prompts="grid", mode="direct", memory=least)
    assert max(roomy.batches) == 64
    assert max(tight.batches) < 16
    assert sum(roomy.batches) == sum(tight.batches)
    assert_same_outputs(one.directory, two.directory)


def test_a_table_gives_its_rows_back(sky: list[Path], tmp_path: Path) -> None:
    wcs = Mosaic.open(sky).wcs
    assert wcs is not None
    chosen = sources()[sources()[:, 2] > 40]
    ra, dec = wcs.pixel_to_world_values(chosen[:, 0], chosen[:, 1])
    Table({"ra": ra, "dec": dec, "name": [f"s{i}" for i in range(len(ra))]}).write(tmp_path / "mine.ecsv")
    result = run_of(sky, tmp_path / "run", prompts=tmp_path / "mine.ecsv", tile=70)
    catalog = QTable.read(result.outputs["catalog"])
    assert set(catalog["prompt"]) == {"catalog"}
    rows = np.asarray(catalog["prompt_id"])
    assert len(set(rows.tolist())) == len(rows) > 0.8 * len(chosen)
    apart = np.hypot(catalog["x"].value - chosen[rows, 0], catalog["y"].value - chosen[rows, 1])
    assert np.median(apart) < 0.5
    again = Table.read(tmp_path / "mine.ecsv")[rows]
    assert len(again) == len(catalog)
    # Another table is another run, under the same name too.
    again[:3].write(tmp_path / "mine.ecsv", overwrite=True)
    with pytest.raises(StarnetError, match=r"other inputs or parameters .*prompts"):
        run_of(sky, tmp_path / "run", prompts=tmp_path / "mine.ecsv", tile=70)


def test_embeddings_are_kept_by_pixels_recipe_and_network(sky: list[Path], tmp_path: Path) -> None:
    def encoded(run: str, **settings: Any) -> int:
        backend = settings.pop("model", None) or FakeBackend()
        run_of(sky, tmp_path / run, model=backend, embeddings=tmp_path / "kept", mode="direct", **settings)
        return len(backend.encoded)

    assert encoded("first") == 1
    assert encoded("second") == 0
    assert encoded("grid", prompts="grid") == 0
    assert encoded("seed", recipe="seed") == 1
    assert encoded("other", model=FakeBackend(stretch=(0.0, 1.0))) == 1
    assert_same_outputs(tmp_path / "first", tmp_path / "second")
    kept = sorted((tmp_path / "kept").iterdir())
    assert len(kept) == 3
    for path in kept:
        path.write_bytes(path.read_bytes()[:-100])
    assert encoded("again") == 1
    assert_same_outputs(tmp_path / "first", tmp_path / "again")
    content = bytearray(kept[0].read_bytes())
    assert encoded("whole") == 0
    for path in kept:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert encoded("flipped") == 1
    assert_same_outputs(tmp_path / "first", tmp_path / "flipped")
    assert not list((tmp_path / "kept").glob("*.partial"))


class StoppedError(Exception):
    pass


class StoppingBackend(FakeBackend):
    """Stops after some windows."""

    def __init__(self, windows: int) -> None:
        super().__init__()
        self.windows = windows

    def encode(self, image: np.ndarray) -> Any:
        if len(self.encoded) == self.windows:
            raise StoppedError
        return super().encode(image)


def test_tiles_that_are_drawn_are_not_drawn_again(
    sky: list[Path], directs: dict[str, SegmentResult], tmp_path: Path
) -> None:
    stopping = StoppingBackend(5)
    stopping.fingerprint = FakeBackend().fingerprint
    with pytest.raises(StoppedError):
        run_of(sky, tmp_path / "run", model=stopping, prompts="grid", tile=64)
    backend = FakeBackend()
    result = run_of(sky, tmp_path / "run", model=backend, prompts="grid", tile=64)
    assert len(backend.encoded) == 12 - 5
    assert_same_outputs(result.directory, directs["grid"].directory)
    # A second call finds all of it done.
    assert run_of(sky, tmp_path / "run", model=backend, prompts="grid", tile=64).was_finished
    assert len(backend.encoded) == 12 - 5


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
from fake_backend import FakeBackend
from starnet.pipeline import segment

class Slow(FakeBackend):
    def encode(self, image):
        time.sleep(0.1)
        return super().encode(image)

segment({sky!r}, {run!r}, model=Slow(), prompts="grid", tile=64, threads=1,
        pred_iou_threshold=0.5, stability_threshold=0.2)
"""


@pytest.mark.parametrize("kind", ["masks", "tile"])
def test_a_killed_run_continues_to_the_same_outputs(
    sky: list[Path], directs: dict[str, SegmentResult], tmp_path: Path, kind: str
) -> None:
    run = tmp_path / "run"
    code = SCRIPT.format(tests=str(Path(__file__).parent), sky=[str(path) for path in sky], run=str(run))
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    ledger, deadline = run / "ledger.jsonl", time.monotonic() + 120
    while not ledger.exists() or ledger.read_text().count(f'"{kind}"') < 3:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert not (run / "run.json").exists()
    run_of(sky, run, prompts="grid", tile=64)
    assert_same_outputs(run, directs["grid"].directory)


def test_a_network_that_sees_its_window_whole_is_shown_even_windows(sky: list[Path], tmp_path: Path) -> None:
    backend = FakeBackend(whole=True)
    run_of(sky, tmp_path / "tiled", model=backend, prompts="grid")
    # vit_test scales its window to 128 pixels: cores of 64, halos of 10.
    assert backend.encoded == [(2, 84, 84)] * 12
    direct = FakeBackend(whole=True)
    run_of(sky, tmp_path / "direct", model=direct, prompts="grid", mode="direct")
    assert direct.encoded == [(2, *SHAPE)]


def test_nothing_is_drawn_where_there_is_no_data(sky: list[Path], tmp_path: Path) -> None:
    paths = []
    for path in sky:
        with fits.open(path) as hdus:
            hdus[0].data[:, 100:] = np.nan
            paths.append(tmp_path / path.name)
            hdus.writeto(paths[-1])
    result = run_of(paths, tmp_path / "run", prompts="grid", tile=64)
    labels = fits.getdata(result.outputs["segmentation"])
    assert labels[:, :100].any()
    assert not labels[:, 100:].any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompts": "corners"}, "prompts 'corners' are unknown: choose head, grid, peaks, centres, or a table"),
        ({"prompts": "centres", "head": False}, "model fake has no instance head: choose --prompts grid, peaks"),
        ({"prompts": "head", "head": False}, "model fake has no instance head"),
        ({"prompts": "missing.fits"}, "missing.fits"),
        ({"max_overlap": 2.0}, r"with --prompts peaks: max_overlap=2\.0: must be between 0 and 1"),
        ({"grid_spacing": 0, "prompts": "grid"}, "grid_spacing=0"),
        ({"threshold": 3}, r"--prompts peaks takes no threshold \(it has .*grid_spacing.*\): choose --model classical"),
    ],
)
def test_a_wrong_setting_is_one_sentence(
    sky: list[Path], tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    backend = FakeBackend(head=settings.pop("head", True))
    with pytest.raises(StarnetError, match=message):
        run_of(sky, tmp_path / "run", model=backend, **settings)
    assert not (tmp_path / "run").exists()


def test_a_network_without_a_head_is_prompted_with_peaks(sky: list[Path], tmp_path: Path) -> None:
    result = segment(sky, tmp_path / "run", model=FakeBackend(head=False), threads=1, **LENIENT)
    assert result.run["model"]["parameters"]["prompts"]["kind"] == "peaks"


def test_the_classical_engine_takes_no_network(sky: list[Path], tmp_path: Path) -> None:
    with pytest.raises(StarnetError, match="model classical has no network: leave --prompts out"):
        segment(sky, tmp_path / "run", model="classical", prompts="grid")
    with pytest.raises(StarnetError, match="model classical has no network: leave --device out"):
        segment(sky, tmp_path / "run", model="classical", device="cuda")
    with pytest.raises(StarnetError, match="model 'vit_x' is unknown: choose one of classical, tiny, vit_b"):
        segment(sky, tmp_path / "run", model="vit_x")
