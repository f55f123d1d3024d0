"""A camera behind a playlist that grows: live HLS over HTTP on loopback, made of Python and PyAV alone.

A thread takes a picture every frame time, and each tells when it was taken: `number_of(picture) / fps` is its true
second, whatever the time stamps say. The muxer writes segments and the playlist to a folder, an HTTP server gives
them to who asks.

    with HlsServer() as camera, open_live(camera.url) as live:
        camera.stall(3)               # takes no pictures for 3 s
        camera.status = 500           # what the server answers instead of files; None: files
        camera.token = "x"            # files are for those only who know it
        camera.stop(); camera.start() # nobody listens, then again, at the same port
        camera.restart(2)             # another encoder 2 s later: its time stamps begin anew, #EXT-X-DISCONTINUITY
        camera.restart(2, anew=True)  # ... and its playlist too, with the first number
        camera.end()                  # the last picture was taken: #EXT-X-ENDLIST
"""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from fractions import Fraction
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import av
from rtsp_server import coded


class Handler(http.server.SimpleHTTPRequestHandler):
    """The files of the camera's folder, or the status that it has."""

    protocol_version = "HTTP/1.1"
    camera: HlsServer

    def __init__(self, *args, camera, **kwargs):
        self.camera = camera
        super().__init__(*args, directory=str(camera.folder), **kwargs)

    def setup(self):
        super().setup()
        self.camera.connections.add(self.connection)

    def finish(self):
        self.camera.connections.discard(self.connection)
        super().finish()

    def do_GET(self):
        asked = urlsplit(self.path)
        self.camera.asked.append(self.path.rpartition("/")[2])
        status = self.camera.status
        if self.camera.token and parse_qs(asked.query).get("token") != [self.camera.token]:
            status = 403
        if status is not None:
            return self.send_error(status)
        if self.camera.token and asked.path.endswith(".m3u8"):
            return self._with_tokens(self.camera.folder / asked.path[1:])
        return super().do_GET()

    def _with_tokens(self, playlist: Path):
        lines = [f"{x}?token={self.camera.token}" if x[0] != "#" else x for x in playlist.read_text().splitlines()]
        self.send_response(200)
        self.send_header("Content-Length", str(len("\n".join(lines)) + 1))
        self.end_headers()
        self.wfile.write(("\n".join(lines) + "\n").encode())

    def log_message(self, *_):
        pass


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        """Clients go when they like."""


class HlsServer:
    """Films from its start on. `taken`: pictures so far; `asked`: files that somebody wanted.

    segment: seconds of one. listed: so many segments are in the playlist, older ones are deleted; 0 keeps all.
    """

    def __init__(self, folder: Path, fps=25, size=(64, 96), segment=0.6, listed=6, token="", codec=None):
        self.folder, self.token = folder, token
        self.status: int | None = None
        self.asked: list[str] = []
        self.connections: set = set()
        self.taken = 0
        self.port = 0
        self._fps, self._size, self._segment, self._listed = fps, size, segment, listed
        self._codec = codec or {"preset": "ultrafast", "tune": "zerolatency"}
        self._silent_until = 0.0
        self._restart_at: float | None = None
        self._anew = False
        self._ending, self._closed = threading.Event(), threading.Event()
        self._began = time.monotonic()
        self._camera = threading.Thread(target=self._film, daemon=True)
        self._camera.start()
        self.start()

    @property
    def url(self) -> str:
        token = f"?token={self.token}" if self.token else ""
        return f"http://127.0.0.1:{self.port}/live.m3u8{token}"

    def start(self) -> None:
        """Listen (again), at the same port, once there is something to see."""
        while not (self.folder / "live.m3u8").exists():
            time.sleep(0.02)
        self._listener = Listener(("127.0.0.1", self.port), lambda *a, **k: Handler(*a, camera=self, **k))
        self.port = self._listener.server_port
        threading.Thread(target=self._listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """All connections break and none is taken; pictures go on being taken."""
        self._listener.shutdown()
        self._listener.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def stall(self, seconds: float) -> None:
        """No pictures are taken; the clock of the camera goes on."""
        self._silent_until = time.monotonic() + seconds

    def restart(self, seconds: float, anew: bool = False) -> None:
        """The encoder is lost now and another begins after so long."""
        self._anew = anew
        self._silent_until = self._restart_at = time.monotonic() + seconds

    def end(self) -> None:
        """The stream is over."""
        self._ending.set()
        self._camera.join()

    def close(self) -> None:
        self._closed.set()
        self.end()
        self.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- the camera ----------------------------------------------------------------------------

    def _film(self) -> None:
        out, first = None, 0
        for number in range(2**24):
            due = self._began + number / self._fps
            if self._ending.wait(max(due - time.monotonic(), 0.0)):
                break
            self.taken = number + 1
            if time.monotonic() < self._silent_until:
                continue
            if self._restart_at is not None:
                self._finish(out, "omit_endlist")
                out, self._restart_at = None, None
            if out is None:
                out, first = self._encoder(number), number
            frame = av.VideoFrame.from_ndarray(coded(number, self._size), format="rgb24")
            frame.pts, frame.time_base = number - first, Fraction(1, self._fps)
            out.mux(out.streams.video[0].encode(frame))
        self._finish(out)

    def _encoder(self, number: int):
        keep = "+delete_segments" if self._listed else ""
        keep += "+append_list+discont_start" if number and not self._anew else ""
        out = av.open(
            str(self.folder / "live.m3u8"), "w", format="hls",
            options={
                "hls_time": str(self._segment), "hls_list_size": str(self._listed),
                "hls_flags": "independent_segments" + keep,
                "hls_segment_filename": str(self.folder / f"from{number}-%05d.ts"),
            },
        )  # fmt: skip
        gop = round(self._segment * self._fps)
        stream = out.add_stream("libx264", rate=self._fps, options={"g": str(gop), "threads": "1", **self._codec})
        stream.height, stream.width = self._size
        stream.pix_fmt = "yuv420p"
        return out

    def _finish(self, out, flag="") -> None:
        if out is None:
            return
        out.mux(out.streams.video[0].encode(None))
        out.close()
        listed = self.folder / "live.m3u8"
        if flag:  # it died and could not say so
            listed.write_text(listed.read_text().replace("#EXT-X-ENDLIST\n", ""))
