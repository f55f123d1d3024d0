"""Devices: how they are named, what is tried next, and the GPU backend up to the library's own calls."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from tal_engine._util.extras import missing
from tal_engine.backends import (
    NOT_LOADED,
    DeviceName,
    DynamicBatchingBackend,
    LazyBackend,
    RunOptions,
    Runtime,
    open_backend,
    ort,
    parse_device,
    select,
    why_not,
)
from tal_engine.errors import BackendError, UsageError
from tal_engine.plan.fields import Graph, Tensor
from tests.fake_ort import FakeOrt, encoder_spec, head_spec
from tests.makers import HEAD, encoder_graph, head_graph
from tests.waiting import LONG_S, nap, until

CUDA = DeviceName("cuda", 1)
FRAMES = np.arange(44, dtype=np.uint8).reshape(11, 4)


@pytest.fixture
def fake(monkeypatch):
    """Put a fake library under the backend; the real one is back afterwards."""

    def install(*args, **kwargs):
        from tal_engine.backends import ort_gpu

        made = FakeOrt(*args, **kwargs)
        monkeypatch.setattr(ort_gpu, "ort", made)
        monkeypatch.setattr(ort, "ort", made)
        return made

    return install


def gpu(rows=0, device=CUDA, spec=None, **options):
    from tal_engine.backends.ort_gpu import OrtGpuBackend

    return OrtGpuBackend(b"onnx", "g.onnx", device, RunOptions(rows=rows, **options), spec)


# -- names and falling back --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "index", "written"),
    [
        ("auto", "auto", 0, "auto"),
        ("cpu", "cpu", 0, "cpu"),
        ("cuda", "cuda", 0, "cuda"),
        ("cuda:0", "cuda", 0, "cuda"),
        ("cuda:12", "cuda", 12, "cuda:12"),
        ("ort-tensorrt:1", "ort-tensorrt", 1, "ort-tensorrt:1"),
    ],
)
def test_devices_are_written_in_one_way(text, kind, index, written):
    device = parse_device(text)
    assert device == DeviceName(kind, index)
    assert str(device) == written


@pytest.mark.parametrize("text", ["", "tpu", "cpu:1", "auto:0", "cuda:", "cuda:x", "cuda:-1", "CUDA", "cuda "])
def test_other_devices_are_refused_by_name(text):
    with pytest.raises(UsageError, match="'ort-tensorrt'") as e:
        Runtime(text)
    assert repr(text) in str(e.value)


@pytest.mark.parametrize("name", ["threads", "gpu_memory_mib", "rows"])
def test_options_are_checked(name):
    with pytest.raises(UsageError, match=f"{name} is -1"):
        RunOptions(**{name: -1})


def test_what_is_missing_comes_with_its_command(monkeypatch):
    monkeypatch.setattr(ort.ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert why_not(DeviceName("cpu")) is None
    for installed in ("onnxruntime", "onnxruntime_gpu onnxruntime", "onnxruntime-directml"):
        found = [
            SimpleNamespace(metadata={"Name": name}) for name in ("numpy", "onnxruntime-tools", *installed.split())
        ]
        monkeypatch.setattr("importlib.metadata.distributions", lambda found=found: found)
        names = " ".join(sorted(installed.replace("_", "-").split()))
        first = f": pip uninstall -y {names} && pip install 'tal-engine"
        assert why_not(CUDA).endswith(f"{first}[gpu]'")
        assert why_not(DeviceName("ort-tensorrt")).endswith(f"{first}[gpu,tensorrt]'")
        # A package that is there without its files is not "already satisfied" by another install.
        assert str(missing("onnxruntime")).endswith(f"onnxruntime is damaged{first}[cpu]'")
    monkeypatch.setattr("importlib.metadata.distributions", list)
    assert why_not(CUDA).endswith("has no CUDA: pip install 'tal-engine[gpu]'")
    assert "pip install 'tal-engine[cpu]' (or [gpu]" in str(missing("onnxruntime"))


class Graphs:
    """Stands for `_open`: opens on the devices that work and notes what was tried."""

    def __init__(self, monkeypatch, works, installed=("cuda", "cpu", "ort-tensorrt")):
        self.tried, self.works = [], works
        monkeypatch.setattr(select, "_open", self)
        monkeypatch.setattr(select, "why_not", lambda d: None if d.kind in installed else f"no {d.kind}: pip install x")

    def __call__(self, graph, name, device, options, spec, engines):
        self.tried.append(str(device))
        if device.kind not in self.works:
            raise BackendError(f"{device} does not work")
        return str(device)


def test_falling_back_is_said_once_and_not_tried_again(monkeypatch, caplog):
    graphs = Graphs(monkeypatch, works={"cpu"})
    runtime = Runtime("ort-tensorrt:1")
    assert [runtime.open(b"", "a"), runtime.open(b"", "b")] == ["cpu", "cpu"]
    assert graphs.tried == ["ort-tensorrt:1", "cuda:1", "cpu", "cpu"]
    assert [r.getMessage() for r in caplog.records] == [
        "ort-tensorrt:1 does not work; falling back to cuda:1",
        "cuda:1 does not work; falling back to cpu",
    ]
    assert runtime.fallbacks == ["ort-tensorrt:1 does not work", "cuda:1 does not work"]
    assert str(runtime.device) == "cpu"


def test_strict_raises_instead(monkeypatch):
    Graphs(monkeypatch, works={"cpu"})
    with pytest.raises(BackendError, match="cuda does not work"):
        Runtime("cuda", strict=True).open(b"", "a")


def test_auto_takes_the_best_and_is_silent_about_what_is_not_installed(monkeypatch, caplog):
    graphs = Graphs(monkeypatch, works={"cuda", "cpu"})
    assert Runtime("auto").open(b"", "a") == "cuda"
    Graphs(monkeypatch, works={"cpu"}, installed=("cpu",))
    assert Runtime("auto", strict=True).open(b"", "a") == "cpu"
    assert not caplog.records
    # Installed and broken is news.
    Graphs(monkeypatch, works={"cpu"})
    assert Runtime("auto").open(b"", "a") == "cpu"
    assert "cuda does not work; falling back to cpu" in caplog.text
    assert graphs.tried == ["cuda"]


def test_a_graph_that_loads_nowhere_is_an_error(monkeypatch):
    Graphs(monkeypatch, works=set())
    with pytest.raises(BackendError, match="cpu does not work"):
        Runtime("auto").open(b"", "a")


# -- the CPU -----------------------------------------------------------------------------------


def test_cpu_runs_a_graph(rng):
    rgb = rng.normal(size=(2, 5, 4)).astype(np.float32)
    backend = open_backend(head_graph(), "head.onnx", "cpu", threads=1)
    np.testing.assert_allclose(backend.run({"rgb": rgb})["cas"], rgb @ HEAD, rtol=1e-5)
    assert backend.description.endswith("(CPU)")


def test_only_encoders_let_their_cores_go():
    key = "session.intra_op.allow_spinning"
    assert ort.session_options(RunOptions(rows=8)).get_session_config_entry(key) == "0"
    with pytest.raises(Exception, match="does not have"):
        ort.session_options(RunOptions()).get_session_config_entry(key)


def test_wrong_input_names_graph_and_shapes():
    with pytest.raises(BackendError, match=r"head\.onnx: cannot run on inputs \{'rgb': \[2, 5\]\}"):
        open_backend(head_graph(), "head.onnx", "cpu").run({"rgb": np.zeros((2, 5), np.float32)})


# -- the card, up to the library's calls -------------------------------------------------------


def test_encoders_are_filled_up_to_one_size_and_captured(fake):
    library = fake(encoder_spec())
    backend = gpu(rows=4)
    out = backend.run({"frames": FRAMES})["feature"]
    np.testing.assert_array_equal(out, encoder_spec()["compute"]({"frames": FRAMES})["feature"])
    (session,) = library.sessions
    assert session.providers["CUDAExecutionProvider"] == {
        "device_id": "1",
        "arena_extend_strategy": "kSameAsRequested",
        "enable_cuda_graph": "1",
        "use_tf32": "0",
    }
    assert session.runs == [(4, {"gpu_graph_id": "4"})] * 3  # 11 rows as 4, 4 and 3 filled up
    # One input and one output buffer, made once and kept: a captured graph reads their addresses.
    assert library.made == [((4, 4), np.uint8, "cuda", 1), ((4, 2), np.float32, "cuda", 1)]
    assert len(library.bindings) == 1
    assert "CUDA graphs" in backend.description
    assert "card 1" in backend.description


def test_heads_are_not_captured_and_give_memory_back(fake):
    library = fake(head_spec())
    backend = gpu(gpu_memory_mib=512)
    for t in (6, 6, 10):
        rgb = np.random.default_rng(t).random((1, t, 3), np.float32)
        out = backend.run({"rgb": rgb})
        np.testing.assert_array_equal(out["cas"], rgb + 1)
        assert len(out["peaks"]) == t // 2
    (session,) = library.sessions
    assert session.providers["CUDAExecutionProvider"]["gpu_mem_limit"] == str(512 * 2**20)
    assert "enable_cuda_graph" not in session.providers["CUDAExecutionProvider"]
    assert {tuple(o.items()) for _, o in session.runs} == {
        (("gpu_graph_id", "-1"), ("memory.enable_memory_arena_shrinkage", "gpu:1"))
    }
    assert len(library.bindings) == 2  # the second call found the buffers of the first
    assert library.bindings[0].outputs["peaks"] == ("cuda", 1)  # a size that only the graph knows
    assert "CUDA graphs" not in backend.description


def test_pictures_of_any_size_are_not_captured(fake):
    spec = encoder_spec() | {"inputs": [("frames", ["B", "W"], "tensor(uint8)")]}
    library = fake(spec)
    backend = gpu(rows=4)
    assert len(backend.run({"frames": FRAMES})["feature"]) == 11
    assert [(rows, o["gpu_graph_id"]) for rows, o in library.sessions[0].runs] == [(4, "-1"), (4, "-1"), (3, "-1")]
    assert "CUDA graphs" not in backend.description


def test_a_graph_that_cannot_be_captured_runs_without(fake, caplog):
    caplog.set_level(logging.INFO)
    library = fake(
        encoder_spec(),
        refuses=lambda named: (
            "nodes stay on the CPU" if "enable_cuda_graph" in named["CUDAExecutionProvider"] else None
        ),
    )
    backend = gpu(rows=4)
    assert len(backend.run({"frames": FRAMES})["feature"]) == 11
    assert {o["gpu_graph_id"] for _, o in library.sessions[0].runs} == {"-1"}
    assert "runs without CUDA graphs" in caplog.text


def test_out_of_memory_halves_the_batch_and_says_so(fake, caplog):
    library = fake(encoder_spec(), fits=3)
    backend = gpu(rows=8)
    expected = encoder_spec()["compute"]({"frames": FRAMES})["feature"]
    np.testing.assert_array_equal(backend.run({"frames": FRAMES})["feature"], expected)
    assert [rows for rows, _ in library.sessions[0].runs] == [8, 4, 2, 2, 2, 2, 2, 2]
    assert [r.getMessage() for r in caplog.records] == [
        "g.onnx: card 1 is out of memory, going on in batches of 4",
        "g.onnx: card 1 is out of memory, going on in batches of 2",
    ]
    caplog.clear()
    np.testing.assert_array_equal(backend.run({"frames": FRAMES})["feature"], expected)
    assert not caplog.records  # what was learnt stays


def test_out_of_memory_for_one_row_is_an_error(fake):
    fake(encoder_spec(), fits=0)
    with pytest.raises(BackendError, match=r"g\.onnx: card 1 is out of memory even for batches of one.*--device cpu"):
        gpu(rows=2).run({"frames": FRAMES})


def test_heads_out_of_memory_name_their_input(fake):
    fake(head_spec(), fits=0)
    for spec, when in ((None, ""), (HEAD_GRAPH, " even for batches of one")):
        words = rf"card 1 is out of memory{when}; free some.*inputs \{{'rgb': \[1, 6, 3\]\}} \(CUDA failure 2"
        with pytest.raises(BackendError, match=words):
            gpu(spec=spec).run({"rgb": np.zeros((1, 6, 3), np.float32)})


def test_videos_that_are_too_many_for_the_card_are_run_in_parts(fake, caplog):
    library, x = fake(head_spec(), fits=3), np.random.default_rng(0).random((8, 6, 3), np.float32)
    backend = gpu(spec=HEAD_GRAPH)
    np.testing.assert_array_equal(backend.run({"rgb": x})["cas"], head_spec()["compute"]({"rgb": x})["cas"])
    assert [rows for rows, _ in library.sessions[0].runs] == [8, 4, 2, 2, 2, 2]
    assert caplog.messages[-1] == "g.onnx: card 1 is out of memory, going on in batches of 2"


def test_other_failures_are_not_retried(fake):
    library = fake(encoder_spec(), breaks="illegal memory access")
    with pytest.raises(BackendError, match="illegal memory access"):
        gpu(rows=8).run({"frames": FRAMES})
    assert len(library.sessions[0].runs) == 1


def test_a_provider_that_does_not_load_is_named(fake, capsys):
    library = fake(encoder_spec(), loads=["CPUExecutionProvider"])
    with pytest.raises(BackendError, match=r"CUDA does not load here.*library is missing.*pip install") as e:
        gpu()
    assert e.value.exit_code == 4
    assert library.preloaded == 1
    assert capsys.readouterr().out == ""  # stdout is for results


def test_threads_share_a_card_in_turns(fake):
    spec, busy = encoder_spec(), []
    compute = spec["compute"]

    def slow(feeds):
        busy.append(1)
        nap(0.002)
        assert len(busy) == 1
        out = compute(feeds)
        busy.pop()
        return out

    fake(spec | {"compute": slow})
    backend, wrong = gpu(rows=4), []

    def work(k):
        mine = np.full((5, 4), k, np.uint8)
        for _ in range(5):
            if not np.array_equal(backend.run({"frames": mine})["feature"], compute({"frames": mine})["feature"]):
                wrong.append(k)

    run_threads(work, 6)
    assert not wrong


HEAD_GRAPH = Graph(
    member="head.onnx",
    inputs=[Tensor(name="rgb", dtype="float32", shape=["B", "T", 3])],
    outputs=[Tensor(name="cas", dtype="float32", shape=["B", "T", 3])],
)


def test_tensorrt_provider_is_told_cache_and_profile(fake, tmp_path, monkeypatch):
    monkeypatch.setenv("TAL_CACHE", str(tmp_path))
    library = fake(head_spec(), loads=["TensorrtExecutionProvider"])
    backend = gpu(device=DeviceName("ort-tensorrt", 1), spec=HEAD_GRAPH)
    options = library.sessions[0].providers["TensorrtExecutionProvider"]
    assert options["device_id"] == "1"
    assert options["trt_profile_min_shapes"] == "rgb:1x1x3"
    assert options["trt_profile_opt_shapes"] == "rgb:1x320x3"
    assert options["trt_profile_max_shapes"] == "rgb:32x4096x3"
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"
    assert options["trt_engine_cache_path"].startswith(str(tmp_path / "ort-tensorrt"))
    assert options["trt_timing_cache_path"] == str(tmp_path / "ort-tensorrt")
    assert list(library.sessions[0].providers) == ["TensorrtExecutionProvider", "CUDAExecutionProvider"]
    assert backend.run({"rgb": np.zeros((2, 7, 3), np.float32)})["cas"].shape == (2, 7, 3)
    with pytest.raises(BackendError, match=r"g\.onnx: T is 5000, the engine's profile covers T = 1\.\.4096"):
        backend.run({"rgb": np.zeros((1, 5000, 3), np.float32)})


def test_tensorrt_profile_of_an_encoder_is_its_batch(fake, tmp_path, monkeypatch):
    monkeypatch.setenv("TAL_CACHE", str(tmp_path))
    library = fake(encoder_spec(), loads=["TensorrtExecutionProvider"])
    frames = Tensor(name="frames", dtype="uint8", shape=["B", 4])
    spec = Graph(member="e.onnx", inputs=[frames], outputs=[])
    backend = gpu(rows=4, device=DeviceName("ort-tensorrt"), spec=spec)
    assert library.sessions[0].providers["TensorrtExecutionProvider"]["trt_profile_max_shapes"] == "frames:4x4"
    assert len(backend.run({"frames": FRAMES})["feature"]) == 11  # in parts that the profile covers


def test_a_cache_that_cannot_be_written_costs_a_warning(fake, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TAL_CACHE", str(tmp_path / "file"))
    library = fake(head_spec(), loads=["TensorrtExecutionProvider"])
    gpu(device=DeviceName("ort-tensorrt"), spec=HEAD_GRAPH)
    assert "engines are not kept" in caplog.text
    assert "trt_engine_cache_enable" not in library.sessions[0].providers["TensorrtExecutionProvider"]


# -- sharing -----------------------------------------------------------------------------------


class Doubler:
    """Gives twice its input, slowly, and notes how many rows it was given."""

    description = "doubler"

    def __init__(self):
        self.rows, self.gate = [], threading.Event()

    def run(self, feeds):
        self.rows.append(len(feeds["x"]))
        self.gate.wait(LONG_S)
        if (feeds["x"] < 0).any():
            raise BackendError("negative")
        return {"y": 2.0 * feeds["x"]}


def run_threads(work, count):
    threads = [threading.Thread(target=work, args=(k,)) for k in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(LONG_S)
        assert not t.is_alive()


def _together(inputs, rows):
    """Run inputs from a thread each while the first holds the graph; what each got."""
    graph = Doubler()
    shared, found = DynamicBatchingBackend(graph, rows), {}

    def work(k):
        if k:
            until(lambda: graph.rows)  # the first one comes first
        try:
            found[k] = shared.run({"x": inputs[k]})["y"]
        except BackendError as e:
            found[k] = e

    def opener():
        until(lambda: len(shared._waiting) == len(inputs) and graph.rows)  # the first one is among them
        graph.gate.set()

    gate = threading.Thread(target=opener)
    gate.start()
    run_threads(work, len(inputs))
    gate.join(LONG_S)
    return graph.rows, found


def test_waiting_calls_become_one():
    inputs = [np.full((n, 3), n, np.float32) for n in (2, 3, 1, 2)]
    rows, found = _together(inputs, rows=8)
    assert rows == [2, 6]
    for k, x in enumerate(inputs):
        np.testing.assert_array_equal(found[k], 2 * x)


def test_no_more_rows_than_allowed_and_only_one_kind():
    inputs = [np.ones((1, 3)), np.ones((3, 3)), np.ones((3, 2)), np.ones((3, 3)), np.ones((9, 3))]
    rows, found = _together(inputs, rows=6)
    assert rows[0] == 1
    assert sorted(rows[1:]) == [3, 6, 9]
    assert [found[k].shape for k in range(5)] == [x.shape for x in inputs]


def test_one_bad_call_does_not_stop_the_others():
    inputs = [np.ones((1, 3)), np.ones((2, 3)), -np.ones((2, 3)), np.ones((2, 3))]
    rows, found = _together(inputs, rows=8)
    assert rows[:2] == [1, 6]
    assert isinstance(found[2], BackendError)
    for k in (0, 1, 3):
        np.testing.assert_array_equal(found[k], 2 * inputs[k])


def test_a_lazy_graph_is_loaded_once_by_whoever_comes_first():
    opened = []

    def open_slowly():
        opened.append(1)
        nap(0.02)
        return open_backend(encoder_graph(), "e.onnx", "cpu", threads=1)

    lazy = LazyBackend(open_slowly)
    assert lazy.description == NOT_LOADED
    assert not opened
    frames = np.zeros((1, 8, 32, 32, 3), np.uint8)
    run_threads(lambda _: lazy.run({"frames": frames}), 4)
    assert opened == [1]
    assert lazy.description.endswith("(CPU)")


def test_a_lazy_graph_that_does_not_load_says_so_each_time():
    lazy = LazyBackend(lambda: open_backend(b"junk", "e.onnx", "cpu"))
    for _ in range(2):
        with pytest.raises(BackendError, match=r"e\.onnx"):
            lazy.run({})
