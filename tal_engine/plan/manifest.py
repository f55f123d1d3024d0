"""The manifest of a plan: its fields, what must agree with what, and reading it. Knows no files and no zip."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

import pydantic

from .._util.untrusted import parse_json
from ..errors import PlanError, PlanFault, require
from ..options import (
    BoundaryOptions,
    NmsOptions,
    ProposalOptions,
    PyramidOptions,
    SegmentOptions,
    SnippetOptions,
    StreamOptions,
)
from ..vocabulary import Vocabulary
from .domain_fields import DomainRecord
from .fields import Encoder, EngineRecord, Graph, Member, Method, Name, PoseEncoder, Size, Strict, Width
from .graph_rules import check_graphs
from .online_fields import OnlineOptions
from .score_fields import ScoreCalibration, ScoreThresholds, check_scores, least_raw
from .text_fields import TextTower

#: Version of the file layout (zip, manifest first, hashes) and of the manifest's fields. Spec 2 added
#: `evaluator`, spec 3 `engines`, `stream`, `snippet.interpolation` and `snippet.flow_of`, spec 4 `calibration`,
#: `thresholds`, `domain`, proposals of pyramids, encoders of poses, online heads, `texts` and `snippet.resize_of`.
LAYOUT, SPEC = 1, 4

MANIFEST = "manifest.json"


class Schema(Strict):
    """Versions of the plan."""

    layout: Size = LAYOUT
    spec: Size = SPEC


_MARKS: tuple[tuple[str, type, str], ...] = (
    ("peak_share", BoundaryOptions, "boundary"),
    ("strides", PyramidOptions, "pyramid"),
    ("horizon_s", OnlineOptions, "online"),
)


def _kind(value: Any) -> str:
    """Return the kind of a proposal stage's options, by what the options of this kind alone name."""
    for mark, options, kind in _MARKS:
        if mark in value if isinstance(value, dict) else isinstance(value, options):
            return kind
    return "threshold"


_Proposal = Annotated[
    Annotated[ProposalOptions, pydantic.Tag("threshold")]
    | Annotated[BoundaryOptions, pydantic.Tag("boundary")]
    | Annotated[PyramidOptions, pydantic.Tag("pyramid")]
    | Annotated[OnlineOptions, pydantic.Tag("online")],
    pydantic.Discriminator(_kind),
]


def _reads(value: Any) -> str:
    """Return the kind of an encoder: a graph that reads snippets, or one of poses."""
    reads = value.get("reads") if isinstance(value, dict) else getattr(value, "reads", None)
    return "pose-encoder" if reads == "pose" else "graph-encoder"


_AnyEncoder = Annotated[
    Annotated[Encoder, pydantic.Tag("graph-encoder")] | Annotated[PoseEncoder, pydantic.Tag("pose-encoder")],
    pydantic.Discriminator(_reads),
]

#: What heads give, by the kind of proposal stage: outputs that must be there, in this order, and those that may.
_OUTPUTS = {
    "threshold": (["cas"], {"attention", "video"}),
    "boundary": (["start", "end", "embedding"], set[str]()),
    "pyramid": (["score", "distance"], set[str]()),
    "online": (["cas", "now", "actionness", "start", "end", "hazard", "next_memory"], set[str]()),
}


class Manifest(Strict):
    """Everything the runtime needs to know, field by field."""

    schema_: Schema = pydantic.Field(default_factory=Schema, alias="schema")
    name: str
    description: str = ""
    method: Method
    vocabulary: list[str]
    snippet: SnippetOptions
    encoders: list[_AnyEncoder]
    streams: Annotated[dict[Name, Width], pydantic.Field(min_length=1)]
    head: Graph
    #: Scores proposals: embedding [T, D] and positions [P, points] to score [P, C]; only with `BoundaryOptions`.
    evaluator: Graph | None = None
    proposal: _Proposal
    nms: NmsOptions
    #: Its `min_score` is on the scale that results have: calibrated where there is a `calibration`.
    segment: SegmentOptions
    calibration: ScoreCalibration | None = None
    thresholds: ScoreThresholds | None = None
    #: What its training features looked like.
    domain: DomainRecord | None = None
    #: The tower that embeds classes given as texts.
    texts: TextTower | None = None
    stream: StreamOptions = StreamOptions()
    precision: Literal["fp32", "fp16", "bf16", "int8"] = "fp32"
    producer: dict[str, str] = pydantic.Field(default_factory=dict)
    provenance: dict[str, Any] = pydantic.Field(default_factory=dict)
    parity: dict[str, dict[str, Any]] = pydantic.Field(default_factory=dict)
    members: dict[str, Member] = pydantic.Field(default_factory=dict)
    #: Engines that are inside; others lie in the cache of each machine.
    engines: list[EngineRecord] = pydantic.Field(default_factory=list)

    @pydantic.model_validator(mode="after")
    def _agree(self) -> Manifest:
        names = [t.name for t in self.head.outputs]
        needed, optional = _OUTPUTS[_kind(self.proposal)]
        rest = names[len(needed) :]
        if names[: len(needed)] != needed or set(rest) - optional or len(set(names)) < len(names):
            more = f", then {sorted(optional)} if it has them" if optional else ""
            raise ValueError(f"head gives {names}, must give {needed} first{more}")
        self._scores_classes()
        self._is_online()
        for e in self.encoders:
            if e.reads == "pose" and self.snippet.resize:
                raise ValueError(f"encoder {e.name} reads poses of whole frames, snippet.resize is not 0")
            if self.streams.get(e.stream) != e.dim:
                raise ValueError(f"encoder {e.name} gives {e.stream}[{e.dim}], streams say {self.streams}")
            if e.reads == "flow" and self.snippet.flow == "none":
                raise ValueError(f"encoder {e.name} reads flow, snippet.flow is 'none'")
        check_graphs(self)
        check_scores(self.vocabulary, self.calibration, self.thresholds, self.segment.min_score)
        if self.domain is not None:
            self.domain.check(self.streams, self.members)
        if self.texts is not None:
            self.texts.check(self.streams)
        contract = self.provenance.get("contract", {})
        if not isinstance(contract, dict) or not isinstance(contract.get("pixels", ""), str):
            raise ValueError(f"provenance.contract is {contract!r:.200}, must be an object whose pixels are a text")
        known = {g.member for g in self.graphs}
        for engine in self.engines:
            if engine.graph not in known:
                raise ValueError(f"engine {engine.member} was built from {engine.graph}, which no graph is")
        return self

    def _scores_classes(self) -> None:
        """Check that the graph whose columns are classes has as many as there are."""
        graph, classes = self.evaluator or self.head, len(Vocabulary(self.vocabulary))
        if isinstance(self.proposal, BoundaryOptions) != (self.evaluator is not None):
            raise ValueError("an evaluator belongs to a proposal stage that pairs boundaries, and to no other")
        if isinstance(self.proposal, ProposalOptions):
            classes += self.proposal.background
        if self.evaluator is not None:
            io = [t.name for t in (*graph.inputs, *graph.outputs)]
            if io != ["embedding", "positions", "score"]:
                raise ValueError(f"evaluator reads and gives {io}, must be embedding, positions and score")
        columns = graph.outputs[0].shape[-1]
        if columns != classes:
            raise ValueError(f"{graph.member} gives {columns} columns, vocabulary and background make {classes}")

    def _is_online(self) -> None:
        """Check that an online head has a threshold for each class, and is asked to wait as it was trained to."""
        online = self.online
        if online is None:
            return
        if len(online.start) != len(self.vocabulary):
            raise ValueError(
                f"proposal.start has {len(online.start)} numbers, there are {len(self.vocabulary)} classes"
            )

    @property
    def online(self) -> OnlineOptions | None:
        """The options of a head that reads a stream snippet by snippet; None of one that sees windows."""
        return self.proposal if isinstance(self.proposal, OnlineOptions) else None

    @property
    def graphs(self) -> list[Graph]:
        """Every graph of the plan but those that find poses, which are never converted."""
        own = [self.head] if self.evaluator is None else [self.head, self.evaluator]
        return [*own, *(e.graph for e in self.graph_encoders)]

    @property
    def graph_encoders(self) -> list[Encoder]:
        """Encoders that are a graph."""
        return [e for e in self.encoders if isinstance(e, Encoder)]

    @property
    def pose_encoder(self) -> PoseEncoder | None:
        """The encoder that reads poses, if there is one."""
        return next((e for e in self.encoders if isinstance(e, PoseEncoder)), None)

    @property
    def pose_graphs(self) -> list[Graph]:
        """The graphs that find poses."""
        return [] if self.pose_encoder is None else [self.pose_encoder.detector, self.pose_encoder.landmarks]

    def with_segment(self, min_score: float | None, top_k: int | None, *, calibrated: bool = True) -> Manifest:
        """Return the manifest with another choice of segments and scores.

        Args:
            min_score: the least score of all classes, on the scale that results have; None keeps the plan's, class by
                class.
            top_k: None keeps the plan's.
            calibrated: False gives raw scores. Which segments are enough stays as it was unless `min_score` is given.

        Raises:
            UsageError: `min_score` is above 1 and scores are calibrated.
        """
        changes = {"min_score": min_score, "top_k": top_k}
        wanted = replace(self.segment, **{name: v for name, v in changes.items() if v is not None})  # type: ignore[arg-type]
        update: dict[str, Any] = {"segment": wanted}
        if min_score is not None:
            update["thresholds"] = None
            if self.online is not None:
                update["proposal"] = self.online.starting_at(min_score)
        if self.calibration is not None and calibrated:
            allowed = "at most 1, as this plan's scores are calibrated; raw scores: calibrated=False (--raw-scores)"
            require(wanted.min_score <= 1, "min_score", min_score, allowed)
        elif self.calibration is not None:
            update["calibration"] = None
            if min_score is None:
                update["thresholds"] = self._raw_thresholds(self.calibration)
        return self.model_copy(update=update)

    def _raw_thresholds(self, calibration: ScoreCalibration) -> ScoreThresholds:
        """Return the least raw scores that are enough once they are calibrated."""
        named = {} if self.thresholds is None else self.thresholds.classes
        least = {n: named.get(n, self.segment.min_score) for n in self.vocabulary}
        classes = {n: least_raw(calibration.classes[n], v) for n, v in least.items()}
        return ScoreThresholds.model_construct(classes=classes, chosen_for="operating_point")

    def to_json(self) -> str:
        """Serialize the manifest as it is stored."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), indent=1) + "\n"


#: What pydantic adds to the place of an error in a union.
_BRANCHES = ("constrained-int", "constrained-str", "graph-encoder", "pose-encoder")


def parse_manifest(text: bytes | str, name: str = "plan") -> Manifest:
    """Validate a manifest.

    Raises:
        PlanError: naming the field that is unknown, missing or wrong, or the newer schema.
    """
    bad = partial(PlanError, PlanFault.BAD_MANIFEST)
    raw = parse_json(text, f"{name}: {MANIFEST}", bad, finite=False)
    if not isinstance(raw, dict):
        raise bad(f"{name}: {MANIFEST} is not an object")
    _refuse_newer(raw, name)
    try:
        # Strict, so that no text passes for a number; as JSON, where strictness still takes lists for tuples.
        return Manifest.model_validate_json(json.dumps(_with_infinities(raw)), strict=True)
    except pydantic.ValidationError as e:
        first = e.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in (*_OUTPUTS, *_BRANCHES)) or "manifest"
        faults = {
            "extra_forbidden": PlanFault.UNKNOWN_FIELD,
            "unexpected_keyword_argument": PlanFault.UNKNOWN_FIELD,
            "missing": PlanFault.MISSING_FIELD,
        }
        fault = faults.get(first["type"], PlanFault.BAD_VALUE)
        raise PlanError(fault, f"{name}: manifest field {where}: {first['msg'].removeprefix('Value error, ')}") from e
    except ValueError as e:  # an option's own rule
        raise PlanError(PlanFault.BAD_VALUE, f"{name}: manifest: {e}") from e


def _with_infinities(raw: dict[str, Any]) -> dict[str, Any]:
    """Convert infinite scores to numbers: some versions of pydantic write them as texts."""
    found = dict(raw)
    for stage in ("nms", "segment"):
        options = found.get(stage)
        if isinstance(options, dict) and options.get("min_score") in ("-Infinity", "Infinity"):
            found[stage] = {**options, "min_score": float(options["min_score"])}
    return found


def _refuse_newer(raw: dict[str, Any], name: str) -> None:
    schema = raw.get("schema")
    if not isinstance(schema, dict):
        raise PlanError(PlanFault.MISSING_FIELD, f"{name}: manifest field schema is missing")
    for field, known in (("layout", LAYOUT), ("spec", SPEC)):
        version = schema.get(field)
        if isinstance(version, int | float) and version > known:
            raise PlanError(
                PlanFault.NEWER_SCHEMA,
                f"{name}: schema.{field} is {version}, this runtime reads up to {known}: upgrade tal-engine",
            )
