"""Graphs that take too long: the call ends with an error, and the engine says whether it can be used again."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tal_engine import TALEngine
from tal_engine.backends import LimitedBackend, RunOptions, Runtime, open_backend, run_limit
from tal_engine.backends.run_limit import TimeLimit, left_behind
from tal_engine.errors import BackendError, UsageError
from tal_engine.plan.archive import with_members, write_plan
from tests.makers import encoder_graph, head_graph, tiny_manifest, tiny_plan
from tests.waiting import LONG_S, nap, stays, until


def loop():
    """A node that adds 0 to "zero" as often as "trips" says, which gives "nothing"."""
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["value", "none"], ["next"])],
        "body",
        [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("value", TensorProto.FLOAT, [])],
        [info("on", TensorProto.BOOL, []), info("next", TensorProto.FLOAT, [])],
        [numpy_helper.from_array(np.float32(0), "none")],
    )
    return helper.make_node("Loop", ["trips", "yes", "zero"], ["nothing"], body=body)


def looping_encoder():
    """The test encoder with a loop without an end behind it."""
    model = onnx.load_from_string(encoder_graph())
    model.graph.node[-1].output[0] = "almost"
    model.graph.node.extend([loop(), helper.make_node("Add", ["almost", "nothing"], ["feature"])])
    kept = {"trips": np.array(2**62), "yes": np.array(True), "zero": np.float32(0)}
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in kept.items())
    return model.SerializeToString()


def looping_head():
    """The test head with a loop before it that runs for as long as the first value of its input says."""
    nodes = [
        helper.make_node("ReduceMax", ["rgb"], ["largest"], keepdims=0),
        helper.make_node("Cast", ["largest"], ["trips"], to=TensorProto.INT64),
        loop(),
        helper.make_node("Add", ["rgb", "nothing"], ["x"]),
    ]
    model = onnx.load_from_string(head_graph())
    for node in model.graph.node:
        node.input[:] = ["x" if n == "rgb" else n for n in node.input]
    inside = [*nodes, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(inside)
    kept = {"yes": np.array(True), "zero": np.float32(0)}
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in kept.items())
    return model.SerializeToString()


ENDLESS = {"rgb": np.full((4, 4), 2**62, np.float32)}
SHORT = {"rgb": np.ones((4, 4), np.float32)}


def looping_plan():
    return with_members(tiny_manifest(), {"head.onnx": looping_head(), "encoder_rgb.onnx": encoder_graph()})


def test_a_loop_without_an_end_is_ended_and_the_engine_goes_on():
    engine = TALEngine(looping_plan(), "cpu", timeout=0.5)
    wanted = list(TALEngine(looping_plan(), "cpu").localize(SHORT, min_score=-9))
    for _ in range(2):
        with pytest.raises(BackendError, match=r"head\.onnx: a call took more than 0\.5 s .*can be used again") as e:
            engine.localize(ENDLESS)
        assert e.value.exit_code == 4
        assert list(engine.localize(SHORT, min_score=-9)) == wanted
    assert not left_behind()


def test_of_many_only_the_endless_one_fails():
    engine = TALEngine(looping_plan(), "cpu", timeout=0.5)
    out = [type(o).__name__ for _, o in engine.localize_batch([SHORT, ENDLESS, SHORT], on_error="return")]
    assert out == ["Localization", "GraphTimeoutError", "Localization"]


def test_calls_of_other_threads_are_not_ended():
    """Each call has its own time: ending one must not end the one beside it."""
    backend = open_backend(looping_head(), "head.onnx", "cpu", threads=1)
    endless = {"rgb": np.full((1, 4, 4), 2**62, np.float32)}
    other, ended = backend.start(endless), []

    def run():
        with pytest.raises(BackendError):
            other.run()
        ended.append(1)

    thread = threading.Thread(target=run)
    thread.start()
    with pytest.raises(BackendError, match="can be used again"):
        LimitedBackend(backend, "x", 0.2).run(endless)
    assert stays(lambda: not ended)
    other.stop()
    thread.join(LONG_S)
    assert ended


def test_the_limit_is_of_a_call_and_not_of_all(monkeypatch):
    limits, wait = [], threading.Event.wait

    def waited(self, timeout=None):
        limits.append(timeout)
        return wait(self, timeout)

    limited = TimeLimit("x", 77.0)
    monkeypatch.setattr(threading.Event, "wait", waited)
    for k in range(3):
        assert limited.call(lambda k=k: k) == k
    assert limits.count(77.0) == 3


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), 1e300])
def test_limits_that_are_none(bad):
    with pytest.raises(UsageError, match="timeout is"):
        TALEngine(tiny_plan(), "cpu", timeout=bad)


def test_work_that_cannot_be_ended_is_left_behind(monkeypatch):
    """One long operator, another runtime: the caller gets the error, and nobody waits for a second call in vain."""
    monkeypatch.setattr(run_limit, "GRACE_S", 0.1)
    release, calls = threading.Event(), []
    limited = TimeLimit("head.onnx", 0.2)
    with pytest.raises(BackendError, match="cannot be stopped and goes on in the background"):
        limited.call(lambda: release.wait(LONG_S), lambda: calls.append("stop"))
    assert calls == ["stop"]
    assert left_behind()
    with pytest.raises(BackendError, match="takes no calls"):
        limited.call(lambda: 1)
    assert left_behind(), "the second call waited for the first"
    release.set()
    until(lambda: not left_behind())
    assert limited.call(lambda: 7) == 7  # what was left behind has ended by itself


def test_errors_and_results_pass_through():
    limited = TimeLimit("x", LONG_S)
    assert limited.call(lambda: [1]) == [1]
    with pytest.raises(ZeroDivisionError):
        limited.call(lambda: 1 / 0)
    here = threading.get_ident()
    assert TimeLimit("x", 0).call(threading.get_ident) == here
    assert limited.call(threading.get_ident) != here


def test_ctrl_c_while_a_graph_runs_ends_it(monkeypatch):
    """The interrupt reaches the thread that waits; the run is told to end."""
    told = threading.Event()

    def interrupted(self, timeout=None):
        if timeout == 3.0:
            raise KeyboardInterrupt
        return wait(self, timeout)

    wait = threading.Event.wait
    monkeypatch.setattr(threading.Event, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        TimeLimit("x", 3.0).call(lambda: wait(told, LONG_S), told.set)
    assert told.is_set()


def test_loading_has_a_limit_too(monkeypatch):
    """Constants are folded while a graph is loaded, which no flag of ONNX Runtime interrupts."""
    from tal_engine.backends import select

    release = threading.Event()
    monkeypatch.setattr(select, "LOAD_S", 0.2)
    monkeypatch.setattr(select, "_open", lambda *_: release.wait(LONG_S))
    with pytest.raises(BackendError, match=r"a\.onnx: loading it took more than 0\.2 s"):
        Runtime("cpu", RunOptions(timeout_s=0.1)).open(b"", "a.onnx")
    release.set()


def test_engines_that_are_built_have_their_time(monkeypatch):
    from tal_engine.backends import select

    class Built:
        description = "built"

        def run(self, feeds):
            return feeds

    def slow(*_):
        nap(0.3)  # longer than it may take
        return Built()

    monkeypatch.setattr(select, "LOAD_S", 0.05)
    monkeypatch.setattr(select, "_open", slow)
    backend = Runtime("tensorrt", RunOptions(timeout_s=60.0), strict=True).open(b"", "a.onnx")
    assert isinstance(backend, LimitedBackend)
    assert backend.description == "built"
    assert backend.run({"x": np.ones(1)}).keys() == {"x"}


def test_a_card_s_run_is_told_to_end(monkeypatch):
    from tal_engine.backends import ort as ort_module
    from tal_engine.backends import ort_gpu
    from tal_engine.backends.protocol import DeviceName
    from tests.fake_ort import FakeOrt, Session, encoder_spec

    made = FakeOrt(encoder_spec())
    monkeypatch.setattr(ort_gpu, "ort", made)
    monkeypatch.setattr(ort_module, "ort", made)
    backend = ort_gpu.OrtGpuBackend(b"", "e.onnx", DeviceName("cuda"), RunOptions(rows=4))
    seen = []

    def endless(self, binding, options):
        seen.append(options)
        while not getattr(options, "terminate", False):
            nap(0.01)
        raise RuntimeError("Exiting due to terminate flag being set to true.")

    real = Session.run_with_iobinding
    monkeypatch.setattr(Session, "run_with_iobinding", endless)
    limited = LimitedBackend(backend, "e.onnx", 0.2)
    with pytest.raises(BackendError, match="can be used again"):
        limited.run({"frames": np.zeros((9, 4), np.uint8)})
    assert len(seen) == 1  # the parts that were left are not run
    monkeypatch.setattr(Session, "run_with_iobinding", real)
    assert len(limited.run({"frames": np.zeros((9, 4), np.uint8)})["feature"]) == 9


# -- the command line --------------------------------------------------------------------------


def features(path, value):
    from tal_engine.features import save_features
    from tal_engine.records import Features
    from tal_engine.timeline import Timeline

    x = np.full((4, 4), value, np.float32)
    save_features(path, Features({"rgb": x}, Timeline(0.0, 0.32, 0.32), 1.28))
    return path


def run(*args, seconds=LONG_S):
    code = "import sys; from tal_engine.cli.main import run; sys.argv[0] = 'tal'; run()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, timeout=seconds
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("endless")
    write_plan(folder / "x.plan", looping_plan())
    files = {"head.onnx": head_graph(), "encoder_rgb.onnx": looping_encoder()}
    write_plan(folder / "encoder.plan", with_members(tiny_manifest(), files))
    features(folder / "endless.npz", 2**62)
    features(folder / "short.npz", 1)
    return folder


def test_localize_with_a_limit(made):
    done = run("localize", made / "endless.npz", made / "short.npz", "--plan", made / "x.plan", "--timeout", 1, "-q",
               "-o", made / "out.json")  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "head.onnx: a call took more than 1 s (timeout)" in done.stderr
    assert "short" in (made / "out.json").read_text()


def test_streams_with_a_limit(made, clip):
    """The encoder loops for each snippet: the streams are lost, the process is not."""
    done = run("stream", f"a={clip}", f"b={clip}", "--plan", made / "encoder.plan", "--timeout", 1)
    assert done.returncode == 4, done.stderr
    assert "a: a model failed on it: encoder_rgb.onnx: a call took more than 1 s (timeout)" in done.stderr
    assert "b: a model failed on it" in done.stderr


def test_a_process_that_cannot_end_a_graph_still_ends(made, tmp_path):
    """A graph left behind in a thread must neither keep the process nor let it crash while it is torn down."""
    code = (
        "import sys, time, threading\n"
        "from tal_engine.backends import run_limit as limit\n"
        "from tal_engine.cli import main\n"
        "limit.GRACE_S = 0.1\n"
        "from tal_engine.backends.ort import StoppableRun\n"
        "StoppableRun.stop = lambda self: None\n"
        "sys.argv[0] = 'tal'\n"
        "main.run()\n"
    )
    args = ["localize", made / "endless.npz", "--plan", made / "x.plan", "--timeout", "0.5"]
    command = [sys.executable, "-c", code, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG_S)
    assert done.returncode == 4, done.stderr
    assert "cannot be stopped" in done.stderr


def test_doctor_does_not_wait_for_ever(made, monkeypatch):
    """It has a limit by itself: it is there for plans that may be broken."""
    from tal_engine.diagnostics import doctor
    from tal_engine.plan.manifest import Manifest

    plan = looping_plan()
    model = plan.files["head.onnx"].replace(b"ReduceMax", b"ReduceMin")
    monkeypatch.setattr(doctor, "_small", lambda t, p, more: np.full([1, 4, 4], 2**62, np.float32))
    manifest: Manifest = plan.manifest.model_copy(update={"encoders": []})
    write_plan(made / "head.plan", with_members(manifest, {"head.onnx": model}))
    found = doctor.examine(made / "head.plan", "cpu", timeout=0.5)
    assert found.status == 4
    assert "timeout" in found.findings[0].what
