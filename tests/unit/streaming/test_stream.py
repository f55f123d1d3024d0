"""Streams: what is promised of when events come and that they do not change; see also `test_stream_twin`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tal_engine import TALEngine
from tal_engine.engine import EMBEDDED_PLAN
from tal_engine.errors import FeatureError, PlanError, SnapshotError, UsageError, VideoError
from tal_engine.options import SegmentOptions, StreamOptions
from tal_engine.plan.archive import read_plan
from tal_engine.streaming import StreamingLocalizer, StreamState
from tests.makers import moving_square, tiny_plan
from tests.streams import STEP, PlantedEngine, engine_stream, finals, row, snippets, told, zeros

FPS = 25.0


@pytest.fixture(scope="module")
def engine(plan_path):
    return TALEngine.load(plan_path, device="cpu", threads=1)


@pytest.fixture(scope="module")
def frames():
    return np.stack(list(moving_square(150, 48, 64)))


def push_all(stream, frames, first=0.0, fps=FPS):
    return [e for i, f in enumerate(frames) for e in stream.push(f, first + i / fps)]


COVERING = StreamOptions(window=60, look_ahead=60)


@pytest.mark.parametrize("count", [1, 9, 100, 150])
def test_the_stream_of_a_file_is_the_file(engine, frames, count):
    stream = engine.open_stream("s", COVERING)
    assert push_all(stream, frames[:count]) == []
    events = stream.flush(count / FPS)
    found = sorted((s.start, s.end, s.label, s.score) for s in engine.localize(frames[:count], fps=FPS))
    assert found
    assert sorted((e.start, e.end, e.label, e.score) for e in events) == found


def test_low_and_high_frame_rates_give_the_file(engine, frames):
    for fps in (7.0, 60.0):
        stream = engine.open_stream("s", COVERING)
        events = push_all(stream, frames, fps=fps) + stream.flush(len(frames) / fps)
        found = sorted((s.start, s.end, s.score) for s in engine.localize(frames, fps=fps))
        assert sorted((e.start, e.end, e.score) for e in events) == found


def test_an_empty_stream_says_nothing(engine):
    stream = engine.open_stream()
    assert stream.flush() == []
    assert stream.flush() == []
    assert push_all(stream, np.zeros((0, 8, 8, 3), np.uint8)) == []


def test_flow_that_only_files_have_is_refused_with_the_first_frame(frames):
    plan = read_plan(EMBEDDED_PLAN)
    snippet = replace(plan.manifest.snippet, flow="vectors")
    made = replace(plan, manifest=plan.manifest.model_copy(update={"snippet": snippet}))
    stream = TALEngine(made, device="cpu", threads=1).open_stream("cam")
    for _ in range(2):
        with pytest.raises(UsageError, match=r"cam: plan demo reads flow 'vectors' of video files, .* with --flow dis"):
            stream.push(frames[0], 0.0)


SHORT = StreamOptions(window=2, step=0.5, look_ahead=0.5, gap=0.32)


def test_finals_come_in_time(engine, frames):
    """The clock of the promise is the frames': from the end of an action to the frame that brought its final."""
    stream = engine.open_stream("s", SHORT)
    brought = [(e, i / FPS) for i, f in enumerate(frames) for e in stream.push(f, i / FPS)]
    assert brought
    for e, now in brought:
        assert now - e.end <= stream.declared_latency_s
        assert e.pts == now
        assert e.decided_at <= now + 1 / FPS


def test_a_clock_that_starts_anywhere_only_shifts_events(engine, frames):
    zero, late = engine.open_stream("s", SHORT), engine.open_stream("s", SHORT)
    first = push_all(zero, frames) + zero.flush()
    then = push_all(late, frames, first=1.7e9) + late.flush()
    assert len(first) == len(then) > 0
    for a, b in zip(first, then, strict=True):
        assert (b.start - 1.7e9, b.end - 1.7e9) == pytest.approx((a.start, a.end), abs=1e-5)
        assert a.label == b.label
        assert a.score == pytest.approx(b.score, rel=1e-5)


def test_frames_out_of_time_are_left_out_and_counted(engine, frames):
    clean, dirty = engine.open_stream("s", SHORT), engine.open_stream("s", SHORT)
    wanted = push_all(clean, frames) + clean.flush()
    found = dirty.push(frames[7], float("nan"))
    for i, f in enumerate(frames):
        found += dirty.push(f, i / FPS)
        found += dirty.push(frames[0], i / FPS)
        found += dirty.push(frames[1], i / FPS - 1.0)
        found += dirty.push(frames[2], float("inf"))
    assert found + dirty.flush() == wanted
    assert dirty.state.refused == 1 + 3 * len(frames)


def test_a_short_pause_shows_the_last_frame_as_a_file_does(engine, frames):
    still = np.concatenate([frames[:50], np.repeat(frames[49:50], 99, 0), frames[50:100]])
    stream, other = engine.open_stream("s", COVERING), engine.open_stream("s", COVERING)
    push_all(stream, frames[:50])
    push_all(stream, frames[50:100], first=149 / FPS)
    push_all(other, still)
    assert [row(e)[:4] for e in stream.flush(199 / FPS)] == [row(e)[:4] for e in other.flush(199 / FPS)]


def test_a_long_pause_cuts_the_stream(engine, frames):
    """Two parts, each as if it were alone; the pause is not analysed, and costs no encoder call."""
    encoded = []
    counting = CountingEngine(engine, encoded)
    stream = StreamingLocalizer(counting, "s", SHORT)
    found = push_all(stream, frames[:75]) + push_all(stream, frames[75:], first=1000.0) + stream.flush()
    parts = []
    for part, first in ((frames[:75], 0.0), (frames[75:], 1000.0)):
        alone = engine.open_stream("s", SHORT)
        parts += push_all(alone, part, first=first) + alone.flush()
    assert [row(e) for e in found] == [row(e) for e in parts]
    assert len({e.id for e in found}) == len(found)
    assert [e for e in found if e.truncated and e.end < 4]
    assert list(stream.state.gaps) == [(3.0, 1000.0)]
    assert stream.state.unanalysed_s == 997.0
    assert len(encoded) == 20


class CountingEngine:
    def __init__(self, engine, encoded):
        self.plan, self.propose, self._engine, self._encoded = engine.plan, engine.propose, engine, encoded

    def encode_snippets(self, snippets):
        self._encoded.append(snippets.first)
        return self._engine.encode_snippets(snippets)


def test_each_snippet_is_encoded_once(engine, frames):
    encoded = []
    stream = StreamingLocalizer(CountingEngine(engine, encoded), "s", SHORT)
    push_all(stream, frames)
    stream.flush()
    assert encoded == list(range(19))


def test_an_action_longer_than_the_window_is_one_final(caplog):
    engine = PlantedEngine([(10, 200, 1.0, 1)])
    stream = engine_stream(engine, snippets(window=20, step=3, look_ahead=5, gap=2), provisional=True)
    events = told(stream, zeros(260))
    (final,) = finals(events)
    assert (final.start, final.end) == pytest.approx((10 * STEP, 200 * STEP))
    assert final.start_clipped
    assert not final.truncated
    assert {e.id for e in events} == {final.id}
    assert [e.kind for e in events] == ["started", *["updated"] * (len(events) - 2), "final"]
    assert not caplog.records


def test_what_is_open_at_the_end_is_final_and_truncated():
    engine = PlantedEngine([(2, 9, 1.0, 0), (10, 50, 1.0, 1)])
    events = told(engine_stream(engine, snippets(window=100, step=3, look_ahead=5, gap=2)), zeros(30))
    assert [(e.label_id, e.truncated) for e in events] == [(0, False), (1, True)]
    assert events[1].end == pytest.approx(30 * STEP)


def test_a_final_is_not_told_again_when_its_end_moves():
    engine = PlantedEngine([(5, 12, 1.0, 0)])
    steady = engine.found

    def moving(first, end, origin=0.0, right=None):
        found = steady(first, end, origin, right)
        found.data["end"] += np.where(end >= 20, 2 * STEP, 0.0)
        return found

    engine.found = moving
    events = told(engine_stream(engine, snippets(window=100, step=2, look_ahead=6, gap=1)), zeros(60))
    assert len(events) == 1
    assert events[0].end == pytest.approx(12 * STEP)


def test_a_piece_of_a_final_is_no_news():
    """The action broke in two after it was told: its second half is not told again."""
    engine = PlantedEngine([])
    stream = engine_stream(engine, snippets(window=100, step=4, look_ahead=4, gap=1))
    whole, piece = PlantedEngine([(0, 20, 1.0, 0)]), PlantedEngine([(12, 21, 1.0, 0)])
    engine.found = lambda first, end, *rest: (whole if end <= 24 else piece).found(first, end, *rest)
    assert [e.end for e in told(stream, zeros(60))] == [pytest.approx(20 * STEP)]


def test_actions_are_cut_where_they_get_too_long():
    engine = PlantedEngine([(4, 50, 1.0, 0), (8, 20, 0.9, 1)])
    options = replace(snippets(window=30, step=2, look_ahead=4, gap=1), max_action=20 * STEP)
    events = told(engine_stream(engine, options), zeros(80))
    spans = [(round(e.start / STEP), round(e.end / STEP), e.truncated) for e in events if e.label_id == 0]
    assert spans == [(4, 24, True), (24, 44, True), (44, 50, False)]
    assert [e.start_clipped for e in events if e.label_id == 0] == [False, True, True]
    assert len(events) == 4


def test_windows_that_would_not_overlap_are_made_to():
    """As long as a step, they would show an action's end once and never again."""
    engine = PlantedEngine([(1, 8, 1.0, 0), (0, 33, 1.0, 1)])
    events = told(engine_stream(engine, snippets(window=3, step=3, look_ahead=3, gap=0)), zeros(40))
    assert [(e.label_id, round(e.start / STEP), round(e.end / STEP)) for e in events] == [
        (0, 1, 8),
        (1, 0, 33),
    ]


def test_where_one_action_is_cut_another_keeps_its_id_and_what_ended_before_is_told():
    """One of the class is cut at 24: what ends at 22 is told whole; what goes on there goes on, from the cut."""
    engine = PlantedEngine([(4, 50, 1.0, 0), (10, 36, 1.0, 0), (16, 22, 0.9, 0)])
    options = replace(snippets(window=60, step=8, look_ahead=4, gap=1), max_action=20 * STEP)
    events = told(engine_stream(engine, options, provisional=True), zeros(80))
    new, ended = ([e.id for e in events if e.kind == kind] for kind in ("started", "final"))
    assert set(new) <= set(ended)
    spans = {(round(e.start / STEP), round(e.end / STEP)): e for e in finals(events)}
    assert sorted(spans) == [(4, 24), (16, 22), (24, 36), (24, 44), (44, 50)]
    assert spans[24, 36].id in [e.id for e in events if round(e.start / STEP) == 10]


def test_no_cut_takes_back_one_that_was_told():
    """Both are cut in one evaluation; the second one earlier."""
    engine = PlantedEngine([(4, 70, 1.0, 0), (0, 66, 0.9, 0)])
    options = replace(snippets(window=90, step=4, look_ahead=4, gap=1), max_action=20 * STEP)
    events = told(engine_stream(engine, options), zeros(90))
    cut, at = 0.0, 0.0
    for e in events:
        assert e.decided_at == at or e.start >= cut - 1e-9
        cut, at = max(cut, e.end * e.truncated), e.decided_at


def test_the_shortest_action_is_a_snippet():
    options = replace(snippets(window=30, step=2, look_ahead=4, gap=1), max_action=1e-3 * STEP)
    events = told(engine_stream(PlantedEngine([(4, 9, 1.0, 0)]), options), zeros(40))
    assert [round(e.end / STEP) for e in events] == [5, 6, 7, 8, 9]


def test_what_is_taken_back_is_what_was_told():
    """It moved on by less than is worth an update each time, until it began after the end that was told."""
    engine = PlantedEngine([])
    spans = {10: (1.0, 1.75), 11: (1.25, 2.0), 12: (1.5, 2.25), 13: (1.75, 2.5), 14: (2.0, 2.75)}

    def found(first, end, *rest):
        return PlantedEngine([(*spans[end], 0.9, 0)] if end in spans else []).found(first, end, *rest)

    engine.found = found
    events = told(engine_stream(engine, snippets(window=30, step=1, look_ahead=20, gap=1), provisional=True), zeros(20))
    new, end = events
    assert (new.start, new.end) == pytest.approx((1.0 * STEP, 1.75 * STEP))
    assert (end.kind, end.start, end.end) == ("withdrawn", new.start, new.end)


def test_the_order_of_finals_does_not_hang_on_the_last_bit():
    engine = PlantedEngine([(2, 8, 1.0, 0), (2, 8, 1.0, 1)])
    steady = engine.found

    def found(*window):
        proposals = steady(*window)
        proposals.data["end"] += np.where(proposals.data["label"] == 0, 1e-12, 0.0)
        return proposals

    engine.found = found
    events = told(engine_stream(engine, snippets(window=30, step=2, look_ahead=4, gap=1)), zeros(40))
    assert [e.label_id for e in events] == [0, 1]


def test_short_actions_are_left_out_and_others_are_padded():
    engine = PlantedEngine([(1, 3, 1.0, 0), (10, 20, 1.0, 1)])
    options = replace(snippets(window=30, step=2, look_ahead=4, gap=1), min_action=3 * STEP, pad=STEP)
    stream = engine_stream(engine, options, provisional=True)
    (final,) = finals(events := told(stream, zeros(40)))
    assert (final.start, final.end) == pytest.approx((9 * STEP, 21 * STEP))
    assert final.id in {e.id for e in events if e.kind == "started"}
    (edge,) = told(engine_stream(PlantedEngine([(0, 40, 1.0, 1)]), options), zeros(40))
    assert (edge.start, edge.end) == pytest.approx((0.0, 40 * STEP))


def test_provisional_segments_hold_a_little_below_the_operating_point():
    scores = {}

    def events(second):
        engine = PlantedEngine([(2, 8, 1.0, 0)], segment=SegmentOptions(min_score=0.8))
        once = engine.found
        scores.clear()

        def found(first, end, *rest):
            proposals = once(first, end, *rest)
            proposals.data["score"] = 1.0 if end < 12 or end >= 16 else second
            return proposals

        engine.found = found
        return told(
            engine_stream(engine, snippets(window=60, step=2, look_ahead=20, gap=1), provisional=True), zeros(50)
        )

    held, gone = events(0.7), events(0.6)
    assert [e.kind for e in held if e.kind in ("final", "withdrawn")] == ["final"]
    assert [e.kind for e in gone if e.kind in ("final", "withdrawn")] == ["withdrawn", "final"]


@pytest.mark.parametrize(
    "more", [{}, {"max_action": 2.5 * STEP, "min_action": STEP, "pad": STEP, "hysteresis": 0.5}], ids=["plain", "all"]
)
def test_memory_does_not_grow_with_the_stream(tmp_path, more):
    count = 50_000  # four and a half hours
    actions = [(i, i + 4, 1.0, (i // 10) % 3) for i in range(0, count, 10)]
    engine = PlantedEngine(actions)
    steady = PlantedEngine.found

    def near(first, end, *rest):
        return steady(PlantedEngineView(engine, actions[max(first // 10 - 1, 0) : end // 10 + 1]), first, end, *rest)

    engine.found = near
    options = replace(snippets(window=20, step=20, look_ahead=5, gap=1), **more)
    stream = engine_stream(engine, options, provisional=True)
    sizes, seen = [], 0
    for i, r in enumerate(zeros(count)):
        seen += len(finals(stream.push_features(r)))
        if i in (999, count - 1):
            stream.snapshot(tmp_path / "s.npz")
            sizes.append((tmp_path / "s.npz").stat().st_size)
    assert seen >= count // 10 - 2
    assert sizes[1] - sizes[0] < 200  # numbers get longer, not more
    assert stream.state.finalizer.late_events == 0


class PlantedEngineView:
    def __init__(self, engine, actions):
        self.actions, self.jitter, self.seed, self.width = actions, 0, 0, engine.width


def test_time_does_not_drift_in_months():
    """Snippets are counted: the hundred millionth begins where multiplication says."""
    engine = PlantedEngine([])
    stream = engine_stream(engine, snippets(window=20, step=1, look_ahead=5, gap=1))
    for r in zeros(20):
        stream.push_features(r)
    numbers, arrays = stream.state.state()
    numbers["ring"]["count"] = numbers["given"] = 100_000_000
    stream.state.restore(numbers, arrays)
    stream.state.push_row(zeros(1)[0])
    (window,) = stream.state.windows()
    assert window.right == pytest.approx(100_000_001 * 0.32, abs=1e-6)
    assert window.left == pytest.approx(99_999_981 * 0.32, abs=1e-6)


def test_reset_begins_anew(engine, frames):
    stream = engine.open_stream("s", SHORT)
    first = push_all(stream, frames) + stream.flush()
    push_all(stream, frames[:70])
    stream.reset()
    assert push_all(stream, frames) + stream.flush() == first


def test_after_a_flush_another_stream_begins_whose_ids_are_its_own(engine, frames):
    stream = engine.open_stream("s", SHORT)
    first = push_all(stream, frames) + stream.flush()
    then = push_all(stream, frames) + stream.flush()
    assert [row(e) for e in first] == [row(e) for e in then]
    assert not {e.id for e in first} & {e.id for e in then}


def test_events_carry_the_wall_clock(engine, frames):
    stream = engine.open_stream("s", SHORT)
    events = [e for i, f in enumerate(frames) for e in stream.push(f, i / FPS, wall=1_800_000_000 + i / FPS)]
    assert events
    for e in events:
        assert e.wall_time.startswith("2027-01-15T08:00:0")
        assert float(e.wall_time[17:-1]) == pytest.approx(e.end, abs=1e-5)
    silent = engine.open_stream("s", SHORT)
    assert {e.wall_time for e in push_all(silent, frames)} == {None}


def test_a_snapshot_in_the_middle_of_a_snippet(engine, frames, tmp_path):
    stream = engine.open_stream("s", SHORT)
    wanted = push_all(stream, frames) + stream.flush()
    for at in (0, 1, 7, 61, 100, 149):
        before, after = engine.open_stream("s", SHORT), engine.open_stream("s", SHORT)
        events = push_all(before, frames[:at])
        before.snapshot(tmp_path / "s.npz")
        after.restore(tmp_path / "s.npz")
        events += [e for i in range(at, 150) for e in after.push(frames[i], i / FPS)]
        assert events + after.flush() == wanted


def test_snapshots_of_something_else_are_refused(engine, frames, tmp_path):
    path = tmp_path / "s.npz"
    stream = engine.open_stream("s", SHORT)
    push_all(stream, frames[:100])
    stream.snapshot(path)
    other = TALEngine(tiny_plan(name="other"), "cpu")
    with pytest.raises(SnapshotError, match=r"s\.npz: plan is '.*', this stream's is"):
        other.open_stream("s", SHORT).restore(path)
    with pytest.raises(SnapshotError, match=r"options is another: step is 0\.5, this stream's is 0\.4"):
        engine.open_stream("s", replace(SHORT, step=0.4)).restore(path)
    with pytest.raises(SnapshotError, match="source is 's', this stream's is 't'"):
        engine.open_stream("t", SHORT).restore(path)
    with pytest.raises(SnapshotError, match="no such snapshot"):
        stream.restore(tmp_path / "none.npz")


def test_damaged_snapshots_are_refused(engine, frames, tmp_path):
    path = tmp_path / "s.npz"
    stream = engine.open_stream("s", SHORT)
    push_all(stream, frames[:100])
    stream.snapshot(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in [0, len(whole) // 2, *rng.integers(0, len(whole), 40)]:
        broken = bytearray(whole)
        broken[at] ^= 0xFF
        path.write_bytes(broken)
        fresh = engine.open_stream("s", SHORT)
        try:  # bytes that mean nothing, such as a date in the zip, may change
            fresh.restore(path)
        except SnapshotError:
            continue
        assert fresh.state.state()[0] == stream.state.state()[0]
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SnapshotError, match="damaged"):
        stream.restore(path)


def test_a_state_that_waits_for_a_model_is_not_kept(engine, frames):
    state = StreamState(engine.plan.manifest, engine.plan.sha256, "s", SHORT)
    for i in range(10):
        list(state.push(lambda: frames[0], i / FPS))
    with pytest.raises(UsageError, match="s: cannot be saved now, 1 snippets or windows are pending"):
        state.state()


@pytest.mark.parametrize("wall", [float("nan"), float("inf"), -1.0, 1e12])
def test_a_wall_clock_that_is_none_is_named_and_nothing_is_taken(engine, frames, wall):
    stream = engine.open_stream("cam", SHORT)
    with pytest.raises(UsageError, match=r"wall is .*, must be seconds since 1970"):
        stream.push(frames[0], 0.0, wall)
    assert stream.state.newest is None
    with pytest.raises(UsageError, match="wall is"):
        stream.push_features({"rgb": np.zeros(4, np.float32)}, wall)


def test_bad_input_is_named(engine, frames):
    stream = engine.open_stream("cam", SHORT)
    with pytest.raises(VideoError, match=r"cam: a frame is float64 \[4, 4, 3\], must be \[H, W, 3\] uint8 RGB"):
        stream.push(np.zeros((4, 4, 3)), 0.0)
    with pytest.raises(VideoError, match="cam: a frame is list"):
        stream.push([1], 0.0)
    with pytest.raises(VideoError, match="no pixels"):
        stream.push(np.zeros((0, 4, 3), np.uint8), 0.0)
    with pytest.raises(FeatureError, match="the head reads stream 'rgb', the row has \\['flow'\\]"):
        stream.push_features({"flow": np.zeros(4)})
    with pytest.raises(FeatureError, match=r"a row has shape \[5\], the head reads \[4\]"):
        stream.push_features({"rgb": np.zeros(5)})
    with pytest.raises(FeatureError, match="feature 0 is NaN"):
        stream.push_features({"rgb": np.full(4, np.nan)})
    stream.push(frames[0], 0.0)
    with pytest.raises(UsageError, match="cam: features were pushed into a stream of frames"):
        stream.push_features({"rgb": np.zeros(4)})
    with pytest.raises(UsageError, match="end is -1"):
        stream.flush(-1.0)
    stream.push(frames[1], 2.0)
    with pytest.raises(UsageError, match=r"end is 2\.0, must be seconds after the newest frame \(2\.0\)"):
        stream.flush(2.0)
    stream.reset()
    stream.push_features({"rgb": np.zeros(4)})
    stream.push_features({"rgb": np.zeros(4)})
    with pytest.raises(UsageError, match=r"end is 0\.3, must be seconds after the newest frame \(0\.32\)"):
        stream.flush(0.3)
    with pytest.raises(UsageError, match="cam: a frame was pushed into a stream of features"):
        stream.push(frames[0], 1.0)
    with pytest.raises(UsageError, match="no snippet waits"):
        stream.state.add({"rgb": np.zeros(4)})
    with pytest.raises(PlanError, match="has no encoders: push features"):
        TALEngine(tiny_plan(encoders=False), "cpu").open_stream().push(frames[0], 0.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [("step", 0.0), ("step", 61.0), ("look_ahead", 61.0), ("gap", 31.0), ("max_still", 0.0), ("pad", -1.0)],
)
def test_options_that_make_no_sense_are_refused(field, value):
    with pytest.raises(UsageError, match=f"{field} is {value}"):
        StreamOptions(**{field: value})


def test_actions_are_not_cut_to_less_than_the_shortest():
    with pytest.raises(UsageError, match=r"max_action is 1\.0, must be 0 or at least min_action \(1\.5\)"):
        StreamOptions(max_action=1.0, min_action=1.5)
    assert StreamOptions(max_action=0.0, min_action=1.5).min_action == 1.5
