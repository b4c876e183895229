"""What the figures depend on beside the code: the processor, its vector instructions, memory."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

from starnet import _core


def machine() -> dict[str, Any]:
    """Processor, instructions in use, cores, system, and how busy the machine is."""
    return {
        "cpu": cpu_model(),
        "simd": _core.__simd__,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def cpu_model() -> str:
    """Name of the processor, with family and model, which tell generations apart where the name does not."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = dict(re.findall(r"^(model name|cpu family|model)\s*:\s*(.*)$", text, re.MULTILINE))
    if "model name" not in found:
        return platform.processor() or platform.machine()
    return "{model name} (family {cpu family}, model {model})".format_map({"cpu family": "?", "model": "?"} | found)


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
    match = re.search(rf"^{name}:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    return None if match is None else int(match[1]) * 1024
