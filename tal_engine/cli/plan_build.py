"""``tal plan build``: the graphs of a plan compiled ahead of time, or the plan in another precision."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ..backends.cache import EngineCache
from ..backends.cuda import CudaDevice, Device
from ..backends.profile import Profile, describe, parse_profile, profile_of
from ..backends.tensorrt_flavour import Flavour, check_targets, load_flavour
from ..backends.tensorrt_open import cached_engine
from ..engine import EMBEDDED_PLAN
from ..errors import BackendError, MissingExtraError, UsageError, require
from ..files import whole_file, write_text
from ..manifest import EngineRecord
from ..plan import Plan, read_plan, with_engines, write_plan
from .console import errors, stdout


class Runtime(StrEnum):
    """What `--backend` takes."""

    TENSORRT = "tensorrt"
    TENSORRT_RTX = "tensorrt-rtx"
    ONNXRUNTIME = "onnxruntime"


class Precision(StrEnum):
    """What `--precision` takes."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("build")(build)


def build(
    plan: Annotated[Path | None, typer.Argument(help="A plan; without it, the embedded demo plan.")] = None,
    backend: Annotated[Runtime, typer.Option(help="onnxruntime only changes the precision.")] = Runtime.TENSORRT,
    precision: Annotated[Precision | None, typer.Option(help="Default: the plan's own.")] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=LEAST:BEST:LARGEST", help="Sizes of a free dimension, such as T=1:320:4096; repeatable."
        ),
    ] = None,
    batch: Annotated[str | None, typer.Option(metavar="LEAST:BEST:LARGEST", help="The same for B, the batch.")] = None,
    sm: Annotated[
        str | None,
        typer.Option(help="Compute capabilities, such as 86,89; one engine for each. Default: this machine's card."),
    ] = None,
    timing_cache: Annotated[
        Path | None, typer.Option(help="File that keeps what TensorRT timed. Default: in the cache folder.")
    ] = None,
    embed: Annotated[bool, typer.Option("--embed", help="Put the engines into the plan.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="With --embed or onnxruntime the plan to write, else a folder for the engines."
        ),
    ] = None,
) -> None:
    """Compile a plan's graphs for certain cards, or write the plan in another precision."""
    path = plan or EMBEDDED_PLAN
    found = read_plan(path)
    asked = parse_profile(profile or [], batch)
    if backend is Runtime.ONNXRUNTIME:
        _refuse(backend, {"--sm": sm, "--timing-cache": timing_cache, "--embed": embed, "--profile": asked})
        require(output is not None, "--output", output, "the plan to write")
        variant = _in_precision(found, precision)
        write_plan(output or path, variant)
        errors.print(f"{output}: {variant.manifest.precision}")
        return
    if embed and output is None and plan is None:
        raise UsageError("--embed without --output would change the plan that ships with the package")
    variant = _in_precision(found, precision)
    flavour = load_flavour(backend.value)
    if timing_cache is not None and not flavour.has_timing_cache:
        raise UsageError(f"--timing-cache: {flavour.title} has none; it keeps what it compiles when it runs by itself")
    built = _engines(variant, flavour, asked, sm, timing_cache)
    if embed:
        write_plan(output or path, with_engines(variant, built))
    elif output is not None:
        _write(output, built)
    where = (output or path) if embed or output is not None else EngineCache().folder
    stdout().print(_summary(where, [record for record, _ in built]))


def _refuse(backend: Runtime, options: dict[str, Any]) -> None:
    given = [name for name, value in options.items() if value]
    if given:
        raise UsageError(f"{given[0]} is for engines, --backend {backend.value} builds none")


def _in_precision(plan: Plan, precision: Precision | None) -> Plan:
    """The plan as it is, or its variant, which has passed the gate."""
    if precision is None or precision.value == plan.manifest.precision:
        return plan
    from ..export.variant import make_variant

    variant: Plan = make_variant(plan, precision.value)
    return variant


def _engines(
    plan: Plan, flavour: Flavour, asked: Profile, sm: str | None, timing_cache: Path | None
) -> list[tuple[EngineRecord, bytes]]:
    """An engine of each graph for each target, out of the cache where it has them."""
    used = {d for g in plan.manifest.graphs for t in g.inputs for d in t.shape}
    idle = sorted(set(asked) - used)
    if idle:
        raise UsageError(f"profile of {idle[0]}: no graph of the plan has this dimension")
    card = _card()
    targets = check_targets(flavour, _targets(sm), card.target if card is not None else None)
    cache, built = EngineCache(), []
    for graph in plan.manifest.graphs:
        content, profile = plan.files[graph.member], profile_of(graph, asked)
        for target in targets:
            engine = cached_engine(
                flavour, content, graph, profile, [target], cache, timing_cache=timing_cache, device=card
            )
            built.append(engine)
    return built


def _targets(sm: str | None) -> list[str]:
    """Compute capabilities from "75,8.6,sm89"."""
    parts = [p.strip().lower().removeprefix("sm").replace(".", "") for p in (sm or "").split(",") if p.strip()]
    for part in parts:
        require(re.fullmatch(r"\d{2,3}", part) is not None, "--sm", sm, "compute capabilities such as 86,89")
    return [f"sm{p}" for p in parts]


def _card() -> Device | None:
    """This machine's first card."""
    try:
        return CudaDevice(0)
    except (BackendError, MissingExtraError):
        return None


def _write(folder: Path, built: list[tuple[EngineRecord, bytes]]) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is not a folder; with --embed a plan is written")
    for record, engine in built:
        with whole_file(folder / record.member) as temporary:
            temporary.write_bytes(engine)
        write_text(folder / f"{record.member}.json", record.model_dump_json(indent=1) + "\n")


def _summary(where: Path, records: list[EngineRecord]) -> Table:
    table = Table(title=str(where), title_justify="left")
    for column in ("engine", "profile", "layers", "MB", "seconds"):
        table.add_column(column, justify="right" if column in ("MB", "seconds") else "left")
    for r in records:
        layers = ", ".join(f"{n} {p}" for p, n in r.layers.items()) or "not inspected"
        table.add_row(r.member, describe(r.profile), layers, f"{r.bytes / 1e6:.2f}", f"{r.build_seconds:.2f}")
    return table
