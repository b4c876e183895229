"""What the figures depend on beside the code: the processor and its vector instructions."""

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
