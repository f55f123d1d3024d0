"""Which feature streams a network reads, and how it puts one, two or more of them together.

Published heads read I3D's RGB and flow. Here every head reads the streams that there are, under any names; a network
of RGB and flow has the same parts, under the same names, as it always had.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ...errors import UsageError, require

C = TypeVar("C")

#: The stream of an image-text model: methods that compare it with texts read it by this name.
IMAGE = "clip"
#: Streams of published heads, in the order of their features.
PUBLISHED = ("rgb", "flow")


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """What the config of every head and method begins with: its visual streams.

    >>> StreamConfig(rgb=1280, flow=0).visual
    {'rgb': 1280}
    >>> StreamConfig(widths={"rgb": 512, "pose": 75, "audio": 128}).visual
    {'rgb': 512, 'pose': 75, 'audio': 128}
    """

    #: Widths of the feature streams; 0: it is not read.
    rgb: int = 1024
    flow: int = 1024
    #: Widths of the streams by name, in the order in which they are read, in place of `rgb` and `flow`; {}: these two.
    widths: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for stream, width in {"rgb": self.rgb, "flow": self.flow, **self.widths}.items():
            require(width >= 0, f"the width of stream {stream}", width, "0 or more")
        if not self.visual:
            raise UsageError("rgb and flow are both 0 wide and widths names no stream: there is nothing to read")

    @property
    def visual(self) -> dict[str, int]:
        """Widths of the streams that the network classifies, in their order."""
        return dict(self.widths) or {s: w for s in PUBLISHED if (w := int(getattr(self, s)))}

    @property
    def total(self) -> int:
        """Width of all visual streams side by side."""
        return sum(self.visual.values())


def with_streams(config: C, widths: Mapping[str, int]) -> C:
    """Set a config's visual streams; RGB and flow have their own fields, others are in `widths`."""
    changes: dict[str, Any] = {s: widths.get(s, 0) for s in PUBLISHED}
    plain = tuple(widths) == tuple(s for s in PUBLISHED if s in widths)
    changes["widths"] = {} if plain else dict(widths)
    return replace(config, **changes)  # type: ignore[type-var]


def default_streams(available: Iterable[str]) -> tuple[str, ...]:
    """Choose the streams to classify by: all but that of an image-text model, if there are others.

    RGB and flow come first, in this order, whatever the order of the others is.

    >>> default_streams(["clip", "pose", "flow", "rgb"]), default_streams(["clip"])
    (('rgb', 'flow', 'pose'), ('clip',))
    """
    found = tuple(dict.fromkeys(available))
    others = [s for s in found if s != IMAGE]
    known = [s for s in PUBLISHED if s in others]
    return (*known, *(s for s in others if s not in known)) or found


def width_of(config: Any, stream: str) -> int:
    """Return the width of a stream that a network reads; that of an image-text model is its joint space's."""
    visual: Mapping[str, int] = config.visual
    if stream in visual:
        return visual[stream]
    return int(config.joint)


def visual_streams(config: StreamConfig) -> tuple[str, ...]:
    """Return the streams of heads that read no others, in training and after it."""
    return tuple(config.visual)


def with_image(config: StreamConfig) -> tuple[str, ...]:
    """Return the visual streams, and that of the image-text model if it is not one of them."""
    return tuple(dict.fromkeys((*config.visual, IMAGE)))


def joined(streams: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    """Concatenate the named streams, [B, T, total] (RGB before flow, as in the public features)."""
    return torch.cat([streams[s] for s in names], dim=-1)


def part_name(stream: str) -> str:
    """Name a network's part for a stream: "rgb" and "flow"; others cannot hide one of its own names.

    >>> part_name("flow"), part_name("fusion")
    ('flow', 'stream_fusion')
    """
    return stream if stream in PUBLISHED else f"stream_{stream}"


def add_parts(owner: nn.Module, parts: Mapping[str, nn.Module]) -> None:
    """Give a network a part of each stream; `parts_of` finds them.

    Raises:
        UsageError: a stream's name has a dot, which names of parameters are split at.
    """
    for stream, part in parts.items():
        require("." not in stream, "the name of a stream", stream, "without a dot")
        owner.add_module(part_name(stream), part)


def parts_of(owner: nn.Module, streams: Iterable[str]) -> dict[str, Any]:
    """Return the parts of streams that `add_parts` gave to a network."""
    return {s: getattr(owner, part_name(s)) for s in streams}


def own_width(streams: Mapping[str, Tensor], widths: Mapping[str, int]) -> None:
    """Hold streams against their widths.

    Raises:
        UsageError: naming the stream that is not as wide as the config says.
    """
    for s, width in widths.items():
        if streams[s].shape[-1] != width:
            raise UsageError(f"stream {s!r} is {streams[s].shape[-1]} wide, must be {width}")
