"""What can be chosen about each stage: frozen dataclasses, stored in the plan field for field.

`SourceOptions`, `ProposalOptions` and `NmsOptions` mirror the structs of ``csrc/include/tal``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from .errors import UsageError
from .timeline import Timeline


def _require(ok: bool, what: str, value: object, allowed: str) -> None:
    if not ok:
        raise UsageError(f"{what} is {value!r}, must be {allowed}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SnippetOptions:
    """How frames become snippets: part of the feature contract.

    The video is put on a grid of `fps` slots a second; a slot shows the frame that is on screen
    at its centre. A snippet is `window` consecutive slots, one begins every `stride` slots.
    """

    fps: float = 25.0
    window: int = 16
    stride: int = 16
    #: Shorter side after the resize, then side of the centre crop, pixels. Both 0: frames stay as
    #: decoded, for encoders that resize in their graphs; memory then grows with the picture.
    resize: int = 112
    crop: int = 112
    #: How frames shrink: "area" means all pixels that one covers, "bilinear" takes the nearest four, as I3D's protocol
    #: has it. Growing is bilinear either way.
    interpolation: Literal["area", "bilinear"] = "area"
    #: Optical flow between consecutive slots of a snippet; the last one is repeated, so that
    #: every snippet depends on its own frames only. "tvl1" is what I3D was trained on and takes
    #: OpenCV's contrib modules, "dis" costs a hundredth of it.
    flow: Literal["none", "dis", "tvl1"] = "dis"
    #: Flow is computed of the centre that encoders see, or of whole frames and then cropped, as I3D's protocol has it:
    #: that sees what enters the crop, and costs as much more as the frame is larger.
    flow_of: Literal["crop", "whole"] = "crop"
    #: Flow is clipped to +-flow_clip pixels (deepmind/kinetics-i3d: 20).
    flow_clip: float = 20.0
    #: The last, incomplete window: filled with its last frame, or dropped as I3D features do.
    #: A video shorter than one window is always filled.
    tail: Literal["pad", "drop"] = "pad"

    def __post_init__(self) -> None:
        _require(0 < self.fps <= 1000, "fps", self.fps, "in (0, 1000]")
        _require(self.window >= 1, "window", self.window, "at least 1")
        _require(self.stride >= 1, "stride", self.stride, "at least 1")
        _require(self.resize >= 0, "resize", self.resize, "0 (as decoded) or more")
        allowed = f"in 1..resize ({self.resize})" if self.resize else "0, as resize is"
        _require(0 < self.crop <= self.resize or self.crop == self.resize == 0, "crop", self.crop, allowed)
        how = self.interpolation
        _require(how in ("area", "bilinear"), "interpolation", how, "'area' or 'bilinear'")
        _require(self.flow_of in ("crop", "whole"), "flow_of", self.flow_of, "'crop' or 'whole'")
        _require(self.flow in ("none", "dis", "tvl1"), "flow", self.flow, "'none', 'dis' or 'tvl1'")
        _require(self.flow_clip > 0, "flow_clip", self.flow_clip, "positive")
        _require(self.tail in ("pad", "drop"), "tail", self.tail, "'pad' or 'drop'")

    @property
    def for_flow(self) -> SnippetOptions:
        """The same with the size of the pictures that flow is computed on: I3D's where frames stay as decoded."""
        return self if self.resize else replace(self, resize=I3D_SNIPPETS.resize, crop=I3D_SNIPPETS.crop)

    @property
    def crops_after_flow(self) -> bool:
        """Frames stay whole up to the flow stage, which crops them and the flow."""
        return self.flow != "none" and self.flow_of == "whole"


def timeline_of(options: SnippetOptions) -> Timeline:
    """Seconds of the snippet grid."""
    return Timeline(0.0, options.stride / options.fps, options.window / options.fps)


#: What `video.decode` makes of the pixels of a file: part of the feature contract beside the options, and another text
#: for each change of its rules.
PIXELS = "display shape, deinterlaced, 8-bit RGB of full range; rules 1"

#: What the public I3D features were made of (deepmind/kinetics-i3d; methods.md 2).
I3D_SNIPPETS = SnippetOptions(resize=256, crop=224, interpolation="bilinear", flow="tvl1", flow_of="whole", tail="drop")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """One way to cut sequences into proposals (`tal::SourceOptions`, documented there)."""

    #: What is cut: each kept class's column of the CAS, or the attention that all classes share.
    of: Literal["cas", "attention"]
    thresholds: tuple[float, ...]
    #: How the cut sequence, and the class's sequence that scores are taken on, are scaled.
    scale: Literal["none", "minmax", "relu_minmax"] = "minmax"
    score_scale: Literal["none", "minmax", "relu_minmax"] = "minmax"
    scoring: Literal["contrast", "maximum"] = "contrast"
    #: lambda and gamma of the outer-inner contrast (methods.md 1.5).
    outer_ratio: float = 0.25
    class_weight: float = 0.2


def linspace(first: float, last: float, count: int) -> tuple[float, ...]:
    """Evenly spaced thresholds, rounded so that they read as they are written."""
    step = (last - first) / max(count - 1, 1)
    return tuple(round(first + i * step, 10) for i in range(count))


def _pvlr_sources() -> tuple[SourceOptions, ...]:
    cas = SourceOptions(of="cas", thresholds=linspace(0.1, 0.95, 10), outer_ratio=0.1, class_weight=0.5)
    return cas, replace(cas, of="attention", scale="none", score_scale="none", class_weight=0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalOptions:
    """From activations to proposals (`tal::ProposalOptions`); defaults: PVLR's public code on THUMOS14."""

    sources: tuple[SourceOptions, ...] = field(default_factory=_pvlr_sources)
    class_score: Literal["softmax", "sigmoid"] = "softmax"
    class_threshold: float = 0.2
    class_fallback: bool = True
    topk_ratio: int = 20
    min_length: int = 1
    upsample: int = 1
    background: bool = True
    compat_any: bool = False

    def __post_init__(self) -> None:
        _require(self.topk_ratio >= 1, "topk_ratio", self.topk_ratio, "at least 1")
        _require(self.min_length >= 1, "min_length", self.min_length, "at least 1")
        _require(self.upsample >= 1, "upsample", self.upsample, "at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryOptions:
    """From boundary probabilities to proposals that a graph of the plan scores; defaults: BSN's and APN's."""

    #: Where actions may start and end, and which pairs of both make a proposal: see `ops.boundary_pairs`. Durations
    #: are in snippets; d_max 0 allows all, top_k 0 keeps all.
    peak_share: float = 0.5
    d_min: int = 1
    d_max: int = 0
    top_k: int = 500
    #: Where the evaluator reads a proposal: so many places, from margin * duration before it to as much after it.
    points: int = 32
    margin: float = 0.1
    #: A class whose score of a proposal is below is left out.
    min_score: float = 0.001

    def __post_init__(self) -> None:
        _require(0 <= self.peak_share <= 1, "peak_share", self.peak_share, "in [0, 1]")
        _require(self.d_min >= 1, "d_min", self.d_min, "at least 1")
        _require(
            self.d_max == 0 or self.d_max >= self.d_min, "d_max", self.d_max, f"0 or at least d_min ({self.d_min})"
        )
        _require(self.top_k >= 0, "top_k", self.top_k, "0 (all) or more")
        _require(self.points >= 1, "points", self.points, "at least 1")
        _require(0 <= self.margin < 1, "margin", self.margin, "in [0, 1)")
        _require(0 <= self.min_score < 1, "min_score", self.min_score, "in [0, 1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class NmsOptions:
    """Non-maximum suppression (`tal::NmsOptions`, documented there)."""

    kind: Literal["hard", "linear", "gaussian", "suppressor"] = "gaussian"
    sigma: float = 0.2
    threshold: float = 0.0
    threshold_slope: float = 0.0
    inclusive: bool = False
    length_offset: float = 0.0
    min_score: float = float("-inf")
    top_k: int = 0
    class_agnostic: bool = False

    def __post_init__(self) -> None:
        kinds = ("hard", "linear", "gaussian", "suppressor")
        _require(self.kind in kinds, "kind", self.kind, f"one of {', '.join(kinds)}")
        _require(self.sigma > 0, "sigma", self.sigma, "positive")
        _require(0 <= self.threshold <= 1, "threshold", self.threshold, "in [0, 1]")
        _require(self.length_offset >= 0, "length_offset", self.length_offset, "0 or more")
        _require(self.top_k >= 0, "top_k", self.top_k, "0 (all) or more")


#: Suppression as published code has it; ``ops.suppress(..., options=NMS_RULES["bmn"])``. Source: methods.md 1.7.
NMS_RULES = {
    "co2": NmsOptions(kind="gaussian", sigma=0.3, length_offset=1.0),  # CO2-Net, HAM-Net; in snippets
    "pvlr": NmsOptions(kind="gaussian", sigma=0.2, length_offset=1.0),  # THUMOS14, in snippets
    "basnet": NmsOptions(kind="hard", threshold=0.7, inclusive=True, length_offset=1.0),  # BaS-Net, LACP
    "cola": NmsOptions(kind="hard", threshold=0.6, inclusive=True, length_offset=1.0),  # CoLA, UM
    "aicl": NmsOptions(kind="suppressor", sigma=0.35, threshold=0.4, inclusive=True, length_offset=1.0),  # ASL, AICL
    "actionformer": NmsOptions(kind="gaussian", sigma=0.5, min_score=0.001, top_k=200),
    "bmn": NmsOptions(kind="gaussian", sigma=0.4, threshold=0.5, threshold_slope=0.4, class_agnostic=True, top_k=100),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOptions:
    """What of the suppressed proposals becomes a segment."""

    #: Segments below this score are left out. Plans carry the operating point that was chosen on
    #: validation videos; evaluation uses -inf.
    min_score: float = float("-inf")
    #: At most this many segments a video, best first; 0 keeps all.
    top_k: int = 0

    def __post_init__(self) -> None:
        _require(self.min_score == self.min_score, "min_score", self.min_score, "a number")
        _require(self.top_k >= 0, "top_k", self.top_k, "0 (all) or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """How a stream is localized: what the head sees at a time, and how long a decision waits. All in seconds."""

    #: The head sees the last `window` of the stream, again after every `step`. All are rounded to whole snippets, and
    #: the window holds at least a step and a gap, so that two windows share what may go on.
    window: float = 60.0
    step: float = 2.0
    #: A segment is final once the stream has gone on for so long after its end. Past half of the window, or what it
    #: shares with the next one, it counts only until the window moves, as later the start or all would be lost. With a
    #: window that covers the video and a look-ahead as long, finals are those of the file.
    look_ahead: float = 8.0
    #: A segment is open while it goes on within `gap` of the newest snippet.
    gap: float = 1.0
    #: While no frame comes the last one is taken to be still on screen, for so long at most. A longer pause cuts the
    #: stream: what is open is decided, the pause is recorded as not analysed.
    max_still: float = 10.0
    #: An action that goes on for longer is cut there, marked as truncated, and goes on as another; 0 allows all, less
    #: than a snippet is taken as one. One that is found too late for that is cut as soon as it can be told in time.
    #: What was cut off is not told again: from then on all of the class begins there.
    max_action: float = 0.0
    #: Shorter actions are left out.
    min_action: float = 0.0
    #: Segments are made longer by it on both sides, within the stream so far.
    pad: float = 0.0
    #: A provisional segment appears at the plan's operating point and is withdrawn only so far below it, as a share
    #: of it: 0.15 holds what has 85 % of it. Finals reach the operating point.
    hysteresis: float = 0.15

    def __post_init__(self) -> None:
        _require(0 < self.step <= self.window < float("inf"), "step", self.step, f"in (0, window ({self.window})]")
        _require(0 <= self.look_ahead <= self.window, "look_ahead", self.look_ahead, f"in [0, window ({self.window})]")
        _require(0 <= self.gap <= self.window / 2, "gap", self.gap, f"in [0, half of window ({self.window})]")
        _require(self.max_still > 0, "max_still", self.max_still, "positive")
        for name in ("max_action", "min_action", "pad", "hysteresis"):
            _require(0 <= getattr(self, name) < float("inf"), name, getattr(self, name), "0 or more")
        longest, shortest = self.max_action, self.min_action
        allowed = f"0 or at least min_action ({shortest})"
        _require(not longest or longest >= shortest, "max_action", longest, allowed)


#: What happens when frames come faster than they are taken: see `LiveOptions.policy`.
POLICIES = ("wait", "drop_oldest", "drop_latest", "adaptive")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """How a source is read while it runs: what waits, what is dropped, when it counts as lost. All in seconds."""

    #: wait: reading stops until there is room (the server buffers). drop_oldest: the frame that waits longest goes.
    #: drop_latest: the new frame goes. adaptive: only every n-th frame is kept, n growing as the line fills and falling
    #: as it empties, so that the loss is spread evenly; what no other frame is made of is then not decoded, and if n
    #: reaches from key frame to key frame, none but these are. All of it counts as dropped. None: wait for what ends by
    #: itself (files, folders, stdin), drop_oldest for the rest.
    policy: Literal["wait", "drop_oldest", "drop_latest", "adaptive"] | None = None
    #: So many decoded frames wait at most.
    buffer: int = 64
    #: A live source that gives no frame for so long counts as lost and is connected again.
    source_timeout: float = 10.0
    #: The first pause before a new try, doubled by each up to `reconnect_longest`; after `reconnect_limit` without a
    #: frame the source has failed (0: it is tried for ever).
    reconnect_first: float = 0.5
    reconnect_longest: float = 30.0
    reconnect_limit: float = 0.0
    #: Also try again after what a repetition seldom heals on the first connection: a wrong password, a missing path,
    #: something that is no video.
    retry_refused: bool = False
    #: A file, folder or stdin is paced by its time stamps, as if it were live.
    realtime: bool = False
    #: RTP over TCP loses nothing; some cameras know UDP only.
    transport: Literal["tcp", "udp"] = "tcp"
    #: Frames a second of a folder of images.
    fps: float = 25.0
    #: Frames on stdin as WxH@FPS, rgb24 without any header; empty: stdin is a container.
    raw: str = ""
    #: Size and rate that a camera of this machine is asked for, as WxH@FPS; empty: as its driver has it. What it cannot
    #: give, the driver replaces by what is near.
    camera: str = ""

    def __post_init__(self) -> None:
        _require(self.policy is None or self.policy in POLICIES, "policy", self.policy, f"one of {', '.join(POLICIES)}")
        _require(self.buffer >= 2, "buffer", self.buffer, "at least 2 frames")
        for name in ("source_timeout", "reconnect_first"):
            _require(0 < getattr(self, name) < float("inf"), name, getattr(self, name), "positive")
        least = f"at least reconnect_first ({self.reconnect_first})"
        _require(self.reconnect_longest >= self.reconnect_first, "reconnect_longest", self.reconnect_longest, least)
        _require(self.reconnect_limit >= 0, "reconnect_limit", self.reconnect_limit, "0 (for ever) or more")
        _require(self.transport in ("tcp", "udp"), "transport", self.transport, "'tcp' or 'udp'")
        _require(0 < self.fps <= 1000, "fps", self.fps, "in (0, 1000]")
