"""What the student sees of videos, kept as small pictures: an epoch decodes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..._util.files import whole_file
from ...errors import DataError
from ...options import SnippetOptions
from ...video import cut, open_video
from .options import DistillOptions
from .student import luma_of
from .targets import Bar, VideoTargets

#: Videos that are cut at a time.
_WORKERS = 2


def pictures_of(
    videos: Sequence[VideoTargets], snippet: SnippetOptions, options: DistillOptions, folder: Path, bar: Bar
) -> dict[str, NDArray[np.uint8]]:
    """Cut videos as the student does, [T, n, side, side, 1 or 3] by name; T may be one less than the teacher's.

    Args:
        videos: what to cut.
        snippet: of the student.
        options: its colours.
        folder: where pictures are kept; those that are there are taken.
        bar: gets the progress.
    """
    kept = folder / f"{options.colours}-{options.frames}x{options.side}"
    kept.mkdir(parents=True, exist_ok=True)
    done: list[str] = []

    def one(video: VideoTargets) -> NDArray[np.uint8]:
        path = kept / f"{video.name.replace('/', '-')}.npy"
        if not path.exists():
            found = _cut(video.path, snippet, options)
            with whole_file(path) as temporary, temporary.open("wb") as file:
                np.save(file, found)
        done.append(video.name)
        bar("pictures", len(done), len(videos), "")
        # As small as they are they stay on disk, and the system keeps in memory what it has room for.
        return np.asarray(np.load(path, mmap_mode="r"))

    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="tal-distill") as pool:
        return dict(zip((v.name for v in videos), pool.map(one, videos), strict=True))


def _cut(path: Path, snippet: SnippetOptions, options: DistillOptions) -> NDArray[np.uint8]:
    with open_video(path) as video:
        parts = [luma_of(s.frames) if options.colours == "luma" else s.frames.copy() for s in cut(video, snippet)]
    if not parts:
        raise DataError(f"{path}: has no snippets")
    return np.concatenate(parts)
