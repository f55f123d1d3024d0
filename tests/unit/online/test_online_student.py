"""Online students: what they are taught, that training learns, the graph, thresholds, the command."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from tal_engine import Segment, TALEngine
from tal_engine.annotations.points import Point
from tal_engine.demo.demo_set import render_split
from tal_engine.errors import DataError, UsageError
from tal_engine.export.online import online_plan
from tal_engine.export.regate import gate_here
from tal_engine.export.triton import write_repository
from tal_engine.export.variant import make_variant
from tal_engine.inference import propose
from tal_engine.inference.operating_point import overlap
from tal_engine.lab.distilling.targets import thinned
from tal_engine.lab.online.network import OnlineConfig, OnlineHead
from tal_engine.lab.online.rule import fit_rule, read_video
from tal_engine.lab.online.stem import TeacherStem
from tal_engine.lab.online.student import Lesson, OnlineStudentOptions, taught_segments, teach
from tal_engine.lab.online.targets import one_each, targets_of
from tal_engine.lab.online.training import OnlineTraining
from tal_engine.options import BoundaryOptions
from tal_engine.plan.online_fields import OnlineOptions
from tal_engine.pose.plans import open_plan
from tal_engine.records import Features, OnlineActivations
from tal_engine.timeline import Timeline
from tal_engine.vocabulary import Vocabulary
from tests import onlines
from tests.integration.test_cli import tal
from tests.makers import HEAD, tiny_plan

TIME = Timeline(0.0, 0.32, 0.32)


def test_targets_are_shares_of_snippets():
    words = Vocabulary(["a", "b"])
    t = targets_of([Segment(1.5, 4.0, "b", 0.9)], words, Timeline(0.0, 1.0, 1.0), 6, 2.0)
    assert t.classes.tolist() == [[0, 0], [0, 0.5], [0, 1], [0, 1], [0, 0], [0, 0]]
    assert t.start.tolist() == [0, 1, 0, 0, 0, 0]
    assert t.end.tolist() == [0, 0, 0, 0.5, 0.5, 0]
    assert t.hazard.tolist() == [0, 1, 1, 1, 0, 0]
    assert t.going.tolist() == [False, True, True, True, False, False]
    empty = targets_of([], words, Timeline(0.0, 1.0, 1.0), 3, 2.0)
    assert not empty.classes.any()
    assert not empty.going.any()


def test_of_several_guesses_at_an_action_the_best_is_learned():
    guesses = [Segment(0, 4, "a", 0.5), Segment(1, 3, "a", 0.9), Segment(1, 3, "b", 0.4), Segment(5, 6, "a", 0.05)]
    assert one_each(guesses, 0.1) == [guesses[1], guesses[2]]
    assert one_each(guesses, 0.0, {"a"}) == [guesses[1], guesses[3]]
    points = [Point(0.5, "a"), Point(5.5, "b")]
    assert one_each(guesses, 0.0, {"a", "b"}, points) == [guesses[0]]


def videos(count, seed=0):
    """Features of which the test head makes one class after the other, and what goes on in them."""
    rng, found = np.random.default_rng(seed), {}
    each = np.linalg.pinv(HEAD)  # features that give a chosen logit
    for v in range(count):
        labels = np.full(60, 3)
        for start in (8, 24, 42):
            labels[start : start + int(rng.integers(5, 9))] = int(rng.integers(3))
        wanted = 6 * np.eye(4)[labels] + rng.normal(0, 0.3, (60, 4))
        x = (wanted @ each).astype(np.float32)
        edges = np.flatnonzero(np.diff(np.append(np.append(3, labels), 3)))
        names = tiny_plan().manifest.vocabulary
        segments = [Segment(0.32 * a, 0.32 * b, names[labels[a]], 1.0) for a, b in pairwise(edges)
                    if labels[a] < 3]  # fmt: skip
        found[f"v{v}"] = Lesson(Features({"rgb": x}, TIME, 60 * 0.32), segments)
    return found


def test_a_student_learns_what_it_is_taught_and_its_plan_tells_it():
    teacher = tiny_plan(encoders=False)
    how = OnlineStudentOptions(look_ahead=0.5, false_alarms=100.0, training=OnlineTraining(epochs=8))
    student = teach(teacher, videos(6), videos(3, 1), how)
    assert student.net.config.look_ahead == 1
    plan = student.plan("live")
    assert plan.manifest.parity["head"]["tensor"] < 1e-4
    assert plan.manifest.online.look_ahead == 1
    engine, found, truth = TALEngine(plan, "cpu", threads=1), 0, 0
    for lesson in videos(3, 2).values():
        stream = engine.open_stream("s", provisional=True)
        x = lesson.features.streams["rgb"]
        events = [e for row in x for e in stream.push_features({"rgb": row})] + stream.flush(lesson.features.duration)
        finals = [e for e in events if e.is_final]
        truth += len(lesson.segments)
        found += sum(any(e.label == s.label and overlap(s, Segment(e.start, e.end, e.label, 1.0)) > 0.5 for e in finals)
                     for s in lesson.segments)  # fmt: skip
        assert stream.state.finalizer.late_events == 0
    assert found >= 0.7 * truth


@pytest.mark.parametrize(
    ("window", "ahead", "overlap"), [(2, 0, 1), (2, 1, 1), (6, 1, 1), (5, 3, 1), (3, 2, 2), (2, 0, 4), (6, 8, 8)]
)
def test_the_graph_is_the_network(window, ahead, overlap):
    torch.manual_seed(0)
    stem = TeacherStem(tiny_plan(encoders=False), window, ahead, overlap)
    net = OnlineHead(3, OnlineConfig(look_ahead=ahead, window=window, overlap=overlap, hidden=5)).eval()
    plan = online_plan(net, stem, OnlineOptions(look_ahead=ahead, start=(0.5,) * 3), name="x")  # the gate is inside
    features = videos(1)["v0"].features
    wanted, found = read_video(net, stem, features), TALEngine(plan, "cpu", threads=1).localize(features).activations
    for name in ("cas", "now", "attention", "start", "end", "hazard"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), atol=1e-5)


def test_the_head_of_a_real_plan_goes_inside_with_its_encoders():
    demo = open_plan("demo")
    stem = TeacherStem(demo, 6, 1)
    net = OnlineHead(12, OnlineConfig()).eval()
    plan = online_plan(net, stem, OnlineOptions(look_ahead=1, start=(0.5,) * 12), name="live")
    assert {e.stream for e in plan.manifest.encoders} == {"rgb", "flow"}
    assert plan.manifest.provenance["teacher"] == demo.sha256
    frames = np.zeros((64, 120, 160, 3), np.uint8)
    assert TALEngine(plan, "cpu").localize(frames, fps=25.0).info.snippets == 4


def test_of_overlapping_snippets_the_teacher_sees_every_second():
    features = videos(1)["v0"].features
    dense = replace(features, timeline=Timeline(0.0, TIME.step / 2, TIME.width))
    plan = tiny_plan(encoders=False)
    both, alone = TeacherStem(plan, 4, 2, 2), TeacherStem(plan, 4, 1)
    assert both.snippet.stride == plan.manifest.snippet.stride // 2
    for first in (0, 1):
        mine = replace(features, streams={"rgb": features.streams["rgb"][first::2]})
        np.testing.assert_allclose(both(dense, 0)[first::2], alone(mine, 0), atol=1e-6)
    assert len(thinned(dense, 2)) == 30
    assert thinned(dense, 2).timeline == TIME
    assert thinned(dense, 1) is dense


def test_a_student_of_overlapping_snippets_reads_them_as_streams_do():
    teacher = tiny_plan(encoders=False)
    taught = {
        n: replace(x, features=replace(x.features, timeline=Timeline(0.0, TIME.step / 2, TIME.width)),
                   segments=[replace(s, start=s.start / 2, end=s.end / 2) for s in x.segments])
        for n, x in videos(6).items()
    }  # fmt: skip
    how = OnlineStudentOptions(look_ahead=0.4, overlap=2, false_alarms=100.0, training=OnlineTraining(epochs=2))
    plan = teach(teacher, taught, taught, how).plan("live")
    assert plan.manifest.online.look_ahead == 2
    assert plan.manifest.snippet.stride == teacher.manifest.snippet.stride // 2
    engine, features = TALEngine(plan, "cpu", threads=1), taught["v0"].features
    stream = engine.open_stream("s", min_score=-np.inf)
    told = [e for row in features.streams["rgb"] for e in stream.push_features({"rgb": row})]
    told += stream.flush(features.duration)
    whole = engine.localize(features, min_score=-np.inf, top_k=0)
    assert len(told) > 3
    found, wanted = (sorted((s.label, s.start, s.end) for s in of) for of in (told, whole))
    assert [f[0] for f in found] == [w[0] for w in wanted]
    np.testing.assert_allclose([f[1:] for f in found], [w[1:] for w in wanted], atol=1e-6)
    assert stream.state.finalizer.late_events == 0


def test_a_teacher_without_activations_is_refused():
    demo = open_plan("demo")
    boundary = demo.manifest.model_copy(update={"proposal": BoundaryOptions()})
    with pytest.raises(UsageError, match=r"plan demo \(pvlr\) gives no activations of classes"):
        TeacherStem(type(demo)(boundary, demo.files, demo.document), 6, 1)
    with pytest.raises(UsageError, match=r"window is 1, must be in 2..1000 snippets, as 1 are looked ahead"):
        TeacherStem(demo, 1, 1)
    with pytest.raises(UsageError, match=r"overlap is 3, must be a divisor of the 16 frames between two snippets"):
        TeacherStem(demo, 6, 0, 3)
    with pytest.raises(UsageError, match=r"ahead is 1, must be a multiple of the overlap, 2"):
        TeacherStem(demo, 6, 1, 2)


def test_an_online_head_stays_in_float32(tmp_path):
    plan = onlines.online_plan()
    for precision in ("fp16", "bf16", "int8"):
        with pytest.raises(UsageError, match="plan online is 'of an online head', must be of a head that sees windows"):
            make_variant(plan, precision)
    with pytest.raises(UsageError, match="plan online is 'of an online head'"):
        write_repository(plan, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_thresholds_are_the_lowest_with_so_few_false_alarms():
    teacher = tiny_plan(encoders=False)
    stem = TeacherStem(teacher, 6, 1)
    torch.manual_seed(0)
    net = OnlineHead(3, OnlineConfig()).eval()
    words, held = Vocabulary(teacher.manifest.vocabulary), videos(2)
    read = {n: read_video(net, stem, x.features) for n, x in held.items()}
    truth = {n: x.segments for n, x in held.items()}
    options = OnlineOptions(look_ahead=1, start=(1.0,) * 3)
    many = fit_rule(read, truth, words, options, 1e5, "test")
    few = fit_rule(read, truth, words, options, 1e-3, "test")
    assert min(many.options.start) <= min(few.options.start)
    assert few.figures["starts"]["false_alarms"] == 0
    tried = few.figures["share"]["map"]
    best = max(tried, key=tried.get)
    assert few.options.share in (float(best), options.share)
    assert len(few.options.guesses) == 2
    assert min(few.options.guesses) > few.options.share
    kept = fit_rule(read, truth, words, options, 1e5, "test", shares=())
    assert (kept.options.share, kept.options.confirm, kept.options.guesses) == (options.share, options.confirm, ())
    assert few.thresholds.false_alarms_per_hour == 1e-3
    assert len(propose(read["v0"], many.options).data) >= 0
    with pytest.raises(DataError, match="0 videos with 0 actions"):
        fit_rule({}, {}, words, options, 2.0, "none")


@pytest.mark.parametrize(("dips", "confirm"), [("between actions", 0), ("within actions", 1)])
def test_a_dip_of_a_snippet_ends_an_action_where_held_out_videos_say_so(dips, confirm):
    """Five actions of six snippets with one between them, or one action with such dips."""
    time, level = Timeline(0.0, 1.0, 1.0), np.full(40, 0.02, np.float32)
    level[2:37] = 0.9
    level[8:37:7] = 0.02
    score = np.stack([level, np.full(40, 0.02, np.float32)], 1)
    many = [Segment(2.0 + 7 * k, 8.0 + 7 * k, "a", 1.0) for k in range(5)]
    true = many if dips == "between actions" else [Segment(2.0, 37.0, "a", 1.0)]
    flat = np.full(40, 0.5, np.float32)
    read = {
        v: OnlineActivations(score, level, time, 40.0, None, now=score, start=flat, end=flat, hazard=flat) for v in "xy"
    }
    options = OnlineOptions(look_ahead=0, start=(1.0, 1.0))
    fitted = fit_rule(read, dict.fromkeys("xy", true), Vocabulary(["a", "b"]), options, 60, "t")
    assert fitted.options.confirm == confirm
    figures = fitted.figures["share"]
    assert figures["confirm"] == confirm
    worth = {int(k): v for k, v in figures["map_of_confirm"].items()}
    assert worth[confirm] > worth[1 - confirm] + 0.2


def test_what_a_teacher_says_counts_where_the_classes_allow_it():
    teacher = TALEngine(tiny_plan(encoders=False), "cpu", threads=1)
    lesson = videos(1)["v0"]
    every = taught_segments(teacher, lesson.features, None)
    label = every[0].label
    assert {s.label for s in taught_segments(teacher, lesson.features, {label})} == {label}


@pytest.mark.parametrize(
    ("options", "text"),
    [({"look_ahead": -1.0}, "look_ahead"), ({"false_alarms": 0.0}, "false_alarms"), ({"held_out": 1.0}, "held_out")],
)
def test_options_of_students_say_what_is_allowed(options, text):
    with pytest.raises(UsageError, match=text):
        OnlineStudentOptions(**options)


def final_within(plan, snippet):
    """What docs/online.md promises of finals: snippets of look-ahead, `confirm` and one, half of one, and a frame."""
    online = plan.manifest.online
    return f"{(online.look_ahead + online.confirm + 1) * snippet + 0.5 * 0.64 + 0.04:.2f}"


def test_the_command_makes_a_plan_that_streams(tmp_path):
    render_split(tmp_path / "set", "clips", 3, seed=5)
    output, labels = tmp_path / "live.plan", tmp_path / "labels.csv"
    rows = [f"clips_{i:05d}.mp4,wave,0.5,1.9" for i in range(3)]
    labels.write_text("\n".join(["video,label,start,end", *rows]) + "\n")
    arguments = ["distill", "demo", "--data", str(tmp_path / "set" / "videos"), "-o", str(output)]
    done = tal(*arguments, "--online", "--epochs", "1", "--labels", str(labels), "--look-ahead", "1.3")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["false_alarms_per_hour"] == 2.0
    plan = TALEngine.load(output, "cpu").plan
    assert plan.manifest.online.look_ahead == 2
    assert f"finals at most {final_within(plan, 0.64)} s after the end" in done.stderr
    assert plan.manifest.provenance["fitted"]["videos"] == 1
    shown = tal("plan", "inspect", str(output)).stdout
    assert f"finals at most {final_within(plan, 0.64)} s" in " ".join(shown.split())
    often = tmp_path / "often.plan"
    arguments[arguments.index(str(output))] = str(often)
    done = tal(
        *arguments, "--online", "--epochs", "1", "--labels", str(labels), "--look-ahead", "1.3", "--overlap", "2"
    )
    assert done.returncode == 0, done.stderr
    plan = TALEngine.load(often, "cpu").plan
    assert f"finals at most {final_within(plan, 0.32)} s after the end" in done.stderr
    assert plan.manifest.snippet.stride == 8
    refused = tal(*arguments, "--look-ahead", "1")
    assert refused.returncode == 2
    assert "are for --online" in refused.stderr


def test_the_gate_of_an_online_plan_runs_on_this_machine():
    stem = TeacherStem(tiny_plan(encoders=False), 6, 1)
    torch.manual_seed(0)
    net = OnlineHead(3, OnlineConfig(hidden=5)).eval()
    plan = online_plan(net, stem, OnlineOptions(look_ahead=1, start=(0.5,) * 3), name="x")
    assert gate_here(plan)["head"]["tensor"] < 1e-4
