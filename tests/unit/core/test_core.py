"""The C++ core against its textbook twins, exceptions included."""

from __future__ import annotations

import ast
import inspect
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tal_engine
from tal_engine import _core
from tal_engine.ops import native_nms_options as nms_native
from tal_engine.ops import native_proposal_options as native_options
from tal_engine.options import NmsOptions, ProposalOptions, SourceOptions
from tests.reference import mean_ap as slow_map
from tests.reference import nms as slow_nms
from tests.reference import proposals as slow_proposals

# Coarse grids make ties, touching and nested intervals common instead of never.
GRID = st.integers(-4, 8).map(lambda i: i / 4)
HOSTILE = st.sampled_from([float("nan"), float("inf"), float("-inf")])
ANY = st.floats(-100, 100, width=32)


@st.composite
def sources(draw):
    return SourceOptions(
        of=draw(st.sampled_from(["cas", "attention"])),
        thresholds=tuple(draw(st.lists(st.one_of(GRID, st.floats(0, 1)), min_size=1, max_size=4))),
        scale=draw(st.sampled_from(["none", "minmax", "relu_minmax"])),
        score_scale=draw(st.sampled_from(["none", "minmax", "relu_minmax"])),
        scoring=draw(st.sampled_from(["contrast", "maximum"])),
        outer_ratio=draw(st.sampled_from([0.0, 0.1, 0.25, 0.4, 2.0])),
        class_weight=draw(st.sampled_from([0.0, 0.2, -1.0])),
    )


@st.composite
def proposal_cases(draw):
    background = draw(st.booleans())
    t, c = draw(st.integers(0, 12)), draw(st.integers(1, 3)) + background
    value = st.one_of(GRID, ANY) if draw(st.booleans()) else st.one_of(GRID, HOSTILE)
    cas = np.array(draw(st.lists(value, min_size=t * c, max_size=t * c)), np.float32).reshape(t, c)
    attention = draw(st.none() | st.lists(value, min_size=t, max_size=t))
    options = ProposalOptions(
        sources=tuple(draw(st.lists(sources(), min_size=1, max_size=3))),
        class_score=draw(st.sampled_from(["softmax", "sigmoid"])),
        class_threshold=draw(st.sampled_from([0.0, 0.2, 0.9, 2.0])),
        class_fallback=draw(st.booleans()),
        compat_any=draw(st.booleans()),
        topk_ratio=draw(st.integers(1, 20)),
        min_length=draw(st.integers(1, 3)),
        upsample=draw(st.sampled_from([1, 2, 5])),
        background=background,
    )
    classes = c - background
    video = draw(st.none() | st.lists(value, min_size=classes, max_size=classes))
    return cas, None if attention is None else np.array(attention, np.float32), options, video


def outcome(call):
    """What a call returns, or that it refuses its input."""
    try:
        return call()
    except ValueError:
        return "refused"


def native_propose(cas, attention, options, video=None):
    video = None if video is None else [video]
    *columns, offsets = _core.propose(cas, attention, [0, len(cas)], native_options(options), video=video)
    assert offsets.tolist() == [0, len(columns[0])]
    return columns


@settings(max_examples=400, deadline=None)
@given(proposal_cases())
def test_propose_equals_textbook(case):
    cas, attention, options, video = case
    wanted = outcome(lambda: slow_proposals.propose(cas, attention, options, video))
    found = outcome(lambda: native_propose(cas, attention, options, video))
    if wanted == "refused":
        assert found == "refused"
        return
    start, end, score, label = found
    assert list(zip(start, end, label, strict=True)) == [(s, e, c) for s, e, _, c in wanted]
    np.testing.assert_allclose(score, [p[2] for p in wanted], rtol=1e-9, atol=1e-9)


def test_a_group_of_snippet_zero_alone_counts():
    """The public code tests index values with .any() and loses it (methods.md 1.5)."""
    cas = np.array([[1.0], [0.0], [0.0]], np.float32)
    only = SourceOptions(
        of="cas", thresholds=(0.5,), scale="none", score_scale="none", outer_ratio=0.0, class_weight=0.0
    )
    options = ProposalOptions(sources=(only,), background=False)
    assert [x.tolist() for x in native_propose(cas, None, options)] == [[0.0], [1.0], [1.0], [0]]
    assert len(native_propose(cas, None, replace(options, compat_any=True))[0]) == 0


def test_video_scores_equal_textbook():
    rng = np.random.default_rng(0)
    for t in (1, 7, 100):
        cas = rng.normal(0, 3, (t, 5)).astype(np.float32)
        for background in (True, False):
            for rule in ("softmax", "sigmoid"):
                options = ProposalOptions(background=background, class_score=rule)
                wanted = slow_proposals.video_scores(cas, options)
                found = _core.video_scores(cas, [0, t], native_options(options))
                np.testing.assert_allclose(found, [wanted], rtol=1e-12)


@st.composite
def interval_lists(draw, extra):
    n = draw(st.integers(0, 14))
    rows = []
    for _ in range(n):
        start = draw(st.one_of(GRID, ANY))
        end = start + draw(st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0]))
        score = draw(st.one_of(GRID, st.floats(0, 1)))
        if draw(st.integers(0, 60)) == 0:
            start = draw(HOSTILE)
        if draw(st.integers(0, 60)) == 0:
            end = start - 1
        rows.append((start, end, score, *(draw(e) for e in extra)))
    return rows


NMS_OPTIONS = st.builds(
    NmsOptions,
    kind=st.sampled_from(["hard", "linear", "gaussian", "suppressor"]),
    sigma=st.sampled_from([0.1, 0.3, 1.0]),
    threshold=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    inclusive=st.booleans(),
    length_offset=st.sampled_from([0.0, 1.0]),
    min_score=st.sampled_from([float("-inf"), 0.0, 0.3]),
    top_k=st.integers(0, 3),
    class_agnostic=st.booleans(),
)


def native_suppress(start, end, score, label, options):
    index, value, offsets = _core.suppress(start, end, score, label, [0, len(start)], nms_native(options))
    assert offsets.tolist() == [0, len(index)]
    return index, value


@settings(max_examples=600, deadline=None)
@given(interval_lists([st.integers(0, 2)]), NMS_OPTIONS, st.sampled_from([0.0, 0.4]))
def test_suppress_equals_textbook(rows, options, slope):
    if options.kind == "gaussian":
        options = replace(options, threshold_slope=slope)
    start, end, score, label = (np.array([r[i] for r in rows], np.float64) for i in range(4))
    label = label.astype(np.int32)
    wanted = outcome(lambda: slow_nms.suppress(start.tolist(), end.tolist(), score.tolist(), label.tolist(), options))
    found = outcome(lambda: native_suppress(start, end, score, label, options))
    if wanted == "refused":
        assert found == "refused"
        return
    assert found[0].tolist() == wanted[0]
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-12, atol=1e-300)


def crowd(seed, n):
    """Many intervals: lengths over four decades, ties in scores and places, some empty, some negative."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 50, n)
    length = 10 ** rng.uniform(-2, 2, n) * (rng.random(n) > 0.02)
    score = rng.normal(0.3, 0.4, n)
    if seed % 2:
        start, length, score = np.round(start * 2) / 2, np.round(length), np.round(score, 1)
    return start, start + length, score, rng.integers(0, 2, n).astype(np.int32)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["hard", "linear", "gaussian", "suppressor"])
@pytest.mark.parametrize(("threshold", "inclusive"), [(0.0, False), (0.03, True), (0.3, False), (0.7, True)])
def test_suppress_equals_textbook_in_a_crowd(seed, kind, threshold, inclusive):
    """Large enough for every fast path: blocks, tournament, hash grid, radix sort."""
    start, end, score, label = crowd(seed, 700)
    options = NmsOptions(
        kind=kind,
        sigma=0.3,
        threshold=threshold,
        inclusive=inclusive,
        class_agnostic=seed < 3,
        min_score=-0.2 if seed == 4 else float("-inf"),
    )
    wanted = slow_nms.suppress(start.tolist(), end.tolist(), score.tolist(), label.tolist(), options)
    found = native_suppress(start, end, score, label, options)
    assert found[0].tolist() == wanted[0]
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-12, atol=1e-300)


def soft_by_arrays(start, end, score, options):
    """The textbook rule for positive scores, a row of the overlaps at a time: quick enough for thousands."""
    order = np.lexsort((end, start))  # argmax then takes the first of equals, as the rule says
    start, end = start[order], end[order]
    gaussian = options.kind == "gaussian"
    own = np.array([math.log(s) for s in score[order]]) if gaussian else score[order]
    key, out = own.copy(), []
    for _ in range(len(key)):
        i = int(key.argmax())
        value = score[order[i]] * math.exp(key[i] - own[i]) if gaussian else key[i]
        if value < options.min_score:
            break
        out.append((int(order[i]), value))
        inter = np.clip(np.minimum(end[i], end) - np.maximum(start[i], start), 0, None)
        overlap = inter / ((end[i] - start[i]) + (end - start) - inter)
        counts = (overlap > options.threshold) & (key > -np.inf)
        if gaussian:
            key -= np.where(counts, overlap * overlap * (1 / options.sigma), 0.0)
        else:
            key *= np.where(counts, 1 - overlap, 1.0)
        key[i] = -np.inf
    return zip(*out, strict=True)


@pytest.mark.parametrize("count", [257, 1500, 6000])
@pytest.mark.parametrize("kind", ["gaussian", "linear"])
@pytest.mark.parametrize(("span", "min_score", "rounded"), [(50, -np.inf, False), (3000, 0.2, False), (300, 0.0, True)])
def test_soft_suppress_of_hundreds_and_thousands(kind, span, min_score, rounded, count):
    """For one strip, and for lanes by length and groups of blocks; crowded, sparse, and with ties."""
    rng = np.random.default_rng(span)
    start, score = rng.uniform(0, span, count), rng.uniform(0.01, 1, count)
    length = 10 ** rng.uniform(-1, 1.5, count)
    if rounded:
        start, length, score = np.round(start), np.ceil(length), np.round(score, 1) + 0.1
    options = NmsOptions(kind=kind, sigma=0.5, threshold=0.1 if rounded else 0.0, min_score=min_score)
    index, value = soft_by_arrays(start, start + length, score, options)
    found = native_suppress(start, start + length, score, np.zeros(count, np.int32), options)
    assert found[0].tolist() == list(index)
    np.testing.assert_allclose(found[1], value, rtol=1e-12)


@pytest.mark.parametrize("where", [0.0, 1e6, -1e12, 1e15])
def test_hard_suppress_far_from_zero(where):
    start, end, score, label = crowd(0, 400)
    start, end = start + where, end + where
    options = NmsOptions(kind="hard", threshold=0.4)
    wanted = slow_nms.suppress(start.tolist(), end.tolist(), score.tolist(), label.tolist(), options)
    assert native_suppress(start, end, score, label, options)[0].tolist() == wanted[0]


def test_gaussian_equals_the_usual_product():
    start, end, score, label = crowd(2, 300)
    score = np.abs(score) + 0.01
    boxes = list(zip(start.tolist(), end.tolist(), strict=True))
    wanted = slow_nms.gaussian_by_products(range(300), boxes, score.tolist(), 0.5)
    options = NmsOptions(sigma=0.5, class_agnostic=True)
    found = native_suppress(start, end, score, label, options)
    by_index = dict(wanted)
    np.testing.assert_allclose(found[1], [by_index[i] for i in found[0].tolist()], rtol=1e-12)


def test_many_videos_are_each_on_their_own_and_threads_change_nothing():
    parts = [crowd(i, n) for i, n in enumerate([0, 300, 1, 40, 0, 900])]
    start, end, score, label = (np.concatenate([p[k] for p in parts]) for k in range(4))
    offsets = np.cumsum([0, *(len(p[0]) for p in parts)])
    for kind in ("gaussian", "hard"):
        options = NmsOptions(kind=kind, threshold=0.4, top_k=100)
        found = [_core.suppress(start, end, score, label, offsets, nms_native(options), threads=t) for t in (1, 2, 5)]
        for other in found[1:]:
            for a, b in zip(found[0], other, strict=True):
                np.testing.assert_array_equal(a, b)
        index, value, ends = found[0]
        for v, part in enumerate(parts):
            alone = native_suppress(*part, options)
            rows = slice(ends[v], ends[v + 1])
            np.testing.assert_array_equal(index[rows] - offsets[v], alone[0])
            np.testing.assert_array_equal(value[rows], alone[1])


def test_many_videos_propose_as_each_alone():
    rng = np.random.default_rng(0)
    lengths = [0, 30, 1, 200]
    cas = rng.normal(size=(sum(lengths), 4)).astype(np.float32)
    attention = rng.random(sum(lengths), dtype=np.float32)
    offsets = np.cumsum([0, *lengths])
    options = native_options(ProposalOptions(upsample=3))
    video = rng.random((len(lengths), 3))
    found = [_core.propose(cas, attention, offsets, options, video=video, threads=t) for t in (1, 3)]
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    *columns, ends = found[0]
    for v in range(len(lengths)):
        part = slice(offsets[v], offsets[v + 1])
        alone = _core.propose(cas[part], attention[part], [0, lengths[v]], options, video=video[v : v + 1])
        for a, b in zip(columns, alone[:4], strict=True):
            np.testing.assert_array_equal(a[ends[v] : ends[v + 1]], b)


AP_OPTIONS = st.fixed_dictionaries(
    {
        "matching": st.sampled_from(["best_free", "truth_first"]),
        "rule": st.sampled_from(["interpolated", "plain", "eleven_point"]),
        "inclusive": st.booleans(),
        "ties": st.sampled_from(["ranked", "true_first", "true_last"]),
    }
)
LABELLED = [st.integers(0, 2), st.integers(0, 1), st.booleans()]  # video, label, ignorable


def ap_native(thresholds, matching="best_free", rule="interpolated", inclusive=True, ties="ranked"):
    kinds = {"matching": getattr(_core.Matching, matching), "rule": getattr(_core.ApRule, rule)}
    kinds["ties"] = getattr(_core.Ties, ties)
    return _core.ApOptions(thresholds=thresholds, inclusive=inclusive, **kinds)


def columns(rows, prefix=""):
    return {
        f"{prefix}video": np.array([r[3] for r in rows], np.int32),
        f"{prefix}label": np.array([r[4] for r in rows], np.int32),
        f"{prefix}start": np.array([r[0] for r in rows], np.float64),
        f"{prefix}end": np.array([r[1] for r in rows], np.float64),
    }


def native_ap(truth, predictions, thresholds, options, **extra):
    score = np.array([r[2] for r in predictions], np.float64)
    shape = {"classes": 2, "videos": 3, "options": ap_native(thresholds, **options)}
    return _core.average_precision(**columns(truth, "truth_"), **columns(predictions), score=score, **shape, **extra)


def slow_ap(truth, predictions, thresholds, options, ignore):
    table = []
    for threshold in thresholds:
        row = []
        for c in range(2):
            t = [(r[3], r[0], r[1]) for r in truth if r[4] == c]
            p = [r for r in predictions if r[4] == c]
            extra = {"ignorable": [r[5] for r in p]} if ignore else {}
            boxes = [(r[3], r[0], r[1], r[2]) for r in p]
            row.append(slow_map.average_precision(t, boxes, threshold, **options, **extra))
        table.append(row)
    return np.array(table)


@settings(max_examples=600, deadline=None)
@given(interval_lists(LABELLED), interval_lists(LABELLED), AP_OPTIONS, st.booleans())
def test_average_precision_equals_textbook(truth, predictions, options, ignore):
    thresholds = [0.0, 0.1, 0.5, 0.75, 1.0]
    extra = {"ignorable": np.array([r[5] for r in predictions], np.uint8)} if ignore else {}
    wanted = outcome(lambda: slow_ap(truth, predictions, thresholds, options, ignore))
    found = outcome(lambda: native_ap(truth, predictions, thresholds, options, **extra))
    if isinstance(wanted, str):
        assert isinstance(found, str)
        return
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_equals_textbook_in_a_crowd(seed):
    """Large enough for the radix sort, with ties, and the same on any number of threads."""
    rng = np.random.default_rng(seed)

    def rows(n):
        start = rng.integers(0, 40, n) / 2
        score = np.round(rng.random(n), 1 if seed % 2 else 9)
        return [
            (float(s), float(s + rng.integers(1, 12) / 2), float(x), int(rng.integers(3)), int(rng.integers(2)))
            for s, x in zip(start, score, strict=True)
        ]

    truth, predictions = rows(40), rows(800)
    kit = {"matching": "truth_first", "rule": "eleven_point", "inclusive": False, "ties": "true_first"}
    for options in ({}, kit, {**kit, "rule": "plain", "ties": "true_last"}):
        wanted = slow_ap(truth, predictions, [0.3, 0.5], options, False)
        found = [native_ap(truth, predictions, [0.3, 0.5], options, threads=t) for t in (1, 2)]
        np.testing.assert_allclose(found[0], wanted, rtol=1e-12)
        np.testing.assert_array_equal(found[0], found[1])


def test_average_precision_takes_a_given_order():
    """A rank column replaces the order by score: how other tools' tie orders are reproduced."""
    truth = [(0.0, 1.0, 0.0, 0, 0)]
    predictions = [(0.0, 1.0, 0.5, 0, 0), (5.0, 6.0, 0.5, 0, 0)]
    found = [native_ap(truth, predictions, [0.5], {}, rank=np.array(r))[0, 0] for r in ([0, 1], [1, 0])]
    assert found == [1.0, 0.5]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": [2]}, "prediction row 0 has label 2, outside 0..2-1"),
        ({"video": [-1]}, "prediction row 0 has video -1"),
        ({"score": [np.nan]}, "prediction row 0 has a score that is not finite"),
        ({"end": [-3.0]}, "prediction row 0 has an end before its start"),
        ({"truth_start": [np.inf]}, "truth row 0 has a time that is not finite"),
        ({"rank": [1, 2]}, r"rank must have shape \[1\]"),
        ({"thresholds": [0.5] * 65}, "got 65 thresholds, at most 64"),
    ],
)
def test_average_precision_names_bad_rows(change, words):
    good = [(0.0, 1.0, 0.5, 0, 0)]
    thresholds = change.pop("thresholds", [0.5])
    arguments = {**columns(good, "truth_"), **columns(good), "score": [0.5]} | change
    with pytest.raises(ValueError, match=words):
        _core.average_precision(**arguments, classes=2, videos=3, options=ap_native(thresholds))


def test_bad_shapes_name_the_argument():
    options = native_options(ProposalOptions())
    with pytest.raises(ValueError, match=r"cas must have shape \[T, C\], got \(3,\)"):
        _core.propose(np.zeros(3, np.float32), None, [0, 3], options)
    with pytest.raises(ValueError, match=r"attention must have shape \[4\], got \(3,\)"):
        _core.propose(np.zeros((4, 2), np.float32), np.zeros(3, np.float32), [0, 4], options)
    with pytest.raises(ValueError, match="offsets must run from 0 to 4, got 0 to 3"):
        _core.propose(np.zeros((4, 2), np.float32), None, [0, 3], options)
    with pytest.raises(ValueError, match=r"video must have shape \[1, 1\], got \(1, 2\)"):
        _core.propose(np.zeros((4, 2), np.float32), None, [0, 4], options, video=np.zeros((1, 2)))
    with pytest.raises(ValueError, match="offsets fall at position 2"):
        _core.propose(np.zeros((4, 2), np.float32), None, [0, 4, 2, 4], options)


def test_bad_options_name_the_value():
    """The core checks for itself: C++ users have no dataclass in front of it."""
    fields = asdict(NmsOptions()) | {"kind": _core.NmsKind.gaussian}
    for change, words in (
        ({"sigma": 0.0}, "sigma is 0"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"top_k": -1}, "top_k is -1"),
        ({"min_score": float("nan")}, "min_score is NaN"),
        ({"length_offset": -1.0}, "length_offset is -1"),
        ({"kind": _core.NmsKind.hard, "threshold_slope": 0.4}, "gaussian kind only"),
    ):
        native = _core.NmsOptions(**(fields | change))
        with pytest.raises(ValueError, match=words):
            _core.suppress([], [], [], [], [0, 0], native)


def test_stub_lists_exactly_what_the_module_has():
    stub = ast.parse((Path(inspect.getfile(tal_engine)).parent / "_core.pyi").read_text())
    declared = {n.name for n in stub.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    assert declared == {n for n in dir(_core) if not n.startswith("_")}
