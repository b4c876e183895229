"""What a process is said to have taken is its own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from starnet.memory import peak_memory

GROWS = """
import numpy as np
from starnet.memory import peak_memory
before = peak_memory()
np.ones(50 * 2**20, np.uint8).sum()
print(peak_memory() - before)
"""


def test_a_child_does_not_count_what_its_parent_took() -> None:
    large = np.ones(400 * 2**20, np.uint8)
    assert peak_memory() > large.nbytes
    child = subprocess.run([sys.executable, "-c", GROWS], capture_output=True, text=True, check=True)
    assert 45 * 2**20 < int(child.stdout) < 100 * 2**20
