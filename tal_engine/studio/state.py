"""What a project is after each entry of its journal; nothing else changes it, so that disk and memory are the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .journal import Entry
from .labels import Label, label_of

#: Colours of classes in turn: told apart by people with any colour vision (Okabe and Ito, 2008), without black.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d00", "#7f5fc4")

#: Labels that came from a file have it as their author, behind this: it is nobody who could label here.
FILE = "file "


@dataclass(frozen=True)
class ClassItem:
    """A class: its name, the key that marks it, and its colour."""

    name: str
    key: str
    color: str

    @property
    def document(self) -> dict[str, str]:
        """All fields, ready for JSON."""
        return {"name": self.name, "key": self.key, "color": self.color}


@dataclass(frozen=True)
class Watched:
    """What is known of a video beside its labels.

    name: relative path with /. size: bytes. digest: of its beginning and end. done: looked at as a whole, so that time
    without labels is background. told: classes that occur in it, without a time.
    """

    id: str
    name: str
    size: int
    digest: str = ""
    done: bool = False
    note: str = ""
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conflict:
    """A change that came too late: `mine` was refused, `theirs` is the label that is there (None: it was removed)."""

    id: str
    video: str
    author: str
    op: str
    mine: Label
    theirs: Label | None

    @property
    def document(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        theirs = None if self.theirs is None else self.theirs.document
        return {
            "id": self.id, "video": self.video, "author": self.author, "op": self.op, "label": self.mine.id,
            "mine": self.mine.document, "yours": self.mine.document, "theirs": theirs,
        }  # fmt: skip


@dataclass
class State:
    """All of it; see the fields. by_video: the labels again, by video and id. own: each as who made it left it.

    subjects: names of persons that labels can be about, as somebody gave them when the studio began.
    A label that somebody else corrects or removes says no less what its first author saw there, and is no second look.
    """

    revision: int = 0
    project: str = ""
    name: str = ""
    classes: list[ClassItem] = field(default_factory=list)
    videos: dict[str, Watched] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    by_video: dict[str, dict[str, Label]] = field(default_factory=dict)
    own: dict[str, Label] = field(default_factory=dict)
    people: list[str] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)
    edits: dict[str, dict[str, Any]] = field(default_factory=dict)
    conflicts: dict[str, Conflict] = field(default_factory=dict)
    held_out: tuple[str, ...] = ()
    held_out_why: str = ""
    thresholds: dict[str, float] = field(default_factory=dict)
    answered: dict[str, dict[str, Any]] = field(default_factory=dict)
    measured: list[dict[str, Any]] = field(default_factory=list)
    imported: dict[str, dict[str, Any]] = field(default_factory=dict)
    exports: list[dict[str, Any]] = field(default_factory=list)

    def of_video(self, video: str) -> list[Label]:
        """Return the labels of a video by start."""
        return sorted(self.by_video.get(video, {}).values(), key=lambda x: (x.start, x.end, x.id))

    @property
    def class_names(self) -> list[str]:
        """The names of the classes, in order."""
        return [c.name for c in self.classes]

    def apply(self, entry: Entry) -> None:
        """Change the state by an entry that is on the disk."""
        getattr(self, f"_{entry['kind']}")(entry)
        self.revision = entry["n"]

    def _project(self, e: Entry) -> None:
        self.project, self.name = e["id"], e["name"]

    def _video(self, e: Entry) -> None:
        known = self.videos.get(e["id"])
        if known is None:
            self.videos[e["id"]] = Watched(e["id"], e["name"], e["size"], e["digest"])
        else:
            self.videos[e["id"]] = replace(known, name=e["name"], size=e["size"], digest=e["digest"])

    def _watched(self, e: Entry) -> None:
        self.videos[e["id"]] = replace(self.videos[e["id"]], **e["fields"])

    def _subjects(self, e: Entry) -> None:
        self.subjects = list(e["names"])

    def _told(self, e: Entry) -> None:
        for video, names in e["told"].items():
            self.videos[video] = replace(self.videos[video], told=tuple(names))

    def _classes(self, e: Entry) -> None:
        self.classes = [ClassItem(**c) for c in e["classes"]]
        renamed: Mapping[str, str] = e["renamed"]
        for x in [x for x in self.labels.values() if x.label in renamed]:
            self._put(replace(x, label=renamed[x.label], revision=e["n"]))
        self.own = {k: replace(x, label=renamed.get(x.label, x.label)) for k, x in self.own.items()}
        self.thresholds = {renamed.get(c, c): t for c, t in self.thresholds.items()}
        for c in self.conflicts.values():
            mine = replace(c.mine, label=renamed.get(c.mine.label, c.mine.label))
            self.conflicts[c.id] = replace(c, mine=mine)
        for v in self.videos.values():
            if set(v.told) & set(renamed):
                self.videos[v.id] = replace(v, told=tuple(renamed.get(c, c) for c in v.told))

    def _edit(self, e: Entry) -> None:
        self._changed(e)
        self.edits[e["edit"]] = {"revision": e["n"], "video": e["video"], "conflicts": e["conflicts"]}
        for c in e["conflicts"]:
            theirs = None if c["theirs"] is None else label_of(c["theirs"])
            self.conflicts[c["id"]] = Conflict(c["id"], c["video"], e["author"], c["op"], label_of(c["mine"]), theirs)
        if "answered" in e:
            note = {"edit": e["edit"], **e["answered"], "author": e["author"], "revision": e["n"]}
            self.answered[note["id"]] = note
            self.edits[e["edit"]]["answer"] = note
            self._watched_by(note, True)
        if "took_back" in e and self._stands(e["took_back"]):
            self._watched_by(self.answered.pop(self.edits[e["took_back"]]["answer"]["id"]), False)

    def _watched_by(self, note: Mapping[str, Any], done: bool) -> None:
        """Take an answer that a video was looked at as a whole, or take it back."""
        if note.get("done"):
            self.videos[note["video"]] = replace(self.videos[note["video"]], done=done)

    def _stands(self, edit: str) -> bool:
        """Whether an edit is the answer that its question has now."""
        note = self.edits.get(edit, {}).get("answer")
        return note is not None and self.answered.get(note["id"], {}).get("edit") == edit

    def _changed(self, e: Entry) -> None:
        """Take the changes of an entry: labels that are there now, and ids that are not any more."""
        for document in e["put"]:
            self._put(replace(label_of(document), revision=e["n"]))
        for name in e["removed"]:
            if name in self.own and self.own[name].author in ("", e["author"]):
                del self.own[name]
            gone = self.labels.pop(name, None)
            if gone is not None:
                del self.by_video[gone.video][name]
        if e["author"] and not e["author"].startswith(FILE) and e["author"] not in self.people:
            self.people.append(e["author"])

    def _put(self, label: Label) -> None:
        self.labels[label.id] = label
        if label.id not in self.own or self.own[label.id].author == label.author:
            self.own[label.id] = label
        self.by_video.setdefault(label.video, {})[label.id] = label

    def _settled(self, e: Entry) -> None:
        self.conflicts.pop(e["conflict"], None)
        self._changed(e)

    def _held_out(self, e: Entry) -> None:
        self.held_out, self.held_out_why = tuple(e["videos"]), e["why"]

    def _thresholds(self, e: Entry) -> None:
        self.thresholds = {**self.thresholds, **e["values"]}

    def _imported(self, e: Entry) -> None:
        self.imported[e["digest"]] = {"file": e["file"], "problems": e["problems"], "labels": e["labels"]}

    def _measured(self, e: Entry) -> None:
        self.measured.append(e["figures"])

    def _exported(self, e: Entry) -> None:
        self.exports.append(e["plan"])
