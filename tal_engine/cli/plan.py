"""``tal plan``: look into plans."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ..engine import EMBEDDED_PLAN, TALEngine
from ..errors import UsageError
from ..files import whole_file, write_text
from ..manifest import MANIFEST
from ..plan import Plan, read_plan
from ..stream.window import Pace
from . import plan_build
from .console import stdout
from .plan_doctor import doctor

app = typer.Typer(help="Inspect, verify, build and unpack plans.", no_args_is_help=True)
plan_build.register(app)
app.command("doctor")(doctor)

PlanPath = Annotated[Path | None, typer.Argument(help="A plan; without it, the embedded demo plan.")]


@app.command()
def inspect(
    plan: PlanPath = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest itself.")] = False,
) -> None:
    """Print what is inside a plan."""
    found = read_plan(plan or EMBEDDED_PLAN)
    if as_json:
        typer.echo(found.document.decode(), nl=False)
        return
    stdout().print(_summary(plan or EMBEDDED_PLAN, found))


def _summary(path: Path, plan: Plan) -> Table:
    m = plan.manifest
    table = Table(title=str(path), title_justify="left", show_header=False)
    encoders = ", ".join(f"{e.name} ({e.stream} {e.dim})" for e in m.encoders) or "none: reads features"
    rows = {
        "name": m.name,
        "description": m.description,
        "method": m.method.name,
        "classes": f"{len(m.vocabulary)}: {', '.join(m.vocabulary)}",
        "snippets": f"{m.snippet.window} frames every {m.snippet.stride} at {m.snippet.fps:g} fps, "
        f"{f'{m.snippet.crop} pixels' if m.snippet.crop else 'as decoded'}, flow {m.snippet.flow}",
        "encoders": encoders,
        "head reads": ", ".join(f"{k} {v}" for k, v in m.streams.items()),
        "proposals": "pairs of boundaries" if m.evaluator is not None else "groups above thresholds",
        "streams": f"the last {m.stream.window:g} s every {m.stream.step:g} s; finals at most "
        f"{Pace.of(m.stream, m.snippet).declared_s:.1f} s after the end of an action",
        "precision": m.precision,
        "operating point": f"score >= {m.segment.min_score:.3f}",
        "gate": ", ".join(f"{k} {v}" for k, v in m.parity.get("head", {}).items()),
        "made by": ", ".join(f"{k} {v}" for k, v in m.producer.items()),
        "engines": ", ".join(e.member for e in m.engines) or "none: built for each card where they are needed",
        "members": ", ".join(f"{k} {v.bytes / 1e6:.2f} MB" for k, v in m.members.items()),
        "sha256": plan.sha256,
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


@app.command()
def verify(plan: PlanPath = None, device: str = "auto") -> None:
    """Check structure, hashes and manifest, and load the graphs on this machine."""
    path = plan or EMBEDDED_PLAN
    engine = TALEngine.load(path, device)
    engine.load_encoders()
    typer.echo(f"{path}: sound; {engine.description}; sha256 {engine.plan.sha256}")


@app.command()
def unpack(
    plan: Annotated[Path, typer.Argument(help="A plan.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")],
) -> None:
    """Write the pure files: manifest.json, labels.txt, the .onnx graphs and the .engine files that are inside."""
    found = read_plan(plan)
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is not a folder")
    write_text(output / MANIFEST, found.document.decode())
    write_text(output / "labels.txt", "".join(f"{n}\n" for n in found.vocabulary))
    for name, content in found.files.items():
        with whole_file(output / name) as temporary:
            temporary.write_bytes(content)
    typer.echo(f"{output}: {', '.join([MANIFEST, 'labels.txt', *found.files])}")
