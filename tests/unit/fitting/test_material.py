"""Which labels are read, when they do not suffice, and how detections are judged by them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tal_engine.annotations.labels import Labels, VideoLabels, read_labels
from tal_engine.annotations.points import Point
from tal_engine.annotations.tables import Table
from tal_engine.errors import FitError, UsageError
from tal_engine.lab.fitting.checks import check_features, check_labels
from tal_engine.lab.fitting.held_out import NOTHING, HeldOut, by_each_kind, confusion, figures, passing
from tal_engine.lab.fitting.known import known_by, labels_in, points_of, truth_of
from tal_engine.lab.fitting.material import grouping, material_of
from tal_engine.lab.fitting.outcomes import outcomes_of
from tal_engine.lab.fitting.rules import RULES, rule_for
from tal_engine.lab.fitting.scores import fitted_scores
from tal_engine.lab.fitting.separation import against_chance
from tal_engine.lab.fitting.stages import fold_of
from tal_engine.lab.fitting.training import config_for, one_thread
from tal_engine.lab.methods import load_method
from tal_engine.metrics.segmental import one_at_a_time, segmental_f1
from tal_engine.records import Features, Segment
from tal_engine.timeline import Timeline
from tal_engine.vocabulary import Vocabulary


def labels(*videos):
    classes = tuple(sorted({c for v in videos for c in v.labels}))
    return Labels(Path("labels.csv"), {v.name: v for v in videos}, classes)


def told(name, *classes):
    return VideoLabels(name, told=classes, background=not classes)


def clicked(name, *points):
    return VideoLabels(name, points=tuple(Point(t, c) for t, c in points))


def timed(name, *segments):
    return VideoLabels(name, segments=tuple(Segment(s, e, c, 1.0) for s, e, c in segments))


# -- what is read


def test_each_video_gives_what_it_has():
    assert material_of(labels(timed("a", (1, 2, "x")), timed("b", (3, 4, "y")))).kind == "segment"
    mixed = material_of(labels(timed("a", (1, 3, "x")), clicked("b", (5, "y")), told("c"), told("d", "x")))
    assert [(v.name, v.labels, v.points, v.segments) for v in mixed.videos] == [
        ("a", ("x",), (), (Segment(1, 3, "x", 1.0),)), ("b", ("y",), (Point(5, "y"),), ()), ("c", (), (), ()),
        ("d", ("x",), (), ()),
    ]  # fmt: skip
    assert (mixed.kind, mixed.measured) == ("video", "video"), "one of two videos with x says when"
    said = "4 videos: 1 with segments, 1 with points, 1 with labels alone, 1 without any action; the head reads"
    assert any(said in n for n in mixed.notes)
    assert [mixed.labels_of(c) for c in "xy"] == [2, 1]


def many(**counts):
    """Videos of one class: so many timed, clicked and told."""
    of = {"timed": lambda n: timed(n, (1, 3, "x")), "clicked": lambda n: clicked(n, (2, "x")),
          "told": lambda n: told(n, "x")}  # fmt: skip
    return [of[kind](f"{kind}{i}") for kind, n in counts.items() for i in range(n)]


@pytest.mark.parametrize(
    ("counts", "kind", "measured"),
    [
        ({"timed": 4, "clicked": 12}, "segment", "segment"),  # a quarter of the videos and more have segments
        ({"timed": 4, "clicked": 13}, "point", "segment"),  # fewer: they teach as points, and still measure
        ({"timed": 2, "clicked": 5}, "point", "point"),  # too few to measure on
        ({"clicked": 3, "told": 9}, "point", "point"),
        ({"clicked": 3, "told": 10}, "video", "point"),
        ({"clicked": 2, "told": 9}, "video", "video"),
    ],
)
def test_counts_decide_what_the_head_reads_and_what_is_measured(counts, kind, measured):
    found = material_of(labels(*many(**counts)))
    assert (found.kind, found.measured) == (kind, measured)


def test_a_named_task_reads_nothing_stronger():
    videos = [timed("a", (1, 3, "x")), told("b", "x"), told("c")]
    found = material_of(labels(*videos), "segments")
    assert (found.kind, found.names) == ("segment", ("a", "b", "c"))
    points = material_of(labels(*videos), "points")
    assert [(v.points, v.segments, v.labels) for v in points.videos] == [
        ((Point(2.0, "x"),), (), ("x",)), ((), (), ("x",)), ((), (), ())
    ]  # fmt: skip
    whole = material_of(labels(*videos), "video")
    assert not any(v.points or v.segments for v in whole.videos)


def test_a_click_beside_the_segments_of_its_class_leaves_it_unknown_when():
    both = VideoLabels("v", points=(Point(2.0, "x"), Point(9.0, "x")), segments=(Segment(1, 3, "x", 1.0),))
    assert known_by(both, "segment") == set()
    assert known_by(both, "point") == {"x"}
    assert points_of(both) == (Point(2.0, "x"), Point(9.0, "x"))
    assert labels_in(both, "x") == 2
    assert truth_of(both, "segment").labels == ()


def test_detections_are_judged_where_labels_can():
    """Of three videos one knows when x is, one only that it is, and one that it is not."""
    videos = [timed("a", (1, 3, "x")), told("b", "x"), timed("c", (5, 6, "y"))]
    rows = [(n, "x", 1, 3, s) for n, s in (("a", 0.9), ("b", 0.8), ("c", 0.7))]
    of = held("segment", videos, rows)
    judged = of.judged("segment")
    o = judged.outcomes()
    assert list(zip(o.score.tolist(), o.right.tolist(), strict=True)) == [(0.9, True), (0.7, False)]
    assert (judged.hours_of("x"), judged.hours_of("y")) == (20 / 3600, 30 / 3600)
    assert judged.able == 2
    assert [k["videos"] for k in by_each_kind(of).values()] == [3, 2, 2]
    scores = fitted_scores(judged, o, per_hour=400.0)
    assert scores.thresholds[0].per_hour == pytest.approx(180.0), "one false alarm of x in 20 s, not in 30 s"


def test_a_task_that_no_video_serves():
    with pytest.raises(UsageError, match=r"task is 'points', and no video of labels\.csv has such labels"):
        material_of(labels(told("a", "x"), told("b")), "points")
    with pytest.raises(UsageError, match="task is 'frames', must be auto, video, points or segments"):
        material_of(labels(told("a", "x")), "frames")


def test_groups_by_expression_and_by_table(tmp_path):
    assert grouping(r"(p\d+)_")("p03_squat_1") == "p03"
    with pytest.raises(UsageError, match=r"finds nothing in the video name 'x'"):
        grouping(r"p\d+")("x")
    with pytest.raises(UsageError, match="no regular expression"):
        grouping("(")
    (tmp_path / "g.csv").write_text("video,person\na.mp4,anna\nb.mp4,ben\n")
    find = grouping(str(tmp_path / "g.csv"))
    assert [find("a"), find("day1/b")] == ["anna", "ben"]
    with pytest.raises(UsageError, match="has no group of video 'c'"):
        find("c")


def test_groups_that_the_labels_name(tmp_path):
    """A column `person` or `group` holds whole persons out, without --groups; a row that disagrees is named."""
    rows = ["video,label,person", "a,run,anna", "b,sit,anna", "c,run,ben", "d,sit,", "c,sit,carl"]
    (tmp_path / "l.csv").write_text("\n".join(rows) + "\n")
    read = read_labels(tmp_path / "l.csv")
    assert read.groups == ("anna", "ben")
    assert [str(p) for p in read.problems] == [
        "line 6: puts video 'c' into group 'carl', which is in 'ben'; a video is in one group"
    ]
    assert "1 of 4 videos have no group, each is one by itself: d" in read.missing()
    assert "class 'run' is in 2 groups of videos; tal fit needs 3 (--min-videos)" in read.missing()
    assert read.document()["groups"] == {"anna": ["a", "b"], "ben": ["c"]}
    assert {c.label: c.groups for c in read.counts()} == {"run": 2, "sit": 1}
    found = material_of(read)
    assert found.groups == ("group anna", "group anna", "group ben", "d")
    assert "4 videos of 3 groups; a group is held out as a whole" in found.notes
    fold = fold_of(found, 3, 0)
    assert fold[0] == fold[1]
    assert material_of(read, groups=r"\w").groups == ("a", "b", "c", "d"), "what is asked for comes first"


# -- when it cannot work


def test_all_that_is_missing_is_in_one_message():
    few = material_of(labels(told("a", "x"), told("b", "x"), told("c", "y"), told("d")))
    with pytest.raises(FitError) as e:
        check_labels(few)
    text = str(e.value)
    assert "4 videos, at least 8 are needed" in text
    assert "class 'x' is in 2 videos, needs 3: label 1 more" in text
    assert "class 'y' is in 1 videos, needs 3: label 2 more" in text
    assert e.value.exit_code == 3


def test_groups_count_not_videos():
    of = labels(*[told(f"p{i // 5}_{i}", "xy"[i % 2]) for i in range(9)])
    check_labels(material_of(of))
    with pytest.raises(FitError, match="class 'x' is in 2 groups of videos, needs 3"):
        check_labels(material_of(of, groups=r"p\d"))


def test_one_class_without_anything_else_needs_times():
    alone = [told(f"v{i}", "x") for i in range(8)]
    with pytest.raises(FitError, match="every video has 'x', so nothing tells the action from what is"):
        check_labels(material_of(labels(*alone)))
    assert check_labels(material_of(labels(*alone, told("empty"), told("void")))) == []
    clicks = [clicked(f"v{i}", (1, "x")) for i in range(8)]
    assert check_labels(material_of(labels(*clicks))) == []


def test_a_class_of_every_video_is_a_warning():
    both = [told(f"v{i}", "always", "xy"[i % 2]) for i in range(8)]
    (warning,) = check_labels(material_of(labels(*both)))
    assert "class 'always' is in every video" in warning


def world(x):
    return {f"v{i}": Features({"rgb": np.float32(a)}, Timeline(0, 1, 1), float(len(a))) for i, a in enumerate(x)}


def test_features_that_do_not_differ(rng):
    fine = world(rng.normal(size=(6, 20, 4)))
    check_features(fine, list(fine), "lite0")
    frozen = world(np.repeat(rng.normal(size=(6, 1, 4)), 20, axis=1))
    with pytest.raises(FitError, match=r"in 6 of 6 videos all snippets have the same features \(v0, v1"):
        check_features(frozen, list(frozen), "lite0")
    copies = world([rng.normal(size=(20, 4))] * 6)
    with pytest.raises(FitError, match="the features of all 6 videos are the same on average"):
        check_features(copies, list(copies), "lite0")


# -- how detections are judged


FOUND = [("a", "x", 1.0, 3.0, 0.9), ("a", "x", 1.1, 3.0, 0.8), ("a", "x", 7.0, 9.0, 0.7), ("a", "y", 1.0, 3.0, 0.6)]


def judged(video, kind):
    o = outcomes_of(Table.of(FOUND, source="t"), [video], ("x", "y"), kind, {"a": 36.0})
    assert o.hours.tolist() == [0.01]
    return list(zip(o.label.tolist(), o.score.tolist(), o.right.tolist(), strict=True)), o.positives[:, 0].tolist()


def test_segments_are_found_once_each():
    rows, positives = judged(timed("a", (1, 3, "x"), (20, 22, "y")), "segment")
    assert rows == [(0, 0.9, True), (0, 0.8, False), (0, 0.7, False), (1, 0.6, False)]
    assert positives == [1, 1]


def test_points_are_held_once_each():
    rows, positives = judged(clicked("a", (2.0, "x"), (8.5, "x"), (30.0, "y")), "point")
    assert [r for *_, r in rows] == [True, False, True, False]
    assert positives == [2, 1]


def test_of_a_video_only_the_best_detection_counts():
    rows, positives = judged(told("a", "x"), "video")
    assert rows == [(0, 0.9, True), (1, 0.6, False)]
    assert positives == [1, 0]


def held(kind, videos, rows):
    names = [v.name for v in videos]
    table = Table.of(rows, source="t", videos=names, labels=("x", "y"))
    return HeldOut(table, tuple(videos), np.arange(len(videos)) % 2, ("x", "y"), kind, dict.fromkeys(names, 10.0))


def test_confusion_by_hand():
    rows = [("a", "y", 1, 3, 0.9), ("a", "y", 5, 7, 0.8), ("a", "x", 0, 0.5, 0.4), ("a", "y", 8, 9, 0.1)]
    of = held("segment", [timed("a", (1, 3, "x"), (5, 7, "y"), (8, 9, "y"))], rows)
    shown = passing(of, np.array([0.9, 0.8, 0.4, 0.1]), {"x": 0.3, "y": 0.3})
    # x taken for y; one y found, one missed; one false x.
    assert confusion(of, shown) == {"labels": ["x", "y", NOTHING], "counts": [[0, 1, 0], [0, 1, 1], [1, 0, 0]]}


def test_figures_are_means_over_folds():
    videos = [timed("a", (1, 3, "x")), timed("b", (1, 3, "x")), timed("c", (1, 3, "x"))]
    of = held("segment", videos, [("a", "x", 1, 3, 0.9), ("c", "x", 1, 3, 0.9), ("b", "x", 6, 8, 0.9)])
    main = figures(of, of.outcomes())["figures"]["mAP@0.1:0.7"]
    assert (main["mean"], main["values"]) == (0.5, [1.0, 0.0])


def test_chance_is_told_from_knowledge(rng):
    videos = [timed(f"v{i}", *[(s, s + 1.0, "xy"[i % 2]) for s in (1.0, 4.0, 8.0)]) for i in range(6)]
    right = [(v.name, s.label, s.start, s.end, 0.9) for v in videos for s in v.segments]
    wrong = [(v.name, "xy"[int(rng.integers(2))], t, t + 1, 0.5) for v in videos for t in rng.uniform(0, 9, 5)]
    seconds = {v.name: 10.0 for v in videos}
    labels_ = ("x", "y")
    assert against_chance(Table.of(right, source="t"), videos, labels_, "segment", seconds).better
    assert not against_chance(Table.of(wrong, source="t"), videos, labels_, "segment", seconds).better
    whole = [(v.name, v.labels[0], 0.0, 10.0, 0.9) for v in videos]  # the class is right, the times say nothing
    assert not against_chance(Table.of(whole, source="t"), videos, labels_, "segment", seconds).better
    bare = [told(f"v{i}", "xy"[i % 2]) for i in range(10)]
    named = [(v.name, v.labels[0], 0.0, 10.0, 0.9) for v in bare]
    long = {v.name: 10.0 for v in bare}
    assert against_chance(Table.of(named, source="t"), bare, labels_, "video", long).better


def test_a_class_that_is_never_right_is_cut_off():
    """Few labels share the threshold of all classes, but not where every detection of a class is wrong."""
    videos = [timed(n, (1, 3, "x"), (5, 7, "y")) for n in "abcd"]
    rows = [(n, "x", 1, 3, 0.5) for n in "abcd"] + [(n, "y", 8, 9, 0.9) for n in "abcd"]
    of = held("segment", videos, rows)
    x, y = fitted_scores(of, of.outcomes()).thresholds
    assert (x.recall, x.wrong) == (1.0, 0)
    assert (y.recall, y.wrong) == (0.0, 0)


def test_segmental_f1_by_hand():
    true = {"v": [Segment(0, 10, "x", 1), Segment(10, 20, "y", 1)]}
    found = {"v": [Segment(0, 4, "x", 1), Segment(4, 9, "x", 1), Segment(11, 20, "y", 1)]}
    # The first x overlaps by .4, the second by .5, y by .9.
    assert segmental_f1(true, found, 0.25) == pytest.approx(2 * 2 / 5)  # the second x comes after the first has it
    assert segmental_f1(true, found, 0.5) == pytest.approx(2 * 2 / 5)
    assert segmental_f1(true, found, 0.95) == 0.0
    assert segmental_f1({}, {}, 0.5) == 1.0


def test_one_action_at_a_time():
    found = [Segment(0, 10, "x", 0.9), Segment(2, 9, "y", 0.8), Segment(8, 20, "y", 0.7)]
    assert one_at_a_time(found) == [found[0], found[2]]


# -- the table


def test_every_kind_has_a_row_for_any_size():
    for kind in ("video", "point", "segment"):
        for count in (1, 50, 10_000):
            rule = rule_for(kind, count)
            assert rule.kind == kind
            assert rule.least <= count
            rule.options(0)
            rule.method.Config(**rule.config)
    assert min(r.least for r in RULES) == 0


def test_a_head_by_name():
    assert rule_for("video", 10, "basnet", 7).train["steps"] == 7
    with pytest.raises(UsageError, match="head is 'nonsense', must be one of actionformer, aicl, apn"):
        rule_for("video", 10, "nonsense")
    with pytest.raises(UsageError, match="head 'lacp' reads points, and the labels are of whole videos"):
        rule_for("video", 10, "lacp")
    with pytest.raises(UsageError, match="head 'actionformer' reads segments with start and end"):
        rule_for("point", 10, "actionformer")


@pytest.mark.parametrize(
    ("widths", "embedding"), [({"rgb": 1280}, 256), ({"rgb": 256}, 0), ({"rgb": 128, "b": 129}, 256)]
)
def test_heads_on_wide_features_are_narrower(widths, embedding):
    for head in ("lacp", "cola", "um"):
        rule = rule_for("point" if head == "lacp" else "video", 0, head)
        config = config_for(rule, widths)
        assert (config.visual, config.embedding) == (widths, embedding)
        assert config_for(replace(rule, widest=0), widths).embedding == 0
        net = rule.method.build(config, Vocabulary(["run", "jump"]), None).eval()
        out = net({s: torch.zeros(1, 9, w) for s, w in widths.items()})
        assert out.embedding.shape == (1, 9, embedding or sum(widths.values()))
    assert config_for(rule_for("segment", 0), widths).total == sum(widths.values()), "it has a width of its own"
    assert config_for(replace(rule_for("video", 0), config={"embedding": 512}), widths).embedding == 512
    with pytest.raises(UsageError, match="embedding is -1, must be 0 or more"):
        load_method("cola").Config(embedding=-1)


@pytest.mark.parametrize(("config", "threads"), [({"embedding": 256}, 1), ({}, 3)])
def test_small_heads_train_on_one_thread(monkeypatch, config, threads):
    told = [3]
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: told[-1])
    with one_thread(load_method("cola").Config(rgb=1280, flow=0, **config)):
        assert told[-1] == threads
    assert told[-1] == 3
