"""Live streams whose features stay on the card: they say what they say by way of the host."""

from __future__ import annotations

import gc

import numpy as np
import onnx
import onnxruntime
import pytest

from tal_engine.backends.onnx_write import GraphWriter
from tal_engine.diagnostics.stream_check import verify
from tal_engine.errors import BackendError
from tal_engine.features.card_store import CardStore, EncodedRow, gather_graph, rows_of
from tal_engine.features.on_card import CardPath
from tal_engine.options import StreamOptions
from tal_engine.records import Snippets
from tal_engine.streaming import StreamScheduler
from tal_engine.timeline import Timeline
from tests.makers import encoder_graph, moving_square, tiny_manifest, write_mp4
from tests.unit.backends.test_on_card import ALL, engine, on_host

__all__ = ["engine"]

OPTIONS = StreamOptions(window=3.2, step=0.64, look_ahead=1.28)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    return {
        name: write_mp4(folder / f"{name}.mp4", moving_square(count, 48, 64), fps=25)
        for name, count in (("a", 130), ("b", 150), ("c", 220))
    }


def told(engine, clips, **more):
    scheduler = StreamScheduler(engine, [f"{n}={p}" for n, p in clips.items()], OPTIONS, min_score=ALL, **more)
    events = [(e.source, e.id, e.label, e.start, e.end, e.score) for e in scheduler.run()]
    assert all(s.error is None for s in scheduler.streams)
    return events


@pytest.mark.parametrize("batch", [2, 16])
def test_events_are_those_of_the_other_path(engine, clips, batch):
    plain, kept = engine(False), engine(True)
    wanted = told(plain, clips, batch=batch)
    plain.by_host.clear()
    assert sorted(told(kept, clips, batch=batch)) == sorted(wanted)
    assert {s for s, *_ in wanted} == {"a", "b", "c"}
    heads = [feeds for name, feeds in kept.sent if name == "head.onnx"]
    assert heads, "the head read what lies on the card"
    assert kept.by_host == []


def test_a_pushed_stream_and_one_in_chunks(engine, clips):
    plain, kept = engine(False), engine(True)
    reports = [verify(e, clips["b"], OPTIONS, chunkings=1) for e in (plain, kept)]
    assert reports[0] == reports[1]
    assert reports[1].late_events == 0


def test_memory_follows_what_streams_hold(engine, clips, monkeypatch):
    from tal_engine.features import card_store

    monkeypatch.setattr(card_store, "_ROWS", 4)
    kept = engine(True)
    assert sorted(told(kept, clips)) == sorted(told(engine(False), clips))
    store = kept._stages._card._store
    window = kept.open_stream("x", OPTIONS).state.timing.window
    assert 4 < store.capacity <= 2 * (3 * (window + 16) + 16)
    del store
    kept.close()
    gc.collect()
    assert kept.device.empty, "a closed engine gives its pinned memory back"


def test_a_restored_stream_goes_by_the_host_until_its_window_is_of_now(engine, clips, tmp_path):
    plain, kept = engine(False), engine(True)
    frames = list(moving_square(333, 48, 64))

    def events(engine, cut):
        stream = engine.open_stream("s", OPTIONS, min_score=ALL)
        found = [e for i, f in enumerate(frames[:cut]) for e in stream.push(f, i / 25)]
        stream.snapshot(tmp_path / "s.npz")
        stream = engine.open_stream("s", OPTIONS, min_score=ALL)
        stream.restore(tmp_path / "s.npz")
        found += [e for i, f in enumerate(frames[cut:], cut) for e in stream.push(f, i / 25)]
        return found + stream.flush()

    wanted = events(plain, 150)
    plain.by_host.clear()
    assert events(kept, 150) == wanted
    assert set(kept.by_host) == {"head.onnx"}
    assert "head.onnx" in {name for name, _ in kept.sent[-4:]}


# -- the store ---------------------------------------------------------------------------------


def store(batch=3):
    (encoder,) = tiny_manifest().encoders
    path = CardPath([(encoder, on_host(encoder_graph()))])
    return CardStore(path, on_host(gather_graph()), batch)


def snippets(rng, count):
    frames = rng.integers(0, 255, (count, 8, 32, 32, 3), np.uint8)
    return Snippets(frames, None, 0, Timeline(0.0, 0.32, 0.32), 1.0)


def test_rows_are_found_wherever_they_moved(rng, monkeypatch):
    from tal_engine.features import card_store

    monkeypatch.setattr(card_store, "_ROWS", 4)
    kept, backend = store(), on_host(gather_graph())
    held: list[EncodedRow] = []
    for _ in range(40):
        held += rows_of(kept.encode(snippets(rng, int(rng.integers(1, 8)))))
        held = [row for row in held if rng.random() < 0.8]
        if len(held) > 3:
            chosen = [[held[int(i)] for i in rng.integers(0, len(held), 5)] for _ in range(2)]
            found = backend.receive(kept.gathered([[row.place for row in window] for window in chosen])["rgb"])
            np.testing.assert_array_equal(found, [[row["rgb"] for row in window] for window in chosen])
    assert kept.capacity <= 2 * (60 + 8)


def test_an_encoder_that_fails_leaves_the_store_usable(rng, monkeypatch):
    kept = store()
    before = rows_of(kept.encode(snippets(rng, 2)))
    backend, real = kept._path.encoders[0][1], type(kept._path.encoders[0][1]).run_on_card

    def failing(*_):
        raise BackendError("broken")

    with monkeypatch.context() as m:
        m.setattr(backend, "run_on_card", failing)
        with pytest.raises(BackendError, match="broken"):
            kept.encode(snippets(rng, 2))
    assert backend.run_on_card.__func__ is real
    after = rows_of(kept.encode(snippets(rng, 5)))
    found = on_host(gather_graph()).receive(kept.gathered([[row.place for row in before + after]])["rgb"])
    np.testing.assert_array_equal(found[0], [row["rgb"] for row in before + after])


def test_rows_without_a_card_have_no_place():
    rows = rows_of({"rgb": np.eye(3, dtype=np.float32), "flow": np.ones((3, 2), np.float32)})
    assert [row.place for row in rows] == [None] * 3
    np.testing.assert_array_equal(rows[1]["rgb"], [0, 1, 0])


# -- graphs that the runtime writes ------------------------------------------------------------


def test_written_graphs_are_what_onnx_reads(rng):
    writer = GraphWriter("all")
    writer.input("x", np.float32, ("N", 4))
    a, b = writer.split("Split", 2, "x", writer.ints(1, 3), axis=-1)
    scaled = writer.add("Mul", b, writer.constant(np.array([1, 2, 3], np.float32)))
    leaky = writer.add("LeakyRelu", scaled, alpha=0.25)
    back = writer.add("Transpose", writer.add("Concat", leaky, a, axis=1), perm=(1, 0))
    depth = writer.add("Relu", back)
    writer.output(writer.cast(depth, np.int64), "y", np.int64, (4, "N"))
    writer.output(writer.add("Clip", leaky, writer.floats(-1.0)), "z", np.float32, ("N", 3))
    graph = writer.serialized()
    model = onnx.load_from_string(graph)
    onnx.checker.check_model(model, full_check=True)
    assert [o.name for o in model.graph.output] == ["y", "z"]
    x = rng.normal(0, 3, (5, 4)).astype(np.float32)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    y, z = session.run(None, {"x": x})
    wanted = x[:, 1:] * [1, 2, 3]
    wanted = np.where(wanted < 0, wanted * 0.25, wanted)
    np.testing.assert_allclose(z, np.maximum(wanted, -1), rtol=1e-6)
    np.testing.assert_array_equal(y, np.maximum(np.concatenate([wanted, x[:, :1]], 1), 0).T.astype(np.int64))
