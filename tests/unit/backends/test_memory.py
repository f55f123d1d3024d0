"""A process that lives long does not keep what its longest video took."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys

import pytest

from tal_engine.backends import memory

#: The resident size after all stays within so much of the start, MiB.
ALLOWED_MIB = 16

#: The embedded plan; features of the given numbers of snippets from files, as `tal localize` reads them, and in memory.
LONG_LIVED = """
import json, sys
from pathlib import Path
import numpy as np
from tal_engine import Features, TALEngine
from tal_engine.backends import memory
from tal_engine.features import save_features
from tal_engine.options import timeline_of

folder, count, give_back, in_memory = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "1", sys.argv[4] == "1"
if not give_back:
    memory._malloc_trim = lambda: None
engine = TALEngine.load("demo", "cpu", threads=1)
rng = np.random.default_rng(0)
timeline = timeline_of(engine.plan.manifest.snippet)

def features(t):
    streams = {n: rng.standard_normal((t, d), np.float32) for n, d in engine.plan.manifest.streams.items()}
    return Features(streams, timeline, float(timeline.right(t)), dict(engine.contract))

for t in (count, 40):
    save_features(folder / f"{t}.npz", features(t))

def localize(t, times=1):
    for _ in range(times):
        engine.localize(features(t) if in_memory else folder / f"{t}.npz")

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

localize(40, 20)
start, grown = resident(), []
for t, times in ((count, 1), (40, 5), (count, 1), (40, 5)):
    localize(t, times)
    grown.append(resident() - start)
print(json.dumps(grown))
"""


def has_malloc_trim():
    try:
        return sys.platform.startswith("linux") and bool(ctypes.CDLL(None).gnu_get_libc_version)
    except (OSError, AttributeError):
        return False


glibc = pytest.mark.skipif(not has_malloc_trim(), reason="freed memory is given back on glibc only")


def grown(folder, snippets, *, give_back=True, in_memory=False):
    command = [
        sys.executable,
        "-c",
        LONG_LIVED,
        str(folder),
        str(snippets),
        *(str(int(x)) for x in (give_back, in_memory)),
    ]
    free = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD"))}
    done = subprocess.run(command, capture_output=True, text=True, env=free, timeout=570, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@glibc
@pytest.mark.parametrize("snippets", [6000, 20_000, 60_000])
def test_long_short_long_short_of_files(tmp_path, snippets):
    assert max(grown(tmp_path, snippets)) < ALLOWED_MIB


@pytest.mark.slow
@glibc
def test_long_short_long_short_in_memory(tmp_path):
    """What the caller holds during its call is given back by the next one."""
    after_long, after_short, again, at_the_end = grown(tmp_path, 60_000, in_memory=True)
    assert max(after_short, at_the_end) < ALLOWED_MIB
    assert max(after_long, again) < 60_000 * 256 * 4 / 2**20 + ALLOWED_MIB


@pytest.mark.slow
@glibc
def test_it_is_needed(tmp_path):
    """Nearly always glibc keeps 300 MiB; where its heap happens to end in free memory it keeps none."""
    assert any(max(grown(tmp_path, 60_000, give_back=False)) > 2 * ALLOWED_MIB for _ in range(4))


def test_memory_is_given_back_after_enough_work_and_once_more(monkeypatch):
    calls = []
    monkeypatch.setattr(memory, "_malloc_trim", lambda: calls.append)
    trimmer = memory.Trimmer()
    for _ in range(9):
        trimmer.worked(0.01)
    assert calls == []
    trimmer.worked(0.02)  # 0.11 s in all
    assert calls == [0]
    trimmer.worked(0.001)  # what was in use then
    trimmer.worked(0.001)
    assert calls == [0, 0]
    trimmer._cost = 0.005  # 1 % of the time at most
    trimmer.worked(0.3)
    assert calls == [0, 0]
    trimmer.worked(0.3)
    assert calls == [0, 0, 0]


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory, "_malloc_trim", lambda: None)
    memory.Trimmer().worked(1e9)
