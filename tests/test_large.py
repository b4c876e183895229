"""A mosaic larger than the memory it may take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

SIDE = 20_000
LIMIT = 2 * 2**30


def write_band(path: Path, seed: int) -> None:
    """A sky of Gaussian sources on noise and a gradient, written block by block; the same sources in every band."""
    header = fits.Header()
    header["SIMPLE"], header["BITPIX"], header["NAXIS"] = True, -32, 2
    header["NAXIS1"] = header["NAXIS2"] = SIDE
    header["FILTER"] = path.stem
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"], header["CRPIX1"], header["CRPIX2"] = 53.1, -27.8, SIDE / 2, SIDE / 2
    header["CD1_1"], header["CD2_2"] = -0.03 / 3600, 0.03 / 3600
    fits.StreamingHDU(path, header).close()
    block = 2000
    y, x = np.mgrid[:block, :block]
    sources = np.zeros((block, block), np.float32)
    rng = np.random.default_rng(7)
    for _ in range(150 * block**2 // 10**6):
        cy, cx = rng.integers(0, block, 2)
        width, peak = rng.uniform(1.2, 4), 10 ** rng.uniform(0.5, 2.5)
        reach = int(6 * width)
        box = slice(max(0, cy - reach), cy + reach), slice(max(0, cx - reach), cx + reach)
        sources[box] += peak * np.exp(-((y[box] - cy) ** 2 + (x[box] - cx) ** 2) / (2 * width**2))
    noise = np.random.default_rng(seed)
    offset = len(header.tostring())
    with path.open("r+b") as file:
        file.truncate(offset + -(-SIDE * SIDE * 4 // 2880) * 2880)
    image = np.memmap(path, ">f4", "r+", offset, (SIDE, SIDE))
    for y0 in range(0, SIDE, block):
        for x0 in range(0, SIDE, block):
            pixels = noise.standard_normal((block, block), np.float32) + sources
            image[y0 : y0 + block, x0 : x0 + block] = pixels + np.float32((y0 + x0) / SIDE)
        image.flush()


class ProcessTree:
    """Watches the resident memory of a process and its descendants, added up."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak, self.ended = pid, 0, threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self) -> None:
        while not self.ended.wait(0.2):
            self.peak = max(self.peak, sum(self.resident(self.pid)))

    def resident(self, pid: int) -> Iterator[int]:
        try:
            yield int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for task in Path(f"/proc/{pid}/task").iterdir():
                for child in (task / "children").read_text().split():
                    yield from self.resident(int(child))
        except (FileNotFoundError, ProcessLookupError):
            return


@pytest.fixture(scope="module")
def bands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    folder = tmp_path_factory.mktemp("large")
    paths = [folder / f"{name}.fits" for name in ("F160W", "F850LP", "F606W")]
    for seed, path in enumerate(paths):
        write_band(path, seed)
    yield paths
    for path in paths:
        path.unlink()


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
@pytest.mark.parametrize("command", ["segment", "preprocess"])
def test_peak_memory_of_a_20k_mosaic_stays_under_2_gib(bands: list[Path], tmp_path: Path, command: str) -> None:
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "starnet", command, *map(str, bands), "-o", str(tmp_path / "run"), "--json"),
                *(["--model", "classical"] if command == "segment" else []),
            ],
            stdout=subprocess.PIPE,
            stderr=log,
        )
        tree = ProcessTree(process.pid)
        output, _ = process.communicate()
        tree.ended.set()
        tree.thread.join()
    assert process.returncode == 0, (tmp_path / "log").read_text()
    result = json.loads(output)
    print(f"{command}: peak {tree.peak / 2**20:.0f} MiB, seconds {result['seconds']}")
    assert 300 * 2**20 < tree.peak < LIMIT
    if command == "segment":
        assert result["n_sources"] > 20_000
        # What run.json states is an upper bound of what was seen from outside.
        assert tree.peak <= result["peak_memory"] * 1.05
        with fits.open(tmp_path / "run" / "segmentation.fits") as hdus:
            assert hdus[1].shape == (SIDE, SIDE)
            assert hdus[1].section[10_000:10_100, 10_000:10_100].any()
    else:
        assert fits.getheader(tmp_path / "run" / "preprocessed.fits")["NAXIS3"] == 3
        # The largest outputs go at once: the disk holds the next test's, too.
        (tmp_path / "run" / "preprocessed.fits").unlink()
