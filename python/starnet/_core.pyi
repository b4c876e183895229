"""The Rust kernels; held against the built module by ``tests/test_stubs.py``."""

from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

__version__: str
__simd__: str

def set_threads(n: int) -> None: ...

# filters

def median_filter(
    a: NDArray[Any],
    size: tuple[int, int],
    mode: str = "reflect",
    nan: str = "ignore",
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]: ...
def rolling_median(
    a: NDArray[Any],
    window: tuple[int, int],
    step: int = 1,
    anchor: tuple[int, int] = (0, 0),
    mode: str = "reflect",
    nan: str = "ignore",
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]: ...
def normalize(
    a: NDArray[np.float32],
    lo: float,
    hi: float,
    out: NDArray[np.float32] | None = None,
    threads: int | None = None,
) -> NDArray[np.float32]: ...
def stack_rgb(
    bands: list[NDArray[np.float32]],
    lo: list[float],
    hi: list[float],
    out: NDArray[Any],
    threads: int | None = None,
) -> None: ...
def read_rows(descriptor: int, offset: int, step: int, out: NDArray[np.uint8]) -> None: ...
def split_by_seeds(
    components: NDArray[np.int32],
    extents: NDArray[np.int32],
    which: NDArray[np.int64],
    centre: NDArray[np.float32],
    depth: NDArray[np.float32],
    threshold: float,
    distance: int,
    min_area: int,
    valley: float,
    first: int,
    out: NDArray[np.int32],
) -> NDArray[np.int32]: ...
def watershed(
    landscape: NDArray[np.float32],
    markers: NDArray[np.int32],
    mask: NDArray[np.uint8] | None = None,
    connectivity: int = 1,
    out: NDArray[np.int32] | None = None,
) -> NDArray[np.int32]: ...

@final
class OrderStatistics:
    MAX_RANKS: ClassVar[int]
    def __new__(cls, dtype: np.dtype[Any], skip_infinite: bool = False) -> OrderStatistics: ...
    @property
    def count(self) -> int: ...
    @property
    def done(self) -> bool: ...
    def aim(self, planes: list[NDArray[Any]], fractions: list[float]) -> None: ...
    def add(self, chunk: NDArray[Any], threads: int | None = None) -> None: ...
    def choose(self, ranks: list[int]) -> None: ...
    def end_pass(self) -> bool: ...
    def values(self) -> NDArray[Any]: ...

# tiles

def extract_tiles(
    a: NDArray[Any],
    origins: list[tuple[int, int]],
    out: NDArray[Any],
    mode: str = "constant",
    fill: float = 0.0,
    threads: int | None = None,
) -> None: ...
def stitch(
    tiles: NDArray[np.float32],
    origins: list[tuple[int, int]],
    shape: tuple[int, int],
    weights: NDArray[np.float32] | None = None,
    out: NDArray[np.float32] | None = None,
    threads: int | None = None,
) -> NDArray[np.float32]: ...

# background

def mesh_statistics(
    image: NDArray[np.float32],
    box_shape: tuple[int, int],
    mask: NDArray[np.bool_] | None = None,
    sigma: float = 3.0,
    iterations: int = 10,
    threads: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint32]]: ...
def noise_from_weight(
    ivar: NDArray[np.float32],
    factor: float,
    out: NDArray[np.float32] | None = None,
    threads: int | None = None,
) -> NDArray[np.float32]: ...
def noise_units(
    data: NDArray[np.float32],
    flux: NDArray[np.float32],
    sigma: NDArray[np.float32],
    snr: NDArray[np.float32],
    image: NDArray[np.float32],
    valid: NDArray[np.bool_],
    softening: float,
    ivar: NDArray[np.float32] | None = None,
    factor: float = 1.0,
    threads: int | None = None,
) -> None: ...
def complete_mesh(
    mesh: NDArray[np.float64],
    filter_size: int = 3,
    threads: int | None = None,
) -> NDArray[np.float64]: ...
def mark_sources(
    snr: NDArray[np.float32],
    threshold: float,
    mask: NDArray[np.bool_],
    threads: int | None = None,
) -> None: ...
def dilate_square(
    mask: NDArray[np.bool_],
    radius: int,
    out: NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> NDArray[np.bool_]: ...

@final
class MeshSpline:
    def __new__(cls, mesh: NDArray[np.float64], box_shape: tuple[int, int]) -> MeshSpline: ...
    def expand(
        self,
        origin: tuple[int, int],
        shape: tuple[int, int],
        out: NDArray[np.float32] | None = None,
        threads: int | None = None,
    ) -> NDArray[np.float32]: ...

# objects

def label(
    mask: NDArray[np.uint8],
    connectivity: int = 8,
    out: NDArray[np.int32] | None = None,
    threads: int | None = None,
) -> tuple[NDArray[np.int32], int]: ...
def touching(a: NDArray[np.int32], b: NDArray[np.int32]) -> list[tuple[int, int]]: ...
def join_tiles(labels: NDArray[np.int32], ys: list[int], xs: list[int]) -> int: ...
def extents(labels: NDArray[np.int32], count: int) -> NDArray[np.int32]: ...
def paint_runs(runs: NDArray[np.int32], origin: tuple[int, int], out: NDArray[np.int32]) -> None: ...
def detection_image(
    bands: NDArray[np.float32],
    valid: NDArray[np.uint8],
    profile: NDArray[np.float32],
    out: NDArray[np.float32] | None = None,
    threads: int | None = None,
) -> NDArray[np.float32]: ...
def measure(
    labels: NDArray[np.int32],
    count: int,
    detection: NDArray[np.float32],
    flags: NDArray[np.uint8],
    flux: NDArray[np.float32],
    sigma: NDArray[np.float32],
    origin: tuple[int, int] = (0, 0),
    threads: int | None = None,
) -> dict[str, NDArray[Any]]: ...
