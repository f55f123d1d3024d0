"""A camera that fails in every way a camera can: an RTSP server on loopback, made of Python and PyAV alone.

It serves H.264 by RTP over RTSP's own TCP connection (RFC 2326, 3550, 6184), as most cameras can, to any client and
with ffmpeg's as the one that it is tested with. Its pictures tell when they were taken, so that a reader can prove that
its time is right: `number_of(picture) / fps` is the true second, whatever the time stamps say.

    with RtspServer(fps=25, size=(64, 96)) as camera:
        with open_live(camera.url) as source:
            ...
            camera.stop(); time.sleep(3); camera.start()     # restart: connections break, the RTP clock is a new one
            camera.stall(5)                 # takes no pictures for 5 s, the connection stays
            camera.hiccup(2)                # takes them but sends none for 2 s, then all at once: a full network
            camera.jump(-3600)              # RTP time leaps by an hour and stays there
            camera.resize((48, 48))         # from the next picture on
            camera.faults.jitter = 0.01     # seconds, added to or taken from each time stamp at random
            camera.faults.duplicate = 0.05  # chance of a frame to be sent twice
            camera.faults.backward = 0.05   # chance of a frame whose time stamp is 3 frames old
            camera.faults.corrupt = 0.05    # chance of a packet to have bytes overwritten

With `gop=1` each picture stands for itself, and what is damaged does not spoil those after it.
`speed` takes that many pictures in the time of one: give `open_live(now=lambda: speed * time.monotonic())` as well,
and an hour goes by in 3600 / speed seconds (its timeouts then are seconds of that clock; ffmpeg's own are not). With a
password, `url` carries it. `python benchmarks/rtsp_server.py` serves until Ctrl-C, for a look with ffplay.
"""

from __future__ import annotations

import base64
import contextlib
import random
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from rtsp_wire import Client

CLOCK = 90_000
_BITS, _ROWS = 24, 2


def coded(number: int, size: tuple[int, int]) -> np.ndarray:
    """A picture [H, W, 3] of black and white fields that tell a number below 2^24."""
    bits = np.array([number >> i & 1 for i in range(_BITS)], np.uint8).reshape(_ROWS, -1)
    rows = np.arange(size[0]) * _ROWS // size[0]
    columns = np.arange(size[1]) * bits.shape[1] // size[1]
    return np.repeat((40 + 170 * bits[rows][:, columns])[..., None], 3, axis=2).astype(np.uint8)


def number_of(picture: np.ndarray) -> int:
    """The number that `coded` drew, whatever the size now is."""
    h, w = picture.shape[0] / _ROWS, picture.shape[1] * _ROWS / _BITS
    fields = [picture[int((i // 12 + 0.5) * h), int((i % 12 + 0.5) * w)].mean() > 125 for i in range(_BITS)]
    return sum(int(bit) << i for i, bit in enumerate(fields))


@dataclass
class Faults:
    """What goes wrong all the time; zero is a perfect camera."""

    jitter: float = 0.0
    duplicate: float = 0.0
    backward: float = 0.0
    corrupt: float = 0.0


class RtspServer:
    """Serves what it sees from its start on; many clients see the same. `taken`: pictures so far."""

    def __init__(
        self,
        fps: float = 25.0,
        size: tuple[int, int] = (64, 96),
        password: str = "",
        speed: float = 1.0,
        gop: int = 25,
        draw: Callable[[int, tuple[int, int]], np.ndarray] = coded,
        seed: int = 0,
    ) -> None:
        self.faults = Faults()
        self.taken = 0
        self._fps, self._size, self._draw, self._speed, self._gop = fps, size, draw, speed, gop
        self._password, self._random = password, random.Random(seed)
        self._clients: list[Client] = []
        self._lock = threading.Lock()
        self._silent_until = self._held_until = 0.0
        self._held: list[tuple[bool, list[bytes], int]] = []
        self._shift = self._random.randrange(2**32)
        self._encoder: av.VideoCodecContext | None = None
        self._listener: socket.socket | None = None
        self._closed = threading.Event()
        self.port = 0
        self.start()
        self._began = time.monotonic()
        self._camera = threading.Thread(target=self._film, daemon=True)
        self._camera.start()

    @property
    def url(self) -> str:
        """Where to look, with the password."""
        user = f"admin:{self._password}@" if self._password else ""
        return f"rtsp://{user}127.0.0.1:{self.port}/live"

    def start(self) -> None:
        """Listen (again), at the same port."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._shift = self._random.randrange(2**32)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """All connections break and none is taken; pictures go on being taken."""
        if self._listener:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """All connections break."""
        with self._lock:
            clients, self._clients = self._clients, []
        for client in clients:
            client.close()

    def stall(self, seconds: float) -> None:
        """No pictures are taken; the clock of the camera goes on."""
        self._silent_until = time.monotonic() + seconds / self._speed

    def hiccup(self, seconds: float) -> None:
        """Pictures are taken, and sent later all at once."""
        self._held_until = time.monotonic() + seconds / self._speed

    def jump(self, seconds: float) -> None:
        """The camera's clock leaps and stays there."""
        self._shift += round(seconds * CLOCK)

    def resize(self, size: tuple[int, int]) -> None:
        """Another [H, W] from the next picture on."""
        self._size = size

    def close(self) -> None:
        """Stop for good."""
        self._closed.set()
        self.stop()
        self._camera.join()

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the camera ----------------------------------------------------------------------------

    def _film(self) -> None:
        for number in range(2**24):
            due = self._began + number / self._fps / self._speed
            if self._closed.wait(max(due - time.monotonic(), 0.0)):
                return
            self.taken = number + 1
            if time.monotonic() >= self._silent_until:
                self._send(number)

    def _send(self, number: int) -> None:
        key, units = self._encode(number)
        stamp = round(number * CLOCK / self._fps) + self._shift
        stamp += round(self._random.uniform(-1, 1) * self.faults.jitter * CLOCK)
        if self._random.random() < self.faults.backward:
            stamp -= round(3 * CLOCK / self._fps)
        self._held.append((key, units, stamp))
        if self._random.random() < self.faults.duplicate:
            self._held.append((key, units, stamp))
        if time.monotonic() < self._held_until:
            return
        with self._lock:
            clients = list(self._clients)
        for key, units, stamp in self._held:
            for client in clients:
                client.send(key, units, stamp % 2**32, self._overwritten)
        self._held.clear()

    def _overwritten(self, payload: bytes) -> bytes:
        if len(payload) < 24 or self._random.random() >= self.faults.corrupt:
            return payload
        damaged = bytearray(payload)
        for _ in range(4):
            damaged[self._random.randrange(3, len(damaged))] = self._random.randrange(256)
        return bytes(damaged)

    def _encode(self, number: int) -> tuple[bool, list[bytes]]:
        """Whether it is a key frame, and its NAL units."""
        height, width = self._size
        encoder = self._encoder
        if encoder is None or (encoder.height, encoder.width) != self._size:
            encoder = av.CodecContext.create("libx264", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
            encoder.time_base = Fraction(1, 1000)
            encoder.options = {
                "preset": "ultrafast", "tune": "zerolatency", "crf": "18",
                "x264-params": f"keyint={self._gop}:scenecut=0:repeat-headers=1:threads=1",
            }  # fmt: skip
            self._encoder = encoder
        frame = av.VideoFrame.from_ndarray(self._draw(number, self._size), format="rgb24")
        frame.pts = round(number * 1000 / self._fps)
        packets = encoder.encode(frame)
        data = b"".join(bytes(p) for p in packets)
        return any(p.is_keyframe for p in packets), [u for u in re.split(rb"\x00{2,3}\x01", data) if u]

    # -- its clients ---------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(Client(connection),), daemon=True).start()

    def _serve(self, client: Client) -> None:
        """Answer requests until the client goes."""
        with self._lock:
            self._clients.append(client)
        try:
            while request := client.request():
                client.answer(request, *self._answer(request))
                if request[0] == "PLAY":
                    client.playing = True
        except OSError:
            pass
        finally:
            client.finish()
            with self._lock:
                self._clients = [c for c in self._clients if c is not client]

    def _answer(self, request: tuple[str, str, dict[str, str]]) -> tuple[str, list[str], str]:
        """Status, headers and body."""
        method, url, headers = request
        if method == "OPTIONS":
            return "200 OK", ["Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"], ""
        wanted = "Basic " + base64.b64encode(f"admin:{self._password}".encode()).decode()
        if self._password and headers.get("authorization") != wanted:
            return "401 Unauthorized", ['WWW-Authenticate: Basic realm="camera"'], ""
        if not re.search(r"/live(/|$)", url):
            return "404 Not Found", [], ""
        if method == "DESCRIBE":
            sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
            sdp += f"a=rtpmap:96 H264/{CLOCK}\r\na=fmtp:96 packetization-mode=1\r\na=control:track0\r\n"
            return "200 OK", [f"Content-Base: {url}/", "Content-Type: application/sdp"], sdp
        if method == "SETUP":
            if "TCP" not in headers.get("transport", ""):
                return "461 Unsupported Transport", [], ""
            return "200 OK", ["Session: 1;timeout=60", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"], ""
        return "200 OK", ["Session: 1"], ""


if __name__ == "__main__":
    with RtspServer(size=(240, 320)) as camera:
        print(camera.url, flush=True)
        threading.Event().wait()
