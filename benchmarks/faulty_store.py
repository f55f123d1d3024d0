"""An S3 store on loopback that errs: moto's server behind a proxy that answers some requests with 500, and others late.

moto = FaultyStore(moto_server, Path("work"))  # moto_server: the program, from a venv of its own
with moto: ...                                 # moto.environment is what a process needs to reach it
"""

from __future__ import annotations

import http.client
import random
import socket
import subprocess
import threading
import time
import urllib.request
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

BUCKET = "archive"
_ERROR = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>an error that is injected</Message></Error>"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class FaultyStore:
    """A store for the time of a ``with`` block.

    Args:
        program: moto_server.
        log: file for what it prints.
        errors: share of requests that are answered with 500, before they reach the store.
        slow: share of answers that come in pieces with pauses, `pause` seconds in all.
        seed: of the chances.
    """

    def __init__(
        self, program: Path, log: Path, *, errors: float = 0.01, slow: float = 0.01, pause: float = 2.0, seed: int = 0
    ) -> None:
        self._program, self._log, self.errors, self.slow, self.pause = program, log, errors, slow, pause
        self._chance, self._lock = random.Random(seed), threading.Lock()
        self.counts = {"requests": 0, "500": 0, "slow": 0}
        self._behind, self.port = free_port(), free_port()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip

    def __enter__(self) -> FaultyStore:
        with self._log.open("w") as log:
            self._moto = subprocess.Popen(
                [self._program, "-H", "127.0.0.1", "-p", str(self._behind)], stdout=log, stderr=log
            )
        for _ in range(300):
            with suppress(OSError):
                request = urllib.request.Request(f"http://127.0.0.1:{self._behind}/{BUCKET}", method="PUT")
                with urllib.request.urlopen(request, timeout=5):
                    break
            time.sleep(0.1)
        else:
            raise RuntimeError(f"moto does not answer: {self._log}")
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._moto.terminate()
        self._moto.wait()

    def fault(self) -> str:
        """Decide what happens to a request."""
        with self._lock:
            self.counts["requests"] += 1
            drawn = self._chance.random()
            found = "500" if drawn < self.errors else "slow" if drawn < self.errors + self.slow else ""
            if found:
                self.counts[found] += 1
        return found

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

            def _body(self) -> bytes:
                if "chunked" in self.headers.get("Transfer-Encoding", ""):
                    parts = []
                    while size := int(self.rfile.readline().split(b";")[0], 16):
                        parts.append(self.rfile.read(size))
                        self.rfile.readline()
                    self.rfile.readline()
                    return b"".join(parts)
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            def _pass(self) -> None:
                fault, body = store.fault(), self._body()
                if fault == "500":
                    self._answer(500, [("Content-Type", "application/xml")], _ERROR, "")
                    return
                behind = http.client.HTTPConnection("127.0.0.1", store._behind, timeout=60)
                headers = {
                    k: v for k, v in self.headers.items() if k.lower() not in ("transfer-encoding", "connection")
                }
                headers["Content-Length"] = str(len(body))
                behind.request(self.command, self.path, body, headers)
                answer = behind.getresponse()
                content = answer.read()
                kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in ("connection", "transfer-encoding")]
                self._answer(answer.status, kept, content, fault)
                behind.close()

            def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, fault: str) -> None:
                with suppress(OSError):  # who asked was killed
                    self.send_response_only(status)
                    for name, value in headers:
                        if name.lower() != "content-length" or self.command == "HEAD":
                            self.send_header(name, value)
                    if self.command != "HEAD":
                        self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    if self.command == "HEAD":
                        return
                    pieces = 8 if fault == "slow" else 1
                    size = -(-len(content) // pieces) or 1
                    for k in range(0, len(content), size):
                        if pieces > 1:
                            time.sleep(store.pause / pieces)
                        self.wfile.write(content[k : k + size])

        for method in ("GET", "PUT", "POST", "DELETE", "HEAD"):
            setattr(Handler, f"do_{method}", Handler._pass)
        return Handler
