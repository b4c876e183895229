"""ONNX Runtime: which provider really runs a graph, memory that is used again, and what is said where it runs out."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starnet.errors import StarnetError
from starnet.models.backend import too_little_memory

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, OrtValue, SessionOptions

CPU, CUDA, TENSORRT = (f"{name}ExecutionProvider" for name in ("CPU", "CUDA", "Tensorrt"))
#: What ONNX Runtime says where memory runs out: its allocators on CPU and GPU, CUDA, and its libraries.
OUT_OF_MEMORY = ("failed to allocate memory", "bad_alloc", "bad allocation", "out of memory", "alloc_failed")


@dataclass(frozen=True)
class Acceleration:
    """What providers of GPUs can do besides; none of it changes where a graph runs.

    Parameters
    ----------
    cuda_graphs : bool
        Kernels of a window's shape are recorded once and played back: for networks without shapes computed on the CPU.
    engine_cache : Path, optional
        Where TensorRT keeps the engines that it builds, which takes minutes for each shape of a window.
    memory : int, optional
        Bytes of the GPU that ONNX Runtime may hold; all that there are by default.
    """

    cuda_graphs: bool = False
    engine_cache: Path | None = None
    memory: int | None = None

    def providers(self, kind: str, number: int) -> list[tuple[str, dict[str, str]]]:
        """For a device, in the order in which nodes are given to them."""
        if kind == "cpu":
            return [(CPU, {})]
        cuda = {"device_id": str(number), "arena_extend_strategy": "kSameAsRequested"}
        if self.memory is not None:
            cuda["gpu_mem_limit"] = str(self.memory)
        if self.cuda_graphs:
            cuda["enable_cuda_graph"] = "1"
        providers = [(CUDA, cuda), (CPU, {})]
        if kind != "tensorrt":
            return providers
        tensorrt = {"device_id": str(number)}
        if self.cuda_graphs:
            tensorrt["trt_cuda_graph_enable"] = "True"
        if self.engine_cache is not None:
            self.engine_cache.mkdir(parents=True, exist_ok=True)
            folder = str(self.engine_cache)
            tensorrt |= {"trt_engine_cache_enable": "True", "trt_engine_cache_path": folder}
            tensorrt |= {"trt_timing_cache_enable": "True", "trt_timing_cache_path": folder}
        return [(TENSORRT, tensorrt), *providers]


class NoProviderError(Exception):
    """A provider that was asked for is not there; why."""


def sessions(
    files: Mapping[str, Path], device: str, *, threads: int | None, spinning: bool, acceleration: Acceleration
) -> tuple[dict[str, Graph], str]:
    """Opens graphs on a device, and says what they really run on.

    What ONNX Runtime lists as available is what it was built with: with no GPU it lists CUDA as well. So a session is
    opened, and asked what it got.

    Parameters
    ----------
    files : mapping of str to Path
        ONNX files by name.
    device : str
        ``auto`` (CUDA if a session gets it, else the CPU), ``cpu``, ``cuda``, ``cuda:N``, ``tensorrt`` or
        ``tensorrt:N``.
    threads : int, optional
        Threads within an operator, of sessions that run one operator after another; all cores by default.
    spinning : bool
        Whether threads wait for the next operator in a loop: faster where nothing else runs, and a waste elsewhere.
    acceleration : Acceleration
        For a GPU.

    Returns
    -------
    graphs : dict of str to Graph
        By name.
    said : str
        The device, provider and version.

    Raises
    ------
    StarnetError
        If ONNX Runtime, or the device that was asked for, is not there, or a file is none that it can run.
    """
    onnxruntime = _library()
    kind, number = parsed(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or os.cpu_count() or 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    version = f"ONNX Runtime {onnxruntime.__version__}"
    wanted = "cuda" if kind == "auto" else kind
    lost = ""
    try:
        opened = _opened(onnxruntime, files, options, wanted, number, acceleration)
    except NoProviderError as error:
        if kind != "auto":
            raise StarnetError(f"device {device}: {error}: choose --device cpu") from error
        lost = f"; no GPU, for {error}"
        wanted = "cpu"
        opened = _opened(onnxruntime, files, options, wanted, number, acceleration)
    got = [name.removesuffix("ExecutionProvider") for name in next(iter(opened.values())).get_providers()]
    place = "cpu" if wanted == "cpu" else f"cuda:{number}"
    graphs = {name: Graph(session, place, recorded=acceleration.cuda_graphs) for name, session in opened.items()}
    return graphs, f"{place} ({version}, {' and '.join(got)}{lost})"


def parsed(device: str) -> tuple[str, int]:
    """Kind and number of a device.

    Raises
    ------
    StarnetError
        If there can be no such device.
    """
    kind, _, number = device.partition(":")
    numbered = kind in ("cuda", "tensorrt")
    if (kind not in ("auto", "cpu") and not numbered) or (":" in device and not (numbered and number.isdecimal())):
        raise StarnetError(f"device {device!r} is unknown: choose auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N")
    return kind, int(number or 0)


class Graph:
    """A session whose inputs and outputs stay where it runs.

    Parameters
    ----------
    session : InferenceSession
        Runs it.
    place : str
        ``cpu``, or ``cuda:N``.
    recorded : bool
        Whether the provider records the kernels of each shape.
    """

    def __init__(self, session: InferenceSession, place: str, *, recorded: bool = False) -> None:
        self.session, self.place, self.recorded = session, place, recorded and place != "cpu"
        kind, _, number = place.partition(":")
        self.kind, self.number = kind, int(number or 0)
        self.outputs = [one.name for one in session.get_outputs()]
        self._lock = threading.Lock()
        self._held: dict[tuple[str, tuple[int, ...]], OrtValue] = {}
        self._recordings: dict[tuple[Any, ...], tuple[int, dict[str, OrtValue]]] = {}

    def __call__(self, inputs: Mapping[str, NDArray[Any] | OrtValue]) -> dict[str, OrtValue]:
        """What the graph makes of arrays, and of values of other graphs on the same device, by name.

        A recording writes where it wrote before: what it returned is good until the next call alike.
        """
        with self._lock:
            binding = self.session.io_binding()
            places = []
            for name, value in inputs.items():
                held = self._on_device(name, value) if isinstance(value, np.ndarray) else value
                binding.bind_ortvalue_input(name, held)
                places.append((name, held.data_ptr(), tuple(held.shape())))
            # What is played back reads and writes where it did when it was recorded.
            number, written = self._recordings.get(tuple(places), (len(self._recordings) + 1, {}))
            for name in self.outputs:
                if name in written:
                    binding.bind_ortvalue_output(name, written[name])
                else:
                    binding.bind_output(name, self.kind, self.number)
            binding.synchronize_inputs()
            self.session.run_with_iobinding(binding, self._run_options(number))
            binding.synchronize_outputs()
            found = dict(zip(self.outputs, binding.get_outputs(), strict=True))
            if self.recorded:
                self._recordings[tuple(places)] = number, found
            return found

    def value(self, array: NDArray[Any]) -> OrtValue:
        """A value of its own on the graph's device."""
        return _library().OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self.kind, self.number)

    def _on_device(self, name: str, array: NDArray[Any]) -> OrtValue:
        """On a CPU the array itself; on a GPU a copy, in memory that the last input of this shape was in."""
        if self.kind == "cpu":
            return self.value(array)
        key = name, array.shape
        if (held := self._held.get(key)) is None:
            held = self._held[key] = self.value(array)
        else:
            held.update_inplace(np.ascontiguousarray(array))
        return held

    def _run_options(self, recording: int) -> Any:
        options = _library().RunOptions()
        options.log_severity_level = 4
        if self.recorded:
            options.add_run_config_entry("gpu_graph_id", str(recording))
        return options


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory of the device, or of the machine, ran out."""
    if isinstance(error, MemoryError):
        return True
    said = str(error).lower()
    return type(error).__module__.startswith(("onnxruntime", "builtins")) and any(one in said for one in OUT_OF_MEMORY)


@contextmanager
def explained(device: str, what: str) -> Iterator[None]:
    """Says in a sentence that `what` did not fit into memory."""
    try:
        yield
    except Exception as error:
        if isinstance(error, StarnetError) or not is_out_of_memory(error):
            raise
        raise too_little_memory(device, what) from error


def _opened(
    onnxruntime: Any,
    files: Mapping[str, Path],
    options: SessionOptions,
    kind: str,
    number: int,
    acceleration: Acceleration,
) -> dict[str, InferenceSession]:
    """Sessions that run on `kind`, each asked."""
    providers = acceleration.providers(kind, number)
    first = providers[0][0]
    if first not in onnxruntime.get_available_providers():
        raise NoProviderError(f"the ONNX Runtime here was built without {first} (pip install 'starnet[gpu]')")
    if first != CPU:
        _load_libraries(onnxruntime)
    opened: dict[str, InferenceSession] = {}
    for name, path in files.items():
        try:
            with _silent(onnxruntime):
                # Its own fallback prints, and takes another provider without being asked.
                session = onnxruntime.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
        except Exception as error:
            if first != CPU:
                raise NoProviderError(f"a session on {first} could not be opened ({_line(error)})") from error
            raise StarnetError(f"{path} cannot be run by ONNX Runtime ({_line(error)}): export it again") from error
        got = session.get_providers()
        if got[0] != first:
            raise NoProviderError(
                f"a session that asked for {first} got {got[0]}: no GPU, or no driver and libraries of it"
            )
        opened[name] = session
    return opened


def _load_libraries(onnxruntime: Any) -> None:
    """CUDA and cuDNN of Python packages, where there are; what is missing the session says."""
    if hasattr(onnxruntime, "preload_dlls"):
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
            onnxruntime.preload_dlls()


@contextmanager
def _silent(onnxruntime: Any) -> Iterator[None]:
    """Providers that cannot be loaded are told of by a session's providers, not by a log on stderr."""
    onnxruntime.set_default_logger_severity(4)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(3)


def _line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def _library() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise StarnetError(
            "networks run with onnxruntime, which is not installed: pip install 'starnet[cpu]' ('starnet[gpu]' for a "
            "GPU), or choose --model classical"
        ) from error
    return onnxruntime
