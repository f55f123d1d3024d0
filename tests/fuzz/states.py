"""Targets that read what the engine itself writes: feature files, snapshots of streams, events."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from tal_engine.annotations.finals import read_finals
from tal_engine.annotations.points import read_points
from tal_engine.errors import FeatureError, SnapshotError, TALError
from tal_engine.events import Event
from tal_engine.features import load_features
from tal_engine.plan.graph_contents import contents
from tal_engine.records import PROPOSAL, Proposals
from tal_engine.streaming import snapshot as snapshots
from tal_engine.streaming.stream_state import StreamState
from tests.fuzz.parsers import room
from tests.makers import tiny_manifest

#: Frames that a stream takes after it was restored.
_FRAMES = 24


def features(data: bytes) -> None:
    path = room("features", {"v.npz": data}) / "v.npz"
    try:
        found = load_features(path)
    except TALError as e:
        assert isinstance(e, FeatureError)
        assert str(path) in str(e), f"message does not name the file: {e}"
        return
    assert found.streams
    assert all(a.dtype == np.float32 and a.ndim == 2 and np.isfinite(a).all() for a in found.streams.values())
    assert 0 <= found.duration < float("inf")


@cache
def _manifest() -> Any:
    return tiny_manifest()


def _shown(state: StreamState) -> str:
    numbers, arrays = state.state()
    return repr((numbers, sorted((n, a.tobytes(), a.shape) for n, a in arrays.items())))


def new_state() -> StreamState:
    """A stream of the test plan that has seen nothing."""
    return StreamState(_manifest(), "0" * 64, "cam")


def go_on(state: StreamState, frames: int) -> int:
    """Push frames and end the stream; how many events came of it."""
    image, told = np.zeros((32, 32, 3), np.uint8), 0
    begin = state.newest or 0.0
    for ready in [r for k in range(1, frames + 1) for r in state.push(lambda: image, begin + k / 25)]:
        assert ready.snippets.frames.shape[0] == 1
        state.add({"rgb": np.zeros(4, np.float32)})
    for _ in state.flush():
        state.add({"rgb": np.zeros(4, np.float32)})
    for window in state.windows():
        told += len(state.finalize(window, Proposals(np.array([], PROPOSAL), 0.0)))
    return told


def snapshot(data: bytes) -> None:
    """A snapshot is taken, and the stream then goes on; or it is refused, and nothing was changed."""
    path = room("snapshot", {"s.npz": data}) / "s.npz"
    state = new_state()
    before = _shown(state)
    try:
        snapshots.load(path, state)
    except TALError as e:
        assert isinstance(e, SnapshotError), repr(e)
        assert str(path) in str(e), f"message does not name the file: {e}"
        assert _shown(state) == before, "a refused snapshot has changed the stream"
        return
    try:
        go_on(state, _FRAMES)
    except TALError:
        return


def event(data: bytes) -> None:
    try:
        found = Event.from_json(data)
    except FeatureError:
        return
    assert Event.from_json(found.to_json()) == found


def finals(data: bytes) -> None:
    path = room("finals", {"e.jsonl": data}) / "e.jsonl"
    try:
        table, decided = read_finals(path)
    except TALError as e:
        assert str(path) in str(e), f"message does not name the file: {e}"
        return
    assert len(table.start) == len(decided)
    assert np.isfinite(np.stack([table.start, table.end, table.score, decided])).all()


def points(data: bytes) -> None:
    """The csv where the first byte is even, else the txt."""
    name = "p.csv" if data[:1] and data[0] % 2 == 0 else "p.txt"
    path = room("points", {name: data[1:]}) / name
    try:
        found = read_points(path, {"video_1": 25.0, "video_2": 30.0})
    except TALError as e:
        assert str(path) in str(e), f"message does not name the file: {e}"
        return
    assert all(np.isfinite(p.seconds) for ps in found.values() for p in ps)


def graph(data: bytes) -> None:
    """What is in an ONNX file; "not one" is the only refusal."""
    try:
        found = contents(data)
    except ValueError as e:
        assert str(e)
        return
    assert all(n >= 0 for n in found.numbers.values())


STATES = {f.__name__: f for f in (features, snapshot, event, finals, points, graph)}
