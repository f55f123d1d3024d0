"""The artefact: one uncompressed zip with its manifest first. Reads, verifies and writes it.

Knows files, hashes and the manifest's rules. Knows nothing of how graphs run.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from .errors import PlanError, PlanFault
from .files import whole_file
from .options import BoundaryOptions, NmsOptions, ProposalOptions, SegmentOptions, SnippetOptions
from .vocabulary import Vocabulary

#: Version of the file layout (zip, manifest first, hashes) and of the manifest's fields. Spec 2 added `evaluator`.
LAYOUT, SPEC = 1, 2

MANIFEST = "manifest.json"


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=True, ser_json_inf_nan="strings")


class Schema(_Strict):
    """Versions of the plan."""

    layout: int = LAYOUT
    spec: int = SPEC


class Tensor(_Strict):
    """Name, type and shape of a graph's input or output; a name in the shape is a free dimension."""

    name: str
    dtype: str
    shape: list[int | str]


class Graph(_Strict):
    """An ONNX member and its tensors."""

    member: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class Encoder(_Strict):
    """Turns snippets into one stream of features."""

    name: str
    stream: str
    reads: Literal["frames", "flow"]
    dim: int
    weights_sha256: str
    graph: Graph
    #: What the graph does to what it reads: which frames of a snippet, size, value range. Part of the contract.
    preprocess: dict[str, str] = {}


class Method(_Strict):
    """How the head was trained."""

    name: str
    config: dict[str, Any] = {}


class Member(_Strict):
    """Size and hash of a file in the plan."""

    bytes: int
    sha256: str


def _kind(value: Any) -> str:
    """Which options a proposal stage has: those of boundaries name `peak_share`."""
    boundary = "peak_share" in value if isinstance(value, dict) else isinstance(value, BoundaryOptions)
    return "boundary" if boundary else "threshold"


_Proposal = Annotated[
    Annotated[ProposalOptions, pydantic.Tag("threshold")] | Annotated[BoundaryOptions, pydantic.Tag("boundary")],
    pydantic.Discriminator(_kind),
]

#: What heads give, by the kind of proposal stage: outputs that must be there, in this order, and those that may.
_OUTPUTS = {"threshold": (["cas"], {"attention", "video"}), "boundary": (["start", "end", "embedding"], set[str]())}


class Manifest(_Strict):
    """Everything the runtime needs to know, field by field (house.md section 5)."""

    schema_: Schema = pydantic.Field(default_factory=Schema, alias="schema")
    name: str
    description: str = ""
    method: Method
    vocabulary: list[str]
    snippet: SnippetOptions
    encoders: list[Encoder]
    streams: dict[str, int]
    head: Graph
    #: Scores proposals: embedding [T, D] and positions [P, points] to score [P, C]; only with `BoundaryOptions`.
    evaluator: Graph | None = None
    proposal: _Proposal
    nms: NmsOptions
    segment: SegmentOptions
    precision: Literal["fp32", "fp16", "bf16", "int8"] = "fp32"
    producer: dict[str, str] = {}
    provenance: dict[str, Any] = {}
    parity: dict[str, Any] = {}
    members: dict[str, Member] = {}

    @pydantic.model_validator(mode="after")
    def _agree(self) -> Manifest:
        names = [t.name for t in self.head.outputs]
        needed, optional = _OUTPUTS[_kind(self.proposal)]
        rest = names[len(needed) :]
        if names[: len(needed)] != needed or set(rest) - optional or len(set(names)) < len(names):
            more = f", then {sorted(optional)} if it has them" if optional else ""
            raise ValueError(f"head gives {names}, must give {needed} first{more}")
        self._scores_classes()
        if {t.name for t in self.head.inputs} != set(self.streams):
            raise ValueError(f"head reads {[t.name for t in self.head.inputs]}, streams are {sorted(self.streams)}")
        for e in self.encoders:
            if self.streams.get(e.stream) != e.dim:
                raise ValueError(f"encoder {e.name} gives {e.stream}[{e.dim}], streams say {self.streams}")
            if e.reads == "flow" and self.snippet.flow == "none":
                raise ValueError(f"encoder {e.name} reads flow, snippet.flow is 'none'")
        return self

    def _scores_classes(self) -> None:
        """The graph whose columns are classes has as many as there are."""
        graph, classes = self.evaluator or self.head, len(Vocabulary(self.vocabulary))
        if isinstance(self.proposal, BoundaryOptions) != (self.evaluator is not None):
            raise ValueError("an evaluator belongs to a proposal stage that pairs boundaries, and to no other")
        if isinstance(self.proposal, ProposalOptions):
            classes += self.proposal.background
        elif (io := [t.name for t in (*graph.inputs, *graph.outputs)]) != ["embedding", "positions", "score"]:
            raise ValueError(f"evaluator reads and gives {io}, must be embedding, positions and score")
        columns = graph.outputs[0].shape[-1]
        if columns != classes:
            raise ValueError(f"{graph.member} gives {columns} columns, vocabulary and background make {classes}")

    @property
    def graphs(self) -> list[Graph]:
        """Every graph of the plan."""
        own = [self.head] if self.evaluator is None else [self.head, self.evaluator]
        return [*own, *(e.graph for e in self.encoders)]

    def to_json(self) -> str:
        """The manifest as it is stored."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), indent=1) + "\n"


@dataclass(frozen=True)
class Plan:
    """A plan in memory: its manifest, its files, and the manifest as it is stored.

    The stored text is kept: a field that a later version adds must not change the plan's hash.
    """

    manifest: Manifest
    files: Mapping[str, bytes]
    document: bytes

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Class names in the order of the label ids."""
        return Vocabulary(self.manifest.vocabulary)

    @cached_property
    def sha256(self) -> str:
        """Hash of the manifest, which holds the hashes of everything else."""
        return hashlib.sha256(self.document).hexdigest()


def read_plan(path: str | Path) -> Plan:
    """Read and verify a plan.

    Raises:
        PlanError: the file is not a sound plan; `fault` says in which way and the message names
            the field or the member.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise PlanError(PlanFault.MISSING_FILE, f"{path}: no such plan") from None
    except OSError as e:
        raise PlanError(PlanFault.MISSING_FILE, f"{path}: cannot be read ({e.strerror})") from e
    return parse_plan(data, str(path))


def parse_plan(data: bytes, name: str = "plan") -> Plan:
    """Read and verify a plan from bytes; see `read_plan`."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as e:
        raise PlanError(PlanFault.NOT_A_PLAN, f"{name}: not a plan, the zip structure is broken ({e})") from e
    with archive:
        names = archive.namelist()
        if not names or names[0] != MANIFEST:
            raise PlanError(PlanFault.NOT_A_PLAN, f"{name}: not a plan, its first member is not {MANIFEST}")
        document = _member(archive, MANIFEST, name)
        manifest = parse_manifest(document, name)
        extra = sorted(set(names[1:]) - set(manifest.members)) + sorted({n for n in names if names.count(n) > 1})
        if extra:
            raise PlanError(PlanFault.UNLISTED_MEMBER, f"{name}: member {extra[0]!r} is not in the manifest")
        files = {}
        for member, expected in manifest.members.items():
            if member not in names:
                raise PlanError(PlanFault.MISSING_MEMBER, f"{name}: member {member!r} is missing")
            content = _member(archive, member, name)
            if hashlib.sha256(content).hexdigest() != expected.sha256:
                raise PlanError(PlanFault.WRONG_HASH, f"{name}: member {member!r} was changed, its hash is wrong")
            files[member] = content
    for graph in manifest.graphs:
        if graph.member not in files:
            raise PlanError(PlanFault.MISSING_MEMBER, f"{name}: graph {graph.member!r} is not among the members")
    return Plan(manifest, files, document)


def _member(archive: zipfile.ZipFile, member: str, name: str) -> bytes:
    # Stored members only: a compressed one could grow without bounds before its hash is looked at.
    if archive.getinfo(member).compress_type != zipfile.ZIP_STORED:
        raise PlanError(PlanFault.NOT_A_PLAN, f"{name}: not a plan, member {member!r} is compressed")
    try:
        return archive.read(member)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, EOFError, RuntimeError) as e:
        raise PlanError(PlanFault.WRONG_HASH, f"{name}: member {member!r} is damaged ({e})") from e


def parse_manifest(text: bytes | str, name: str = "plan") -> Manifest:
    """Validate a manifest.

    Raises:
        PlanError: naming the field that is unknown, missing or wrong, or the newer schema.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise PlanError(PlanFault.BAD_MANIFEST, f"{name}: {MANIFEST} is not JSON ({e})") from e
    if not isinstance(raw, dict):
        raise PlanError(PlanFault.BAD_MANIFEST, f"{name}: {MANIFEST} is not an object")
    _refuse_newer(raw, name)
    try:
        return Manifest.model_validate(raw)
    except pydantic.ValidationError as e:
        first = e.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in _OUTPUTS) or "manifest"
        faults = {
            "extra_forbidden": PlanFault.UNKNOWN_FIELD,
            "unexpected_keyword_argument": PlanFault.UNKNOWN_FIELD,
            "missing": PlanFault.MISSING_FIELD,
        }
        fault = faults.get(first["type"], PlanFault.BAD_VALUE)
        raise PlanError(fault, f"{name}: manifest field {where}: {first['msg']}") from e
    except ValueError as e:  # an option's own rule
        raise PlanError(PlanFault.BAD_VALUE, f"{name}: manifest: {e}") from e


def _refuse_newer(raw: dict[str, Any], name: str) -> None:
    schema = raw.get("schema")
    if not isinstance(schema, dict):
        raise PlanError(PlanFault.MISSING_FIELD, f"{name}: manifest field schema is missing")
    for field, known in (("layout", LAYOUT), ("spec", SPEC)):
        version = schema.get(field)
        if isinstance(version, int) and version > known:
            raise PlanError(
                PlanFault.NEWER_SCHEMA,
                f"{name}: schema.{field} is {version}, this runtime reads up to {known}: upgrade tal-engine",
            )


def with_members(manifest: Manifest, files: Mapping[str, bytes]) -> Plan:
    """A plan of these files, their sizes and hashes entered into the manifest."""
    members = {n: Member(bytes=len(b), sha256=hashlib.sha256(b).hexdigest()) for n, b in files.items()}
    whole = manifest.model_copy(update={"members": members})
    return Plan(whole, dict(files), whole.to_json().encode())


def write_plan(path: str | Path, plan: Plan) -> None:
    """Write a plan; the file is whole or not there.

    The same plan gives the same bytes: entries carry a fixed date.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(plan_bytes(plan))


def plan_bytes(plan: Plan) -> bytes:
    """The plan as the bytes of its file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {MANIFEST: plan.document, **plan.files}.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()
