"""``tal plan``: look into plans."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from .._util.files import whole_file, write_text
from .._util.instructions import instructions
from ..backends import Runtime
from ..diagnostics.doctor import TIMEOUT_S
from ..engine import TALEngine
from ..errors import UsageError
from ..plan.archive import Plan, read_plan_bytes
from ..plan.manifest import MANIFEST, Manifest
from ..plan.signatures import verified
from ..pose.plans import open_plan, plan_path
from ..streaming.window import OnlineTiming, timing_of
from . import plan_build, plan_sign
from .console import stdout
from .plan_doctor import doctor
from .plan_people import people
from .shared import Device, Json, Key, PlanArgument
from .texts import plan_classes

app = typer.Typer(help="Inspect, verify, sign, build and unpack plans.", no_args_is_help=True)
plan_build.register(app)
plan_sign.register(app)
app.command("doctor")(doctor)
app.command("people")(people)
app.command("classes")(plan_classes)

#: What thresholds were chosen for.
_CHOSEN = {
    "f1": "chosen for the best F1",
    "false_alarms_per_hour": "chosen for false alarms an hour:",
    "operating_point": "the plan's former operating point",
}


@app.command()
def inspect(
    plan: PlanArgument = None,
    as_json: Json = False,
) -> None:
    """Print what is inside a plan; with --json its manifest itself."""
    found = open_plan(plan)
    if as_json:
        typer.echo(found.document.decode(), nl=False)
        return
    stdout().print(_summary(plan_path(plan), found))


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
        "streams": f"{_looks(m)}; finals at most {timing_of(m).max_latency_s:.2f} s after the end of an action",
        "precision": m.precision,
        "scores": _scores(m),
        "operating point": _operating_point(m),
        "domain": _domain(m),
        "texts": _texts(m),
        "gate": ", ".join(f"{k} {v}" for k, v in m.parity.get("head", {}).items()),
        "made by": ", ".join(f"{k} {v}" for k, v in m.producer.items()),
        "engines": ", ".join(e.member for e in m.engines) or "none: built for each card where they are needed",
        "members": ", ".join(f"{k} {v.bytes / 1e6:.2f} MB" for k, v in m.members.items()),
        "sha256": plan.sha256,
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _looks(m: Manifest) -> str:
    if m.online is not None:
        late = OnlineTiming.of_online(m.online, m.snippet).max_start_latency_s
        return f"snippet by snippet; starts at most {late:.2f} s after they are told to be"
    return f"the last {m.stream.window:g} s every {m.stream.step:g} s"


def _scores(m: Manifest) -> str:
    c = m.calibration
    if c is None:
        return "raw: they order the segments of a class and mean nothing else"
    error = "not measured" if c.ece is None else f"{c.ece:.3f}"
    on = _sources(c.fitted_on, c.videos, f"{c.segments} segments")
    return f"calibrated ({c.method}, tIoU {c.tiou:g}; {on}); expected calibration error {error}"


def _domain(m: Manifest) -> str:
    d = m.domain
    if d is None:
        return "unknown: results cannot say whether a video is like the training videos"
    on = _sources(d.fitted_on, d.videos, f"{d.snippets} snippets")
    return f"known from {on}; warns below {d.warn_below:g}"


def _texts(m: Manifest) -> str:
    t = m.texts
    if t is None:
        return "no tower: classes are as they are"
    return f"other classes can be given as texts (--classes); said as {', '.join(map(repr, t.head.prompts))}"


def _sources(text: str, videos: int, parts: str) -> str:
    """Say what something was fitted on; how many videos that is, unless the text begins with it."""
    counted = text.partition(" ")[0] == str(videos)
    return ", ".join(t for t in (text, "" if counted else f"{videos} videos", parts) if t)


def _operating_point(m: Manifest) -> str:
    if m.thresholds is None:
        return f"score >= {m.segment.min_score:.3f}"
    t = m.thresholds
    rate = "" if t.false_alarms_per_hour is None else f" {t.false_alarms_per_hour:g}"
    values = set(t.classes.values())
    least = ", ".join(f"{name} {v:.3f}" for name, v in t.classes.items())
    least = f"{values.pop():.3f} for all classes" if len(values) == 1 and len(t.classes) > 1 else least
    return f"{_CHOSEN[t.chosen_for]}{rate}: {least}"


@app.command()
def verify(
    plan: PlanArgument = None,
    device: Device = "auto",
    key: Key = None,
    signature: Annotated[Path | None, typer.Option(help="File of the signature; default: PLAN.minisig.")] = None,
) -> None:
    """Check signature (with --key), structure, hashes and manifest, load the graphs here, and gate again if needed.

    A plan whose numerical gate ran on other instruction sets than this processor's is gated again.
    """
    path = plan_path(plan)
    if signature is not None and key is None:
        raise UsageError(f"--signature {signature} needs --key, the public key that it is to be by")
    signed = "" if key is None else f"; signed by this key ({verified(read_plan_bytes(path), path, key, signature)})"
    engine = TALEngine(open_plan(path), device, timeout=TIMEOUT_S)
    engine.load_encoders()
    _gate_again(engine.plan, device)
    typer.echo(f"{path}: sound; {engine.description}; sha256 {engine.plan.sha256}{signed}")


def _gate_again(plan: Plan, device: str) -> None:
    """Run the gate on this CPU where the plan's own ran on other instruction sets; cards have no such gate.

    Raises:
        ParityError: a graph does not compute here what it says.
    """
    if Runtime(device).device.kind != "cpu" or not plan.manifest.parity:
        return
    from ..export.regate import gate_here, gated_elsewhere

    elsewhere = gated_elsewhere(plan)
    if not elsewhere:
        return
    worst = max(part["tensor"] for part in gate_here(plan).values())
    typer.echo(
        f"gate: ran on {'; '.join(elsewhere)}, this is {instructions()}: run again, tensors are within {worst:.1e} of "
        "the graphs without optimizations"
    )


@app.command()
def unpack(
    plan: Annotated[Path, typer.Argument(help="A plan.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")],
) -> None:
    """Write the pure files: manifest.json, labels.txt, the .onnx graphs and the .engine files that are inside."""
    found = open_plan(plan)
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is not a folder")
    write_text(output / MANIFEST, found.document.decode())
    write_text(output / "labels.txt", "".join(f"{n}\n" for n in found.vocabulary))
    for name, content in found.files.items():
        with whole_file(output / name) as temporary:
            temporary.write_bytes(content)
    typer.echo(f"{output}: {', '.join([MANIFEST, 'labels.txt', *found.files])}")
