"""Splits: what their files hold, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starnet.errors import StarnetError
from starnet.splits import PARTS, AreaSplit, SimulatedSplit, load_split, save_split
from starnet.tiles import Box

REPOSITORY = Path(__file__).resolve().parent.parent


@given(st.integers(40, 900), st.integers(40, 900), st.integers(30, 700), st.integers(0, 9))
def test_squares_use_every_pixel_once_and_every_part_has_some(ny: int, nx: int, square: int, seed: int) -> None:
    try:
        split = AreaSplit.draw((ny, nx), square=square, seed=seed)
    except StarnetError:
        assert max(1, round(ny / square)) * max(1, round(nx / square)) < len(PARTS)
        return
    assert tuple(split.parts) == PARTS
    assert all(split.parts.values())
    seen = np.zeros((ny, nx), np.int8)
    for boxes in split.parts.values():
        for box in boxes:
            seen[box.slices] += 1
    assert (seen == 1).all()


def test_the_seed_decides() -> None:
    one, again, other = (AreaSplit.draw((4096, 4096), square=256, seed=seed) for seed in (1, 1, 2))
    assert one == again != other
    assert [len(boxes) for boxes in one.parts.values()] == [128, 26, 51, 51]


def test_files_hold_them(tmp_path: Path) -> None:
    for split in (
        AreaSplit.draw((700, 900), square=200, seed=3),
        SimulatedSplit("xdf", (100, 200), {"tune": (3, 9, 10), "test": (*range(20, 30), 5)}, ("F160W", "F606W")),
    ):
        save_split(split, tmp_path / "split.yaml")
        assert load_split(tmp_path / "split.yaml") == split
    assert "20-29" in (tmp_path / "split.yaml").read_text()


def test_the_project_has_one_whose_parts_share_no_field() -> None:
    split = load_split(REPOSITORY / "configs" / "splits" / "candels-deep.yaml")
    assert isinstance(split, SimulatedSplit)
    assert set(split.parts) == set(PARTS)
    assert split.size == (1024, 1024)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "is no split"),
        ("kind: random", "is no split"),
        ("kind: [", "is not YAML"),
        ("kind: simulated\npreset: xdf\nsize: [9, 9]", "has no 'parts'"),
        ("kind: simulated\npreset: xdf\nsize: 9\nparts: {}", r"must be \[ny, nx\]"),
        ("kind: simulated\npreset: xdf\nsize: [9, 9]\nparts: {tune: [1], test: ['0-3']}", "seed 1 is in tune"),
        ("kind: simulated\npreset: xdf\nsize: [9, 9]\nparts: {tune: [x]}", "'x' is no seed"),
        ("kind: simulated\npreset: xdf\nsize: [9, 9]\nparts: {tune: 3}", "must be lists"),
        ("kind: simulated\npreset: xdf\nsize: [9, 9]\nparts: {play: [3]}", "no part 'play'"),
        ("kind: simulated\npreset: xdf\nsize: [9, 9]\nparts: {}\nseeds: 3", "has 'seeds'"),
        ("kind: area\nshape: [9, 9]\nparts: {tune: [[0, 5, 0, 5]], test: [[4, 9, 4, 9]]}", "overlap"),
        ("kind: area\nshape: [9, 9]\nparts: {tune: [[0, 10, 0, 5]]}", "lies outside"),
        ("kind: area\nshape: [9, 9]\nparts: {tune: [[0, 10]]}", "is no box"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "split.yaml"
    path.write_text(text)
    with pytest.raises(StarnetError, match=message):
        load_split(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StarnetError, match="--make-split"):
        load_split(tmp_path / "nowhere.yaml")


def test_too_few_squares() -> None:
    with pytest.raises(StarnetError, match="smaller --square"):
        AreaSplit.draw((100, 100), square=100)
    with pytest.raises(ValueError, match="overlap"):
        AreaSplit((9, 9), {"tune": (Box(0, 5, 0, 5),), "test": (Box(4, 9, 4, 9),)})
