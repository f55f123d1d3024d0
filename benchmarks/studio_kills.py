"""Kill a studio amid edits, again and again: whatever it said was saved must be there, once, and nothing by halves."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from tal_engine.studio.journal import Journal


class Process:
    """A studio in a process of its own, on a port of its own."""

    def __init__(self, videos: Path, project: Path) -> None:
        words = [sys.executable, "-m", "tal_engine", "studio", str(videos), "--project", str(project), "--no-browser",
                 "--port", "0", "--no-auto-train", "--classes", "run,sit"]  # fmt: skip
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert "open http" in line, line + self.process.stderr.read()
        place = line.split("open ")[1].split(";")[0]
        base, token = place.split("/?token=")
        self.http = httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=30)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()
        self.http.close()


def edit_of(video: str, at: float) -> dict[str, Any]:
    label = {"id": uuid.uuid4().hex, "video": video, "kind": "point", "start": at, "end": at, "label": "run"}
    return {"edit": uuid.uuid4().hex, "author": "annotator", "video": video,
            "changes": [{"op": "add", "label": label, "base": 0}]}  # fmt: skip


def kills(videos: Path, project: Path, count: int, seed: int | None = None) -> dict[str, Any]:
    """Kill it `count` times at random moments while edits are sent without a pause."""
    rng = np.random.default_rng(seed)
    saved: dict[str, str] = {}
    open_edit: dict[str, Any] | None = None
    lost = twice = resent = 0
    began = time.monotonic()
    for k in range(count + 1):
        one = Process(videos, project)
        listed = one.http.get("/api/videos").json()["videos"]
        there = [x["id"] for v in listed for x in one.http.get(f"/api/videos/{v['id']}/labels").json()["labels"]]
        lost += len(set(saved.values()) - set(there))
        twice += len(there) - len(set(there))
        if open_edit is not None:  # it was not answered: a page sends it again
            resent += 1
            assert one.http.post("/api/edits", json=open_edit).status_code == 200
            saved[open_edit["edit"]] = open_edit["changes"][0]["label"]["id"]
            open_edit = None
        if k == count:
            revision = one.http.get("/api/project").json()["revision"]
            one.kill()
            break
        killer = threading.Timer(float(rng.uniform(0.05, 0.6)), one.process.send_signal, [signal.SIGKILL])
        killer.start()
        try:
            while True:
                open_edit = edit_of(listed[int(rng.integers(len(listed)))]["id"], float(rng.uniform(0, 5)))
                if one.http.post("/api/edits", json=open_edit).status_code == 200:
                    saved[open_edit["edit"]] = open_edit["changes"][0]["label"]["id"]
        except httpx.HTTPError:
            pass
        killer.join()
        one.kill()
    rows = (project / "labels.csv").read_text().count("\n") - 1
    journal = Journal(project / "journal.jsonl")
    journal.close()
    return {
        "kills": count, "saved": len(saved), "lost": lost, "twice": twice, "sent again": resent, "rows": rows,
        "revision": revision, "journal": journal.revision, "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
