"""Accepted jobs on the disk (SQLite): what was accepted is there after a crash, and has one outcome.

A job is there once `add` has returned. One that ran when the service died runs again from its beginning, up to
`MOST_ATTEMPTS` times: its outcome was not stored. A job whose outcome is stored never runs again.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import UsageError
from .problems import ProblemError
from .wanted import Wanted

log = logging.getLogger("tal_engine")

#: Seconds after which a disk that refused is tried again.
AGAIN_S = 1.0

State = Literal["queued", "running", "done", "failed", "cancelled"]
STATES: tuple[State, ...] = ("queued", "running", "done", "failed", "cancelled")
#: A job that took the service down so often has failed.
MOST_ATTEMPTS = 5
_VERSION = 1
_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY, key TEXT UNIQUE, state TEXT NOT NULL, wanted TEXT NOT NULL, file TEXT, created REAL NOT NULL,
  started REAL, finished REAL, attempts INTEGER NOT NULL, result BLOB, problem TEXT
);
CREATE INDEX IF NOT EXISTS by_state ON jobs (state, created);
"""
#: Columns that a store of an earlier version lacks: they are added to it.
_ADDED = ("done", "total")
_COLUMNS = "id, key, state, wanted, file, created, started, finished, attempts, problem, done, total"


@dataclass(frozen=True)
class Job:
    """A job as it is stored; times are seconds since 1970, `problem` is a problem document.

    done, total: seconds of the video that were localized when it got its outcome, and of the whole; 0 where not known.
    """

    id: str
    wanted: Wanted
    state: State = "queued"
    key: str | None = None
    file: str | None = None
    created: float = field(default_factory=time.time)
    started: float | None = None
    finished: float | None = None
    attempts: int = 0
    problem: dict[str, Any] | None = None
    done: float = 0.0
    total: float = 0.0

    @property
    def over(self) -> bool:
        """Whether it has its outcome."""
        return self.state not in ("queued", "running")


class JobStore:
    """The jobs of a folder, which one service at a time may use. Safe to share between threads.

    Args:
        folder: made if it is not there.
        now: gives the time, seconds since 1970.

    Raises:
        UsageError: another service uses the folder, it cannot be written, or holds something else.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self._now, self._lock = now, threading.Lock()
        self._path = folder / "jobs.sqlite"
        try:
            (folder / "spool").mkdir(parents=True, exist_ok=True, mode=0o700)
            self._guard = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as e:
            raise UsageError(
                f"{folder}: the state cannot be written ({e.strerror}); give another folder: --state"
            ) from e
        try:
            fcntl.flock(self._guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            os.close(self._guard)
            raise UsageError(f"{folder}: another service uses this state; give another folder: --state") from e
        try:
            self._db = self._opened()
        except sqlite3.Error as e:
            os.close(self._guard)
            raise UsageError(f"{self._path}: not a store of jobs ({e}); move it away, or give another --state") from e

    def _opened(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise sqlite3.DatabaseError(f"version {version}, must be {_VERSION}")
            db.executescript(f"BEGIN; {_TABLE} PRAGMA user_version={_VERSION}; COMMIT;")
            known = {row[1] for row in db.execute("PRAGMA table_info(jobs)")}
            for column in _ADDED:
                if column not in known:
                    db.execute(f"ALTER TABLE jobs ADD COLUMN {column} REAL NOT NULL DEFAULT 0")
        except BaseException:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Close the store, and let others use the folder; closing twice is harmless."""
        with self._lock:
            self._db.close()
            if self._guard >= 0:
                os.close(self._guard)
                self._guard = -1

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """Do several things as one."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def recover(self) -> list[Job]:
        """Return the jobs to run after a start, oldest first: also those that ran when the service died."""
        ended = ProblemError("internal", f"the service ended {MOST_ATTEMPTS} times while it ran this job")
        gone = json.dumps(ended.document)
        with self._change() as db:
            db.execute(
                "UPDATE jobs SET state='failed', finished=?, problem=? WHERE state='running' AND attempts>=?",
                (self._now(), gone, MOST_ATTEMPTS),
            )
            db.execute("UPDATE jobs SET state='queued', started=NULL WHERE state='running'")
        return self.list("queued", limit=-1, newest_first=False)

    def add(self, job: Job) -> Job:
        """Accept a job; where one of the same key is there already, return that one instead.

        Raises:
            ProblemError: that one is of other content or other options; nothing was stored.
        """
        with self._change() as db:
            if job.key is not None and (row := self._row("key", job.key)) is not None:
                if not row.wanted.same(job.wanted):
                    raise ProblemError(
                        "key-reused",
                        f"Idempotency-Key is {job.key!r}, that of job {row.id} of other content, another name or other "
                        "options; each job needs a key of its own",
                    )
                return row
            db.execute(
                "INSERT INTO jobs (id, key, state, wanted, file, created, attempts) VALUES (?, ?, ?, ?, ?, ?, 0)",
                (job.id, job.key, job.state, json.dumps(asdict(job.wanted)), job.file, job.created),
            )
        return job

    def begin(self, id: str) -> bool:  # noqa: A002 - the record's name
        """Note that a job runs from now on; False: it may not, it was cancelled meanwhile."""
        with self._change() as db:
            done = db.execute(
                "UPDATE jobs SET state='running', started=?, attempts=attempts+1 WHERE id=? AND state='queued'",
                (self._now(), id),
            )
            return done.rowcount == 1

    def put_back(self, id: str) -> None:  # noqa: A002
        """Queue a running job again, without counting the attempt: the service stops in order."""
        with self._change() as db:
            db.execute(
                "UPDATE jobs SET state='queued', started=NULL, attempts=attempts-1 WHERE id=? AND state='running'",
                (id,),
            )

    def finish(
        self,
        id: str,  # noqa: A002
        state: State,
        result: dict[str, Any] | None = None,
        problem: dict[str, Any] | None = None,
        progress: tuple[float, float] = (0.0, 0.0),
    ) -> bool:
        """Store the outcome of a job; False: it has one already, which stays."""
        data = None if result is None else zlib.compress(json.dumps(result).encode(), 1)
        told = None if problem is None else json.dumps(problem)
        with self._change() as db:
            done = db.execute(
                "UPDATE jobs SET state=?, finished=?, result=?, problem=?, done=?, total=? "
                "WHERE id=? AND state IN ('queued', 'running')",
                (state, self._now(), data, told, *progress, id),
            )
            return done.rowcount == 1

    def get(self, id: str) -> Job | None:  # noqa: A002
        """Return a job; None if there is none."""
        with self._lock:
            return self._row("id", id)

    def result(self, id: str) -> dict[str, Any] | None:  # noqa: A002
        """Return the result of a job; None if it has none."""
        with self._lock:
            row = self._db.execute("SELECT result FROM jobs WHERE id=?", (id,)).fetchone()
        return None if row is None or row[0] is None else json.loads(zlib.decompress(row[0]))

    def list(self, state: State | None = None, limit: int = 100, *, newest_first: bool = True) -> list[Job]:
        """Return jobs, at most `limit`; -1 for all."""
        where, values = ("WHERE state=?", [state]) if state else ("", [])
        order = "DESC" if newest_first else "ASC"
        text = f"SELECT {_COLUMNS} FROM jobs {where} ORDER BY created {order}, rowid {order} LIMIT ?"  # noqa: S608
        with self._lock:
            return [_job(row) for row in self._db.execute(text, (*values, limit))]

    def counts(self) -> dict[str, int]:
        """Return the number of jobs in each state."""
        with self._lock:
            found = dict(self._db.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())
        return {state: found.get(state, 0) for state in STATES}

    def forget(self, id: str) -> bool:  # noqa: A002
        """Remove a job that has its outcome; False: it has none, or is not there."""
        with self._change() as db:
            text = "DELETE FROM jobs WHERE id=? AND state NOT IN ('queued', 'running')"
            return db.execute(text, (id,)).rowcount == 1

    def forget_old(self, seconds: float, most: int) -> int:
        """Remove jobs that have had their outcome for so long, and the oldest of more than `most`; return how many."""
        over = "state NOT IN ('queued', 'running')"
        with self._change() as db:
            old = db.execute(f"DELETE FROM jobs WHERE {over} AND finished < ?", (self._now() - seconds,))  # noqa: S608
            text = f"SELECT id FROM jobs WHERE {over} ORDER BY finished DESC LIMIT -1 OFFSET ?"  # noqa: S608
            more = db.execute(f"DELETE FROM jobs WHERE id IN ({text})", (most,))  # noqa: S608
            return old.rowcount + more.rowcount

    def _row(self, column: str, value: str) -> Job | None:
        row = self._db.execute(f"SELECT {_COLUMNS} FROM jobs WHERE {column}=?", (value,)).fetchone()  # noqa: S608
        return None if row is None else _job(row)


def _job(row: tuple[Any, ...]) -> Job:
    id_, key, state, wanted, file, created, started, finished, attempts, problem, done, total = row
    told = None if problem is None else json.loads(problem)
    known = Wanted(**json.loads(wanted))
    return Job(id_, known, state, key, file, created, started, finished, attempts, told, done, total)


def insist(change: Callable[[], bool], ends: Callable[[float], bool]) -> bool:
    """Change the store; where the disk refuses that, try again until it does not.

    Args:
        change: a call of the store.
        ends: waits for so many seconds, and returns whether to give up.

    Raises:
        sqlite3.OperationalError: the disk refused up to the end; the job runs again with the next start.
    """
    while True:
        try:
            return change()
        except sqlite3.OperationalError as e:
            log.error("a job cannot be stored (%s); it will be tried again", e)
            if ends(AGAIN_S):
                raise
