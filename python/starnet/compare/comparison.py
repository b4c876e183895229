"""`compare`: methods tuned on one part of a split, judged on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starnet import __version__
from starnet.compare import programs
from starnet.compare.methods import Method, Photutils, Sep, Settings
from starnet.compare.models import OurModel
from starnet.compare.scenes import Scene, area_scene, check_area, open_truth, simulated_scene, write_labels
from starnet.compare.trials import Stack, try_on
from starnet.compare.tuning import Progress, Tuned, tune
from starnet.errors import StarnetError
from starnet.evaluate import Evaluation, evaluate
from starnet.evaluate.matching import check_scipy
from starnet.evaluate.metrics import NAMES
from starnet.mosaic import Mosaic
from starnet.splits import AreaSplit, SimulatedSplit, Split, load_split, save_split


@dataclass(frozen=True)
class Entry:
    """A method with its settings, judged.

    Attributes
    ----------
    name : str
        Of the method; with ``-default`` for what it is as its authors ship it.
    method : Method
        The method.
    settings : dict
        Its settings.
    tuned : Tuned or None
        The grid that they are from; None for defaults.
    evaluation : Evaluation
        On the fields of the test, with paired differences from the reference unless it is that.
    seconds, cpu_seconds : float
        Sums over these fields.
    path : Path
        The label map of these fields.
    """

    name: str
    method: Method
    settings: Settings
    tuned: Tuned | None
    evaluation: Evaluation
    seconds: float
    cpu_seconds: float
    path: Path


@dataclass(frozen=True)
class Comparison:
    """What came of it.

    Attributes
    ----------
    split : Split
        The parts of the sky.
    criterion : str
        What the methods were tuned for.
    entries : list of Entry
        The reference first.
    images : list of str
        The test fields, for pictures.
    pixels : int
        Of the test.
    notes : list of str
        What the user may want to know.
    """

    split: Split
    criterion: str
    entries: list[Entry]
    images: list[str]
    pixels: int
    notes: list[str]

    def summary(self) -> dict[str, Any]:
        """All of it as JSON knows it."""
        return {
            "split": self.split.document(),
            "criterion": self.criterion,
            "reference": self.entries[0].name,
            "methods": [
                {
                    **entry.evaluation.summary(),
                    "name": entry.name,
                    "version": entry.method.version,
                    "settings": entry.settings,
                    "seconds": entry.seconds,
                    "cpu_seconds": entry.cpu_seconds,
                    "map": entry.path.name,
                    "against": None if entry is self.entries[0] else self.entries[0].name,
                    "tuning": [] if entry.tuned is None else entry.tuned.tried,
                }
                for entry in self.entries
            ],
            "grids": {e.method.name: dict(e.method.grid) for e in self.entries if e.tuned is not None},
            "pixels": self.pixels,
            "notes": self.notes,
            "starnet": __version__,
        }


def choose_methods(names: Sequence[str] | None, models: Sequence[str]) -> tuple[list[Method], list[str]]:
    """The methods, ours first, and notes on those that are not there.

    Parameters
    ----------
    names : sequence of str or None
        Of other programs; all that are installed by default.
    models : sequence of str
        As after ``--model`` of `starnet segment`; the first is what the others are compared with.

    Raises
    ------
    StarnetError
        For one that is unknown or not installed.
    """
    others: dict[str, Method] = {"sep": Sep()}
    try:
        import photutils  # noqa: F401
    except ImportError:
        pass
    else:
        others["photutils"] = Photutils()
    others |= {one.name: one for one in programs.installed()}
    hints = {
        "photutils": "pip install 'starnet[photutils]'",
        "source-extractor": "install SExtractor (astromatic.net)",
        "noisechisel": "install the GNU Astronomy Utilities",
    }
    for name in names or ():
        if name not in others and name in hints:
            raise StarnetError(f"{name} is not installed: {hints[name]}")
        if name not in others:
            raise StarnetError(f"there is no method {name}: choose from sep, {', '.join(hints)}")
    notes = [f"{name} is not installed, and left out" for name in hints if not names and name not in others]
    ours: list[Method] = [OurModel(name) for name in models]
    return [*ours, *(others[name] for name in names or others)], notes


def compare(
    split: str | Path | Split,
    output: str | Path,
    *,
    inputs: Sequence[str | Path] = (),
    truth: str | None = None,
    table: str | Path | None = None,
    methods: Sequence[str] | None = None,
    models: Sequence[str] = ("tiny", "classical"),
    grids: Mapping[str, Mapping[str, list[Any]]] | None = None,
    criterion: str = "pq",
    workers: int = 1,
    resamples: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Tune methods on the fields of the part ``tune``, and judge them on those of ``test``.

    Parameters
    ----------
    split : str, Path or Split
        Simulated fields, or squares of the `inputs`.
    output : str or Path
        Directory; what is there already of the same split, settings and versions is not done again.
    inputs : sequence of str or Path
        Bands of the mosaic whose squares are meant.
    truth : str, optional
        Its true label map, or the directory of a simulated field.
    table : str or Path, optional
        Table of the true objects.
    methods : sequence of str, optional
        ``sep``, ``photutils``, ``source-extractor``, ``noisechisel``; all that are installed by default.
    models : sequence of str
        Our own; the first is the reference.
    grids : mapping, optional
        Values to try, by method and setting, in the place of a method's own.
    criterion : str
        The figure to tune for: a key of `starnet.evaluate.metrics.NAMES`.
    workers : int
        Processes that simulate.
    resamples, seed : int
        Of the bootstrap.
    progress : callable, optional
        Called with ``(stage, done, total)``.

    Raises
    ------
    StarnetError
        For all that the user can mend.
    """
    check_scipy()
    if criterion not in NAMES:
        raise StarnetError(f"there is no figure {criterion!r} to tune for: choose from {', '.join(NAMES)}")
    chosen, notes = choose_methods(methods, models)
    for method in chosen:
        _regrid(method, dict((grids or {}).get(method.name, {})))
    split = load_split(split) if isinstance(split, str | Path) else split
    for part in ("tune", "test"):
        if not split.parts.get(part):
            raise StarnetError(f"the split has nothing in its part {part!r}: add to it")
    directory = _open(Path(output))
    parts = _scenes(split, directory / "fields", inputs, truth, table, workers, progress)
    save_split(split, directory / "split.yaml")

    tuned = {
        method.name: tune(method, parts["tune"], directory / "tuning", criterion=criterion, progress=progress)
        for method in chosen
    }
    notes += [note for method in chosen for note in _at_the_edge(method, tuned[method.name].settings)]
    variants: list[tuple[str, Method, Settings, Tuned | None]] = []
    for method in chosen:
        variants.append((method.name, method, tuned[method.name].settings, tuned[method.name]))
        if method.defaults != tuned[method.name].settings:
            variants.append((f"{method.name}-default", method, method.defaults, None))

    test = parts["test"]
    stack = Stack.of([Mosaic.open(scene.inputs).shape for scene in test])
    true_map, true_table = stack.truth(test)
    write_labels(directory / "truth.fits", true_map)
    if true_table is not None:
        true_table.write(directory / "truth_table.fits", overwrite=True)
    entries: list[Entry] = []
    for name, method, settings, grid in variants:
        trials = []
        for i, scene in enumerate(test):
            trials.append(try_on(method, settings, scene, directory / "maps" / name))
            if progress is not None:
                progress(f"test {name}", i + 1, len(test))
        path = directory / f"{name}.fits"
        write_labels(path, stack.labels([programs.read_labels(trial.path) for trial in trials])[0])
        evaluation = evaluate(
            path,
            directory / "truth.fits",
            table=true_table,
            against=entries[0].path if entries else None,
            block=stack.block,
            resamples=resamples,
            seed=seed,
        )
        seconds, cpu = sum(trial.seconds for trial in trials), sum(trial.cpu_seconds for trial in trials)
        entries.append(Entry(name, method, settings, grid, evaluation, seconds, cpu, path))
    pixels = sum(box.size for box in stack.boxes)
    return Comparison(split, criterion, entries, stack.write_images(test, directory), pixels, notes)


def _regrid(method: Method, grid: dict[str, Any]) -> None:
    """Try other values; settings without any keep their defaults."""
    if not grid:
        return
    for key, values in grid.items():
        if key not in method.defaults:
            raise StarnetError(f"{method.name} has no setting {key!r}: choose from {', '.join(method.defaults)}")
        if not isinstance(values, list) or not values:
            raise StarnetError(f"the grid of {method.name} has no list of values for {key}: write [a, b, c]")
    method.grid = {key: grid.get(key, [value]) for key, value in method.defaults.items()}


def _at_the_edge(method: Method, settings: Settings) -> list[str]:
    """A best value beyond which there may be a better one."""
    return [
        f"the best {key} of {method.name}, {settings[key]}, is at the edge of its grid"
        for key, values in method.grid.items()
        if len(values) > 1 and not isinstance(values[0], str) and settings[key] in (min(values), max(values))
    ]


def _open(directory: Path) -> Path:
    if directory.is_dir() and any(directory.iterdir()) and not (directory / "fields").is_dir():
        raise StarnetError(f"{directory} exists and is no comparison: name another directory with -o")
    (directory / "fields").mkdir(parents=True, exist_ok=True)
    return directory


def _scenes(
    split: Split,
    fields: Path,
    inputs: Sequence[str | Path],
    truth: str | None,
    table: str | Path | None,
    workers: int,
    progress: Progress | None,
) -> dict[str, list[Scene]]:
    """The fields to tune on and to test on."""
    if isinstance(split, SimulatedSplit):
        if inputs:
            raise StarnetError("the split is of simulated fields: leave the images out, or give a split of their area")
        return {part: _simulated(split, part, fields, workers, progress) for part in ("tune", "test")}
    assert isinstance(split, AreaSplit)
    if not inputs or truth is None:
        raise StarnetError("the split is of the area of a mosaic: give its images, and its truth with --truth")
    mosaic = Mosaic.open(inputs)
    labels, beside = open_truth(truth)
    check_area(split, mosaic, labels)
    rows = Path(table) if table is not None else beside
    return {
        part: [area_scene(mosaic, labels, rows, box, fields) for box in split.parts[part]] for part in ("tune", "test")
    }


def _simulated(split: SimulatedSplit, part: str, fields: Path, workers: int, progress: Progress | None) -> list[Scene]:
    scenes = []
    for i, seed in enumerate(split.parts[part]):
        scenes.append(simulated_scene(split, seed, fields, workers=workers))
        if progress is not None:
            progress(f"simulate {part}", i + 1, len(split.parts[part]))
    return scenes
