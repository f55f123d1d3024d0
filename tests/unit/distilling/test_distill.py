"""`distill` as a whole: what is in the plan and its contract, what is kept, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from tal_engine import TALEngine, read_plan
from tal_engine.cli import main
from tal_engine.errors import DataError, PlanError, PlanFault, UsageError, VideoError
from tal_engine.inference.extraction import Extractor
from tal_engine.lab import distill
from tal_engine.lab.distilling import run
from tal_engine.lab.distilling.options import DistillOptions, student_snippets
from tal_engine.options import SnippetOptions, timeline_of
from tests.makers import moving_square, tiny_plan, write_mp4

#: Quick settings that suffice here.
QUICK = {"frames": 4, "moments": 2, "width": 4, "epochs": 1, "threads": 1, "held_out": 0.3}


def write_videos(folder, count=5):
    folder.mkdir()
    for i in range(count):
        write_mp4(folder / f"v{i}.mp4", list(moving_square(90 + 20 * i, 64, 96))[10 * i :])
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, report) of a student of the tiny plan."""
    root = tmp_path_factory.mktemp("distill")
    tiny_plan(root / "teacher.plan")
    write_videos(root / "videos")
    rows = [f"v{i}.mp4,0.5,1.5,jump" for i in range(5)]
    (root / "labels.csv").write_text("\n".join(["video,start,end,label", *rows]) + "\n")
    report = distill(root / "teacher.plan", root / "videos", root / "s.plan", root / "labels.csv", **QUICK)
    return root, report


def test_the_plan_reads_few_small_pictures_and_no_flow(made):
    root, _ = made
    manifest, teacher = read_plan(root / "s.plan").manifest, read_plan(root / "teacher.plan").manifest
    (encoder,) = manifest.encoders
    assert (encoder.stream, encoder.reads, encoder.dim) == ("student", "frames", sum(teacher.streams.values()))
    assert encoder.graph.inputs[0].shape == ["B", 4, 64, 64, 3]
    assert (manifest.snippet.flow, manifest.snippet.crop) == ("none", 64)
    assert timeline_of(manifest.snippet) == timeline_of(teacher.snippet)
    assert (manifest.vocabulary, manifest.proposal, manifest.nms) == (
        teacher.vocabulary, teacher.proposal, teacher.nms
    )  # fmt: skip
    assert manifest.parity["head"]["segments_changed"] == 0


def test_a_student_teaches_no_other(made, tmp_path):
    root, _ = made
    with pytest.raises(UsageError, match="plan s is a student itself: take the plan that taught it"):
        distill(root / "s.plan", root / "videos", tmp_path / "t.plan", **QUICK)
    assert list(tmp_path.iterdir()) == []


def test_the_contract_names_pixels_stride_architecture_and_teacher(made):
    root, report = made
    plan, teacher = read_plan(root / "s.plan"), read_plan(root / "teacher.plan")
    contract = plan.manifest.provenance["contract"]
    own = contract["encoders"]["student"]
    architecture = {"frames": "4", "side": "64", "moments": "2", "width": "4", "colours": "luma"}
    assert {k: own[k] for k in architecture} == architecture
    assert (own["teacher"], own["teacher_sha256"]) == ("tiny", teacher.sha256)
    assert contract["snippet"]["stride"] == plan.manifest.snippet.stride
    assert contract["pixels"]
    record = plan.manifest.provenance["distilled"]
    assert record["contract"]["encoders"]["rgb"]["name"] == "test-rgb"
    assert record["options"] == {"epochs": 1, "activations": 1.0, "seed": 0}
    assert record["figures"]["trained_on"] == report.figures["trained_on"]
    assert plan.manifest.domain is None  # three videos do not say what is usual


def test_what_is_measured_is_of_held_out_videos(made):
    _, report = made
    figures = report.figures
    assert (figures["videos"], figures["trained_on"]["videos"]) == (2, 3)
    assert all(0 <= figures[k] <= 100 for k in ("teacher", "student", "agreement"))
    assert figures["unexplained"] > 0
    assert set(figures["seconds"]) == {"teacher", "pictures", "training", "measuring"}
    assert "trained on       3 videos" in report.table
    assert "against truth" in report.table


def test_the_student_localizes_files_and_arrays(made):
    root, _ = made
    engine = TALEngine.load(root / "s.plan", "cpu")
    assert engine.localize(root / "videos" / "v0.mp4").info.snippets > 0
    assert engine.localize(np.zeros((40, 48, 64, 3), np.uint8), fps=25.0).info.snippets > 0


def test_a_second_run_sees_nothing_again_and_gives_the_same(made, monkeypatch):
    root, report = made

    def again(*_):
        raise AssertionError("a video was looked at again")

    monkeypatch.setattr(Extractor, "__call__", again)
    monkeypatch.setattr("tal_engine.lab.distilling.pictures.open_video", again)
    second = distill(root / "teacher.plan", root / "videos", root / "s.plan", overwrite=True, **QUICK)
    assert second.plan.files == report.plan.files
    assert second.figures["student"] is None


def test_the_command(made, tmp_path):
    root, _ = made
    paths = ["distill", str(root / "teacher.plan"), "--data", str(root / "videos"), "-o", str(tmp_path / "s.plan")]
    main._register("distill")
    more = ["--work", str(root / "s.distill"), "--labels", str(root / "labels.csv"), "--epochs", "1"]
    done = CliRunner().invoke(main.app, [*paths, *more])
    assert done.exit_code == 0, done.output
    assert "trained on       4 videos" in done.output
    assert "against truth" in done.output
    assert read_plan(tmp_path / "s.plan").manifest.encoders[0].preprocess["frames"] == "8"
    done = CliRunner().invoke(main.app, ["distill", "demo", "--data", str(tmp_path / "none"), "-o", "s.plan"])
    assert isinstance(done.exception, UsageError)
    assert "is no folder of videos" in str(done.exception)


def test_nothing_is_overwritten_unless_asked(made):
    root, _ = made
    before = (root / "s.plan").read_bytes()
    with pytest.raises(UsageError, match=r"s\.plan: is there already; --overwrite replaces it"):
        distill(root / "teacher.plan", root / "videos", root / "s.plan", **QUICK)
    assert (root / "s.plan").read_bytes() == before


def test_a_folder_of_another_teacher_is_refused(made, tmp_path):
    root, _ = made
    tiny_plan(tmp_path / "other.plan", name="other")
    with pytest.raises(UsageError, match="is of another teacher"):
        distill(tmp_path / "other.plan", root / "videos", tmp_path / "s.plan", work=root / "s.distill", **QUICK)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(UsageError, match="is no folder of tal distill and not empty"):
        distill(root / "teacher.plan", root / "videos", tmp_path / "s.plan", work=tmp_path / "full", **QUICK)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("video,label\nv0.mp4,jump\n", "has no segments, only they tell how good a student is"),
        ("video,start,end,label\nother.mp4,0,1,jump\n", "no labels are left: line 2: video 'other.mp4' is not in"),
    ],
)
def test_labels_that_say_nothing_are_named_before_the_teacher_sees_a_video(made, tmp_path, monkeypatch, rows, said):
    root, _ = made
    (tmp_path / "labels.csv").write_text(rows)
    monkeypatch.setattr(run, "gather_targets", None)
    with pytest.raises(DataError, match=said):
        distill(root / "teacher.plan", root / "videos", tmp_path / "s.plan", tmp_path / "labels.csv", **QUICK)
    assert not (tmp_path / "s.plan").exists()


def test_labels_of_other_videos_are_named_before_the_training(made, tmp_path, monkeypatch):
    root, _ = made
    (tmp_path / "labels.csv").write_text("video,start,end,label\n" + "".join(
        f"{p.name},0,1,jump\n" for p in sorted((root / "videos").glob("*.mp4"))[:1]
    ))  # fmt: skip
    monkeypatch.setattr(run, "train", None)
    monkeypatch.setattr(run, "divided", lambda seen, options: (seen[:1], seen[1:2]))
    with pytest.raises(DataError, match="has no segments of the held-out videos"):
        distill(root / "teacher.plan", root / "videos", tmp_path / "s.plan", tmp_path / "labels.csv", **QUICK)


@pytest.mark.parametrize(("count", "words"), [(0, "no videos in this folder"), (1, "has 1 video, at least 2")])
def test_too_few_videos(count, words, tmp_path):
    tiny_plan(tmp_path / "teacher.plan")
    write_videos(tmp_path / "videos", count)
    with pytest.raises(DataError, match=words):
        distill(tmp_path / "teacher.plan", tmp_path / "videos", tmp_path / "s.plan", **QUICK)


def test_videos_that_cannot_be_read_are_left_out_and_said(tmp_path):
    tiny_plan(tmp_path / "teacher.plan")
    videos = write_videos(tmp_path / "videos", 2)
    (videos / "broken.mp4").write_bytes(b"no video")
    report = distill(tmp_path / "teacher.plan", videos, tmp_path / "s.plan", **QUICK)
    (videos / sorted(p.name for p in videos.glob("*.mp4") if p.stem != "broken")[0]).unlink()
    with pytest.raises(DataError, match="1 video could be read, at least 2 are needed; left out: broken: "):
        distill(tmp_path / "teacher.plan", videos, tmp_path / "u.plan", **QUICK)
    useless, left_out = report.warnings
    assert f"leaves {report.figures['unexplained']:.0%} of the features' variance unexplained" in useless
    assert left_out.startswith("broken: left out: ")
    assert report.figures["trained_on"]["videos"] == 1
    for path in videos.glob("v*.mp4"):
        path.write_bytes(b"no video")
    with pytest.raises((DataError, VideoError), match="no video can be read"):
        distill(tmp_path / "teacher.plan", videos, tmp_path / "t.plan", **QUICK)


def test_teachers_that_cannot_teach(tmp_path):
    videos = write_videos(tmp_path / "videos", 2)
    tiny_plan(tmp_path / "bare.plan", encoders=False)
    with pytest.raises(PlanError, match="plan tiny has no encoders") as caught:
        distill(tmp_path / "bare.plan", videos, tmp_path / "s.plan", **QUICK)
    assert caught.value.fault is PlanFault.NO_ENCODER
    with pytest.raises(UsageError, match=r"plan people reads skeletons \(encoder "):
        distill("people", videos, tmp_path / "s.plan", **QUICK)
    assert not (tmp_path / "s.distill").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"frames": 0}, "frames is 0, must be in 1..64"),
        ({"side": 72}, "side is 72, must be a multiple of 16 in 64..256"),
        ({"frames": 4, "moments": 3}, r"moments is 3, must be a divisor of frames \(4\)"),
        ({"colours": "cmyk"}, "colours is 'cmyk', must be 'luma' or 'rgb'"),
        ({"held_out": 1.0}, "held_out is 1.0, must be between 0 and 1"),
        ({"epochs": 0}, "epochs is 0, must be at least 1"),
    ],
)
def test_options_out_of_range(options, words):
    with pytest.raises(UsageError, match=words):
        DistillOptions(**options)


def test_snippets_begin_where_the_teachers_do():
    teacher = SnippetOptions(fps=25.0, window=16, stride=4, resize=128, crop=112)
    found = student_snippets(teacher, DistillOptions(frames=8))
    assert (found.window, found.stride, found.fps) == (8, 2, 12.5)
    assert timeline_of(found) == timeline_of(teacher)
    with pytest.raises(UsageError, match=r"frames is 2, must be such that frames \* stride \(4\) / window \(16\)"):
        student_snippets(teacher, DistillOptions(frames=2, moments=1))
    assert student_snippets(replace(teacher, resize=0, crop=0), DistillOptions()).crop == 64
