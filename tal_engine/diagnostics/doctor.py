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

from .._util.extras import other_runtime
from .._util.files import cache_folder
from .._util.hardware import Machine, this_machine
from ..backends import DEVICES, EXPERIMENTAL, DeviceName, RunOptions, Runtime, parse_device, why_not
from ..errors import BackendError, MissingExtraError, PlanError, PlanFault, TALError
from ..plan.archive import Plan
from ..plan.fields import EngineRecord, Graph, Tensor
from ..plan.graph_contents import contents
from ..plan.int8 import int8_notes
from ..pose.plans import open_plan
from .support_report import DeviceReport, Diagnosis, EngineReport, Finding, GraphReport, Level

#: Seconds for each call of a graph on the small input that it is tried on: a plan may hold a loop without an end.
TIMEOUT_S = 60.0


def examine(path: Path, device: str = "auto", *, timeout: float = TIMEOUT_S, key: str | None = None) -> Diagnosis:
    """Look at a plan and at this machine.

    Args:
        path: the plan; whatever is wrong with it is a finding, not an error.
        device: what it is to run on, as `TALEngine.load` takes it.
        timeout: seconds for each call of a graph on its small input; 0 sets no limit.
        key: public key that must have signed the plan.

    Raises:
        UsageError: no such device, or no such key.
    """
    parse_device(device)
    diagnosis = Diagnosis(str(path), this_machine(), device)
    diagnosis.devices = _devices()
    try:
        plan = open_plan(path, key=key)
    except PlanError as e:
        diagnosis.findings.append(Finding("error", str(e), _PLAN_FIXES.get(e.fault, _EXPORT_AGAIN)))
        diagnosis.status = e.exit_code
        return diagnosis
    manifest = plan.manifest
    diagnosis.plan = {
        "name": manifest.name, "method": manifest.method.name, "sha256": plan.sha256, "spec": manifest.schema_.spec,
        "precision": manifest.precision, "classes": len(manifest.vocabulary), "streams": dict(manifest.streams),
        "encoders": [e.name for e in manifest.encoders],
    }  # fmt: skip
    diagnosis.engines = _engines(plan, path, diagnosis.machine)
    _try(plan, diagnosis, timeout)
    _advise(plan, diagnosis)
    return diagnosis


_EXPORT_AGAIN = "copy the plan again from where it was made, or export it again: tal export CHECKPOINT -o x.plan"
_PLAN_FIXES = {
    PlanFault.MISSING_FILE: "give the path of a .plan",
    PlanFault.UNREADABLE: "give a file that its user may read",
    PlanFault.UNSIGNED: "ask who made the plan for its .minisig, or tal plan sign it",
    PlanFault.BAD_SIGNATURE: "get plan and signature from who made them",
    PlanFault.NEWER_SCHEMA: "pip install --upgrade tal-engine",
    PlanFault.UNKNOWN_FIELD: "pip install --upgrade tal-engine, or export the plan with this version",
}


def _devices() -> list[DeviceReport]:
    reports = []
    for kind in DEVICES:
        if kind == "auto":
            continue
        try:
            why = why_not(DeviceName(kind))
        except MissingExtraError as e:
            why = str(e)
        reports.append(DeviceReport(kind, why is None, *_with_fix(why or ""), kind in EXPERIMENTAL))
    return reports


def _with_fix(why: str) -> tuple[str, str]:
    """Split a reason from the command at its end."""
    what, _, command = why.partition(": pip ")
    return what, f"pip {command}" if command else ""


def _try(plan: Plan, diagnosis: Diagnosis, timeout: float) -> None:
    """Load and run every graph on the device that was asked for, or what it falls back to."""
    manifest = plan.manifest
    roles = [(manifest.head, "head"), *((e.graph, f"encoder of {e.stream}") for e in manifest.graph_encoders)]
    roles += zip(manifest.pose_graphs, ("encoder's people", "encoder's joints"), strict=False)
    if manifest.evaluator is not None:
        roles.insert(1, (manifest.evaluator, "evaluator"))
    try:
        runtime: Runtime | None = Runtime(diagnosis.asked, RunOptions(timeout_s=timeout))
    except MissingExtraError as e:
        runtime = None
        diagnosis.findings.append(Finding("error", *_with_fix(str(e))))
    for graph, role in roles:
        report = _tried(plan, graph, role, runtime, rows=int(role.startswith("encoder")))
        diagnosis.graphs.append(report)
        if report.error:
            diagnosis.findings.append(Finding("error", report.error, _EXPORT_AGAIN))
    if runtime is not None:
        diagnosis.device = str(runtime.device)
        level: Level = "warning" if diagnosis.asked == "auto" else "error"
        for why, fix in map(_with_fix, runtime.fallbacks):
            if not fix and not diagnosis.machine.cards.gpus:
                fix = f"there is no card here: --device {diagnosis.device}"
            diagnosis.findings.append(Finding(level, f"{why}; falls back to {diagnosis.device}", fix))
    if any(f.level == "error" for f in diagnosis.findings):
        diagnosis.status = BackendError.exit_code
    if any(g.error for g in diagnosis.graphs):
        diagnosis.device = ""
    if any(g.status == PlanError.exit_code for g in diagnosis.graphs):  # no other machine helps
        diagnosis.status = PlanError.exit_code


def _tried(plan: Plan, graph: Graph, role: str, runtime: Runtime | None, rows: int) -> GraphReport:
    content, engines = plan.files[graph.member], [e for e in plan.engines if e[0].graph == graph.member]
    try:
        inside = contents(content)
        precision, numbers = inside.precision, inside.numbers
    except ValueError:  # the runtime says more of it
        precision, numbers = "", {}
    profile = engines[0][0].profile if engines else {}
    fields: dict[str, Any] = {"precision": precision, "numbers": numbers}
    if runtime is not None:
        try:
            feeds, others = ({t.name: _small(t, profile, more) for t in graph.inputs} for more in (0, 1))
            fields["ran_on"] = {n: list(a.shape) for n, a in feeds.items()}
            fields |= _timed(content, graph, runtime, (feeds, others), rows, engines)
        except MemoryError:
            what = f"{graph.member}: this machine has not the memory for its smallest input"
            fields |= {"error": what, "status": BackendError.exit_code}
        except TALError as e:
            fields |= {"error": str(e), "status": e.exit_code}
    return GraphReport(graph.member, role, len(content), **fields)


def _timed(
    content: bytes,
    graph: Graph,
    runtime: Runtime,
    feeds: tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]],
    rows: int,
    engines: Sequence[tuple[EngineRecord, bytes]],
) -> dict[str, Any]:
    began = time.perf_counter()
    backend = runtime.open(content, graph.member, rows=rows, spec=graph, engines=engines)
    loaded = time.perf_counter()
    out = backend.run(feeds[0])
    ran = time.perf_counter()
    backend.run(feeds[1])  # of a single row nobody sees that a graph gives the first row only
    bad = [n for n, a in out.items() if not np.isfinite(a).all()]
    return {
        "status": BackendError.exit_code if bad else 0,
        "runs_on": backend.description,
        "load_ms": 1e3 * (loaded - began),
        "run_ms": 1e3 * (ran - loaded),
        "error": f"{graph.member}: gives {bad[0]} that is NaN or infinite" if bad else "",
    }


#: Sizes of free dimensions that every graph takes; an engine may have been built for others.
_SMALL = {"B": 1, "T": 32, "P": 4, "H": 64, "W": 64}


def _small(tensor: Tensor, profile: Mapping[str, tuple[int, int, int]], more: int = 0) -> NDArray[Any]:
    """Create a small, reproducible input of a graph, inside the profile of its engine if it has one.

    more: by how much batch, snippets and pairs exceed the usual sizes.
    """
    rng = np.random.default_rng(0)
    usual = {d: n + more * (d not in ("H", "W")) for d, n in _SMALL.items()}
    sizes = {**usual, **{d: min(max(usual.get(d, 4), least), most) for d, (least, _, most) in profile.items()}}
    shape = [d if isinstance(d, int) else sizes.get(d, 4) for d in tensor.shape]
    if tensor.dtype == "uint8":
        return rng.integers(0, 256, shape, np.uint8)
    return rng.random(shape).astype(tensor.dtype)


def _engines(plan: Plan, path: Path, machine: Machine) -> list[EngineReport]:
    """Report on the engines inside the plan, and on those of its graphs in the user's cache."""
    hashes = {g.member: hashlib.sha256(plan.files[g.member]).hexdigest() for g in plan.manifest.graphs}
    inside = plan.manifest.engines
    hashes_inside = {r.sha256 for r in inside}
    cached = [r for r in _cached() if r.graph_sha256 in hashes.values() and r.sha256 not in hashes_inside]
    places: list[tuple[Literal["plan", "cache"], list[EngineRecord]]] = [("plan", inside), ("cache", cached)]
    reports = []
    for where, record in ((where, r) for where, records in places for r in records):
        why = incompatibilities(record, machine)
        if record.graph_sha256 not in hashes.values():
            why.insert(0, f"it was built from another {record.graph} than the plan holds")
        fields = record.model_dump(include=set(EngineReport.__dataclass_fields__))
        fix = _fix_of(record, machine, path) if why else ""
        reports.append(EngineReport(where=where, why_not=why, fix=fix, **fields))
    return reports


def _cached() -> list[EngineRecord]:
    """List the records of the engines in the user's cache; skip what cannot be read."""
    records = []
    for path in sorted((cache_folder() / "engines").glob("*.json")):
        try:
            records.append(EngineRecord.model_validate_json(path.read_bytes()))
        except (OSError, pydantic.ValidationError):
            continue
    return records


def incompatibilities(record: EngineRecord, machine: Machine) -> list[str]:
    """List every reason why an engine cannot be used on a machine."""
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
    """Return the command that builds a matching engine."""
    if not machine.cards.gpus:
        return "no engine is needed without a card: --device cpu"
    if record.flavour not in machine.versions:
        return f"pip install {record.flavour}=={record.version}"
    targets = f" --sm {machine.cards.gpus[0].target.removeprefix('sm')}" if record.flavour == "tensorrt-rtx" else ""
    return f"tal plan build {path} --backend {record.flavour}{targets}"


def _advise(plan: Plan, diagnosis: Diagnosis) -> None:
    """Add advice about a plan that runs."""
    stated = plan.manifest.precision
    own = {g.member for g in plan.manifest.graphs}  # those that find poses keep their own precision
    differing = [g for g in diagnosis.graphs if g.precision not in ("", stated) and g.member in own]
    if differing:
        what = ", ".join(f"{g.member} is {g.precision}" for g in differing)
        diagnosis.findings.append(Finding("note", f"the plan states {stated}; by their weights {what}"))
    if diagnosis.device == "cpu":
        for note in int8_notes(plan.manifest):
            fix = f"tal plan verify {diagnosis.path}" if note.endswith("verify") else ""
            diagnosis.findings.append(Finding("note", note.removesuffix(": tal plan verify"), fix))
    gpus: Sequence[Any] = diagnosis.machine.cards.gpus
    installed = {d.device for d in diagnosis.devices if d.installed}
    if gpus and not installed & {"cuda", "ort-tensorrt"}:
        what = f"{gpus[0].name} is not used: no runtime here can"
        diagnosis.findings.append(Finding("warning", what, other_runtime("gpu")))
    if diagnosis.engines and not any(e.fits for e in diagnosis.engines):
        level: Level = "warning" if gpus else "note"
        diagnosis.findings.append(
            Finding(level, "none of the plan's engines fits this machine", diagnosis.engines[0].fix)
        )
