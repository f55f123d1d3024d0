"""Writes the measured numbers of README.md from the stored results: python benchmarks/readme.py [--check]."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import export_section
import features_section
import methods_tables
import stream_section
import tensorrt_section
from common import stored
from pages import ROOT, check_asked, filled, machine_lines, plus_minus, write_or_check


def machines(document: dict[str, Any], package: str) -> list[str]:
    """The machine of each part, where parts were measured on several of them."""
    parts = {part: document.get("parts", {}).get(part, document)["machine"] for part in document["figures"]}
    return machine_lines(parts, package)


def first_light() -> str:
    document = stored("first_light")
    f = document["figures"]
    e, m, s = f["embedded"], f["motion"], f["speed"]
    real = m["rows"]["embedded"]
    lines = [
        f"- The embedded plan, trained from video-level labels, on {e['videos']} held-out procedural videos "
        f"({e['instances']} instances, protocol `activitynet`): mAP@0.5 **{e['map_50']:.1f}**, mean mAP@0.1:0.7 "
        f"**{e['map_10_70']:.1f}**. One training seed, last checkpoint. AP@0.5 by class: {by_class(e)}.",
        *(seeds(f["accuracy"]) if "accuracy" in f else []),
        f"- Real human motion ({m['what']}; {m['instances']} instances): mAP@0.5 **{real['map_50']:.1f}**. "
        f"AP@0.5 by class: {by_class(real)}.",
        f"- Speed, {s['what']}: **{s['times_real_time']['median']:.0f}x real time** "
        f"(slowest video {s['times_real_time']['slowest']:.0f}x).",
        *(peaks(f["memory"]) if "memory" in f else []),
        f"- `make demo` on a clean clone: {f['demo']['seconds']:.0f} s.",
        *machines(document, "onnxruntime"),
    ]
    return "\n".join(lines)


def peaks(m: dict[str, Any]) -> list[str]:
    hour, ten = m["60 minutes"]["peak_mib"], m["10 minutes"]["peak_mib"]
    ratio = m["hour_over_ten_minutes"]
    return [f"- Memory: an hour of video peaks at {hour:.0f} MiB, ten minutes at {ten:.0f} MiB (ratio {ratio:.2f})."]


def by_class(row: dict[str, Any]) -> str:
    return ", ".join(f"{c} {v:.0f}" for c, v in row["ap_50_by_class"].items())


def seeds(a: dict[str, Any]) -> list[str]:
    """The table of training seeds."""
    head = f"- {a['videos']} held-out videos, mean and standard deviation over three training seeds, last checkpoint:"
    rows = [f"| {name} | {plus_minus(r['map_50'])} | {plus_minus(r['map_10_70'])} |" for name, r in a["rows"].items()]
    return [head, "", "| | mAP@0.5 | mean mAP@0.1:0.7 |", "|---|---|---|", *rows, ""]


def bench_core() -> str:
    document = stored("bench_core")
    f, machine = document["figures"], document["machine"]
    lines = [
        "One thread unless said, the whole call of `tal_engine.ops`, float64, exact. Peers' figures are stored ones, "
        "taken on the same kind of machine in other runs, except where a column says otherwise:",
        "",
        "| work | tal_engine | best published code | ratio | NumPy, same run |",
        "|---|---|---|---|---|",
    ]
    for name, row in f["table"].items():
        beside = row["same_run"].get("numpy")
        numpy_ms = f"{milliseconds(beside['ms'])} ({beside['times']:.0f}x)" if beside else ""
        lines.append(
            f"| {name} | {milliseconds(row['ours_ms'])} | {row['peer']} {milliseconds(row['peer_stored_ms'])} "
            f"| {row['times_stored']:.0f}x{'' if row['pass'] else ', aimed at ' + aimed(row)} | {numpy_ms} |"
        )
    growth = ", ".join(f"{name} {row['exponent']:.2f}" for name, row in f["curves"].items())
    two = ", ".join(f"{name} {row['times']:.2f}x" for name, row in f["threads"].items())
    lines += [
        "",
        f"- Growth, as the exponent of time against size (1 is linear): {growth}.",
        f"- Two threads against one: {two}.",
        f"- Machine: {machine['cpu']}, {machine['cores']} cores; Python {machine['python']}, "
        f"NumPy {machine['versions']['numpy']}.",
    ]
    return "\n".join(lines)


def bench_accuracy() -> str:
    document = stored("bench_accuracy")
    f = document["figures"]
    return "\n".join(
        [
            *simulated(f["simulator"]),
            "",
            *(stpn(f["stpn"]) if "stpn" in f else []),
            *(gym(f["gym"]) if "gym" in f else []),
            *(training_speed(f["speed"]) if "speed" in f else []),
            *machines(document, "torch"),
        ]
    )


def simulated(s: dict[str, Any]) -> list[str]:
    d = s["data"]
    lines = [
        f"Simulated features ({d['train_videos']} training videos, {d['test_videos']} test videos with "
        f"{d['test_instances']} instances of {d['classes']} classes; protocol `{d['protocol']}`); last checkpoint, "
        f"mean ± standard deviation over seeds. Untrained: {plus_minus(s['chance'])}.",
        "",
        "| | seeds | mAP@0.1:0.7 | mAP@0.5 | foreground mIoU | background mIoU | CPU s |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in s["rows"].items():
        figures = [plus_minus(row[k]) for k in ("map_10_70", "map_50", "foreground_iou", "background_iou")]
        lines.append(f"| {name} | {len(row['seeds'])} | {' | '.join(figures)} | {row['training_cpu_s']['mean']:.0f} |")
    if "pvlr_against_base" in s:
        a = s["pvlr_against_base"]
        lines += [
            "",
            f"PVLR against its base head: {a['gain']:+.1f} points, {a['standard_errors']:.1f} standard errors.",
        ]
    return lines


def stpn(s: dict[str, Any]) -> list[str]:
    parts = [
        f"{streams}, {name}: {row['label']} ({row['probability']:.3f}), best tIoU {row['best_tiou']:.2f}, "
        f"top-scored {row['top_tiou']:.2f}"
        for streams, rows in s["rows"].items()
        for name, row in rows.items()
    ]
    return [f"- STPN's published THUMOS14 head on real features of a real video: {'; '.join(parts)}."]


def gym(g: dict[str, Any]) -> list[str]:
    rows = ", ".join(f"{head} {plus_minus(row)}" for head, row in g["rows"].items())
    return [f"- {g['what']}: {rows}; chance {g['chance']['mean']:.1f}."]


def training_speed(s: dict[str, Any]) -> list[str]:
    rows = "; ".join(
        f"{recipe} {', '.join(f'{v:.2f} on {d}' for d, v in row.items())}" for recipe, row in s["rows"].items()
    )
    return [
        f"- PVLR at its published size (batch 10, 320 snippets, 49.9 M parameters), iterations a second: {rows} "
        f"({s['threads']} threads{', ' + s['gpu'] if s['gpu'] else '; not run on a GPU'})."
    ]


def milliseconds(ms: float) -> str:
    if ms >= 1000:
        return f"{ms / 1000:.3g} s"
    return f"{ms:.3g} ms" if ms >= 0.1 else f"{1000 * ms:.3g} us"


def aimed(row: dict[str, Any]) -> str:
    return f"{row['peer_stored_ms'] / row['target_ms']:.3g}x"


SECTIONS: dict[str, Callable[[], str]] = {
    "first_light": first_light,
    "bench_accuracy": bench_accuracy,
    "bench_methods": lambda: methods_tables.section(stored("bench_methods")),
    "bench_features": lambda: features_section.section(stored("bench_features")),
    "bench_export": lambda: export_section.section(stored("bench_export")),
    "bench_tensorrt": lambda: tensorrt_section.section(stored("bench_tensorrt")),
    "bench_stream": lambda: stream_section.section(stored("bench_stream")),
    "bench_core": bench_core,
}


def main() -> None:
    path = ROOT / "README.md"
    if not write_or_check({path: filled(path, {n: make for n, make in SECTIONS.items() if stored(n)})}, check_asked()):
        sys.exit("README.md differs from the stored results: run benchmarks/readme.py")


if __name__ == "__main__":
    main()
