"""Cameras of this machine, up to the device: what is no camera says so at once, what may come back is tried again.

No test has a camera. Devices that are none are real ones (/dev/null by other names); one that works is ffmpeg's own
source of pictures in real time, in the place of Video4Linux.
"""

from __future__ import annotations

import errno
import sys
import threading
import time

import av
import numpy as np
import pytest
from rtsp_server import coded

from tal_engine.errors import UsageError
from tal_engine.live import connection
from tal_engine.live.cameras import is_camera, trouble_with
from tal_engine.live.connection import ffmpeg_options
from tal_engine.live.live_source import open_live
from tal_engine.options import LiveOptions
from tests.live.test_live_rtsp import drift, watch
from tests.makers import write_mp4
from tests.unit.live.test_live import failure

linux = pytest.mark.skipif(sys.platform != "linux", reason="Video4Linux")
QUICK = {"source_timeout": 0.8, "reconnect_first": 0.05, "reconnect_longest": 0.1}


def test_what_a_camera_is(tmp_path, clip):
    for where in ("0", "17", "/dev/video0", "/dev/video77", "/dev/v4l/by-id/usb-it"):
        assert is_camera(where)
    for where in (
        "-",
        str(clip),
        str(tmp_path),
        "rtsp://h/0",
        "/dev/shm/no.mp4",
        "v\0",
        "",
        300 * "v",
        f"http://h/{300 * 'v'}",
    ):
        assert not is_camera(where)


@linux
def test_a_device_that_is_no_camera(tmp_path):
    """By the names that udev gives, such as /dev/webcam."""
    link = tmp_path / "webcam"
    link.symlink_to("/dev/null")
    assert failure(f"door={link}") == f"door: {link} is no camera (Inappropriate ioctl for device)"
    assert "/dev/zero is no camera" in failure("/dev/zero")


@linux
@pytest.mark.parametrize("source", ["door=77", "door=/dev/video77", "door=/dev/v4l/by-id/none"])
def test_a_camera_that_is_not_there(source):
    device = source.removeprefix("door=").replace("77", "/dev/video77").replace("/dev/video/dev", "/dev")
    assert failure(source) == f"door: there is no camera {device} (No such file or directory)"


@linux
def test_it_may_be_plugged_in_later(caplog):
    began = time.monotonic()
    message = failure("77", retry_refused=True, **{**QUICK, "reconnect_limit": 0.6})
    assert "there is no camera /dev/video77" in message
    assert "given up after" in message
    assert time.monotonic() - began > 0.6
    assert caplog.text.count("next try in 0.1 s") > 2
    with open_live("77", LiveOptions(retry_refused=True)) as live:
        assert live.poll(0.3) is None
        assert live.state == "connecting"
        began = time.monotonic()
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize(
    ("number", "text", "lasting"),
    [(errno.EACCES, "may not be read", True), (errno.EBUSY, "cannot be read", False), (errno.EIO, "cannot", False),
     (errno.ENODEV, "is no camera", True), (None, "on Linux only", True)],
)  # fmt: skip
def test_what_is_wrong_with_a_camera(number, text, lasting):
    error = ValueError("said") if number is None else OSError(number, "said")
    message, lasts = trouble_with("3", error, "said")
    assert "/dev/video3" in message
    assert text in message
    assert "(said)" in message
    assert lasts == lasting


def test_what_a_camera_is_asked_for():
    assert ffmpeg_options("0", LiveOptions()) == {}
    asked = ffmpeg_options("/dev/video0", LiveOptions(camera="1280x720@30000/1001"))
    assert asked == {"video_size": "1280x720", "framerate": "29.97002997"}
    for text in ("1280x720", "x@30", "1280x720@0"):
        with pytest.raises(UsageError, match=r"camera is .*WIDTHxHEIGHT@FPS"):
            open_live("0", LiveOptions(camera=text))


# -- one that works ----------------------------------------------------------------------------


class Camera:
    """Stands for ffmpeg's Video4Linux: numbered pictures in real time, and a plug."""

    def __init__(self, film, opened=av.open):
        self.plugged, self.hangs = True, threading.Event()
        self.asked = []
        self._film, self._opened = film, opened

    def open(self, where, **how):
        assert (where, how["format"]) == ("/dev/video7", "v4l2")
        self.asked.append(how["options"])
        if not self.plugged:
            raise av.error.FileNotFoundError(errno.ENOENT, "No such file or directory", where)
        return Opened(self, self._opened(f"movie={self._film}:loop=0,realtime", format="lavfi"))


class Opened:
    def __init__(self, camera, container):
        self.camera, self.container = camera, container

    def __getattr__(self, name):
        return getattr(self.container, name)

    def demux(self, *streams):
        for packet in self.container.demux(*streams):
            if not self.camera.plugged:
                raise av.error.OSError(errno.ENODEV, "No such device", "/dev/video7")
            while self.camera.hangs.is_set():
                time.sleep(0.01)
            yield packet


@pytest.fixture
def camera(tmp_path, monkeypatch):
    film = write_mp4(tmp_path / "film.mp4", (coded(i, (64, 96)) for i in range(500)))
    it = Camera(film)
    monkeypatch.setattr(connection.av, "open", it.open)
    return it


def test_a_camera_is_seen(camera):
    with open_live("desk=7", LiveOptions(camera="96x64@25")) as live:
        frames, _ = watch(live, 1.5)
        assert (live.name, live.is_live, live.state) == ("desk", True, "live")
    assert camera.asked == [{"video_size": "96x64", "framerate": "25"}]
    assert len(frames) > 30
    assert np.abs(drift(frames)).max() < 0.01
    assert live.coverage.missed_seconds == 0


def test_a_camera_that_is_unplugged_comes_back(camera):
    plan = [(0.5, lambda: setattr(camera, "plugged", False)), (1.7, lambda: setattr(camera, "plugged", True))]
    with open_live("7", LiveOptions(**QUICK)) as live:
        frames, states = watch(live, 3, plan)
    assert states[-3:] == ["live", "connecting", "live"]
    [missed] = live.coverage.missed
    assert missed.reason == "reconnect"
    assert missed.end - missed.start == pytest.approx(1.2, abs=0.3)
    assert frames[-1][0] > 2.5


def test_a_camera_that_hangs_holds_nobody_up(camera):
    """Its driver waits for a picture without end, and nothing can be done but to say so."""
    with open_live("7", LiveOptions(**QUICK)) as live:
        watch(live, 0.3)
        camera.hangs.set()
        states, limit = [], time.monotonic() + 1.5
        while time.monotonic() < limit:
            live.poll(0.05)
            states.append(live.state)
        began = time.monotonic()
    assert states[-1] == "stalled"
    assert time.monotonic() - began < 1.0
    camera.hangs.clear()
    live._thread.join(5.0)
    assert not live._thread.is_alive()
