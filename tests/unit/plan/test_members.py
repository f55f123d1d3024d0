"""The bytes of a plan's graphs are not kept beside the sessions that have their weights."""

from __future__ import annotations

import os
import pickle
import shutil
from array import array
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tal_engine import TALEngine
from tal_engine.errors import PlanError, PlanFault
from tal_engine.plan.archive import plan_bytes, read_plan, with_members, write_plan
from tal_engine.plan.members import Members
from tests.makers import HEAD, _model, tiny_manifest, tiny_plan
from tests.waiting import alone, until

#: Numbers of each of two weights of the large head.
WIDE = 1_500_000

pytestmark = pytest.mark.skipif(not hasattr(os, "pread"), reason="plans stay in memory where files cannot be replaced")


@pytest.fixture
def path(tmp_path):
    tiny_plan(tmp_path / "a.plan")
    return tmp_path / "a.plan"


def large_plan(path):
    """A plan whose head takes 48 MB, by a detour over `WIDE` numbers that the runtime cannot shorten."""
    nodes = [
        (("MatMul", ["rgb", "up"], ["wide"]), {}),
        (("Sigmoid", ["wide"], ["bent"]), {}),
        (("MatMul", ["bent", "down"], ["cas"]), {}),
        (("Gather", ["cas", "first"], ["logit"]), {"axis": 2}),
        (("Sigmoid", ["logit"], ["attention"]), {}),
    ]
    rng = np.random.default_rng(0)
    constants = {
        "up": rng.random((4, WIDE), np.float32), "down": rng.random((WIDE, 4), np.float32),
        "first": np.array(0, np.int64),
    }  # fmt: skip
    outputs = [("cas", "float32", ["B", "T", 4]), ("attention", "float32", ["B", "T"])]
    graph = _model(nodes, [("rgb", "float32", ["B", "T", 4])], outputs, constants)
    write_plan(path, with_members(tiny_manifest(encoders=False), {"head.onnx": graph}))
    return len(graph)


#: What Python holds, bytes among it, with an engine loaded, at most until then, and once a graph was read and dropped
#: again; the weights of sessions are not traced. And how many bytes of members the engine says it holds.
TRACED = """
import json, sys, tracemalloc
from tal_engine import TALEngine
tracemalloc.start()
with TALEngine.load(sys.argv[1], "cpu") as engine:
    now, peak = tracemalloc.get_traced_memory()
    held = engine.plan.files.held
    size = len(engine.plan.files["head.onnx"])
    print(json.dumps([now, peak, held, size, tracemalloc.get_traced_memory()[0]]))
"""


def test_an_engine_that_is_loaded_holds_no_graph(tmp_path):
    size = large_plan(tmp_path / "large.plan")
    now, peak, held, read, after = alone(TRACED, tmp_path / "large.plan")
    assert now < 0.2 * size
    assert peak < 2.2 * size  # the file and the member of it, one after the other
    assert (held, read) == (0, size)
    assert after < 0.2 * size


def test_members_are_read_again_and_the_engine_works(path):
    wanted = read_plan(path)
    with TALEngine.load(path, "cpu") as engine:
        assert engine.plan.files.held == 0
        assert list(engine.plan.files) == list(wanted.files)
        assert len(engine.plan.files) == 2
        assert "head.onnx" in engine.plan.files
        assert "x" not in engine.plan.files
        assert engine.plan.files == wanted.files
        assert plan_bytes(engine.plan) == path.read_bytes()
        rgb = np.ones((1, 3, 4), np.float32)
        np.testing.assert_allclose(engine.head.run({"rgb": rgb})["cas"], rgb @ HEAD, rtol=1e-5)
        with pytest.raises(KeyError):
            engine.plan.files["x"]


def test_a_file_that_is_replaced_or_deleted_is_still_the_plan(path, tmp_path):
    wanted = path.read_bytes()
    with TALEngine.load(path, "cpu") as engine:
        write_plan(path, tiny_plan(name="another"))
        assert plan_bytes(engine.plan) == wanted
        path.unlink()
        assert plan_bytes(engine.plan) == wanted


def test_a_file_that_is_changed_in_place_is_found_out(path):
    with TALEngine.load(path, "cpu") as engine:
        content = bytearray(path.read_bytes())
        content[content.index(HEAD.tobytes())] ^= 1
        with path.open("r+b") as file:
            file.write(content)
        with pytest.raises(PlanError, match=r"a\.plan: member 'head\.onnx' was changed in the file since") as e:
            engine.plan.files["head.onnx"]
        assert e.value.fault is PlanFault.WRONG_HASH
        os.truncate(path, 10)
        with pytest.raises(PlanError, match="was changed in the file since"):
            engine.plan.files["encoder_rgb.onnx"]


def test_only_what_lies_in_the_file_is_given_up(path):
    read = read_plan(path)
    changed = Members({**read.files, "head.onnx": b"mine"})
    changed.release(read.files)
    assert changed.held == 4
    assert changed["head.onnx"] == b"mine"
    assert changed["encoder_rgb.onnx"] == read.files["encoder_rgb.onnx"]


def test_another_process_gets_the_contents(path):
    with TALEngine.load(path, "cpu") as engine:
        copy = pickle.loads(pickle.dumps(engine.plan.files))
    path.unlink()
    assert copy.held == sum(map(len, copy.values())) > 0


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no list of open files")
def test_the_file_is_closed_with_the_plan(path, tmp_path):
    shutil.copy(path, tmp_path / "b.plan")

    def opened():
        return [n for n in Path("/proc/self/fd").iterdir() if n.exists() and n.resolve() == tmp_path / "b.plan"]

    plan = read_plan(tmp_path / "b.plan")
    assert len(opened()) == 1
    del plan
    assert opened() == []


def test_a_plan_comes_through_a_pipe_in_pieces(path, tmp_path):
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    pipe, content = tmp_path / "p.plan", path.read_bytes()
    os.mkfifo(pipe)

    def write():
        with pipe.open("wb", buffering=0) as file:
            file.write(content[:2])
            waiting = array("i", [1])
            until(lambda: fcntl.ioctl(file, termios.FIONREAD, waiting) == 0 and waiting[0] == 0)
            file.write(content[2:])

    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(write)
        assert read_plan(pipe).files == read_plan(path).files
        written.result()
