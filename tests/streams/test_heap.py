"""Memory does not stay what it was in the worst minute."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

LOOK = """
import ctypes
import sys
import numpy as np
from streams.heap import keep_large_apart

class Used(ctypes.Structure):
    _fields_ = [(f"f{place}", ctypes.c_size_t) for place in range(10)]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Used
if sys.argv[1] == "apart":
    assert keep_large_apart()
large = np.zeros(30 << 20, np.uint8)
del large
before = libc.mallinfo2().f3  # "hblks": how many mappings there are
kept = [np.ones(8 << 20, np.uint8) for _ in range(4)]
print(libc.mallinfo2().f3 - before)
"""


HOLES = """
import threading
import numpy as np
from streams.heap import give_back, keep_large_apart

def resident():
    pages = open("/proc/self/statm").read().split()[1]
    return int(pages) * 4096 >> 20

def fetch():
    held = [np.ones(1 << 20, np.uint8) for _ in range(200)]
    kept.append(np.ones(1 << 20, np.uint8))

keep_large_apart()
kept, before = [], resident()
thread = threading.Thread(target=fetch)
thread.start()
thread.join()
stayed = resident() - before
assert give_back()
print(stayed > 150, resident() - before < 30)
"""

SKIP = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs glibc 2.33 or newer: it is asked")


@SKIP
@pytest.mark.parametrize(("how", "mappings"), [("apart", 4), ("as it is", 0)])
def test_after_a_large_array_went_others_still_have_mappings_of_their_own(how: str, mappings: int) -> None:
    run = subprocess.run([sys.executable, "-c", LOOK, how], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == str(mappings), run.stderr


@SKIP
def test_what_a_thread_has_freed_before_its_last_array_goes_back() -> None:
    run = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["True", "True"], run.stderr
