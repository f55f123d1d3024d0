"""Arrays that stay on a card. The runtime's calls are made for real, on host memory; fakes stand in for the card."""

from __future__ import annotations

import threading

import numpy as np
import onnxruntime
import pytest

from tal_engine import TALEngine
from tal_engine.backends import DeviceName, RunOptions, ort, select
from tal_engine.backends.card_tensor import CardTensor, is_lost
from tal_engine.backends.cuda import DeviceMemoryError
from tal_engine.backends.ort import open_session, session_options
from tal_engine.backends.ort_card import OrtCardBackend
from tal_engine.backends.upload import Uploader
from tal_engine.errors import BackendError, FeatureError, UsageError
from tal_engine.features import on_card
from tal_engine.features.on_card import CardPath, CardRows
from tests.fake_ort import FakeOrt, encoder_spec, head_spec
from tests.fake_tensorrt import FakeDevice
from tests.makers import head_graph, tiny_plan
from tests.waiting import LONG_S, no_thread_left, stays

ALL = float("-inf")


class OnHost(OrtCardBackend):
    """The backend as it is, with ONNX Runtime's CPU as the card: its IO binding on host memory."""

    memory = "cpu"

    def _session_with(self, graph, options, more):
        return open_session(graph, self._name, session_options(options), ["CPUExecutionProvider"])

    def _run_options(self, captured=True):
        return onnxruntime.RunOptions()


def on_host(graph, name="g.onnx", rows=0):
    return OnHost(graph, name, DeviceName("cuda"), RunOptions(rows=rows))


@pytest.fixture
def engine(monkeypatch, tmp_path):
    """A plan whose graphs run on that card, with features kept there or not."""
    sent, by_host, device = [], [], FakeDevice()

    class Noted(OnHost):
        def run_on_card(self, feeds, *more):
            sent.append((self._name, {n: t.address for n, t in feeds.items()}))
            return super().run_on_card(feeds, *more)

        def run(self, feeds):
            by_host.append(self._name)
            return super().run(feeds)

    def opened(graph, name, wanted, options, spec, engines):
        return Noted(graph, name, DeviceName("cuda"), options, spec)

    monkeypatch.setattr(select, "_open", opened)
    monkeypatch.setattr(on_card, "uploader_for", lambda card: Uploader(device, card, 4))

    def make(kept, *, convert_on_device=False, **changes):
        more = {"on_card": kept, "convert_on_device": convert_on_device}
        made = TALEngine(tiny_plan(tmp_path / "t.plan", **changes), "cpu", batch=3, **more)
        made.sent, made.by_host, made.device = sent, by_host, device
        return made

    return make


def test_a_video_has_the_segments_and_features_of_the_other_path(engine, clip):
    plain, kept = engine(False), engine(True)
    a, b = (e.localize(clip, min_score=ALL, top_k=0) for e in (plain, kept))
    assert list(a) == list(b)
    assert len(a) > 0
    np.testing.assert_array_equal(a.activations.cas, b.activations.cas)
    np.testing.assert_array_equal(plain.features(clip).streams["rgb"], kept.features(clip).streams["rgb"])
    assert kept.device.empty  # each video gives its memory back
    assert [name for name, _ in kept.sent[:6]] == ["encoder_rgb.onnx"] * 5 + ["head.onnx"]


def test_a_video_that_is_longer_than_it_says(engine, clip, monkeypatch):
    wanted = engine(False).localize(clip, min_score=ALL, top_k=0)
    monkeypatch.setattr(on_card, "_ROWS", 2)
    real = on_card.CardPath.encode
    monkeypatch.setattr(on_card.CardPath, "encode", lambda self, b, c, d, expected, p=None: real(self, b, c, d, 0, p))
    assert list(engine(True).localize(clip, min_score=ALL, top_k=0)) == list(wanted)


def test_several_videos_and_features_alone(engine, clip):
    plain, kept = engine(False), engine(True)
    want = [list(r) for _, r in plain.localize_batch([clip, clip], workers=2, min_score=ALL, on_error="return")]
    assert [list(r) for _, r in kept.localize_batch([clip, clip], workers=2, min_score=ALL, on_error="return")] == want
    features = plain.features(clip)
    assert list(kept.localize(features, min_score=ALL)) == list(plain.localize(features, min_score=ALL))
    assert kept.device.empty


def test_an_encoder_that_fails_ends_the_video_and_nothing_else(engine, clip, monkeypatch):
    kept = engine(True)
    kept.load_encoders()
    backend = kept._stages._late[0].get()._backend  # behind the check of what it gives
    calls = []

    def failing(feeds, *more):
        calls.append(1)
        if len(calls) == 2:
            raise BackendError("broken")
        return OnHost.run_on_card(backend, feeds, *more)

    with no_thread_left("tal-read-ahead"), monkeypatch.context() as m:
        m.setattr(backend, "run_on_card", failing)
        with pytest.raises(BackendError, match="broken"):
            kept.localize(clip)
    assert kept.device.empty
    assert len(kept.localize(clip, min_score=ALL)) > 0


def test_a_head_that_is_not_on_a_card_is_refused(plan_path):
    with pytest.raises(BackendError, match=r"on_card keeps features on a card, but head.onnx runs on ONNX Runtime"):
        TALEngine.load(plan_path, "cpu", on_card=True)


def test_inputs_and_outputs_are_addresses(rng):
    head = on_host(head_graph())
    x = rng.normal(size=(1, 7, 4)).astype(np.float32)
    want = head.run({"rgb": x})
    memory = head.allocate((1, 7, 4))
    found = head.run_on_card({"rgb": head.send(x)}, {"cas": memory})
    assert found["cas"] is memory
    for name, value in found.items():
        np.testing.assert_array_equal(head.receive(value), want[name])


def test_rows_of_a_tensor():
    whole = CardTensor(1000, (6, 4), np.dtype(np.float32), 0, None)
    assert whole.nbytes == 96
    assert (whole.rows(2, 3).address, whole.rows(2, 3).shape) == (1032, (3, 4))
    assert whole.rows(0, 6).reshaped(1, 6, 4).shape == (1, 6, 4)
    with pytest.raises(UsageError, match=r"rows 5\.\.7 of an array of 6 rows"):
        whole.rows(5, 2)
    with pytest.raises(UsageError, match=r"shape \[5, 4\] for an array of shape \[6, 4\]"):
        whole.reshaped(5, 4)


def test_rows_move_when_more_come(rng):
    rows = CardRows(on_host(head_graph()), 3, 2)
    want = rng.normal(size=(9, 3)).astype(np.float32)
    for i in range(0, 9, 3):
        place = rows.next(3)
        np.ctypeslib.as_array((np.ctypeslib.ctypes.c_float * 9).from_address(place.address))[:] = want[
            i : i + 3
        ].ravel()
    np.testing.assert_array_equal(rows.host(), want)


def test_flow_that_is_not_there_is_named():
    from types import SimpleNamespace

    path = CardPath([(SimpleNamespace(reads="flow"), None)])
    with pytest.raises(FeatureError, match="reads flow"):
        next(path.placed([SimpleNamespace(frames=np.zeros(1), flow=None)]))


# -- uploads ----------------------------------------------------------------------------------


def test_uploads_are_whole_and_their_memory_is_used_again(rng):
    device = FakeDevice()
    uploader = Uploader(device, 0, 2)
    sizes = ((2, 3, 5), (4, 3, 5), (1, 3, 5))
    for i in range(6):
        arrays = {"frames": rng.integers(0, 255, sizes[i % 3], np.uint8), "flow": rng.normal(size=(3, i + 1))}
        batch = uploader.send(arrays)
        for name, a in arrays.items():
            t = batch.tensors[name]
            assert (t.shape, t.dtype) == (a.shape, a.dtype)
            np.testing.assert_array_equal(device.memory[t.address][: t.nbytes].view(a.dtype).reshape(a.shape), a)
        uploader.release(batch)
    assert len(device.memory) == 4  # two slots of two arrays
    uploader.close()
    uploader.close()
    assert device.empty


def test_a_slot_is_waited_for_and_a_closed_uploader_says_so():
    uploader = Uploader(FakeDevice(), 0, 1)
    first = uploader.send({"a": np.zeros(3)})
    got = []
    waiting = threading.Thread(target=lambda: got.append(uploader.send({"a": np.ones(3)})))
    waiting.start()
    assert stays(waiting.is_alive)
    uploader.release(first)
    waiting.join(LONG_S)
    assert got[0].tensors["a"].address == first.tensors["a"].address
    uploader.close()
    with pytest.raises(BackendError, match="closed"):
        uploader.send({"a": np.zeros(3)})


def test_memory_that_is_short_leaves_the_uploader_usable():
    device = FakeDevice(capacity=2048)
    uploader = Uploader(device, 0, 1)
    for _ in range(3):
        with pytest.raises(DeviceMemoryError):
            uploader.send({"a": np.zeros(4096, np.uint8)})
    uploader.release(uploader.send({"a": np.zeros(100, np.uint8)}))
    uploader.close()
    assert device.empty


# -- a card that is lost -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        ("CUDA failure 700: an illegal memory access was encountered ; GPU=0", True),
        ("CUDA error: device-side assert triggered", True),
        ("CUDA failure 719: unspecified launch failure", True),
        ("cudaErrorECCUncorrectable", True),
        ("CUDA failure 2: out of memory", False),
        ("Non-zero status code returned while running MatMul node. dimensions 7000 and 4", False),
    ],
)
def test_errors_after_which_nothing_works(said, lost):
    assert is_lost(said) is lost


def faked(monkeypatch, spec, **how):
    from tal_engine.backends import ort_card, ort_gpu

    made = FakeOrt(spec, **how)
    for module in (ort_card, ort_gpu, ort):
        monkeypatch.setattr(module, "ort", made)
    return made, OrtCardBackend(b"onnx", "g.onnx", DeviceName("cuda", 1), RunOptions(rows=4))


def test_a_lost_card_is_named_and_not_asked_again(monkeypatch):
    fake, backend = faked(monkeypatch, encoder_spec(), breaks="CUDA failure 700: an illegal memory access")
    frames = np.zeros((3, 4), np.uint8)
    with pytest.raises(
        BackendError, match=r"g.onnx: card 1 is lost to this process.*start the process anew.*CUDA failure"
    ):
        backend.run({"frames": frames})
    runs = len(fake.sessions[0].runs)
    fake.breaks = ""
    for again in (lambda: backend.run({"frames": frames}), lambda: backend.send(frames)):
        with pytest.raises(BackendError, match="card 1 is lost to this process"):
            again()
    assert len(fake.sessions[0].runs) == runs


def test_calls_on_the_card_are_made_as_the_library_has_them(monkeypatch, rng):
    fake, backend = faked(monkeypatch, head_spec())
    x = rng.normal(size=(1, 6, 3)).astype(np.float32)
    found = backend.run_on_card({"rgb": backend.send(x)})
    np.testing.assert_array_equal(found["cas"].owner.numpy(), x + 1)
    assert fake.made == [((1, 6, 3), np.dtype(np.float32), "cuda", 1)]
    assert fake.sessions[0].runs[0][1]["gpu_graph_id"] == "-1"
    assert {v.device for v in fake.bindings[0].inputs.values()} == {"cuda"}


def test_memory_that_is_short_on_the_card_is_named(monkeypatch):
    _, backend = faked(monkeypatch, encoder_spec(), fits=2)
    with pytest.raises(BackendError, match="card 1 is out of memory; free some of it"):
        backend.run_on_card({"frames": backend.send(np.zeros((3, 4), np.uint8))})
