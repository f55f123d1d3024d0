"""``tal bench``: how fast plans are on devices, stage by stage, and how right."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperCommand

from .._util.files import check_outputs, write_text
from ..backends import NOT_LOADED
from ..diagnostics.benchmark import STAGES, TRANSFERS, Bench, Contender, Measured, Workload, bench
from ..pose.plans import plan_path
from ..records import Segment
from .console import errors, stdout
from .inputs import expand_sources
from .shared import Device, Json, Key, PlanArgument, Threads, Timeout, former, former_path


class _Bench(TyperCommand):
    """Until 0.2 `--json` took the file to write."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the former spelling as `--output`."""
        return super().parse_args(ctx, former_path(args, "--json", "--output"))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bench", cls=_Bench)(run)


def run(
    plan: PlanArgument = None,
    video: Annotated[
        list[Path] | None, typer.Option(help="A video, or a folder of videos; repeatable.", rich_help_panel="Sources")
    ] = None,
    features: Annotated[
        list[Path] | None,
        typer.Option(help="A feature file (.npz), or a folder; repeatable.", rich_help_panel="Sources"),
    ] = None,
    synthetic: Annotated[
        int, typer.Option(help="Instead: random features of so many snippets.", rich_help_panel="Sources")
    ] = 0,
    device: Device = "auto",
    compare: Annotated[
        str,
        typer.Option(help="Devices to measure in turns, as cpu,cuda; instead of --device.", rich_help_panel="The run"),
    ] = "",
    compare_plan: Annotated[
        list[Path] | None, typer.Option(help="Another plan to measure in turns.", rich_help_panel="The run")
    ] = None,
    runs: Annotated[int, typer.Option(help="Passes over the input.", rich_help_panel="The run")] = 10,
    head_batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Videos of one length that go through the head together; default: 1.",
            rich_help_panel="The run",
        ),
    ] = None,
    batch: Annotated[int | None, typer.Option("--batch", hidden=True)] = None,
    threads: Threads = 0,
    truth: Annotated[
        Path | None, typer.Option(help="Annotations of the input: accuracy next to speed.", rich_help_panel="Sources")
    ] = None,
    rules: Annotated[
        str,
        typer.Option("--protocol", help="Rules of the accuracy, as tal eval takes them.", rich_help_panel="Sources"),
    ] = ("activitynet"),
    timeout: Timeout = 0.0,
    key: Key = None,
    cold: Annotated[
        bool, typer.Option(help="Start fresh processes: cold start and peak memory.", rich_help_panel="The run")
    ] = True,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write all figures (JSON, schema tal.bench/1).", rich_help_panel="Outputs"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure latency by stage, throughput, cold start, memory and accuracy; several devices and plans in turns."""
    if batch is not None:
        head_batch = former("--batch", "--head-batch", batch, head_batch)
    sources = [
        *(expand_sources(video) if video else []),
        *(expand_sources(features, features=True) if features else []),
    ]
    check_outputs({f"--output {output}": output}, [*sources, *(p for p in (plan, truth) if p), *(compare_plan or [])])
    work = Workload(sources, synthetic, head_batch or 1, runs, threads, _truth(truth), rules, timeout, key)
    plans = [plan_path(plan), *(compare_plan or [])]
    devices = [d.strip() for d in compare.split(",")] if compare else [device]
    found = bench([Contender(p, d) for p, d in product(plans, devices)], work, cold=cold)
    if output is not None:
        write_text(output, json.dumps(found.document, indent=1) + "\n")
        errors.print(f"wrote {output}")
    if as_json:
        typer.echo(json.dumps(found.document))
    else:
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
