"""A project: its journal, what follows from it, and the files of labels that other programs read.

An edit is answered once its entry of the journal is on the disk; ``labels.csv`` and ``labels.json`` are written anew
after it, whole or not at all. Safe to share between threads.
"""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .._util.files import check_folder, clear_unfinished, write_text
from ..errors import StateError, UsageError
from .journal import Entry, Journal
from .label_files import as_csv, as_json
from .labels import OPS, Change, Label, checked
from .lock import ProjectLock
from .resolving import resolved
from .state import State

JOURNAL = "journal.jsonl"


def _nobody(kind: str, fields: Mapping[str, Any]) -> None:
    """Tell nobody."""


class ConflictError(Exception):
    """Some changes of an edit came too late; the others were made, and these are kept until somebody settles them."""

    def __init__(self, conflicts: list[dict[str, Any]], revision: int) -> None:
        super().__init__(f"{len(conflicts)} changes came too late")
        self.conflicts, self.revision = conflicts, revision


class Project:
    """See the module.

    Args:
        folder: made if it is not there.
        name: of a new project.

    Raises:
        UsageError: it is open elsewhere, or holds something else.
        DataError: its journal is damaged.
        OSError: it cannot be read or written.
    """

    def __init__(self, folder: Path, name: str = "") -> None:
        if folder.is_dir() and any(folder.iterdir()) and not (folder / JOURNAL).exists():
            raise UsageError(f"{folder}: is no project of tal studio and not empty: choose another one with --project")
        check_folder(folder, "the project")
        self.folder, self.state = folder, State()
        self.lock, self._held = threading.RLock(), ProjectLock(folder)
        #: Why the files of labels are older than the journal; "" if they are not.
        self.files_problem = ""
        #: Called with (kind, fields) after each entry.
        self.told: Callable[[str, Mapping[str, Any]], None] = _nobody
        try:
            clear_unfinished(folder)
            self._journal = Journal(folder / JOURNAL)
            for entry in self._journal.entries:
                self.state.apply(entry)
            if not self.state.project:
                self.note("project", id=uuid.uuid4().hex, name=name or folder.resolve().stem)
        except BaseException:
            self._held.close()
            raise
        self.write_files()

    def note(self, kind: str, **fields: Any) -> Entry:
        """Write an entry and apply it.

        Raises:
            OSError, StateError: it is not on the disk, and the project is as it was.
        """
        with self.lock:
            at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
            entry = self._journal.append({"kind": kind, "at": at, **fields})
            self.state.apply(entry)
        return entry

    def set(self, kind: str, **fields: Any) -> None:
        """`note`, and write the files of labels, which may follow from it."""
        with self.lock:
            self.note(kind, **fields)
            self.write_files()
        self.told(kind, fields)

    def edit(
        self,
        edit: str,
        author: str,
        video: str,
        changes: Sequence[Change],
        *,
        duration: float = 0.0,
        answered: Mapping[str, Any] | None = None,
        took_back: str = "",
    ) -> int:
        """Change labels of a video; return the revision, once it is on the disk.

        Args:
            edit: a UUID; an edit that was made already is not made again.
            author: who does it.
            video: its id.
            changes: of labels of this video.
            duration: of the video, seconds.
            answered: the question that this answers; kept with it.
            took_back: the edit of an answer that does not count any more; its question may be asked again.

        Raises:
            UsageError: a change makes no sense; nothing is changed.
            ConflictError: some came too late.
            OSError: the disk is full or broken; nothing is changed.
        """
        with self.lock:
            if (known := self.state.edits.get(edit)) is not None:
                return self._again(known)
            done = resolved(self.state.labels, self._checked(changes, author, video, duration))
            fields = done.fields(edit, video) | ({"answered": dict(answered)} if answered else {})
            fields |= {"took_back": took_back} if took_back else {}
            entry = self.note("edit", edit=edit, author=author, video=video, **fields)
            self.write_files()
        self.told("edit", {"video": video, "author": author})
        if (answered or {}).get("done") or took_back:  # a video is looked at as a whole now, or not any more
            self.told("watched", {"id": video})
        if entry["conflicts"]:
            raise ConflictError(entry["conflicts"], entry["n"])
        return int(entry["n"])

    def _again(self, known: Mapping[str, Any]) -> int:
        if known["conflicts"]:
            raise ConflictError(known["conflicts"], known["revision"])
        return int(known["revision"])

    def _checked(self, changes: Sequence[Change], author: str, video: str, duration: float) -> list[Change]:
        if video not in self.state.videos:
            raise UsageError(f"video is {video[:100]!r}, must be the id of a video of the project")
        if not author.strip() or len(author) > 100:
            raise UsageError(f"author is {author[:100]!r}, must be a name of 1 to 100 characters")
        out, at = [], dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        for c in changes:
            if c.op not in OPS:
                raise UsageError(f"op is {c.op!r}, must be one of {', '.join(OPS)}")
            known = self.state.labels.get(c.label.id)
            if c.label.video != video or (known is not None and known.video != video):
                raise UsageError(f"label {c.label.id[:100]!r} is of another video: an edit changes labels of one")
            if c.op != "remove":
                mine = replace(c.label, author=author, edited=at, revision=0)
                c = Change(c.op, checked(mine, duration, self.state.class_names), c.base)
            out.append(c)
        return out

    def conflicts(self) -> list[dict[str, Any]]:
        """Return changes that came too late, each beside the label as it is now."""
        with self.lock:
            labels = self.state.labels
            now = [replace(c, theirs=labels.get(c.mine.id)) for c in self.state.conflicts.values()]
        return [c.document for c in now]

    def settle(self, conflict: str, keep: str, author: str) -> None:
        """Decide about a conflict.

        Args:
            conflict: its id.
            keep: "mine": make the change that came too late. "theirs": leave what is there. "both": leave it, and add
                what the change says as another label.
            author: who decides.

        Raises:
            UsageError: no such conflict, or another word.
            OSError: the disk is full or broken; nothing is changed.
        """
        with self.lock:
            found = self.state.conflicts.get(conflict)
            if found is None:
                raise UsageError(f"conflict is {conflict[:100]!r}, and there is none such (any more)")
            if keep not in ("mine", "theirs", "both"):
                raise UsageError(f"keep is {keep[:40]!r}, must be mine, theirs or both")
            mine = found.mine if found.op == "remove" else checked(found.mine, 0.0, self.state.class_names)
            put, removed = ([mine], list[str]()) if found.op != "remove" else ([], [])
            if keep == "theirs" or (keep == "both" and found.op == "remove"):
                put = []
            elif keep == "both" and found.mine.id in self.state.labels:
                put = [replace(mine, id=uuid.uuid4().hex)]
            elif keep == "mine" and found.op == "remove":
                removed = [found.mine.id]
            fields = {"put": [x.document for x in put], "removed": removed, "video": found.video}
            self.note("settled", conflict=conflict, keep=keep, author=author, **fields)
            self.write_files()
        self.told("settled", {"video": found.video, "author": author})

    def add_all(self, edit: str, author: str, labels: Iterable[Label]) -> None:
        """Add labels of many videos, as a file has them; they are checked, and new."""
        by_video: dict[str, list[Label]] = {}
        for x in labels:
            by_video.setdefault(x.video, []).append(x)
        with self.lock:
            for k, (video, of) in enumerate(by_video.items()):
                fields = {"put": [x.document for x in of], "removed": [], "conflicts": []}
                self.note("edit", edit=f"{edit}-{k}", author=author, video=video, **fields)
            self.write_files()

    def write_files(self) -> None:
        """Write the files of labels; a full disk leaves the old ones, and the next edit tries again."""
        try:
            write_text(self.folder / "labels.csv", as_csv(self.state))
            write_text(self.folder / "labels.json", as_json(self.state))
            self.files_problem = ""
        except OSError as e:
            self.files_problem = f"labels.csv and labels.json are older than the labels ({e.strerror or e})"

    def check(self) -> None:
        """Raise StateError where memory and disk could differ; for tests and repair."""
        again = State()
        for entry in self._journal.entries:
            again.apply(entry)
        if again != self.state:
            raise StateError(f"{self.folder}: the project in memory is not that of its journal")

    def close(self) -> None:
        """Close the project, and let others have it; closing twice is harmless."""
        with self.lock:
            self._journal.close()
            self._held.close()
