"""`starnet fetch`, from a server on this machine."""

from __future__ import annotations

import hashlib
import os
import pty
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from file_server import FileServer
from starnet.cli import app
from starnet.weights import KNOWN, Weights

CONTENT = random.Random(0).randbytes(500_000)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("STARNET_CACHE", str(tmp_path / "cache"))
    with FileServer(CONTENT).running() as running:
        sha256 = hashlib.sha256(CONTENT).hexdigest()
        for name, known in list(KNOWN.items()):
            small = Weights(running.url(known.file_name), sha256, len(CONTENT), known.licence, known.network)
            monkeypatch.setitem(KNOWN, name, small)
        yield running


def invoke(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["fetch", *arguments])


def test_fetch_prints_where_the_files_are(server: FileServer, tmp_path: Path) -> None:
    result = invoke("sam-vit-b", "sam-vit-l")
    assert result.exit_code == 0, result.stderr
    paths = [tmp_path / "cache" / name for name in ("sam_vit_b_01ec64.pth", "sam_vit_l_0b3195.pth")]
    assert result.stdout.split() == [str(path) for path in paths]
    assert all(path.read_bytes() == CONTENT for path in paths)
    assert "sam_vit_b_01ec64.pth: " in result.stderr
    assert invoke("sam-vit-b", "--quiet").stderr == ""
    assert len(server.asked) == 2
    assert invoke("sam-vit-b", "--force").exit_code == 0
    assert len(server.asked) == 3


def test_list(server: FileServer, tmp_path: Path) -> None:
    invoke("sam-vit-l", "--folder", str(tmp_path / "mine"))
    result = invoke("--list", "--folder", str(tmp_path / "mine"))
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip().startswith("sam-")}
    assert list(rows) == list(KNOWN)
    assert "missing" in rows["sam-vit-b"]
    assert "verified" in rows["sam-vit-l"]
    assert all("Apache-2.0" in row and "0 MB" in row for row in rows.values())
    assert f"in {tmp_path / 'mine'}" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing to fetch: name weights (sam-vit-b, sam-vit-l, sam-vit-h), or give --list"),
        (("sam-vit-b", "sam"), "there are no known weights 'sam': choose sam-vit-b"),
        (("sam-vit-b", "sam-vit-l", "--url", "http://127.0.0.1/x"), "--url is the address of one file"),
        (("sam-vit-b", "--url", "ftp://x"), "ftp://x is no web address"),
    ],
)
def test_errors_are_one_sentence(server: FileServer, arguments: tuple[str, ...], words: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("starnet: error: ")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not server.asked


def test_another_address(server: FileServer) -> None:
    assert invoke("sam-vit-b", "--url", server.url("mirror")).exit_code == 0
    assert [path for path, _ in server.asked] == ["/mirror"]


def test_a_terminal_sees_bars(tmp_path: Path) -> None:
    """In a process of its own, whose stderr is a terminal: the real file from a server that has another one."""
    with FileServer(CONTENT, slow=1.0).running() as server:
        ours, theirs = pty.openpty()
        code = (
            "import dataclasses, hashlib\nfrom starnet import weights\nfrom starnet.cli import main\n"
            f"small = dataclasses.replace(weights.KNOWN['sam-vit-b'], size={len(CONTENT)}, "
            f"sha256='{hashlib.sha256(CONTENT).hexdigest()}')\n"
            "weights.KNOWN['sam-vit-b'] = small\nmain()"
        )
        environment = {**os.environ, "no_proxy": "127.0.0.1", "TERM": "xterm", "COLUMNS": "120"}
        command = [sys.executable, "-c", code, "fetch", "sam-vit-b", "--folder", str(tmp_path), "--url", server.url()]
        done = subprocess.run(command, stderr=theirs, stdout=subprocess.PIPE, text=True, env=environment, check=True)
        os.close(theirs)
        shown = os.read(ours, 1 << 16).decode()
        os.close(ours)
    assert done.stdout.strip() == str(tmp_path / "sam_vit_b_01ec64.pth")
    assert "sam_vit_b_01ec64.pth" in shown
    assert "MB/s" in shown
