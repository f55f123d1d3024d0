"""The service: what it costs over the engine, how much it serves, and what is left after kill -9.

    python benchmarks/bench_serve.py [--part overhead load ...] [--work DIR]

overhead  a request of a 10 s clip against engine.localize, in turns.
load      16 clients that ask again at once: requests a second, p50 and p99, for a clip of 10 s and for its features.
jobs      jobs of synthetic features for --minutes, at speed: memory, open files, size of the store.
kills     kill -9 at random moments while jobs run and are accepted: none lost, none done twice.
silent    1,000 connections that say nothing, and a client that wants something meanwhile.
fuzz      Schemathesis over the API (a venv with it: --schemathesis PYTHON), bounded: no answer of 5xx.

Exits 1 if a promise is broken.
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

import serve_load
from common import store
from serve_fuzz import fuzz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=[p for p in PARTS if p != "fuzz"])
    parser.add_argument("--work", type=Path, default=Path("/tmp/bench-serve"), help="Folder of videos.")
    parser.add_argument("--rounds", type=int, default=40, help="overhead: turns.")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60.0, help="load: for each kind of request.")
    parser.add_argument("--hours", type=float, default=1e9, help="jobs: most hours of video.")
    parser.add_argument("--minutes", type=float, default=10.0, help="jobs: most minutes.")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--schemathesis", type=Path, help="fuzz: a Python that has schemathesis.")
    parser.add_argument("--examples", type=int, default=100, help="fuzz: of each operation.")
    parser.add_argument("--dry", action="store_true", help="Print the figures and store nothing.")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    for part in args.part:
        began, load = time.perf_counter(), os.getloadavg()[0]
        figures = {**PARTS[part](args), "load_before": round(load, 2)}
        figures["part_s"] = round(time.perf_counter() - began, 1)
        print(json.dumps({part: figures}), flush=True)
        failed += [f"{part}: {words}" for words in broken(part, figures)]
        if not args.dry:
            store("bench_serve", figures, part)
    if failed:
        sys.exit("\n".join(failed))


def broken(part: str, figures: dict[str, Any]) -> list[str]:
    """What was promised and is not so."""
    if part == "kills":
        names = ("lost", "not_done", "done_again", "two_of_one_key")
        return [f"{figures[n]} {n}" for n in names if figures[n]]
    if part == "overhead":
        return [] if figures["same_segments"] else ["the service found other segments"]
    if part == "jobs":
        return [f"{figures[n]} {n}" for n in ("failed", "files_left") if figures[n]]
    return [f"{figures['server_errors']} answers of 5xx"] if part == "fuzz" and figures["server_errors"] else []


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "overhead": lambda a: serve_load.overhead(a.work, a.rounds),
    "load": lambda a: serve_load.load(a.work, a.clients, a.seconds),
    "jobs": lambda a: serve_load.jobs(a.work, a.hours, a.minutes * 60),
    "kills": lambda a: serve_load.kills(a.work, a.kills),
    "silent": lambda a: serve_load.silent(a.connections),
    "fuzz": lambda a: fuzz(a.schemathesis, a.examples),
}


if __name__ == "__main__":
    main()
