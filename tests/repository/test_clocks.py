"""Tests do not read clocks, sleep, or look at what their own process has grown to: a loaded machine would fail them.

`tests/waiting.py` waits for what happens; functions that need the time take a clock (`now=`); memory, threads and
descriptors are counted in a process of its own (`waiting.alone`) or by what the test itself began.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: What a test may not call, by module.
CLOCKS = {
    "time": {"sleep", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
             "process_time_ns", "thread_time", "thread_time_ns"},
    "threading": {"active_count", "enumerate"},
    "resource": {"getrusage"},
    "tracemalloc": {"get_traced_memory", "take_snapshot"},
    "gc": {"get_count", "get_objects"},
    "psutil": {"Process", "virtual_memory"},
}  # fmt: skip
#: Bounds of waits that end by themselves are at least so many seconds: only a fault reaches them.
SHORTEST_S = 60
#: Calls with such a bound: as an argument of that name, or as the first one.
BOUNDED, FIRST = {"communicate", "run", "wait", "get", "urlopen", "create_connection", "join"}, {"wait", "join"}

#: Where it is sound all the same, and why.
ALLOWED = {
    "tests/waiting.py": "the one place that waits",
    "tests/hls_server.py": "a camera: it films in real time",
    "tests/faults/server.py": "a server that says how long an answer took; no test bounds it",
    "tests/live/test_live_rtsp.py": "real cameras are in real time",
    "tests/live/test_live_hls.py": "real cameras are in real time",
    "tests/live/test_live_net.py": "real connections are in real time",
    "tests/live/test_live_cameras.py": "real cameras are in real time",
    "tests/unit/live/test_live_adaptive.py::test_a_camera_with_a_slow_taker": "a real camera is in real time",
    "tests/unit/util/test_linear.py::times_as_much": "a ratio of this thread's processor time",
    "tests/unit/backends/test_cuda.py": "waits of a card, whose argument is a stream",
    "tests/unit/core/test_core_threads.py::test_python_goes_on_while_the_core_computes": "looks often, bounds nothing",
    "tests/unit/util/test_arrays.py": "counts what this test allocates, against gigabytes that a file declares",
    "tests/unit/outputs/test_receivers.py::test_webhook_waits_as_it_is_told": "a least wait",
    "tests/unit/streaming/test_scheduler.py::test_metrics_and_probes": "sets a moment far in the past",
    "tests/unit/streaming/test_scheduler.py::test_slow_clients_hold_no_more_than_a_few_threads":
        "counts only the threads that it began",
}  # fmt: skip


def clocks(tree):
    """(innermost top-level function or class or "", line, what) of each call that a test may not make."""
    names = {}  # of what was imported by itself: `from time import sleep as nap`
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in CLOCKS:
            names |= {a.asname or a.name: (node.module, a.name) for a in node.names}
        if isinstance(node, ast.Import):
            names |= {a.asname: (a.name, "") for a in node.names if a.asname and a.name in CLOCKS}
    for top in tree.body:
        place = getattr(top, "name", "")
        for node in ast.walk(top):
            if isinstance(node, ast.Call) and (what := _clock(node.func, names) or _hurry(node)):
                yield place, node.lineno, what


def _clock(called, names):
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
        module = names.get(called.value.id, (called.value.id, ""))[0]
        return f"{module}.{called.attr}" if called.attr in CLOCKS.get(module, ()) else ""
    module, name = names.get(getattr(called, "id", ""), ("", ""))
    return f"{module}.{name}" if name in CLOCKS.get(module, ()) else ""


def _hurry(call):
    """A wait with a short bound that is written as a number."""
    name = getattr(call.func, "attr", "")
    bounds = [k.value for k in call.keywords if k.arg == "timeout" and name in BOUNDED]
    bounds += call.args[:1] if name in FIRST else []
    short = [b.value for b in bounds if isinstance(b, ast.Constant) and isinstance(b.value, (int, float))]
    return f"{name} for {short[0]} s" if short and short[0] < SHORTEST_S else ""


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import time\ntime.sleep(1)", "time.sleep"),
        ("import time as t\ndef f():\n    t.monotonic()", "time.monotonic"),
        ("from time import perf_counter as now\nnow()", "time.perf_counter"),
        ("thread.join(5)", "join for 5 s"),
        ("child.communicate(timeout=10)", "communicate for 10 s"),
        ("import time\nx = time.strftime('%Y')\n', '.join(x)\nthread.join(LONG_S)\nthread.join(120)", None),
    ],
)
def test_the_scan_sees_clocks(text, what):
    assert [found for _, _, found in clocks(ast.parse(text))] == ([what] if what else [])


def test_no_test_depends_on_how_fast_the_machine_is():
    found, used = [], set()
    for path in sorted((ROOT / "tests").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for place, line, what in clocks(ast.parse(path.read_text())):
            if allowed := {name, f"{name}::{place}"} & ALLOWED.keys():
                used |= allowed
            else:
                found.append(f"{name}:{line}: {what} in {place or 'the module'}")
    assert found == [], "see this file's first lines for what to do instead"
    assert ALLOWED.keys() - used == set(), "allowed, and no longer needed"


def lossy(tree):
    """Top-level functions that read a child's line and then take the rest from below what that had read ahead."""
    for top in tree.body:
        calls = [n for n in ast.walk(top) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
        read = any(c.func.attr == "readline" and getattr(c.func.value, "attr", "") == "stdout" for c in calls)
        if read and any(c.func.attr == "communicate" for c in calls):
            yield top.name


def test_no_test_loses_what_a_child_said():
    text = "def f():\n    a.stdout.readline()\n    {}\n"
    assert list(lossy(ast.parse(text.format("a.communicate()")))) == ["f"]
    assert list(lossy(ast.parse(text.format("the_rest(a)")))) == []
    found = [f"{p}: {f}" for p in sorted((ROOT / "tests").rglob("*.py")) for f in lossy(ast.parse(p.read_text()))]
    assert found == [], "use tests.waiting.the_rest"
