"""The artefact: one uncompressed zip with its manifest first. Reads, verifies and writes it.

Knows files and hashes; what the manifest says is in `manifest`. Knows nothing of how graphs run.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from .._util.files import whole_file
from ..errors import PlanError, PlanFault, require
from ..options import DIS
from ..vocabulary import Vocabulary
from .container import PlanZip
from .domain_fields import DomainRecord
from .fields import EngineRecord, Member
from .graph_contents import reaches_outside
from .manifest import MANIFEST, Manifest, Schema, parse_manifest
from .members import Members, PlanFile, Stored, plan_file
from .score_fields import ScoreCalibration, ScoreThresholds

#: How every plan begins: the header of its first member.
MAGIC = b"PK\x03\x04"

#: Names that stay in the folder into which a plan is unpacked.
_NAME = re.compile(r"[\w-][\w.-]*")


@dataclass(frozen=True)
class Plan:
    """A plan in memory: its manifest, its files, and the manifest as it is stored.

    The stored text is kept: a field that a later version adds must not change the plan's hash.

    >>> from tal_engine import TALEngine
    >>> plan = TALEngine.load("demo").plan
    >>> plan.manifest.name, len(plan.vocabulary)
    ('demo', 12)
    """

    manifest: Manifest
    files: Mapping[str, bytes]
    document: bytes

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Class names in the order of the label ids."""
        return Vocabulary(self.manifest.vocabulary)

    @property
    def engines(self) -> list[tuple[EngineRecord, bytes]]:
        """Engines that are inside, each with its record."""
        return [(record, self.files[record.member]) for record in self.manifest.engines]

    @cached_property
    def sha256(self) -> str:
        """Hash of the manifest, which holds the hashes of everything else."""
        return hashlib.sha256(self.document).hexdigest()


def read_plan(path: str | Path, *, key: str | Path | None = None) -> Plan:
    """Read and verify a plan.

    Args:
        path: of the plan.
        key: public key that must have signed it; see `signatures.verified`. That is looked at before anything else is.

    Raises:
        PlanError: the file is not a sound plan; `fault` says in which way and the message names
            the field or the member.
        UsageError: `key` is no public key.

    >>> from tal_engine import read_plan
    >>> from tal_engine.engine import EMBEDDED_PLAN
    >>> sorted(read_plan(EMBEDDED_PLAN).files)
    ['domain.bin', 'encoder_flow.onnx', 'encoder_rgb.onnx', 'head.onnx']
    """
    data, file = _read(Path(path))
    if key is not None:
        from .signatures import verified

        verified(data, path, key)
    return parse_plan(data, str(path), file)


def read_plan_bytes(path: str | Path) -> bytes:
    """Read a plan's file without looking at more than its first bytes.

    Raises:
        PlanError: it is missing, cannot be read, or does not begin as a plan does: a device without an end is not
            read to its end.
    """
    return _read(Path(path))[0]


def _read(path: Path) -> tuple[bytes, PlanFile | None]:
    try:
        with path.open("rb", buffering=0) as file:
            begin = b""
            while len(begin) < len(MAGIC) and (part := file.read(len(MAGIC) - len(begin))):
                begin += part  # a pipe gives what there is
            if begin != MAGIC:
                return begin, None
            if not file.seekable():
                return begin + file.readall(), None
            file.seek(0)
            return file.readall(), plan_file(path, file.fileno())
    except FileNotFoundError:
        raise PlanError(PlanFault.MISSING_FILE, f"{path}: no such plan").missing(path) from None
    except OSError as e:
        raise PlanError(PlanFault.UNREADABLE, f"{path}: cannot be read ({e.strerror})").because(e, path) from e
    except MemoryError as e:
        raise PlanError(PlanFault.NOT_A_PLAN, f"{path}: not a plan, it is larger than the memory") from e


def parse_plan(data: bytes, name: str = "plan", file: PlanFile | None = None) -> Plan:
    """Read and verify a plan from bytes; see `read_plan`. `file` has the same bytes."""
    archive = PlanZip(data, name)
    if not archive.names or archive.names[0] != MANIFEST:
        raise PlanError(PlanFault.NOT_A_PLAN, f"{name}: not a plan, its first member is not {MANIFEST}")
    document = archive.read(MANIFEST)
    manifest = parse_manifest(document, name)
    present = set(archive.names[1:])
    extra = sorted(present - set(manifest.members))
    if extra:
        raise PlanError(PlanFault.UNLISTED_MEMBER, f"{name}: member {extra[0]!r} is not in the manifest")
    files = {}
    for member, expected in manifest.members.items():
        if not _NAME.fullmatch(member):
            allowed = "letters, digits, _, - and . in plain names, so that a plan is unpacked into its folder only"
            raise PlanError(PlanFault.BAD_VALUE, f"{name}: member is called {member!r}, must be {allowed}")
        if member not in present:
            raise PlanError(PlanFault.MISSING_MEMBER, f"{name}: member {member!r} is missing")
        files[member] = _verified(archive, member, expected, name)
    domain = [] if manifest.domain is None else [manifest.domain]
    graphs = [*manifest.graphs, *manifest.pose_graphs]
    texts = [] if manifest.texts is None else manifest.texts.members
    wanted = [("graph", g.member) for g in graphs] + [("engine", e.member) for e in manifest.engines]
    wanted += [("domain", d.member) for d in domain] + [("texts", member) for member in texts]
    for what, member in wanted:
        if member not in files:
            raise PlanError(PlanFault.MISSING_MEMBER, f"{name}: {what} {member!r} is not among the members")
    for member in [*(g.member for g in graphs), *texts[:1]]:
        outside = ""
        with suppress(ValueError):  # of what is no graph at all the runtime says more
            outside = reaches_outside(files[member])
        if outside:
            raise PlanError(PlanFault.BAD_GRAPH, f"{name}: {member} holds {outside}; plans are whole in themselves")
    stored = {} if file is None else {n: Stored(file, *archive.places[n], manifest.members[n].sha256) for n in files}
    return Plan(manifest, Members(files, stored), document)


def _verified(archive: PlanZip, member: str, expected: Member, name: str) -> bytes:
    content = archive.read(member)
    if len(content) != expected.bytes or hashlib.sha256(content).hexdigest() != expected.sha256:
        raise PlanError(PlanFault.WRONG_HASH, f"{name}: member {member!r} was changed, its hash is wrong")
    return content


def release(plan: Plan, read: Plan) -> None:
    """Give up the bytes in memory of what lies in the file that a plan was read from; see `Members.release`.

    Args:
        plan: whose sessions are open.
        read: the plan as it was read, the same one or what it was made of.
    """
    if isinstance(plan.files, Members) and isinstance(read.files, Members):
        plan.files.release(read.files)


def with_members(manifest: Manifest, files: Mapping[str, bytes]) -> Plan:
    """Create a plan of these files, entering their sizes and hashes into the manifest."""
    members = {n: Member(bytes=len(b), sha256=hashlib.sha256(b).hexdigest()) for n, b in files.items()}
    whole = manifest.model_copy(update={"members": members})
    return Plan(whole, Members(files), whole.to_json().encode())


def with_engines(plan: Plan, engines: Sequence[tuple[EngineRecord, bytes]]) -> Plan:
    """Add engines to a plan; one of the same name is replaced."""
    new = {record.member for record, _ in engines}
    kept = [e for e in plan.manifest.engines if e.member not in new]
    records = [*kept, *(record for record, _ in engines)]
    manifest = plan.manifest.model_copy(update={"engines": records, "schema_": Schema()})
    return with_members(manifest, {**plan.files, **{record.member: engine for record, engine in engines}})


def with_snippet(plan: Plan, *, resize_of: str | None = None, flow: str | None = None) -> Plan:
    """Let a plan make its pictures or its flow another way, such as a cheaper one; the graphs stay as they are.

    Its encoders were trained on what the former way makes: `tal diff --on VIDEOS --truth` measures what that costs.
    `provenance.trained_on` keeps the former way. The hash follows, so sign it anew.

    Args:
        plan: of any schema that is read, with encoders that read frames or flow.
        resize_of: see `SnippetOptions`; None keeps the plan's.
        flow: "dis" or "dis_ultrafast", for a plan of either; None keeps the plan's.

    Raises:
        UsageError: the plan has no such encoders, its flow is of another method, or the options do not go together.
    """
    manifest = plan.manifest
    former = manifest.snippet
    require(bool(manifest.graph_encoders), f"encoders of plan {manifest.name}", "none", "some that read frames or flow")
    changes = {name: value for name, value in (("resize_of", resize_of), ("flow", flow)) if value is not None}
    if flow is not None:
        require(flow in DIS, "flow", flow, f"one of {', '.join(map(repr, DIS))}")
        require(former.flow in DIS, f"flow of plan {manifest.name}", former.flow, f"one of {', '.join(map(repr, DIS))}")
    snippet = replace(former, **changes)  # type: ignore[arg-type]
    if snippet == former:
        return plan
    trained = {name: getattr(former, name) for name in changes} | manifest.provenance.get("trained_on", {})
    contract = dict(manifest.provenance.get("contract", {}))
    if flow is not None and flow != former.flow:
        contract.pop("flow", None)  # whose flow it was trained on; no OpenCV computes that of another preset
    provenance = {**manifest.provenance, "trained_on": trained}
    if "contract" in provenance:
        provenance["contract"] = contract
    update = {"snippet": snippet, "provenance": provenance, "schema_": Schema()}
    return with_members(manifest.model_copy(update=update), dict(plan.files))


def with_calibration(
    plan: Plan,
    *,
    calibration: ScoreCalibration | None = None,
    thresholds: ScoreThresholds | None = None,
    domain: tuple[DomainRecord, bytes] | None = None,
) -> Plan:
    """Calibrate a plan's scores, set its classes' least scores, or add what it was trained on.

    Its graphs stay as they are.

    The hashes follow, so a signature of the former plan does not hold any more: sign it anew.

    Args:
        plan: of any schema that is read.
        calibration: maps of raw scores; None keeps what is there. The operating point is carried over: without
            `thresholds` the same segments are enough as before.
        thresholds: the least score of each class, calibrated where the plan calibrates; None keeps what is there.
        domain: what its training features looked like, the record and the member that `inference.domain.DomainModel`
            gives; None keeps what is there.

    Raises:
        PlanError: a class is unknown or has no map, a number makes no sense; the message names it.
    """
    manifest = plan.manifest
    update: dict[str, Any] = {"schema_": Schema()}
    if calibration is not None:
        raw = manifest.with_segment(None, None, calibrated=False)
        update |= {"calibration": calibration, "segment": replace(manifest.segment, min_score=float("-inf"))}
        update["thresholds"] = _carried(raw, calibration)
    if thresholds is not None:
        update["thresholds"] = thresholds
    files = dict(plan.files)
    if domain is not None:
        if manifest.domain is not None:
            del files[manifest.domain.member]
        update["domain"], files[domain[0].member] = domain
    changed = with_members(manifest.model_copy(update=update), files)
    parse_manifest(changed.document, manifest.name)
    return changed


def _carried(raw: Manifest, calibration: ScoreCalibration) -> ScoreThresholds | None:
    """Return the least calibrated scores that pass what a plan's least raw scores pass."""
    least = {} if raw.thresholds is None else raw.thresholds.classes
    raws = {name: least.get(name, raw.segment.min_score) for name in raw.vocabulary}
    maps = {n: calibration.classes[n] for n, v in raws.items() if isfinite(v) and n in calibration.classes}
    classes = {name: float(found(np.asarray([raws[name]]))[0]) for name, found in maps.items()}
    return ScoreThresholds(classes=classes, chosen_for="operating_point") if classes else None


def write_plan(path: str | Path, plan: Plan) -> None:
    """Write a plan; the file is whole or not there.

    The same plan gives the same bytes: entries carry a fixed date.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(plan_bytes(plan))


def plan_bytes(plan: Plan) -> bytes:
    """Serialize the plan as the bytes of its file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {MANIFEST: plan.document, **plan.files}.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()
