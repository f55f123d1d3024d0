"""RTSP on the wire, the server's side: requests, answers, and H.264 as RTP packets on the same connection.

RFC 2326 (RTSP), 3550 (RTP), 6184 (H.264 by RTP). Knows bytes; what is sent and what goes wrong is `rtsp_server`'s.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable

_MTU = 1400


class Client:
    """One connection: requests come and RTP packets go by the same socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.playing = False
        self._socket, self._reader = connection, connection.makefile("rb")
        self._started = False
        self._sequence = 0
        self._sending = threading.Lock()

    def request(self) -> tuple[str, str, dict[str, str]] | None:
        """Method, address and headers of the next request; None: the client has gone."""
        while (first := self._reader.read(1)) == b"$":  # the client's reports
            self._reader.read(struct.unpack(">xH", self._reader.read(3))[0])
        lines = [(first + self._reader.readline()).decode()]
        while (line := self._reader.readline().decode()).strip():
            lines.append(line)
        if len(words := lines[0].split()) < 2:
            return None
        headers = dict(re.split(r":\s*", line.strip(), maxsplit=1) for line in lines[1:])
        return words[0], words[1].rstrip("/"), {k.lower(): v for k, v in headers.items()}

    def answer(self, request: tuple[str, str, dict[str, str]], status: str, headers: list[str], body: str) -> None:
        lines = [f"RTSP/1.0 {status}", f"CSeq: {request[2].get('cseq', 0)}", *headers, f"Content-Length: {len(body)}"]
        with self._sending:
            self._socket.sendall("\r\n".join([*lines, "", body]).encode())

    def send(self, key: bool, units: list[bytes], stamp: int, spoil: Callable[[bytes], bytes]) -> None:
        """A picture, from the first key frame on."""
        self._started = self.playing and (self._started or key)
        if not self._started:
            return
        payloads = [p for unit in units for p in _payloads(unit)]
        data = b""
        for i, payload in enumerate(payloads):
            last = 0x80 if i == len(payloads) - 1 else 0
            packet = struct.pack(">BBHII", 0x80, 96 | last, self._sequence, stamp, 1) + spoil(payload)
            data += struct.pack(">cBH", b"$", 0, len(packet)) + packet
            self._sequence = (self._sequence + 1) % 2**16
        try:
            with self._sending:
                self._socket.sendall(data)
        except OSError:
            self.playing = False

    def finish(self) -> None:
        """Close what only the thread may that reads requests."""
        self.close()
        with contextlib.suppress(OSError):
            self._reader.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _payloads(unit: bytes) -> list[bytes]:
    """A NAL unit as it is, or in fragments (FU-A) if it is long."""
    if len(unit) <= _MTU:
        return [unit]
    kind, pieces = unit[0], [unit[i : i + _MTU] for i in range(1, len(unit), _MTU)]
    marks = [0x80, *[0] * (len(pieces) - 2), 0x40]
    return [bytes([kind & 0xE0 | 28, mark | kind & 0x1F]) + p for mark, p in zip(marks, pieces, strict=True)]
