"""Reading, the network and measuring at the same time: order, bounds, errors, and tiles without data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from fake_backend import FakeBackend
from fake_sky import SHAPE, write_sky
from starnet.detection import sep_room
from starnet.errors import StarnetError
from starnet.models import Embedding
from starnet.pipeline import segment
from starnet.run import OUTPUTS
from starnet.workers import Stage, staged

STAGES = {"all": (Stage("read", "read"), Stage("network", "see"), Stage("objects", "form"))}


class Job:
    """Notes how many pieces of work are in each stage, and under way."""

    def __init__(self, seconds: tuple[float, float, float] = (0.0, 0.0, 0.0), broken: int = -1) -> None:
        self.seconds, self.broken = seconds, broken
        self.lock, self.now, self.most = threading.Lock(), [0, 0, 0], [0, 0, 0]
        self.seen: list[int] = []

    def _work(self, stage: int) -> None:
        with self.lock:
            self.now[stage] += 1
            self.most[stage] = max(self.most[stage], self.now[stage])
        time.sleep(self.seconds[stage])
        with self.lock:
            self.now[stage] -= 1

    def read(self, number: int) -> int:
        self._work(0)
        return number

    def see(self, number: int) -> int:
        self._work(1)
        if number == self.broken:
            raise StarnetError(f"piece {number} is broken")
        self.seen.append(number)
        return 10 * number

    def form(self, number: int) -> int:
        self._work(2)
        return number + 1


def test_all_pass_all_stages_and_one_at_a_time_the_network() -> None:
    job = Job((0.002, 0.001, 0.002))
    with staged(job, STAGES, {"read": 2, "network": 1, "objects": 3}, 8) as pool:
        found = [pool.submit("all", number) for number in range(30)]
        assert [one.result() for one in found] == [10 * number + 1 for number in range(30)]
    assert sorted(job.seen) == list(range(30))
    assert job.most[1] == 1
    assert job.most[0] <= 2
    assert job.most[2] <= 3
    assert pool.busy.keys() == {"read", "network", "objects"}
    assert pool.busy["read"] >= 30 * 0.002
    assert pool.ahead == 8


def test_stages_overlap() -> None:
    """Three pieces wait for each other, each in another stage: one after the other they would wait in vain."""
    begun = [threading.Event() for _ in range(3)]

    def meet(mine: int, other: int) -> None:
        begun[mine].set()
        assert begun[other].wait(30)

    class Meeting:
        def read(self, number: int) -> int:
            if number == 2:
                meet(0, 1)
            return number

        def see(self, number: int) -> int:
            if number == 1:
                meet(1, 2)
            return number

        def form(self, number: int) -> int:
            if number == 0:
                meet(2, 0)
            return number

    with staged(Meeting(), STAGES, {"read": 1, "network": 1, "objects": 1}, 3) as pool:
        assert [one.result() for one in [pool.submit("all", number) for number in range(3)]] == [0, 1, 2]


def test_an_error_ends_it_and_leaves_no_thread() -> None:
    before = threading.active_count()
    job = Job((0.001, 0.001, 0.001), broken=4)

    def run() -> None:
        with staged(job, STAGES, {"read": 2, "network": 1, "objects": 2}, 4) as pool:
            for one in [pool.submit("all", number) for number in range(50)]:
                one.result()

    with pytest.raises(StarnetError, match="piece 4 is broken"):
        run()
    assert threading.active_count() == before
    assert len(job.seen) < 50


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_sky(tmp_path_factory.mktemp("sky"))


@pytest.mark.parametrize("prompts", ["head", "grid"])
def test_outputs_do_not_depend_on_threads_and_the_run_says_what_was_busy(
    sky: list[Path], tmp_path: Path, prompts: str
) -> None:
    for threads in (1, 4):
        result = segment(sky, tmp_path / str(threads), model=FakeBackend(), prompts=prompts, tile=60, threads=threads)
        assert result.run["busy"].keys() >= {"read", "network", "objects"}
        assert all(seconds > 0 for seconds in result.run["busy"].values())
    for name in OUTPUTS.values():
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "4" / name).read_bytes(), name


@pytest.mark.parametrize("prompts", ["head", "grid", "centres"])
def test_tiles_without_data_are_not_shown_to_the_network(sky: list[Path], tmp_path: Path, prompts: str) -> None:
    paths = []
    for path in sky:
        image, header = fits.getdata(path, header=True)
        image[:, 80:] = np.nan
        paths.append(tmp_path / path.name)
        fits.PrimaryHDU(image, header).writeto(paths[-1])
    backend = FakeBackend()
    tiled = segment(paths, tmp_path / "tiled", model=backend, prompts=prompts, tile=40)
    assert 0 < len(backend.encoded) < tiled.run["tiles"]
    direct = segment(paths, tmp_path / "direct", model=FakeBackend(), prompts=prompts, mode="direct")
    assert direct.n_sources > 0
    for name in OUTPUTS.values():
        assert (tmp_path / "tiled" / name).read_bytes() == (tmp_path / "direct" / name).read_bytes(), name


class Breaking(FakeBackend):
    """Fails at its third window."""

    def encode(self, image: NDArray[np.float32]) -> Embedding:
        if len(self.encoded) == 2:
            raise StarnetError("too little memory for a window")
        return super().encode(image)


def test_a_network_that_fails_is_said_and_the_run_goes_on(sky: list[Path], tmp_path: Path) -> None:
    with pytest.raises(StarnetError, match=r"^too little memory for a window$"):
        segment(sky, tmp_path / "run", model=Breaking(), tile=60, threads=4)
    names = [one.name.partition("_")[0] for one in threading.enumerate()]
    assert not {"read", "network", "objects"} & set(names)
    resumed = segment(sky, tmp_path / "run", model=FakeBackend(), tile=60, threads=4)
    assert 0 <= resumed.resumed_tiles <= 2
    whole = segment(sky, tmp_path / "whole", model=FakeBackend(), mode="direct")
    for name in OUTPUTS.values():
        assert (resumed.directory / name).read_bytes() == (whole.directory / name).read_bytes(), name


def test_ctrl_c_ends_it(sky: list[Path], tmp_path: Path) -> None:
    code = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from fake_backend import FakeBackend
from starnet.pipeline import segment
class Slow(FakeBackend):
    def encode(self, image):
        print("encoding", flush=True)
        time.sleep(0.3)
        return super().encode(image)
segment({[str(path) for path in sky]!r}, {str(tmp_path / "run")!r}, model=Slow(), tile=32, threads=4)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        os.kill(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in error
    assert process.returncode != 0
    assert not (tmp_path / "run" / "run.json").exists()


def test_memory_bounds_the_tiles_under_way(sky: list[Path], tmp_path: Path) -> None:
    from starnet.models import NetworkOptions, get_model
    from starnet.mosaic import Mosaic
    from starnet.pipeline.stages import room_left, tile_bytes, tiles_ahead
    from starnet.tiles import TileGrid

    mosaic = Mosaic.open(sky)
    engine = get_model(FakeBackend(), mosaic, NetworkOptions())
    grid = TileGrid(SHAPE, 40, engine.halo, (0, 0), engine.stride)
    assert tiles_ahead(mosaic, grid, 8, None, engine) == 10
    assert tiles_ahead(mosaic, grid, 1, None, engine) == 4
    low, high = 2**20, 2**40
    while high - low > 1:  # the least that is enough for one tile
        middle = (low + high) // 2
        try:
            room_left(mosaic, grid, middle, engine)
            high = middle
        except StarnetError:
            low = middle
    counts = [tiles_ahead(mosaic, grid, 8, high + 2 * k * tile_bytes(mosaic, grid), engine) for k in range(12)]
    assert counts == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]


def test_one_thread_at_a_time_has_seps_buffer() -> None:
    import sep

    before = sep.get_extract_pixstack()
    wrong: list[int] = []

    def work(pixels: int) -> None:
        for _ in range(20):
            with sep_room(pixels):
                time.sleep(0.0005)
                if sep.get_extract_pixstack() != pixels + 1000:
                    wrong.append(pixels)

    threads = [threading.Thread(target=work, args=(10_000 + k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert sep.get_extract_pixstack() == before
