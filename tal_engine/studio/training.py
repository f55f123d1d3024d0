"""The trainer's process: one at a time, by itself after edits, stopped on demand, begun again if it was killed.

The studio writes an order and reads what comes of it; neither its memory nor its page is touched by what goes wrong in
the other process. That one ends when this one does: its stdin is a pipe that then closes.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import Any, Literal

from ..errors import FitError, StateError
from .order import ATTACHED, Order, write_order
from .project import Project

log = logging.getLogger("tal_engine")

State = Literal["idle", "features", "training", "measuring", "exporting", "failed", "waiting"]
#: How often a trainer that was killed begins again.
_AGAIN = 2
#: Begins the trainer; the folder of the project follows.
_COMMAND = [sys.executable, "-m", "tal_engine.lab.studio"]
#: So much of what a process wrote on stderr is told where it did not say why it ended.
_TOLD = 400
_ENDS = "the studio ends"
#: Arguments of the trainer that only make features.
_FEATURES = ["--features"]


@dataclass
class Progress:
    """What the trainer does now; left_s: seconds that it still takes, None where nobody knows."""

    state: State = "idle"
    step: int = 0
    steps: int = 0
    video: str = ""
    videos: list[int] = field(default_factory=list)
    left_s: float | None = None
    detail: str = ""
    since: float = field(default_factory=time.time)

    @property
    def document(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return dict(vars(self))


@dataclass(eq=False)
class _Job:
    """Something for the trainer to do: its arguments, [] for training; and what came of it."""

    arguments: list[str]
    last: Future[dict[str, Any]] = field(default_factory=Future)


class Trainer:
    """See the module.

    Args:
        project: whose labels are learned from.
        order: makes an order of the project as it is.
        told: called with (kind, fields) when something changed: "training", or "done" with the last line of a training.
        auto: train after edits.
        settle: seconds without an edit before that.
    """

    def __init__(
        self,
        project: Project,
        order: Callable[[], Order],
        told: Callable[[str, dict[str, Any]], None],
        *,
        auto: bool,
        settle: float,
    ) -> None:
        self._project, self._order, self._told, self._auto, self._settle = project, order, told, auto, settle
        self._changed, self._jobs = threading.Condition(), list[_Job]()
        self._due: float | None = None
        self._process: subprocess.Popen[str] | None = None
        self._stopped = self._closed = self._ending = False
        self.progress, self.last = Progress(), dict[str, Any]()
        self._thread = threading.Thread(target=self._run, name="tal-studio-trainer", daemon=True)

    def begin(self) -> None:
        """Begin; features that are missing are made right away, where training begins by itself."""
        if self._auto:
            self._jobs.append(_Job(_FEATURES))
        self._thread.start()

    @property
    def document(self) -> dict[str, Any]:
        """What there is to know, ready for JSON."""
        return {**self.progress.document, "last": self.last, "auto": self._auto and not self._stopped}

    def edited(self) -> None:
        """Note an edit: training begins when there was none for a while."""
        with self._changed:
            if self._auto and not self._stopped:
                self._due = time.monotonic() + self._settle
                if self.progress.state in ("idle", "failed"):
                    self._set(Progress("waiting"))
                self._changed.notify()

    def came(self, learns: bool) -> None:
        """Note that videos came: their features are made, and heads look at them after the next training.

        Args:
            learns: whether there is something to learn from, so that a training follows.
        """
        if learns:
            self.edited()
            return
        with self._changed:
            if self._auto and not self._stopped and all(j.arguments != _FEATURES for j in self._jobs):
                self._jobs.append(_Job(_FEATURES))
                self._changed.notify()

    def start(self) -> None:
        """Train now; if it trains, again after that."""
        with self._changed:
            self._stopped, self._due = False, None
            if all(j.arguments for j in self._jobs):
                self._jobs.append(_Job([]))
            if self.progress.state in ("idle", "failed"):
                self._set(Progress("waiting"))
            self._changed.notify()

    def stop(self) -> None:
        """Stop, and do not begin by itself before `start`; what was found before stays."""
        with self._changed:
            self._stopped, self._due = True, None
            for job in self._jobs:
                job.last.set_result({"state": "failed", "detail": "it was stopped"})
            self._jobs.clear()
            self._end_process()
            if self.progress.state == "waiting":
                self._set(Progress())

    def call(self, *arguments: str) -> dict[str, Any]:
        """Do something else with the trainer, after what it does now and a training that is due; return its last line.

        Raises:
            FitError: it failed; the message says why.
            StateError: the studio ends.
        """
        job = _Job(list(arguments))
        with self._changed:
            if self._closed:
                raise StateError(_ENDS)
            if self._due is not None:  # else a plan would lack the last answers, and nobody would know
                self._due = None
                self._jobs.append(_Job([]))
            self._jobs.append(job)
            self._changed.notify()
        last = job.last.result()
        if last["state"] != "done" and self._closed:
            raise StateError(_ENDS)
        if last["state"] != "done":
            raise FitError(last["detail"])
        return last

    def close(self) -> None:
        """End what runs; closing twice is harmless."""
        with self._changed:
            self._closed = True
            for job in self._jobs:
                job.last.set_result({"state": "failed", "detail": _ENDS})
            self._jobs.clear()
            self._end_process()
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                last = self._done(job)
            except OSError as e:  # the disk is full, or the project cannot be written
                detail = f"the trainer cannot be run: {e.strerror or e}"
                log.error("%s (%s)", detail, e.filename)
                last = {"state": "failed", "detail": detail}
            except Exception as e:  # the studio goes on, whatever is wrong with its trainer
                log.error("the trainer cannot be run", exc_info=e)
                last = {"state": "failed", "detail": f"the trainer cannot be run: {e}"}
            self._ended(job, last)

    def _next(self) -> _Job | None:
        """Wait for something to do; None: nothing more comes."""
        with self._changed:
            while not self._closed:
                if self._due is not None and time.monotonic() >= self._due:
                    self._due = None
                    self._jobs.append(_Job([]))
                if self._jobs:
                    self._ending = False
                    return self._jobs.pop(0)
                self._changed.wait(None if self._due is None else max(self._due - time.monotonic(), 0.001))
        return None

    def _done(self, job: _Job) -> dict[str, Any]:
        """Run the process until it ends by itself or is stopped; one that somebody else killed begins again."""
        for attempt in range(_AGAIN + 1):
            write_order(self._project.folder, self._order())
            last, status, said = self._lines(job)
            if last.get("state") in ("done", "failed"):
                return last
            if self._ending:
                return {"state": "failed", "detail": "it was stopped", "stopped": True}
            log.warning("the trainer ended with status %d, attempt %d", status, attempt + 1)
        detail = f"the trainer ended with status {status}, {_AGAIN + 1} times: {said[-_TOLD:] or 'it said nothing'}"
        return {"state": "failed", "detail": detail}

    def _lines(self, job: _Job) -> tuple[dict[str, Any], int, str]:
        """Run the process once; return its last line, its status, and what it wrote on stderr."""
        words = [*_COMMAND, str(self._project.folder), ATTACHED, *job.arguments]
        last: dict[str, Any] = {}
        with TemporaryFile("w+") as complaints:
            with self._changed:
                if self._ending or self._closed:
                    return {}, 0, ""
                self._process = process = subprocess.Popen(
                    words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True
                )
            assert process.stdout is not None  # noqa: S101 - a pipe
            with process:
                for line in process.stdout:
                    last = _document(line) or last
                    if last.get("state") not in ("done", "failed", None):
                        known = {k: v for k, v in last.items() if k in Progress.__dataclass_fields__}
                        self._set(Progress(**known, since=self.progress.since))
                status = process.wait()
            complaints.seek(0)
            return last, status, complaints.read()

    def _ended(self, job: _Job, last: dict[str, Any]) -> None:
        failed = last["state"] == "failed" and not last.get("stopped")
        with self._changed:
            self._process = None
            waits = self._due is not None or bool(self._jobs)
            if job.arguments != _FEATURES or failed:
                self.last = {k: v for k, v in last.items() if k != "measures"}
            detail = str(last.get("detail", "")) if failed else ""
            self._set(Progress("failed" if failed else "waiting" if waits else "idle", detail=detail))
        if last["state"] == "done" and not job.arguments:
            self._told("done", last)
        job.last.set_result(last)

    def _set(self, progress: Progress) -> None:
        self.progress = progress
        self._told("training", progress.document)

    def _end_process(self) -> None:
        self._ending = True
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()


def _document(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
