"""As much of CVAT's REST API as its own command line asks when it annotates a task of images, in a thread of the test.

Paths and fields are those that cvat-sdk 2.80 sends and checks; it is no CVAT, and knows nothing of rights and reviews.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from zipfile import ZipFile

from PIL import Image

from tests.waiting import LONG_S

VERSION = "2.80.0"
USER, PASSWORD, CSRF = "somebody", "a password", "of-the-session"


def _picture():
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "PNG")
    return out.getvalue()


class Cvat:
    """A server with one task: names of its images, and its labels, of which some have the attribute score."""

    def __init__(self, task, names, labels, scored):
        self.task, self.names, self.asked, self.sent = task, names, [], []
        self.labels = [
            {"id": 100 + k, "name": name, "type": "any", "sublabels": [], "attributes": [] if name not in scored else
             [{"id": 7, "name": "score", "mutable": False, "input_type": "text", "default_value": "", "values": []}]}
            for k, name in enumerate(labels)
        ]  # fmt: skip
        self.chunk = io.BytesIO()
        with ZipFile(self.chunk, "w") as file:
            for k in range(len(names)):
                file.writestr(f"{k:06d}.png", _picture())

    def get(self, path, query):
        """The answer to a question: (kind, bytes), or a document; None: there is no such thing."""
        count = len(self.names)
        summary = {"url": f"{self.base}/api/summary", "count": 1, "completed": 0, "validation": 0}
        known = {
            "/api/server/about": {"name": "CVAT", "version": VERSION, "description": "", "subtitle": "",
                                  "logo_url": ""},
            f"/api/tasks/{self.task}": {
                "jobs": summary, "labels": summary, "id": self.task, "name": "frames", "organization": None,
                "size": count, "data_chunk_size": count, "data_original_chunk_type": "imageset", "mode": "annotation",
                "data_compressed_chunk_type": "imageset", "updated_date": "2026-12-01T00:00:00Z",
            },
            "/api/labels": {"count": len(self.labels), "next": None, "previous": None, "results": self.labels},
            f"/api/tasks/{self.task}/data/meta": {
                "chunks_updated_date": "2026-12-01T00:00:00Z", "chunk_size": count, "size": count, "image_quality": 70,
                "start_frame": 0, "stop_frame": count - 1, "frame_filter": "", "deleted_frames": [],
                "frames": [{"name": n, "width": 16, "height": 16, "related_files": 0} for n in self.names],
            },
        }  # fmt: skip
        if path == f"/api/tasks/{self.task}/data" and query.get("type") == ["chunk"]:
            return "application/zip", self.chunk.getvalue()
        return known.get(path)


class _Handler(BaseHTTPRequestHandler):
    cvat: Cvat

    def _answer(self, found, status=200, cookies=()):
        kind, body = found if isinstance(found, tuple) else ("application/vnd.cvat+json", json.dumps(found).encode())
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for cookie in cookies:
            self.send_header("Set-Cookie", f"{cookie}; Path=/")
        self.end_headers()
        self.wfile.write(body)

    def _take(self, method):
        path, query = urlsplit(self.path).path.rstrip("/"), parse_qs(urlsplit(self.path).query)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.cvat.asked.append((method, path))
        known = "sessionid=one" in (self.headers.get("Cookie") or "")
        if (method, path) == ("POST", "/api/auth/login"):
            right = json.loads(body) == {"username": USER, "password": PASSWORD}
            cookies = ("sessionid=one", f"csrftoken={CSRF}") if right else ()
            self._answer({"key": "one"} if right else {"detail": "no"}, 200 if right else 400, cookies)
        elif method == "POST" and path == "/api/auth/logout":
            self._answer({"detail": "ok"})
        elif path != "/api/server/about" and not known:
            self._answer({"detail": "Authentication credentials were not provided."}, 401)
        elif (method, path, query.get("action")) == (
            "PATCH", f"/api/tasks/{self.cvat.task}/annotations", ["create"]
        ) and self.headers.get("X-CSRFToken") == CSRF:  # fmt: skip
            sent = json.loads(body)
            self.cvat.sent.append(sent)
            self._answer({"version": 0, "tags": sent["tags"], "shapes": [], "tracks": []})
        else:
            found = self.cvat.get(path, query) if method == "GET" else None
            self._answer({"detail": "Not found."} if found is None else found, 404 if found is None else 200)

    def do_GET(self):
        self._take("GET")

    def do_POST(self):
        self._take("POST")

    def do_PATCH(self):
        self._take("PATCH")

    def do_HEAD(self):
        self._take("HEAD")

    def log_message(self, *_):
        """Say nothing."""


def commanded(cvat, home, *parameters):
    """Run cvat-cli's command on the task of a server, with `-p` parameters; its stderr if it failed."""
    words = [sys.executable, "-m", "cvat_cli", "--server-host", cvat.base, "--auth", f"{USER}:{PASSWORD}", "task",
             "auto-annotate", str(cvat.task), "--allow-unmatched-labels", "--function-module",
             "tal_engine.annotations.suggest.cvat_function"]  # fmt: skip
    for given in parameters:
        words += ["-p", given]
    where = {"HOME": str(home), "XDG_CACHE_HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **where}, timeout=LONG_S)
    return done.stderr if done.returncode else ""


@contextmanager
def cvat_server(*about):
    """Run a server; see `Cvat` for what it is about."""
    cvat = Cvat(*about)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"cvat": cvat}))
    cvat.base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, name="test-cvat", daemon=True)
    thread.start()
    try:
        yield cvat
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
