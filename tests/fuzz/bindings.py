"""The Python face of the core with arrays that are not what it asks for: a refusal or a result, no crash."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tal_engine import _core

#: What a binding may raise.
REFUSALS = (ValueError, TypeError, OverflowError, MemoryError)


class Source:
    """Values out of a fuzzer's bytes; zeros once they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def below(self, n: int) -> int:
        return self.byte() % n

    def real(self) -> float:
        b = self.byte()
        if b < 240:
            return (b % 48) / 4 - 2
        return struct.unpack("<d", bytes(self.byte() for _ in range(8)))[0]

    def whole(self) -> int:
        b = self.byte()
        return b % 12 if b < 245 else struct.unpack("<q", bytes(self.byte() for _ in range(8)))[0]

    def reals(self, n: int) -> list[float]:
        return [self.real() for _ in range(n)]

    def wholes(self, n: int, most: int) -> list[int]:
        return [self.below(most + 1) for _ in range(n)]


def _disturbed(a: np.ndarray, s: Source) -> Any:
    """The array, mostly as it is; else in a form that callers get wrong."""
    others: tuple[Callable[[], Any], ...] = (
        lambda: a[::-1],
        lambda: a.astype(a.dtype.newbyteorder()),
        lambda: np.repeat(a, 2, axis=0)[::2],
        lambda: a.tolist(),
        lambda: a[..., None],
        lambda: a[:-1],
        lambda: np.concatenate([a, a]),
        lambda: a.astype(object),
        lambda: a.astype(str),
        lambda: a.astype(np.float16),
        lambda: np.float64(a.sum()),
        lambda: None,
        lambda: "text",
        lambda: a.astype(np.int8) if a.dtype.kind == "f" else a.astype(np.float64) + 0.5,
    )
    pick = s.byte()
    return a if pick < 224 else others[pick % len(others)]()


def _column(s: Source, n: int) -> Any:
    return _disturbed(np.array(s.reals(n)), s)


def _ids(s: Source, n: int, most: int, dtype: type = np.int32) -> Any:
    return _disturbed(np.array(s.wholes(n, most), dtype), s)


def _times(s: Source, n: int) -> tuple[Any, Any]:
    start, length = np.array(s.reals(n)), np.abs(s.reals(n))
    return _disturbed(start, s), _disturbed(start + length, s)


def _offsets(s: Source, n: int) -> Any:
    return _disturbed(np.array([0, *sorted(s.wholes(s.below(3), n)), n], np.int64), s)


def _pick(s: Source, enum: Any) -> Any:
    return list(enum.__members__.values())[s.below(len(enum.__members__))]


def propose(s: Source) -> None:
    t, c = s.below(20), s.below(4)
    cas = _disturbed(np.array(s.reals(t * c), np.float32).reshape(t, c), s)
    sources = [
        _core.SourceOptions(
            of=_pick(s, _core.Of), thresholds=s.reals(s.below(4)), scale=_pick(s, _core.Scale),
            score_scale=_pick(s, _core.Scale), scoring=_pick(s, _core.Scoring), outer_ratio=s.real(),
            class_weight=s.real(),
        )
        for _ in range(s.below(3))
    ]  # fmt: skip
    options = _core.ProposalOptions(
        sources=sources, class_score=_pick(s, _core.ClassScore), class_threshold=s.real(),
        class_fallback=bool(s.below(2)), topk_ratio=1 + s.whole() % 2**40, min_length=s.whole(),
        upsample=1 + s.below(4), background=bool(s.below(2)), compat_any=bool(s.below(2)),
    )  # fmt: skip
    attention = _column(s, t) if s.below(2) else None
    offsets = _offsets(s, t)
    _core.video_scores(cas, offsets, options)
    start, end, *_ = _core.propose(cas, attention, offsets, options)
    assert (start < end).all()


def suppress(s: Source) -> None:
    n = s.below(40)
    options = _core.NmsOptions(
        kind=_pick(s, _core.NmsKind), sigma=s.real(), threshold=s.below(11) / 10, threshold_slope=0.0,
        inclusive=bool(s.below(2)), length_offset=abs(s.real()), min_score=s.real(), top_k=s.below(8),
        class_agnostic=bool(s.below(2)),
    )  # fmt: skip
    start, end = _times(s, n)
    index, score, _ = _core.suppress(start, end, _column(s, n), _ids(s, n, 2), _offsets(s, n), options)
    assert np.isfinite(score).all()
    assert len(set(index.tolist())) == len(index) <= n


def _labelled(s: Source, n: int, prefix: str = "") -> dict[str, Any]:
    start, end = _times(s, n)
    return {f"{prefix}video": _ids(s, n, 2), f"{prefix}start": start, f"{prefix}end": end}


def average_precision(s: Source) -> None:
    g, n = s.below(8), s.below(40)
    options = _core.ApOptions(
        thresholds=s.reals(s.below(5)), matching=_pick(s, _core.Matching), rule=_pick(s, _core.ApRule),
        inclusive=bool(s.below(2)), ties=_pick(s, _core.Ties),
    )  # fmt: skip
    extra = {"rank": _ids(s, n, 9, np.int64)} if s.below(2) else {}
    extra |= {"ignorable": _ids(s, n, 1, np.uint8)} if s.below(2) else {}
    table = _core.average_precision(
        **_labelled(s, g, "truth_"), truth_label=_ids(s, g, 2), **_labelled(s, n), label=_ids(s, n, 2),
        score=_column(s, n), **extra, classes=s.below(5), videos=s.below(5), options=options,
    )  # fmt: skip
    assert not (table > 1 + 1e-12).any()
    assert not (table < 0).any()


def average_recall(s: Source) -> None:
    g, n = s.below(8), s.below(40)
    extra = {"rank": _ids(s, n, 9, np.int64)} if s.below(2) else {}
    recall, _ = _core.average_recall(
        **_labelled(s, g, "truth_"), **_labelled(s, n), score=_column(s, n), **extra, videos=s.below(5),
        thresholds=s.reals(s.below(4)), max_average=s.real(), steps=s.below(20),
    )  # fmt: skip
    assert ((recall >= 0) & (recall <= 1)).all()


def boundary(s: Source) -> None:
    n = s.below(40)
    options = _core.BoundaryOptions(peak_share=s.real(), d_min=s.whole(), d_max=s.whole(), top_k=s.below(50))
    start, end, score = _core.boundary_pairs(_column(s, n), _column(s, n), options)
    assert (start < end).all()
    assert np.isfinite(score).all()
    low, high = _times(s, n)
    assert np.isfinite(_core.sampling_positions(low, high, points=s.below(9), margin=s.real())).all()


def points(s: Source) -> None:
    t, d, n = s.below(20), s.below(4), s.below(4)
    x = _disturbed(np.array(s.reals(t * d), np.float32).reshape(t, d), s)
    where = _disturbed(np.unique(np.array(s.wholes(n, max(t - 1, 0)), np.int64)), s)
    made_up = [_ids(s, n + 1, t, np.int64), _ids(s, n, t, np.int64)]
    if s.below(2):
        made_up = list(_core.constrained_kmedoids(x, where, max_sweeps=s.below(20))[:2])
    start, end = _core.mine_actions(x, where, *made_up, kappa=s.real(), floor=s.real())
    assert (start < end).all()


FAMILIES = (propose, suppress, average_precision, average_recall, boundary, points)


def bindings(data: bytes) -> None:
    source = Source(data)
    family = FAMILIES[source.below(len(FAMILIES))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's own, about casts that were asked for
        try:
            family(source)
        except REFUSALS as e:
            assert str(e)
