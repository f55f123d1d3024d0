"""`tal batch`: throughput beside other ways, and that kill -9 costs no video and doubles none.

    python benchmarks/bench_archive.py [--clips 60] [--rounds 3] [--kills 20] [--work DIR] [--parts ...]

Clips of 20 s at 320x240 are rendered once: 500 take 12 minutes of two cores, and a round of them (--rounds 1) as long.
Ways in turns, by the clock of one machine: `tal batch --workers 2`; two `tal batch --workers 1` side by side on halves;
`tal localize FOLDER`. Kills: a run is killed again and again at random moments (the run itself, or one of its workers),
begun again, and at last left to end; then each video has to be in the tables once. The part "processor" is "throughput"
on a machine that may be busy: of it the processor time is told. With --former FOLDER, a checkout of an earlier commit
with its core compiled in place, `tal localize` of that build is timed as well, with the plan that it takes by itself.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from common import finish

from tal_engine.demo.demo_set import write_video
from tal_engine.demo.render import render
from tal_engine.demo.script import write_script

SECONDS = 20.0
PLAN = ("--plan", "demo")


def clips(folder: Path, count: int) -> list[Path]:
    """Rendered ones, made once, by a process for each core; a folder of these alone, if the given one has more.

    One takes 2.8 s of processor time, and a run that is stopped goes on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"c{k:04d}.mp4" for k in range(count)]
    missing = [k for k, path in enumerate(paths) if not path.exists()]
    if missing:
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            for done, _ in enumerate(pool.map(partial(rendered, folder), missing), 1):
                if done % 50 == 0:
                    print(f"{done} of {len(missing)} clips rendered", flush=True)
    if len(list(folder.glob("c*.mp4"))) == count:
        return paths
    own = folder.with_name(f"{folder.name}-{count}")
    own.mkdir(exist_ok=True)
    for path in paths:
        if not (own / path.name).exists():
            (own / path.name).hardlink_to(path)
    return [own / path.name for path in paths]


def rendered(folder: Path, k: int) -> None:
    """One clip."""
    script = write_script(f"c{k:04d}", [5, 17, k], duration=(SECONDS, SECONDS), instances=(1, 3))
    write_video(folder / f"c{k:04d}.mp4", render(script), script.fps)


def started(*words: object, build: Path | None = None) -> subprocess.Popen[str]:
    """A command in a group of its own, so that it can be killed alone; of this build, or of another checkout's."""
    env = None if build is None else {**os.environ, "PYTHONPATH": str(build)}
    runs = ["-m", "tal_engine"] if build is None else ["-c", "from tal_engine.cli.main import run; run()"]
    here = [sys.executable, *runs, *map(str, words), *(("--quiet",) if build is None else ())]
    return subprocess.Popen(here, stdout=subprocess.DEVNULL, text=True, env=env, cwd=build)


def seconds_of(*commands: list[object], build: Path | None = None) -> tuple[float, float]:
    """By the clock, and of the processors, of the commands and all that they started."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    running = [started(*c, build=build) for c in commands]
    if any(process.wait() for process in running):
        sys.exit(f"failed: {commands}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return time.monotonic() - began, processor


def throughput(work: Path, paths: list[Path], rounds: int, former: Path | None = None) -> dict[str, Any]:
    """Seconds of each way, in turns, and the ratios of their medians."""
    lists = []
    for k in range(2):
        lists.append(work / f"half{k}.txt")
        lists[-1].write_text("".join(f"{p}\n" for p in paths[k::2]))
    found: dict[str, list[tuple[float, float]]] = {"batch": [], "two processes": [], "localize": []}
    if former is not None:
        found["localize of a former build"] = []
    for k in range(rounds):
        out = work / f"t{k}"
        found["batch"].append(seconds_of(["batch", paths[0].parent, "-o", out / "b", "--workers", 2, *PLAN]))
        halves = [["batch", part, "-o", out / part.stem, "--workers", 1, *PLAN] for part in lists]
        found["two processes"].append(seconds_of(*halves))
        found["localize"].append(seconds_of(["localize", paths[0].parent, "-o", out / "l.jsonl", *PLAN]))
        if former is not None:
            words: list[object] = ["localize", paths[0].parent, "-o", out / "former.jsonl"]
            found["localize of a former build"].append(seconds_of(words, build=former))
        print({name: [round(v, 1) for v in values[-1]] for name, values in found.items()}, flush=True)
        shutil.rmtree(out)
    clock, processor = ({name: [v[k] for v in values] for name, values in found.items()} for k in (0, 1))
    median = {name: statistics.median(values) for name, values in clock.items()}
    spent = {name: statistics.median(values) for name, values in processor.items()}
    of_former = {}
    if former is not None:
        commit = subprocess.run(
            ["git", "log", "-1", "--format=%h %cs"], cwd=former, capture_output=True, text=True, check=True
        )
        of_former["former_build"] = commit.stdout.strip()
        of_former["of_former_localize"] = round(median["localize of a former build"] / median["batch"], 3)
    return {
        **of_former, "clips": len(paths), "seconds": clock, "processor": processor,
        "cores_used": {name: round(spent[name] / median[name], 2) for name in median},
        "processor_a_clip": {name: round(spent[name] / len(paths), 3) for name in median},
        "of_two_processes": round(median["two processes"] / median["batch"], 3),
        "of_localize": round(median["localize"] / median["batch"], 3),
    }  # fmt: skip


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Its children, by whatever thread they were started."""
    found = []
    for path in Path(f"/proc/{process.pid}/task").glob("*/children"):
        with suppress(OSError):  # that thread has ended
            found += [int(pid) for pid in path.read_text().split()]
    return found


def kills(work: Path, paths: list[Path], count: int, seed: int) -> dict[str, Any]:
    """Kill `count` times, then let it end and look."""
    chance, out = random.Random(seed), work / "killed"
    shutil.rmtree(out, ignore_errors=True)
    of = Counter[str]()
    command = ["batch", paths[0].parent, "-o", out, "--workers", 2, "--every", 3, "--tries", count + 1, *PLAN]
    process = started(*command)
    while sum(of.values()) < count:
        time.sleep(chance.uniform(0.5, 6.0))
        if process.poll() is not None:  # it had ended: begin anew
            shutil.rmtree(out)
            process = started(*command)
            continue
        workers = workers_of(process)
        if workers and chance.random() < 0.5:
            os.kill(chance.choice(workers), signal.SIGKILL)
            of["worker"] += 1
        else:
            process.kill()
            process.wait()
            of["run"] += 1
            process = started(*command)
    if process.wait():
        sys.exit("the last run failed")
    return {"kills": dict(+of), **judged(out, paths)}


def judged(out: Path, paths: list[Path]) -> dict[str, Any]:
    """How often each video is in the tables, as any reader finds them."""
    from pyarrow import parquet

    def column(kind: str) -> list[str]:
        tables = (parquet.read_table(p) for p in sorted((out / kind).rglob("*.parquet")))
        return [v for t in tables for v in t.column("video").to_pylist()]

    rows = Counter(column("videos"))
    counts = {row["video"]: row["segments"] for p in sorted((out / "videos").rglob("*.parquet"))
              for row in parquet.read_table(p).to_pylist()}  # fmt: skip
    segments = Counter(column("segments"))
    return {
        "videos": len(paths), "missing": sum(str(p) not in rows for p in paths),
        "twice": sum(n > 1 for n in rows.values()),
        "segments_wrong": sum(segments[v] != n for v, n in counts.items()),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--work", type=Path, default=Path("out/archive"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", nargs="*", default=["kill", "throughput", "processor"])
    parser.add_argument("--former", type=Path, help="a checkout of an earlier commit")
    asked = parser.parse_args()
    work = asked.work.absolute()
    paths = clips(work / "clips", asked.clips)
    ways = {
        "kill": lambda: kills(work, paths, asked.kills, asked.seed),
        "throughput": lambda: throughput(work, paths, asked.rounds, asked.former),
        "processor": lambda: throughput(work, paths, asked.rounds, asked.former),
    }
    for name in asked.parts:
        load = os.getloadavg()[0]
        finish("bench_archive", {"load_before": load, **ways[name]()}, name)


if __name__ == "__main__":
    main()
