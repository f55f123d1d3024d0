"""`tal batch` from and to an object store that errs: 1 % of requests fail, 1 % are slow, and kill -9 now and then.

python -m venv moto && moto/bin/pip install 'moto[server,s3]'     # and s3fs beside tal_engine
python benchmarks/archive_store.py --moto moto/bin/moto_server [--clips 8] [--kills 4] [--work DIR]
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench_archive import PLAN, TAL, clips, workers_of
from common import finish
from faulty_store import BUCKET, FaultyStore

from tal_engine.batch.clips.copying import copy

OUT = f"s3://{BUCKET}/tables"


def started(*words: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*TAL, *map(str, words), "--quiet"])


def pieces(paths: list[Path], folder: Path) -> list[Path]:
    """Two seconds each, ten of a clip, as they are stored: a store is asked for videos, not for long ones."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for path in paths:
        for k in range(10):
            found.append(folder / f"{path.stem}-{k}.mp4")
            if not found[-1].exists():
                copy(str(path), found[-1], 2.0 * k, 2.0 * k + 1.9)
    return found


def uploaded(paths: list[Path]) -> None:
    import fsspec

    fs = fsspec.filesystem("s3")
    for path in paths:
        fs.pipe_file(f"{BUCKET}/videos/{path.name}", path.read_bytes())


def judged(paths: list[Path], output: str) -> dict[str, int]:
    """How often each video is in the tables."""
    import fsspec
    from pyarrow import BufferReader, parquet

    fs = fsspec.filesystem("s3")
    fs.invalidate_cache()

    def rows(kind: str) -> list[dict[str, Any]]:
        found = fs.glob(f"{output.removeprefix('s3://')}/{kind}/*/*.parquet")
        return [r for p in found for r in parquet.read_table(BufferReader(fs.cat_file(p))).to_pylist()]

    videos = rows("videos")
    times, segments = Counter(r["video"] for r in videos), Counter(r["video"] for r in rows("segments"))
    return {
        "videos": len(paths), "missing": sum(f"s3://{BUCKET}/videos/{p.name}" not in times for p in paths),
        "twice": sum(n > 1 for n in times.values()), "failed": sum(r["status"] != "done" for r in videos),
        "segments_wrong": sum(segments[r["video"]] != r["segments"] for r in videos),
    }  # fmt: skip


def command(output: str, kills: int) -> list[object]:
    return [
        "batch",
        f"s3://{BUCKET}/videos/*.mp4",
        "-o",
        output,
        "--workers",
        2,
        "--every",
        3,
        "--tries",
        3 + kills,
        *PLAN,
    ]


def whole(store: FaultyStore, paths: list[Path], output: str) -> dict[str, Any]:
    """One run that nobody kills."""
    before = dict(store.counts)
    began = time.monotonic()
    if started(*command(output, 0)).wait():
        sys.exit("the run failed")
    requests = {name: n - before[name] for name, n in store.counts.items()}
    return {"seconds": round(time.monotonic() - began, 1), "requests": requests, **judged(paths, output)}


def killed(paths: list[Path], count: int, seed: int) -> dict[str, Any]:
    chance, of = random.Random(seed), Counter[str]()
    kinds = ["worker", "run"] * count
    output = f"{OUT}-killed"
    process = started(*command(output, count))
    while sum(of.values()) < count:
        time.sleep(chance.uniform(1.0, 6.0))
        if process.poll() is not None:
            output = f"{OUT}-killed{sum(of.values())}"
            process = started(*command(output, count))
            continue
        workers = workers_of(process)  # type: ignore[arg-type]
        if workers and kinds[sum(of.values())] == "worker":
            os.kill(chance.choice(workers), signal.SIGKILL)
            of["worker"] += 1
        else:
            process.kill()
            process.wait()
            of["run"] += 1
            process = started(*command(output, count))
    if process.wait():
        sys.exit("the last run failed")
    return {"kills": dict(+of), **judged(paths, output)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--moto", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--work", type=Path, default=Path("out/archive"))
    asked = parser.parse_args()
    work = asked.work.absolute()
    paths = pieces(clips(work / "clips", asked.clips), work / "pieces")
    with FaultyStore(asked.moto, work / "moto.log", errors=0.0, slow=0.0) as store:
        os.environ.update(store.environment)
        uploaded(paths)
        figures = {"sound": whole(store, paths, f"{OUT}-sound")}
        store.errors, store.slow = 0.01, 0.01
        figures |= {"errors": store.errors, "slow": store.slow, "pause_s": store.pause}
        figures["faulty"] = whole(store, paths, f"{OUT}-faulty")
        store.errors = store.slow = 0.1
        figures["worse"] = whole(store, paths, f"{OUT}-worse")
        store.errors = store.slow = 0.01
        figures["killed"] = killed(paths, asked.kills, 0)
    finish("bench_archive_store", figures)


if __name__ == "__main__":
    main()
