"""The figures of docs/serve.md, from the stored results of bench_serve.py; a part that was not run is not told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pages import machine_lines

Figures = Mapping[str, Any]


def section(document: Mapping[str, Any]) -> str:
    """A line or two for each part."""
    figures = document["figures"]
    lines = [line for part, tell in _PARTS.items() if part in figures for line in tell(figures[part])]
    machines = {part: document["parts"][part]["machine"] for part in figures}
    return "\n".join([*lines, *machine_lines(machines, "onnxruntime")])


def _overhead(f: Figures) -> list[str]:
    out, of_rounds = f["outside_the_engine"], f["overhead_of_rounds_percent"]
    return [
        f"- **Overhead** over `engine.localize` ({f['what']}; {f['rounds']} turns, load {f['load_before']} before): "
        f"median **{f['overhead_percent']:.1f} %** ({1000 * f['engine_s']:.0f} ms and {1000 * f['request_s']:.0f} ms; "
        f"of single turns {of_rounds['p10']:.0f} to {of_rounds['p90']:.0f} %, 10th and 90th percentile). Of a request, "
        f"{1000 * out['median_s']:.0f} ms are not the engine's, {out['percent']:.1f} % of its call."
    ]


def _load(f: Figures) -> list[str]:
    kinds = {name: r for name, r in f.items() if isinstance(r, dict)}
    rows = [
        f"{name}: {r['requests_a_second']:.1f} requests a second, p50 {r['p50_s']:.2f} s, p99 {r['p99_s']:.2f} s, "
        f"{r['refused']} refused"
        for name, r in kinds.items()
    ]
    clients = next(r["clients"] for r in kinds.values())
    return [f"- **{clients} clients** that ask again at once (the same clip, and its features): {'; '.join(rows)}."]


def _kills(f: Figures) -> list[str]:
    return [
        f"- **kill -9** {f['kills']} times at random moments: {f['accepted']} accepted jobs, {f['lost']} lost, "
        f"{f['not_done']} not done, {f['done_again']} done again after they were done, {f['two_of_one_key']} keys with "
        f"two jobs; {f['interrupted_and_begun_again']} were interrupted and begun again, "
        f"{f['stored_before_their_answer_arrived']} were stored when the kill came before their answer."
    ]


def _jobs(f: Figures) -> list[str]:
    m = f["memory_mib"]
    return [
        f"- **Jobs** of synthetic features, {f['minutes_of_video_each']:g} min of video each: {f['jobs']} in "
        f"{f['seconds'] / 60:.0f} min ({f['hours_of_video']:.0f} h of video, {f['jobs_a_second']:.1f} a second), "
        f"{f['failed']} failed. Memory {m['after_first']:.0f} MiB after the first ones, {m['quarter']:.0f} after a "
        f"quarter, {m['end']:.0f} at the end, {m['most']:.0f} at most; from the first quarter on "
        f"{f['slope_mib_a_1000_jobs']:+.2f} MiB per 1,000 jobs. Open files {f['open_files'][0]} and "
        f"{f['open_files'][1]}; {f['files_left']} uploads left."
    ]


def _silent(f: Figures) -> list[str]:
    t, m = f["request_s"], f["memory_mib"]
    return [
        f"- **{f['connections']} connections that say nothing**: a request meanwhile takes {1000 * t['median']:.1f} ms "
        f"(worst {1000 * t['worst']:.0f} ms), memory {m['before']:.0f} to {m['during']:.0f} MiB."
    ]


def _fuzz(f: Figures) -> list[str]:
    cases = "; ".join(r["cases"] for r in f["runs"])
    return [
        f"- **Schemathesis** {f['schemathesis']}, {f['examples_of_each']} examples of each operation, twice "
        f"(identifiers made up, and of things that are there): {f['requests']} requests ({cases}), "
        f"**{f['server_errors']} answers of 5xx**."
    ]


_PARTS: dict[str, Callable[[Figures], list[str]]] = {
    "overhead": _overhead, "load": _load, "silent": _silent, "kills": _kills, "jobs": _jobs, "fuzz": _fuzz,
}  # fmt: skip
