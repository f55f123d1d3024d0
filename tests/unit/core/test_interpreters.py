"""The compiled core in sub-interpreters, and in a Python without a GIL."""

from __future__ import annotations

import subprocess
import sys
import sysconfig

import pytest

from tal_engine import _core

#: Imports the core alone: NumPy refuses sub-interpreters by itself, and other packages may turn the GIL on.
ALONE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("tal_engine._core", PATH)
try:
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
except ImportError as e:
    print("refused:", e, flush=True)
else:
    print("imported, GIL:", getattr(sys, "_is_gil_enabled", lambda: True)(), flush=True)
""".replace("PATH", repr(str(_core.__file__)))

ELSEWHERE = f"""
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
interpreters.run_string(interpreters.create(), {ALONE!r})
"""


def said(code):
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return run.stdout or run.stderr


def test_the_main_interpreter_imports_it():
    assert said(ALONE).startswith("imported")


def test_a_sub_interpreter_is_told_that_it_cannot():
    found = said(ELSEWHERE)
    assert found.startswith("refused:"), found
    if sys.version_info < (3, 12):  # later ones refuse such a module before they call it
        assert "tal_engine._core cannot be imported in a sub-interpreter" in found


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="a Python with a GIL")
def test_a_python_without_a_gil_stays_so():
    assert said(ALONE) == "imported, GIL: False\n"
