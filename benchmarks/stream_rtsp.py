"""Part of bench_stream: a camera on loopback that fails several times a minute."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import psutil
from rtsp_server import Faults, RtspServer, number_of

from tal_engine import TALEngine
from tal_engine.live.live_source import open_live
from tal_engine.options import LiveOptions
from tal_engine.streaming.scheduler import StreamScheduler

FPS = 25.0
SIZES = ((64, 96), (120, 160))
#: Between two faults, seconds of the stream at most; at least a half of it.
EVERY_S = 25.0
#: Numbers that were never shown for so long must be in the coverage map.
GAP_S = 1.0
#: Frames from one key frame of the server to the next; a picture's clock is right within so many seconds.
KEY, NEAR_S = 25, 0.2
ALL = float("-inf")
ALL_THE_TIME = Faults(jitter=0.01, duplicate=0.02, backward=0.02, corrupt=0.002)


@dataclass
class Seen:
    """Which picture was shown when: number of the picture and seconds of the stream."""

    numbers: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __call__(self, picture: np.ndarray, seconds: float) -> None:
        self.numbers.append(number_of(picture))
        self.seconds.append(seconds)


def rtsp(minutes: float, speed: float) -> dict[str, Any]:
    """Stream-minutes of it, `speed` times as fast as they would pass."""
    engine = TALEngine.load("demo", "cpu")
    now = partial(_clock, speed)
    seen, done = Seen(), threading.Event()
    faults: list[tuple[float, str]] = []
    memory: list[int] = []  # bytes of this process, with the camera and all finals: after a fifth, and at the end
    began, process = time.monotonic(), psutil.Process()
    with RtspServer(FPS, SIZES[0], speed=speed) as camera:
        camera.faults = ALL_THE_TIME
        options = LiveOptions(source_timeout=8.0, reconnect_first=0.5, reconnect_longest=4.0)
        source = open_live(f"camera={camera.url}", options, now)
        scheduler = StreamScheduler(engine, [source], None, min_score=ALL, top_k=0)
        scheduler.streams[0].show = seen
        breaker = threading.Thread(target=_break, args=(camera, speed, done, faults), daemon=True)
        stop = threading.Timer(60 * minutes / speed, scheduler.stop)
        settled = threading.Timer(12 * minutes / speed, lambda: memory.append(process.memory_info().rss))
        for thread in (breaker, stop, settled):
            thread.start()
        finals = list(scheduler.run())
        served = camera.taken
        memory.append(process.memory_info().rss)
        done.set()
        breaker.join()
    member = scheduler.streams[0]
    account = _account(seen, served, member.source.coverage.to_dict())
    print(f"faults: {faults}\nnot in the map: {account.pop('not_in_the_map')}", file=sys.stderr)
    events = [e for e in finals if e.is_final and e.end is not None]
    waited = [e.decided_at - e.end for e in events if e.end is not None]
    return {
        "stream_minutes": minutes, "speed": speed, "wall_s": round(time.monotonic() - began, 1),
        "faults": dict(Counter(kind for _, kind in faults)), "all_the_time": asdict(ALL_THE_TIME),
        "error": None if member.error is None else str(member.error),
        "finals": len(waited), "declared_s": round(scheduler.declared_latency_s, 2),
        "longest_lateness_s": round(max(waited, default=0.0), 3),
        "later_than_declared": member.state.finalizer.late_events
        + sum(w > scheduler.declared_latency_s for w in waited),
        "rss_mib": [round(b / 2**20, 1) for b in memory],
        "longest_wait_for_a_frame_s": round(max((e.pts - e.decided_at for e in events), default=0.0), 3),
        **account,
    }  # fmt: skip


def _clock(speed: float) -> float:
    return speed * time.monotonic()


def _break(camera: RtspServer, speed: float, done: threading.Event, faults: list[tuple[float, str]]) -> None:
    """One fault after the other, drawn with a seed."""
    rng, size = random.Random(0), 0
    while not done.wait(rng.uniform(EVERY_S / 2, EVERY_S) / speed):
        kind = rng.choice(("restart", "stall", "hiccup", "clock leaps", "resolution"))
        faults.append((round(camera.taken / FPS, 2), kind))
        if kind == "restart":
            camera.stop()
            done.wait(rng.uniform(1, 6) / speed)
            camera.start()
        elif kind == "stall":
            camera.stall(rng.uniform(2, 7))
        elif kind == "hiccup":
            camera.hiccup(rng.uniform(1, 3))
        elif kind == "clock leaps":
            camera.jump(rng.choice((-3600, 3600, -5, 50_000)))
        else:
            size = 1 - size
            camera.resize(SIZES[size])


def _account(seen: Seen, served: int, coverage: dict[str, Any]) -> dict[str, Any]:
    """Time that was served, against time that was shown and time that the coverage map says was not.

    A corrupted picture tells a wrong number, and so do those after it up to the next key frame, a second later: what is
    far from the pictures of the seconds around it is left out.
    """
    numbers, seconds = np.array(seen.numbers, float), np.array(seen.seconds)
    offset = seconds - numbers / FPS
    usual = np.array([np.median(offset[max(i - 2 * KEY, 0) : i + 2 * KEY + 1]) for i in range(len(offset))])
    good = np.abs(offset - usual) < NEAR_S
    numbers, seconds, offset = numbers[good], seconds[good], usual[good]
    missed = coverage["intervals"]
    gaps = [i for i in range(len(numbers) - 1) if numbers[i + 1] - numbers[i] > GAP_S * FPS]
    told = [sum(_shared(m, seconds[i], seconds[i + 1]) for m in missed) / (seconds[i + 1] - seconds[i]) for i in gaps]
    shown_s, missed_s = len(seen.numbers) / FPS, sum(coverage["not_analysed"].values())
    served_s = served / FPS - numbers[0] / FPS
    return {
        "served_s": round(served_s, 2), "shown_s": round(shown_s, 2), "stream_s": round(coverage["seconds"], 2),
        "not_analysed_s": {k: round(v, 2) for k, v in coverage["not_analysed"].items()},
        "frames": coverage["frames"], "intervals": len(missed), "intervals_left_out": coverage["intervals_left_out"],
        "unaccounted_s": round(served_s - shown_s - missed_s, 2),
        "drift_s": round(float(np.median(offset[-50:]) - np.median(offset[:50])), 3),
        "largest_clock_error_s": round(float(np.abs(offset - np.median(offset[:50])).max()), 3),
        "unreadable_pictures": int((~good).sum()),
        "gaps_over_a_second": len(gaps), "gaps_in_the_coverage_map": int(sum(t > 0.8 for t in told)),
        "not_in_the_map": [
            {"served_s": (numbers[i : i + 2] / FPS).tolist(), "stream_s": seconds[i : i + 2].tolist()}
            for i, t in zip(gaps, told, strict=True) if t <= 0.8
        ],
    }  # fmt: skip


def _shared(interval: dict[str, Any], start: float, end: float) -> float:
    return float(max(min(interval["end"], end) - max(interval["start"], start), 0.0))
