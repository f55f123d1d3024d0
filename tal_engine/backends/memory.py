"""Freed memory goes back to the system, so that a process that lives long does not keep what its longest video took.

glibc keeps freed memory for the next allocation, and from the first large block that is freed on it keeps up to 64 MiB
at the top of its heap and everything below a block that is still in use (`mallopt(3)`, M_TRIM_THRESHOLD). What it keeps
is given back by one call, `malloc_trim`, whose time `benchmarks/bench_memory.py` sets against the other ways. Other C
libraries have no such call, and nothing is done there.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from functools import cache
from typing import Any

#: Work between two rounds of giving back, seconds: less than this leaves little behind.
_WORK_S = 0.1
#: A call may take this share of the time of the work; a round has two calls.
_SHARE = 0.01


class Trimmer:
    """Calls `malloc_trim` once enough work was done since the last time, and again after the work that follows.

    What the caller had in hand meanwhile, such as the features of a long video, is free only after its call has
    returned, so only the next one can give it back. Safe to share between threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worked = self._cost = 0.0
        self._again = False

    def worked(self, seconds: float) -> None:
        """Count work that is over and whose buffers are free; give memory back if it is time."""
        trim = _malloc_trim()
        if trim is None:
            return
        with self._lock:
            self._worked += seconds
            enough = self._worked >= max(_WORK_S, self._cost / _SHARE)
            if not (enough or self._again):
                return
            self._worked, self._again = 0.0, enough
        began = time.perf_counter()
        trim(0)
        self._cost = time.perf_counter() - began


@cache
def _malloc_trim() -> Any:
    """Return glibc's function, or None where the process has another C library."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return trim


#: Of this process: freed memory is the process's, not an engine's.
trimmer = Trimmer()
