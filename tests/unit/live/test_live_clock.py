"""Time stamps of every kind become one line of time, and find their place on the wall clock."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.live.hls import HlsSegments
from tal_engine.live.timestamps import Arrival, TimestampNormalizer
from tal_engine.video.file_clock import FileClock

STEP = 0.04
WRAP = 2**33 / 90_000


def placed(pts, at=None, clock=None, live=True, start=1000.0, segmented=False):
    """(seconds, number) of frames with these time stamps, which come one frame time apart if nothing else is said."""
    clock = clock or TimestampNormalizer(STEP, 10.0, live)
    at = at if at is not None else [i * STEP for i in range(len(pts))]
    clock.connected(segmented=segmented)
    found = list(clock.timed(Arrival(p, start + a, i) for i, (p, a) in enumerate(zip(pts, at, strict=True))))
    seconds = [s for s, _ in found]
    assert all(a < b for a, b in pairwise(seconds))
    return found, clock


def line(count, first=0.0):
    return [first + i * STEP for i in range(count)]


def assert_true(found, tolerance=0.0415):
    """Each frame stands at the second when it was made: number * STEP."""
    for seconds, number in found:
        assert seconds == pytest.approx(number * STEP, abs=tolerance)


# -- the clock ---------------------------------------------------------------------------------


def test_time_stamps_are_taken_as_they_are():
    """No counting, no summing: after four days seconds are the source's to the last bit but one rounding."""
    pts = [7.0 + i * 1001 / 30_000 for i in range(100)] + [345_600.0 + 7.0 + i * 0.04 for i in range(5)]
    found, _ = placed(pts, [p - 7.0 for p in pts])
    np.testing.assert_allclose([s for s, _ in found], np.array(pts) - 7.0, atol=1e-9)


@pytest.mark.parametrize("live", [True, False])
def test_duplicates_and_frames_from_the_past_are_dropped(live):
    pts = line(100, 5.0)
    pts[20] = pts[19]
    pts[40] = pts[37]
    pts[60] = 0.0
    found, clock = placed(pts, live=live)
    assert [n for _, n in found] == [n for n in range(100) if n not in (20, 40, 60)]
    assert_true(found, 1e-9)
    assert (clock.dropped, clock.restarts) == (3, 0)


def test_a_burst_sent_again_moves_nothing():
    """One second of old frames arrives at once: dropped, and the line is where it was."""
    pts = [*line(50), *line(25, 1.0), *line(50, 2.0)]
    at = [*line(50), *[2.0] * 25, *line(50, 2.0)]
    found, clock = placed(pts, at)
    assert [s for s, _ in found] == pytest.approx(line(100), abs=1e-9)
    assert clock.dropped == 25


@pytest.mark.parametrize("live", [True, False])
def test_one_leap_is_one_frame(live):
    pts = line(50, 5.0)
    pts[20] = 4000.0
    pts[30] = 9.0
    found, clock = placed(pts, live=live)
    assert [n for _, n in found] == [n for n in range(50) if n not in (20, 30)]
    assert_true(found, 1e-9)
    assert clock.dropped == 2


@pytest.mark.parametrize("leap", [3600.0, -3600.0, 20.0, -20.0])
def test_a_clock_set_anew_goes_on_by_the_wall(leap):
    pts = [*line(100, 5.0), *line(200, 9.0 + leap)]
    found, clock = placed(pts)
    assert_true(found)
    assert clock.restarts == 1
    assert clock.dropped <= 1.1 / STEP


def test_leaps_that_the_wall_confirms_are_gaps():
    pts = [*line(100), *line(100, 64.0)]
    found, clock = placed(pts, pts)
    assert [s for s, _ in found] == pytest.approx(pts, abs=1e-9)
    assert clock.restarts == clock.dropped == 0


def test_leaps_of_any_number_never_run_ahead_for_more_than_the_limit():
    pts = [i * STEP + 9.0 * (i // 50) for i in range(2000)]
    found, _ = placed(pts)
    assert max(s - n * STEP for s, n in found) <= 10.1


@pytest.mark.parametrize("wrap", [WRAP, 2**32 / 90_000])
def test_wrapping_counters_go_on(wrap):
    pts = [p % wrap for p in line(200, wrap - 4.0)]
    found, clock = placed(pts)
    assert_true(found, 1e-6)
    assert len(found) == 200
    assert clock.restarts == clock.dropped == 0


@pytest.mark.parametrize("absent", [None, float("nan"), float("inf")])
def test_frames_without_time(absent):
    pts = [absent if i % 7 == 3 or i > 80 else p for i, p in enumerate(line(100, 5.0))]
    assert_true(placed(pts)[0])
    assert_true(placed([absent] * 100)[0])
    assert_true(placed([absent] * 100, at=[0.0] * 100, live=False)[0])


def test_a_source_without_a_clock_is_timed_by_arrival():
    at = np.cumsum(np.random.default_rng(0).uniform(0.05, 0.15, 500)).tolist()
    found, _ = placed([None] * 500, at)
    np.testing.assert_allclose([s for s, _ in found], np.array(at) - at[0], atol=1e-6)


@pytest.mark.parametrize("store", [0, 20])
def test_a_new_connection_is_placed_by_what_is_new(store):
    """A server that begins with what it has in store does not move the line of time."""
    clock = placed(line(100, 5.0))[1]
    gap = 250  # frames that nobody saw
    pts = line(200, 77.0)
    at = [max(i, store) * STEP for i in range(200)]
    again, _ = placed(pts, at, clock, start=1000.0 + (100 + gap - store) * STEP)
    assert_true([(s, n + 100 + gap - store) for s, n in again], 1e-6)
    for _ in range(30):  # nothing adds up
        last = clock.last
        again, _ = placed(line(100), [max(i, store) * STEP for i in range(100)], clock, start=1000.0 + last + 8.0)
        assert_true([(s - last - 8.0, n) for s, n in again if n >= store], 1e-6)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(), st.floats(-5, 20), st.sampled_from(line(40))), max_size=60),
    st.lists(st.floats(0, 3), min_size=60, max_size=60),
    st.booleans(),
    st.booleans(),
)
def test_anything_becomes_increasing_time(pts, steps, live, pieces):
    found, clock = placed(pts, np.cumsum(steps)[: len(pts)].tolist(), live=live, segmented=pieces)
    assert len(found) + clock.dropped == len(pts)
    assert all(s >= 0 and np.isfinite(s) for s, _ in found)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2500), st.sampled_from(["jump", "jitter", "twice", "nan", "old"])), max_size=12),
    st.integers(0, 1000),
)
def test_no_drift_whatever_happens(faults, seed):
    """After any faults and a quiet while, frames stand where they were made, give or take the jitter."""
    rng = np.random.default_rng(seed)
    pts: list[float | None] = line(3000, 100.0)
    for at, kind in faults:
        if kind == "jump":
            leap = float(rng.choice([-5000.0, -30.0, 30.0, 5000.0]))
            pts[at:] = [p if p is None else p + leap for p in pts[at:]]
        elif kind == "jitter":
            pts[at : at + 50] = [p if p is None else p + rng.uniform(-0.1, 0.1) for p in pts[at : at + 50]]
        elif kind == "twice":
            pts[at] = pts[at - 1]
        else:
            pts[at] = float("nan") if kind == "nan" else -1e6
    found, _ = placed(pts)
    assert found[-1][1] == 2999
    assert_true(found[-100:], 0.35)


def test_what_held_up_a_frame_does_not_add_up():
    """An hour of a camera that connects and sets its clock anew all the time, over a network that holds frames up."""
    rng = np.random.default_rng(0)
    clock, start, noise = TimestampNormalizer(STEP, 10.0, live=True), 1000.0, 0.02
    for _ in range(40):
        count = 2000
        made = start + np.arange(count) * STEP
        pts = made + rng.uniform(-1e5, 1e5) + rng.uniform(-0.01, 0.01, count)
        for at in range(0, count, 500):
            pts[at:] += rng.choice([-3600.0, 3600.0, -5.0, 50_000.0])
        arrived = np.maximum.accumulate(made + rng.exponential(noise, count))
        clock.connected()
        found = list(clock.timed(Arrival(p, a, m) for p, a, m in zip(pts, arrived, made, strict=True)))
        late = np.array([seconds - (m - 1000.0) for seconds, m in found[-100:]])
        assert np.abs(late).max() < 10 * noise
        start = made[-1] + rng.uniform(2, 8)
    assert clock.restarts > 100


# -- pieces ------------------------------------------------------------------------------------


def test_a_new_connection_goes_on_in_the_old_time():
    """Its first frames were made long before they come, and stand where they were made, with no way to add up."""
    clock, made = placed(line(100, 5.0), segmented=True)[1], 100
    for gap in (0, 1, 50, 200):
        made += gap
        at = [(gap + 60) * STEP + i * STEP / 1.1 for i in range(100)]
        found, _ = placed(line(100, 5.0 + made * STEP), at, clock, start=1000.0 + (made - gap) * STEP, segmented=True)
        assert_true([(s, n + made) for s, n in found], 1e-6)
        made += 100
    assert clock.restarts == clock.dropped == 0


@pytest.mark.parametrize("first", [0.0, 4.0, 8.95, 60.0, None])
def test_a_new_connection_that_cannot_go_on_gives_nothing(first):
    """Frames from the past, or from after now: the next connection begins anew, by this machine's clock."""
    clock = placed(line(100, 5.0), segmented=True)[1]
    pts = line(50, first) if first is not None else [None] * 50
    assert placed(pts, clock=clock, start=1006.0, segmented=True)[0] == []
    found, _ = placed(line(50, 1.4), clock=clock, start=1010.0, segmented=True)
    assert_true([(s, n + 250) for s, n in found])
    assert len(found) == 50
    assert clock.dropped == 0


@pytest.mark.parametrize("first", [0.0, 1.4, 7.5])
def test_another_encoder_costs_no_frame(first):
    """It begins 2 s later, within the connection."""
    at = [i * STEP + 2.0 * (i >= 100) for i in range(200)]
    found, clock = placed([*line(100, 5.0), *line(100, first)], at, segmented=True)
    assert_true([(s - 2.0 * (n >= 100), n) for s, n in found])
    assert len(found) == 200
    assert (clock.restarts, clock.dropped) == (1, 0)


def test_one_frame_from_the_past_is_dropped_in_pieces_too():
    pts = line(100, 5.0)
    pts[20], pts[40], pts[99] = 0.0, pts[37], 0.0
    found, clock = placed(pts, segmented=True)
    assert [n for _, n in found] == [n for n in range(100) if n not in (20, 40, 99)]
    assert_true(found, 1e-9)
    assert (clock.restarts, clock.dropped) == (0, 3)


def test_wrapping_counters_go_on_in_pieces():
    found, clock = placed([p % WRAP for p in line(200, WRAP - 4.0)], segmented=True)
    assert_true(found, 1e-6)
    assert len(found) == 200
    assert clock.restarts == clock.dropped == 0


class Piece(bytes):
    """A packet: its time stamps in milliseconds, and what is in it."""

    time_base = Fraction(1, 1000)

    def __new__(cls, pts, content, dts=None):
        packet = super().__new__(cls, content)
        packet.pts, packet.dts = pts, pts if dts is None else dts
        return packet


def test_pieces_know_what_comes_again():
    pieces = HlsSegments(lambda: 0.0)
    film = [Piece(40 * i, b"%d" % i) for i in range(60)]
    pieces.connected()
    assert all(pieces.is_new(p) for p in film[:30])
    assert pieces.is_new(Piece(1200, b"cut o")), "the connection breaks in it"
    pieces.connected()
    assert [pieces.is_new(p) for p in film[20:40]] == [False] * 11 + [True] * 9
    pieces.connected()
    assert all(pieces.is_new(p) for p in film[40:])
    pieces.connected()
    assert pieces.is_new(Piece(0, b"of another encoder")), "whose time stamps are the same"
    assert all(pieces.is_new(p) for p in film[1:30]), "of a still picture, say"


def test_pieces_go_on_as_fast_as_they_were_made():
    now = 0.0
    pieces, gone = HlsSegments(lambda: now), []
    for i in range(300):  # three pieces, each there at once, 4 s apart; then a pause that the source made
        now = max(now, 4.0 * (i // 100))
        now += pieces.pause(Piece(0, b"", 40 * i + (5000 if i >= 200 else 0)))
        gone.append(now)
    steps = np.diff(gone)
    assert steps[:99] == pytest.approx(0.04 / 1.1)
    assert gone[100] == 4.0
    assert gone[200] == 8.0
    assert steps[200:] == pytest.approx(0.04 / 1.1)
    now = 100.0
    assert pieces.pause(Piece(0, b"", 17_000)) == 0.0
    assert pieces.pause(Piece(0, b"", 17_040)) == pytest.approx(0.04 / 1.1), "what came late is no credit"
    assert pieces.pause(Piece(0, b"", 0)) == 0.0


# -- the wall clock ----------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [2e-4, -2e-4, 5e-3])
def test_wall_follows_a_crooked_clock(skew):
    """Ten hours of a source whose second is a little long or short, arrivals late by up to 0.3 s."""
    rng = np.random.default_rng(1)
    clock = TimestampNormalizer(1.0, 10.0, live=True)
    made = np.arange(36_000.0)
    at = made + np.abs(rng.normal(0, 0.1, len(made))).clip(0, 0.3)
    clock.connected()
    off = []
    for seconds, i in clock.timed(
        Arrival(t * (1 + skew), 50.0 + a, i) for i, (t, a) in enumerate(zip(made, at, strict=True))
    ):
        off.append(clock.wall(seconds) - 50.0 - made[i])
    assert np.abs(off).max() < 0.3
    assert np.abs(np.diff(off)).max() < 0.03


def test_wall_does_not_follow_a_queue_that_empties():
    """A reader that was held up for 5 s finds old frames: they are as old as they are."""
    clock = TimestampNormalizer(STEP, 10.0, live=True)
    made = np.array(line(5000))
    at = np.where((made > 60) & (made < 65), 65.0, made)
    clock.connected()
    found = list(clock.timed(Arrival(t, a, i) for i, (t, a) in enumerate(zip(made, at, strict=True))))
    assert np.abs([clock.wall(s) - s for s, _ in found]).max() < 1e-6


# -- stamps that stand still ---------------------------------------------------------------------


@pytest.mark.parametrize("stuck", [0.0, 7.25, 1.7e9])
@pytest.mark.parametrize("absent", [0, 2, 3])
def test_stamps_that_stand_still_are_none(stuck, absent):
    """All frames are kept and stand where they came; some have no stamp at all."""
    pts = [None if absent and i % absent == 1 else stuck for i in range(300)]
    found, clock = placed(pts)
    assert [n for _, n in found] == list(range(300))
    assert_true(found)
    assert clock.dropped == 0


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("length", [5, 50, 1000])
def test_stamps_that_stand_still_for_a_while(length, paused):
    """Then they go on where the time is, or (paused) where they stood."""
    pts = line(100, 5.0)
    pts += [pts[-1]] * length
    pts += line(200, 5.0 + (100 + (0 if paused else length)) * STEP)
    found, clock = placed(pts)
    assert clock.dropped <= 2
    assert_true([f for f in found if f[1] < 100 + length], 0.0415)
    assert_true(found[-100:], 0.0415 if not paused or length >= 50 else 5.5 * STEP)


def test_one_stamp_twice_is_one_frame_whatever_follows():
    pts = line(100, 5.0)
    pts[50], pts[51] = pts[49], None
    found, clock = placed(pts)
    assert len(found) + clock.dropped == 100
    assert_true(found)


# -- what is read --------------------------------------------------------------------------------


def read(pts, **options):
    """(seconds, number) of frames that are read with these stamps, and their clock."""
    clock = FileClock(STEP, **options)
    found = list(clock.timed((p, i) for i, p in enumerate(pts)))
    assert all(a < b for (a, _), (b, _) in pairwise(found))
    assert len(found) + clock.dropped == len(pts)
    return found, clock


@pytest.mark.parametrize("back", [0.2, 2.0, 3600.0])
def test_a_clock_set_back_goes_on_in_files(back):
    pts = [*line(100, 5000.0), *line(100, 5004.0 - back), *line(50, 5004.0)]
    found, clock = read(pts[:200])
    assert_true(found, 1e-9)
    assert (len(found), clock.restarts) == (200, 1)


@pytest.mark.parametrize("discontinuous", [True, False])
def test_a_leap_is_a_pause_or_a_new_clock(discontinuous):
    found, clock = read([*line(100), *line(100, 64.0)], discontinuous=discontinuous)
    assert clock.restarts == discontinuous
    assert found[-1][0] == pytest.approx(7.96 if discontinuous else 67.96)


def test_wrong_stamps_do_not_move_what_follows():
    """Two stamps in a row that are zero, and one alone at the end."""
    pts = line(100, 5.0)
    pts[40] = pts[41] = pts[99] = 0.0
    found, clock = read(pts)
    assert_true(found, 1e-9)
    assert (len(found), clock.dropped) == (100, 0)


def test_stamps_that_lie_a_little_behind_cost_no_frame():
    found, clock = read([*line(50), *line(50, 48 * STEP)])
    assert (len(found), clock.restarts) == (100, 0)
    assert found[-1][0] == pytest.approx(97 * STEP)


@pytest.mark.parametrize("pts", [[0.0] * 100, [3.0] * 100, [None, 0.0] * 50, [10.0 - 0.04 * i for i in range(100)]])
def test_useless_stamps_count_as_none(pts):
    found, _ = read(pts)
    assert len(found) >= 92
    assert found[-1][0] - found[0][0] == pytest.approx(99 * STEP, abs=8.1 * STEP)


def test_sparse_stamps_tell_the_pace():
    """One stamp in twelve frames, and a nominal rate that is wrong."""
    pts = [0.1 * i if i % 12 == 0 else None for i in range(240)]
    found, clock = read(pts)
    assert clock.dropped == 0
    assert [s for s, n in found[24:]] == pytest.approx([0.1 * n for n in range(24, 240)], abs=0.75)


@pytest.mark.parametrize(("claim", "seconds"), [(None, 4.0), (5000.0, 4999.0)])
def test_a_last_frame_far_away_needs_a_witness(claim, seconds):
    found, _ = read([*line(100), 4999.0], claim=claim)
    assert found[-1][0] == pytest.approx(seconds)
