"""Networks in ONNX Runtime beside torch, and the whole of `starnet segment`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from starnet.bench.arithmetic import FRACTION, Expected, expected_rates
from starnet.bench.end_to_end import EndToEnd, Loading, SepRun, load, run_segment, run_sep
from starnet.bench.machine import machine
from starnet.bench.network_cases import EAGER, compiler, network_cases
from starnet.bench.peers import set_threads
from starnet.bench.race import Effort, Result, measure
from starnet.bench.subjects import Sky, Subject, subject
from starnet.errors import StarnetError
from starnet.memory import peak_memory

FORMAT = 1
OPERATIONS = ("load", "encoder", "head", "decoder", "automatic", "segment")
PROMPTS = (1, 16, 64, 256)
FULL = Effort(rounds=9, sample=0.05, slow=float("inf"), patience=10.0, fewest=3)
QUICK = Effort(rounds=5, sample=0.02, slow=float("inf"), patience=2.0, fewest=1)
_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "torch", "segment-anything", "torchvision", "numpy")
#: Pixels on a side of the simulated field, and points on a side of a window for automatic masks: SAM's own, and quick.
_SIDE, _QUICK_SIDE = 2048, 1024
_POINTS, _QUICK_POINTS = 32, 8

Progress = Callable[[str], None]


@dataclass
class Inference:
    """What `infer` found.

    Attributes
    ----------
    image, command, date, machine, versions, peak_memory
        As of `starnet.bench.comparison.Comparison`.
    threads : int
        Of ONNX Runtime, torch and `starnet segment`.
    devices : dict of str to str
        What ONNX Runtime really runs each model on.
    results : list of Result
        Parts of networks.
    loads : list of Loading
        Of each model, in a fresh process.
    runs : list of EndToEnd
        Of `starnet segment`.
    sep : SepRun, optional
        The same field, by `sep`.
    expected : list of Expected
        By arithmetic, not measured.
    notes : list of str
        Times of compilation, and what could not be measured.
    """

    image: str
    command: str
    date: str
    machine: dict[str, Any]
    versions: dict[str, str | None]
    threads: int
    devices: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    loads: list[Loading] = field(default_factory=list)
    runs: list[EndToEnd] = field(default_factory=list)
    sep: SepRun | None = None
    expected: list[Expected] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    peak_memory: int = 0

    @property
    def disagreements(self) -> list[str]:
        """Where torch found something else."""
        return [text for result in self.results for text in result.disagreements]

    def document(self) -> dict[str, Any]:
        """Everything, as JSON holds it."""
        return {
            "format": FORMAT,
            "image": self.image,
            "command": self.command,
            "date": self.date,
            "machine": self.machine,
            "versions": self.versions,
            "threads": self.threads,
            "devices": self.devices,
            "peak_memory": self.peak_memory,
            "disagreements": self.disagreements,
            "notes": self.notes,
            "results": [result.document() for result in self.results],
            "load": [asdict(one) for one in self.loads],
            "segment": [{**asdict(run), "mpix_per_s": run.rate, "over_slowest": run.overlap} for run in self.runs],
            "sep": None if self.sep is None else asdict(self.sep),
            "by_arithmetic_not_measured": {
                "fraction_of_peak_assumed": FRACTION,
                "rates": [asdict(one) for one in self.expected],
            },
        }


def infer(
    files: Sequence[str] = (),
    *,
    models: Sequence[str] = ("tiny",),
    operations: Sequence[str] | None = None,
    device: str = "auto",
    threads: int = 1,
    quick: bool = False,
    command: str = "",
    progress: Progress | None = None,
) -> Inference:
    """Measure models.

    Parameters
    ----------
    files : sequence of str
        Images of one field, one band each; without any, one is simulated.
    models : sequence of str
        Bundles, files of weights, or networks' names (with random weights where none come with the package).
    operations : sequence of str, optional
        Some of `OPERATIONS`; by default all.
    device : str
        As for `starnet segment` of a bundle.
    threads : int
        Of everything that is compared.
    quick : bool
        Fewer prompts and rounds, a smaller field.
    command : str
        To be noted with the results.
    progress : callable, optional
        Called with a line before each case.

    Raises
    ------
    StarnetError
        If there is no such operation, model or device, or the images cannot be used.
    """
    chosen = list(operations or OPERATIONS)
    for name in chosen:
        if name not in OPERATIONS:
            raise StarnetError(f"there is no operation {name!r} of inference: choose from {', '.join(OPERATIONS)}")
    told = progress or (lambda text: None)
    set_threads(threads, [])
    with tempfile.TemporaryDirectory(prefix="starnet-bench-") as temporary:
        folder = Path(temporary)
        (folder / "models").mkdir()
        found: Inference | None = None
        sky = Sky.opened(files) if files else None
        for model in models:
            told(f"{model}: graphs")
            one = subject(model, folder / "models", device=device, threads=threads)
            if sky is None:
                told("a simulated field")
                side = _QUICK_SIDE if quick else _SIDE
                sky = Sky.simulated(folder / "sky", side, one.session.config.bands)
            if found is None:
                date = datetime.now(UTC).isoformat(timespec="seconds")
                found = Inference(sky.description, command, date, machine(), _versions(), threads)
            found.devices[one.name] = one.session.device
            if "load" in chosen:
                told(f"{one.name}: load")
                found.loads += [
                    load(where, name=one.name, backend=backend, device=place, threads=threads, rounds=1 if quick else 5)
                    for backend, where, place in _ways(one, device)
                ]
            _measure(found, one, sky, chosen, quick=quick, told=told)
            if "segment" in chosen:
                _segment(found, one, sky, folder, device, told)
        assert found is not None
        if found.runs and sky is not None:
            told("sep")
            found.sep = run_sep(sky.files)
        told("arithmetic")
        found.expected = _expected(found)
    found.peak_memory = peak_memory()
    return found


def _measure(
    found: Inference, one: Subject, sky: Sky, operations: Sequence[str], *, quick: bool, told: Progress
) -> None:
    """Parts of one network."""
    compiles = False
    if one.torch is None:
        found.notes.append(
            f"{one.name}: this bundle holds no weights for torch, so nothing stands beside it; give the file of weights"
        )
    else:
        import torch

        torch.set_num_threads(found.threads)
        said = compiler(one.torch.device.split(" ")[0])
        compiles = said is None
        if said is not None:
            found.notes.append(f"{one.name}: torch.compile does not work here, and is left out: {said}")
    tile = sky.tile(one.session)
    counts = PROMPTS[:2] if quick else PROMPTS
    side = _QUICK_POINTS if quick else _POINTS
    told(one.name)
    for case in network_cases(one, tile, operations, counts, side, compiles=compiles, note=found.notes.append):
        told(case.name)
        found.results.append(measure(case, found.threads, case.peers, QUICK if quick else FULL))


def _segment(found: Inference, one: Subject, sky: Sky, folder: Path, device: str, told: Progress) -> None:
    """The whole command, of the bundle and of the weights."""
    for backend, model, place in _ways(one, device):
        told(f"{one.name}: starnet segment, {backend}")
        output = folder / f"run-{len(found.runs)}"
        found.runs.append(
            run_segment(sky.files, model, output, name=one.name, backend=backend, device=place, threads=found.threads)
        )


def _ways(one: Subject, device: str) -> list[tuple[str, Path, str]]:
    """What runs a model: its name, file and device."""
    ways = [("ONNX Runtime", one.bundle, device)]
    if one.weights is not None:
        ways.append((EAGER, one.weights, device.replace("tensorrt", "cuda")))
    return ways


def _expected(found: Inference) -> list[Expected]:
    try:
        return expected_rates()
    except ModuleNotFoundError as error:
        found.notes.append(f"no rates by arithmetic: operations are counted with {error.name}, which is not installed")
        return []


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"starnet": version("starnet")}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
