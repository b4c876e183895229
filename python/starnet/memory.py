"""Resident memory of this process, and what it does with memory that it no longer needs."""

from __future__ import annotations

import ctypes
import re
import resource
import sys
from pathlib import Path


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes.

    Linux's ``ru_maxrss`` is handed down from the process that started this one, a notebook with large arrays, say:
    the kernel's ``VmHWM`` is this program's own.
    """
    own = _status("VmHWM")
    if own is not None:
        return own
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def reset_peak() -> int | None:
    """Resident bytes now, from which `extra_peak` counts; None where the system cannot tell (not Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return None
    return _status("VmRSS")


def extra_peak(before: int | None) -> int | None:
    """Bytes by which resident memory exceeded `before`, at most, since `reset_peak`."""
    peak = None if before is None else _status("VmHWM")
    return None if peak is None or before is None else max(0, peak - before)


# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def keep_freed_memory() -> None:
    """Lets arrays that were freed be the next ones, whatever their size and thread: for a process that is ours alone.

    glibc gives large arrays back to the system at once, and threads do not share what they freed. The pages of each
    tile are then taken, and cleared by the system, anew: a fifth of the time of a run. Elsewhere nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, 2**30)
        mallopt(_M_TRIM_THRESHOLD, 2**30)


def _status(name: str) -> int | None:
    try:
        text = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = re.search(rf"^{name}:\s*(\d+) kB", text, re.MULTILINE)
    return None if match is None else int(match[1]) * 1024
