"""The wheel, installed with what one CPU needs alone."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from conftest import REPOSITORY
from environments import Environment
from export_samples import TINY, lively
from starnet.export.exporting import ungated

# Minutes where cargo has built nothing yet.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
BANDS = ("f160w", "f850lp", "f606w")


SHIPPED = {
    f"starnet/weights/tiny/{name}"
    for name in ("bundle.json", "encoder.onnx", "instances.onnx", "decoder.onnx", "weights.safetensors")
}


def test_the_source_distribution_holds_the_network(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "maturin"), "sdist", "--out", str(tmp_path)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as members:
        names = {name.partition("/")[2].removeprefix("python/") for name in members.getnames()}
    assert names >= SHIPPED


def test_models_segment_where_there_is_no_torch(tmp_path: Path, shared_data: Path) -> None:
    """The one in the package, which is the default, and a bundle."""
    environment = Environment.make(tmp_path / "environment")
    # With the kernels as this checkout has built them, if they are as new as their source.
    environment.checked(
        "python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check",
        "--wheel-dir", str(tmp_path), str(REPOSITORY),
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert set(archive.namelist()) >= SHIPPED
        assert sum(archive.getinfo(name).file_size for name in SHIPPED) < 12_000_000
    environment.install(f"{wheel}[cpu]")
    code = """
import importlib.util, starnet
print(starnet.__file__)
print([name for name in ("torch", "segment_anything", "onnx", "scipy") if importlib.util.find_spec(name)])
"""
    where, unwanted = environment.checked(str(environment.python), "-c", code).splitlines()
    assert where.startswith(str(environment.site_packages))
    assert unwanted == "[]"
    bundle = ungated(lively(TINY, sky=True), tmp_path / "bundle")
    images = [shared_data / "xdf-demo" / f"xdf_{band}.fits" for band in BANDS]
    for name, model in {"default": [], "bundle": ["--model", f"{bundle}/"]}.items():
        run = tmp_path / f"run-{name}"
        done = environment.starnet("segment", *images, "-o", run, *model, "--json", "--quiet")
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        labels = fits.getdata(run / "segmentation.fits", "SEGMENTATION")
        catalog = QTable.read(run / "catalog.fits")
        assert labels.shape == fits.getdata(images[0], "SCI").shape
        assert json.loads(done.stdout)["n_sources"] == len(catalog) > 0
        assert np.array_equal(np.unique(labels[labels > 0]), catalog["id"])
        assert json.loads((run / "run.json").read_text())["network"]["device"].startswith("cpu (ONNX Runtime")
