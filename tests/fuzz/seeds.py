"""Writes the seeds of targets whose inputs no editor can make: python -m tests.fuzz.seeds.

They are what the engine itself writes, as small as it can be, and the corpora of a target that grew are kept.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from tal_engine.events import Event
from tal_engine.features import save_features
from tal_engine.records import Features
from tal_engine.streaming import snapshot
from tal_engine.timeline import Timeline
from tests.fuzz.parsers import npy_files
from tests.fuzz.states import go_on, new_state
from tests.makers import head_graph

CORPUS = Path(__file__).parent / "corpus"


def _event(**changes: Any) -> Event:
    fields = {
        "kind": "final", "id": "a", "source": "cam", "label": "jump", "label_id": 0, "score": 0.5, "start": 1.0,
        "end": 2.5, "decided_at": 4.0, "pts": 4.0, "wall_time": None,
        "plan": f"sha256:{'0' * 64}", "truncated": False, "start_clipped": False,
    }  # fmt: skip
    return Event(**{**fields, **changes})


def _features(folder: Path) -> None:
    contract = {"snippet": {"window": 8, "stride": 8}, "encoders": {"rgb": {"name": "test-rgb", "dim": 4}}}
    for name, rows, streams in (("seed-one", 3, ("rgb",)), ("seed-two", 2, ("rgb", "flow"))):
        arrays = {s: np.arange(rows * 2, dtype=np.float32).reshape(rows, 2) for s in streams}
        save_features(folder / name, Features(arrays, Timeline(0.0, 0.32, 0.32), rows * 0.32, contract))


def _picture() -> Any:
    return np.zeros((2, 2, 3), np.uint8)


def _snapshots(folder: Path) -> None:
    """A stream that has just begun, one with rows and half a snippet, and one after a cut."""
    for name, frames in (("seed-new", 0), ("seed-begun", 9)):
        state = new_state()
        for k in range(frames):
            for _ in state.push(_picture, k / 25):
                state.add({"rgb": np.ones(4, np.float32)})
        list(state.windows())
        snapshot.save(folder / name, state)
    state = new_state()
    go_on(state, 20)
    snapshot.save(folder / "seed-cut", state)


def _npy(folder: Path) -> None:
    """Each column of the npy layout, behind the byte that picks it."""
    for k, name in enumerate(("videoname", "subset", "segments", "labels", "duration", "classlist", "url")):
        (folder / f"seed-{name}").write_bytes(bytes([k]) + npy_files()[f"{name}.npy"])


def main() -> None:
    for name in ("features", "snapshot", "event", "finals", "points", "graph", "npy"):
        (CORPUS / name).mkdir(exist_ok=True)
    _features(CORPUS / "features")
    _snapshots(CORPUS / "snapshot")
    _npy(CORPUS / "npy")
    opened = _event(kind="started", end=None, wall_time="2026-01-31T12:00:00Z")
    (CORPUS / "event" / "seed-final").write_text(_event().to_json())
    (CORPUS / "event" / "seed-open").write_text(opened.to_json())
    lines = [opened, _event(), _event(id="b", start=3.0, end=5.0), _event()]
    (CORPUS / "finals" / "seed-four").write_text("".join(f"{e.to_json()}\n" for e in lines))
    (CORPUS / "finals" / "seed-bad").write_text(json.dumps({"schema": "tal.event/2"}))
    (CORPUS / "points" / "seed-csv").write_bytes(b"\x00class,video_id,point\njump,video_1,50\nrun,video_2,10\n")
    (CORPUS / "points" / "seed-txt").write_bytes(b"\x01video_1 1.5 jump\nvideo_2 3.25 run\n")
    (CORPUS / "graph" / "seed-head").write_bytes(head_graph())
    (CORPUS / "graph" / "seed-cut").write_bytes(io.BytesIO(head_graph()).read(60))


if __name__ == "__main__":
    main()
