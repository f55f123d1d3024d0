"""Students that read flow: their parts, what is kept for them, and their plans in files, arrays and streams."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tal_engine import TALEngine, read_plan
from tal_engine.backends import open_backend
from tal_engine.cli import main
from tal_engine.engine import EMBEDDED_PLAN
from tal_engine.errors import UsageError
from tal_engine.export.student_plan import make_student_plan
from tal_engine.features import EncoderGraph
from tal_engine.inference.extraction import Extractor
from tal_engine.lab import distill
from tal_engine.lab.distilling.lessons import lesson_of
from tal_engine.lab.distilling.options import DistillOptions, fitted_options, student_snippets
from tal_engine.lab.distilling.parts import EVERY, Flow, Frames, coarse, halved
from tal_engine.lab.distilling.pictures import pictures_of
from tal_engine.lab.distilling.student import Student, shares_of
from tal_engine.lab.distilling.targets import VideoTargets
from tal_engine.lab.distilling.training import HeadError, features_of, train
from tal_engine.options import SnippetOptions, StreamOptions, timeline_of
from tal_engine.video import cut, open_video
from tal_engine.video.flow import with_flow
from tests.makers import moving_square, tiny_plan, write_mp4

SMALL = DistillOptions(flow="dis_ultrafast", frames=4, width=4, epochs=1, threads=1, held_out=0.3)
QUICK = {"flow": "dis_ultrafast", "frames": 4, "width": 4, "epochs": 1, "threads": 1, "held_out": 0.3}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for i in range(3):
        write_mp4(folder / f"v{i}.mp4", list(moving_square(70 + 20 * i, 128, 160))[10 * i :])
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory, videos):
    """(folder, report) of a student of the plan that ships."""
    root = tmp_path_factory.mktemp("distill")
    return root, distill("demo", videos, root / "s.plan", **QUICK)


def test_what_0_stands_for_depends_on_flow():
    assert (DistillOptions().side, DistillOptions().moments, DistillOptions().colours) == (64, 1, "luma")
    found = DistillOptions(flow="dis_ultrafast")
    assert (found.side, found.moments, found.colours) == (112, 2, "rgb")
    assert DistillOptions(flow="dis", side=128, moments=1, colours="luma").architecture() == {
        "flow": "dis", "keep_frames": False, "frames": 8, "side": 128, "moments": 1, "width": 32, "colours": "luma",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"flow": "tvl1"}, "flow is 'tvl1', must be 'none', 'dis' or 'dis_ultrafast'"),
        ({"flow": "dis", "frames": 6}, r"frames is 6, must be a multiple of 2 \* moments \(4\) with flow"),
    ],
)
def test_options_that_do_not_go_together(options, words):
    with pytest.raises(UsageError, match=words):
        DistillOptions(**{"moments": 2, **options})


def test_snippets_of_a_student_with_flow_begin_where_the_teachers_do():
    teacher = SnippetOptions(fps=25.0, window=16, stride=4, resize=256, crop=224, flow="tvl1", flow_of="whole")
    found = student_snippets(teacher, DistillOptions(flow="dis_ultrafast"))
    assert (found.flow, found.flow_of, found.resize_of, found.crop) == ("dis_ultrafast", "crop", "yuv", 112)
    assert timeline_of(found) == timeline_of(teacher)


def test_each_part_stands_for_the_streams_that_read_the_same(videos, tmp_path):
    demo = read_plan(EMBEDDED_PLAN).manifest
    assert shares_of(demo, SMALL) == {"frames": {"rgb": 128}, "flow": {"flow": 128}}
    assert shares_of(demo, DistillOptions()) == {"frames": {"rgb": 128, "flow": 128}}
    told = "flow is 'dis_ultrafast', plan tiny reads no flow: its student needs none"
    with pytest.raises(UsageError, match=told):
        shares_of(tiny_plan().manifest, SMALL)
    tiny_plan(tmp_path / "teacher.plan")
    with pytest.raises(UsageError, match=told):
        distill(tmp_path / "teacher.plan", videos, tmp_path / "s.plan", **QUICK)
    assert not (tmp_path / "s.distill").exists()


def test_cells_of_flow_are_means():
    flow = np.random.default_rng(0).normal(size=(2, 3, 64, 64, 2)).astype(np.float32)
    wanted = flow.reshape(2, 3, 16, 4, 16, 4, 2).mean((3, 5)).transpose(0, 1, 4, 2, 3)
    np.testing.assert_allclose(coarse(torch.from_numpy(flow)).numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("side", [64, 80, 112, 128])
@pytest.mark.parametrize("moments", [1, 2])
@pytest.mark.parametrize("colours", ["luma", "rgb"])
def test_parts_of_all_sizes_give_features(side, moments, colours):
    options = replace(SMALL, side=side, moments=moments, colours=colours)
    frames, flow = Frames(options, 7).eval(), Flow(options, 5).eval()
    assert frames(torch.zeros(2, 4, side, side, 3, dtype=torch.uint8)).shape == (2, 7)
    assert flow(torch.zeros(2, 4, side, side, 2)).shape == (2, 5)


def test_what_is_kept_is_what_the_graphs_see(videos, tmp_path):
    """Frames are rounded once more, flow is kept as float16; both come of the pixels that a plan sees."""
    snippet = student_snippets(SnippetOptions(), SMALL)
    video = VideoTargets("v1", videos / "v1.mp4", None, None, (), ())
    kept = pictures_of([video], ["frames", "flow"], snippet, SMALL, tmp_path, lambda *_: None)["v1"]
    with open_video(video.path) as opened:
        seen = list(with_flow(cut(opened, snippet), snippet))
    frames, flow = (np.concatenate([getattr(s, name) for s in seen]) for name in ("frames", "flow"))
    np.testing.assert_array_equal(kept["flow"], coarse(torch.from_numpy(flow)).numpy().astype(np.float16))
    small = halved(torch.from_numpy(frames[:, ::EVERY]).float()).numpy()
    assert kept["frames"].dtype == np.uint8
    np.testing.assert_allclose(kept["frames"], small, atol=0.5001)
    assert np.abs(kept["flow"]).max() > 1


def flow_lessons(seed=0, count=60):
    """Videos whose teacher says, by one stream, where a bright bar stands, and by the other how fast all moves."""
    rng, out = np.random.default_rng(seed), []
    shares = {"frames": {"rgb": 2}, "flow": {"flow": 2}}
    for _ in range(4):
        places, speed = rng.integers(8, 24, (count, 2)), rng.normal(0, 3, (count, 2))
        away = np.abs(np.arange(32) - places[..., None])
        pictures = np.where(away < 3, 220, 40)[:, :, None, None, :].repeat(32, 3).repeat(3, 2).astype(np.uint8)
        flow = np.broadcast_to(speed[:, None, :, None, None], (count, 4, 2, 16, 16)).astype(np.float16)
        streams = {"rgb": places.astype(np.float32), "flow": 2 * speed.astype(np.float32)}
        out.append(lesson_of({"frames": pictures, "flow": flow}, streams, shares))
    return out, shares


def test_both_parts_learn():
    lessons, shares = flow_lessons()
    net = train(lessons, shares, replace(SMALL, side=64, moments=1, epochs=20), None, lambda *_: None)
    (held, *_), _ = flow_lessons(9)
    unexplained = ((features_of(net, held).numpy() - held.features) ** 2).mean(0) / held.features.var(0)
    assert unexplained[:2].max() < 0.5
    assert unexplained[2:].max() < 0.2


def test_the_order_of_the_columns_is_that_of_the_parts():
    net = Student(SMALL, {"frames": 3, "flow": 2}).eval()
    features = torch.randn(50, 5) * torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]) + torch.arange(5.0)
    net.scale_to(features)
    kept = {"frames": torch.rand(2, 2, 3, 56, 56) * 255, "flow": torch.randn(2, 4, 2, 28, 28)}
    frames, flow = net.parts
    assert (frames.reads, flow.reads) == ("frames", "flow")
    assert torch.equal(frames.mean, features[:, :3].mean(0))
    whole = net.features(kept)
    torch.testing.assert_close(whole[:, :3], frames.features(kept["frames"]))
    torch.testing.assert_close(whole[:, 3:], flow.features(kept["flow"]))


def test_the_plan_reads_frames_and_flow(made):
    root, _ = made
    plan, teacher = read_plan(root / "s.plan"), read_plan(EMBEDDED_PLAN)
    manifest = plan.manifest
    assert [(e.stream, e.reads, e.dim) for e in manifest.encoders] == [
        ("student", "frames", 128), ("student_flow", "flow", 128),
    ]  # fmt: skip
    assert manifest.encoders[1].graph.inputs[0].shape == ["B", 4, 112, 112, 2]
    assert [t.name for t in manifest.head.inputs] == ["student", "student_flow"]
    assert (manifest.snippet.flow, manifest.snippet.resize_of) == ("dis_ultrafast", "yuv")
    assert "reads flow dis_ultrafast" in manifest.description
    assert manifest.parity["head"]["segments_changed"] == 0
    contract = manifest.provenance["contract"]["encoders"]
    assert {e["teacher_sha256"] for e in contract.values()} == {teacher.sha256}
    assert (contract["student_flow"]["flow"], contract["student_flow"]["frames"]) == ("dis_ultrafast", "4")
    assert manifest.provenance["distilled"]["contract"]["encoders"].keys() == {"rgb", "flow"}


def test_files_arrays_and_streams_give_the_same(made, videos):
    files_arrays_and_streams(made[0] / "s.plan", videos)


def files_arrays_and_streams(plan, videos):
    engine = TALEngine.load(plan, "cpu", threads=1)
    assert engine.localize(videos / "v2.mp4", min_score=-np.inf)
    frames = np.stack(list(moving_square(90, 128, 160)))
    found = sorted((s.start, s.end, s.label, s.score) for s in engine.localize(frames, fps=25.0))
    stream = engine.open_stream("s", StreamOptions(window=60, look_ahead=60))
    events = [e for i, f in enumerate(frames) for e in stream.push(f, i / 25.0)] + stream.flush(90 / 25.0)
    assert sorted((e.start, e.end, e.label, e.score) for e in events) == found


def test_a_plan_makes_the_features_that_its_networks_make_of_what_is_kept(videos, tmp_path):
    demo = read_plan(EMBEDDED_PLAN)
    snippet, shares = student_snippets(demo.manifest.snippet, SMALL), shares_of(demo.manifest, SMALL)
    torch.manual_seed(0)
    net = Student(SMALL, {"frames": 128, "flow": 128}).eval().requires_grad_(False)
    pairs = [(part, shares[part.reads]) for part in net.parts]
    read = {"frames": {}, "flow": {}}
    plan = make_student_plan(demo, pairs, snippet, name="s", preprocess=read, record={})
    video = VideoTargets("v0", videos / "v0.mp4", None, None, (), ())
    kept = pictures_of([video], list(shares), snippet, SMALL, tmp_path, lambda *_: None)["v0"]
    streams = {name: np.zeros((len(kept["flow"]), 128), np.float32) for name in ("rgb", "flow")}
    wanted = features_of(net, lesson_of(kept, streams, shares)).numpy()
    found = TALEngine(plan, "cpu", threads=1).localize(video.path)
    assert found.info.snippets == len(wanted)
    graphs = [
        EncoderGraph(e, open_backend(plan.files[e.graph.member], e.graph.member, "cpu", threads=1, spec=e.graph))
        for e in plan.manifest.graph_encoders
    ]
    made = Extractor(snippet, graphs)(video.path).features.streams
    np.testing.assert_allclose(np.concatenate([made["student"], made["student_flow"]], 1), wanted, atol=5e-3)


@pytest.fixture(scope="module")
def slower(tmp_path_factory, videos):
    """(folder, report) of a student of the plan that ships, whose encoder of frames stays."""
    root = tmp_path_factory.mktemp("slower")
    return root, distill("demo", videos, root / "s.plan", keep_frames=True, **QUICK)


def test_encoders_of_frames_stay_and_read_each_frame_several_times(slower):
    root, _ = slower
    plan, teacher = read_plan(root / "s.plan"), read_plan(EMBEDDED_PLAN)
    made, kept = plan.manifest.encoders
    former = next(e for e in teacher.manifest.encoders if e.stream == "rgb")
    assert (made.stream, made.reads, made.dim) == ("student_flow", "flow", 128)
    assert (kept.stream, kept.name, kept.weights_sha256) == ("rgb", former.name, former.weights_sha256)
    assert kept.preprocess["rate"] == "4 frames, each seen 4 times"
    assert [t.name for t in plan.manifest.head.inputs] == ["student_flow", "rgb"]
    slow = np.random.default_rng(0).integers(0, 256, (2, 4, 112, 112, 3), np.uint8)
    found, wanted = (
        open_backend(p.files[e.graph.member], e.graph.member, "cpu").run({e.graph.inputs[0].name: x})["feature"]
        for p, e, x in ((plan, kept, slow), (teacher, former, slow.repeat(4, 1)))
    )
    np.testing.assert_array_equal(found, wanted)
    assert plan.manifest.parity["head"]["segments_changed"] == 0


def test_files_arrays_and_streams_give_the_same_with_encoders_that_stay(slower, videos):
    files_arrays_and_streams(slower[0] / "s.plan", videos)


def test_a_student_beside_encoders_that_stay_learns_what_flow_says(slower, videos):
    """The head's error is that of the student's columns alone: the others are the teacher's."""
    demo = read_plan(EMBEDDED_PLAN)
    options = fitted_options(demo.manifest.snippet, replace(SMALL, keep_frames=True))
    shares = shares_of(demo.manifest, options)
    assert shares == {"flow": {"flow": 128}}
    rng = np.random.default_rng(0)
    streams = {s: rng.normal(size=(20, 128)).astype(np.float32) for s in ("rgb", "flow")}
    lesson = lesson_of({"flow": rng.normal(size=(20, 4, 2, 28, 28)).astype(np.float16)}, streams, shares)
    np.testing.assert_array_equal(lesson.features, np.concatenate([streams["flow"], streams["rgb"]], 1))
    net = train([lesson], shares, options, HeadError(demo, shares), lambda *_: None)
    assert features_of(net, lesson).shape == (20, 128)
    right = torch.from_numpy(lesson.features)[None]
    assert HeadError(demo, shares)(right, right) == 0


def test_encoders_that_stay_need_pictures_that_fit():
    teacher = SnippetOptions(resize=256, crop=224, interpolation="bilinear", flow="tvl1", flow_of="whole")
    options = DistillOptions(flow="dis_ultrafast", keep_frames=True)
    assert fitted_options(teacher, options).side == 224
    found = student_snippets(teacher, fitted_options(teacher, options))
    assert (found.resize, found.crop, found.resize_of, found.flow_of) == (256, 224, "rgb", "whole")
    assert (found.fps, found.window, found.flow) == (12.5, 8, "dis_ultrafast")
    with pytest.raises(UsageError, match=r"frames is 12, must be a divisor of the teacher's window \(16\)"):
        fitted_options(teacher, replace(options, frames=12))
    with pytest.raises(UsageError, match="keep_frames is True, must be False without flow"):
        DistillOptions(keep_frames=True)


def test_a_student_with_flow_teaches_no_other(made, videos, tmp_path):
    root, _ = made
    with pytest.raises(UsageError, match="plan s is a student itself: take the plan that taught it"):
        distill(root / "s.plan", videos, tmp_path / "t.plan", **QUICK)


def test_the_command(made, videos, tmp_path):
    root, _ = made
    main._register("distill")
    paths = [
        "distill",
        "demo",
        "--data",
        str(videos),
        "-o",
        str(tmp_path / "s.plan"),
        "--work",
        str(root / "s.distill"),
    ]
    done = CliRunner().invoke(main.app, [*paths, "--flow", "dis_ultrafast", "--epochs", "1"])
    assert done.exit_code == 0, done.output
    assert read_plan(tmp_path / "s.plan").manifest.snippet.flow == "dis_ultrafast"
    done = CliRunner().invoke(main.app, [*paths, "--flow", "dis", "--online"])
    assert isinstance(done.exception, UsageError)
    assert "--flow is for students of files" in str(done.exception)
