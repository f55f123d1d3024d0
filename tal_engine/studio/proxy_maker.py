"""Make a copy of a video that every browser plays: H.264, 8 bits, all frames, each at its time, and its sound.

    python -m tal_engine.studio.proxy_maker VIDEO OUTPUT

runs in a process of its own, so that neither its work nor a decoder that crashes disturbs the page. It prints a line
for each percent that is done.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import PictureType
from av.video.stream import VideoStream

from .._util.files import whole_file
from ..errors import TALError
from ..video import open_video
from .proxy_sound import ProxySound

#: Longest side of a proxy, pixels.
LONGEST = 1280
_CLOCK = 90_000
#: Frames between two from which a browser can start: seeking decodes so many at most.
_GROUP = 24


def make_proxy(video: Path, output: Path, progress: Callable[[float], None] | None = None) -> int:
    """Write a proxy; the file is whole or not there.

    Args:
        video: that browsers cannot play.
        output: an .mp4.
        progress: called with the share that is done.

    Returns:
        How many frames it has.

    Raises:
        VideoError: the video cannot be read.
        OSError: the file cannot be written.
    """
    count = 0
    with whole_file(output) as temporary, open_video(video) as source, ProxySound(video) as sound:
        with av.open(str(temporary), "w", format="mp4", options={"movflags": "faststart"}) as out:
            stream = None
            for frame in source.frames:
                picture = frame.stored  # plain frames need no way over RGB
                if picture is None:
                    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.image()), "rgb24")
                if stream is None:
                    stream = _stream(out, picture.width, picture.height, source.fps)
                    sound.begin(out)
                shown = picture.reformat(stream.width, stream.height, "yuv420p")
                shown.pts, shown.time_base = round(frame.pts_seconds * _CLOCK), Fraction(1, _CLOCK)
                shown.pict_type = PictureType.NONE
                out.mux(stream.encode(shown))
                sound.up_to(frame.pts_seconds)
                count += 1
                if source.duration and progress is not None:
                    progress(min(frame.pts_seconds / source.duration, 1.0))
            if stream is not None:
                out.mux(stream.encode(None))
                sound.up_to(math.inf)
        if not count:
            raise ValueError(f"{video}: has no frames")
    return count


def _stream(out: OutputContainer, width: int, height: int, fps: float) -> VideoStream:
    """Begin the stream: no frame refers to a later one, so that browsers show exactly what they are asked for."""
    share = min(1.0, LONGEST / max(width, height))
    stream = out.add_stream("libx264", rate=max(1, round(fps)))
    stream.width, stream.height = (max(2, round(x * share / 2) * 2) for x in (width, height))
    stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, _CLOCK)
    stream.codec_context.time_base = Fraction(1, _CLOCK)
    stream.options = {"preset": "veryfast", "crf": "23", "bf": "0", "g": str(_GROUP)}
    return stream


def main(arguments: list[str]) -> int:
    """Run the module; the exit status."""
    last = -1

    def tell(share: float) -> None:
        nonlocal last
        if int(100 * share) != last:
            last = int(100 * share)
            print(last, flush=True)

    try:
        make_proxy(Path(arguments[0]), Path(arguments[1]), tell)
    except (TALError, OSError, ValueError) as e:
        print(e, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
