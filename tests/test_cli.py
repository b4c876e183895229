"""The command line: help, errors, exit codes; what needs no image."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

import starnet
from starnet import pipeline
from starnet.cli import app
from starnet.cli.options import parse_memory
from starnet.cli.progress import progress
from starnet.errors import StarnetError
from starnet.models import Classical

STARNET = Path(sys.executable).with_name("starnet")
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def invoke(*arguments: str | Path, **environment: str) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERMINAL_WIDTH": "200", **environment}).invoke(
        app, [str(a) for a in arguments]
    )


def test_version() -> None:
    result = invoke("--version")
    assert (result.exit_code, result.stdout) == (0, f"starnet {starnet.__version__}\n")


def test_the_commands() -> None:
    assert list(COMMANDS) == [
        "segment", "preprocess", "info", "demo", "simulate", "evaluate", "inject", "compare", "train", "fetch",
        "export", "report", "bench",
    ]  # fmt: skip
    text = invoke("--help").stdout
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_lists_every_option_and_says_what_it_does(name: str) -> None:
    result = invoke(name, "--help")
    assert result.exit_code == 0
    for parameter in COMMANDS[name].params:
        assert parameter.help, parameter.name
        for option in parameter.opts if parameter.param_type_name == "option" else ():
            assert option in result.stdout


@pytest.mark.parametrize(("name", "function"), [("segment", pipeline.segment), ("preprocess", pipeline.preprocess)])
def test_all_that_the_pipeline_takes_can_be_said_on_the_command_line(name: str, function: Callable[..., Any]) -> None:
    options = {parameter.name: parameter for parameter in COMMANDS[name].params}
    for parameter in inspect.signature(function).parameters.values():
        # The result does not depend on where the grid of tiles begins: tests alone move it.
        if parameter.name not in ("progress", "tile_origin") and parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            option = options[parameter.name]
            assert option.required or option.default == parameter.default


def test_help_names_the_defaults_of_the_classical_model() -> None:
    # None is measured, not said.
    defaults = {name: value for name, value in Classical().parameters.items() if value is not None}
    options = {parameter.name: parameter for parameter in COMMANDS["segment"].params}
    assert {name: type(value)(options[name].show_default) for name, value in defaults.items()} == defaults


def test_help_imports_nothing_heavy() -> None:
    # NumPy comes in with the extension module only when it is used.
    code = (
        "import sys\nfrom starnet.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'astropy', 'zarr', 'sep', 'pyarrow', 'PIL', 'skimage', 'scipy'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    for arguments in (["--help"], ["segment", "--help"], ["--version"]):
        subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["sgment"],
        ["segment"],
        ["segment", "a.fits"],
        ["segment", "a.fits", "-o", "run", "--mode", "sideways"],
        ["segment", "a.fits", "-o", "run", "--tile", "0"],
        ["segment", "a.fits", "-o", "run", "--threads", "0"],
        ["segment", "a.fits", "-o", "run", "--memory", "lots"],
        ["segment", "a.fits", "-o", "run", "--no-such-option"],
        ["preprocess", "-o", "run"],
    ],
)
def test_usage_errors_have_exit_code_2_and_touch_nothing(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GiB", 4 * 2**30),
        ("500MB", 500_000_000),
        ("1.5 GiB", 3 * 2**29),
        ("64kb", 64_000),
        ("2TiB", 2**41),
        ("1048576", 2**20),
        ("12 B", 12),
    ],
)
def test_amounts_of_memory(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "0", "-1GiB", "4G", "4XB", "4GiB/s", "1e9", "nan"])
def test_what_is_no_amount_of_memory(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="4GiB"):
        parse_memory(text)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            StarnetError("a.fits: no image; name an HDU as a.fits[SCI]"),
            2,
            "error: a.fits: no image; name an HDU as a.fits[SCI]",
        ),
        (PermissionError(13, "Permission denied", "run"), 2, "error: [Errno 13] Permission denied: 'run'"),
        (MemoryError(), 2, "error: out of memory; lower --memory, --tile or --threads"),
        (KeyboardInterrupt(), 130, "interrupted; the same command goes on where this one stopped"),
    ],
)
def test_errors_are_one_line_on_stderr(
    error: BaseException, code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(pipeline, "segment", fails)
    result = invoke("segment", "a.fits", "-o", "run", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"starnet: {message}\n")


@pytest.mark.parametrize(("flag", "variable"), [(["--debug"], {}), ([], {"STARNET_TRACEBACK": "1"})])
def test_debug_shows_the_traceback(
    flag: list[str], variable: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(
        [STARNET, *flag, "segment", "missing.fits", "-o", "run"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "StarnetError" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("starnet: error: missing.fits")


def test_a_bug_is_called_one() -> None:
    code = (
        "from starnet import cli, pipeline\n"
        "def fails(*_, **__): raise KeyError('x')\n"
        "pipeline.segment = fails\n"
        "cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "segment", "a.fits", "-q", "-o", "run"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "KeyError: 'x'\nThis is a bug in StarNet" in done.stderr


def test_a_closed_pipe_is_no_error() -> None:
    process = subprocess.Popen([STARNET, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait() != 0
    process.stderr.close()


@pytest.mark.skipif(sys.platform != "linux", reason="there is no full device but on Linux")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_stdout_is_said_in_one_line(unbuffered: str) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([STARNET, "info"], stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    assert (done.returncode, done.stderr) == (2, "starnet: error: [Errno 28] No space left on device\n")


def test_completion_knows_the_commands() -> None:
    result = invoke(_STARNET_COMPLETE="complete_bash", COMP_WORDS="starnet s", COMP_CWORD="1")
    assert result.stdout.split() == ["segment", "simulate"]


def test_without_a_terminal_progress_is_one_line_a_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as report:
        assert report is not None
        for done in range(4):
            report("sky", done, 3)
        report("tiles", 1, 2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"sky: \d+\.\d s\n", captured.err)


def test_on_a_terminal_progress_is_a_bar_with_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress() as report:
        assert report is not None
        for done in range(4):
            report("sky", done, 3)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Mpix/s" in captured.err
    assert "100%" in captured.err


def test_quiet_means_no_callback() -> None:
    with progress(quiet=True) as report:
        assert report is None
