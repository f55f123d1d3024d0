"""Copies of videos that browsers cannot play, made one after the other in the background and kept in the project."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .library import Video

ProxyState = Literal["none", "making", "ready", "failed"]


@dataclass
class Proxy:
    """The copy of a video; progress in 0..1."""

    video: Video
    path: Path
    state: ProxyState = "none"
    progress: float = 0.0
    detail: str = ""


class Proxies:
    """Makes copies in a thread, each in a process of its own, until it is closed.

    Args:
        videos: those that need one.
        folder: where copies are kept.
        told: called with the document of a copy that changed.
    """

    def __init__(self, videos: list[Video], folder: Path, told: Callable[[dict[str, Any]], None]) -> None:
        self._told, self._closed = told, threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self.of: dict[str, Proxy] = {}
        self._folder, self._waiting = folder, queue.SimpleQueue[Proxy | None]()
        self.add(videos)
        self._thread = threading.Thread(target=self._run, name="tal-studio-proxies", daemon=True)
        folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def add(self, videos: Iterable[Video]) -> None:
        """Make copies of more videos, after those that wait; one that is there is not made again."""
        for v in videos:
            path = self._folder / f"{v.id}.mp4"
            p = Proxy(v, path, "ready" if path.exists() else "none")
            self.of = {**self.of, v.id: p}
            self._waiting.put(p)

    def _run(self) -> None:
        while (p := self._waiting.get()) is not None:
            if p.state == "none" and not self._closed.is_set():
                self._make(p)

    def _make(self, p: Proxy) -> None:
        self._set(p, "making")
        words = [sys.executable, "-m", "tal_engine.studio.proxy_maker", str(p.video.path), str(p.path)]
        try:
            said, status = self._run_maker(p, words)
        except OSError as e:
            said, status = [str(e)], 1
        if self._closed.is_set():
            return
        if status == 0 and p.path.exists():
            p.progress = 1.0
            self._set(p, "ready")
        else:
            p.detail = said[-1] if said else f"it ended with status {status}"
            self._set(p, "failed")

    def _run_maker(self, p: Proxy, words: list[str]) -> tuple[list[str], int]:
        """Run the process; return what it said was wrong, and its status."""
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with process:
            self._process = process
            if self._closed.is_set():  # it closed while the process began
                process.terminate()
            assert process.stdout is not None  # noqa: S101 - pipes
            assert process.stderr is not None  # noqa: S101
            for line in process.stdout:
                p.progress = int(line) / 100 if line.strip().isdecimal() else p.progress
                self._say(p)
            return process.stderr.read().strip().splitlines(), process.wait()

    def _set(self, p: Proxy, state: ProxyState) -> None:
        p.state = state
        self._say(p)

    def _say(self, p: Proxy) -> None:
        self._told({"video": p.video.id, "proxy": p.state, "progress": p.progress, "detail": p.detail})

    def close(self) -> None:
        """Make no more; what is half made is thrown away."""
        self._closed.set()
        if self._process is not None:
            with suppress(OSError):
                self._process.terminate()
        self._waiting.put(None)
        self._thread.join()
