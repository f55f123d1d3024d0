"""The service on Ray Serve under load: two replicas on loopback, clients that upload clips, and streams that stay put.

    python benchmarks/archive_serve.py [--requests 60] [--clients 4] [--work DIR]

Localize: clips of 2 s, whole, from so many clients at a time; and the health of the service, which is what passing
through Ray's proxy costs. Beside them one `tal serve` process of as many workers, which is asked the same, in turns.
Streams: six, begun by name, each asked for 20 times while clips are localized: an answer of another replica is a 404.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from archive_store import pieces
from bench_archive import clips
from common import finish
from serve_load import Process

from tal_engine.distributed import serve_app
from tal_engine.serve.settings import ServeOptions

REPLICAS, STREAMS, ASKS = 2, 6, 20
_MS = 1000.0


def loaded(ask: Callable[[int], httpx.Response], requests: int, clients: int) -> dict[str, float]:
    """Requests a second, and milliseconds from question to answer; every answer must be a 200."""

    def one(k: int) -> float:
        began = time.perf_counter()
        answer = ask(k)
        if answer.status_code != 200:
            raise SystemExit(f"{answer.request.url}: {answer.status_code} {answer.text[:300]}")
        return (time.perf_counter() - began) * _MS

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        taken = sorted(pool.map(one, range(requests)))
    whole = time.perf_counter() - began
    last = taken[min(len(taken) - 1, int(0.99 * len(taken)))]
    return {"requests": requests, "a_second": round(requests / whole, 2), "p50_ms": round(statistics.median(taken), 1),
            "p99_ms": round(last, 1)}  # fmt: skip


def asked(client: httpx.Client, videos: list[bytes], requests: int, clients: int) -> dict[str, Any]:
    for k in range(clients):  # encoders are loaded with the first video of a replica
        client.post("/v1/localize", content=videos[k % len(videos)])
    localize = loaded(lambda k: client.post("/v1/localize", content=videos[k % len(videos)]), requests, clients)
    return {"localize": localize, "health": loaded(lambda _: client.get("/healthz"), 5 * requests, clients)}


def streams(client: httpx.Client, videos: list[bytes], clients: int) -> dict[str, Any]:
    """Begin streams by name and ask for each while clips are localized."""
    names = [f"gate{k}" for k in range(STREAMS)]
    for name in names:
        wanted = {"source": "cam", "name": name, "realtime": True}
        answer = client.post("/v1/streams", json=wanted, headers={"X-Session-Id": name})
        if answer.status_code != 201:
            raise SystemExit(f"stream {name}: {answer.status_code} {answer.text[:300]}")
    with ThreadPoolExecutor(clients + 1) as pool:
        load = [pool.submit(client.post, "/v1/localize", content=videos[k % len(videos)]) for k in range(2 * clients)]
        codes = [client.get(f"/v1/streams/{name}").status_code for _ in range(ASKS) for name in names]
        assert all(f.result().status_code == 200 for f in load)
    held = [client.get("/v1/streams", headers={"X-Session-Id": n}).json()["streams"] for n in names]
    own = {n: {s["name"] for s in found} for n, found in zip(names, held, strict=True)}
    for name in names:
        client.post(f"/v1/streams/{name}/stop")
    return {"streams": len(names), "asked": len(codes), "found": codes.count(200),
            "replicas": len({tuple(sorted(v)) for v in own.values()}),
            "where_begun": sum(n in v for n, v in own.items())}  # fmt: skip


def on_ray(work: Path, clip: Path, videos: list[bytes], requests: int, clients: int) -> dict[str, Any]:
    import ray
    from ray import serve

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray.init(num_cpus=2, object_store_memory=128 << 20, include_dashboard=False, log_to_driver=False,
             logging_level=logging.ERROR)  # fmt: skip
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config={"log_level": "ERROR"})
        options = ServeOptions(state=work / "state", threads=1, workers=1, sources=(f"cam={clip}",))
        serve.run(serve_app(options, replicas=REPLICAS, cpus=0.5), route_prefix="/")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300) as client:
            found = asked(client, videos, requests, clients)
            return {"ray": ray.__version__, **found, "pinned": streams(client, videos, clients)}
    finally:
        serve.shutdown()
        ray.shutdown()


def plain(work: Path, videos: list[bytes], requests: int, clients: int) -> dict[str, Any]:
    process = Process(work / "plain", "--workers", REPLICAS, "--threads", 1)
    try:
        with httpx.Client(base_url=process.base, timeout=300) as client:
            return asked(client, videos, requests, clients)
    finally:
        process.child.terminate()
        process.child.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--work", type=Path, default=Path("out/archive"))
    given = parser.parse_args()
    source = clips(given.work.absolute() / "clips", 1)
    videos = [p.read_bytes() for p in pieces(source, given.work.absolute() / "serve-pieces")]
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        found = {"plain": plain(work, videos, given.requests, given.clients)}
        found["serve"] = on_ray(work, source[0], videos, given.requests, given.clients)
    finish("bench_archive_serve", {"replicas": REPLICAS, "clients": given.clients, "load_before": load, **found})


if __name__ == "__main__":
    main()
