"""`starnet compare`: tuning on one part, judging on another, programs that are not there, what is not done twice."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
import sep
import yaml
from astropy.table import Table
from typer.testing import CliRunner, Result

import starnet
from network_samples import network
from starnet.cli import app
from starnet.compare import compare, programs
from starnet.compare.comparison import choose_methods
from starnet.compare.images import DetectionImage
from starnet.compare.methods import SEP_GRID, Photutils, Sep, combinations
from starnet.compare.models import OurModel
from starnet.compare.scenes import Scene, simulated_scene
from starnet.compare.tuning import judge, tune
from starnet.errors import StarnetError
from starnet.evaluate import evaluate
from starnet.networks.checkpoints import save
from starnet.outputs.segmentation_map import read_segmentation_map
from starnet.splits import SimulatedSplit, save_split

BANDS = ("F160W", "F606W")
SPLIT = SimulatedSplit("candels-deep", (192, 256), {"tune": (1,), "test": (2, 3)}, BANDS)
GRIDS = {
    "sep": {"threshold": [1.5, 2.5], "min_area": [8]},
    "photutils": {"threshold": [1.5]},
    "classical": {"threshold": [3.0, 4.0]},
}


def invoke(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return simulated_scene(SPLIT, 1, tmp_path_factory.mktemp("fields"))


def test_each_is_tuned_on_one_part_and_judged_on_the_other_and_nothing_is_done_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    for method in (Sep, Photutils, OurModel):
        plain = method.label

        def counted(self, prepared, settings, plain=plain):  # type: ignore[no-untyped-def]
            done.append((self.name, dict(settings)))
            return plain(self, prepared, settings)

        monkeypatch.setattr(method, "label", counted)
    first = compare(SPLIT, tmp_path / "out", grids=GRIDS, methods=["sep", "photutils"], models=["classical"])
    names = [entry.name for entry in first.entries]
    # What is shipped has no entry of its own where it is the best.
    assert [name for name in names if not name.endswith("-default")] == ["classical", "sep", "photutils"]
    assert {name.removesuffix("-default") for name in names} == {"classical", "sep", "photutils"}
    for entry in first.entries:
        if entry.tuned is not None and entry.tuned.tried:
            best = max(one["scores"]["pq"] for one in entry.tuned.tried)
            assert next(one for one in entry.tuned.tried if one["scores"]["pq"] == best)["settings"] == entry.settings
    assert len(done) == 4 + 2 * len(first.entries)  # two settings of two methods on a field; all on two of the test

    done.clear()
    again = compare(SPLIT, tmp_path / "out", grids=GRIDS, methods=["sep", "photutils"], models=["classical"])
    assert not done
    summary = json.loads(json.dumps(again.summary()))
    assert summary == json.loads(json.dumps(first.summary()))

    # The files alone give the same figures.
    for one in summary["methods"]:
        judged = evaluate(
            tmp_path / "out" / one["map"], tmp_path / "out" / "truth.fits", table=tmp_path / "out" / "truth_table.fits"
        )
        assert judged.pred.scores["pq"] == one["pq"]
        assert judged.pred.n_pred == one["n_pred"]
    sep = next(one for one in summary["methods"] if one["name"] == "sep")
    assert sep["differences"]["pq"]["difference"] == pytest.approx(sep["pq"] - summary["methods"][0]["pq"])
    assert summary["methods"][0]["differences"] is None


def test_the_figures_of_the_test_are_those_of_its_fields_together(tmp_path: Path) -> None:
    comparison = compare(SPLIT, tmp_path, grids=GRIDS, methods=["sep"], models=["classical"])
    entry = next(entry for entry in comparison.entries if entry.name == "sep")
    truths = hits = 0.0
    for seed in SPLIT.parts["test"]:
        scene = simulated_scene(SPLIT, seed, tmp_path / "fields")
        sums = judge(scene, read_segmentation_map(tmp_path / "maps" / "sep" / f"seed-{seed}.fits").labels)
        truths, hits = truths + float(sums.truths), hits + float(sums.hits[0])
    assert float(entry.evaluation.pred.tally.truths) == truths > 0
    assert entry.evaluation.pred.scores["completeness"] == pytest.approx(hits / truths)


class Oracle:
    """Knows the truth; `wrong` pixels of it are cut off."""

    name, version = "oracle", "1"

    def __init__(self) -> None:
        self.grid = {"wrong": [100, 0, 30]}
        self.defaults = {"wrong": 100}

    def prepare(self, scene: Scene, scratch: Path) -> np.ndarray:
        return read_segmentation_map(scene.truth).labels

    def label(self, prepared: np.ndarray, settings: dict[str, int]) -> np.ndarray:
        labels = prepared.copy()
        labels[: settings["wrong"]] = 0
        return labels


def test_tuning_takes_the_best(scene: Scene, tmp_path: Path) -> None:
    tuned = tune(Oracle(), [scene], tmp_path, criterion="pq")
    assert tuned.settings == {"wrong": 0}
    assert [one["settings"]["wrong"] for one in tuned.tried] == [100, 0, 30]
    assert tuned.tried[1]["scores"]["pq"] == tuned.tried[1]["scores"]["ap"] == 1
    assert tuned.tried[0]["scores"]["pq"] < tuned.tried[2]["scores"]["pq"] < 1


def test_methods_find_most_of_a_field(scene: Scene, tmp_path: Path) -> None:
    for method, threshold in ((Sep(), 1.5), (Photutils(), 1.5), (OurModel("classical"), 4.0)):
        settings = {**method.defaults, "threshold": threshold}
        scores = judge(scene, method.label(method.prepare(scene, tmp_path), settings)).scores()
        assert scores["completeness"] > 0.7, method.name
        assert scores["ap50"] > 0.2, method.name


def test_a_network_is_compared_by_its_instance_head(scene: Scene, tmp_path: Path) -> None:
    save(network("tiny"), tmp_path / "mine.safetensors")
    ours = OurModel(str(tmp_path / "mine.safetensors"))
    assert ours.name == "mine.safetensors"
    assert ours.version.startswith(f"starnet {starnet.__version__}, weights ")
    assert list(ours.grid) == list(ours.defaults)
    labels = ours.label(ours.prepare(scene, tmp_path), ours.defaults)
    assert labels.shape == (192, 256)
    save(network("vit_test"), tmp_path / "headless.safetensors")
    with pytest.raises(StarnetError, match=r"headless\.safetensors has no instance head"):
        OurModel(str(tmp_path / "headless.safetensors"))


def test_sep_holds_what_a_low_threshold_finds_and_leaves_its_limits_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = sep.get_extract_pixstack(), sep.get_sub_object_limit()
    noise = np.random.default_rng(1).normal(1, 1, (700, 700)).astype(np.float32)
    method = Sep()
    labels = method.label(DetectionImage(noise, np.ones_like(noise)), {**method.defaults, "threshold": 0.3})
    assert np.count_nonzero(labels) > limits[0]
    assert (sep.get_extract_pixstack(), sep.get_sub_object_limit()) == limits

    def overflow(*_: object, **__: object) -> None:
        raise Exception("object deblending overflow")

    monkeypatch.setattr(sep, "extract", overflow)
    with pytest.raises(StarnetError, match=r"overflow.*higher threshold"):
        method.label(DetectionImage(noise, np.ones_like(noise)), method.defaults)
    assert (sep.get_extract_pixstack(), sep.get_sub_object_limit()) == limits


def test_photutils_on_nothing_at_all(scene: Scene, tmp_path: Path) -> None:
    method = Photutils()
    labels = method.label(method.prepare(scene, tmp_path), {**method.defaults, "threshold": 1e9})
    assert not labels.any()


FAKE = """#!{python}
import sys, pathlib
import numpy as np
from astropy.io import fits
name = pathlib.Path(sys.argv[0]).name
with open("commands.txt", "a") as log:
    print(name, *sys.argv[1:], file=log)
if "--version" in sys.argv:
    print(name, "9.9")
elif name == "source-extractor":
    cards = dict(line.split(None, 1) for line in open(sys.argv[sys.argv.index("-c") + 1]))
    image, weight = fits.getdata(sys.argv[1]), fits.getdata(cards["WEIGHT_IMAGE"].strip())
    kernel = np.loadtxt(cards["FILTER_NAME"].strip(), skiprows=1)
    assert kernel.shape[0] == kernel.shape[1] and abs(kernel.sum() - 1) < 1e-3
    labels = (image * np.sqrt(weight) > float(cards["DETECT_THRESH"])).astype("i4")
    fits.writeto(cards["CHECKIMAGE_NAME"].strip(), labels, overwrite=True)
else:
    options = dict(word[2:].split("=") for word in sys.argv[2:] if "=" in word)
    if name == "astnoisechisel":
        image = fits.getdata(sys.argv[1], int(options["hdu"]))
        fits.writeto(options["output"], (image > 2).astype("i4"), overwrite=True)
    else:
        found = fits.getdata(sys.argv[1])
        hdus = [fits.PrimaryHDU(), fits.ImageHDU(found * -1, name="CLUMPS"), fits.ImageHDU(found, name="OBJECTS")]
        fits.HDUList(hdus).writeto(options["output"], overwrite=True)
"""


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("source-extractor", "astnoisechisel", "astsegment"):
        path = folder / name
        path.write_text(FAKE.format(python=sys.executable))
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def test_programs_are_run_as_their_manuals_say(fakes: Path, scene: Scene, tmp_path: Path) -> None:
    extractor, chisel = programs.installed()
    assert (extractor.version, chisel.version) == ("source-extractor 9.9", "astnoisechisel 9.9")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    few = extractor.label(extractor.prepare(scene, scratch), {**extractor.defaults, "threshold": 5.0})
    many = extractor.label(scratch, {**extractor.defaults, "threshold": 2.0})
    assert 0 < few.sum() < many.sum()
    objects = chisel.label(chisel.prepare(scene, scratch), chisel.defaults)
    clumps = chisel.label(scratch, {**chisel.defaults, "map": "CLUMPS"})
    assert objects.sum() > 0
    assert not clumps.any()  # rivers alone
    log = (scratch / "commands.txt").read_text().splitlines()
    assert log[0] == "source-extractor detection.fits -c starnet.sex"
    assert log[2].startswith("astnoisechisel snr.fits --hdu=1 --qthresh=0.3 --snquant=0.99 --output=detected.fits")
    assert log[3].startswith("astsegment detected.fits --objbordersn=1.0 --output=segmented.fits")


def test_a_program_that_fails_is_quoted(fakes: Path, scene: Scene, tmp_path: Path) -> None:
    (fakes / "source-extractor").write_text(f"#!{sys.executable}\nimport sys\nsys.exit('no such weather')\n")
    extractor = programs.installed()[0]
    with pytest.raises(StarnetError, match="no such weather"):
        extractor.label(extractor.prepare(scene, tmp_path), extractor.defaults)


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    methods, notes = choose_methods(None, ["classical"])
    assert [one.name for one in methods] == ["classical", "sep", "photutils"]
    assert len(notes) == 2
    with pytest.raises(StarnetError, match="source-extractor is not installed"):
        choose_methods(["source-extractor"], ["classical"])
    with pytest.raises(StarnetError, match="no method daophot"):
        choose_methods(["daophot"], ["classical"])


def test_grids_hold_all_combinations_and_defaults_have_the_same_keys() -> None:
    assert len(combinations(SEP_GRID)) == np.prod([len(values) for values in SEP_GRID.values()])
    for method in (Sep(), Photutils(), OurModel("classical"), *map(_program, ("SourceExtractor", "NoiseChisel"))):
        assert list(method.grid) == list(method.defaults)


def _program(name: str) -> programs.SourceExtractor | programs.NoiseChisel:
    return programs.SourceExtractor("sex") if name == "SourceExtractor" else programs.NoiseChisel("nc", "seg")


def test_squares_of_a_mosaic_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = invoke("simulate", "--size", "384x256", "--seed", "5", "--bands", "F160W,F606W", "-o", "field", "-q")
    assert made.exit_code == 0, made.output
    bands = ["field/f160w_drz.fits", "field/f606w_drz.fits"]
    cut = invoke("compare", *bands, "--make-split", "areas.yaml", "--square", "128", "--seed", "4")
    assert (cut.exit_code, cut.stdout) == (0, "areas.yaml: 3 train, 1 validation, 1 tune, 1 test\n"), cut.output
    Path("grids.yaml").write_text(yaml.safe_dump({"sep": {"threshold": [2.0]}, "classical": {"threshold": [3.0]}}))
    arguments = [
        *("compare", *bands, "--truth", "field", "--split", "areas.yaml", "-o", "out"),
        *("--grids", "grids.yaml", "--method", "sep", "--model", "classical", "--quiet"),
    ]
    done = invoke(*arguments)
    assert done.exit_code == 0, done.output
    assert "true objects count" in done.stdout
    summary = json.loads(Path("out/comparison.json").read_text())
    [[y0, y1, x0, x1]] = yaml.safe_load(Path("areas.yaml").read_text())["parts"]["test"]
    truth = read_segmentation_map("field/truth_segmentation.fits").labels[y0:y1, x0:x1]
    table = Table.read("field/truth.fits")
    inside = table[np.isin(table["label"], truth)]
    assert summary["methods"][0]["n_truth"] == np.sum((inside["snr"] >= 5) & (inside["area"] >= 5))
    assert (read_segmentation_map("out/truth.fits").labels == truth).all()
    page = Path("out/comparison.html").read_text()
    assert "sep-default" in page
    assert Path("out/sep.html").exists()
    assert "data:image/png;base64," in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--make-split"),
        (["--split", "s.yaml"], "-o DIR"),
        (["--split", "nowhere.yaml", "-o", "out"], "nowhere.yaml cannot be read"),
        (["--split", "s.yaml", "-o", "out", "--tune-for", "luck"], "no figure 'luck'"),
        (["--split", "s.yaml", "-o", "out", "--model", "oracle"], "model 'oracle' is unknown"),
        (["a.fits", "--split", "s.yaml", "-o", "out"], "leave the images out"),
        (["--split", "s.yaml", "-o", "out", "--grids", "g.yaml"], "has no setting 'treshold'"),
        (["--split", "a.yaml", "-o", "out"], "--truth"),
        (["--make-split", "s.yaml"], "give its images"),
        (["--split", "s.yaml", "-o", "."], "is no comparison"),
    ],
)
def test_errors_are_one_sentence(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_split(SPLIT, "s.yaml")
    Path("a.yaml").write_text("kind: area\nshape: [9, 9]\nparts: {tune: [[0, 3, 0, 3]], test: [[4, 6, 0, 3]]}")
    Path("g.yaml").write_text("sep: {treshold: [1]}")
    result = invoke("compare", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("starnet: error: ")
    assert result.stderr.count("\n") == 1
