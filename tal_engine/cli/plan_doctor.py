"""``tal plan doctor``: does a plan run on this machine, on what, and what helps if it does not."""

from __future__ import annotations

import json
import logging

import typer
from rich.table import Table

from .._util.hardware import Machine
from ..diagnostics.doctor import TIMEOUT_S, examine
from ..diagnostics.support_report import Diagnosis
from ..pose.plans import plan_path
from .console import stdout
from .shared import Device, Json, Key, PlanArgument, Timeout

_VERDICTS = {
    0: "runs here",
    1: "cannot be used, here or elsewhere",
    3: "is not signed as required",
    4: "does not run here as asked",
    5: "is not there, or cannot be read",
}


def doctor(
    plan: PlanArgument = None,
    device: Device = "auto",
    as_json: Json = False,
    timeout: Timeout = TIMEOUT_S,
    key: Key = None,
) -> None:
    """Say what is in a plan, what this machine has and whether it runs.

    Exit status 0; 1: the plan is damaged or its graphs are not what its manifest says, so no machine runs it; 3: it is
    not signed by --key; 4: it does not run here. --json prints the schema tal.doctor/1.
    """
    # What is logged of falling back is among the findings.
    logging.getLogger("tal_engine").setLevel(logging.ERROR)
    found = examine(plan_path(plan), device, timeout=timeout, key=key)
    if as_json:
        typer.echo(json.dumps(found.document, indent=1))
    else:
        _print(found)
    raise typer.Exit(found.status)


def _print(found: Diagnosis) -> None:
    out = stdout()
    if found.plan:
        p = found.plan
        encoders = ", ".join(p["encoders"]) or "none, it reads features"
        out.print(f"{p['name']} ({p['method']}), {p['classes']} classes, encoders: {encoders}, sha256 {p['sha256']}")
    for table in (_machine(found.machine), _devices(found), _graphs(found), _engines(found)):
        if table.row_count:
            out.print(table)
    for f in found.findings:
        out.print(f"{f.level}: {f.what}")
        if f.fix:
            out.print(f"  what helps: {f.fix}")
    on = f" on {found.device}" if found.device and found.status == 0 else ""
    out.print(f"{found.path} {_VERDICTS[found.status]}{on}")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in columns:
        table.add_column(name)
    return table


def _machine(machine: Machine) -> Table:
    table = _table("machine", "what", "found")
    table.add_row("processor", f"{machine.cpu}, {machine.cores} cores, {machine.memory_mib / 1024:.1f} GiB")
    table.add_row("instructions", machine.instructions)
    for g in machine.cards.gpus:
        table.add_row(f"card {g.index}", f"{g.name} ({g.target}), {g.free_mib} of {g.memory_mib} MiB free")
    if machine.cards.gpus:
        table.add_row("driver", f"{machine.cards.driver}, CUDA {machine.cards.cuda or 'unknown'}")
    else:
        table.add_row("card", "no NVIDIA card, or no driver that answers")
    table.add_row("versions", ", ".join(f"{k} {v}" for k, v in machine.versions.items()))
    return table


def _devices(found: Diagnosis) -> Table:
    table = _table("devices", "device", "installed", "why not", "what helps")
    for d in found.devices:
        table.add_row(d.device + " (experimental)" * d.experimental, "yes" if d.installed else "no", d.why, d.fix)
    return table


def _graphs(found: Diagnosis) -> Table:
    table = _table("graphs", "member", "role", "MB", "weights", "runs on", "load ms", "first run ms")
    for g in found.graphs:
        total = sum(n for kind, n in g.numbers.items() if kind != "index") or 1
        weights = ", ".join(f"{k} {100 * n / total:.0f} %" for k, n in sorted(g.numbers.items()) if k != "index")
        times = ["-" if ms is None else f"{ms:.1f}" for ms in (g.load_ms, g.run_ms)]
        table.add_row(g.member, g.role, f"{g.bytes / 1e6:.2f}", weights, g.runs_on or "does not run", *times)
    return table


def _engines(found: Diagnosis) -> Table:
    table = _table("engines", "member", "where", "library", "for", "profile", "fits", "why not", "what helps")
    for e in found.engines:
        profile = ", ".join(f"{d}={':'.join(map(str, sizes))}" for d, sizes in e.profile.items())
        library, targets = f"{e.flavour} {e.version}", ", ".join(e.targets)
        table.add_row(
            e.member, e.where, library, targets, profile, "yes" if e.fits else "no", "; ".join(e.why_not), e.fix
        )  # fmt: skip
    return table
