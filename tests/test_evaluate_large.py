"""A million objects on 20,000 x 20,000 pixels, in memory that the maps would not fit into."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from starnet.outputs.segmentation_map import write_segmentation_map

SIDE, CELL = 20_000, 20
#: Both maps as int32 take 3.2 GB.
LIMIT = 1.5 * 2**30


def write_map(path: Path, shift: int) -> None:
    """An ellipse in every cell of a grid, of random size and place; some reach into their neighbours'."""
    side = SIDE // CELL
    y, x = (coordinates.ravel() for coordinates in np.mgrid[-11:12, -11:12])

    def read_rows(y0: int, y1: int) -> NDArray[np.int32]:
        # The rows of cells that reach into these; all random numbers of a row are drawn anew from its own seed.
        rows = np.zeros((y1 - y0 + 4 * CELL, SIDE), np.int32)
        for row in range(max(0, y0 // CELL - 1), min(side, y1 // CELL + 2)):
            draws = np.random.default_rng([3, row]).random((side, 5))
            cy = (row * CELL + CELL / 2 + 8 * (draws[:, 0] - 0.5)).astype(int) - y0 + 2 * CELL
            cx = (np.arange(side) * CELL + CELL / 2 + 8 * (draws[:, 1] - 0.5)).astype(int) + shift
            inside = (y / (2 + 9 * draws[:, 2, None])) ** 2 + (x / (2 + 9 * draws[:, 3, None])) ** 2 < 1
            k, pixel = np.nonzero(inside)
            py, px = cy[k] + y[pixel], cx[k] + x[pixel]
            kept = (px >= 0) & (px < SIDE) & (py >= 0) & (py < len(rows))
            rows[py[kept], px[kept]] = (row * side + k + 1)[kept]
        return rows[2 * CELL : 2 * CELL + y1 - y0].copy()

    write_segmentation_map(path, (SIDE, SIDE), read_rows)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_million_objects_in_bounded_memory(tmp_path: Path) -> None:
    write_map(tmp_path / "truth.fits", 0)
    write_map(tmp_path / "pred.fits", 2)
    code = (
        "import sys; from starnet.cli import app; app(sys.argv[1:], standalone_mode=False); "
        "from starnet.memory import peak_memory; print(peak_memory(), file=sys.stderr)"
    )
    arguments = ["evaluate", "pred.fits", "truth.fits", "--json", "out.json", "--html", "out.html", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["n_truth"] > 990_000
    assert found["n_pred"] > 990_000
    assert 0.3 < found["mean_iou"] < 0.9
    assert int(done.stderr.split()[-1]) < LIMIT
