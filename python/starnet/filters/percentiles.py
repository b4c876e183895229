"""Exact percentiles of arrays, and of mosaics that do not fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from starnet._core import OrderStatistics
from starnet.filters.arrays import Array, fits_image, planes, stored, thread_count


def percentiles(a: ArrayLike, q: ArrayLike, *, threads: int | None = None) -> Any:
    """Exact percentiles of all pixels that are not NaN.

    Equal to ``numpy.nanpercentile(a, q)`` bit for bit, with its choice of result type; the sign of a zero is open where
    zeros of both signs stand side by side. Infinities are ordinary values: interpolating next to one may give NaN, as
    in NumPy. No copy of the array is made, and there is no warning where all is NaN.

    A sample says between which values the percentiles lie; one pass then counts what lies below, and collects what lies
    between. Where the sample misleads, radix selection takes its place.

    Parameters
    ----------
    a : array_like
        Pixels, any shape and strides; float32, float64 or an integer type.
    q : array_like of float
        Percentages, 0 to 100.
    threads : int, optional
        Number of threads; by default the package's setting.

    Returns
    -------
    scalar or ndarray
        Shaped like `q`; NaN if no pixel counts.

    Raises
    ------
    TypeError, ValueError
        If the pixels are not real numbers or a percentage is out of range.
    """
    array = fits_image(a)
    dtype = array.dtype.newbyteorder("=")
    parts = list(planes(stored(array)))
    wanted = _Wanted(q)
    flat = wanted.quantiles.ravel()
    workers = thread_count(threads)
    values: dict[int, Any] = {}
    for first in range(0, max(1, flat.size), _AT_ONCE):
        some = flat[first : first + _AT_ONCE]
        order = OrderStatistics(dtype)
        order.aim(parts, some.tolist())
        _show(order, parts, workers)
        ranks = wanted.ranks(order.count, some)
        order.choose(ranks)
        while not order.end_pass():
            _show(order, parts, workers)
        values.update(zip(ranks, order.values(), strict=True))
    return wanted.interpolate(values, order.count, dtype)


class StreamingPercentiles:
    """Exact percentiles of pixels that come in chunks, in bounded memory.

    Show all chunks in each pass, in any order and cut in any way; two passes serve float32 and other 32-bit types, one
    8- and 16-bit types, four 64-bit types::

        statistics = StreamingPercentiles([2.5, 97.5])
        for _ in statistics.passes():
            for tile in grid:
                statistics.add(read(tile))
        lo, hi = statistics.result()

    The result is that of `percentiles` on all chunks together, to the last bit. The memory is at most 512 KiB for each
    order statistic sought (two a percentage), times the number of threads.

    Parameters
    ----------
    q : array_like of float
        Percentages, 0 to 100; at most 16.
    dtype : dtype_like
        Type of the pixels: float32, float64 or an integer type.
    skip_infinite : bool
        Leave out infinities, as NaN always is.

    Raises
    ------
    TypeError, ValueError
        If the type is not supported, or a percentage out of range.
    """

    def __init__(self, q: ArrayLike, *, dtype: DTypeLike = np.float32, skip_infinite: bool = False) -> None:
        self.dtype = np.dtype(dtype).newbyteorder("=")
        self._wanted = _Wanted(q)
        if self._wanted.quantiles.size > _AT_ONCE:
            raise ValueError(f"{self._wanted.quantiles.size} percentages: at most {_AT_ONCE} at once")
        self._order = OrderStatistics(self.dtype, skip_infinite)
        self._ranks: list[int] | None = None

    @property
    def count(self) -> int:
        """Number of pixels that count (in the first pass, of those seen so far)."""
        return self._order.count

    @property
    def done(self) -> bool:
        """Whether the result is there."""
        return self._order.done

    def passes(self) -> Iterator[int]:
        """Iterate over the passes that are needed: 0, 1, ...; show all chunks in each."""
        number = 0
        while not self.done:
            yield number
            self.next_pass()
            number += 1

    def add(self, chunk: ArrayLike, *, threads: int | None = None) -> None:
        """Take a chunk into account; several threads may do so at once.

        Parameters
        ----------
        chunk : array_like
            Pixels of the type said at the start, any shape and byte order.
        threads : int, optional
            Number of threads; by default the package's setting.

        Raises
        ------
        TypeError
            If the chunk is of another type.
        ValueError
            If all passes are done.
        """
        array = fits_image(chunk, name="chunk")
        if array.dtype.newbyteorder("=") != self.dtype:
            raise TypeError(f"chunk has dtype {array.dtype}, expected {self.dtype}: say dtype= at the start")
        _show(self._order, planes(stored(array)), thread_count(threads))

    def next_pass(self) -> bool:
        """Close a pass; `passes` does it by itself.

        Returns
        -------
        bool
            Whether the result is there.

        Raises
        ------
        ValueError
            If this pass saw other pixels than the first one.
        """
        if self._ranks is None:
            ranks = self._wanted.ranks(self.count, self._wanted.quantiles.ravel())
            self._order.choose(ranks)
            self._ranks = ranks
        return self._order.end_pass()

    def result(self) -> Any:
        """Return the percentiles, shaped like `q`; NaN if no pixel counts.

        Raises
        ------
        ValueError
            If passes are missing.
        """
        if self._ranks is None or not self.done:
            raise ValueError("the percentiles are not there yet: show all chunks in each of passes()")
        values = dict(zip(self._ranks, self._order.values(), strict=True))
        return self._wanted.interpolate(values, self.count, self.dtype)


# Each percentage lies between two ranks.
_AT_ONCE = OrderStatistics.MAX_RANKS // 2


class _Wanted:
    """NumPy's ``linear`` method (Hyndman & Fan 1996, type 7), in NumPy's own arithmetic and types."""

    def __init__(self, q: ArrayLike) -> None:
        # A bare number does not widen the result, an array of float64 does.
        self.weak = type(q) in (int, float)
        self.quantiles: Array = np.asanyarray(np.true_divide(q, 100))
        if not np.all((self.quantiles >= 0) & (self.quantiles <= 1)):
            raise ValueError(f"q={q!r}: percentages must lie between 0 and 100")

    @staticmethod
    def _around(count: int, quantiles: Array) -> tuple[Array, Array, Array]:
        """Rank below, rank above and the way from one to the other."""
        virtual = np.asanyarray((count - 1) * quantiles)
        below = np.asanyarray(np.floor(virtual))
        above = np.asanyarray(below + 1)
        last = virtual >= count - 1
        # Counted from the end; the way does not matter between equal ranks, but its arithmetic does.
        below, above = np.where(last, below.dtype.type(-1), below), np.where(last, below.dtype.type(-1), above)
        gamma = np.asanyarray(virtual - below)
        return below.astype(np.intp) % count, above.astype(np.intp) % count, gamma

    def ranks(self, count: int, quantiles: Array) -> list[int]:
        """Ranks needed among `count` pixels, ascending."""
        if count == 0:
            return []
        below, above, _ = self._around(count, quantiles)
        return [int(rank) for rank in np.union1d(below, above)]

    def interpolate(self, values: dict[int, Any], count: int, dtype: np.dtype[Any]) -> Any:
        """Percentiles from the values of the ranks."""
        if count == 0:
            return np.full(self.quantiles.shape, np.nan, dtype if dtype.kind == "f" else np.float64)[()]
        below, above, gamma = self._around(count, self.quantiles)
        a, b = (
            np.array([values[int(rank)] for rank in ranks.ravel()], dtype).reshape(ranks.shape)[()]
            for ranks in (below, above)
        )
        t: Any = float(gamma) if self.weak else gamma
        # Integers may wrap and infinities meet: as in NumPy, silently.
        with np.errstate(invalid="ignore", over="ignore"):
            step = b - a
            return np.where(t >= 0.5, b - step * (1 - t), a + step * t)[()]


def _show(order: OrderStatistics, parts: Iterable[Array], threads: int | None) -> None:
    for part in parts:
        order.add(part, threads)
