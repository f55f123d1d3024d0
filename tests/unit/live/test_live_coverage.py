"""What is missed is counted once and named; lines of frames drop as their policy says."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.live.addresses import address_of
from tal_engine.live.connection import Connection, Connector, UnreachableError
from tal_engine.live.coverage import REASONS, Coverage
from tal_engine.live.coverage_recorder import CoverageRecorder
from tal_engine.live.frame_queue import FrameQueue
from tal_engine.live.live_source import LiveSource, open_live
from tal_engine.options import LiveOptions
from tal_engine.video.source import Frame, VideoSource
from tests.waiting import LONG_S, until

STEP = 0.04


# -- coverage ----------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_coverage_equals_counting_milliseconds(data):
    """The slow twin: one reason, or none, for each of 300 ms; pieces come in any order, some one by one."""
    truth = data.draw(st.lists(st.sampled_from([None, None, *REASONS]), min_size=300, max_size=300))
    pieces, start = [], 0
    for i in range(1, 301):
        if i == 300 or truth[i] != truth[start] or data.draw(st.booleans()):
            pieces.append((truth[start], start, i))
            start = i
    coverage = Coverage(keep=10_000)
    coverage.arrived(0.3)
    for reason, a, b in data.draw(st.permutations(pieces)):
        if reason:
            coverage.add(reason, a / 1000, b / 1000)
    found = [None] * 300
    for m in coverage.missed:
        found[round(m.start * 1000) : round(m.end * 1000)] = [m.reason] * round((m.end - m.start) * 1000)
    assert found == truth
    assert coverage.seen_seconds == pytest.approx(truth.count(None) / 1000)
    assert all(
        a.end < b.start or a.reason != b.reason for a, b in zip(coverage.missed, coverage.missed[1:], strict=False)
    )


def test_coverage_is_bounded_and_its_totals_are_not():
    """Long gaps of long ago and all of the newest are kept; what goes are the short ones of long ago."""
    coverage = Coverage(keep=100)
    for i in range(5000):
        coverage.add("dropped", i, i + (0.9 if i % 500 == 7 else 0.5))
        assert len(coverage.missed) <= 100
    record = coverage.to_dict()
    assert record["intervals_left_out"] == 5000 - len(record["intervals"])
    starts = [m["start"] for m in record["intervals"]]
    assert starts == sorted(starts)
    assert set(starts) >= {*range(7, 5000, 500), *range(4955, 5000)}
    assert record["not_analysed"]["dropped"] == pytest.approx(2500 + 10 * 0.4)
    coverage.add("gap", 3.5, 3.6)  # older than what is kept
    assert len(coverage.missed) <= 100
    assert coverage.totals["gap"] == pytest.approx(0.1)


@given(st.lists(st.tuples(st.floats(0.01, 10), st.floats(0.01, 10)), max_size=60), st.integers(1, 8))
def test_of_any_intervals_the_newest_and_the_longest_stay(pieces, keep):
    """Beside a record that keeps all; of equally long ones the newest stay."""
    coverage, everything, at = Coverage(keep), [], 0.0
    for pause, length in pieces:
        coverage.add("gap", at + pause, at + pause + length)
        everything.append((at + pause, at + pause + length))
        at += pause + length
        kept = [(m.start, m.end) for m in coverage.missed]
        assert kept[-((keep + 1) // 2) :] == everything[-((keep + 1) // 2) :]
        assert set(kept) <= set(everything)
        assert len(kept) == min(keep, len(everything))
    assert coverage.forgotten == len(everything) - len(coverage.missed)
    assert coverage.missed_seconds == pytest.approx(sum(b - a for a, b in everything))
    if keep > 1 and everything:
        assert max(m.end - m.start for m in coverage.missed) == max(b - a for a, b in everything)


def tally(frames, timeout=10.0, live=True):
    """Coverage of (seconds, arrival, damaged so far) frames; "lost" and "silent" are breaks of the connection."""
    coverage = Coverage()
    it = CoverageRecorder(coverage, timeout)
    it.connected(STEP, live)
    for frame in frames:
        if frame == "ended":
            it.ended()
        elif isinstance(frame, str):
            it.disconnected(frame == "silent")
        else:
            it.frame(*frame, 0)
    it.finish(frames[-1][1] if not isinstance(frames[-1], str) else 100.0)
    return [(round(m.start, 3), round(m.end, 3), m.reason) for m in coverage.missed]


def test_reasons():
    assert tally([(0.0, 0.0, 0), (0.9, 0.9, 0), (1.8, 1.8, 0)]) == []
    assert tally([(0.0, 0.0, 0), (5.0, 0.1, 0)]) == [(0.04, 5.0, "gap")]
    assert tally([(0.0, 0.0, 0), (5.0, 5.0, 0)]) == [(0.04, 5.0, "stalled")]
    assert tally([(0.0, 0.0, 0), (5.0, 5.0, 0)], live=False) == []
    assert tally([(0.0, 0.0, 0), (15.0, 0.0, 0)], live=False) == [(0.04, 15.0, "gap")]
    assert tally([(0.0, 0.0, 0), (0.08, 0.08, 1)]) == [(0.04, 0.08, "damaged")]
    assert tally([(0.0, 0.0, 0), (0.04, 0.04, 1)]) == []
    assert tally([(0.0, 0.0, 0), "lost", (0.5, 0.5, 0)]) == [(0.04, 0.5, "reconnect")]
    assert tally([(0.0, 0.0, 0), "silent", (15.0, 15.0, 0)]) == [(0.04, 10.04, "stalled"), (10.04, 15.0, "reconnect")]
    assert tally([(0.0, 0.0, 0), "lost"]) == [(0.04, 100.0, "reconnect")]
    assert tally([(0.0, 0.0, 0), "lost", "ended"]) == []
    assert tally([(0.0, 0.0, 0), "lost", (0.04, 3.0, 0)]) == []
    assert tally([(0.0, 0.0, 0), "silent", "lost", (15.0, 15.0, 0)])[0] == (0.04, 10.04, "stalled")


# -- drop policies -----------------------------------------------------------------------------


def frame(number, step=STEP):
    return Frame(number * step, lambda: np.full((1, 1, 3), number % 256, np.uint8))


def drive(policy, count, every, size=8):
    """`count` frames come, one of `every` is taken; numbers taken, the line, its coverage."""
    coverage = Coverage()
    it = FrameQueue(size, policy, coverage)
    taken = []
    for i in range(count):
        coverage.arrived((i + 1) * STEP)
        assert it.put(frame(i))
        if i % every == every - 1 and (got := it.take()):
            taken.append(round(got.pts_seconds / STEP))
    it.finish()
    while got := it.take():
        taken.append(round(got.pts_seconds / STEP))
    dropped = [i for i in range(count) if i not in taken]
    assert coverage.frames["dropped"] == len(dropped)
    assert coverage.totals["dropped"] == pytest.approx(len(dropped) * STEP)
    assert coverage.seen_seconds == pytest.approx(len(taken) * STEP)
    missed = {round(m.start / STEP + k) for m in coverage.missed for k in range(round((m.end - m.start) / STEP))}
    assert missed == set(dropped)
    return taken, it


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_latest", "adaptive"])
def test_nothing_is_dropped_while_there_is_room(policy):
    assert drive(policy, 100, 1)[0] == list(range(100))


def test_drop_oldest_keeps_the_newest():
    taken, _ = drive("drop_oldest", 100, 1000)
    assert taken == list(range(92, 100))


def test_drop_latest_keeps_the_oldest():
    taken, _ = drive("drop_latest", 100, 1000)
    assert taken == list(range(8))


@pytest.mark.parametrize("every", [2, 3, 5])
def test_adaptive_spreads_the_loss(every):
    """A taker that is `every` times too slow sees frames about as far apart, where others see holes of any size."""
    taken, _ = drive("adaptive", 3000, every, size=64)
    holes = np.diff(taken)
    assert holes.max() <= 2 * every + 1
    assert len(taken) == pytest.approx(3000 / every, rel=0.1)


def test_adaptive_comes_back_to_every_frame():
    coverage = Coverage()
    it = FrameQueue(16, "adaptive", coverage)
    for i in range(200):
        it.put(frame(i))
    assert it.keep_every > 4
    before = it.keep_every
    for i in range(200, 600):
        it.put(frame(i))
        it.take()
    assert it.keep_every == 1 < before


def test_wait_blocks_until_there_is_room_and_close_frees_it():
    it = FrameQueue(2, "wait", Coverage())
    put, results = [], []

    def fill():
        for i in range(6):
            results.append(it.put(frame(i)))
            put.append(i)

    thread = threading.Thread(target=fill)
    thread.start()
    taken = [it.take(5.0).pts_seconds for _ in range(3)]
    until(lambda: len(put) == 5)
    assert taken == [0.0, STEP, 2 * STEP]
    assert len(it) == 2
    assert thread.is_alive()
    it.close()
    thread.join(LONG_S)
    assert results == [True] * 5 + [False]
    assert it.take() is None


def test_a_dropped_frame_is_not_missed_twice():
    """The pause after it is a gap already."""
    coverage = Coverage()
    it = FrameQueue(2, "drop_oldest", coverage)
    it.put(frame(0))
    coverage.add("gap", STEP, 100 * STEP)
    it.put(frame(100))
    it.put(frame(101))
    assert [(m.reason, round(m.start / STEP), round(m.end / STEP)) for m in coverage.missed] == [
        ("dropped", 0, 1),
        ("gap", 1, 100),
    ]


class Clock:
    """This machine's clock, moved by hand; whoever waits moves it."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def unreachable(fails, then=None):
    """Connections that fail so many times, a second each, then give the video of `then`."""
    clock, left = Clock(), [fails]

    def connect():
        clock.now += 1.0
        if left[0] == 0:
            return then()
        left[0] -= 1
        raise UnreachableError("connection refused", lasting=False)

    return clock, connect


def live_source(clock, connect, **options):
    how = LiveOptions(reconnect_first=0.01, reconnect_longest=0.01, **options)
    connector = Connector(address_of("cam=rtsp://127.0.0.1:9/none"), how, live=True, now=clock)
    return LiveSource("cam", connect, how, connector, clock)


def test_all_the_time_of_a_camera_that_was_never_reached_is_missed():
    clock, connect = unreachable(fails=10**9)
    source = live_source(clock, connect, reconnect_limit=4.5)
    until(lambda: source.state == "failed")
    at_failure = clock.now
    clock.now += 60.0  # the others go on
    source.close()
    source.close()
    report = source.coverage.to_dict()
    assert at_failure >= 105.0
    assert report["not_analysed"]["reconnect"] == pytest.approx(clock.now - 100.0)
    assert (report["seconds"], report["seen"]) == (pytest.approx(clock.now - 100.0), 0.0)
    assert [(i["start"], i["reason"]) for i in report["intervals"]] == [(0.0, "reconnect")]


def test_a_camera_whose_connection_hangs_when_all_ends_is_missed_as_well():
    clock, hangs = Clock(), threading.Event()

    def connect():
        hangs.wait(LONG_S)
        raise UnreachableError("too late", lasting=False)

    source = live_source(clock, connect)
    clock.now += 30.0
    source.close()
    assert source.coverage.to_dict()["not_analysed"]["reconnect"] == 30.0
    clock.now += 5.0
    hangs.set()
    source._thread.join(LONG_S)
    assert source.coverage.to_dict()["not_analysed"]["reconnect"] == 30.0  # once


def test_the_time_before_a_camera_is_reached_is_missed():
    over = threading.Event()

    def frames():
        for i in range(50):
            yield Frame(i / 25, lambda: np.zeros((4, 4, 3), np.uint8))
        over.wait(LONG_S)  # connected, and still

    def video():
        return Connection(VideoSource("cam", frames(), 25.0, 0.04), ends=False)

    clock, connect = unreachable(3, video)
    source = live_source(clock, connect)
    until(lambda: source.coverage.frames["arrived"] == 50)
    report = source.coverage.to_dict()
    source._closing.set()
    over.set()
    source.close()
    assert report["intervals"][0] == {"start": -4.0, "end": 0.0, "reason": "reconnect"}
    assert report["seen"] == pytest.approx(2.0)
    assert report["seconds"] == pytest.approx(6.0)


def test_a_camera_that_is_reached_at_once_misses_nothing():
    coverage = Coverage()
    it = CoverageRecorder(coverage, 10.0, opened=0.0)
    it.connected(0.04, live=True)
    it.frame(0.0, 3.0, 0, 0)
    it.finish(3.04, live=True)
    assert coverage.missed == ()


def test_a_file_that_never_opened_has_no_time(tmp_path):
    source = open_live(str(tmp_path / "none.mp4"))
    until(lambda: source.state == "failed")
    source.close()
    assert source.coverage.to_dict()["seconds"] == 0.0
