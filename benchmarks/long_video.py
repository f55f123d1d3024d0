"""Videos of any length, made of short ones by copying packets."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av


def long_video(sources: Sequence[Path], path: Path, minutes: int) -> Path:
    """Sources of one format, in turn until the length is reached; a file that is there is kept."""
    if path.exists():
        return path
    with av.open(str(path), "w") as out:
        stream, offset, i = None, Fraction(0), 0
        while offset < minutes * 60:
            with av.open(str(sources[i % len(sources)])) as source:
                track = source.streams.video[0]
                stream = stream or out.add_stream_from_template(track)
                shift = int(offset / track.time_base)
                for packet in source.demux(track):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    out.mux(packet)
                offset += track.duration * track.time_base
            i += 1
    return path
