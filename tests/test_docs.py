"""README and docs/: their commands and their Python run as printed, their links lead somewhere, the metadata agree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from astropy.table import QTable

import starnet
from starnet.flags import Flag
from starnet.pipeline import segment

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Installing is not for a test of the docs: `.ci/run` types the Makefile's commands in a clean checkout.
INSTALLERS = {"make", "pip", "git", "source", "maturin", ".venv/bin/pre-commit", "starnet --install-completion"}


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text())


@pytest.fixture
def field(tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the pages presume it: the nine bands of the Hubble eXtreme Deep Field, each named by its filter."""
    for path in (shared_data / "xdf-demo").glob("xdf_*.fits"):
        (tmp_path / f"{path.stem.removeprefix('xdf_').upper()}.fits").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands(block: str) -> Iterator[str]:
    """The commands of a console block: the lines after ``$``, with their continuations."""
    for command in re.findall(r"^\$ (.*(?:\\\n.*)*)", block, re.MULTILINE):
        yield command.replace("\\\n", " ")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_python_run_as_printed(page: Path, field: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    namespace: dict[str, object] = {"__name__": "__main__"}
    for language, text in blocks(page):
        if language == "console":
            for command in commands(text):
                done = subprocess.run(
                    ["bash", "-c", command], cwd=field, env={**os.environ, "PATH": path}, capture_output=True, text=True
                )
                assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        elif language == "python":
            exec(compile(text, f"{page.name} (python block)", "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_but_installing_is_left_out_of_that(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for language, text in blocks(page):
        assert language in {"console", "python", "sh", "text"}
        if language == "console":
            assert list(commands(text)), f"a console block without a command:\n{text}"
        for line in text.splitlines() if language == "sh" else ():
            command = line.split("#")[0].split()
            assert command[0] in INSTALLERS or " ".join(command) in INSTALLERS, line
            if command[0] == "make":
                assert set(command[1:]) <= targets, line


def test_readme_promises_the_two_commands() -> None:
    installing = "".join(text for language, text in blocks(REPOSITORY / "README.md") if language == "sh")
    assert "make demo" in installing
    assert "make test" in installing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in listed.stdout.splitlines() if (path := REPOSITORY / name).is_file()]


def test_no_file_names_a_path_of_some_machine() -> None:
    machine = re.compile(rb"(?<![\w.~/-])/(?:home|root|work|Users|tmp|opt|mnt|srv|scratch)/\w[^\s\"']*")
    found = {
        str(path.relative_to(REPOSITORY)): match.group().decode(errors="replace")
        for path in files()
        if (match := machine.search(path.read_bytes()))
    }
    assert not found


def test_the_pattern_of_that_test_finds_such_a_path() -> None:
    assert re.search(rb"(?<![\w.~/-])/(?:home)/\w", b"x = '/" + b"home/somebody/image.fits'")


def test_the_catalog_page_has_the_columns_of_a_catalog(field: Path) -> None:
    page = (REPOSITORY / "docs" / "catalog.md").read_text()
    documented = {
        name.replace("BAND", "F606W")
        for row in re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    } - {flag.name for flag in Flag}
    segment(["F606W.fits"], "run", model="classical", threads=1)
    columns = set(QTable.read("run/catalog.fits").colnames)
    assert documented - {"ra", "dec"} == columns  # these bands have no WCS
    for flag in Flag:
        assert f"| {flag.value} | `{flag.name}` | {flag.description} |" in page


def test_citation_names_this_version_and_the_licence() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["version"] == starnet.__version__
    assert citation["license"] == "BSD-3-Clause"
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert "The StarNet developers" in (REPOSITORY / "LICENSE").read_text()


def test_changelog_has_a_section_for_what_comes() -> None:
    assert re.search(r"^## \[Unreleased\]", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_hooks_are_those_of_make_lint() -> None:
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    lint = (REPOSITORY / "Makefile").read_text()
    for hook in hooks:
        tool = " ".join(hook["entry"].removeprefix(".venv/bin/").split()[:2]).split(" --")[0]
        assert tool in lint, f"{hook['id']}: `make lint` does not run {tool}"
