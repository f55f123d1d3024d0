"""When each frame of a video is shown, from its packets alone: nothing is decoded, so hours take seconds."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from .._util.files import whole_file
from .._util.opening import open_local, why
from ..errors import VideoError, VideoFault
from ..video.decode import first_video_stream, is_discontinuous
from ..video.file_clock import FileClock


def frame_times(path: Path) -> NDArray[np.float64]:
    """Return the seconds at which frames are shown, as decoding gives them, increasing, [frames].

    Raises:
        VideoError: the file cannot be read, or has no frames.
    """
    with open_local(path) as container:
        video, stream = first_video_stream(str(path), container)
        base = float(stream.time_base or 0)
        try:
            stamps = [p.pts if p.pts is not None else p.dts for p in container.demux(stream) if p.size]
        except (av.error.FFmpegError, ValueError) as e:
            raise VideoError(VideoFault.UNREADABLE, f"{path}: cannot be read ({why(e)})") from e
        start = container.start_time / av.time_base if container.start_time is not None else None
        known = sorted(s * base for s in stamps if s is not None)
        if is_discontinuous(container):  # stamps may begin again: their order in the file counts
            known = [s * base for s in stamps if s is not None]
        if not known:
            raise VideoError(VideoFault.UNREADABLE, f"{path}: has no frames")
        first = known[0] if start is None else start
        clock: FileClock[None] = FileClock(video.frame_seconds, 0.0, is_discontinuous(container), video.duration)
        return np.array([t for t, _ in clock.timed((s - first, None) for s in known)], np.float64)


def kept_times(path: Path, kept: Path) -> NDArray[np.float64]:
    """Return `frame_times`, from a file where it was kept before.

    Args:
        path: of the video.
        kept: of the file; written if it is not there.
    """
    if kept.exists():
        try:
            found: NDArray[np.float64] = np.load(kept, allow_pickle=False)
            return found
        except (ValueError, OSError, EOFError):
            kept.unlink(missing_ok=True)
    times = frame_times(path)
    with whole_file(kept) as temporary, temporary.open("wb") as file:
        np.save(file, times)
    return times
