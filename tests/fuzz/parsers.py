"""One target a parser of annotations, detections and plans: bytes in, nothing out.

A target raises where the parser lets out anything but the errors that `tal_engine.errors` lists, or
returns values that break its promises.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from tal_engine.annotations import read_annotations, read_detections
from tal_engine.errors import TALError
from tal_engine.plan.archive import parse_plan
from tal_engine.plan.manifest import parse_manifest

#: Parts one target's input into several files.
CUT = b"\n--8<--\n"

#: The columns of the npy layout; a fuzzer's input replaces the one that its first byte picks.
NPY = ("videoname", "subset", "segments", "labels", "duration", "classlist", "url")


@cache
def _room() -> Path:
    """A folder for the files of one input: the one that TAL_FUZZ_ROOM names, or a new one in memory if possible."""
    if named := os.environ.get("TAL_FUZZ_ROOM"):
        return Path(named)
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="tal-fuzz-", dir=memory if memory.is_dir() else None)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def room(name: str, files: dict[str, bytes]) -> Path:
    folder = _room() / name
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.name not in files:
            path.unlink()
    for file, content in files.items():
        (folder / file).write_bytes(content)
    return folder


def _annotations(path: Path) -> None:
    try:
        found = read_annotations(path, allow_pickle=True)
        table = found.table()
    except TALError as e:
        assert str(_room()) in str(e), f"message does not name the file: {e}"  # or one beside it
        return
    assert len(found) > 0
    assert all(s.start >= 0 and s.end >= s.start for v in found for s in v.instances)
    assert np.isfinite(table.start).all()
    assert np.isfinite(table.end).all()


def activitynet(data: bytes) -> None:
    _annotations(room("activitynet", {"gt.json": data}) / "gt.json")


def bmn(data: bytes) -> None:
    """The JSON file, and video_info_new.csv beside it if the input has a second part."""
    text, cut, info = data.partition(CUT)
    files = {"gt.json": text} | ({"video_info_new.csv": info} if cut else {})
    _annotations(room("bmn", files) / "gt.json")


def thumos(data: bytes) -> None:
    names = ("Jump_test.txt", "Run_val.txt", "Ambiguous_test.txt")
    _annotations(room("thumos", dict(zip(names, data.split(CUT), strict=False))))


@cache
def npy_files() -> dict[str, bytes]:
    """A sound folder of the npy layout."""
    columns = {
        "videoname": np.array([b"video_1", b"video_2"]),
        "subset": np.array([b"validation", b"test"]),
        "segments": np.array([[[0.5, 2.0]], [[1.0, 1.5], [3.0, 4.0]]], dtype=object),
        "labels": np.array([["Jump"], ["Run", "Jump"]], dtype=object),
        "duration": np.array([[10.0], [20.0]]),
        "classlist": np.array([b"Jump", b"Run"]),
        "url": np.array(["https://x/watch?v=video_1", "https://x/watch?v=video_2"]),
    }
    folder = room("npy-columns", {})
    for name, column in columns.items():
        np.save(folder / f"{name}.npy", column, allow_pickle=True)
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def npy(data: bytes) -> None:
    which, content = data[:1], data[1:]
    index = which[0] % (len(NPY) + 1) if which else 0
    name = f"{NPY[index]}.npy" if index < len(NPY) else "Ambiguous_test.txt"
    _annotations(room("npy", npy_files() | {name: content}))


def _detections(data: bytes, suffix: str) -> None:
    path = room(f"detections-{suffix}", {f"found.{suffix}": data}) / f"found.{suffix}"
    try:
        table = read_detections(path)
    except TALError as e:
        assert str(path) in str(e), f"message does not name the file: {e}"
        return
    assert np.isfinite(np.stack([table.start, table.end, table.score])).all()
    assert (table.start <= table.end).all()
    assert all(isinstance(n, str) for n in table.videos + table.labels)


def detections_json(data: bytes) -> None:
    _detections(data, "json")


def detections_txt(data: bytes) -> None:
    _detections(data, "txt")


def detections_csv(data: bytes) -> None:
    _detections(data, "csv")


def detections_jsonl(data: bytes) -> None:
    _detections(data, "jsonl")


def plan(data: bytes) -> None:
    try:
        parse_plan(data, "x.plan")
    except TALError as e:
        assert "x.plan" in str(e)


def manifest(data: bytes) -> None:
    """The manifest alone: inside of a zip its hash and checksum would keep a fuzzer out."""
    try:
        found = parse_manifest(data, "x.plan")
    except TALError as e:
        assert "x.plan" in str(e)
        return
    assert parse_manifest(found.to_json().encode(), "x.plan") == found


TARGETS = {
    f.__name__: f
    for f in (
        activitynet, bmn, thumos, npy, detections_json, detections_txt, detections_csv, detections_jsonl, plan, manifest
    )
}  # fmt: skip
