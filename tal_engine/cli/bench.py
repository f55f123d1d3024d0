"""``tal bench``: how fast plans are on devices, stage by stage, and how right."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ..backends import NOT_LOADED
from ..benching import STAGES, TRANSFERS, Bench, Contender, Measured, Workload, bench
from ..engine import EMBEDDED_PLAN
from ..files import write_text
from ..records import Segment
from .console import errors, stdout
from .inputs import expand_sources


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bench")(run)


def run(
    plan: Annotated[Path | None, typer.Argument(help="A plan; without it, the embedded demo plan.")] = None,
    video: Annotated[list[Path] | None, typer.Option(help="A video, or a folder of videos; repeatable.")] = None,
    features: Annotated[list[Path] | None, typer.Option(help="A feature file (.npz), or a folder; repeatable.")] = None,
    synthetic: Annotated[int, typer.Option(help="Instead: random features of so many snippets.")] = 0,
    device: Annotated[str, typer.Option(help="Where it runs, as tal localize takes it.")] = "auto",
    compare: Annotated[str, typer.Option(help="Devices to measure in turns, as cpu,cuda; instead of --device.")] = "",
    compare_plan: Annotated[list[Path] | None, typer.Option(help="Another plan to measure in turns.")] = None,
    runs: Annotated[int, typer.Option(help="Passes over the input.")] = 10,
    batch: Annotated[int, typer.Option(help="Videos of one length that go through the head together.")] = 1,
    threads: Annotated[int, typer.Option(help="CPU threads of the runtime; 0 lets it choose.")] = 0,
    truth: Annotated[Path | None, typer.Option(help="Annotations of the input: accuracy next to speed.")] = None,
    rules: Annotated[str, typer.Option("--protocol", help="Rules of the accuracy, as tal eval takes them.")] = (
        "activitynet"
    ),
    cold: Annotated[bool, typer.Option(help="Start fresh processes: cold start and peak memory.")] = True,
    output: Annotated[Path | None, typer.Option("--json", help="Write all figures (schema tal.bench/1).")] = None,
) -> None:
    """Measure latency by stage, throughput, cold start, memory and accuracy; several devices and plans in turns."""
    sources = [
        *(expand_sources(video) if video else []),
        *(expand_sources(features, features=True) if features else []),
    ]
    work = Workload(sources, synthetic, batch, runs, threads, _truth(truth), rules)
    plans = [plan or EMBEDDED_PLAN, *(compare_plan or [])]
    devices = [d.strip() for d in compare.split(",")] if compare else [device]
    found = bench([Contender(p, d) for p, d in product(plans, devices)], work, cold=cold)
    if output is not None:
        write_text(output, json.dumps(found.document, indent=1) + "\n")
        errors.print(f"wrote {output}")
    _print(found)


def _truth(path: Path | None) -> dict[str, list[Segment]] | None:
    if path is None:
        return None
    from ..annotations import read_annotations

    return {v.name: list(v.instances) for v in read_annotations(path)}


def _print(found: Bench) -> None:
    out = stdout()
    m = found.machine
    cards = ", ".join(g.name for g in m.cards.gpus) or "no NVIDIA card"
    driver = f", driver {m.cards.driver}, CUDA {m.cards.cuda}" if m.cards.gpus else ""
    out.print(f"{m.cpu}, {m.cores} cores; {cards}{driver}; {', '.join(f'{k} {v}' for k, v in m.versions.items())}")
    out.print(_summary(found.rows))
    out.print(_stages(found.rows))
    graphs = ", ".join(r.name for r in found.rows if r.cuda_graphs) or "none"
    turns = "; measured in turns" if len(found.rows) > 1 else ""
    out.print(f"transfers {TRANSFERS}; CUDA graphs: {graphs}{turns}")


def _summary(rows: list[Measured]) -> Table:
    table = Table(title="plans and devices", title_justify="left")
    for name in ("what", "runs on", "weights", "batch", "T", "x real time", "snippets/s", "videos/s", "cold start s",
                 "peak MiB", "card MiB", "mAP %"):  # fmt: skip
        table.add_column(name, justify="left" if name in ("what", "runs on", "weights") else "right")
    for r in rows:
        rates = [f"{r.throughput[k]:.4g}" for k in ("times_real_time", "snippets_per_s", "videos_per_s")]
        starts = " / ".join(f"{c['total_s']:.2f}" for c in r.cold_start.values()) or "-"
        last = list(r.cold_start.values())[-1] if r.cold_start else {}
        memory = ["-" if last.get(k) is None else f"{last[k]:.0f}" for k in ("peak_mib", "gpu_mib")]
        least, most = r.snippets
        length = f"{least}" if least == most else f"{least}-{most}"
        accuracy = "-" if r.accuracy is None else f"{100 * r.accuracy['mean_ap']:.2f}"
        weights = ", ".join(dict.fromkeys(r.weights.values()))
        where = ", ".join(dict.fromkeys(w for w in r.runs_on.values() if w != NOT_LOADED))
        table.add_row(r.name, where, weights, str(r.batch), length, *rates, starts, *memory, accuracy)
    return table


def _stages(rows: list[Measured]) -> Table:
    columns = ("p50", "p90", "p95", "p99", "mean", "min", "max")
    table = Table(title="milliseconds a source", title_justify="left")
    for name in ("what", "stage", *columns, "n"):
        table.add_column(name, justify="left" if name in ("what", "stage") else "right")
    for r in rows:
        for stage in STAGES:
            if (values := r.stages.get(stage)) is not None:
                cells = [f"{values[c]:.3f}" for c in columns]
                table.add_row(r.name, "end to end" if stage == "total" else stage, *cells, f"{values['n']:.0f}")
        table.add_section()
    return table
