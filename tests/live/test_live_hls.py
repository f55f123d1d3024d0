"""A playlist that grows: nothing is lost, shown twice or out of time while the server does what servers do.

The camera is `hls_server.py`. Frames of one encoder stand at its own time stamps, whatever happens to connections: to
the rounding of 90 kHz. A playlist does not say when its pieces were made, so after a new encoder the stream goes on by
the arrival of its first piece, which is known once it is complete, up to one look at the playlist later: SEGMENT and
half a target duration (1 s, as the muxer rounds it).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from rtsp_server import number_of

from tal_engine.live.live_source import open_live
from tal_engine.options import LiveOptions
from tests.hls_server import HlsServer
from tests.live.test_live_rtsp import drift, reasons, watch
from tests.unit.live.test_live import failure

SEGMENT = 0.6
EXACT, NEAR = 1e-3, SEGMENT + 0.5
QUICK = {"reconnect_first": 0.2, "reconnect_longest": 0.2}


@pytest.fixture
def camera(tmp_path):
    with HlsServer(tmp_path) as server:
        yield server


def until_the_end(live, plan=()):
    """Frames until the source ends by itself, as `watch` gives them."""
    frames, plan, began = [], list(plan), time.monotonic()
    while live.state not in ("ended", "failed") and time.monotonic() < began + 20:
        if (frame := live.poll(0.02)) is not None:
            frames.append((frame.pts_seconds, frame.wall, number_of(frame.image())))
        while plan and time.monotonic() > began + plan[0][0]:
            plan.pop(0)[1]()
    assert live.state == "ended"
    assert live.error is None
    return frames


def holes(frames):
    """[(first, last)] numbers that were not shown. None is shown twice or out of order."""
    numbers = [f[2] for f in frames]
    assert numbers == sorted(set(numbers))
    return [(a + 1, b - 1) for a, b in pairwise(numbers) if b > a + 1]


def missed(live, frames):
    """The stretches of the coverage map as numbers of frames, and their reasons."""
    first = frames[0][2]
    return [((round(m.start * 25) + first, round(m.end * 25) - 1 + first), m.reason) for m in live.coverage.missed]


# -- what is served is seen --------------------------------------------------------------------


def test_a_growing_playlist_is_seen_as_it_is(camera):
    with open_live(f"yard={camera.url}") as live:
        frames, states = watch(live, 4)
        assert live.is_live
    assert states[-1:] == ["live"]
    assert "stalled" not in states
    assert holes(frames) == []
    assert np.abs(drift(frames)).max() < EXACT
    assert len(frames) > 90
    assert live.coverage.missed_seconds == 0
    assert live.frame_seconds == pytest.approx(0.04, abs=1e-3)
    late = time.time() - np.array([f[1] for f in frames])[-1]
    assert 0 <= late < 2.0


def test_it_begins_with_the_newest_piece(tmp_path):
    """And not with the first, nor as players do, which want three to be safe."""
    with HlsServer(tmp_path, listed=0) as camera:
        time.sleep(8 * SEGMENT)
        whole = camera.taken // round(SEGMENT * 25)
        with open_live(camera.url) as live:
            frames, _ = watch(live, 0.5)
            assert (camera.taken - frames[-1][2]) / 25 < 2.5 * SEGMENT + 0.5
        begin = frames[0][2]
    assert begin % round(SEGMENT * 25) == 0
    assert begin >= (whole - 2) * round(SEGMENT * 25)  # the last of those that were whole, or the one before
    assert holes(frames) == []


def test_long_pieces_do_not_overrun_the_line(tmp_path):
    """50 frames are there at once, and 16 may wait."""
    with HlsServer(tmp_path, segment=2.0) as camera, open_live(camera.url, LiveOptions(buffer=16)) as live:
        frames, states = watch(live, 4.5)
    assert states[-1:] == ["live"]
    assert "stalled" not in states
    assert len(frames) > 100
    assert holes(frames) == []
    assert live.coverage.frames["dropped"] == 0


def test_only_one_of_many_sizes_is_fetched(camera):
    variants = "".join(f"#EXT-X-STREAM-INF:BANDWIDTH={n}00000\nlive.m3u8?size={n}\n" for n in (1, 2, 3))
    (camera.folder / "all.m3u8").write_text("#EXTM3U\n" + variants)
    with open_live(camera.url.replace("live.m3u8", "all.m3u8")) as live:
        watch(live, 1)
        before = len(camera.asked)
        frames, _ = watch(live, 2.5)
    assert holes(frames) == []
    assert {a for a in camera.asked[before:] if "m3u8" in a} == {"live.m3u8?size=1"}


# -- its end -----------------------------------------------------------------------------------


def test_a_playlist_that_is_closed_ends(camera):
    with open_live(camera.url, LiveOptions(**QUICK)) as live:
        frames = until_the_end(live, [(2.3, camera.end)])
    assert frames[-1][2] == camera.taken - 1
    assert holes(frames) == []
    assert live.coverage.missed_seconds == 0
    assert live.coverage.end == pytest.approx(frames[-1][0] + 0.04, abs=0.002)


def test_a_playlist_that_is_closed_while_nobody_looks_is_read_to_its_end(camera):
    plan = [(2.0, camera.stop), (3.0, camera.end), (3.1, camera.start)]
    with open_live(camera.url, LiveOptions(**QUICK)) as live:
        frames = until_the_end(live, plan)
    assert frames[-1][2] == camera.taken - 1
    assert holes(frames) == []
    assert np.abs(drift(frames)).max() < EXACT
    assert live.coverage.missed_seconds == 0


def test_a_playlist_that_is_closed_in_another_time_is_not_shown_again(camera):
    """The encoder began anew and ended, all while nobody looked: what is old and what is new cannot be told."""
    plan = [(2.0, camera.stop), (2.0, lambda: camera.restart(0.3, anew=True)), (3.5, camera.end), (3.6, camera.start)]
    with open_live(camera.url, LiveOptions(**QUICK)) as live:
        frames = until_the_end(live, plan)
    assert holes(frames) == []


# -- what goes wrong ---------------------------------------------------------------------------


def test_a_pause_of_the_encoder_is_a_gap_of_its_length(camera):
    with open_live(camera.url) as live:
        frames, states = watch(live, 6, [(1, lambda: camera.stall(2))])
    assert states[-1:] == ["live"]
    assert "stalled" not in states
    [hole] = holes(frames)
    [(stretch, reason)] = missed(live, frames)
    assert stretch == hole
    assert reason in ("gap", "stalled")
    assert hole[1] - hole[0] == pytest.approx(50, abs=2)
    assert np.abs(drift(frames)).max() < EXACT


@pytest.mark.parametrize("status", [404, 500])
def test_a_server_that_fails_for_long_costs_what_it_has_no_more(camera, status, caplog):
    plan = [(1, partial(setattr, camera, "status", status)), (4.2, partial(setattr, camera, "status", None))]
    with open_live(camera.url, LiveOptions(**QUICK)) as live:
        frames, states = watch(live, 6.5, plan)
    assert states[-3:] == ["live", "connecting", "live"]
    [hole] = holes(frames)
    assert missed(live, frames) == [(hole, "reconnect")]
    assert np.abs(drift(frames)).max() < EXACT
    assert ("404" if status == 404 else "5XX") in caplog.text


def test_a_server_that_comes_back_soon_costs_nothing(tmp_path):
    """What was made meanwhile is still there, behind what was seen already: three pieces are looked through."""
    with HlsServer(tmp_path, segment=1.0) as camera, open_live(camera.url, LiveOptions(**QUICK)) as live:
        frames, states = watch(live, 6, [(1.5, camera.stop), (2.5, camera.start)])
    assert states[-3:] == ["live", "connecting", "live"]
    assert holes(frames) == []
    assert np.abs(drift(frames)).max() < EXACT
    assert live.coverage.missed_seconds == 0
    assert live.coverage.frames["damaged"] == 0


def test_frames_that_wait_for_others_are_neither_lost_nor_shown_twice(tmp_path):
    """B-frames: packets do not come in the order of their pictures."""
    codec = {"preset": "ultrafast", "bf": "3", "b-pyramid": "normal", "sc_threshold": "0"}
    with HlsServer(tmp_path, segment=1.0, codec=codec) as camera, open_live(camera.url, LiveOptions(**QUICK)) as live:
        frames, _ = watch(live, 5, [(1.5, camera.stop), (2.2, camera.start)])
    assert holes(frames) == []
    assert np.abs(drift(frames)).max() < EXACT
    assert live.coverage.missed_seconds == 0


def test_another_encoder_is_a_gap(camera):
    with open_live(camera.url) as live:
        frames, states = watch(live, 6, [(1, lambda: camera.restart(2.5))])
    assert "#EXT-X-DISCONTINUITY" in (camera.folder / "live.m3u8").read_text()
    assert states[-1:] == ["live"]
    assert "stalled" not in states
    [hole] = holes(frames)
    assert hole[1] - hole[0] == pytest.approx(62, abs=2)
    assert np.abs(drift(frames)).max() < NEAR
    assert reasons(live) <= {"gap", "stalled"}
    assert live.coverage.missed_seconds == pytest.approx(2.5, abs=NEAR)
    assert live.coverage.frames["damaged"] == 0


def test_another_encoder_that_counts_from_one_is_found(camera):
    """ffmpeg waits for a number that is far off, until the source counts as lost."""
    options = LiveOptions(source_timeout=1.5, **QUICK)
    with open_live(camera.url, options) as live:
        frames, states = watch(live, 7.5, [(1, lambda: camera.restart(0.5, anew=True))])
    assert states[-1] == "live"
    assert frames[-1][2] > camera.taken - 2 / 0.04
    assert len(holes(frames)) == 1
    assert np.abs(drift(frames)).max() < NEAR
    unseen = frames[-1][2] - frames[0][2] + 1 - len(frames)
    assert live.coverage.missed_seconds == pytest.approx(unseen * 0.04, abs=NEAR)


# -- secrets -----------------------------------------------------------------------------------


def test_tokens_are_not_shown(tmp_path, caplog):
    with HlsServer(tmp_path, token="hush") as camera:
        assert "403" in failure(camera.url.replace("hush", "h0sh"))
        with open_live(camera.url, LiveOptions(**QUICK)) as live:
            frames, _ = watch(live, 2.5, [(0.5, partial(setattr, camera, "token", "other")), (2.0, camera.stop)])
            assert frames
            told = f"{live.name} {live.error} {live.warnings} {live._thread.name}"
    assert "token=***" in told
    assert "token=***" in caplog.text
    for secret in ("hush", "h0sh"):
        assert secret not in caplog.text + told


# -- all of it ---------------------------------------------------------------------------------


def test_tal_stream_reads_one_to_its_end(camera, plan_path, tmp_path):
    report = tmp_path / "report.json"
    command = [
        sys.executable, "-c", "from tal_engine.cli.main import run; run()",
        "stream", f"yard={camera.url}", "--plan", str(plan_path), "--conf", "-100", "--window", "3.2", "--step", "0.32",
        "--look-ahead", "0.96", "--report", str(report),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ) as tal:
        limit = time.monotonic() + 30
        while not camera.asked and time.monotonic() < limit:
            time.sleep(0.05)
        time.sleep(3.5)
        camera.end()
        out, err = tal.communicate(timeout=30)
    assert tal.returncode == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    assert events
    assert all(e["kind"] == "final" for e in events)
    told = json.loads(report.read_text())["streams"]["yard"]
    assert told["error"] is None
    assert told["late_events"] == 0
    assert sum(told["coverage"]["not_analysed"].values()) == 0
    assert told["frames"] == told["coverage"]["frames"]["arrived"] > 60
