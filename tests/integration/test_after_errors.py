"""What each public object is after an error and after `close`: usable, or says that it is not. Memory stays bounded."""

from __future__ import annotations

import gc
import os
import pickle
import threading
import weakref

import numpy as np
import pytest

from tal_engine import TALEngine
from tal_engine._util.concurrency import read_ahead
from tal_engine.backends import DynamicBatchingBackend, LazyBackend, RunOptions, Runtime
from tal_engine.errors import (
    BackendError,
    FeatureError,
    PlanError,
    PlanFault,
    SinkError,
    SnapshotError,
    StateError,
    TALError,
    UsageError,
    VideoError,
    VideoFault,
)
from tal_engine.live.live_source import open_live
from tal_engine.options import SnippetOptions, StreamOptions
from tal_engine.streaming import StreamingLocalizer, StreamScheduler
from tal_engine.video import open_video
from tal_engine.video.grid import SnippetGrid
from tests.events import final
from tests.makers import moving_square, tiny_plan
from tests.waiting import LONG_S, alone, no_thread_left, until

SHORT = StreamOptions(window=2.56, step=0.64, look_ahead=0.64, gap=0.32)
FRAMES = list(moving_square(120, 48, 64))


@pytest.fixture(scope="module")
def engine():
    return TALEngine(tiny_plan(), "cpu", threads=1)


def pushed(stream, frames=FRAMES, start=0):
    return [e for i, f in enumerate(frames) for e in stream.push(f, (start + i) / 25)]


def failing_at(monkeypatch, owner, name, call, error):
    """Let the n-th call of a method raise, once."""
    plain, calls = getattr(owner, name), [0]

    def run(*args, **more):
        calls[0] += 1
        if calls[0] == call:
            raise error
        return plain(*args, **more)

    monkeypatch.setattr(owner, name, run)


# -- a pushed stream ---------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["encode_snippets", "propose"])
@pytest.mark.parametrize("error", [BackendError("no memory left"), KeyboardInterrupt(), ValueError("a bug")])
def test_a_stream_whose_model_failed_says_so_until_reset(engine, monkeypatch, tmp_path, stage, error):
    stream, clean = engine.open_stream("s", SHORT, min_score=-np.inf), engine.open_stream("s", SHORT, min_score=-np.inf)
    wanted = pushed(clean) + clean.flush()
    assert wanted
    failing_at(monkeypatch, engine, stage, 3, error)
    with pytest.raises(type(error)):
        pushed(stream)
    assert stream.failed
    for use in (
        lambda: stream.push(FRAMES[0], 99.0),
        lambda: stream.push_features({"rgb": np.zeros(4, np.float32)}),
        stream.flush,
        lambda: stream.snapshot(tmp_path / "s.npz"),
    ):
        with pytest.raises(StateError, match=rf"failed before \({type(error).__name__}.*reset\(\) begins"):
            use()
    assert not list(tmp_path.iterdir())
    stream.reset()
    assert not stream.failed
    assert pushed(stream) + stream.flush() == wanted


def test_a_failed_stream_holds_nothing_and_goes_on_from_a_snapshot(engine, monkeypatch, tmp_path):
    stream = engine.open_stream("s", SHORT, min_score=-np.inf)
    before = pushed(stream, FRAMES[:64])
    stream.snapshot(tmp_path / "s.npz")
    failing_at(monkeypatch, engine, "encode_snippets", 1, BackendError("gone"))
    with pytest.raises(BackendError):
        pushed(stream, FRAMES[64:], 64)
    state = stream.state
    kept = (state._grid._held, state._ring._rows, state._stamps, state._windows, state._cuts)
    assert not any(map(len, kept))
    with pytest.raises(SnapshotError):
        stream.restore(tmp_path / "none.npz")
    assert stream.failed  # nothing was changed
    stream.restore(tmp_path / "s.npz")
    whole = engine.open_stream("s", SHORT, min_score=-np.inf)
    assert before + pushed(stream, FRAMES[64:], 64) + stream.flush() == pushed(whole) + whole.flush()


@pytest.mark.parametrize(
    ("use", "error"),
    [
        (lambda s: s.push(np.zeros((4, 4), np.uint8), 9.0), VideoError),
        (lambda s: s.push(FRAMES[0], "soon"), UsageError),
        (lambda s: s.push(FRAMES[0], 9.0, wall=-1.0), UsageError),
        (lambda s: s.push_features({"rgb": np.zeros(4, np.float32)}), UsageError),
        (lambda s: s.flush(0.5), UsageError),
        (lambda s: s.restore("no such file"), SnapshotError),
        (lambda s: s.snapshot("no/such/folder/at/all/\0"), (OSError, ValueError)),
    ],
)
def test_arguments_that_are_refused_change_nothing(engine, use, error):
    stream, clean = engine.open_stream("s", SHORT, min_score=-np.inf), engine.open_stream("s", SHORT, min_score=-np.inf)
    events = pushed(stream, FRAMES[:60])
    with pytest.raises(error):
        use(stream)
    assert not stream.failed
    events += pushed(stream, FRAMES[60:], 60) + stream.flush()
    assert events == pushed(clean) + clean.flush()


def test_a_row_that_is_refused_changes_nothing(engine):
    rows = [{"rgb": np.full(4, i, np.float32)} for i in range(12)]
    stream, clean = engine.open_stream("s", SHORT, min_score=-np.inf), engine.open_stream("s", SHORT, min_score=-np.inf)
    events = [e for r in rows[:5] for e in stream.push_features(r)]
    for bad in ({"rgb": np.zeros(5, np.float32)}, {"rgb": np.full(4, np.nan, np.float32)}, {}):
        with pytest.raises(FeatureError):
            stream.push_features(bad)
    with pytest.raises(UsageError, match="a frame was pushed into a stream of features"):
        stream.push(FRAMES[0], 1.0)
    events += [e for r in rows[5:] for e in stream.push_features(r)] + stream.flush()
    assert events == [e for r in rows for e in clean.push_features(r)] + clean.flush()


def test_a_picture_that_cannot_be_made_fails_the_stream(engine):
    stream = engine.open_stream("s", SHORT)

    def broken():
        raise OSError("the decoder is gone")

    stream.push(broken, 0.0)
    with pytest.raises(OSError, match="decoder"):
        stream.push(FRAMES[0], 0.04)
    with pytest.raises(StateError, match="decoder is gone"):
        stream.push(FRAMES[0], 0.08)
    stream.reset()
    pushed(stream)


def test_a_closed_stream_says_so(engine, tmp_path):
    with engine.open_stream("s", SHORT) as stream:
        pushed(stream, FRAMES[:30])
    stream.close()
    uses = (
        lambda: stream.push(FRAMES[0], 9.0),
        lambda: stream.push_features({"rgb": np.zeros(4, np.float32)}),
        stream.flush,
        stream.reset,
        stream.__enter__,
        lambda: stream.snapshot(tmp_path / "x"),
        lambda: stream.restore(tmp_path / "x"),
    )
    for use in uses:
        with pytest.raises(StateError, match="s: the stream is closed"):
            use()
    assert stream.declared_latency_s > 0
    assert not stream.state._grid._held


def test_a_grid_loses_no_slot_when_a_picture_fails():
    """The picture on screen fails twice, then comes: the snippets are those of a grid where nothing failed."""
    options = SnippetOptions(fps=10.0, window=4, stride=6, resize=0, crop=0)
    frames = [np.full((2, 2, 3), i, np.uint8) for i in range(20)]

    def snippets(fails):
        grid, out, left = SnippetGrid(options, lambda make: make()), [], dict.fromkeys(range(0, 20, 3), fails)

        def image(i):
            if left.get(i, 0):
                left[i] -= 1
                raise OSError(f"frame {i}")
            return frames[i]

        def repeated(call):
            while True:
                try:
                    return call()
                except OSError:
                    continue

        for i in range(20):
            out += repeated(lambda i=i: grid.push(i * 0.17, lambda i=i: image(i)))
        return [[int(p[0, 0, 0]) for p in window] for window in out + repeated(lambda: grid.finish(3.4))]

    assert snippets(0) == snippets(2)
    assert len(snippets(0)) > 3


# -- engine ------------------------------------------------------------------------------------


@no_thread_left("tal-read-ahead")
def test_an_engine_is_as_good_as_new_after_errors(engine, clip, tmp_path, monkeypatch):
    wanted = engine.localize(clip)
    bad = [tmp_path / "none.mp4", {"rgb": np.ones((5, 7), np.float32)}, {"rgb": np.full((5, 4), np.nan)}, {}, 7, None]
    for source in bad:
        with pytest.raises(TALError):
            engine.localize(source)
    failing_at(monkeypatch, engine._stages.head, "run", 1, BackendError("once"))
    with pytest.raises(BackendError):
        engine.localize(clip)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.localize(clip, progress=stop)
    assert engine.localize(clip) == wanted


def test_a_closed_engine_says_so_and_lets_go_of_its_graphs(clip):
    with TALEngine(tiny_plan(), "cpu") as engine:
        stream = engine.open_stream("s", SHORT)
        engine.localize(clip)
        graphs = [weakref.ref(engine._stages.head), weakref.ref(engine._stages.encoders[0])]
        many = engine.localize_batch([clip] * 20, batch=1, on_error="return")
        next(many)
    engine.close()
    features = {"rgb": np.ones((5, 4), np.float32)}
    for use in (
        lambda: engine.localize(features),
        lambda: engine.localize_batch([features], on_error="return"),
        lambda: next(many),
        lambda: engine.features(clip),
        lambda: engine.propose(None),
        lambda: engine.open_stream("t"),
        engine.load_encoders,
        engine.__enter__,
        lambda: engine.runs_on,
        lambda: pushed(stream),
    ):
        with pytest.raises(StateError, match="is closed"):
            use()
    many.close()
    assert "closed" in engine.description
    gc.collect()
    assert [g() for g in graphs] == [None, None]


# -- backends ----------------------------------------------------------------------------------


class Scripted:
    """A backend whose n-th call does what the script says, the others give their input."""

    description = "scripted"

    def __init__(self, script):
        self.script, self.calls = script, 0

    def run(self, feeds):
        self.calls += 1
        if self.calls in self.script:
            self.script[self.calls]()
        return {"y": feeds["x"]}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_an_interrupted_call_strands_no_other(error):
    """The first call holds the turn while others queue; the one that then serves them all is interrupted."""
    begun, go = threading.Event(), threading.Event()

    def wait():
        begun.set()
        go.wait(LONG_S)

    def fail():
        raise error

    backend, out = DynamicBatchingBackend(Scripted({1: wait, 2: fail}), 8), {}

    def call(k):
        try:
            out[k] = backend.run({"x": np.full((1, 1), k, np.float32)})["y"].item()
        except BaseException as e:  # what the interrupted thread gets
            out[k] = type(e)

    threads = [threading.Thread(target=call, args=(k,), daemon=True) for k in range(4)]
    threads[0].start()
    assert begun.wait(LONG_S)
    for thread in threads[1:]:
        thread.start()
    until(lambda: len(backend._waiting) == 4)
    go.set()
    for thread in threads:
        thread.join(LONG_S)
    # A MemoryError is an error of the batch: each is then run alone. The others are of one thread only.
    lost = [k for k, v in out.items() if v is error]
    assert len(lost) == (0 if error is MemoryError else 1)
    assert {k: v for k, v in out.items() if k not in lost} == {k: float(k) for k in range(4) if k not in lost}
    assert not backend._waiting
    assert backend.run({"x": np.ones((1, 1), np.float32)})["y"].item() == 1.0


def test_a_graph_that_could_not_be_loaded_is_tried_again():
    loaded, attempts = Scripted({}), []

    def opened():
        attempts.append(1)
        if len(attempts) == 1:
            raise BackendError("no memory now")
        return loaded

    lazy = LazyBackend(opened)
    with pytest.raises(BackendError):
        lazy.run({"x": np.ones(1)})
    assert lazy.run({"x": np.ones(1)})["y"] == 1
    assert len(attempts) == 2


def test_a_runtime_opens_the_next_graph_after_a_broken_one():
    plan = tiny_plan()
    runtime = Runtime("cpu", RunOptions(threads=1))
    for _ in range(2):
        with pytest.raises(BackendError):
            runtime.open(b"no graph", "broken.onnx")
    member = plan.manifest.head.member
    assert "CPU" in runtime.open(plan.files[member], member).description
    assert str(runtime.device) == "cpu"
    assert not runtime.fallbacks


# -- sources and schedulers --------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["", 7, b"bytes", "twice"])
@no_thread_left()
def test_a_scheduler_that_cannot_begin_reads_nothing(engine, clip, bad):
    sources = [f"a={clip}", open_live(f"b={clip}"), f"a={clip}" if bad == "twice" else bad]
    with pytest.raises(UsageError):
        StreamScheduler(engine, sources)
    with pytest.raises(UsageError):
        StreamScheduler(engine, [open_live(f"b={clip}")], min_score=float("nan"))


#: A process of its own that watches two videos of its arguments time and again; prints how many descriptors it had
#: open after the first time, and after the last one once all threads were gone.
DESCRIPTORS = """
import json, os, sys
from tal_engine import TALEngine
from tests.waiting import no_thread_left, until

engine = TALEngine.load(sys.argv[1], "cpu", threads=1)
counts = []
for _ in range(6):
    with no_thread_left(), engine.watch(sys.argv[2:]) as scheduler:
        until(lambda: all(m.source.coverage.frames["arrived"] for m in scheduler.streams))
    counts.append(len(os.listdir("/proc/self/fd")))
print(json.dumps([counts[0], counts[-1]]))
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc")  # noqa: PTH112
def test_schedulers_that_are_closed_leave_no_descriptor(plan_path, clip):
    first, last = alone(DESCRIPTORS, plan_path, f"a={clip}", f"b={clip}")
    assert last <= first


def test_a_closed_scheduler_says_so(engine, clip):
    scheduler = engine.watch([clip, f"b={clip}"])
    scheduler.close()
    scheduler.close()
    for use in (scheduler.run, scheduler.__enter__):
        with pytest.raises(StateError, match="scheduler is closed"):
            use()
    assert scheduler.declared_latency_s > 0


def test_events_of_a_scheduler_come_once(engine, clip):
    scheduler = engine.watch((f"a={clip}",), SHORT)
    run = scheduler.run()
    with pytest.raises(StateError, match="run was called before"):
        scheduler.run()
    list(run)
    with pytest.raises(StateError, match="closed"):
        scheduler.run()


def test_close_in_the_loop_ends_it(engine, clip):
    scheduler = engine.watch([f"a={clip}"], SHORT, min_score=-np.inf)
    seen = []
    for event in scheduler.run():
        seen.append(event)
        scheduler.close()
    assert seen
    assert not any(m.error for m in scheduler.streams)


@no_thread_left("tal-live")
def test_a_closed_engine_ends_all_its_streams_with_an_error(clip):
    engine = TALEngine(tiny_plan(), "cpu", threads=1)
    scheduler = engine.watch([f"a={clip}", f"b={clip}"], SHORT)
    engine.close()
    with pytest.raises(StateError, match="is closed; load another one"):
        list(scheduler.run())


def test_a_closed_source_gives_nothing_and_waits_for_nothing(clip):
    source = open_live(str(clip))
    source.close()
    source.close()
    assert source.poll(5.0) is None
    until(lambda: source.state == "ended")
    assert list(source.frames()) == []


def test_a_video_can_be_closed_amid_an_error(clip):
    with open_video(clip) as video:
        next(video.frames)
        video.close()
        assert list(video.frames) == []
    with pytest.raises(VideoError):
        open_video(clip.with_name("none.mp4"))


@no_thread_left("tal-read-ahead")
def test_a_reader_that_fails_stops_its_thread():
    def items():
        yield 1
        raise OSError("gone")

    made = read_ahead(items())
    assert next(made) == 1
    with pytest.raises(OSError, match="gone"):
        next(made)


# -- sinks -------------------------------------------------------------------------------------


def sinks(folder):
    from tal_engine.outputs.sinks.rotating import RotatingJsonLines
    from tal_engine.outputs.writers.csv_table import EventTable
    from tal_engine.outputs.writers.subtitles import Subtitles

    return {
        "jsonl": lambda: RotatingJsonLines(folder / "e.jsonl"),
        "csv": lambda: EventTable(folder / "e.csv"),
        "srt": lambda: Subtitles(folder / "e.srt", "srt"),
        "vtt": lambda: Subtitles(folder / "e.vtt", "vtt"),
    }


@pytest.mark.parametrize("kind", ["jsonl", "csv", "srt", "vtt"])
def test_a_sink_goes_on_after_a_full_disk_and_refuses_after_close(tmp_path, monkeypatch, kind):
    sink, plain = sinks(tmp_path)[kind](), os.write
    sink.write(final("1"))
    path = tmp_path / f"e.{kind}"
    size = path.stat().st_size

    def full(number, data):
        plain(number, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    for _ in range(3):
        with pytest.raises(SinkError, match="No space left"):
            sink.write(final("2", start=3.0, end=4.0))
        assert path.stat().st_size == size
    monkeypatch.setattr(os, "write", plain)
    sink.write(final("2", start=3.0, end=4.0))
    whole = path.read_bytes()
    sink.close()
    sink.close()
    with pytest.raises(SinkError, match="already closed"):
        sink.write(final("3", start=5.0, end=6.0))
    assert path.read_bytes() == whole
    assert len(whole) > size


def test_a_film_refuses_after_close(tmp_path):
    from tal_engine.outputs.render.video_writer import Movie

    movie = Movie(tmp_path / "m.mp4")
    movie.write(FRAMES[0], 0.0)
    movie.close()
    with pytest.raises(SinkError, match="already closed"):
        movie.write(FRAMES[1], 0.04)
    movie.close()


def test_a_live_overlay_in_a_folder_that_cannot_be(tmp_path):
    from tal_engine.outputs.render.overlay import LiveOverlay

    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot be written"):
        LiveOverlay(tmp_path / "file" / "m.mp4", 1.0)


@pytest.mark.parametrize("error", [OSError("hung up"), SystemExit(3)])
def test_a_delivery_goes_on_after_an_error_of_its_receiver(tmp_path, error):
    from tal_engine.outputs.sinks.delivery import Delivery

    got = []

    class Send:
        def __call__(self, event):
            if event.id == "1":
                raise error
            got.append(event.id)

        def close(self):
            pass

    with Delivery("test", Send(), tmp_path / "dead.jsonl") as delivery:
        for name in "123":
            delivery.write(final(name))
    assert got == ["2", "3"]
    assert delivery.counts == {"delivered": 2, "dead": 1}
    assert '"id": "1"' in (tmp_path / "dead.jsonl").read_text()
    with pytest.raises(SinkError, match="already closed"):
        delivery.write(final("4"))


def test_pending_events_are_kept_again_once_their_file_can_be_opened(tmp_path, monkeypatch):
    from tal_engine.outputs.sinks import outbox

    pending = outbox.Pending(tmp_path / "p.jsonl")
    pending._most = 0  # the next `done` writes the file anew
    for name in "123":
        pending.add(final(name))
    plain = outbox.AppendedFile

    def refused(*args, **more):
        raise SinkError("too many open files")

    monkeypatch.setattr(outbox, "AppendedFile", refused)
    with pytest.raises(SinkError, match="too many"):
        pending.done(final("1"))
    with pytest.raises(SinkError, match="too many"):
        pending.add(final("4"))
    monkeypatch.setattr(outbox, "AppendedFile", plain)
    pending.add(final("5"))
    pending.close()
    assert [e.id for e in outbox.Pending(tmp_path / "p.jsonl").events] == ["2", "3", "5"]


# -- snapshots, results, writers ---------------------------------------------------------------


def test_a_snapshot_that_cannot_be_written_leaves_the_old_one_and_the_stream(engine, tmp_path, monkeypatch):
    stream = engine.open_stream("s", SHORT, min_score=-np.inf)
    pushed(stream, FRAMES[:40])
    stream.snapshot(tmp_path / "s.npz")
    before = (tmp_path / "s.npz").read_bytes()
    pushed(stream, FRAMES[40:60], 40)

    def full(*args, **more):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(np, "savez", full)
        with pytest.raises(OSError, match="No space"):
            stream.snapshot(tmp_path / "s.npz")
    assert (tmp_path / "s.npz").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["s.npz"]
    stream.snapshot(tmp_path / "s.npz")
    again = StreamingLocalizer(engine, "s", SHORT, min_score=-np.inf)
    again.restore(tmp_path / "s.npz")
    assert pushed(again, FRAMES[60:], 60) == pushed(stream, FRAMES[60:], 60)


@pytest.mark.parametrize("write", ["to_csv", "to_jsonl", "to_srt", "to_vtt", "plot"])
def test_a_result_that_cannot_be_written_leaves_the_old_file(engine, clip, tmp_path, monkeypatch, write):
    if write == "plot":
        pytest.importorskip("matplotlib")
    result = engine.localize(clip)
    path = tmp_path / f"out.{write.removeprefix('to_').replace('plot', 'png')}"
    getattr(result, write)(path)
    before = path.read_bytes()

    def full(self, *args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        patched.setattr(type(path), "replace", full)
        patched.setattr(type(path), "rename", full)
        with pytest.raises((OSError, SinkError)):
            getattr(result, write)(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    getattr(result, write)(path)


def test_errors_survive_pickling_with_what_they_say():
    for error in (VideoError(VideoFault.MISSING, "x: no such file"), PlanError(PlanFault.NEWER_SCHEMA, "too new")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.fault, str(again), again.exit_code) == (
            type(error), error.fault, str(error), error.exit_code,
        )  # fmt: skip
