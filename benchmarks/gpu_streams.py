"""Parts "end_to_end" and "streams" of gpu_day: videos to segments, and how many live streams one card holds.

Real clips where shared/data has them, else videos that the demonstration renders: 320 x 240 at 25 frames a second.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from common import SHARED
from gpu_common import Day
from long_video import long_video
from stream_load import paced

from tal_engine import TALEngine
from tal_engine.demo.demo_set import render_split

#: Clips that are rendered, and streams that are tried.
RENDERED, RENDERED_SMALL = 8, 2
COUNTS, SMALL_COUNTS = (16, 64, 128, 32, 96, 192, 256), (1,)
#: Seconds that streams are watched for.
WATCHED_S, WATCHED_SMALL_S = 12.0, 3.0
#: From this share of what there is on, a resource counts as used up.
FULL = 0.9


def clips(day: Day) -> list[Path]:
    """The rendered clips, in the folder of the day: whole videos of a minute or two, seconds in a rehearsal."""
    folder, count, split = day.path.parents[1] / "videos", day.pick(RENDERED, RENDERED_SMALL), day.pick("test", "clips")
    found = sorted((folder / "videos").glob("*.mp4"))
    if len(found) < count:
        render_split(folder, split, count, 1, workers=day.pick(min(count, os.cpu_count() or 1), 1))
    return sorted((folder / "videos").glob("*.mp4"))


def end_to_end(day: Day) -> None:
    sources = {"real clips": sorted((SHARED / "videos").glob("*.mp4")), "rendered clips": clips(day)}
    for name, videos in sources.items():
        if not videos:
            day.skip(name, f"no videos in {SHARED / 'videos'}")
        for device in dict.fromkeys((day.device, "cpu")):
            if videos:
                few = videos if not day.rehearse else sorted(videos, key=lambda v: v.stat().st_size)[:1]
                day.row(f"{name} on {device}", lambda v=few, d=device: _localized(v, d, day), least=4.0)


def _localized(videos: Sequence[Path], device: str, day: Day) -> dict[str, Any]:
    """Seconds of each stage over all clips, one clip after the other and several beside each other."""
    engine = TALEngine.load("demo", device, strict=True)
    engine.load_encoders()
    engine.localize(videos[0])
    stages: dict[str, float] = {}
    began, seconds = time.perf_counter(), 0.0
    for video in videos:
        info = engine.localize(video).info
        seconds += info.duration
        for stage, s in info.seconds.items():
            stages[stage] = stages.get(stage, 0.0) + s
    alone = time.perf_counter() - began
    workers = min(len(videos), os.cpu_count() or 1)
    began = time.perf_counter()
    for _, found in engine.localize_batch(videos, workers=workers, on_error="return"):
        if isinstance(found, Exception):
            raise found
    together = time.perf_counter() - began
    return {
        "videos": len(videos), "seconds_of_video": round(seconds, 1), "times_real_time": round(seconds / alone, 1),
        "times_real_time_together": round(seconds / together, 1), "workers": workers,
        "stages_s": {k: round(v, 3) for k, v in stages.items()}, "runs_on": engine.runs_on,
    }  # fmt: skip


def live(day: Day) -> None:
    """More and fewer streams, widest steps first, so that a cut still brackets the answer."""
    engine = TALEngine.load("demo", day.device, strict=True)
    engine.load_encoders()
    made, kept, lost = clips(day), 0, 10**9
    seconds = day.pick(WATCHED_S, WATCHED_SMALL_S)
    for count in day.pick(COUNTS, SMALL_COUNTS):
        if kept < count < lost:
            row = day.row(
                f"{count} streams", lambda n=count: _watched(day, engine, made, n, seconds), least=seconds + 5
            )
            if row:
                kept, lost = (max(kept, count), lost) if row["sustained"] else (kept, min(lost, count))
    if kept:
        name = f"{kept} streams, features kept on the card"
        day.row(name, lambda: _watched(day, _on_card(day), made, kept, seconds), least=seconds + 5)
    day.keep("sustained", kept)
    day.keep("fewest that were not", lost if lost < 10**9 else None)


def _on_card(day: Day) -> TALEngine:
    engine = TALEngine.load("demo", day.device, strict=True, on_card=True)
    engine.load_encoders()
    return engine


def _watched(day: Day, engine: TALEngine, made: Sequence[Path], count: int, seconds: float) -> dict[str, Any]:
    folder = day.path.parents[1] / "stream_clips"
    folder.mkdir(exist_ok=True)
    minutes = 1 if day.rehearse else 2
    files = [long_video(list(islice(cycle(made), i, i + 3)), folder / f"{i:03d}.mp4", minutes) for i in range(count)]
    with Gauge() as gauge:
        row = paced(engine, files, seconds)
    row |= {"cores": os.cpu_count(), "card_busy": gauge.busy, "runs_on": engine.description}
    return row | {"limited_by": limit(row)}


def limit(row: dict[str, Any]) -> str:
    """What has no reserve left: the card, the cores, or the one thread that computes; else that nothing has run out."""
    engine_s = row["engine_s"]
    if (row["card_busy"] or 0) >= FULL:
        return "the card"
    if row["cores_used"] + row["cores_used_by_others"] >= FULL * row["cores"]:
        return "the processor's cores"
    if engine_s and sum(engine_s.values()) >= FULL * row["wall_s"]:
        return f"the engine's thread, most of it {max(engine_s, key=lambda k: engine_s[k])}"
    return "nothing: all have a reserve" if row["sustained"] else "not known: nothing was used up"


class Gauge:
    """Mean share of the time that the card was busy, by nvidia-smi; None where there is none."""

    busy: float | None = None

    def __enter__(self) -> Gauge:
        self._done, self._seen = threading.Event(), list[float]()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        command = shutil.which("nvidia-smi")
        asked = [command or "", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while command and not self._done.wait(1.0):
            done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False)
            first = done.stdout.strip().splitlines()[:1]
            self._seen += [float(x) / 100 for x in first if x.strip().isdigit()]

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        if self._seen:
            self.busy = round(sum(self._seen) / len(self._seen), 3)
