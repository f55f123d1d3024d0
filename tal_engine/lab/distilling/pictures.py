"""What the student sees of videos, kept as small pictures and coarse flow: an epoch decodes nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..._util.files import whole_file
from ...errors import DataError
from ...options import SnippetOptions
from ...records import Snippets
from ...video import cut, open_video
from ...video.flow import with_flow
from .options import DistillOptions, Reads
from .parts import EVERY, coarse, halved, luma_of
from .targets import Bar, VideoTargets

#: Videos that are cut at a time.
_WORKERS = 2

#: What is kept of a video by what is read: "frames" [T, n, side, side, 1 or 3] uint8, beside flow [T, n / 2, 1 or 3,
#: side / 2, side / 2]; "flow" [T, n, 2, side / 4, side / 4] float16, in pixels.
Kept = dict[Reads, NDArray[np.uint8] | NDArray[np.float16]]


def pictures_of(
    videos: Sequence[VideoTargets],
    reads: Collection[Reads],
    snippet: SnippetOptions,
    options: DistillOptions,
    folder: Path,
    bar: Bar,
) -> dict[str, Kept]:
    """Cut videos as the student does: what it reads of each, by name; T may be one less than the teacher's.

    Flow is computed as it is when a video is localized.

    Args:
        videos: what to cut.
        reads: what the student's parts read.
        snippet: of the student.
        options: which frames it reads, in which colours.
        folder: where pictures are kept; those that are there are taken.
        bar: gets the progress.
    """
    size = f"{options.frames}x{options.side}-{snippet.resize_of}"
    if snippet.resize != options.side or snippet.flow_of != "crop":  # pictures as the teacher has them
        size += f"-{snippet.resize}-{snippet.interpolation}-{snippet.flow_of}"
    names: dict[Reads, str] = {
        "frames": f"{options.colours}-{size}" if options.flow == "none" else f"half-{options.colours}-{size}",
        "flow": f"{options.flow}-{size}",
    }
    folders = {kind: folder / names[kind] for kind in reads}
    for kept in folders.values():
        kept.mkdir(parents=True, exist_ok=True)
    done: list[str] = []

    def one(video: VideoTargets) -> Kept:
        paths = {kind: kept / f"{video.name.replace('/', '-')}.npy" for kind, kept in folders.items()}
        if not all(path.exists() for path in paths.values()):
            found = _cut(video.path, snippet, options)
            for kind, path in paths.items():
                with whole_file(path) as temporary, temporary.open("wb") as file:
                    np.save(file, found[kind])
        done.append(video.name)
        bar("pictures", len(done), len(videos), "")
        # As small as they are they stay on disk, and the system keeps in memory what it has room for.
        return {kind: np.asarray(np.load(path, mmap_mode="r")) for kind, path in paths.items()}

    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="tal-distill") as pool:
        return dict(zip((v.name for v in videos), pool.map(one, videos), strict=True))


def _cut(path: Path, snippet: SnippetOptions, options: DistillOptions) -> Kept:
    with open_video(path) as video:
        parts = [_kept(s, options) for s in with_flow(cut(video, snippet), snippet)]
    if not parts:
        raise DataError(f"{path}: has no snippets")
    return {kind: np.concatenate([p[kind] for p in parts]) for kind in parts[0]}


def _kept(snippets: Snippets, options: DistillOptions) -> Kept:
    """Keep of a batch what the student's parts look at."""
    every = 1 if options.flow == "none" else EVERY
    frames = snippets.frames[:, ::every]
    seen = luma_of(frames) if options.colours == "luma" else frames.copy()
    if snippets.flow is None:
        return {"frames": seen}
    small = halved(torch.from_numpy(seen).float()).round().to(torch.uint8)
    return {"frames": small.numpy(), "flow": coarse(torch.from_numpy(snippets.flow)).numpy().astype(np.float16)}
