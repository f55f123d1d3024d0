"""Engines that run: all of our code up to the card, on a card and a library made of host memory and ONNX Runtime."""

from __future__ import annotations

import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime as ort
import pytest

from tal_engine import TALEngine
from tal_engine.backends import open_backend
from tal_engine.backends.engine_cache import EngineCache
from tal_engine.backends.profile import profile_of, shapes_of
from tal_engine.backends.tensorrt import engines
from tal_engine.backends.tensorrt.builder import build
from tal_engine.backends.tensorrt.engines import fitting, incompatibility
from tal_engine.backends.tensorrt.runner import CONTEXTS, TensorRTBackend
from tal_engine.engine import EMBEDDED_PLAN
from tal_engine.errors import BackendError, UsageError
from tal_engine.plan.archive import parse_plan, plan_bytes, read_plan, with_engines
from tal_engine.plan.fields import EngineRecord
from tests.fake_tensorrt import VERSION, FakeDevice, engine_bytes, fake_flavour

PROFILE = {"B": (2, 4, 6), "T": (3, 10, 50)}


@pytest.fixture(scope="module")
def demo():
    return read_plan(EMBEDDED_PLAN)


@pytest.fixture
def device():
    return FakeDevice()


@pytest.fixture
def flavour(device):
    return fake_flavour(device)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def graph_of(plan, member):
    return next(g for g in plan.manifest.graphs if g.member == member)


def made(plan, member, profile, **more):
    """An engine of the fake library, with its record."""
    graph, content = graph_of(plan, member), plan.files[member]
    asked = profile_of(graph, profile)
    session = ort.InferenceSession(content)
    engine = engine_bytes(content, session, {t.name: shapes_of(t, asked) for t in graph.inputs}, **more)
    record = EngineRecord(
        member=f"{member.removesuffix('.onnx')}.tensorrt.sm89.engine",
        graph=member,
        graph_sha256=hashlib.sha256(content).hexdigest(),
        flavour="tensorrt",
        version=VERSION,
        targets=["sm89"],
        platform=engines.this_platform(),
        profile=asked,
        layers={"fp32": 1},
        bytes=len(engine),
        sha256=hashlib.sha256(engine).hexdigest(),
        build_seconds=0.0,
    )
    return record, engine


def loaded(plan, member, flavour, device, profile=PROFILE, **more):
    record, engine = made(plan, member, profile, **more)
    return TensorRTBackend(flavour, engine, record, graph_of(plan, member), device)


def cpu(plan, member, feeds):
    return open_backend(plan.files[member], member, "cpu", threads=1).run(feeds)


def features(rng, batch, length):
    return {s: rng.standard_normal((batch, length, 128)).astype(np.float32) for s in ("rgb", "flow")}


class TestRun:
    @pytest.mark.parametrize("batch", [1, 2, 5, 6, 7, 13])
    def test_batches_are_filled_up_cut_and_split(self, demo, flavour, device, rng, batch):
        backend = loaded(demo, "head.onnx", flavour, device)
        feeds = features(rng, batch, 20)
        got, wanted = backend.run(feeds), cpu(demo, "head.onnx", feeds)
        assert set(got) == set(wanted)
        for name in wanted:
            assert got[name].shape == wanted[name].shape
            np.testing.assert_allclose(got[name], wanted[name], atol=1e-5)

    def test_bytes_go_to_the_card_as_bytes(self, demo, flavour, device, rng):
        backend = loaded(demo, "encoder_rgb.onnx", flavour, device)
        frames = rng.integers(0, 256, (3, 16, 112, 112, 3), dtype=np.uint8)
        got = backend.run({"frames": frames})["feature"]
        np.testing.assert_allclose(got, cpu(demo, "encoder_rgb.onnx", {"frames": frames})["feature"], atol=1e-5)
        assert max(m.nbytes for m in device.memory.values()) == frames.nbytes

    def test_results_are_kept_when_buffers_are_used_again(self, demo, flavour, device, rng):
        backend = loaded(demo, "head.onnx", flavour, device)
        first = features(rng, 2, 50)
        got = backend.run(first)
        before = {n: a.copy() for n, a in got.items()}
        backend.run(features(rng, 2, 7))
        assert all(np.array_equal(got[n], before[n]) for n in got)

    def test_buffers_grow_and_stay(self, demo, flavour, device, rng):
        backend = loaded(demo, "head.onnx", flavour, device)
        sizes = []
        for length in (10, 40, 20):
            backend.run(features(rng, 2, length))
            sizes.append(sum(m.nbytes for m in device.memory.values()))
        assert sizes[0] < sizes[1] == sizes[2]

    def test_all_is_given_back(self, demo, flavour, device, rng):
        backend = loaded(demo, "head.onnx", flavour, device)
        backend.run(features(rng, 2, 10))
        assert not device.empty
        del backend
        assert device.empty

    def test_views_and_other_orders(self, demo, flavour, device, rng):
        backend = loaded(demo, "head.onnx", flavour, device)
        feeds = {n: np.asfortranarray(a)[:, ::2] for n, a in features(rng, 2, 40).items()}
        np.testing.assert_allclose(backend.run(feeds)["cas"], cpu(demo, "head.onnx", feeds)["cas"], atol=1e-5)

    def test_threads(self, demo, flavour, device, rng):
        backend = loaded(demo, "head.onnx", flavour, device)
        inputs = [features(rng, 1 + i % 7, 3 + i) for i in range(24)]
        wanted = [cpu(demo, "head.onnx", x)["cas"] for x in inputs]
        with ThreadPoolExecutor(8) as pool:
            got = list(pool.map(lambda x: backend.run(x)["cas"], inputs))
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
        assert 1 <= backend._engine.contexts <= CONTEXTS

    def test_description(self, demo, flavour, device):
        assert loaded(demo, "head.onnx", flavour, device).description == f"TensorRT {VERSION} on Fake Card (fp32)"


class TestRuntimeCache:
    """What TensorRT-RTX compiles for a card at the first run is kept for the next process."""

    def test_kept_after_the_first_run(self, demo, device, rng, tmp_path, caplog):
        flavour, path = fake_flavour(device, "tensorrt-rtx"), tmp_path / "runtime" / "x.cache"
        record, engine = made(demo, "head.onnx", PROFILE)

        def one_process():
            backend = TensorRTBackend(flavour, engine, record, demo.manifest.head, device, path)
            for length in (10, 20):
                backend.run(features(rng, 2, length))
            return path.read_bytes()

        assert one_process() == b"compiled "
        assert one_process() == b"compiled compiled "
        path.write_bytes(b"of another card")
        with caplog.at_level(logging.INFO, "tal_engine"):
            assert one_process() == b"compiled "
        assert "is of another card, driver or version" in caplog.text

    def test_tensorrt_has_none(self, demo, flavour, device, rng, tmp_path):
        record, engine = made(demo, "head.onnx", PROFILE)
        backend = TensorRTBackend(flavour, engine, record, demo.manifest.head, device, tmp_path / "x.cache")
        backend.run(features(rng, 2, 10))
        assert not (tmp_path / "x.cache").exists()


class TestRefused:
    @pytest.mark.parametrize("length", [2, 51])
    def test_length_outside_of_the_profile(self, demo, flavour, device, rng, length):
        backend = loaded(demo, "head.onnx", flavour, device)
        match = rf"T is {length}, the engine was built for 3 to 50 \(B=2:4:6,T=3:10:50\): tal plan build --profile T="
        with pytest.raises(BackendError, match=match):
            backend.run(features(rng, 1, length))

    def test_inputs_that_do_not_fit(self, demo, flavour, device, rng):
        backend = loaded(demo, "head.onnx", flavour, device)
        feeds = features(rng, 2, 10)
        wrong = [
            ({"rgb": feeds["rgb"]}, "reads .* was given"),
            (feeds | {"rgb": feeds["rgb"].astype(np.float64)}, "rgb is float64"),
            (feeds | {"rgb": feeds["rgb"][..., :100]}, r"rgb is float32 \[2, 10, 100\], must be"),
            (feeds | {"rgb": feeds["rgb"][0]}, r"rgb is float32 \[10, 128\], must be"),
            (feeds | {"flow": feeds["flow"][:, :5]}, "T is (5|10) in (rgb|flow)"),
            (features(rng, 0, 10), "B is 0"),
        ]
        for given, match in wrong:
            with pytest.raises(BackendError, match=match):
                backend.run(given)

    def test_engine_that_was_changed(self, demo, flavour, device):
        record, engine = made(demo, "head.onnx", PROFILE)
        for changed in (engine[:-1], engine[:-1] + b"x", b""):
            with pytest.raises(BackendError, match=r"head.tensorrt.sm89.engine: was changed, its hash is wrong"):
                TensorRTBackend(flavour, changed, record, demo.manifest.head, device)

    def test_engine_that_does_not_load(self, demo, flavour, device):
        junk = b"no engine"
        record = made(demo, "head.onnx", PROFILE)[0].model_copy(
            update={"bytes": len(junk), "sha256": hashlib.sha256(junk).hexdigest()}
        )
        with pytest.raises(BackendError, match="does not load on Fake Card: Magic tag does not match"):
            TensorRTBackend(flavour, junk, record, demo.manifest.head, device)

    def test_engine_with_code_for_the_host(self, demo, flavour, device):
        with pytest.raises(BackendError, match="host code is not allowed"):
            loaded(demo, "head.onnx", flavour, device, host_code=True)

    def test_engine_of_another_graph(self, demo, flavour, device):
        record, engine = made(demo, "encoder_flow.onnx", PROFILE)
        with pytest.raises(BackendError, match="the engine has inputs"):
            TensorRTBackend(flavour, engine, record, demo.manifest.head, device)

    def test_engine_that_fails(self, demo, flavour, device, rng):
        backend = loaded(demo, "head.onnx", flavour, device, fails=True)
        with pytest.raises(BackendError, match=r"head.onnx: the engine failed"):
            backend.run(features(rng, 2, 10))
        assert device.empty


class TestMemory:
    def test_half_a_batch_where_the_whole_does_not_fit(self, demo, flavour, rng, caplog):
        feeds = features(rng, 6, 20)
        device = FakeDevice(capacity=sum(a.nbytes for a in feeds.values()) // 2 + 40_000)
        backend = loaded(demo, "head.onnx", fake_flavour(device), device)
        with caplog.at_level(logging.WARNING, "tal_engine"):
            got = backend.run(feeds)["cas"]
        np.testing.assert_allclose(got, cpu(demo, "head.onnx", feeds)["cas"], atol=1e-5)
        assert caplog.messages == ["head.tensorrt.sm89.engine: out of memory at 6 rows, going on with 3"]
        backend.run(feeds)
        assert len(caplog.messages) == 1

    def test_not_even_one_row(self, demo, rng):
        device = FakeDevice(capacity=10_000)
        backend = loaded(demo, "head.onnx", fake_flavour(device), device)
        with pytest.raises(BackendError, match=r"Fake Card has not enough memory for inputs .*free some of it"):
            backend.run(features(rng, 6, 50))
        assert device.empty

    def test_rows_that_belong_together_are_not_split(self, demo, rng):
        """A graph without a batch, as evaluators are."""
        head, content = demo.manifest.head, demo.files["head.onnx"]
        one = {
            kind: [t.model_copy(update={"shape": [1, *t.shape[1:]]}) for t in getattr(head, kind)]
            for kind in ("inputs", "outputs")
        }
        shapes = ((1, 3, 128), (1, 10, 128), (1, 50, 128))
        engine = engine_bytes(content, ort.InferenceSession(content), dict.fromkeys(("rgb", "flow"), shapes))
        change = {"profile": {"T": (3, 10, 50)}, "bytes": len(engine), "sha256": hashlib.sha256(engine).hexdigest()}
        record = made(demo, "head.onnx", PROFILE)[0].model_copy(update=change)
        device = FakeDevice(capacity=30_000)
        backend = TensorRTBackend(fake_flavour(device), engine, record, head.model_copy(update=one), device)
        feeds = features(rng, 1, 5)
        np.testing.assert_allclose(backend.run(feeds)["cas"], cpu(demo, "head.onnx", feeds)["cas"], atol=1e-5)
        with pytest.raises(BackendError, match=r"head.*: Fake Card has not enough memory for inputs .*1, 50, 128"):
            backend.run(features(rng, 1, 50))


class TestWhichEngine:
    def test_the_plans_own(self, demo, flavour, device):
        own = made(demo, "head.onnx", PROFILE)
        assert fitting(demo.files["head.onnx"], demo.manifest.head, flavour, device, [own]) == own
        assert flavour.module.Builder.builds == 0

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"graph_sha256": "0" * 64}, "another graph"),
            ({"flavour": "tensorrt-rtx"}, "is of tensorrt-rtx"),
            ({"version": "10.8.0"}, "built by version 10.8.0, installed is 10.9.0"),
            ({"targets": ["sm75", "sm80"]}, "built for sm75, sm80, the card is sm89"),
            ({"platform": "windows-x86_64"}, "built on windows-x86_64"),
        ],
    )
    def test_one_that_does_not_fit_is_built_again(self, demo, flavour, device, change, why, caplog):
        record, engine = made(demo, "head.onnx", PROFILE)
        record = record.model_copy(update=change)
        with caplog.at_level(logging.INFO, "tal_engine"):
            got = fitting(demo.files["head.onnx"], demo.manifest.head, flavour, device, [(record, engine)])
        assert got[0].profile["T"] == (1, 320, 4096)
        assert flavour.module.Builder.builds == 1
        assert any(why in m for m in caplog.messages)
        assert why in incompatibility(record, made(demo, "head.onnx", PROFILE)[0].graph_sha256, flavour, "sm89")

    def test_the_plans_own_that_was_changed(self, demo, flavour, device, caplog):
        record, engine = made(demo, "head.onnx", PROFILE)
        with caplog.at_level(logging.INFO, "tal_engine"):
            got = fitting(demo.files["head.onnx"], demo.manifest.head, flavour, device, [(record, engine + b"x")])
        assert got[0].profile != record.profile
        assert "head.tensorrt.sm89.engine: not used, its hash is wrong" in caplog.messages

    def test_first_use_builds_the_second_does_not(self, demo, flavour, device, cache, caplog):
        args = (demo.files["head.onnx"], demo.manifest.head, flavour, device, [])
        first = fitting(*args)
        assert [m.split(" builds")[0] for m in caplog.messages] == [
            "head.onnx: there is no engine for sm89 yet; TensorRT 10.9.0"
        ]
        assert fitting(*args) == first
        assert len(caplog.messages) == 1
        assert flavour.module.Builder.builds == 1
        assert first[0].layers == {"fp16": 1}
        assert (cache / "timing" / f"tensorrt-{VERSION}-sm89.cache").read_bytes() == b"timed "

    def test_what_was_built_last_is_taken(self, demo, flavour, device):
        content, graph = demo.files["head.onnx"], demo.manifest.head
        fitting(content, graph, flavour, device, [])
        asked = profile_of(graph, {"T": (1, 100, 9000)})
        engines.cached_engine(flavour, content, graph, asked, ["sm89"], EngineCache(), device=device)
        assert fitting(content, graph, flavour, device, [])[0].profile == asked

    def test_timing_cache(self, demo, flavour, device, caplog):
        graph, content = demo.manifest.head, demo.files["head.onnx"]
        profile = profile_of(graph, {})
        assert build(flavour, content, graph, profile, timing=b"old ", device=device).timing == b"old timed "
        with caplog.at_level(logging.WARNING, "tal_engine"):
            assert build(flavour, content, graph, profile, timing=b"other card", device=device).timing == b"timed "
        assert "of another card or version" in caplog.text

    def test_tensorrt_builds_for_the_card_at_hand_alone(self, demo, flavour, device):
        graph = demo.manifest.head
        with pytest.raises(UsageError, match="target is 'sm75', must be one of sm89"):
            build(flavour, demo.files["head.onnx"], graph, profile_of(graph, {}), ["sm75"], device=device)
        with pytest.raises(BackendError, match="builds on a card of the kind it builds for"):
            build(flavour, demo.files["head.onnx"], graph, profile_of(graph, {}), ["sm75"])


class TestEngine:
    """The whole path, from a plan with engines to segments."""

    @pytest.fixture
    def card(self, monkeypatch, device, flavour):
        monkeypatch.setattr(engines, "load_flavour", lambda name: flavour)
        monkeypatch.setattr(engines, "CudaDevice", lambda index: device)
        return flavour

    def test_same_segments_as_on_the_cpu(self, demo, card, rng):
        asked = {"T": (1, 100, 1000)}
        plan = with_engines(demo, [made(demo, g.member, asked) for g in demo.manifest.graphs])
        plan = parse_plan(plan_bytes(plan))
        source = {s: a[0] for s, a in features(rng, 1, 200).items()}
        wanted = TALEngine(plan, "cpu").localize(source, min_score=-100)
        engine = TALEngine(plan, "tensorrt:0")
        assert engine.description.endswith("TensorRT 10.9.0 on Fake Card (fp32)")
        got = engine.localize(source, min_score=-100)
        assert len(wanted) > 5
        assert [(s.label, s.start, s.end) for s in got] == [(s.label, s.start, s.end) for s in wanted]
        assert card.module.Builder.builds == 0

    def test_video_longer_than_the_profile(self, demo, card, rng):
        plan = with_engines(demo, [made(demo, "head.onnx", {"T": (1, 50, 100)})])
        with pytest.raises(BackendError, match="T is 200, the engine was built for 1 to 100"):
            TALEngine(plan, "tensorrt").localize({s: a[0] for s, a in features(rng, 1, 200).items()})

    def test_without_a_card(self, demo, monkeypatch, flavour, caplog):
        def none(index):
            raise BackendError("cuda:0: this machine has no NVIDIA cards")

        monkeypatch.setattr(engines, "load_flavour", lambda name: flavour)
        monkeypatch.setattr(engines, "CudaDevice", none)
        with caplog.at_level(logging.WARNING, "tal_engine"):
            assert "ONNX Runtime" in TALEngine(demo, "tensorrt-rtx").description
        assert "tensorrt-rtx was asked for: cuda:0: this machine has no NVIDIA cards; falling back" in caplog.text
        with pytest.raises(BackendError, match="tensorrt-rtx was asked for"):
            TALEngine(demo, "tensorrt-rtx", strict=True)

    def test_unknown_device(self, demo):
        with pytest.raises(UsageError, match="device is 'tensorrt:x'"):
            TALEngine(demo, "tensorrt:x")
