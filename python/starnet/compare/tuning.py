"""Tuning: every setting of a stated grid on the fields for it; the one with the best figure is taken."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from starnet.atomic import write_json
from starnet.compare.methods import Labels, Method, Settings, combinations
from starnet.compare.scenes import Scene, read_json
from starnet.evaluate.evaluation import counting
from starnet.evaluate.labels import ArrayLabels, open_labels
from starnet.evaluate.metrics import Tally, match, tally
from starnet.evaluate.overlaps import find_overlaps
from starnet.evaluate.tables import read_table

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Tuned:
    """What came of a grid.

    Attributes
    ----------
    settings : dict
        The best of them.
    tried : list of dict
        ``settings`` and ``scores`` of each.
    """

    settings: Settings
    tried: list[dict[str, Any]]


def tune(
    method: Method, scenes: Sequence[Scene], directory: Path, *, criterion: str, progress: Progress | None = None
) -> Tuned:
    """Try the grid of a method on some fields; of settings that are equally good the first is taken.

    Figures are those of all fields together. What was tried is kept in files, a field each, and not tried again.
    """
    settings = combinations(method.grid)
    if len(settings) == 1:
        return Tuned(settings[0], [])
    sums: list[Tally] = []
    for scene in scenes:
        tallies = _tallies(method, scene, settings, directory, progress)
        sums = [_add(a, b) for a, b in zip(sums, tallies, strict=True)] if sums else tallies
    scores = [{name: _plain(value) for name, value in one.scores().items()} for one in sums]
    best = int(np.argmax([np.nan_to_num(one.scores()[criterion], nan=-1) for one in sums]))
    return Tuned(settings[best], [{"settings": s, "scores": v} for s, v in zip(settings, scores, strict=True)])


def judge(scene: Scene, labels: Labels) -> Tally:
    """Sums of a label map over a whole field."""
    truth = open_labels(scene.truth)
    overlaps = find_overlaps(truth, ArrayLabels(labels))
    table = None if scene.table is None else read_table(scene.table, overlaps.truth.label, truth.name)
    return tally(match(overlaps, counting(overlaps.truth, table))).total()


def _tallies(
    method: Method, scene: Scene, settings: list[Settings], directory: Path, progress: Progress | None
) -> list[Tally]:
    path = directory / method.name / f"{scene.name}.json"
    identity = json.loads(json.dumps({"scene": scene.identity, "version": method.version, "settings": settings}))
    kept = read_json(path)
    if kept is not None and kept["identity"] == identity:
        return [Tally(**{key: np.asarray(v) for key, v in one.items()}) for one in kept["tallies"]]
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        prepared = method.prepare(scene, Path(scratch))
        for i, one in enumerate(settings):
            found.append(judge(scene, method.label(prepared, one)))
            if progress is not None:
                progress(f"tune {method.name} on {scene.name}", i + 1, len(settings))
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "identity": identity,
        "tallies": [{key: np.asarray(v).tolist() for key, v in asdict(one).items()} for one in found],
    }
    write_json(path, content, indent=None)
    return found


def _add(a: Tally, b: Tally) -> Tally:
    return Tally(**{key: np.asarray(value) + getattr(b, key) for key, value in asdict(a).items()})


def _plain(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
