"""``tal plan build``: the graphs of a plan compiled ahead of time, or the plan in another precision."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.table import Table

from .._util.files import cache_folder, whole_file, write_text
from .._util.instructions import instructions
from ..backends.cuda import CudaDevice, Device
from ..backends.engine_cache import EngineCache
from ..backends.profile import Profile, describe, parse_profile, profile_of
from ..backends.tensorrt.edition import Flavour, check_targets, load_flavour
from ..backends.tensorrt.engines import cached_engine
from ..engine import TALEngine
from ..errors import BackendError, MissingExtraError, UsageError, require
from ..plan.archive import Plan, with_engines, with_snippet, write_plan
from ..plan.fields import EngineRecord
from ..plan.int8 import int8_notes
from ..pose.plans import open_plan
from .console import errors, stdout
from .inputs import expand_sources
from .shared import PlanArgument, former


class Runtime(StrEnum):
    """What `--backend` takes."""

    TENSORRT = "tensorrt"
    TENSORRT_RTX = "tensorrt-rtx"
    ORT_TRT = "ort-trt"
    ONNXRUNTIME = "onnxruntime"


class Precision(StrEnum):
    """What `--precision` takes."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


class ResizeOf(StrEnum):
    """What `--resize-of` takes."""

    RGB = "rgb"
    YUV = "yuv"


class Flow(StrEnum):
    """What `--flow` takes."""

    DIS = "dis"
    DIS_ULTRAFAST = "dis_ultrafast"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("build")(build)


def build(
    plan: PlanArgument = None,
    backend: Annotated[
        Runtime,
        typer.Option(help="onnxruntime only changes the precision, ort-trt lets it build.", rich_help_panel="The plan"),
    ] = Runtime.TENSORRT,
    precision: Annotated[
        Precision | None, typer.Option(help="Default: the plan's own.", rich_help_panel="The plan")
    ] = None,
    calibration: Annotated[
        list[Path] | None,
        typer.Option(
            help="For int8: feature files, or videos where the plan has encoders; or folders; repeatable.",
            rich_help_panel="The plan",
        ),
    ] = None,
    resize_of: Annotated[
        ResizeOf | None,
        typer.Option(
            help="What is scaled: yuv converts stored frames in one pass (docs/speed.md). Default: the plan's.",
            rich_help_panel="The plan",
        ),
    ] = None,
    flow: Annotated[
        Flow | None,
        typer.Option(help="Preset of DIS for a plan with flow. Default: the plan's.", rich_help_panel="The plan"),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=LEAST:BEST:LARGEST",
            help="Sizes of a free dimension, such as T=1:320:4096, or B=1:8:32 for the batch; repeatable.",
            rich_help_panel="Engines",
        ),
    ] = None,
    batch: Annotated[str | None, typer.Option("--batch", hidden=True)] = None,
    sm: Annotated[
        str | None,
        typer.Option(
            help="Compute capabilities, such as 86,89; one engine for each. Default: this machine's card.",
            rich_help_panel="Engines",
        ),
    ] = None,
    timing_cache: Annotated[
        Path | None,
        typer.Option(
            help="File that keeps what TensorRT timed. Default: in the cache folder.", rich_help_panel="Engines"
        ),
    ] = None,
    embed: Annotated[
        bool, typer.Option("--embed", help="Put the engines into the plan.", rich_help_panel="The plan")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="With --embed or onnxruntime the plan to write, else a folder for the engines.",
            rich_help_panel="The plan",
        ),
    ] = None,
) -> None:
    """Compile a plan's graphs for certain cards, or write the plan in another precision."""
    opened, asked = open_plan(plan), parse_profile(_profiles(profile or [], batch))
    found = opened
    if resize_of is not None or flow is not None:
        found = with_snippet(opened, resize_of=resize_of and resize_of.value, flow=flow and flow.value)
        if backend is not Runtime.ONNXRUNTIME:
            raise UsageError("--resize-of and --flow are for --backend onnxruntime; build engines of what that writes")
    if backend is Runtime.ONNXRUNTIME:
        _refuse(backend, {"--sm": sm, "--timing-cache": timing_cache, "--embed": embed, "--profile": asked})
        if output is None:
            raise UsageError("--backend onnxruntime needs --output, the plan to write")
        variant = _in_precision(found, precision, calibration or [])
        write_plan(output, variant)
        gate = "" if variant is found else f"; its gate ran on {instructions()}"
        errors.print(f"{output}: {variant.manifest.precision}{gate}")
        for note in int8_notes(variant.manifest):
            errors.print(note)
        return
    if backend is Runtime.ORT_TRT:
        _refuse(
            backend, {"--sm": sm, "--timing-cache": timing_cache, "--embed": embed, "--profile": asked, "-o": output}
        )
        _warm_up(found, precision)
        return
    flavour = load_flavour(backend.value)
    if timing_cache is not None and not flavour.has_timing_cache:
        raise UsageError(f"--timing-cache: {flavour.title} has none; it keeps what it compiles when it runs by itself")
    variant = _in_precision(found, precision, calibration or [])
    where = _place(plan, output, embed, is_variant=variant is not found)
    built = _engines(variant, flavour, asked, sm, timing_cache)
    if embed:
        write_plan(where, with_engines(variant, built))
    elif output is not None:
        _write(where, built)
    else:
        _refuse_unkept(built)
    stdout().print(_summary(where, [record for record, _ in built]))


def _warm_up(plan: Plan, precision: Precision | None) -> None:
    """Let ONNX Runtime's TensorRT provider build what it caches; its profile is `ort_tensorrt.PROFILE`."""
    if precision is not None and precision.value != plan.manifest.precision:
        raise UsageError("another --precision makes another plan: write it with --backend onnxruntime, then build that")
    engine = TALEngine(plan, "ort-tensorrt", strict=True)
    engine.load_encoders()
    errors.print(f"{engine.description}: engines are in {cache_folder() / 'ort-tensorrt'}")


def _place(plan: Path | None, output: Path | None, embed: bool, *, is_variant: bool) -> Path:
    """Return where the engines go: into a plan, a folder or the cache."""
    if is_variant and output is None:
        what = "--embed would overwrite the plan with it" if embed else "no plan on disk would use its engines"
        raise UsageError(f"another --precision makes another plan: {what}; add --embed and --output")
    if output is None and embed and plan is None:
        raise UsageError("--embed without --output would change the plan that ships with the package")
    if output is not None:
        if not embed and output.exists() and not output.is_dir():
            raise UsageError(f"{output}: is not a folder; with --embed a plan is written")
        return output
    return plan if embed and plan is not None else EngineCache().folder


def _profiles(texts: list[str], batch: str | None) -> list[str]:
    """Return the texts of `--profile`, and of `--batch`, which until 0.2 was the profile of "B"."""
    return texts if batch is None else [*texts, former("--batch", "--profile", f"B={batch}", None)]


def _refuse(backend: Runtime, options: dict[str, Any]) -> None:
    given = [name for name, value in options.items() if value]
    if given:
        raise UsageError(f"{given[0]} is for engines that we build, --backend {backend.value} builds none of them")


def _in_precision(plan: Plan, precision: Precision | None, calibration: list[Path]) -> Plan:
    """Return the plan as it is, or its variant, which has passed the parity check."""
    same = precision is None or precision.value == plan.manifest.precision
    if (precision is Precision.INT8 and not same) != bool(calibration):
        raise UsageError("--calibration belongs to --precision int8, which needs it")
    if precision is None or same:
        return plan
    from ..export.calibration import Calibration
    from ..export.variant import Precision as VariantPrecision
    from ..export.variant import make_variant

    sources = expand_sources(calibration, features=True) if calibration else []
    target = cast("VariantPrecision", precision.value)
    return make_variant(plan, target, Calibration(sources) if sources else None)


def _engines(
    plan: Plan, flavour: Flavour, asked: Profile, sm: str | None, timing_cache: Path | None
) -> list[tuple[EngineRecord, bytes]]:
    """Return an engine of each graph for each target, from the cache where it has them."""
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
    """Open this machine's first GPU."""
    try:
        return CudaDevice(0)
    except (BackendError, MissingExtraError):
        return None


def _refuse_unkept(built: list[tuple[EngineRecord, bytes]]) -> None:
    """Raise an error if the cache cannot be written: here nothing would be left of the work."""
    cache = EngineCache()
    for record, _ in built:
        if cache.newest(record.__eq__) is None:
            raise BackendError(
                f"{cache.folder}: cannot keep {record.member}, what was built is lost: set TAL_CACHE to a folder that "
                "can be written, or add --output"
            )


def _write(folder: Path, built: list[tuple[EngineRecord, bytes]]) -> None:
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
