"""Network streams without a camera: what plays, what breaks and goes on, what cannot work and says so."""

from __future__ import annotations

import http.server
import shutil
import socket
import threading
import time
from functools import partial
from itertools import pairwise

import av
import pytest

from tal_engine.live.connection import ffmpeg_options
from tal_engine.live.live_source import open_live
from tal_engine.options import LiveOptions
from tal_engine.video import open_video
from tests.makers import moving_square, write_audio_only, write_mp4
from tests.unit.live.test_live import all_of, contents, failure

QUICK = {"source_timeout": 0.5, "reconnect_first": 0.05, "reconnect_longest": 0.2}


class Handler(http.server.SimpleHTTPRequestHandler):
    """A folder; /secret wants a password nobody has, /busy is busy."""

    def do_GET(self):
        status = {"/secret": 401, "/busy": 503}.get(self.path)
        if status is None:
            return super().do_GET()
        return self.send_error(status)

    def log_message(self, *_):
        pass


@pytest.fixture
def web(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://me:hush@127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_addresses_that_cannot_work_fail_at_once(web, tmp_path):
    (tmp_path / "page.html").write_text("<html>" * 100)
    write_audio_only(tmp_path / "sound.mp4")
    for path, text in (
        ("none.mp4", "404"),
        ("secret", "401"),
        ("page.html", "Invalid data"),
        ("sound.mp4", "no moving"),
    ):
        message = failure(f"{web}/{path}")
        assert text in message
        assert f"***@127.0.0.1:{web.rpartition(':')[2]}/{path}" in message
        assert "hush" not in message
    assert "Protocol not found" in failure("nosuch://127.0.0.1/x")


def test_what_may_heal_is_tried_again(web, caplog):
    assert "given up after" in failure(f"{web}/busy", reconnect_limit=0.5, **QUICK)
    assert "hush" not in caplog.text
    assert "next try in 0.1 s" in caplog.text
    assert "given up after" in failure(f"{web}/none.mp4", reconnect_limit=0.5, retry_refused=True, **QUICK)
    assert "Connection refused" in failure("tcp://127.0.0.1:1", reconnect_limit=0.5, **QUICK)


@pytest.mark.parametrize("scheme", ["rtsp", "http", "tcp"])
def test_a_dead_server_holds_nobody_up(scheme):
    """It takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as dead:
        address = f"{scheme}://127.0.0.1:{dead.getsockname()[1]}/x"
        message = failure(address, reconnect_limit=0.6, **QUICK)
        assert "no answer within 0.5 s" in message
        live = open_live(address, LiveOptions(**QUICK))
        assert live.poll(0.2) is None
        assert live.state == "connecting"
        live.close()
        live._thread.join(3.0)
        assert not live._thread.is_alive()


def test_ffmpeg_is_told_to_give_up():
    for url in ("rtsp://h/x", "http://h/x", "udp://h:1", "tcp://h:1", "rtmp://h/x"):
        assert ffmpeg_options(url, LiveOptions(source_timeout=2.5))["rw_timeout"] == "2500000"
    assert ffmpeg_options("rtsp://h/x", LiveOptions(transport="udp"))["rtsp_transport"] == "udp"
    assert ffmpeg_options("-", LiveOptions()) == {}


def test_a_video_behind_an_address_is_a_file(web, clip, tmp_path):
    shutil.copy(clip, tmp_path / "clip.mp4")
    with open_video(clip) as video:
        wanted = contents(video.frames)
    found, live = all_of(f"{web}/clip.mp4")
    assert contents(found) == wanted
    assert live.coverage.missed_seconds == 0
    assert not live.is_live, "it can be read again from its start: a restart must not go on by the wall clock"


def test_a_playlist_that_is_complete_is_a_file(web, tmp_path):
    with av.open(
        str(tmp_path / "list.m3u8"), "w", format="hls", options={"hls_time": "1", "hls_list_size": "0"}
    ) as out:
        stream = out.add_stream("libx264", rate=25, options={"g": "25", "preset": "ultrafast"})
        stream.width, stream.height = 64, 48
        for image in moving_square(100, 48, 64):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    found, live = all_of(f"{web}/list.m3u8")
    assert len(found) == 100
    assert found[-1].pts_seconds == pytest.approx(3.96, abs=0.1)
    assert live.coverage.missed_seconds == 0


def test_a_stream_that_breaks_goes_on(tmp_path):
    """Each connection gives at once what the server has in store, a second of a clock that starts anew, then ends."""
    data = write_mp4(tmp_path / "v.ts", moving_square(25, 48, 64)).read_bytes()
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            for _ in range(3):
                connection, _ = server.accept()
                connection.sendall(data)
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        with open_live(f"tcp://127.0.0.1:{server.getsockname()[1]}", LiveOptions(reconnect_first=1.2)) as live:
            found = []
            while len(found) < 75 and time.monotonic() - began < 20:
                if frame := live.poll(0.1):
                    found.append(frame)
            states = {live.state}
            record = live.coverage.to_dict()
    times = [f.pts_seconds for f in found]
    assert len(found) == 75
    assert all(a < b for a, b in pairwise(times))
    assert states <= {"connecting", "live"}
    assert live.is_live
    assert [i["reason"] for i in record["intervals"]] == ["reconnect"] * 2
    assert record["not_analysed"]["reconnect"] > 0
    assert all(f.wall <= time.time() for f in found)
