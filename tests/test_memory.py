"""What a process is said to have taken is its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import numpy as np
import pytest

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


REUSES = """
import resource
import threading
import numpy as np
from starnet.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(40 * 2**20, np.uint8).reshape(-1, 4096)[:, 0] = 1
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

keep_freed_memory()
for _ in range(2):
    thread = threading.Thread(target=faults)
    thread.start()
    thread.join()
faults()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc's malloc")
def test_memory_that_one_thread_freed_is_the_next_ones() -> None:
    child = subprocess.run([sys.executable, "-c", REUSES], capture_output=True, text=True, check=True)
    first, *others = map(int, child.stdout.split())
    assert first > 15, "pages of 2 MiB at the most"
    assert max(others) < 5
