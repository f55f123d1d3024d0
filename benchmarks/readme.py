"""Writes the measured numbers of the pages named in PAGES from the stored results.

python benchmarks/readme.py [--check | --stale]

--check  change nothing; fail where a page differs from the stored results
--stale  list figures that are older than the code they measure, or do not say what they measured (stale.py)
"""

from __future__ import annotations

import sys

if "--stale" in sys.argv:  # before the sections, which import torch
    import stale
    from common import every_stored

    stale.main(every_stored())
    sys.exit()

from collections.abc import Callable
from typing import Any

import archive_section
import deploy_section
import distill_section
import encoders_section
import export_section
import faults_section
import features_section
import fit_section
import formats_section
import gold_section
import gpu_section
import headline_section
import house
import image_section
import limit_section
import methods_tables
import moved_section
import online_section
import people_section
import pixels_section
import serve_section
import stream_section
import studio_section
import tensorrt_section
from common import stored
from pages import ROOT, check_asked, filled, machine_lines, plus_minus, write_or_check


def machines(document: dict[str, Any], package: str, shown: tuple[str, ...] = ()) -> list[str]:
    """The machine of each part that is shown (all, if none is named), where parts were measured on several of them."""
    names = [part for part in document["figures"] if part in shown or not shown]
    return machine_lines({part: document.get("parts", {}).get(part, document)["machine"] for part in names}, package)


def first_light() -> str:
    document = stored("first_light")
    f = document["figures"]
    e, m, s = f["embedded"], f["motion"], f["speed"]
    lines = [
        f"- The drawn figure's plan (`--plan demo`), trained from video-level labels, on {e['videos']} held-out "
        f"procedural videos ({e['instances']} instances, protocol `activitynet`): mAP@0.5 **{e['map_50']:.1f}**, "
        f"mean mAP@0.1:0.7 **{e['map_10_70']:.1f}**. One training seed, last checkpoint; other seeds are in the table.",
        *(seeds(f["accuracy"]) if "accuracy" in f else []),
        *real_motion(m),
        f"- Speed, {s['what']}: **{s['times_real_time']['median']:.0f}x real time** "
        f"(slowest video {s['times_real_time']['slowest']:.0f}x).",
        *machines(document, "onnxruntime", ("embedded", "accuracy", "motion", "speed")),
    ]
    return "\n".join(lines)


def real_motion(m: dict[str, Any]) -> list[str]:
    """One person from several sets of cameras."""
    real = m["rows"]["embedded"]
    classes = ", ".join(f"{c} {plus_minus(a, 0)}" for c, a in real["ap_50_by_class"].items())
    return [
        f"- Real human motion ({m['what']}; {m['instances']} instances), mean and standard deviation over "
        f"{len(real['runs'])} sets of cameras: mAP@0.5 **{plus_minus(real['map_50'])}** "
        f"({min(real['map_50']['values']):.1f} to {max(real['map_50']['values']):.1f}), mean mAP@0.1:0.7 "
        f"{plus_minus(real['map_10_70'])}. One person: another one gives another figure. AP@0.5 by class: {classes}."
    ]


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
        seconds = plus_minus(row["training_cpu_s"], 0)
        lines.append(f"| {name} | {len(row['seeds'])} | {' | '.join(figures)} | {seconds} |")
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


#: Pages by their path, and what stands between the markers of each.
PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"first_light": lambda: headline_section.section(stored)},
    "docs/measured.md": SECTIONS,
    "docs/faults.md": {
        "bench_faults": lambda: faults_section.faults(stored("bench_faults")),
        "fuzz": lambda: faults_section.fuzz(stored("fuzz")),
    },
    "tal_engine/metrics/README.md": {"bench_gold": lambda: gold_section.section(stored("bench_gold"))},
    "docs/deploy.md": {
        "flow_versions": lambda: deploy_section.flow(stored("flow_versions")),
        "int8_instructions": lambda: deploy_section.int8(stored("int8_instructions")),
        "bench_memory": lambda: deploy_section.memory(stored("bench_memory")),
    },
    "docs/encoders.md": {"encoder_names": encoders_section.names, "encoder_precision": encoders_section.precision},
    "docs/texts.md": {"texts": encoders_section.texts},
    "docs/archives.md": {
        "bench_archive": lambda: archive_section.section(stored("bench_archive")),
        "bench_archive_store": lambda: archive_section.store_section(stored("bench_archive_store")),
        "bench_archive_serve": lambda: archive_section.serve_section(stored("bench_archive_serve")),
        "bench_archive_ray": lambda: archive_section.ray_and_scale(
            *(stored(f"bench_archive{part}") for part in ("", "_store", "_ray"))
        ),
    },
    "docs/distill.md": {"bench_distill": lambda: distill_section.section(stored("bench_distill"))},
    "docs/online.md": {"bench_online": lambda: online_section.section(stored("bench_online"))},
    "docs/formats.md": {"bench_formats": lambda: formats_section.section(stored("bench_formats"))},
    "docs/serve.md": {"bench_serve": lambda: serve_section.section(stored("bench_serve"))},
    "docs/embedding.md": {"bench_image": lambda: image_section.section(stored("bench_image"))},
    "docs/studio.md": {
        "bench_studio": lambda: studio_section.section(stored("bench_studio")),
        "bench_studio_page": lambda: studio_section.page_section(stored("bench_studio_page")),
    },
    "docs/development.md": {"house": house.section},
    "docs/speed.md": {
        "bench_limit": lambda: limit_section.section(stored("bench_limit")),
        "core_same_run": lambda: limit_section.peers(stored("core_same_run")),
        "core_share": lambda: limit_section.shares(stored("core_share")),
    },
    "docs/people.md": {"bench_people": lambda: people_section.section(stored("bench_people"))},
    "docs/fit.md": {
        "bench_fit": lambda: fit_section.section(stored("bench_fit")),
        "bench_mixed": lambda: fit_section.mixed_section(stored("bench_mixed")),
        "fit_whole": lambda: fit_section.whole(stored("fit_whole")),
    },
    "docs/scores.md": {"bench_calibration": lambda: fit_section.calibration(stored("bench_calibration"))},
    "docs/figures.md": {
        "moved": lambda: moved_section.section(
            stored("moved"), stored("bench_methods")["figures"]["simulator"]["rows"]["co2"]
        )
    },
    "docs/gpu.md": {
        "gpu_day": lambda: gpu_section.section(stored("gpu_day")),
        "pixels": lambda: pixels_section.section(stored("pixels")),
    },
}


#: Parts whose results have another name.
STORED = dict.fromkeys(("encoder_names", "encoder_precision", "texts"), "encoders")


def main() -> None:
    pages = {
        ROOT / page: filled(ROOT / page, {n: make for n, make in sections.items() if stored(STORED.get(n, n))})
        for page, sections in PAGES.items()
    }
    if not write_or_check(pages, check_asked()):
        sys.exit(f"{' or '.join(PAGES)} differs from the stored results: run benchmarks/readme.py")


if __name__ == "__main__":
    main()
