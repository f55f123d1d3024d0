"""Policy `adaptive`: what would be dropped is not even decoded, counts as dropped, and is back when there is room."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtsp_server import RtspServer, coded, number_of

from tal_engine.live import connection
from tal_engine.live.connection import Connection
from tal_engine.live.live_source import LiveSource, open_live
from tal_engine.options import LiveOptions
from tal_engine.video import open_video
from tal_engine.video.decode_skipper import DecodeSkipper
from tests.live.test_live_rtsp import drift, reasons, watch
from tests.makers import write_mp4
from tests.waiting import LONG_S, until

STEP = 0.04


class Packet:
    """Number i of a film, a key frame or not; the end has no size."""

    time_base, size = Fraction(1, 25), 1

    def __init__(self, number, key=False):
        self.pts, self.is_keyframe = number, key


END = Packet(None)
END.size = 0


def decoded(keys, every, count=200, thinning=None):
    """Which packets a decoder gets of a film with a key frame at each of `keys`, and which it may skip of these."""
    it = thinning or DecodeSkipper()
    got, may_skip = [], []
    for i in range(count):
        it.keep_every = every(i) if callable(every) else every
        if not it.should_skip(Packet(i, i in keys)):
            got.append(i)
            may_skip += [i] if it.skip == "NONREF" else []
    return got, may_skip


# -- what is spared ----------------------------------------------------------------------------


def test_all_is_decoded_while_all_is_kept():
    for keys in (range(200), range(0, 200, 10), [0]):
        assert decoded(keys, 1) == (list(range(200)), [])


@pytest.mark.parametrize("every", [2, 3, 7])
def test_pictures_that_stand_for_themselves_are_decoded_as_they_are_kept(every):
    got, _ = decoded(range(200), every)
    assert np.diff(got)[3:].tolist() == [every] * (len(got) - 4)


def test_key_frames_only_where_no_more_is_kept():
    keys = range(0, 200, 10)
    got, may_skip = decoded(keys, 9)
    assert got == may_skip == list(range(200))
    got, _ = decoded(keys, 10)
    assert got[20:] == list(keys)[3:], "the one before the second was decoded"
    got, _ = decoded(keys, 25)
    assert set(np.diff(got[21:])) == {30}


def test_the_furthest_key_frames_count():
    """Cuts between scenes make some that are close."""
    keys = {0, 50, 52, 55, 100, 103, 150, 155}
    assert decoded(keys, 10)[0] == list(range(200))
    assert len(decoded(keys, 50)[0]) < 120


def test_it_goes_back_to_all_frames_at_a_key_frame():
    got, _ = decoded(range(0, 200, 10), lambda i: 10 if i < 105 else 1)
    assert got[20:] == [*range(30, 101, 10), *range(110, 200)]


def test_the_end_of_a_file_always_reaches_the_decoder():
    it = DecodeSkipper()
    decoded(range(0, 200, 10), 50, thinning=it)
    assert it.skipped
    assert not it.should_skip(END)
    assert it.skip == "DEFAULT"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.booleans(), min_size=1, max_size=120), st.lists(st.integers(1, 12), min_size=120, max_size=120),
    st.lists(st.booleans(), min_size=120, max_size=120),
)  # fmt: skip
def test_what_is_left_out_is_counted_once_and_what_is_decoded_can_be(keys, every, skipped):
    """The decoder skips any packets that it may, or none; no frame is decoded that lacks the one before."""
    it = DecodeSkipper()
    shown = left_out = 0
    whole = True  # all since the last key frame is there
    for i, key in enumerate(keys):
        it.keep_every = every[i]
        if it.should_skip(Packet(i, key)):
            whole = False
            continue
        whole = whole or key
        assert whole
        if it.skip == "NONREF" and not key and skipped[i]:
            continue
        shown, left_out = shown + 1, left_out + it.before(i * STEP)
    assert shown + left_out + it.rest() == len(keys)
    assert it.pending == 0


def test_a_clock_that_goes_back_loses_no_count():
    it = DecodeSkipper()
    decoded(range(100), 5, count=100, thinning=it)
    it.before(96 * STEP)
    left_out = it.pending
    assert left_out
    number = 0
    while it.should_skip(Packet(number, True)):
        number += 1
    assert it.before(number * STEP) == left_out + number


# -- a slow taker, step by step ----------------------------------------------------------------

FILMS = {
    "intra": ("v.mkv", "mjpeg", {"pix_fmt": "yuvj420p"}, {}),
    "gop of 5": ("v.mp4", "libx264", {}, {"g": "5", "bf": "0", "sc_threshold": "0"}),
    "B-frames": ("v.mp4", "libx264", {}, {"g": "50", "bf": "3", "b-pyramid": "none", "sc_threshold": "0"}),
}


def film(kind, folder, count=900):
    name, codec, how, options = FILMS[kind]
    prepare = lambda stream: setattr(stream, "options", options)  # noqa: E731
    return write_mp4(folder / name, (coded(i, (48, 48)) for i in range(count)), codec=codec, prepare=prepare, **how)


def slowly(path, policy, one_of, count=900):
    """Numbers that a taker gets who takes one of so many frames, and all of the last half; the source and its file."""
    video, taken, sources = open_video(path), [], []

    def taking(frames):
        until(lambda: sources)
        for frame in frames:
            yield frame
            now, end = round(frame.pts_seconds / STEP), count // 2
            while len(taken) < min(now, end) // one_of + max(now - end, 0) and (got := sources[0].poll()):
                taken.append(number_of(got.image()))

    video.frames = taking(video.frames)
    live = LiveSource("x", lambda: Connection(video, ends=True), LiveOptions(policy=policy, buffer=16))
    sources.append(live)
    live._thread.join(LONG_S)
    with live:
        taken += [number_of(f.image()) for f in live.frames()]
    return taken, live, video


@pytest.mark.parametrize(("kind", "one_of", "most"), [("intra", 4, 0.8), ("gop of 5", 8, 0.75), ("B-frames", 4, 0.8)])
def test_a_slow_taker_saves_decoding(kind, one_of, most, tmp_path):
    path = film(kind, tmp_path)
    for policy in ("drop_oldest", "adaptive"):
        taken, live, video = slowly(path, policy, one_of)
        assert video.decoded == 900 if policy == "drop_oldest" else video.decoded < most * 900
        assert len(taken) > 400
        assert live.coverage.frames["arrived"] == 900
        assert live.coverage.frames["dropped"] == 900 - len(taken)
        assert live.coverage.totals["dropped"] == pytest.approx(STEP * (900 - len(taken)), abs=1e-6)
        assert live.coverage.seen_seconds == pytest.approx(STEP * len(taken), abs=1e-6)
        assert reasons(live) == {"dropped"}
        missed = {round(m.start / STEP + k) for m in live.coverage.missed for k in range(round((m.end - m.start) * 25))}
        assert missed == set(range(900)) - set(taken)
        assert not live.warnings
    assert taken[-300:] == list(range(600, 900)), "all of them, once there is room"


# -- a camera ----------------------------------------------------------------------------------


@pytest.fixture
def counted(monkeypatch):
    """Frames that came out of decoders."""
    came, frames_of = [], connection.frames_of
    monkeypatch.setattr(connection, "frames_of", lambda *a: (came.append(f) or f for f in frames_of(*a)))
    return came


def test_a_camera_with_a_slow_taker(counted):
    with RtspServer(gop=4) as camera, open_live(camera.url, LiveOptions(policy="adaptive", buffer=4)) as live:
        frames, _ = watch(live, 1)
        before, first = len(counted), camera.taken
        for _ in range(6):
            time.sleep(0.5)
            frames += watch(live, 0.0)[0]
        saved = 1 - (len(counted) - before) / (camera.taken - first)
        frames += watch(live, 3)[0]
        numbers = [f[2] for f in frames]
        unseen = numbers[-1] - numbers[0] + 1 - len(numbers) + round(frames[0][0] / STEP)
        record = live.coverage.to_dict()
    assert saved > 0.4
    assert reasons(live) == {"dropped"}
    assert record["not_analysed"]["dropped"] == pytest.approx(unseen * STEP, abs=0.1)
    assert record["frames"]["dropped"] == pytest.approx(unseen, abs=2)
    assert np.abs(drift(frames)).max() < 1e-4
    assert np.diff(numbers)[-20:].tolist() == [1] * 20
    assert live.frame_seconds == pytest.approx(STEP, abs=0.002)


def test_a_camera_is_not_lost_where_nothing_is_decoded(counted):
    """And not counted as silent, though no frame comes for longer than `source_timeout`."""
    options = LiveOptions(policy="adaptive", source_timeout=0.8)
    with RtspServer(gop=30) as camera, open_live(camera.url, options) as live:
        live._queue.keep_every = 250
        states, first = set(), camera.taken

        def seven_seconds():
            assert live.poll(0.1) is None
            states.add(live.state)
            return camera.taken > first + 175

        until(seven_seconds)
        assert states <= {"connecting", "live"}
        assert len(counted) < 110, "until the third key frame, as it is not known before how far they are apart"
        camera.stop()
        until(lambda: live.state != "live")
        assert reasons(live) == {"dropped"}
        arrived = live.coverage.frames["arrived"]
        assert live.coverage.frames["dropped"] == arrived - 1 > 100, "how long the last is shown is not known"
        # by the mean time between frames so far, which nears the camera's from what ffmpeg took it for
        assert live.coverage.totals["dropped"] == pytest.approx(STEP * arrived, rel=0.1)
