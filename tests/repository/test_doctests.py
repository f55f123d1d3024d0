"""Examples in docstrings run as they are written, and each public name has one."""

from __future__ import annotations

import doctest
import importlib
import types
from pathlib import Path

import numpy as np
import pytest

import tal_engine
from tal_engine import TALEngine, ops

PACKAGE = Path(tal_engine.__file__).parent
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules():
    """Modules with examples."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] != "export" and ">>>" in path.read_text():
            yield ".".join(["tal_engine", *(p for p in parts if p != "__init__")])


@pytest.mark.parametrize("name", list(modules()))
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name.startswith("tal_engine.lab"):
        pytest.importorskip("torch", reason="the lab needs torch")
    if name.startswith(("tal_engine.serve", "tal_engine.client")):
        pytest.importorskip("fastapi", reason="the service needs [serve]")
    module = importlib.import_module(name)
    runner, out, count = doctest.DocTestRunner(optionflags=OPTIONS), [], 0
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        test.globs |= {"np": np, "TALEngine": TALEngine}
        count += runner.run(test, out=out.append).attempted
    assert not runner.failures, "".join(out)
    assert count or "+SKIP" in Path(module.__file__).read_text()


def public():
    names = {f"tal_engine.{n}": getattr(tal_engine, n) for n in tal_engine.__all__ if n != "__version__"}
    for name, value in vars(ops).items():
        own = isinstance(value, (type, types.FunctionType)) and value.__module__ == ops.__name__
        if own and not name.startswith("_"):
            names[f"tal_engine.ops.{name}"] = value
    return names


def test_public_names_have_examples():
    missing = [n for n, value in public().items() if ">>>" not in (value.__doc__ or "")]
    assert missing == []
