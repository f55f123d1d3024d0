"""`tal batch --ray` beside the plain pool: what a video costs more, a node that is lost, long videos in parts.

    python benchmarks/archive_ray.py [--clips 24] [--rounds 2] [--work DIR] [--parts lost_node parts overhead marginal]

Two raylets of a core each on loopback, as two nodes. Cost per video: the same clips by two actors and by two processes,
in turns, processor time of everything that ran, start and end included, and by the clock from the first video that is
done to the last one, over all but the first. Lost node: a third raylet, whose actor works, is killed in the middle.
Parts: a video of several clips is localized whole, and in parts by three actors; rows are compared bit by bit.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import statistics
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import psutil
from archive_store import pieces
from bench_archive import clips, judged
from common import finish

from tal_engine import TALEngine
from tal_engine.batch.archive.listing import listed
from tal_engine.batch.archive.run import ArchiveOptions, localize_archive
from tal_engine.distributed import RayOptions, RayPool

warnings.simplefilter("ignore")
_NODE = {"num_cpus": 1, "object_store_memory": 128 << 20}


class Processors:
    """Processor seconds of this process and everything below it, looked at a few times a second: who ends is not lost.

    Raylets do not wait for their workers, so the system forgets what those took.
    """

    def __init__(self) -> None:
        self._last: dict[int, float] = {}
        self._look()
        self._first, self._own, self._looking = dict(self._last), time.process_time(), 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        for child in psutil.Process().children(recursive=True):
            try:
                times = child.cpu_times()
            except psutil.Error:
                continue
            self._last[child.pid] = times.user + times.system

    def _watch(self) -> None:
        while not self._stop.wait(0.3):
            self._look()
            self._looking = time.thread_time()

    def stop(self) -> tuple[float, float]:
        """Return the seconds of all, and of this process alone, without looking."""
        self._stop.set()
        self._thread.join()
        own = time.process_time() - self._own - self._looking
        return own + sum(s - self._first.get(pid, 0.0) for pid, s in self._last.items()), own


def timed(paths: list[Path], output: Path, pool: Any) -> dict[str, float]:
    """Run once; seconds of the whole, and a video's, by the clock and of the processors."""
    shutil.rmtree(output, ignore_errors=True)
    moments: list[float] = []
    began, processors = time.monotonic(), Processors()
    found = localize_archive(
        listed([str(p) for p in paths]), "demo", str(output), ArchiveOptions(workers=2, every=8),
        lambda *_: moments.append(time.monotonic()), pool,
    )  # fmt: skip
    whole, (processor, driver) = time.monotonic() - began, processors.stop()
    assert (found.done, found.failed) == (len(paths), 0)
    each = (moments[-1] - moments[0]) / (len(paths) - 1)
    return {"whole": whole, "video": each, "processor": processor, "driver": driver}


def overhead(paths: list[Path], work: Path, rounds: int) -> dict[str, Any]:
    ways: dict[str, Any] = {"processes": None, "ray": RayPool}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, pool in ways.items():
            found[name].append(timed(paths, work / name, pool))
            print(name, {k: round(v, 2) for k, v in found[name][-1].items()}, flush=True)
    median = {
        name: {k: round(statistics.median(r[k] for r in runs), 4) for k in runs[0]} for name, runs in found.items()
    }
    return {"clips": len(paths), "rounds": rounds, "runs": found, "median": median, **sizes(paths, work / "ray")}


def marginal(paths: list[Path], work: Path) -> dict[str, Any]:
    """Processor time of one more video of 2 s: what many take beyond few, over how many more they are."""
    every = pieces(paths[:8], work / "pieces")
    few, many = every[::10], every
    found: dict[str, Any] = {"few": len(few), "many": len(many)}
    for name, pool in (("processes", None), ("ray", RayPool)):
        took = [timed(some, work / name, pool)["processor"] for some in (few, many)]
        found[name] = {"runs": took, "video": (took[1] - took[0]) / (len(many) - len(few))}
        print(name, found[name], flush=True)
    return found


def sizes(paths: list[Path], output: Path) -> dict[str, int]:
    """Bytes of the videos and of the tables."""
    tables = (p for kind in ("videos", "segments") for p in (output / kind).rglob("*.parquet"))
    return {"video_bytes": sum(p.stat().st_size for p in paths), "table_bytes": sum(p.stat().st_size for p in tables)}


def lost_node(cluster: Any, paths: list[Path], work: Path) -> dict[str, Any]:
    node = cluster.add_node(**_NODE)
    cluster.wait_for_nodes()
    lost: list[int] = []

    def lose(done: int, total: int, outcome: Any) -> None:
        if not lost and done >= total // 3:
            cluster.remove_node(node, allow_graceful=False)
            lost.append(done)

    output = work / "lost"
    shutil.rmtree(output, ignore_errors=True)
    options = ArchiveOptions(workers=3, every=4)
    found = localize_archive(listed([str(paths[0].parent)]), "demo", str(output), options, lose, RayPool)
    return {"after": lost[0], "done": found.done, "failed": found.failed, **judged(output, paths)}


def long_video(paths: list[Path], work: Path) -> Path:
    """The clips one after another, as they are encoded."""
    import av

    from tal_engine.outputs.render.video_writer import Movie

    target = work / "long.mp4"
    if not target.exists():
        movie, offset = Movie(target), 0.0
        for path in paths:
            with av.open(str(path)) as container:
                for frame in container.decode(video=0):
                    movie.write(frame.to_ndarray(format="rgb24"), offset + float(frame.time or 0.0))
            offset += 20.0
        movie.close()
    return target


def parts(paths: list[Path], work: Path) -> dict[str, Any]:
    from pyarrow import parquet

    video = long_video(paths[:9], work)
    rows = {}
    for name, pool in (
        ("whole", RayPool), ("parts", lambda plan, o: RayPool(plan, o, RayOptions(split=60.0))),
    ):  # fmt: skip
        output = work / name
        shutil.rmtree(output, ignore_errors=True)
        localize_archive(listed([str(video)]), "demo", str(output), ArchiveOptions(workers=3), pool=pool)
        tables = [parquet.read_table(p) for p in sorted((output / "segments").rglob("*.parquet"))]
        rows[name] = [row for table in tables for row in table.to_pylist()]
    return {"seconds": 180.0, "segments": len(rows["whole"]), "equal": rows["whole"] == rows["parts"], **shares(video)}


def shares(video: Path) -> dict[str, Any]:
    """Processor seconds of the whole video, and of each of three parts, one after another on one thread."""
    with TALEngine.load("demo", "cpu", threads=1) as engine:
        engine.load_encoders()
        began = time.process_time()
        whole = engine.localize(video)
        took = {"whole_s": round(time.process_time() - began, 2), "parts_s": []}
        encoded = []
        for part in engine.split(video, 3):
            began = time.process_time()
            encoded.append(engine.encode_part(video, part))
            took["parts_s"].append(round(time.process_time() - began, 2))
        return {**took, "bit_equal": engine.localize_parts(encoded) == whole}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--parts", nargs="*", default=["lost_node", "parts", "overhead", "marginal"])
    parser.add_argument("--work", type=Path, default=Path("out/archive"))
    asked = parser.parse_args()
    work = asked.work.absolute()
    paths = clips(work / "clips", asked.clips)
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**_NODE, "include_dashboard": False})
    cluster.add_node(**_NODE)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    ways = {
        "lost_node": lambda: lost_node(cluster, paths, work), "parts": lambda: parts(paths, work),
        "overhead": lambda: overhead(paths, work, asked.rounds), "marginal": lambda: marginal(paths, work),
    }  # fmt: skip
    load = os.getloadavg()[0]
    try:
        for name in asked.parts:
            figures = {"ray": ray.__version__, "load_before": load, **ways[name]()}
            finish("bench_archive_ray", figures, name)
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
