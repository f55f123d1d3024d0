"""Streams against their textbook twin: every event, for any head, clock, options, restart and pause."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine import TALEngine
from tal_engine.inference import suppress
from tal_engine.options import StreamOptions
from tal_engine.records import Features
from tal_engine.streaming import StreamState
from tests.makers import moving_square
from tests.reference import stream as slow
from tests.streams import STEP, PlantedEngine, cases, engine_stream, finals, rules, seconds, snippets, zeros

FPS = 25.0

#: Kinds of events by the twin's two words.
KINDS = {("new", "provisional"): "started", ("update", "provisional"): "updated", ("end", "final"): "final",
         ("end", "withdrawn"): "withdrawn"}  # fmt: skip
ENDED = {"final", "withdrawn"}


def compare(events, wanted, near=1e-8, score=1e-12):
    """Events are what the twin says; ids are numbered as they come."""
    ids, numbers = {}, {}
    found = [(e.kind, ids.setdefault(e.id, len(ids)), e.label_id, e.truncated, e.start_clipped) for e in events]
    assert found == [
        (KINDS[w.type, w.status], numbers.setdefault(w.action, len(numbers)), w.label, w.truncated, w.start_clipped)
        for w in wanted
    ]
    for e, w in zip(events, wanted, strict=True):
        times = (e.start, e.end, e.decided_at, e.pts)
        assert times == pytest.approx((w.start, w.end, w.decided_at, w.pts), abs=near)
        assert e.score == pytest.approx(w.score, rel=score)
        assert seconds(e.wall_time) == pytest.approx(w.wall, abs=near + 2e-6)  # told in whole microseconds


def clock(i):
    """A wall clock that wavers: seconds that it shows more than the stream, at snippet i."""
    return 1.8e9 + 5 * np.sin(i)


def pushed(stream, engine, first, stop, ticks=True):
    """Events of the snippets [first, stop)."""
    walls = [clock(i) + i * STEP + engine.width if ticks else None for i in range(first, stop)]
    return [e for r, wall in zip(zeros(stop - first), walls, strict=True) for e in stream.push_features(r, wall)]


@given(cases(), st.none() | st.integers(0, 90), st.booleans())
@settings(max_examples=250, deadline=None)
def test_events_are_those_of_the_definitions(case, cut_off, ticks):
    engine, options, count = case
    end = None if cut_off is None else (count - 1) * STEP + engine.width - cut_off / 100 * min(engine.width, STEP)
    stream = engine_stream(engine, options, provisional=True)
    events = pushed(stream, engine, 0, count, ticks)
    check_size(stream.state, len(engine.actions))
    events += stream.flush(end)
    walls = [clock(i) for i in range(count)] if ticks else None
    compare(events, slow.events(count, engine.localize, rules(stream.state), end=end, walls=walls))
    silent = engine_stream(engine, options)
    assert pushed(silent, engine, 0, count, ticks) + silent.flush(end) == finals(events)
    check_story(events, options, stream)
    names = engine.plan.manifest.vocabulary
    for e in events:
        assert (e.source, e.plan, e.label) == ("s", f"sha256:{engine.plan.sha256}", names[e.label_id])


def check_size(state, most):
    """What is kept is of the window: not more actions than it shows, no final that ended before it but new ones."""
    kept, pace = state.state()[0]["settler"], state.timing
    newest = kept["right"] or 0.0
    assert len(kept["tracks"]) <= most
    assert len(kept["cuts"]) <= len(state.manifest.vocabulary)
    long = max((pace.window - 1) * pace.timeline.step + pace.timeline.width, pace.latency_s) + 1e-4
    assert all(f["end"] > newest - long for f in kept["finals"])


def check_story(events, options, stream):
    """What holds of any stream: each id is told of, changed, ended; nothing comes after that, and no final too late."""
    last, cuts = {}, {}
    for e in events:
        before = last.get(e.id)
        assert before is None or before.kind not in ENDED
        assert e.kind in ENDED or e.kind == ("started" if before is None else "updated")
        assert e.kind != "withdrawn" or before is not None
        assert before is None or e.label_id == before.label_id
        if e.kind == "updated" and not options.pad:
            assert (e.start, e.end, e.score) != (before.start, before.end, before.score)
        if e.kind == "withdrawn":  # it repeats what was told last
            assert (e.start, e.score) == (before.start, before.score)
            assert (e.end is None) == (before.end is None)
        cut, at = cuts.get(e.label_id, (-np.inf, -np.inf))
        assert e.kind == "withdrawn" or e.decided_at == at or e.start >= cut - options.pad - 1e-9
        if e.is_final:
            assert e.decided_at - e.end <= stream.declared_latency_s
            assert e.end - e.start >= options.min_action - 1e-4
        if e.is_final and e.truncated and options.max_action and not options.pad:
            cuts[e.label_id] = (max(cut, e.end), e.decided_at)
        last[e.id] = e
    assert {e.kind for e in last.values()} <= ENDED
    decided = [e.decided_at for e in events if e.decided_at != events[-1].decided_at]
    assert decided == sorted(decided)  # the flush may come before the end of a snippet that was filled up
    assert stream.state.finalizer.late_events == 0
    assert stream.state.finalizer.worst_latency_s <= stream.declared_latency_s


@st.composite
def steady_cases(draw):
    """A head that is always right, and options: (engine, options, snippets). Actions of a class do not touch."""
    count, grain = draw(st.integers(1, 70)), draw(st.sampled_from([1, 4]))
    actions = []
    for label in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, 20 * grain))
        while at < count * grain and len(actions) < 12:
            stop = at + draw(st.integers(grain, 45 * grain))
            actions.append((at / grain, stop / grain, 1.0, label))
            at = stop + draw(st.integers(grain, 15 * grain))
    window = draw(st.integers(1, 40))
    longest = draw(st.just(0) | st.integers(4, 120).map(lambda n: n / 4))
    shortest = draw(st.just(0) | st.integers(1, 40).map(lambda n: n / 4))
    options = snippets(
        window=window,
        step=draw(st.integers(1, window)),
        look_ahead=draw(st.integers(0, window)),
        gap=draw(st.integers(0, window // 2)),
        max_action=longest,
        min_action=min(shortest, longest or shortest),
        pad=draw(st.just(0) | st.integers(1, 40).map(lambda n: n / 4)),
    )
    return PlantedEngine(actions, encoders=False), options, count


@given(steady_cases())
@settings(max_examples=150, deadline=None)
def test_of_a_head_that_is_right_nothing_is_lost_split_or_taken_back(case):
    """Every action, or part of one that is too long, is one final, as it was, whatever the window."""
    engine, options, count = case
    stream = engine_stream(engine, options, provisional=True)
    events = pushed(stream, engine, 0, count) + stream.flush()
    wanted = [(label, *part) for s, e, _, label in engine.actions for part in cut_up(s, min(e, count), options)]
    story = zip(sorted(finals(events), key=lambda e: (e.label_id, e.decided_at, e.end)), sorted(wanted), strict=True)
    pace, pad = stream.state.timing, options.pad / STEP
    for e, (label, s, stop, first, last) in story:
        now = e.decided_at / STEP
        padded = (max(s - pad, 0), min(stop + pad, now))
        assert (e.label_id, e.start / STEP, e.end / STEP) == pytest.approx((label, *padded))
        assert e.truncated == (not last or stop > count - pace.gap)
        left = max(round(now) - pace.window, 0)
        assert e.start_clipped <= (not first or s <= left)
        moved = left - pace.step > 0 or left == 0  # else the window before may have decided
        assert not moved or e.start_clipped == (not first or 0 < left >= s)
    if not options.min_action:
        assert {e.kind for e in events} <= {"started", "updated", "final"}
        assert len({e.id for e in events}) == len(wanted)


def cut_up(start, stop, options):
    """Parts of an action, snippets: (start, end, is it the first, is it the last), if it is not too short."""
    longest, first = options.max_action / STEP, True
    while longest and stop - start > longest + 1e-6:
        yield start, start + longest, first, False
        start, first = start + longest, False
    if stop - start >= options.min_action / STEP - 1e-6:
        yield start, stop, first, True


@given(cases(), st.lists(st.integers(0, 60), max_size=4), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_stream_goes_on_from_snapshots(tmp_path_factory, case, stops, ticks):
    """At any moment, any number of times, as if nothing had been: to the byte."""
    engine, options, count = case
    path = tmp_path_factory.mktemp("s") / "state.npz"
    whole = engine_stream(engine, options, provisional=True)
    wanted = pushed(whole, engine, 0, count, ticks) + whole.flush()
    stream, events, at = engine_stream(engine, options, provisional=True), [], 0
    for stop in sorted(min(s, count) for s in stops):
        events += pushed(stream, engine, at, stop, ticks)
        stream.snapshot(path)
        stream, at = engine_stream(engine, options, provisional=True), stop
        stream.restore(path)
    events += pushed(stream, engine, at, count, ticks) + stream.flush()
    assert [e.to_json() for e in events] == [e.to_json() for e in wanted]
    assert stream.state.finalizer.worst_latency_s == whole.state.finalizer.worst_latency_s


@pytest.fixture(scope="module")
def engine(plan_path):
    return TALEngine.load(plan_path, device="cpu", threads=1)


@pytest.fixture(scope="module")
def frames():
    return np.stack(list(moving_square(150, 48, 64)))


@st.composite
def showings(draw):
    """Frames that a camera shows: [(first, stop, seconds of the first)], with pauses between them, and their rate.

    No rate at which a frame begins exactly in the middle of a slot: there the last bit of a shifted clock decides.
    """
    fps = draw(st.sampled_from([7.0, 12.5, 25.0, 35.0]))
    parts, at = [], draw(st.sampled_from([0.0, 3.7, 1e6]))
    for _ in range(draw(st.integers(1, 3))):
        first = draw(st.integers(0, 140))
        stop = draw(st.integers(first + 1, 150))
        parts.append((first, stop, at))
        at += (stop - first) / fps + draw(st.floats(10.5, 100.0))
    return parts, fps


@st.composite
def paces(draw):
    """Options for some seconds of frames."""
    window = draw(st.sampled_from([0.64, 2.0, 3.3, 30.0]))
    return StreamOptions(
        window=window,
        step=draw(st.sampled_from([0.32, 0.5])),
        look_ahead=draw(st.sampled_from([0.0, 0.5])),
        gap=draw(st.sampled_from([0.0, 0.32])),
        max_action=draw(st.sampled_from([0.0, 1.0])),
        min_action=draw(st.sampled_from([0.0, 0.7])),
        pad=draw(st.sampled_from([0.0, 0.2])),
    )


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.booleans(), paces())
@settings(max_examples=25, deadline=None)
def test_chunks_do_not_matter(engine, frames, sizes, reload, options):
    """Whenever models run, what comes out is what comes frame by frame."""
    single = engine.open_stream("s", options, provisional=True)
    wanted = [e for i, f in enumerate(frames) for e in single.push(f, i / FPS, 1.8e9)] + single.flush(6.0)
    state = StreamState(engine.plan.manifest, engine.plan.sha256, "s", options)
    events, at = [], 0
    for size in [*sizes, len(frames)]:
        stop = min(at + size, len(frames))
        ready = [r for i in range(at, stop) for r in state.push(lambda i=i: frames[i], i / FPS, 1.8e9)]
        events, at = events + run(engine, state, ready), stop
        if reload:
            numbers, arrays = state.state()
            state = StreamState(engine.plan.manifest, engine.plan.sha256, "s", options)
            state.restore(json.loads(json.dumps(numbers)), arrays)
    events += run(engine, state, list(state.flush(6.0)))
    assert [replace(e, score=0.0) for e in events] == [replace(e, score=0.0) for e in wanted]
    np.testing.assert_allclose([e.score for e in events], [e.score for e in wanted], rtol=1e-5)


def run(engine, state, ready):
    if ready:
        batch = replace(ready[0].snippets, frames=np.concatenate([r.snippets.frames for r in ready]))
        for value in engine.encode_snippets(batch)["rgb"]:
            state.add({"rgb": value})
    due = list(state.windows())
    return [e for w in due for e in state.finalize(w, suppress(engine.propose(w.features), engine.plan.manifest.nms))]


def completed(count, fps, snippet):
    """Seconds of the frame that completes each snippet, after the middle of its last slot; then of the newest one."""
    out, end = [], count / fps
    for i in range(max(math.ceil((end * snippet.fps - 0.5) / snippet.stride), 1)):
        middle = (i * snippet.stride + snippet.window - 0.5) / snippet.fps
        out.append(min([n / fps for n in range(count) if n / fps > middle], default=(count - 1) / fps))
    return [*out, (count - 1) / fps]


@given(showings(), paces(), st.sampled_from([-0.5, 0.5]))
@settings(max_examples=40, deadline=None)
def test_events_of_frames_are_those_of_the_features_of_files(engine, frames, shown, options, floor):
    """A camera's frames, seen one by one, give what the definitions make of features of whole files, one each part."""
    parts, fps = shown
    stream = engine.open_stream("s", options, provisional=True, min_score=floor)
    events, wanted = [], []
    for n, (first, stop, at) in enumerate(parts):
        for i in range(first, stop):
            seconds = at + (i - first) / fps
            events += stream.push(frames[i], seconds, 1.8e9 + seconds)
        alone = stop - first == 1 and n < len(parts) - 1  # how long it stays nobody knows: a slot
        duration = 1 / FPS if alone else (stop - first) / fps
        said = definitions(engine, frames[first:stop], fps, duration, stream.state, at)
        wanted += [w._replace(action=(n, w.action)) for w in said]
    events += stream.flush(at + duration)
    compare(events, wanted, near=2e-6, score=1e-5)


def definitions(engine, frames, fps, duration, state, at):
    """What a file says if it is shown from `at` on."""
    whole, nms = engine.features(frames, fps=fps), engine.plan.manifest.nms
    stamps = completed(len(frames), fps, engine.plan.manifest.snippet)
    assert len(stamps) == len(whole) + 1

    def localize(first, stop, right):
        time = replace(whole.timeline, start=at + float(whole.timeline.left(first)))
        rows = {name: values[first:stop] for name, values in whole.streams.items()}
        kept = suppress(engine.propose(Features(rows, time, right, whole.contract)), nms).data
        return [(float(r["start"]), float(r["end"]), float(r["score"]), int(r["label"])) for r in kept]

    return slow.events(
        len(whole),
        localize,
        replace(rules(state), origin=at),
        end=at + duration,
        walls=[1.8e9] * len(whole),
        pts=[at + s for s in stamps],
    )
