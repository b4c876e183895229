"""A network on two devices, which two sessions on the CPU stand in for: tiles are shared out, and nothing changes."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from export_samples import TINY, lively
from fake_backend import FakeBackend
from fake_sky import write_sky
from starnet.errors import StarnetError
from starnet.export.exporting import ungated
from starnet.models import Embedding, NetworkOptions, get_model
from starnet.models.devices import Devices
from starnet.models.session import SessionBackend
from starnet.mosaic import Mosaic
from starnet.pipeline import segment
from starnet.pipeline.stages import room_left, tiles_ahead
from starnet.run import OUTPUTS
from starnet.tiles import TileGrid
from test_torch_backend import some_prompts

IMAGE = np.random.default_rng(1).standard_normal((3, 160, 192)).astype(np.float32)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ungated(lively(TINY, sky=True), tmp_path_factory.mktemp("bundles") / "tiny")


class Meeting(SessionBackend):
    """Sees its first window when another one does: so both are at work at the same time."""

    met: threading.Barrier
    seen = 0

    def encode(self, image: NDArray[np.float32]) -> Embedding:
        self.seen += 1
        if self.seen == 1:
            self.met.wait(60)
        return super().encode(image)


@pytest.mark.parametrize("prompts", ["head", "peaks"])
def test_tiles_are_shared_out_and_nothing_changes(bundle: Path, tmp_path: Path, prompts: str) -> None:
    inputs = write_sky(tmp_path)
    one, *each = (Meeting(bundle, device="cpu", threads=1) for _ in range(3))
    one.met, each[0].met, each[1].met = threading.Barrier(1), *[threading.Barrier(2)] * 2
    options = {"prompts": prompts, "tile": 48, "threads": 2, "overwrite": True}
    if prompts == "peaks":
        options |= {"pred_iou_threshold": 0.0, "stability_threshold": 0.0}
    runs = [
        segment(inputs, tmp_path / name, model=model, **options)  # type: ignore[arg-type]
        for name, model in (("one", one), ("two", Devices(each)))
    ]
    assert runs[0].n_sources == runs[1].n_sources > 0
    for name in OUTPUTS.values():
        assert (runs[0].directory / name).read_bytes() == (runs[1].directory / name).read_bytes(), name
    assert min(each[0].seen, each[1].seen) > 0
    assert each[0].seen + each[1].seen == one.seen
    assert runs[1].run["network"]["device"] == f"{one.device}, {one.device}"


def test_features_are_used_where_they_were_made(bundle: Path) -> None:
    each = [SessionBackend(bundle, device="cpu", threads=1) for _ in range(2)]
    both = Devices(each)
    expected = each[0].maps(each[0].encode(IMAGE))
    made: list[Embedding] = []

    def work() -> None:
        made.extend(both.encode(IMAGE) for _ in range(2))

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert [one["backend"] for one in made] == [each[0], each[0], each[1], each[1]]
    for one in made:  # by this thread, which has a device of its own
        assert np.array_equal(both.maps(one), expected)
        kept = both.from_arrays(both.to_arrays(one))
        assert np.array_equal(both.maps(kept), expected)
        found = both.decode(one, some_prompts(), multimask=False)
        assert np.array_equal(found.logits, each[0].decode(made[0]["features"], some_prompts(), multimask=False).logits)
    again = pickle.loads(pickle.dumps(both))
    assert (again.fingerprint, again.at_once) == (both.fingerprint, 2)


def test_memory_and_tiles_under_way_are_of_all_devices(tmp_path: Path) -> None:
    mosaic = Mosaic.open(write_sky(tmp_path))
    engines = [get_model(model, mosaic, NetworkOptions()) for model in (FakeBackend(), Devices([FakeBackend()] * 3))]
    grid = TileGrid((2000, 2000), 40, engines[0].halo, (0, 0), engines[0].stride)
    assert [tiles_ahead(mosaic, grid, 4, None, engine) for engine in engines] == [6, 8]
    rooms = [room_left(mosaic, grid, 2**40, engine) for engine in engines]
    window = max(tile.window.shape for tile in grid)
    of_one = engines[0].memory(window) - FakeBackend().library_bytes
    assert rooms[0] is not None
    assert rooms[1] == rooms[0] - 2 * of_one


@pytest.mark.parametrize("device", ["cuda:0,cuda:0", "cuda,cuda:1", "auto,cpu", "cuda:0,"])
def test_several_devices_are_numbered(bundle: Path, device: str) -> None:
    with pytest.raises(StarnetError, match=f"device '{device}': give several as different ones with numbers, as in"):
        SessionBackend.load(bundle, device=device)


def test_each_of_several_must_be_there(bundle: Path) -> None:
    with pytest.raises(StarnetError, match=r"^device cuda:0: .* choose --device cpu$"):
        SessionBackend.load(bundle, device="cuda:0,cuda:1")
    with pytest.raises(StarnetError, match=r"^device 'cpu:0' is unknown"):
        SessionBackend.load(bundle, device="cpu:0,cpu:1")
