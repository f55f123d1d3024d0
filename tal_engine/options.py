"""Options of each stage: frozen dataclasses, stored in the plan field by field.

`SourceOptions`, `ProposalOptions` and `NmsOptions` mirror the structs of ``csrc/include/tal``, defaults included: a
test compares every field. `BoundaryOptions` belongs to a whole stage: it caps pairs where `tal::BoundaryOptions` keeps
all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from .errors import UsageError
from .timeline import Timeline

#: Bounds on what a plan from elsewhere may ask for, far beyond what makes sense: a larger number is a mistake or meant
#: to take all memory. Counts go to C++ as 32 bits.
_MOST = 2**31 - 1
_LEAST_FPS, _MOST_SLOTS, _MOST_PIXELS = 0.001, 100_000, 16_384
_MOST_UPSAMPLED, _MOST_POINTS, _MOST_BYTES = 1000, 10_000, 2**32
_MOST_SECONDS = 1e7


def _require(ok: bool, what: str, value: object, allowed: str) -> None:
    if not ok:
        raise UsageError(f"{what} is {value!r}, must be {allowed}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SnippetOptions:
    """How frames become snippets: part of the feature contract.

    The video is resampled to a grid of `fps` slots per second; a slot shows the frame that is on screen at its centre.
    A snippet is `window` consecutive slots, and one begins every `stride` slots.

    >>> from tal_engine import SnippetOptions
    >>> options = SnippetOptions(fps=25.0, window=16, stride=16)
    >>> options.window / options.fps  # seconds of a snippet
    0.64
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
    #: What is scaled: "rgb" pictures of the stored size, or "yuv": luma and chroma as they are stored, and the small
    #: picture's colours are converted. The same but for rounding (`docs/speed.md`), for a fraction of the time; needs
    #: "area". Frames that are not stored as 8-bit 4:2:0, or are turned, take the way of "rgb".
    resize_of: Literal["rgb", "yuv"] = "rgb"
    #: Optical flow between consecutive slots of a snippet; the last one is repeated, so that
    #: every snippet depends on its own frames only. "tvl1" is what I3D was trained on and takes
    #: OpenCV's contrib modules, "dis" costs a hundredth of it, "dis_ultrafast" leaves out the variational refinement,
    #: two thirds of what "dis" costs. "vectors" computes nothing: the motion vectors of the file's codec
    #: (`video.flow_vectors`), which streams and arrays do not have.
    flow: Literal["none", "dis", "dis_ultrafast", "tvl1", "vectors"] = "dis"
    #: Flow is computed of the centre that encoders see, or of whole frames and then cropped, as I3D's protocol has it:
    #: that sees what enters the crop, and costs as much more as the frame is larger.
    flow_of: Literal["crop", "whole"] = "crop"
    #: Flow is clipped to +-flow_clip pixels (deepmind/kinetics-i3d: 20).
    flow_clip: float = 20.0
    #: The last, incomplete window: filled with its last frame, or dropped as I3D features do.
    #: A video shorter than one window is always filled.
    tail: Literal["pad", "drop"] = "pad"

    def __post_init__(self) -> None:
        _require(_LEAST_FPS <= self.fps <= 1000, "fps", self.fps, f"in [{_LEAST_FPS}, 1000]")
        _require(1 <= self.window <= _MOST_SLOTS, "window", self.window, f"in 1..{_MOST_SLOTS}")
        _require(1 <= self.stride <= _MOST_SLOTS, "stride", self.stride, f"in 1..{_MOST_SLOTS}")
        _require(0 <= self.resize <= _MOST_PIXELS, "resize", self.resize, f"in 0..{_MOST_PIXELS}; 0: as decoded")
        allowed = f"in 1..resize ({self.resize})" if self.resize else "0, as resize is"
        _require(0 < self.crop <= self.resize or self.crop == self.resize == 0, "crop", self.crop, allowed)
        size = self.window * self.crop**2 * 3
        allowed = f"such that a snippet (window * crop * crop * 3 = {size} bytes) has at most {_MOST_BYTES}"
        _require(size <= _MOST_BYTES, "window", self.window, allowed)
        interpolation = self.interpolation
        _require(interpolation in ("area", "bilinear"), "interpolation", interpolation, "'area' or 'bilinear'")
        _require(self.resize_of in ("rgb", "yuv"), "resize_of", self.resize_of, "'rgb' or 'yuv'")
        if self.resize_of == "yuv":
            _require(
                self.resize > 0, "resize", 0, "1 or more with resize_of 'yuv': what stays as decoded is not scaled"
            )
            _require(interpolation == "area", "interpolation", interpolation, "'area' with resize_of 'yuv'")
        _require(self.flow_of in ("crop", "whole"), "flow_of", self.flow_of, "'crop' or 'whole'")
        flows = ("none", "dis", "dis_ultrafast", "tvl1", "vectors")
        _require(self.flow in flows, "flow", self.flow, "'none', 'dis', 'dis_ultrafast', 'tvl1' or 'vectors'")
        _require(0 < self.flow_clip < math.inf, "flow_clip", self.flow_clip, "positive and finite")
        _require(self.tail in ("pad", "drop"), "tail", self.tail, "'pad' or 'drop'")

    @property
    def for_flow(self) -> SnippetOptions:
        """The same options with the image size of the flow method: I3D's if frames stay as decoded."""
        return self if self.resize else replace(self, resize=I3D_SNIPPETS.resize, crop=I3D_SNIPPETS.crop)

    @property
    def crops_after_flow(self) -> bool:
        """Whether frames stay whole up to the flow stage, which crops both frames and flow."""
        return self.flow != "none" and self.flow_of == "whole"

    def fitted_size(self, h: int, w: int) -> tuple[int, int]:
        """Return height and width of an image whose shorter side is scaled to `resize`, before the crop."""
        scale = self.resize / min(h, w)
        return max(round(h * scale), self.resize), max(round(w * scale), self.resize)


def timeline_of(options: SnippetOptions) -> Timeline:
    """Return the time base of the snippet grid, in seconds."""
    return Timeline(0.0, options.stride / options.fps, options.window / options.fps)


#: What `video.decode` makes of the pixels of a file: part of the feature contract beside the options, and another text
#: for each change of its rules.
PIXELS = "display shape, deinterlaced, 8-bit RGB of full range; rules 2"
#: What `features.pixel_conversion` makes of frames on the device of the encoders. By how much that differs is measured
#: by `benchmarks/bench_pixels.py` (results/pixels.json).
DEVICE_PIXELS = "8-bit 4:2:0 YUV to RGB of full range, scaled in float32 by a graph; rules 1"
#: Rules that give the same pixels of 8-bit planar 4:2:0 and 4:2:2, as nearly all files are, and of other formats differ
#: by 2.1 of 255 in the mean at most (`tests/unit/video/test_pixels.py`): 10 bits, NV12, 4:1:1.
NEAR_PIXELS = frozenset({PIXELS, PIXELS.replace("rules 2", "rules 1"), DEVICE_PIXELS})

#: Methods of flow whose fields are alike: DIS at two of its presets.
DIS = ("dis", "dis_ultrafast")

#: What the public I3D features were made of (deepmind/kinetics-i3d).
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
    #: lambda and gamma of the outer-inner contrast.
    outer_ratio: float = 0.25
    class_weight: float = 0.2

    def __post_init__(self) -> None:
        ok = len(self.thresholds) >= 1 and all(math.isfinite(t) for t in self.thresholds)
        _require(ok, "thresholds", self.thresholds, "finite numbers, at least one")
        _require(0 <= self.outer_ratio < math.inf, "outer_ratio", self.outer_ratio, "0 or more, and finite")
        _require(math.isfinite(self.class_weight), "class_weight", self.class_weight, "finite")


def linspace(first: float, last: float, count: int) -> tuple[float, ...]:
    """Return evenly spaced thresholds, rounded to 10 decimals so that they print as they are written."""
    step = (last - first) / max(count - 1, 1)
    return tuple(round(first + i * step, 10) for i in range(count))


def _pvlr_sources() -> tuple[SourceOptions, ...]:
    cas = SourceOptions(of="cas", thresholds=linspace(0.1, 0.95, 10), outer_ratio=0.1, class_weight=0.5)
    return cas, replace(cas, of="attention", scale="none", score_scale="none", class_weight=0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalOptions:
    """How activations become proposals (`tal::ProposalOptions`); defaults: PVLR's public code on THUMOS14.

    >>> from tal_engine import ProposalOptions
    >>> [source.of for source in ProposalOptions().sources]
    ['cas', 'attention']
    """

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
        _require(len(self.sources) >= 1, "sources", self.sources, "at least one")
        _require(math.isfinite(self.class_threshold), "class_threshold", self.class_threshold, "finite")
        _require(1 <= self.topk_ratio <= _MOST, "topk_ratio", self.topk_ratio, f"in 1..{_MOST}")
        _require(1 <= self.min_length <= _MOST, "min_length", self.min_length, f"in 1..{_MOST}")
        _require(1 <= self.upsample <= _MOST_UPSAMPLED, "upsample", self.upsample, f"in 1..{_MOST_UPSAMPLED}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryOptions:
    """How boundary probabilities become proposals that a graph of the plan scores; defaults: BSN's and APN's."""

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
        _require(1 <= self.d_min <= _MOST, "d_min", self.d_min, f"in 1..{_MOST}")
        allowed = f"0 or in d_min ({self.d_min})..{_MOST}"
        _require(self.d_max == 0 or self.d_min <= self.d_max <= _MOST, "d_max", self.d_max, allowed)
        _require(0 <= self.top_k <= _MOST, "top_k", self.top_k, f"in 0..{_MOST}; 0: all")
        _require(1 <= self.points <= _MOST_POINTS, "points", self.points, f"in 1..{_MOST_POINTS}")
        _require(0 <= self.margin < 1, "margin", self.margin, "in [0, 1)")
        _require(0 <= self.min_score < 1, "min_score", self.min_score, "in [0, 1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class PyramidOptions:
    """From moments of a pyramid, each with class scores and distances to both borders, to proposals.

    Defaults: ActionFormer's public code on THUMOS14.
    """

    #: Snippets between two moments of each level; each divides the last one.
    strides: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    #: Scores up to this are left out, then all but so many of each level (0 keeps all), then proposals up to so long
    #: (snippets).
    min_score: float = 0.001
    top_k: int = 2000
    min_length: float = 0.05

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.strides, self.strides[1:], strict=False))
        ok = rising and all(1 <= s <= _MOST_POINTS and self.strides[-1] % s == 0 for s in self.strides)
        allowed = f"rising numbers in 1..{_MOST_POINTS}, each a divisor of the last"
        _require(len(self.strides) >= 1 and ok, "strides", self.strides, allowed)
        _require(0 <= self.min_score < 1, "min_score", self.min_score, "in [0, 1)")
        _require(0 <= self.top_k <= _MOST, "top_k", self.top_k, f"in 0..{_MOST}; 0: all")
        _require(0 <= self.min_length < math.inf, "min_length", self.min_length, "0 or more, and finite")


@dataclass(frozen=True, slots=True, kw_only=True)
class NmsOptions:
    """Non-maximum suppression (`tal::NmsOptions`, documented there).

    >>> from tal_engine import NmsOptions
    >>> NmsOptions(kind="hard", threshold=0.5).threshold
    0.5
    """

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
        _require(0 < self.sigma < math.inf, "sigma", self.sigma, "positive and finite")
        _require(0 <= self.threshold <= 1, "threshold", self.threshold, "in [0, 1]")
        slope = self.threshold_slope
        _require(math.isfinite(slope), "threshold_slope", slope, "finite")
        offset = self.length_offset
        _require(0 <= offset < math.inf, "length_offset", offset, "0 or more, and finite")
        _require(not math.isnan(self.min_score), "min_score", self.min_score, "a number")
        _require(0 <= self.top_k <= _MOST, "top_k", self.top_k, f"in 0..{_MOST}; 0: all")


#: Suppression as public code has it (CO2-Net, AICL, LACP, BMN); ``ops.suppress(..., options=NMS_RULES["bmn"])``.
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
    """Which suppressed proposals become segments.

    >>> from tal_engine import SegmentOptions
    >>> SegmentOptions(min_score=0.3, top_k=100).top_k
    100
    """

    #: Segments below this score are left out. Plans carry the operating point that was chosen on
    #: validation videos; evaluation uses -inf.
    min_score: float = float("-inf")
    #: At most this many segments a video, best first; 0 keeps all.
    top_k: int = 0

    def __post_init__(self) -> None:
        _require(self.min_score == self.min_score, "min_score", self.min_score, "a number")
        _require(0 <= self.top_k <= _MOST, "top_k", self.top_k, f"in 0..{_MOST}; 0: all")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """How a stream is localized: what the head sees at a time, and how long a decision waits. All in seconds.

    >>> from tal_engine import StreamOptions
    >>> options = StreamOptions(window=30.0, look_ahead=4.0)
    >>> options.step
    2.0
    """

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
        _require(0 < self.window <= _MOST_SECONDS, "window", self.window, f"in (0, {_MOST_SECONDS:g}] seconds")
        _require(0 < self.step <= self.window, "step", self.step, f"in (0, window ({self.window})]")
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
    """How a live source is read: what waits, what is dropped, when it counts as lost. All times in seconds.

    >>> from tal_engine import LiveOptions
    >>> LiveOptions(policy="drop_oldest", buffer=32).source_timeout
    10.0
    """

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
