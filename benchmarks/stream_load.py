"""Parts of bench_stream: memory over a day, and how many streams a machine sustains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from long_video import long_video
from procedural import rendered

from tal_engine import TALEngine
from tal_engine.options import LiveOptions, timeline_of
from tal_engine.records import Snippets
from tal_engine.streaming.scheduler import StreamScheduler
from tal_engine.video.flow import with_flow

#: Streams are sustained if nothing is dropped and the end comes no later than this after the last frame was due.
BEHIND_S = 1.0
COUNTS = (1, 2, 4, 8, 12, 16, 20, 24, 32, 48, 64)
#: With a card and more cores.
MANY = (16, 32, 48, 64, 96, 128, 256)


def memory(hours: float, frame_hours: float) -> dict[str, Any]:
    """`tal certify --synthetic` in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "certificate"
        how = [
            "certify",
            "--synthetic",
            "--plan",
            "demo",
            "-o",
            str(out),
            "--hours",
            str(hours),
            "--frame-hours",
            str(frame_hours),
        ]
        code = "from tal_engine.cli.main import run; run()"
        done = subprocess.run([sys.executable, "-c", code, *how], stdout=subprocess.DEVNULL, check=False)
        runs = json.loads(out.with_suffix(".json").read_text())["runs"]
    rows = {}
    for run in runs:
        rss = run["curve"]["rss_mib"]
        rows[run["what"]] = {k: v for k, v in run.items() if k != "curve"} | {
            "rss_mib": {"first": rss[0], "last": rss[-1], "largest": max(rss)}
        }
    return {"exit_status": done.returncode, "runs": rows}


# -- how many streams ----------------------------------------------------------------------------


def streams(work: Path, seconds: float, most: int, device: str = "cpu") -> dict[str, Any]:
    """More and more files, paced as live, until a frame is dropped or the engine falls behind."""
    engine = TALEngine.load("demo", device, strict=True)
    names = sorted((rendered(work / "videos", ["test"]) / "videos").glob("test_*.mp4"))
    rows = []
    for count in COUNTS if device == "cpu" else MANY:
        if count > most:
            break
        clips = [_clip(work, names, i) for i in range(count)]
        rows.append(paced(engine, clips, seconds))
        print(rows[-1], file=sys.stderr, flush=True)
        if not rows[-1]["sustained"]:
            break
    kept = [r for r in rows if r["sustained"]]
    return {
        "size": "320x240", "fps": 25, "runs_on": engine.description, "cores": os.cpu_count(),
        "load_before": _LOAD, "rows": rows,
        "sustained": max((r["streams"] for r in kept), default=0), "cpu_of_a_stream": _slope(kept),
        "ms_a_snippet": _stages(engine),
    }  # fmt: skip


_LOAD = os.getloadavg()[0]


def _clip(work: Path, names: list[Path], number: int) -> Path:
    """A minute and more of test videos, another beginning for each stream."""
    folder = work / "stream_clips"
    folder.mkdir(parents=True, exist_ok=True)
    turned = list(islice(cycle(names), number, number + 3))
    return long_video(turned, folder / f"{number:02d}.mp4", 2)


def paced(engine: TALEngine, clips: list[Path], seconds: float) -> dict[str, Any]:
    """Streams that are read as fast as they were filmed, for so many seconds: what was lost and what it took."""
    live = LiveOptions(realtime=True, policy="drop_oldest")
    process, threads = psutil.Process(), dict[int, float]()
    before = sum(process.cpu_times()[:2])
    others = sum(psutil.cpu_times()[:3]) - before
    scheduler = StreamScheduler(engine, [f"s{i}={path}" for i, path in enumerate(clips)], None, live)
    began, stopped = time.monotonic(), threading.Timer(seconds, scheduler.stop)
    watching = threading.Timer(seconds - 1.0, lambda: threads.update(_thread_seconds(process)))
    readers = [t.native_id for t in threading.enumerate() if t.name.startswith("tal-live-")]
    stopped.start()
    watching.start()
    finals = sum(e.is_final for e in scheduler.run())
    wall = time.monotonic() - began
    watching.join()
    used = sum(process.cpu_times()[:2]) - before
    busy = sum(psutil.cpu_times()[:3]) - before - others - used
    coverage = [m.source.coverage for m in scheduler.streams]
    dropped = sum(c.frames["dropped"] for c in coverage)
    analysed = min(m.frames for m in scheduler.streams)
    waiting = max(seconds * 25 - m.frames for m in scheduler.streams) / 25
    return {
        "streams": len(clips),
        "wall_s": round(wall, 2),
        "frames": sum(m.frames for m in scheduler.streams),
        "fewest_frames": analysed,
        "frames_dropped": dropped,
        "behind_s": round(max(waiting, 0.0), 2),
        "finals": finals,
        "late": sum(m.state.finalizer.late_events for m in scheduler.streams),
        "cores_used": round(used / wall, 3),
        "cores_used_by_others": round(busy / wall, 3),
        "cores_of_reading": round(sum(threads.get(i or 0, 0.0) for i in readers) / (seconds - 1), 3),
        "engine_s": {k: round(v, 2) for k, v in scheduler.watch.seconds.items()},
        "sustained": not dropped and waiting <= BEHIND_S,
    }


def _thread_seconds(process: psutil.Process) -> dict[int, float]:
    return {t.id: t.user_time + t.system_time for t in process.threads()}


def _slope(rows: list[dict[str, Any]]) -> float | None:
    """Cores that one more stream takes."""
    if len(rows) < 2:
        return None
    return round(float(np.polyfit([r["streams"] for r in rows], [r["cores_used"] for r in rows], 1)[0]), 4)


def _stages(engine: TALEngine) -> dict[str, float]:
    """Flow and encoders for one snippet of noise that moves, and the head for a window, this thread's time."""
    options = engine.plan.manifest.snippet
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (options.crop + options.window, options.crop, 3), np.uint8)
    frames = np.stack([picture[i : i + options.crop] for i in range(options.window)])[None]
    snippets = Snippets(frames, None, 0, timeline_of(options), options.window / options.fps)
    stages = {"flow": lambda: next(iter(with_flow([snippets], options)))}
    stages |= {"flow and encoders": lambda: engine.encode_snippets(snippets)}  # type: ignore[dict-item]
    taken = {}
    for name, run in stages.items():
        run()
        times = []
        for _ in range(20):
            began = time.perf_counter()
            run()
            times.append(time.perf_counter() - began)
        taken[name] = round(1e3 * float(np.median(times)), 2)
    return taken
