"""Features of your own network: make them, fit a plan on them, localize: own_encoder.py videos/ labels.csv mine.plan.

`encode` stands for your network: here it is colours and their change. The plan then reads such features (.npz), not
videos; the record in them keeps features of another network out.
"""

import sys
from pathlib import Path

import numpy as np

from tal_engine import Features, TALEngine, TALError, Timeline, open_video, save_features
from tal_engine.lab import fit

#: Seconds of a snippet; each is encoded by itself.
STEP = 0.5


def encode(frames):
    """Frames [N, H, W, 3] uint8 of one snippet to a feature [D] float32."""
    small = frames[:, ::8, ::8].astype(np.float32) / 255
    change = np.abs(np.diff(small, axis=0)) if len(small) > 1 else np.zeros_like(small)
    parts = [small.mean((0, 1, 2)), small.std((0, 1, 2)), change.mean((0, 1, 2)), change.max((0, 1, 2))]
    return 4 * np.concatenate(parts)


def features_of(video):
    """All snippets of a video."""
    rows, frames = [], []
    with open_video(video) as source:
        for frame in source.frames:
            while frame.pts_seconds >= (len(rows) + 1) * STEP:
                rows.append(encode(np.stack(frames)))
                frames = frames[-1:]  # it is on screen until the next one
            frames.append(frame.image())
        rows.append(encode(np.stack(frames)))
        duration = frame.pts_seconds + source.frame_seconds
    timeline = Timeline(start=0.0, step=STEP, width=STEP)
    return Features({"rgb": np.stack(rows)}, timeline, duration, {"encoder": "colours, version 1"})


def main(videos, labels, output="mine.plan", folder="features", **options):
    for video in sorted(Path(videos).iterdir()):
        save_features(Path(folder) / f"{video.stem}.npz", features_of(video))
    report = fit(folder, labels=labels, output=output, encoders="none", **options)
    print(report.table)
    with TALEngine.load(report.output) as engine:
        first = sorted(Path(folder).glob("*.npz"))[0]
        print(first, *engine.localize(first), sep="\n")
    return report


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (TALError, OSError) as e:  # the message names the file or the value, and what is allowed
        sys.exit(str(e))
