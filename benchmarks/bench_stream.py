"""Streams: is the promise kept, what does waiting buy, and how many streams does a machine sustain.

    python benchmarks/bench_stream.py [--part lateness memory ...] [--work DIR]

lateness  finals against the declared latency, whole path: 44 held-out procedural videos, and real motion rendered from
          six views. No final may be later, ever.
memory    `tal certify --synthetic`: slope of memory over 24 stream-hours of features and two of frames.
chunks    a clip in 100 random chunkings, encoded chunk by chunk, against frame by frame.
curve     mAP and AEDT by window and latency on the procedural videos, from their features, beside the file's mAP.
rtsp      a camera on loopback with restarts, stalls, jitter, double and backward time stamps, changes of size and
          corrupted packets; its pictures tell when they were taken.
card      streams, with encoders and head on an NVIDIA card; is left out unless it is named.
streams   files of 320x240 at 25 fps, paced as live: how many until frames are dropped. For a quiet machine.

Each part says how long it took; the options make it smaller, and are stored with the command. Exits 1 if a promise is
broken. What it makes is kept in --work, which first_light.py shares.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import stream_load
import stream_quality
import stream_rtsp
from common import store
from stream_section import broken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=[p for p in PARTS if p != "card"])
    parser.add_argument("--work", type=Path, default=Path("/tmp/fl"), help="Folder of videos; made if missing.")
    parser.add_argument("--videos", type=int, default=0, help="lateness, curve: so many videos of each set; 0 = all.")
    parser.add_argument("--hours", type=float, default=24.0, help="memory: stream-hours of features.")
    parser.add_argument("--frame-hours", type=float, default=2.0, help="memory: stream-hours of frames.")
    parser.add_argument("--chunkings", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=65.0, help="streams: each number of streams runs so long.")
    parser.add_argument("--most", type=int, default=32, help="streams: no more than so many.")
    parser.add_argument("--minutes", type=float, default=20.0, help="rtsp: minutes of the stream.")
    parser.add_argument("--speed", type=float, default=4.0, help="rtsp: so many times faster than real time.")
    parser.add_argument("--dry", action="store_true", help="Print the figures and store nothing.")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    for part in args.part:
        began, load = time.perf_counter(), os.getloadavg()[0]
        figures = {**PARTS[part](args), "load_before": round(load, 2)}
        figures["part_s"] = round(time.perf_counter() - began, 1)
        print(json.dumps({part: figures}), flush=True)
        print(f"{part}: {figures['part_s']} s, load was {load:.1f}", file=sys.stderr, flush=True)
        failed += [f"{part}: {words}" for words in broken(part, figures)]
        if not args.dry:
            store("bench_stream", figures, part)
    if failed:
        sys.exit("\n".join(failed))


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "lateness": lambda a: {"sets": stream_quality.late(a.work, a.videos)},
    "memory": lambda a: stream_load.memory(a.hours, a.frame_hours),
    "chunks": lambda a: stream_quality.chunks(a.work, a.chunkings),
    "curve": lambda a: stream_quality.curve(a.work, a.videos),
    "rtsp": lambda a: stream_rtsp.rtsp(a.minutes, a.speed),
    "streams": lambda a: stream_load.streams(a.work, a.seconds, a.most),
    "card": lambda a: stream_load.streams(a.work, a.seconds, a.most, "cuda"),
}


if __name__ == "__main__":
    main()
