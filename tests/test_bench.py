"""`starnet bench`: what it compares, what it reports, and that a wrong result is an error."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from typer.testing import CliRunner, Result

from starnet import bench, filters
from starnet.bench import chain, chart, comparison, medians, peers, pixelwise, race, scene
from starnet.bench.cases import EQUAL, OURS, Case, Contender, Target, inside, middle
from starnet.bench.objects import canonical
from starnet.bench.race import Effort, Entry
from starnet.cli import app
from starnet.errors import StarnetError
from starnet.recipe import SeedRecipe


def invoke(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["bench", *map(str, arguments)])


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """What the comparison sets for the peers' threads is put back."""
    before = os.environ.get("OMP_NUM_THREADS")
    yield
    os.environ.pop("OMP_NUM_THREADS", None)
    if before is not None:
        os.environ["OMP_NUM_THREADS"] = before


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """One round, a short chain: figures mean nothing here."""
    effort = Effort(rounds=2, sample=0.0, slow=0.05, patience=0.1, fewest=1)
    monkeypatch.setattr(comparison, "QUICK", effort)
    monkeypatch.setattr(comparison, "FULL", effort)
    monkeypatch.setattr(chain, "SeedRecipe", lambda: SeedRecipe(sky_window=15))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    path = folder / "image.fits"
    fits.PrimaryHDU(scene.made(folder, 96).image).writeto(path)
    return path


def test_all_operations_on_a_small_image(image: Path, tmp_path: Path) -> None:
    chart, file = tmp_path / "chart.png", tmp_path / "bench.json"
    result = invoke(image, "--quick", "--json", file, "--plot", chart)
    assert result.exit_code == 0, result.output
    assert chart.read_bytes().startswith(b"\x89PNG")
    document = json.loads(file.read_text())
    assert {entry["operation"] for entry in document["results"]} == set(bench.OPERATIONS)
    assert document["disagreements"] == []
    # Every peer that is installed was compared with in some operation.
    compared = {contender["library"] for entry in document["results"] for contender in entry["contenders"]}
    assert compared == {OURS, *(name for name in peers.PEERS if document["versions"][name] is not None)}
    for name in ("median 51 float32", "seed chain", "watershed", "SIMD level", "targets met"):
        assert name in result.stdout


def test_json_holds_what_is_needed_to_judge_it(image: Path, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    invoke(image, "--op", "median", "--size", "5", "--op", "normalize", "--threads", "1", "--json", file)
    document = json.loads(file.read_text())
    assert document["format"] == 1
    assert "96 x 96 px; one band, used three times" in document["image"]
    assert document["command"].startswith("starnet")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", document["date"])
    assert document["peak_memory"] > 2**20
    assert document["machine"]["simd"] in ("scalar", "avx2", "avx512")
    assert document["machine"].keys() == {"cpu", "simd", "cores", "system", "python", "load_average"}
    assert document["versions"].keys() == {"starnet", *peers.PEERS}
    names = [(entry["name"], entry["dtype"], entry["shape"], entry["threads"]) for entry in document["results"]]
    assert names == [
        ("median 5 float32", "float32", [96, 96], 1),
        ("median 5 uint8", "uint8", [96, 96], 1),
        ("median 5 uint16", "uint16", [96, 96], 1),
        ("normalize", "float32", [96, 96], 1),
    ]
    median, scaling = document["results"][0], document["results"][-1]
    assert [target["target"] for target in median["targets"]] == ["1.3 x OpenCV"]
    assert median["targets"][0]["met"] == (median["targets"][0]["reached"] >= 1.3)
    ours, *others = median["contenders"]
    assert (ours["library"], ours["pixels"], ours["crop"]) == (OURS, 96 * 96, None)
    assert {peer["library"]: peer["agreement"] for peer in others} == {
        "scipy": "equal",
        "OpenCV": "equal",
        "astroscrappy": "equal 2 px inside the border",
    }
    for entry in median["contenders"]:
        assert len(entry["rounds"]) in (1, 2)
        assert all(seconds > 0 for seconds in entry["rounds"])
        assert entry["mpix_per_s"] == pytest.approx(entry["pixels"] / np.median(entry["rounds"]) / 1e6)
        assert entry["threads"] == 1
    bounds = [entry for entry in scaling["contenders"] if not entry["ranked"] and entry["library"] != OURS]
    assert [(entry["function"], entry["agreement"]) for entry in bounds] == [("copyto", "a bound")]


def test_several_threads_come_after_one(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = bench.compare(str(image), operations=["normalize", "fits"], threads=[1, 2])
    assert [(result.case.operation, result.threads) for result in found.results] == [
        ("normalize", 1),
        ("normalize", 2),
        ("fits", 1),  # reading has no threads
    ]
    one, two = found.results[:2]
    # Peers without threads are not run again, but still ranked.
    assert {entry.library for entry in two.peers if entry.ranked} == {"numba"}
    assert {entry.library for entry in found.ranked(two)} == {entry.library for entry in found.ranked(one)}
    text = _printed(found)
    assert re.search(r"numba [\d.]+", text)
    assert re.search(r"astropy [\d.]+¹", text)


def test_a_missing_peer_is_reported(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(peers.PEERS, "OpenCV", ("no_such_module_cv2", ("no-such-distribution",)))
    result = invoke(image, "--op", "median", "--size", "3", "--threads", "1")
    assert result.exit_code == 0, result.output
    assert re.search(r"not installed +OpenCV ", result.stdout)
    assert "OpenCV 5" not in result.stdout
    assert "1 x OpenCV" not in result.stdout  # no target is judged against it
    assert "astroscrappy" in result.stdout


def test_a_wrong_kernel_is_an_error(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(a: Any, size: int, **keywords: Any) -> Any:
        result = filters.median_filter(a, size, **keywords)
        result[70, 60] += 1
        return result

    monkeypatch.setattr(medians, "median_filter", wrong)
    result = invoke(image, "--op", "median", "--size", "5", "--threads", "1")
    assert result.exit_code == 1
    for library in ("scipy ndimage.median_filter", "OpenCV medianBlur", "astroscrappy medfilt5"):
        assert f"starnet: error: median 5 float32: {library} and StarNet disagree: 1 of" in result.stderr
    assert "DISAGREES" in result.stdout


def test_a_wrong_peer_is_one_too_and_is_not_timed(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixelwise, "numba_normalize", lambda: lambda a, low, high, out: out.fill(0.25))
    found = bench.compare(str(image), operations=["normalize"])
    assert len(found.disagreements) == 1
    assert re.match(r"normalize: numba a loop and StarNet disagree: \d+ of 9216 values differ", found.disagreements[0])
    assert "numba" not in {entry.library for entry in found.results[0].peers}


def test_slow_peers_are_timed_on_a_crop_and_scaled() -> None:
    pixels = np.zeros((512, 512), np.float32)
    shapes = []

    def slow(a: Any, _: int) -> Any:
        def call() -> Any:
            shapes.append(a.shape)
            for _ in range(a.shape[0] * 8):
                sum(range(50 * a.shape[1] // 64))
            return a.copy()

        return call

    fast = Contender(OURS, "copy", lambda a, _: a.copy)
    case = Case("median", "copy", pixels, fast, (Contender("scipy", "slow", slow),))
    result = race.measure(case, 1, case.peers, Effort(2, 0.0, 1e-3, 1.0, 1))
    (entry,) = result.peers
    assert entry.crop is not None
    assert entry.pixels == entry.crop[0] * entry.crop[1] < pixels.size
    assert (512, 512) not in shapes
    assert entry.ours_is_faster is not None
    assert entry.ours_is_faster > 1


def test_garbage_is_not_collected_while_timing() -> None:
    import gc

    seen = []
    contender = Contender(OURS, "f", lambda a, _: lambda: seen.append(gc.isenabled()))
    case = Case("median", "f", np.zeros((64, 64)), contender, ())
    race.measure(case, 1, (), Effort(2, 0.0, 1.0, 1.0, 2))
    assert seen[0]  # the first call is not timed
    assert not any(seen[2:])
    assert gc.isenabled()


def test_contenders_take_turns() -> None:
    turns: list[str] = []

    def contender(library: str) -> Contender:
        return Contender(library, "f", lambda a, _: lambda: turns.append(library) or a)

    case = Case("median", "f", np.zeros((64, 64)), contender(OURS), (contender("scipy"), contender("numpy")))
    race.measure(case, 1, case.peers, Effort(3, 0.0, 1.0, 9.0, 3))
    assert turns[-9:] == [OURS, "scipy", "numpy"] * 3


@pytest.mark.parametrize(
    ("agreement", "theirs", "text"),
    [
        (EQUAL, [[1, 2, np.nan]], None),
        (EQUAL, [[1, 3, np.nan]], "1 of 3 values differ"),
        (EQUAL, [[1, 2, 3]], "1 of 3 values differ"),
        (EQUAL, [[1, 2]], "shape (1, 2) instead of (1, 3)"),
        (inside(1), [[1, 2, np.nan]], "nothing is left to compare"),
    ],
)
def test_agreement(agreement: Any, theirs: Any, text: str | None) -> None:
    assert agreement.differ(np.array([[1, 2, np.nan]]), np.array(theirs)) == text


def test_inside_the_border_only_the_border_is_left_out() -> None:
    ours = np.zeros((5, 5))
    border, centre = ours.copy(), ours.copy()
    border[0] = border[:, 4] = centre[2, 2] = 1
    assert inside(1).differ(ours, border) is None
    assert inside(1).differ(ours, centre) == "1 of 9 values differ"


def test_labels_are_compared_but_for_their_numbers() -> None:
    a = np.array([[0, 1, 0, 2], [3, 0, 2, 2]])
    b = np.array([[0, 7, 0, 5], [2, 0, 5, 5]])
    np.testing.assert_array_equal(canonical(a), a)
    np.testing.assert_array_equal(canonical(b), a)
    merged = np.where(b == 7, 5, b)
    assert not np.array_equal(canonical(merged), a)


def test_targets_are_judged_on_medians_of_pairs() -> None:
    contender = Contender(OURS, "f", lambda a, _: a.copy)
    targets = (Target(2, "best"), Target(4, "scipy"), Target(1, "copy"), Target(1, "median 3"), Target(1, "sep"))
    case = Case("median", "median 5", np.zeros((10, 10)), contender, (), targets)
    ours = Entry(OURS, "f", "equal", True, 1, 100, rounds=[1.0, 1.0, 9.0])
    fast = Entry("numpy", "f", "equal", True, 1, 100, rounds=[3.0, 3.0, 27.0], ours_is_faster=3.0)
    slow = Entry("scipy", "f", "equal", True, 1, 100, rounds=[3.5, 3.5, 32.0], ours_is_faster=3.5)
    other = Entry("OpenCV", "f", "another definition", False, 1, 100, rounds=[0.1, 0.1, 0.1], ours_is_faster=0.1)
    bound = Entry("numpy", "copyto", "a bound", False, 1, 100, rounds=[0.5, 0.5, 4.5], ours_is_faster=0.5)
    result = race.Result(case, 1, ours, [fast, slow, other, bound])
    small = race.Result(
        Case("median", "median 3", np.zeros((10, 10)), contender, ()),
        1,
        Entry(OURS, "f", "equal", True, 1, 100, rounds=[0.25, 0.5]),
    )
    machine = {"cpu": "a", "simd": "b", "cores": 1, "system": "c", "python": "d", "load_average": [0.0]}
    found = bench.Comparison("image", "", "2026-01-01", machine, {"starnet": "1", "sep": None}, [result, small])
    assert [(str(target), ratio, met) for target, ratio, met in found.judged(result)] == [
        ("2 x the best", 3.0, True),
        ("4 x scipy", 3.5, False),
        ("1 x copy", 0.5, False),
        ("1 x median 3", 0.375, False),  # and none against sep, which is not there
    ]
    text = _printed(found)
    assert "targets met: 1 of 4; missed:\n  median 5, 1 thread: 3.5 instead of 4 x scipy" in text
    assert "OpenCV 0.001*" in text


def test_the_made_image_is_always_the_same(tmp_path: Path) -> None:
    a, b = (scene.made(tmp_path, 100).bands for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert a.dtype == np.float32
    assert middle(a, 10).shape == (3, 10, 10)
    np.testing.assert_array_equal(middle(a, 10)[0], a[0, 45:55, 45:55])
    assert middle(a, 100) is a


def test_pixels_without_data_are_filled_and_said(tmp_path: Path) -> None:
    pixels = np.arange(100 * 120, dtype=np.float32).reshape(100, 120)
    pixels[3, 4:9] = np.nan
    fits.PrimaryHDU(pixels).writeto(tmp_path / "a.fits")
    found = scene.opened(str(tmp_path / "a.fits"), tmp_path)
    assert found.bands.shape == (3, 100, 120)
    assert np.isfinite(found.bands).all()
    assert "15 pixels without data set to the median" in found.description  # of the three copies


def test_large_images_are_cropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene, "LARGEST", 100)
    pixels = np.arange(110 * 120, dtype=np.float32).reshape(110, 120)
    fits.PrimaryHDU(pixels).writeto(tmp_path / "a.fits")
    found = scene.opened(str(tmp_path / "a.fits"), tmp_path)
    np.testing.assert_array_equal(found.image, pixels[5:105, 10:110])
    assert "100 x 100 px, the middle of 120 x 110" in found.description


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((50, 200), np.float32), "has 200 x 50 pixels: a comparison needs at least 96 x 96"),
        (np.ones((100, 100), np.float32), "is constant"),
        (np.full((100, 100), np.nan, np.float32), "without any pixel"),
    ],
)
def test_images_that_are_of_no_use(pixels: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(pixels).writeto(path)
    result = invoke(path)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--op", "blur"], "there is no operation 'blur' to compare: choose from median, rolling"),
        (["--threads", "few"], "neither a number from 1 to 1024 nor 'all'"),
        (["--threads", "0"], "neither a number from 1 to 1024 nor 'all'"),
        (["missing.fits"], "missing.fits"),
    ],
)
def test_usage_errors(arguments: list[str], message: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_help_names_every_operation() -> None:
    text = " ".join(re.sub(r"[│\n]", " ", invoke("--help").stdout).split())
    assert ", ".join(bench.OPERATIONS) in text


def test_a_chart_without_matplotlib_is_refused_before_anything_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart, "find_spec", lambda _: None)
    result = invoke("missing.fits", "--plot", "a.png")
    assert result.exit_code == 2
    assert "pip install 'starnet[bench]'" in result.stderr


def test_files_are_whole_or_absent(image: Path, tmp_path: Path) -> None:
    found = bench.compare(str(image), operations=["normalize"])
    with pytest.raises(StarnetError, match="could not be written"):
        bench.plot(found, tmp_path / "missing" / "chart.png")
    assert list(tmp_path.iterdir()) == []


def _printed(found: bench.Comparison) -> str:
    from io import StringIO

    stream = StringIO()
    bench.print_comparison(found, stream)
    return stream.getvalue()
