"""Bundles: written whole, and refused in one sentence when they are not what they say."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from starnet import bundle
from starnet.bundle import Bundle
from starnet.errors import StarnetError
from starnet.networks import NETWORKS

CONFIG = replace(NETWORKS["tiny"], bands=("F160W", "F814W"))
ABOUT = {"network": CONFIG.as_dict(), "precision": "fp32", "opset": 18, "stride": 32, "reach": 100, "cell": 4}


def write(folder: Path, *, force: bool = False, content: bytes = b"graph") -> Path:
    with bundle.writing(folder, force=force) as partial:
        for name in (bundle.ENCODER, bundle.DECODER, bundle.INSTANCES):
            (partial / name).write_bytes(content)
        bundle.seal(partial, ABOUT)
    return folder


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = write(tmp_path / "b")
    found = Bundle.open(folder, bands=["F606W", "F814W", "F160W"])
    assert (found.config, found.precision, found.opset, found.stride, found.reach, found.cell) == (
        CONFIG, "fp32", 18, 32, 100, 4,
    )  # fmt: skip
    assert [path and path.name for path in (found.encoder, found.decoder, found.instances)] == [
        "encoder.onnx", "decoder.onnx", "instances.onnx",
    ]  # fmt: skip
    assert found.about["files"]["encoder.onnx"]["bytes"] == 5
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert bundle.is_bundle(folder)
    assert not bundle.is_bundle(tmp_path)
    again = Bundle.open(write(tmp_path / "same"))
    other = Bundle.open(write(tmp_path / "other", content=b"other"))
    assert again.fingerprint == found.fingerprint != other.fingerprint


def _change(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "bundle.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def _without_stride(folder: Path) -> None:
    path = folder / "bundle.json"
    content = json.loads(path.read_text())
    del content["stride"]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda b: (b / "bundle.json").unlink(),
            "b is no model bundle, it has no bundle.json: give what starnet export",
        ),
        (lambda b: (b / "bundle.json").write_text("{"), r"bundle.json is damaged \(.*\): copy or export"),
        (_change(format=2), "is a bundle of format 2, and this version of starnet reads 1: export it again"),
        (_change(network={"name": "x"}), r"bundle.json is damaged \(.*encoder.*\)"),
        (_without_stride, r"bundle.json is damaged \(KeyError\('stride'\)\)"),
        (_change(opset=99), "exported with ONNX opset 99, and the ONNX Runtime here knows 2.: update it, or export"),
        (_change(files={}), "b lacks decoder.onnx: copy or export the bundle again"),
        (lambda b: (b / "encoder.onnx").unlink(), "b lacks encoder.onnx: copy or export the bundle again"),
        (lambda b: (b / "encoder.onnx").write_bytes(b"gra"), "encoder.onnx is truncated, 3 bytes instead of 5: copy"),
        (
            lambda b: (b / "encoder.onnx").write_bytes(b"graphs"),
            "encoder.onnx is not the file .*, 6 bytes instead of 5",
        ),
        (
            lambda b: (b / "encoder.onnx").write_bytes(b"grabh"),
            "not the file that was exported, its SHA-256 differs: copy",
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, spoil: Callable[[Path], object], said: str) -> None:
    folder = write(tmp_path / "b")
    Bundle.open(folder)
    spoil(folder)
    with pytest.raises(StarnetError, match=said) as error:
        Bundle.open(folder)
    assert "\n" not in str(error.value)


def test_missing_bands_and_missing_folders_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "b")
    with pytest.raises(
        StarnetError, match="made for the bands F160W, F814W, and the mosaic has no F814W among F160W: add"
    ):
        Bundle.open(folder, bands=["F160W"])
    with pytest.raises(StarnetError, match="nowhere is no model bundle"):
        Bundle.open(tmp_path / "nowhere")


def test_what_fails_leaves_nothing_and_what_was_there(tmp_path: Path) -> None:
    folder = write(tmp_path / "b")
    with pytest.raises(StarnetError, match=r"b exists: choose another folder, or give --force to replace it"):
        write(folder)
    before = Bundle.open(folder).fingerprint
    with pytest.raises(FileNotFoundError), bundle.writing(folder, force=True) as partial:
        (partial / "encoder.onnx").write_bytes((partial / "nothing").read_bytes())
    with pytest.raises(StarnetError, match="b could not be written"), bundle.writing(folder, force=True):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(KeyError), bundle.writing(tmp_path / "new"):
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert Bundle.open(folder).fingerprint == before
    write(folder, force=True, content=b"other")
    assert Bundle.open(folder).fingerprint != before
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_nothing_but_a_bundle_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(StarnetError, match="mine exists and is no model bundle: choose another folder"):
        write(tmp_path / "mine", force=True)
    assert (tmp_path / "mine" / "thesis.tex").exists()
    (tmp_path / "empty").mkdir()
    assert Bundle.open(write(tmp_path / "empty"))


def test_it_is_opened_without_torch(tmp_path: Path) -> None:
    folder = write(tmp_path / "b")
    code = f"import sys; from starnet import bundle; bundle.Bundle.open({str(folder)!r}); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"


def test_the_runtime_says_what_it_knows() -> None:
    import onnx

    newest = bundle.runtime_opset()
    assert newest is not None
    assert 18 <= newest <= onnx.defs.onnx_opset_version()
