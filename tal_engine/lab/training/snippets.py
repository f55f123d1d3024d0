"""Snippets of trimmed clips on disk: what the tiny encoders are pre-trained on."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ...demo.demo_set import script_of
from ...demo.render import HEIGHT, WIDTH, image_points
from ...demo.skeleton import JOINTS
from ...errors import FeatureError
from ...options import SnippetOptions
from ...video import cut, open_video
from ...video.flow import with_flow
from ..nn.tiny import TinyFlow

#: The snippet geometry that the tiny encoders read.
SNIPPET = SnippetOptions()

#: Moments of a snippet that an encoder looks at.
MOMENTS = 4

#: Flow is kept as int8 while training: clipped to +-20 pixels, 1/6 pixel steps.
FLOW_STEP = 6.0


@dataclass(frozen=True)
class SnippetSet:
    """Snippets of trimmed clips, prepared for the encoders, on disk.

    frames [N, 4, 112, 112, 3] uint8; flow [N, 4, 8, 56, 56] int8 in 1/6 pixels; pose
    [N, 16, joints * 2] float32, where the figure's joints are, -1..1 across the picture; labels
    [N], the program; clips [N], which clip a snippet is from.
    """

    frames: NDArray[np.uint8]
    flow: NDArray[np.int8]
    pose: NDArray[np.float32]
    labels: NDArray[np.int64]
    clips: NDArray[np.int64]


def cut_clips(folder: Path, cache: Path, workers: int = 1) -> int:
    """Decode all clips of a folder, through the path that every video takes, to files of a `SnippetSet`.

    Returns:
        Number of snippets.
    """
    document = json.loads((folder / "annotations.json").read_text())
    clips = {k: v for k, v in document["database"].items() if v["subset"] == "clips"}
    if not clips:
        raise FeatureError(f"{folder}: has no clips; render some with: tal demo render --split clips")
    classes = sorted({v["annotations"][0]["label"] for v in clips.values()})
    counts = [round(v["duration"] * SNIPPET.fps) // SNIPPET.window for v in clips.values()]
    total = sum(counts)
    cache.mkdir(parents=True, exist_ok=True)
    np.lib.format.open_memmap(cache / "frames.npy", "w+", np.uint8, (total, MOMENTS, 112, 112, 3))
    np.lib.format.open_memmap(cache / "flow.npy", "w+", np.int8, (total, MOMENTS, 8, 56, 56))
    firsts = np.cumsum([0, *counts[:-1]])
    jobs = [
        (folder / "videos" / f"{name}.mp4", cache, int(first), count)
        for name, first, count in zip(clips, firsts, counts, strict=True)
    ]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for _ in pool.map(_cut_clip, jobs, chunksize=64):
            pass
    pose = np.zeros((total, SNIPPET.window, 2 * len(JOINTS)), np.float32)
    for (name, entry), first, count in zip(clips.items(), firsts, counts, strict=True):
        pose[first : first + count] = clip_pose(entry["seed"], int(name.rpartition("_")[2]), count)
    number = {name: i for i, name in enumerate(classes)}
    labels = np.repeat([number[v["annotations"][0]["label"]] for v in clips.values()], counts)
    for column, values in (("pose", pose), ("labels", labels), ("clips", np.repeat(np.arange(len(clips)), counts))):
        np.save(cache / f"{column}.npy", values)
    return total


def snippet_set(cache: Path) -> SnippetSet:
    """Open what `cut_clips` wrote; the large arrays stay on disk."""
    return SnippetSet(**{f.name: np.load(cache / f"{f.name}.npy", mmap_mode="r") for f in fields(SnippetSet)})


def _cut_clip(job: tuple[Path, Path, int, int]) -> None:
    """Write the snippets of one clip to their rows of the cache."""
    path, cache, first, count = job
    frames, flow = (np.load(cache / f"{name}.npy", mmap_mode="r+") for name in ("frames", "flow"))
    with open_video(path) as video:
        (batch,) = with_flow(cut(video, SNIPPET, batch=count + 1), SNIPPET)
    if batch.flow is None:
        raise FeatureError(f"{path}: no flow")
    frames[first : first + count] = batch.frames[:count, 1::4]
    prepared = TinyFlow.prepare(torch.from_numpy(batch.flow[:count])) * 4.0
    flow[first : first + count] = np.clip(np.rint(prepared.numpy() * FLOW_STEP), -127, 127)


def clip_pose(seed: int, index: int, count: int) -> NDArray[np.float64]:
    """Return the joints in the snippets of a clip, [count, 16, joints * 2], -1..1 across the image."""
    points = image_points(script_of("clips", seed, index))
    unit = (points - (WIDTH / 2, HEIGHT / 2)) / (min(HEIGHT, WIDTH) / 2)
    return np.asarray(unit[: count * SNIPPET.window].reshape(count, SNIPPET.window, -1))
