"""What training asks of the C library, and that it changes no number."""

from __future__ import annotations

import ctypes

import pytest

from tal_engine.lab.training import freed_memory


@pytest.fixture
def asked(monkeypatch):
    """Calls of the C library, which answers 1 as glibc does."""
    calls = []

    class Library:
        def mallopt(self, parameter, value):
            calls.append((parameter, value))
            return 1

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    freed_memory.keep_freed_memory.cache_clear()
    yield calls
    freed_memory.keep_freed_memory.cache_clear()


def test_both_thresholds_are_raised_once(asked):
    assert freed_memory.keep_freed_memory()
    assert freed_memory.keep_freed_memory()
    assert asked == [(-3, 1 << 30), (-1, 2**31 - 1)]


def test_another_c_library_is_left_alone(asked, monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not freed_memory.keep_freed_memory()
