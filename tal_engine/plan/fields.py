"""The parts of a manifest: graphs and their tensors, encoders, members, engines."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic


class Strict(pydantic.BaseModel):
    """A record whose fields are all known; it does not change."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=True, ser_json_inf_nan="strings")


#: A width (a batch of it fits into memory), a size that C++ takes, one that may be 0, a file's size, a name, a SHA-256.
Width = Annotated[int, pydantic.Field(ge=1, le=2**20)]


Size = Annotated[int, pydantic.Field(ge=1, lt=2**31)]


Count = Annotated[int, pydantic.Field(ge=0, lt=2**31)]


Bytes = Annotated[int, pydantic.Field(ge=0, lt=2**63)]


Name = Annotated[str, pydantic.StringConstraints(min_length=1, max_length=1000)]


Digest = Annotated[str, pydantic.StringConstraints(pattern=r"^[0-9a-f]{64}$")]


#: A name in place of a size; digits alone would be a number that somebody wrote as text.
FreeDimension = Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]


class Tensor(Strict):
    """Name, type and shape of a graph's input or output; a name in the shape is a free dimension."""

    name: Name
    dtype: Literal["float32", "uint8"]
    shape: Annotated[list[Width | FreeDimension], pydantic.Field(min_length=1, max_length=8)]


class Graph(Strict):
    """An ONNX member and its tensors."""

    member: Name
    inputs: list[Tensor]
    outputs: list[Tensor]


class Encoder(Strict):
    """Turns snippets into one stream of features."""

    name: Name
    stream: Name
    reads: Literal["frames", "flow"]
    dim: Width
    weights_sha256: str
    graph: Graph
    #: What the graph does to what it reads: which frames of a snippet, size, value range. Part of the contract.
    preprocess: dict[str, str] = {}


class PoseEncoder(Strict):
    """Turns snippets into features of what the person in them does.

    Two graphs find the person and the joints, picture by picture (`pose.tracking`); a rule of the package, which
    `preprocess` names, describes the poses of a snippet (`pose.features`).
    """

    name: Name
    stream: Name
    reads: Literal["pose"] = "pose"
    dim: Width
    #: Of the rule, whatever found the poses: heads that were trained on recorded skeletons read those of videos.
    weights_sha256: str
    #: Which graphs find the poses, and by which rules they are followed. No part of the contract that must agree.
    poses: str
    detector: Graph
    landmarks: Graph
    preprocess: dict[str, str] = {}


class Method(Strict):
    """How the head was trained."""

    name: str
    config: dict[str, Any] = {}


class Member(Strict):
    """Size and hash of a file in the plan."""

    bytes: Bytes
    sha256: Digest


class EngineRecord(Strict):
    """A graph compiled for certain machines: what it was made from, for what, and what came out.

    The same record stands in a plan, where `member` is one of its members, and beside an engine in the cache.
    """

    member: Name
    #: The ONNX member it was built from, and the hash of that file.
    graph: Name
    graph_sha256: Digest
    flavour: Literal["tensorrt", "tensorrt-rtx"]
    #: Of the library that built it; TensorRT engines run under the version that made them.
    version: str
    #: Compute capabilities, such as "sm89"; of TensorRT engines the one of the card they were built on.
    targets: list[str]
    #: Operating system and processor, such as "linux-x86_64".
    platform: str
    #: Dimensions by name: least, best, largest.
    profile: dict[str, tuple[Size, Size, Size]]
    #: Layers by the precision they really have, as the built engine tells.
    layers: dict[str, Count]
    bytes: Bytes
    sha256: Digest
    build_seconds: Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)]

    @pydantic.field_validator("profile")
    @classmethod
    def _rising(cls, value: dict[str, tuple[int, int, int]]) -> dict[str, tuple[int, int, int]]:
        for name, sizes in value.items():
            if list(sizes) != sorted(sizes):
                raise ValueError(f"{name} is {sizes}, must be least, best and largest in rising order")
        return value
