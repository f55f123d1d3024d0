"""Memory that one step of training frees is kept for the next, rather than given back to the system in between.

A step makes and frees hundreds of large arrays. The C library gives each of them fresh pages, which the system clears
one by one when they are first written: a quarter of a million in a step of PVLR at its published width. Speed beside
earlier revisions: `benchmarks/bench_training_speed.py`.
"""

from __future__ import annotations

import ctypes
from functools import cache

#: Parameters of glibc's `mallopt`: the size from which an array has pages of its own, and how much freed memory at the
#: end of the heap is given back.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
#: Larger arrays have pages of their own all the same, as they leave gaps that are hard to fill again.
_LARGEST = 1 << 30
_NEVER = 2**31 - 1


@cache
def keep_freed_memory() -> bool:
    """Ask the C library of this process to keep what is freed; once, for the rest of the process.

    The process then stays as large as its largest step. Numbers do not change.

    Returns:
        Whether it does: glibc alone can be asked.
    """
    try:
        ask = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return False
    return bool(ask(_MMAP_THRESHOLD, _LARGEST)) and bool(ask(_TRIM_THRESHOLD, _NEVER))
