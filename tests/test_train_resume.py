"""A training that was interrupted ends as one that was not, bit for bit."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from starnet.errors import StarnetError
from starnet.train.training import train
from train_samples import Skies, small


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def flattened(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for key, one in value.items() for k, v in flattened(one, f"{name}/{key}").items()}
    if isinstance(value, list):
        return {k: v for i, one in enumerate(value) for k, v in flattened(one, f"{name}/{i}").items()}
    return {name: value}


def assert_same(run: Path, other: Path) -> None:
    """Weights, averages, optimiser, figures: all but the time it took."""
    one, two = (load_file(folder / "weights.safetensors") for folder in (run, other))
    assert one.keys() == two.keys()
    for name in one:
        assert torch.equal(one[name], two[name]), name
    last, its = (
        {
            name: value
            for name, value in flattened(torch.load(folder / "last.ckpt", weights_only=True)).items()
            if "seconds" not in name and not name.startswith("/loops")
        }
        for folder in (run, other)
    )
    assert last.keys() == its.keys()
    for name, value in last.items():
        assert torch.equal(value, its[name]) if isinstance(value, torch.Tensor) else value == its[name], name


# 1 and 5: in the midst of an interval; 3: at a validation; 4: between two batches of a step too.
@pytest.mark.parametrize("until", [1, 3, 4, 5])
def test_resumed_equals_uninterrupted(until: int, tmp_path: Path) -> None:
    config = small(accumulate=2, data={"samples": 7})
    sources = Skies(1), Skies(2)
    whole = train(config, tmp_path / "whole", sources=sources)
    stopped = train(config, tmp_path / "parts", sources=sources, until=until)
    assert (stopped.steps, stopped.weights) == (until, None)
    resumed = train(config, tmp_path / "parts", sources=sources, resume=True)
    assert resumed.steps == whole.steps == 6
    assert resumed.figures == whole.figures
    assert_same(tmp_path / "whole", tmp_path / "parts")


SCRIPT = """
import sys, torch
sys.path.insert(0, {tests!r})
torch.set_num_threads(1)
from train_samples import Skies, small
from starnet.train.training import train
train(small(steps=40, checkpoint_minutes=0), {run!r}, sources=(Skies(1), Skies(2)), resume=True)
"""


@pytest.mark.slow  # three processes that import torch
def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    def start(run: str) -> subprocess.Popen[bytes]:
        script = SCRIPT.format(tests=str(Path(__file__).parent), run=str(tmp_path / run))
        return subprocess.Popen([sys.executable, "-c", script])

    killed = start("killed")
    while not (tmp_path / "killed" / "last.ckpt").exists():
        assert killed.poll() is None
        time.sleep(0.05)
    time.sleep(0.3)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    assert start("killed").wait() == 0
    assert start("whole").wait() == 0
    assert_same(tmp_path / "whole", tmp_path / "killed")


def test_a_finished_training_is_not_begun_again(tmp_path: Path) -> None:
    config, sources = small(), (Skies(1), Skies(2))
    first = train(config, tmp_path, sources=sources)
    again = train(config, tmp_path, sources=sources, resume=True)
    assert (again.steps, again.best_step, again.figures) == (first.steps, first.best_step, first.figures)
    with pytest.raises(StarnetError, match="holds a training"):
        train(config, tmp_path, sources=sources)
    with pytest.raises(StarnetError, match=r"has another optimiser\.rate"):
        train(small(optimiser={"rate": 1e-5}), tmp_path, sources=sources, resume=True)


def test_patience(tmp_path: Path) -> None:
    # Next to nothing changes, hence nothing gets better.
    learning = {"encoder": "frozen", "head": False}
    config = small(learning=learning, optimiser={"rate": 1e-30}, steps=30, patience=2, best_by="loss", average=0)
    result = train(config, tmp_path, sources=(Skies(1), Skies(2)))
    assert (result.best_step, result.steps) == (3, 9)
    assert train(config, tmp_path, sources=(Skies(1), Skies(2)), resume=True).steps == 9
