"""Writes one file of each kind that users keep, as this version writes them, beside what this version makes of them.

    python -m tests.golden.make FOLDER

The files of 0.1 in this folder were written before the package got its rooms of today; later versions must read them
(test_golden_files.py). They are never written anew: a version that changes a format adds a folder of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from tal_engine import TALEngine
from tal_engine.export import bundle
from tal_engine.features import save_features
from tal_engine.lab.training import checkpoint
from tal_engine.options import StreamOptions
from tests.learning import WIDTH, run_fit
from tests.makers import moving_square, tiny_plan

FPS, COUNT = 25.0, 150
#: Windows short enough for events before the cut.
STREAM = StreamOptions(window=2, look_ahead=0.5)
#: The frame before which the stream is interrupted.
CUT = 110


def frames():
    """Six seconds of a moving square, [N, 48, 64, 3]."""
    return np.stack(list(moving_square(COUNT, 48, 64)))


def pushed(stream, images, first):
    """Events of frames that are pushed one by one."""
    return [e for i, f in enumerate(images) for e in stream.push(f, (first + i) / FPS)]


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tiny_plan(folder / "tiny.plan")
    engine = TALEngine.load(folder / "tiny.plan", device="cpu", threads=1)
    images = frames()
    result = engine.localize(images, fps=FPS)
    (folder / "segments.json").write_text(json.dumps(result.to_activitynet(), indent=1) + "\n")
    result.to_csv(folder / "segments.csv")
    result.to_jsonl(folder / "segments.jsonl")
    save_features(folder / "features.npz", engine.features(images, fps=FPS))
    stream = engine.open_stream("golden", STREAM)
    events = pushed(stream, images[:CUT], 0)
    stream.snapshot(folder / "snapshot.npz")
    _lines(folder / "events_before.jsonl", events)
    _lines(folder / "events_after.jsonl", [*pushed(stream, images[CUT:], CUT), *stream.flush(COUNT / FPS)])
    _checkpoint(folder)


def _lines(path, events):
    path.write_text("".join(f"{e.to_json()}\n" for e in events))


def drawn():
    """Features of a video of 60 snippets that the checkpoint's head reads."""
    rng = np.random.default_rng(7)
    return {name: rng.normal(size=(60, WIDTH)).astype(np.float32) for name in ("rgb", "flow")}


def _checkpoint(folder):
    """A head after a few steps of training, the plan it is frozen into, and what that finds in drawn features."""
    run_fit(folder / "checkpoint", None, method="cola")
    plan = bundle.make_plan(checkpoint.load(folder / "checkpoint"), None, name="golden")
    bundle.write_plan(folder / "cola.plan", plan)
    found = TALEngine.load(folder / "cola.plan", device="cpu", threads=1).localize(drawn())
    (folder / "cola.json").write_text(json.dumps(found.to_activitynet(), indent=1) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
