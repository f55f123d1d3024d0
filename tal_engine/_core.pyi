"""Typed face of the C++ extension; written by hand and compared with the module by a test."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

__version__: str

class Of:
    cas: ClassVar[Of]
    attention: ClassVar[Of]

class Scale:
    none: ClassVar[Scale]
    minmax: ClassVar[Scale]
    relu_minmax: ClassVar[Scale]

class Scoring:
    contrast: ClassVar[Scoring]
    maximum: ClassVar[Scoring]

class ClassScore:
    softmax: ClassVar[ClassScore]
    sigmoid: ClassVar[ClassScore]

class SourceOptions:
    def __init__(
        self,
        *,
        of: Of = ...,
        thresholds: tuple[float, ...] | list[float],
        scale: Scale = ...,
        score_scale: Scale = ...,
        scoring: Scoring = ...,
        outer_ratio: float = ...,
        class_weight: float = ...,
    ) -> None: ...
    @property
    def of(self) -> Of: ...
    @property
    def thresholds(self) -> list[float]: ...
    @property
    def scale(self) -> Scale: ...
    @property
    def score_scale(self) -> Scale: ...
    @property
    def scoring(self) -> Scoring: ...
    @property
    def outer_ratio(self) -> float: ...
    @property
    def class_weight(self) -> float: ...

class ProposalOptions:
    def __init__(
        self,
        *,
        sources: list[SourceOptions],
        class_score: ClassScore = ...,
        class_threshold: float = ...,
        class_fallback: bool = ...,
        topk_ratio: int = ...,
        min_length: int = ...,
        upsample: int = ...,
        background: bool = ...,
        compat_any: bool = ...,
    ) -> None: ...
    @property
    def sources(self) -> list[SourceOptions]: ...
    @property
    def class_score(self) -> ClassScore: ...
    @property
    def class_threshold(self) -> float: ...
    @property
    def class_fallback(self) -> bool: ...
    @property
    def topk_ratio(self) -> int: ...
    @property
    def min_length(self) -> int: ...
    @property
    def upsample(self) -> int: ...
    @property
    def background(self) -> bool: ...
    @property
    def compat_any(self) -> bool: ...

class NmsKind:
    hard: ClassVar[NmsKind]
    linear: ClassVar[NmsKind]
    gaussian: ClassVar[NmsKind]
    suppressor: ClassVar[NmsKind]

class NmsOptions:
    def __init__(
        self,
        *,
        kind: NmsKind = ...,
        sigma: float = ...,
        threshold: float = ...,
        threshold_slope: float = ...,
        inclusive: bool = ...,
        length_offset: float = ...,
        min_score: float = ...,
        top_k: int = ...,
        class_agnostic: bool = ...,
    ) -> None: ...
    @property
    def kind(self) -> NmsKind: ...
    @property
    def sigma(self) -> float: ...
    @property
    def threshold(self) -> float: ...
    @property
    def threshold_slope(self) -> float: ...
    @property
    def inclusive(self) -> bool: ...
    @property
    def length_offset(self) -> float: ...
    @property
    def min_score(self) -> float: ...
    @property
    def top_k(self) -> int: ...
    @property
    def class_agnostic(self) -> bool: ...

class Matching:
    best_free: ClassVar[Matching]
    truth_first: ClassVar[Matching]

class ApRule:
    interpolated: ClassVar[ApRule]
    plain: ClassVar[ApRule]
    eleven_point: ClassVar[ApRule]

class Ties:
    ranked: ClassVar[Ties]
    true_first: ClassVar[Ties]
    true_last: ClassVar[Ties]

class ApOptions:
    def __init__(
        self,
        *,
        thresholds: list[float],
        matching: Matching = ...,
        rule: ApRule = ...,
        inclusive: bool = ...,
        ties: Ties = ...,
    ) -> None: ...
    @property
    def thresholds(self) -> list[float]: ...
    @property
    def matching(self) -> Matching: ...
    @property
    def rule(self) -> ApRule: ...
    @property
    def inclusive(self) -> bool: ...
    @property
    def ties(self) -> Ties: ...

def propose(
    cas: NDArray[np.float32],
    attention: NDArray[np.float32] | None,
    offsets: ArrayLike,
    options: ProposalOptions,
    *,
    video: ArrayLike | None = None,
    threads: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int32], NDArray[np.int64]]: ...
def video_scores(
    cas: NDArray[np.float32], offsets: ArrayLike, options: ProposalOptions, *, threads: int = 1
) -> NDArray[np.float64]: ...
def suppress(
    start: ArrayLike,
    end: ArrayLike,
    score: ArrayLike,
    label: ArrayLike,
    offsets: ArrayLike,
    options: NmsOptions,
    *,
    threads: int = 1,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]: ...
def scaled_picture(
    planes: Sequence[object],
    lines: Sequence[int],
    stored: tuple[int, int],
    scaled: tuple[int, int],
    crop: tuple[int, int, int, int],
    colours: tuple[float, float, float, float, float, float],
) -> NDArray[np.uint8]: ...
def average_precision(
    *,
    truth_video: ArrayLike,
    truth_label: ArrayLike,
    truth_start: ArrayLike,
    truth_end: ArrayLike,
    video: ArrayLike,
    label: ArrayLike,
    start: ArrayLike,
    end: ArrayLike,
    score: ArrayLike,
    rank: ArrayLike | None = None,
    ignorable: ArrayLike | None = None,
    classes: int,
    videos: int,
    options: ApOptions,
    threads: int = 1,
) -> NDArray[np.float64]: ...
def average_recall(
    *,
    truth_video: ArrayLike,
    truth_start: ArrayLike,
    truth_end: ArrayLike,
    video: ArrayLike,
    start: ArrayLike,
    end: ArrayLike,
    score: ArrayLike,
    rank: ArrayLike | None = None,
    videos: int,
    thresholds: list[float],
    max_average: float = 0.0,
    steps: int = 100,
    threads: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...

class BoundaryOptions:
    def __init__(
        self,
        *,
        peak_share: float = ...,
        d_min: int = ...,
        d_max: int = ...,
        top_k: int = ...,
    ) -> None: ...
    @property
    def peak_share(self) -> float: ...
    @property
    def d_min(self) -> int: ...
    @property
    def d_max(self) -> int: ...
    @property
    def top_k(self) -> int: ...

def boundary_pairs(
    start: ArrayLike, end: ArrayLike, options: BoundaryOptions
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]: ...
def sampling_positions(start: ArrayLike, end: ArrayLike, *, points: int, margin: float) -> NDArray[np.float64]: ...
def constrained_kmedoids(
    features: NDArray[np.float32], points: ArrayLike, *, max_sweeps: int = 100
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]: ...
def mine_actions(
    features: NDArray[np.float32],
    points: ArrayLike,
    bounds: ArrayLike,
    medoids: ArrayLike,
    *,
    kappa: float = 0.5,
    floor: float = 1e-3,
    anchors: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
