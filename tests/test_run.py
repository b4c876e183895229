"""The run directory: plans, the ledger, the lock."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from starnet.errors import StarnetError
from starnet.run import OUTPUTS, RunDirectory, Shards
from starnet.tiles import Box, TileGrid

PLAN = {"format": 1, "inputs": [{"path": "a.fits", "size": 1}], "tile": {"core": [682, 682]}}


def test_a_directory_of_another_plan_is_refused_and_says_what_differs(tmp_path: Path) -> None:
    RunDirectory.open(tmp_path / "run", PLAN).close()
    RunDirectory.open(tmp_path / "run", PLAN).close()
    with pytest.raises(StarnetError, match=r"tile\.core\[0\]: 682 there, 500 now.*--overwrite"):
        RunDirectory.open(tmp_path / "run", {**PLAN, "tile": {"core": [500, 682]}})
    with pytest.raises(StarnetError, match=r"inputs\[0\]\.size"):
        RunDirectory.open(tmp_path / "run", {**PLAN, "inputs": [{"path": "a.fits", "size": 2}]})


def test_overwrite_starts_anew_and_spares_other_files(tmp_path: Path) -> None:
    with RunDirectory.open(tmp_path, PLAN) as run:
        run.record("tile", 3, sources=1)
    (tmp_path / "notes.txt").write_text("mine")
    with RunDirectory.open(tmp_path, {**PLAN, "format": 2}, overwrite=True) as run:
        assert run.finished_tiles == set()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_foreign_directories_and_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("x")
    with pytest.raises(StarnetError, match="is not a StarNet run"):
        RunDirectory.open(tmp_path / "photos", PLAN)
    with pytest.raises(StarnetError, match="is a file"):
        RunDirectory.open(tmp_path / "photos" / "cat.jpg", PLAN)


def test_a_run_in_use_is_refused(tmp_path: Path) -> None:
    with RunDirectory.open(tmp_path / "run", PLAN), pytest.raises(StarnetError, match="in use by another run"):
        RunDirectory.open(tmp_path / "run", PLAN, overwrite=True)
    RunDirectory.open(tmp_path / "run", PLAN).close()


def test_a_torn_last_line_of_the_ledger_is_forgotten(tmp_path: Path) -> None:
    with RunDirectory.open(tmp_path, PLAN) as run:
        run.record("tile", 0, sources=2)
        run.record("seams", 1, sources=2)
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text(ledger.read_text() + '{"kind": "tile", "ind')
    with RunDirectory.open(tmp_path, PLAN) as run:
        assert (run.finished_tiles, run.finished_seams) == ({0}, {1})
        run.record("tile", 1, sources=0)
    assert [json.loads(line)["index"] for line in ledger.read_text().splitlines()] == [0, 1, 1]


def test_a_run_is_finished_when_all_its_outputs_are_there(tmp_path: Path) -> None:
    with RunDirectory.open(tmp_path, PLAN) as run:
        run.write_json("run.json", {"sources": 1})
        assert run.summary is None
        for name in OUTPUTS.values():
            (tmp_path / name).touch()
        assert run.summary == {"sources": 1}


@pytest.mark.parametrize("origin", [(0, 0), (5, 11), (33, 2)])
def test_a_tile_is_one_chunk_of_the_label_array(tmp_path: Path, origin: tuple[int, int]) -> None:
    import zarr

    from starnet.instances import Edges, Patches, TileObjects

    grid = TileGrid((50, 70), (16, 20), origin=origin)
    shards = Shards(tmp_path, grid)
    (tmp_path / "tiles").mkdir()
    shards.create()
    none = np.empty(0, np.int32)
    patches = Patches(np.zeros(1, np.int64), none, none, np.empty((5, 0), np.float32), none.astype(np.uint8),
                      np.empty((0, 4), np.int32), Edges(none, none, none, none))  # fmt: skip
    array = zarr.open_array(tmp_path / "labels.zarr", mode="r")
    for tile in grid:
        before = array.nchunks_initialized
        labels = np.full(tile.core.shape, tile.index + 1, np.int32)
        shards.write_tile(tile.index, TileObjects(labels, {"label": none, "anchor_y": none}, patches))
        assert array.nchunks_initialized == before + 1
    for tile in grid:
        np.testing.assert_array_equal(shards.labels(tile.index), tile.index + 1)
        assert shards.columns("tiles", tile.index)["label"].dtype == np.int32


def test_tiles_cover_the_mosaic_once() -> None:
    for origin in ((0, 0), (7, 3), (20, 31)):
        grid = TileGrid((53, 47), 16, halo=3, origin=origin)
        seen = np.zeros(grid.shape, int)
        for tile in grid:
            seen[tile.core.slices] += 1
            assert tile.window == tile.core.pad(3).clip(grid.shape)
            assert grid.covering(tile.core) == [tile.index]
            near = [other.index for other in grid if other.core.pad(1).intersect(tile.core).size and other != tile]
            assert grid.neighbours(tile.index) == near
        np.testing.assert_array_equal(seen, 1)
    with pytest.raises(ValueError, match="positive"):
        TileGrid((0, 5))
    with pytest.raises(IndexError):
        TileGrid((5, 5))[1]
    assert Box(0, 5, 0, 5).intersect(Box(7, 9, 0, 5)).size == 0
