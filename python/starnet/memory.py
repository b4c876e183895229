"""Resident memory of this process."""

from __future__ import annotations

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


def _status(name: str) -> int | None:
    try:
        text = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = re.search(rf"^{name}:\s*(\d+) kB", text, re.MULTILINE)
    return None if match is None else int(match[1]) * 1024
