"""The walk: each stage imports only earlier ones, and the base install is light."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import starnet

PACKAGE = Path(starnet.__file__).parent
WALK = [
    "_core", "errors", "flags", "atomic", "memory", "tiles", "io", "instruments", "mosaic", "filters", "recipe",
    "detection", "prompts", "masks", "weights", "networks", "bundle", "models", "layers", "instances", "stitch",
    "run", "labelmap", "workers", "tile_job", "catalog", "outputs", "pipeline", "simulate", "evaluate", "splits",
    "inject", "compare", "train", "export", "reproduce", "bench", "cli", "__main__",
]  # fmt: skip
# Instrument presets read header cards, and readers ask the presets which extensions to take.
ALLOWED = {("io", "instruments")}


def imports(path: Path) -> Iterator[str]:
    """Stages of the walk that a module imports, those for type checks alone included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "starnet":
            yield from (name.name for name in node.names if name.name in WALK)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("starnet."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (n.name.split(".")[1] for n in node.names if n.name.startswith("starnet."))


def test_each_stage_imports_only_earlier_ones() -> None:
    modules = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]
    stages = {path: path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in modules}
    assert set(stages.values()) <= set(WALK)
    late = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path, stage in stages.items()
        for name in imports(path)
        if WALK.index(name) > WALK.index(stage) and (stage, name) not in ALLOWED
    ]
    assert not late


def test_files_stay_readable() -> None:
    long = {p.name: n for p in PACKAGE.rglob("*.py") if (n := len(p.read_text(encoding="utf-8").splitlines())) > 400}
    assert not long


def test_the_base_install_imports_neither_scipy_nor_extras() -> None:
    heavy = ["scipy", "skimage", "photutils", "torch", "lightning", "pandas", "dask", "galsim", "matplotlib"]
    code = f"import starnet.pipeline, starnet.cli, sys; print([m for m in {heavy} if m in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_the_development_extra_holds_what_the_optional_ones_do() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: set(packages) for name, packages in project["optional-dependencies"].items()}
    assert extras["dev"] >= set().union(
        *(extras[name] for name in ("bench", "demo", "evaluate", "export", "photutils", "sim", "train"))
    )
    assert not any(package.startswith("starnet") for package in extras["dev"])
