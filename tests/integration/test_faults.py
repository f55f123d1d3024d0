"""A failing write, SIGKILL and a full disk at some moments of commands; benchmarks/bench_faults.py tries them all."""

from __future__ import annotations

import errno

import pytest

from tests.faults import material, works
from tests.faults.client import Mode, Server, build, compiler
from tests.faults.sweep import Sweep, each_call, kills

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler, or not Linux: faults cannot be injected")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(build(tmp_path_factory.mktemp("injector"))) as started:
        yield started


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return material.light(tmp_path_factory.mktemp("inputs"), seconds=2)


def held(sweep, *modes, calls, old=False, killed=3):
    """Run a share of a sweep; each mode is tried at so many calls, spread over the run."""
    every = max(1, sweep.calls[old] // calls)
    results = [
        sweep.run(each_call(sweep.calls[old], mode, error, every, 1 + k % every), old=old)
        for k, (mode, error) in enumerate(modes)
    ]
    results.append(sweep.run(kills(killed, sweep.seconds[old]), old=old))
    assert not [b for r in results for b in r.bad]
    assert all(r.tries for r in results[:-1])
    return results


FULL, GONE = (Mode.STAY, errno.ENOSPC), (Mode.STAY, errno.EIO)
FAIL, KILL, TEAR = (Mode.FAIL, errno.EIO), (Mode.KILL, errno.EIO), (Mode.TEAR, errno.EIO)


def test_localize(server, given, tmp_path):
    sweep = Sweep(works.localize("json", [given.clip], given.plan), server, tmp_path / "s")
    failed, *_ = held(sweep, FAIL, calls=99, old=True, killed=1)
    # What fails to be tidied up refuses nothing: the trial file that told whether the place can be written, closed and
    # taken away again, and the end of a descriptor.
    assert failed.counts["refused"] >= sweep.calls[True] - 3
    full, *_ = held(sweep, FULL, KILL, calls=4, killed=1)
    assert full.counts["refused"] >= 3


def test_stream(server, given, tmp_path):
    plain = works.stream(given.clip, given.plan, material.FINALS)
    held(Sweep(plain, server, tmp_path / "s"), FAIL, FULL, TEAR, calls=3)
    rotated = works.stream(given.clip, given.plan, material.FINALS, rotate=1500)
    held(Sweep(rotated, server, tmp_path / "r"), FAIL, GONE, KILL, calls=2, killed=1)


def test_train(server, tmp_path):
    pytest.importorskip("torch")
    data, earlier = material.training_set(tmp_path / "data"), tmp_path / "earlier"
    first = works.train(data, material.METHOD, earlier, *material.SETTINGS, "steps=2")
    assert server.run(first.argv(earlier), tmp_path, prefix=tmp_path / "none", learn=True, limit=300.0).status == 0
    whole = works.train(data, material.METHOD, earlier, *material.SETTINGS, f"steps={material.STEPS}")
    held(Sweep(whole, server, tmp_path / "t"), FAIL, FULL, KILL, calls=3, old=True, killed=1)


def test_features(server, given, tmp_path):
    pytest.importorskip("torch")
    held(Sweep(works.features(given.clips, "tiny:rgb"), server, tmp_path / "s"), FAIL, FULL, KILL, calls=3, killed=1)


def test_the_injector_is_felt(server, given, tmp_path):
    """A sweep in which nothing can fail would prove nothing."""
    sweep = Sweep(works.localize("csv", [given.clip], given.plan), server, tmp_path / "s")
    broken = works.localize("csv", [given.clip], given.plan)
    broken.sound = lambda *_: ["always wrong"]
    sweep.work = broken
    assert len(sweep.run(each_call(2, *FAIL)).bad) == 2
    assert sweep.run(each_call(1, Mode.FAIL, errno.EIO, first=1)).calls.keys() <= {"mkdir", "open", "open64", "openat"}
