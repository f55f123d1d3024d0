"""Runs one Python target under atheris: python -m tests.fuzz.one NAME [libFuzzer's arguments]."""

from __future__ import annotations

import sys

import atheris

#: NumPy itself is left alone: it is large, and its own.
WATCHED = ["tal_engine", "tests.fuzz", "json", "csv", "zipfile", "pickle"]

with atheris.instrument_imports(include=WATCHED):
    from tests.fuzz.bindings import bindings
    from tests.fuzz.parsers import TARGETS

if __name__ == "__main__":
    target = (TARGETS | {"bindings": bindings})[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
