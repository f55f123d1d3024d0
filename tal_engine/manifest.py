"""The manifest of a plan: its fields, what must agree with what, and reading it. Knows no files and no zip."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any, Literal

import pydantic

from .errors import PlanError, PlanFault
from .options import BoundaryOptions, NmsOptions, ProposalOptions, SegmentOptions, SnippetOptions, StreamOptions
from .vocabulary import Vocabulary

#: Version of the file layout (zip, manifest first, hashes) and of the manifest's fields. Spec 2 added
#: `evaluator`, spec 3 `engines`, `stream`, `snippet.interpolation` and `snippet.flow_of`.
LAYOUT, SPEC = 1, 3

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


class EngineRecord(_Strict):
    """A graph compiled for certain machines: what it was made from, for what, and what came out.

    The same record stands in a plan, where `member` is one of its members, and beside an engine in the cache.
    """

    member: str
    #: The ONNX member it was built from, and the hash of that file.
    graph: str
    graph_sha256: str
    flavour: Literal["tensorrt", "tensorrt-rtx"]
    #: Of the library that built it; TensorRT engines run under the version that made them.
    version: str
    #: Compute capabilities, such as "sm89"; of TensorRT engines the one of the card they were built on.
    targets: list[str]
    #: Operating system and processor, such as "linux-x86_64".
    platform: str
    #: Dimensions by name: least, best, largest.
    profile: dict[str, tuple[int, int, int]]
    #: Layers by the precision they really have, as the built engine tells.
    layers: dict[str, int]
    bytes: int
    sha256: str
    build_seconds: float


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
    stream: StreamOptions = StreamOptions()
    precision: Literal["fp32", "fp16", "bf16", "int8"] = "fp32"
    producer: dict[str, str] = {}
    provenance: dict[str, Any] = {}
    parity: dict[str, Any] = {}
    members: dict[str, Member] = {}
    #: Engines that are inside; others lie in the cache of each machine.
    engines: list[EngineRecord] = []

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
        for engine in self.engines:
            if engine.graph not in {g.member for g in self.graphs}:
                raise ValueError(f"engine {engine.member} was built from {engine.graph}, which no graph is")
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

    def with_segment(self, min_score: float | None, top_k: int | None) -> Manifest:
        """The same with another choice of segments; None keeps the plan's."""
        changes = {"min_score": min_score, "top_k": top_k}
        wanted = replace(self.segment, **{name: v for name, v in changes.items() if v is not None})  # type: ignore[arg-type]
        return self.model_copy(update={"segment": wanted})

    def to_json(self) -> str:
        """The manifest as it is stored."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), indent=1) + "\n"


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
