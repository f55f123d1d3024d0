"""A real RTSP connection to cameras that fail: what is seen, when it was made, and what the coverage says of the rest.

The camera is `benchmarks/rtsp_server.py`, so that this runs wherever PyAV does. The same is read from GStreamer's
server, written by others, where Debian's packages are installed.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from rtsp_server import RtspServer, coded, number_of

from tal_engine.errors import SourceError
from tal_engine.live.live_source import open_live
from tal_engine.options import LiveOptions

#: Pictures are sent once a frame time; a reconnected stream stands where it was made, give or take a few of them.
NEAR = 0.2


@pytest.fixture
def camera():
    with RtspServer(gop=1) as server:
        yield server


def watch(live, seconds, plan=()):
    """Frames of so many seconds from the first on, states seen; `plan`: (second, action)."""
    frames, states, plan = [], [], list(plan)
    began, limit = None, time.monotonic() + seconds + 20
    while time.monotonic() < limit and (began is None or time.monotonic() < began + seconds):
        if (frame := live.poll(0.02)) is not None:
            began = began or time.monotonic()
            frames.append((frame.pts_seconds, frame.wall, number_of(frame.image()), frame.image().shape[:2]))
        while plan and began and time.monotonic() - began > plan[0][0]:
            plan.pop(0)[1]()
        if live.state not in states[-1:]:
            states.append(live.state)
    assert all(a[0] < b[0] for a, b in pairwise(frames))
    return frames, states


def drift(frames, fps=25):
    """Seconds of the stream minus the true ones of the camera's own clock, from the first frame's on."""
    seconds, numbers = np.array([f[0] for f in frames]), np.array([f[2] for f in frames])
    return (seconds - seconds[0]) - (numbers - numbers[0]) / fps


def reasons(live):
    return {m.reason for m in live.coverage.missed}


def test_the_number_in_a_picture_is_read():
    for number in (0, 1, 4095, 4096, 2**24 - 1, 0b101010101010010101010101):
        for size in ((64, 96), (48, 48), (240, 320)):
            assert number_of(coded(number, size)) == number


def test_a_camera_is_seen_as_it_is(camera):
    with open_live(f"door={camera.url}") as live:
        frames, states = watch(live, 3)
        assert live.name == "door"
    assert states == ["connecting", "live"]
    assert [f[2] for f in frames] == list(range(frames[0][2], frames[0][2] + len(frames)))
    assert np.abs(drift(frames)).max() < 1e-4
    assert live.coverage.missed_seconds == 0
    assert live.frame_seconds == pytest.approx(0.04, abs=1e-3)
    walls = np.array([f[1] for f in frames]) - [f[0] for f in frames]
    assert np.ptp(walls) < 0.05
    assert 0 <= time.time() - frames[-1][1] < 2.0


def test_a_restart_is_a_gap_of_its_length(camera):
    plan = [(1.0, camera.stop), (2.5, camera.start)]
    with open_live(camera.url, LiveOptions(reconnect_first=0.2, reconnect_longest=0.5)) as live:
        frames, states = watch(live, 7, plan)
    assert states == ["connecting", "live", "connecting", "live"]
    assert np.abs(drift(frames)).max() < NEAR
    [missed] = live.coverage.missed
    assert missed.reason == "reconnect"
    numbers = [f[2] for f in frames]
    unseen = numbers[-1] - numbers[0] + 1 - len(numbers)
    assert missed.end - missed.start == pytest.approx(unseen * 0.04, abs=NEAR)
    assert unseen * 0.04 > 1.4


def test_a_short_stall_and_a_full_network(camera):
    """What was not taken is missed; what came late is not."""
    plan = [(0.5, lambda: camera.stall(1.6)), (3.0, lambda: camera.hiccup(1.6))]
    with open_live(camera.url) as live:
        frames, states = watch(live, 6, plan)
    assert states == ["connecting", "live", "stalled", "live", "stalled", "live"]
    assert np.abs(drift(frames)).max() < 1e-4
    [missed] = live.coverage.missed
    assert missed.end - missed.start == pytest.approx(1.6, abs=0.1)
    assert missed.reason in ("stalled", "gap")


def test_a_long_silence_counts_as_lost(camera):
    plan = [(0.5, lambda: camera.stall(3.0))]
    options = LiveOptions(source_timeout=1.5, reconnect_first=0.1, reconnect_longest=0.1)
    with open_live(camera.url, options) as live:
        frames, states = watch(live, 7, plan)
    assert states[:4] == ["connecting", "live", "stalled", "connecting"]
    assert np.abs(drift(frames)).max() < NEAR
    assert live.coverage.totals["stalled"] == pytest.approx(1.5, abs=0.1)
    assert live.coverage.totals["reconnect"] > 1.0


@pytest.mark.parametrize("leap", [-3600, 3600])
def test_the_cameras_clock_leaps(camera, leap):
    with open_live(camera.url) as live:
        frames, _ = watch(live, 5, [(2, lambda: camera.jump(leap))])
    assert np.abs(drift(frames)).max() < NEAR
    assert frames[-1][0] > 4
    assert live.coverage.missed_seconds < 1.5


def test_sizes_change_and_stamps_are_bad(camera):
    camera.faults.jitter, camera.faults.duplicate, camera.faults.backward = 0.005, 0.1, 0.1
    with open_live(camera.url) as live:
        frames, _ = watch(live, 5, [(2, lambda: camera.resize((80, 120)))])
    assert {f[3] for f in frames} == {(64, 96), (80, 120)}
    assert np.abs(drift(frames)).max() < NEAR
    assert live.coverage.frames["damaged"] > 5
    assert reasons(live) <= {"damaged"}


def test_corrupt_packets_do_not_stop(camera):
    camera.faults.corrupt = 0.2
    with open_live(camera.url) as live:
        frames, _ = watch(live, 4)
    assert len(frames) > 60
    assert abs(np.median(drift(frames))) < NEAR
    assert live.coverage.frames["corrupt"] + live.coverage.frames["damaged"] > 5


def test_a_wrong_password_fails_at_once_and_is_not_shown():
    with RtspServer(password="right") as camera, open_live(camera.url) as live:
        assert watch(live, 0.2)[0]
        with open_live(camera.url.replace("right", "wrong")) as other:
            with pytest.raises(SourceError, match="401") as e:
                list(other.frames())
            assert "wrong" not in str(e.value) + other.name
            assert "***@127.0.0.1" in str(e.value)
        with open_live(camera.url.replace("/live", "/none")) as other, pytest.raises(SourceError, match="404"):
            list(other.frames())


def test_one_broken_source_holds_up_no_other(camera):
    with RtspServer(gop=1) as other, open_live(camera.url) as good, open_live(other.url) as bad:
        watch(bad, 0.2)
        other.stop()
        frames, _ = watch(good, 2)
        assert bad.state == "connecting"
    assert np.diff([f[0] for f in frames]).max() < 0.05


def test_a_slow_taker_loses_seconds_that_are_counted(camera):
    with open_live(camera.url, LiveOptions(buffer=4)) as live:
        frames, _ = watch(live, 1)
        time.sleep(2.0)
        frames += watch(live, 1)[0]
        record = live.coverage.to_dict()
    between = frames[-1][2] - frames[0][2] + 1 - len(frames)
    before = round(frames[0][0] / 0.04)  # what came while ffmpeg looked at the stream is dropped as well
    assert between > 1.5 / 0.04
    assert record["frames"]["dropped"] == pytest.approx(before + between, abs=1)
    assert record["not_analysed"]["dropped"] == pytest.approx(record["frames"]["dropped"] * 0.04, abs=0.01)
    assert np.abs(drift(frames)).max() < 1e-4


def test_closing_ends_the_thread(camera):
    before = threading.active_count()
    live = open_live(camera.url)
    watch(live, 0.2)
    live.close()
    assert not live._thread.is_alive()
    assert threading.active_count() <= before + 1  # the camera's, for this connection


# -- a server by others ------------------------------------------------------------------------

GSTREAMER = """
import gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
if not all(Gst.ElementFactory.find(n) for n in ("videotestsrc", "x264enc", "rtph264pay")): raise SystemExit(1)
server = GstRtspServer.RTSPServer(); server.set_service("0")
factory = GstRtspServer.RTSPMediaFactory(); factory.set_shared(True)
factory.set_launch("( videotestsrc is-live=true ! video/x-raw,width=96,height=64,framerate=25/1 ! "
                   "x264enc tune=zerolatency key-int-max=25 ! rtph264pay name=pay0 pt=96 )")
server.get_mount_points().add_factory("/live", factory); server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
"""


@pytest.fixture
def gstreamer():
    """GStreamer's RTSP server, in the system's Python: PyPI has no wheel of it."""
    server = subprocess.Popen(["/usr/bin/python3", "-c", GSTREAMER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        port = server.stdout.readline().strip().decode()
        if not port:
            pytest.skip("apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-{base,good,ugly}")
        yield f"rtsp://127.0.0.1:{port}/live"
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="Debian's packages")
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_gstreamers_server(gstreamer, transport):
    times = []
    with open_live(gstreamer, LiveOptions(transport=transport)) as live:
        limit = time.monotonic() + 20
        while time.monotonic() < limit and len(times) < 75:
            if (frame := live.poll(0.1)) is not None:
                times.append(frame.pts_seconds)
                assert frame.image().shape == (64, 96, 3)
    np.testing.assert_allclose(np.diff(times), 0.04, atol=0.005)
    assert live.coverage.missed_seconds == 0
