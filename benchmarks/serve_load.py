"""What bench_serve.py measures: a service as a process of its own, and clients that ask it."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np

from tal_engine import Features, TALEngine, Timeline, save_features
from tal_engine.client import AsyncClient, Client
from tal_engine.errors import ServiceError

#: Size, rate and seconds of the clip of `overhead`.
_WIDTH, _HEIGHT, _FPS, _SECONDS = 320, 240, 25, 10


def clip_of(folder: Path) -> Path:
    """A video of 10 s: noise that moves, so that decoding and flow have work."""
    path = folder / "clip.mp4"
    if path.exists():
        return path
    noise = np.random.default_rng(0).integers(0, 255, (_HEIGHT // 8, _WIDTH // 8, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=_FPS)
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        for i in range(_FPS * _SECONDS):
            image = np.roll(np.kron(noise, np.ones((8, 8, 1), np.uint8)), 3 * i, axis=1)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


class Process:
    """`tal serve` as a child process."""

    def __init__(self, state: Path, *words: object) -> None:
        words = (sys.executable, "-m", "tal_engine", "serve", "--plan", "demo", "--state", state, "--port", 0, *words)
        self.child = subprocess.Popen([str(word) for word in words], stderr=subprocess.PIPE, text=True)
        assert self.child.stderr is not None
        line = self.child.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if not found:
            raise SystemExit(f"the service did not start: {line}{self.child.stderr.read()}")
        self.base = f"http://127.0.0.1:{found[1]}"
        threading.Thread(target=self.child.stderr.read, daemon=True).start()
        with Client(self.base) as client:
            while not client.ready():
                time.sleep(0.05)

    def memory_mib(self) -> float:
        """Resident memory of the process."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024

    def files(self) -> int:
        """Open files of the process."""
        return len(list(Path(f"/proc/{self.child.pid}/fd").iterdir()))

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()

    def stop(self) -> int:
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait()


@contextmanager
def served(state: Path, *words: object) -> Iterator[Process]:
    one = Process(state, *words)
    try:
        yield one
    finally:
        if one.child.poll() is None:
            one.stop()


def overhead(work: Path, rounds: int) -> dict[str, Any]:
    """The whole request of a 10 s clip against the call of the engine, in turns; the engine is in this process."""
    clip = clip_of(work)
    engine = TALEngine.load("demo", "cpu")
    engine.load_encoders()
    with tempfile.TemporaryDirectory() as state, served(Path(state)) as one, Client(one.base) as client:
        same = client.localize(clip).segments == engine.localize(clip).segments
        direct, request, outside = list[float](), list[float](), list[float]()
        for i in range(rounds):
            for taken, who in ((direct, engine), (request, client))[:: 1 if i % 2 else -1]:
                began = time.perf_counter()
                found = who.localize(clip)
                taken.append(time.perf_counter() - began)
                if who is client:
                    outside.append(taken[-1] - found.info.seconds["total"])
    ratios = sorted(r / d for d, r in zip(direct, request, strict=True))
    return {
        "what": f"{_WIDTH}x{_HEIGHT}, {_FPS} fps, {_SECONDS} s, {clip.stat().st_size} bytes, the plan `demo`",
        "rounds": rounds, "same_segments": same,
        "engine_s": statistics.median(direct), "request_s": statistics.median(request),
        "overhead_percent": 100 * (statistics.median(request) / statistics.median(direct) - 1),
        "outside_the_engine": {
            "median_s": statistics.median(outside),
            "percent": 100 * statistics.median(outside) / statistics.median(direct),
        },
        "overhead_of_rounds_percent": {
            "median": 100 * (statistics.median(ratios) - 1), "p10": 100 * (ratios[len(ratios) // 10] - 1),
            "p90": 100 * (ratios[-1 - len(ratios) // 10] - 1),
        },
    }  # fmt: skip


def load(work: Path, clients: int, seconds: float) -> dict[str, Any]:
    """Requests a second and how long they take, with clients that ask again at once; video and features."""
    clip = clip_of(work)
    features = work / "clip.npz"
    with TALEngine.load("demo", "cpu") as engine:
        save_features(features, engine.features(clip))
    kinds = {"video": clip.read_bytes(), "features": features.read_bytes()}
    rows = {}
    with tempfile.TemporaryDirectory() as state, served(Path(state), "--threads", 1) as one:
        for kind, body in kinds.items():
            began = time.perf_counter()
            taken, refused = asyncio.run(_ask(one.base, body, clients, seconds))
            elapsed = time.perf_counter() - began  # up to the end of what was asked for last
            taken.sort()
            rows[kind] = {
                "clients": clients, "seconds": elapsed, "requests": len(taken), "refused": refused,
                "requests_a_second": len(taken) / elapsed, "p50_s": taken[len(taken) // 2],
                "p99_s": taken[min(int(len(taken) * 0.99), len(taken) - 1)], "memory_mib": one.memory_mib(),
            }  # fmt: skip
    return rows


async def _ask(base: str, body: bytes, clients: int, seconds: float) -> tuple[list[float], int]:
    taken, refused = list[float](), 0
    end = time.perf_counter() + seconds

    async def one() -> None:
        nonlocal refused
        async with AsyncClient(base) as client:
            while (began := time.perf_counter()) < end:
                try:
                    await client.localize(body)
                    taken.append(time.perf_counter() - began)
                except ServiceError as e:
                    refused += 1
                    await asyncio.sleep(e.retry_after or 0.1)

    await asyncio.gather(*(one() for _ in range(clients)))
    return taken, refused


def jobs(work: Path, video_hours: float, seconds: float) -> dict[str, Any]:
    """Jobs of synthetic features, each of so many minutes of video, for a time: is memory flat?"""
    with TALEngine.load("demo", "cpu") as engine:
        streams = engine.plan.manifest.streams
        step = engine.plan.manifest.snippet.stride / engine.plan.manifest.snippet.fps
    rng = np.random.default_rng(0)
    minutes = 10.0
    rows = int(minutes * 60 / step)
    files = []
    for i in range(8):
        arrays = {n: rng.normal(0, 1, (rows, d)).astype(np.float32) for n, d in streams.items()}
        path = work / f"synthetic{i}.npz"
        save_features(path, Features(arrays, Timeline(0.0, step, step), rows * step, {}))
        files.append(path.read_bytes())
    samples: list[tuple[float, float, int]] = []
    done = 0
    with tempfile.TemporaryDirectory() as state, served(Path(state), "--keep-hours", 0.005) as one:
        began = time.perf_counter()
        with Client(one.base) as client:
            while time.perf_counter() - began < seconds and done * minutes / 60 < video_hours:
                ids = [client.submit(files[(done + k) % 8], name=f"job{done + k}", force=True).id for k in range(8)]
                for id_ in ids:
                    client.wait(id_)
                    if done % 2:
                        client.forget(id_)
                    done += 1
                samples.append((time.perf_counter() - began, one.memory_mib(), one.files()))
            kept = len(client.jobs(limit=1000))
            failed = len(client.jobs("failed", limit=1000))
        database = sum(p.stat().st_size for p in Path(state).glob("jobs.sqlite*"))
        spool = len(list((Path(state) / "spool").iterdir()))
    times, memory = (np.array([s[k] for s in samples]) for k in (0, 1))
    half = len(times) // 4  # the first quarter warms up
    slope = float(np.polyfit(times[half:], memory[half:], 1)[0])
    return {
        "jobs": done, "failed": failed, "minutes_of_video_each": minutes, "hours_of_video": done * minutes / 60,
        "seconds": float(times[-1]), "jobs_a_second": done / float(times[-1]),
        "memory_mib": {"after_first": float(memory[0]), "quarter": float(memory[half]), "end": float(memory[-1]),
                       "most": float(memory.max())},
        "slope_mib_a_1000_jobs": slope * float(times[-1]) / done * 1000,
        "slope_mib_an_hour": slope * 3600,
        "samples_mib": {round(times[i]): round(memory[i], 1) for i in range(0, len(times), max(len(times) // 20, 1))},
        "open_files": [samples[0][2], samples[-1][2]], "jobs_kept": kept, "database_bytes": database,
        "files_left": spool,
    }  # fmt: skip


def kills(work: Path, rounds: int) -> dict[str, Any]:
    """Kill -9 while jobs run and are accepted; each accepted job must be done once, whatever happened."""
    clip = clip_of(work)
    accepted: dict[str, str] = {}
    unknown, outcomes = 0, dict[str, tuple[float, int]]()
    changed = 0
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as state:
        for number in range(rounds + 1):
            one = Process(Path(state), "--queue", 1000)
            with Client(one.base) as client:
                if number == rounds:
                    for id_ in accepted:
                        list(client.progress(id_))
                    final = {j.id: j for j in client.jobs(limit=1000)}
                    one.stop()
                    break
                end = time.perf_counter() + rng.uniform(0.5, 6.0)
                killer = threading.Timer(end - time.perf_counter(), one.kill)
                killer.start()
                try:
                    for k in range(6):
                        key = f"{number}-{k}"
                        accepted[client.submit(clip, key=key, name=key).id] = key
                    while True:
                        for job in client.jobs("done", limit=1000):
                            known = outcomes.setdefault(job.id, (job.finished or 0.0, job.attempts))
                            changed += known != (job.finished or 0.0, job.attempts)
                        time.sleep(0.05)
                except ServiceError:
                    unknown += 1
                killer.join()
                one.child.wait()
    changed += sum(outcomes[i] != (final[i].finished, final[i].attempts) for i in outcomes)
    keys = [j.source for j in final.values()]
    return {
        "kills": rounds, "accepted": len(accepted), "lost": len(set(accepted) - set(final)),
        "not_done": sum(j.state != "done" for j in final.values()),
        "done_again": changed, "two_of_one_key": len(keys) - len(set(keys)),
        "interrupted_and_begun_again": sum(j.attempts > 1 for j in final.values()),
        "stored_before_their_answer_arrived": len(set(final) - set(accepted)),
    }  # fmt: skip


def silent(connections: int) -> dict[str, Any]:
    """So many connections that say nothing: what a request takes meanwhile, and what they cost in memory."""
    with (
        tempfile.TemporaryDirectory() as state,
        served(Path(state), "--connections", connections + 50) as one,
        Client(one.base) as client,
    ):
        before, took = one.memory_mib(), list[float]()
        where = ("127.0.0.1", int(one.base.rpartition(":")[2]))
        opened = [socket.create_connection(where) for _ in range(connections)]
        for _ in range(50):
            began = time.perf_counter()
            client.plans()
            took.append(time.perf_counter() - began)
        during = one.memory_mib()
        for connection in opened:
            connection.close()
    return {
        "connections": connections, "request_s": {"median": statistics.median(took), "worst": max(took)},
        "memory_mib": {"before": before, "during": during},
    }  # fmt: skip
