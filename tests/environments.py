"""Virtual environments that are made for a test."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Environment:
    """A virtual environment, which sees nothing of the one that the tests run in."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Environment:
        made = cls(folder)
        made.checked(sys.executable, "-m", "venv", "--without-pip", str(folder))
        return made

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        return next(self.folder.glob("lib/python*/site-packages"))

    def install(self, *arguments: str) -> None:
        pip = (sys.executable, "-m", "pip", "--python", str(self.python), "--disable-pip-version-check")
        self.checked(*pip, "install", "--quiet", *arguments)

    def starnet(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.python), "-m", "starnet", *map(str, arguments))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Outside the checkout, and with its own programs first."""
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        path = os.pathsep.join([str(Path(sys.executable).parent), variables.get("PATH", "")])
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder.parent,
            env={**variables, "PATH": path},
        )

    def checked(self, *command: str) -> str:
        done = self.run(*command)
        if done.returncode:
            pytest.fail(f"{' '.join(command)}: {done.stdout}\n{done.stderr}")
        return done.stdout
