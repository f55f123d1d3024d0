"""What a plan needs, what this machine has, whether the two fit, and the command that helps where they do not.

Tries rather than guesses: graphs are loaded and run. Prints nothing; what it finds is a `Diagnosis`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic
from numpy.typing import NDArray

from .backends import DEVICES, DeviceName, Runtime, parse_device, why_not
from .diagnosis import DeviceReport, Diagnosis, EngineReport, Finding, GraphReport, Level
from .errors import BackendError, MissingExtraError, PlanError, PlanFault, TALError
from .files import cache_folder
from .graph_contents import contents
from .hardware import Machine, this_machine
from .manifest import EngineRecord, Graph, Tensor
from .plan import Plan, read_plan


def examine(path: Path, device: str = "auto") -> Diagnosis:
    """Look at a plan and at this machine.

    Args:
        path: the plan; whatever is wrong with it is a finding, not an error.
        device: what it is to run on, as `TALEngine.load` takes it.

    Raises:
        UsageError: no such device.
    """
    parse_device(device)
    found = Diagnosis(str(path), this_machine(), device)
    found.devices = _devices()
    try:
        plan = read_plan(path)
    except PlanError as e:
        found.findings.append(Finding("error", str(e), _PLAN_FIXES.get(e.fault, _EXPORT_AGAIN)))
        found.status = e.exit_code
        return found
    manifest = plan.manifest
    found.plan = {
        "name": manifest.name, "method": manifest.method.name, "sha256": plan.sha256, "spec": manifest.schema_.spec,
        "precision": manifest.precision, "classes": len(manifest.vocabulary), "streams": dict(manifest.streams),
        "encoders": [e.name for e in manifest.encoders],
    }  # fmt: skip
    found.engines = _engines(plan, path, found.machine)
    _try(plan, found)
    _advise(plan, found)
    return found


_EXPORT_AGAIN = "copy the plan again from where it was made, or export it again: tal export CHECKPOINT -o x.plan"
_PLAN_FIXES = {
    PlanFault.MISSING_FILE: "give the path of a .plan",
    PlanFault.NEWER_SCHEMA: "pip install --upgrade tal-engine",
    PlanFault.UNKNOWN_FIELD: "pip install --upgrade tal-engine, or export the plan with this version",
}


def _devices() -> list[DeviceReport]:
    found = []
    for kind in DEVICES:
        if kind == "auto":
            continue
        try:
            why = why_not(DeviceName(kind))
        except MissingExtraError as e:
            why = str(e)
        found.append(DeviceReport(kind, why is None, *_with_fix(why or "")))
    return found


def _with_fix(why: str) -> tuple[str, str]:
    """A reason and the command at its end, apart."""
    what, _, command = why.partition(": pip ")
    return what, f"pip {command}" if command else ""


def _try(plan: Plan, found: Diagnosis) -> None:
    """Load and run every graph on the device that was asked for, or what it falls back to."""
    manifest = plan.manifest
    roles = [(manifest.head, "head"), *((e.graph, f"encoder of {e.stream}") for e in manifest.encoders)]
    if manifest.evaluator is not None:
        roles.insert(1, (manifest.evaluator, "evaluator"))
    try:
        runtime: Runtime | None = Runtime(found.asked)
    except MissingExtraError as e:
        runtime = None
        found.findings.append(Finding("error", *_with_fix(str(e))))
    for graph, role in roles:
        report = _tried(plan, graph, role, runtime, rows=int(role.startswith("encoder")))
        found.graphs.append(report)
        if report.error:
            found.findings.append(Finding("error", report.error, _EXPORT_AGAIN))
    if runtime is not None:
        found.device = str(runtime.device)
        level: Level = "warning" if found.asked == "auto" else "error"
        for why, fix in map(_with_fix, runtime.fallbacks):
            if not fix and not found.machine.cards.gpus:
                fix = f"there is no card here: --device {found.device}"
            found.findings.append(Finding(level, f"{why}; falls back to {found.device}", fix))
    if any(f.level == "error" for f in found.findings):
        found.status = BackendError.exit_code
    if any(g.error for g in found.graphs):
        found.device = ""


def _tried(plan: Plan, graph: Graph, role: str, runtime: Runtime | None, rows: int) -> GraphReport:
    content, engines = plan.files[graph.member], [e for e in plan.engines if e[0].graph == graph.member]
    try:
        inside = contents(content)
        precision, numbers = inside.precision, inside.numbers
    except ValueError:  # the runtime says more of it
        precision, numbers = "", {}
    profile = engines[0][0].profile if engines else {}
    feeds = {t.name: _small(t, profile) for t in graph.inputs}
    shapes = {n: list(a.shape) for n, a in feeds.items()}
    known: dict[str, Any] = {"precision": precision, "numbers": numbers, "ran_on": shapes}
    if runtime is not None:
        try:
            known |= _timed(content, graph, runtime, feeds, rows, engines)
        except TALError as e:
            known["error"] = str(e)
    return GraphReport(graph.member, role, len(content), **known)


def _timed(
    content: bytes,
    graph: Graph,
    runtime: Runtime,
    feeds: dict[str, NDArray[Any]],
    rows: int,
    engines: Sequence[tuple[EngineRecord, bytes]],
) -> dict[str, Any]:
    began = time.perf_counter()
    backend = runtime.open(content, graph.member, rows=rows, spec=graph, engines=engines)
    loaded = time.perf_counter()
    out = backend.run(feeds)
    ran = time.perf_counter()
    bad = [n for n, a in out.items() if not np.isfinite(a).all()]
    return {
        "runs_on": backend.description,
        "load_ms": 1e3 * (loaded - began),
        "run_ms": 1e3 * (ran - loaded),
        "error": f"{graph.member}: gives {bad[0]} that is NaN or infinite" if bad else "",
    }


#: Sizes of free dimensions that every graph takes; an engine may have been built for others.
_SMALL = {"B": 1, "T": 32, "H": 64, "W": 64}


def _small(tensor: Tensor, profile: Mapping[str, tuple[int, int, int]]) -> NDArray[Any]:
    """A small input of a graph, the same each time; inside the profile of its engine, where it has one."""
    rng = np.random.default_rng(0)
    sizes = {**_SMALL, **{d: min(max(_SMALL.get(d, 4), least), most) for d, (least, _, most) in profile.items()}}
    shape = [d if isinstance(d, int) else sizes.get(d, 4) for d in tensor.shape]
    if tensor.dtype == "uint8":
        return rng.integers(0, 256, shape, np.uint8)
    return rng.random(shape).astype(tensor.dtype)


def _engines(plan: Plan, path: Path, machine: Machine) -> list[EngineReport]:
    """Engines inside the plan, and other ones of its graphs in the user's cache."""
    hashes = {g.member: hashlib.sha256(plan.files[g.member]).hexdigest() for g in plan.manifest.graphs}
    inside = plan.manifest.engines
    known = {r.sha256 for r in inside}
    cached = [r for r in _cached() if r.graph_sha256 in hashes.values() and r.sha256 not in known]
    places: list[tuple[Literal["plan", "cache"], list[EngineRecord]]] = [("plan", inside), ("cache", cached)]
    found = []
    for where, record in ((where, r) for where, records in places for r in records):
        why = misfits(record, machine)
        if record.graph_sha256 not in hashes.values():
            why.insert(0, f"it was built from another {record.graph} than the plan holds")
        fields = record.model_dump(include=set(EngineReport.__dataclass_fields__))
        fix = _fix_of(record, machine, path) if why else ""
        found.append(EngineReport(where=where, why_not=why, fix=fix, **fields))
    return found


def _cached() -> list[EngineRecord]:
    """Records of the engines in the user's cache; what cannot be read is skipped."""
    found = []
    for path in sorted((cache_folder() / "engines").glob("*.json")):
        try:
            found.append(EngineRecord.model_validate_json(path.read_bytes()))
        except (OSError, pydantic.ValidationError):
            continue
    return found


def misfits(record: EngineRecord, machine: Machine) -> list[str]:
    """Every reason why an engine cannot be used on a machine."""
    why = []
    installed = machine.versions.get(record.flavour)
    if installed is None:
        why.append(f"{record.flavour} is not installed")
    elif installed != record.version:
        why.append(f"it was built by {record.flavour} {record.version}, installed is {installed}")
    here = [g.target for g in machine.cards.gpus]
    if not here:
        why.append(f"it is for a card of {', '.join(record.targets)}, this machine has no NVIDIA card")
    elif not set(here) & set(record.targets):
        why.append(f"it is for {', '.join(record.targets)}, the card is {', '.join(here)}")
    if record.platform != machine.platform:
        why.append(f"it was built for {record.platform}, this is {machine.platform}")
    return why


def _fix_of(record: EngineRecord, machine: Machine, path: Path) -> str:
    """The command that makes one which fits."""
    if not machine.cards.gpus:
        return "no engine is needed without a card: --device cpu"
    if record.flavour not in machine.versions:
        return f"pip install {record.flavour}=={record.version}"
    targets = f" --sm {machine.cards.gpus[0].target.removeprefix('sm')}" if record.flavour == "tensorrt-rtx" else ""
    return f"tal plan build {path} --backend {record.flavour}{targets}"


def _advise(plan: Plan, found: Diagnosis) -> None:
    """What is worth knowing although the plan runs."""
    stated = plan.manifest.precision
    differing = [g for g in found.graphs if g.precision not in ("", stated)]
    if differing:
        what = ", ".join(f"{g.member} is {g.precision}" for g in differing)
        found.findings.append(Finding("note", f"the plan states {stated}; by their weights {what}"))
    gpus: Sequence[Any] = found.machine.cards.gpus
    installed = {d.device for d in found.devices if d.installed}
    if gpus and not installed & {"cuda", "ort-tensorrt"}:
        command = "pip uninstall onnxruntime; pip install 'tal-engine[gpu]'"
        found.findings.append(Finding("warning", f"{gpus[0].name} is not used: no runtime here can", command))
    if found.engines and not any(e.fits for e in found.engines):
        level: Level = "warning" if gpus else "note"
        found.findings.append(Finding(level, "none of the plan's engines fits this machine", found.engines[0].fix))
