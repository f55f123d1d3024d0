"""The whole path on a plan whose answer can be worked out by hand."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import numpy as np
import pytest

from tal_engine import Features, Segment, TALEngine, Timeline
from tal_engine.errors import BackendError, FeatureError, PlanError, PlanFault, UsageError, VideoError, VideoFault
from tal_engine.features import load_features, save_features
from tal_engine.plan import with_members, write_plan
from tests.makers import HEAD, moving_square, tiny_plan, write_mp4
from tests.reference import nms as slow_nms
from tests.reference import proposals as slow_proposals


@pytest.fixture(scope="module")
def engine(plan_path):
    return TALEngine.load(plan_path, device="cpu")


def expected(features, manifest, step, duration):
    """Segments from the definitions: linear head, textbook proposals, textbook NMS."""
    cas = features @ HEAD
    attention = 1 / (1 + np.exp(-cas[:, 0]))
    found = slow_proposals.propose(cas, attention, manifest.proposal)
    start = [p[0] * step for p in found]
    end = [min(p[1] * step, duration) for p in found]
    kept, score = slow_nms.suppress(start, end, [p[2] for p in found], [p[3] for p in found], manifest.nms)
    return [(start[i], end[i], manifest.vocabulary[found[i][3]], s) for i, s in zip(kept, score, strict=True)]


def test_video_to_segments_equals_the_definitions(engine, clip):
    result = engine.localize(clip)
    features = engine.features(clip)
    wanted = expected(features.streams["rgb"], engine.plan.manifest, 8 / 25, features.duration)
    assert len(result) == len(wanted) > 0
    for segment, (start, end, label, score) in zip(result, wanted, strict=True):
        assert (segment.start, segment.end) == pytest.approx((start, end), abs=1e-6)
        assert segment.label == label
        assert segment.score == pytest.approx(score, abs=1e-4)


def test_features_follow_the_picture(engine):
    """The test encoder reports mean colours, so a lit corner shows in its feature and nowhere else."""
    frames = np.zeros((16, 64, 64, 3), np.uint8)
    frames[8:, :32, 32:] = 200
    rgb = engine.features(frames, fps=25.0).streams["rgb"]
    np.testing.assert_allclose(rgb[0], -5.0)
    np.testing.assert_allclose(rgb[1], [-5.0, 15.0, -5.0, -5.0], atol=1e-4)


def test_result_is_list_like(engine, clip):
    result = engine.localize(clip)
    assert isinstance(result[0], Segment)
    assert list(result) == [result[i] for i in range(len(result))]
    assert result[:2] == (result[0], result[1])
    assert [s.score for s in result] == sorted((s.score for s in result), reverse=True)
    info = result.info
    assert info.duration == pytest.approx(4.0)
    assert (info.frames, info.frames_lost, info.snippets) == (100, 0, 13)
    assert info.plan == engine.plan.sha256
    assert {"decode", "snippets", "flow", "encode", "head", "proposals", "nms", "total"} <= set(info.seconds)
    assert all(0 <= s.start < s.end <= 4.0 for s in result)


def test_frames_and_file_agree(engine, tmp_path):
    frames = np.stack(list(moving_square(60, 48, 64)))
    path = write_mp4(tmp_path / "v.mkv", frames, codec="ffv1", pix_fmt="bgr0")
    assert list(engine.localize(path)) == list(engine.localize(frames, fps=25.0))


def test_stored_features_give_the_same(engine, clip, tmp_path):
    features = engine.features(clip)
    path = tmp_path / "f.npz"
    save_features(path, features)
    wanted = list(engine.localize(clip))
    assert list(engine.localize(features)) == wanted
    assert list(engine.localize(path)) == wanted
    assert list(engine.localize(str(path))) == wanted
    bare = engine.localize({"rgb": features.streams["rgb"]})
    assert [s.label for s in bare] == [s.label for s in wanted]
    assert "no record" in bare.info.warnings[0]


def test_stream_is_lazy_and_in_time_order(engine, clip, tmp_path):
    lazy = engine.localize(tmp_path / "missing.mp4", stream=True)
    with pytest.raises(VideoError):
        next(lazy)
    found = list(engine.localize(clip, stream=True))
    assert found == engine.localize(clip).by_time()
    assert [s.start for s in found] == sorted(s.start for s in found)


def test_operating_point(clip, tmp_path):
    from tal_engine.options import SegmentOptions

    tiny_plan(tmp_path / "p.plan", segment=SegmentOptions(min_score=0.5, top_k=3))
    engine = TALEngine.load(tmp_path / "p.plan", "cpu")
    everything = engine.localize(clip, min_score=float("-inf"), top_k=0)
    assert len(everything) > 3
    assert list(engine.localize(clip)) == [s for s in everything if s.score >= 0.5][:3]
    assert list(engine.localize(clip, min_score=1.0, top_k=0)) == [s for s in everything if s.score >= 1.0]


def test_progress_is_reported(engine, clip):
    calls = []
    engine.localize(clip, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == pytest.approx((4.0, 4.0))
    assert calls == sorted(calls)


def test_one_snippet_video(engine):
    result = engine.localize(np.full((3, 40, 40, 3), 90, np.uint8), fps=25.0)
    assert result.info.snippets == 1
    assert result.info.duration == pytest.approx(0.12)
    assert all(s.end <= 0.12 + 1e-9 for s in result)


def test_threads_share_an_engine(engine, clip):
    wanted, found = list(engine.localize(clip)), []
    threads = [threading.Thread(target=lambda: found.append(list(engine.localize(clip)))) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == [wanted] * 4


# -- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"rgb": np.zeros((3, 5), np.float32)}, "5 wide, the head reads 4"),
        ({"flow": np.zeros((3, 4), np.float32)}, "reads stream 'rgb'"),
        ({"rgb": np.zeros(3, np.float32)}, r"shape \[3\]"),
        ({}, "got none"),
        ({"rgb": np.zeros((0, 4), np.float32)}, "no features"),
        ({"rgb": np.array([[0, 1, 2, np.nan]], np.float32)}, "feature 0 is NaN or infinite"),
        ({"rgb": np.array([[0, 1, 2, 3], [0, np.inf, 0, 0]], np.float32)}, "feature 1 is NaN"),
        ({"rgb": np.zeros((3, 4)), "flow": np.zeros((2, 4))}, "differ in length"),
    ],
)
def test_bad_features_are_named(engine, features, words):
    with pytest.raises(FeatureError, match=words):
        engine.localize(features)


def test_features_of_another_encoder_are_refused(engine, clip):
    features = engine.features(clip)
    other = json.loads(json.dumps(features.contract))
    other["encoders"]["rgb"]["weights_sha256"] = "f" * 64
    with pytest.raises(FeatureError, match=r"encoders\.rgb\.weights_sha256"):
        engine.localize(replace(features, contract=other))
    other = json.loads(json.dumps(features.contract))
    other["snippet"]["stride"] = 4
    with pytest.raises(FeatureError, match=r"snippet\.stride is 4, the head was trained on 8"):
        engine.localize(replace(features, contract=other))
    forced = engine.localize(replace(features, contract=other), force=True)
    assert forced.info.warnings == ["features: forced: snippet.stride is 4, the head was trained on 8"]
    del other["encoders"]["rgb"], other["snippet"]
    found = engine.localize(replace(features, contract=other))
    assert found.info.warnings[0] == "features: stream 'rgb' carries no record of its encoder"
    assert "features: carries no record of snippet.stride, the head was trained on 8" in found.info.warnings


def test_stored_features_are_never_unpickled(engine, tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, rgb=np.array([{"a": 1}], dtype=object))
    with pytest.raises(FeatureError, match="not a feature file"):
        engine.localize(path)
    path.write_bytes(b"PK junk")
    with pytest.raises(FeatureError, match="not a feature file"):
        load_features(path)
    with pytest.raises(FeatureError, match="no such"):
        load_features(tmp_path / "no.npz")
    np.savez(path, rgb=np.zeros((3, 4)))
    with pytest.raises(FeatureError, match="record is missing"):
        load_features(path)


def test_plan_without_encoders_reads_features_only(tmp_path, clip):
    tiny_plan(tmp_path / "head.plan", encoders=False)
    engine = TALEngine.load(tmp_path / "head.plan", "cpu")
    assert len(engine.localize({"rgb": np.ones((5, 4), np.float32)})) > 0
    with pytest.raises(PlanError, match="no encoders") as e:
        engine.localize(clip)
    assert e.value.fault is PlanFault.NO_ENCODER


def test_graph_that_is_no_graph(tmp_path):
    plan = tiny_plan()
    write_plan(tmp_path / "x.plan", with_members(plan.manifest, {**plan.files, "head.onnx": b"junk"}))
    with pytest.raises(BackendError, match=r"head\.onnx") as e:
        TALEngine.load(tmp_path / "x.plan", "cpu")
    assert e.value.exit_code == 4


def test_devices(plan_path, caplog):
    with pytest.raises(UsageError, match="'tpu'"):
        TALEngine.load(plan_path, "tpu")
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        assert "CUDA" in TALEngine.load(plan_path, "cuda", strict=True).description
        return
    with pytest.raises(BackendError, match=r"tal-engine\[gpu\]"):
        TALEngine.load(plan_path, "cuda", strict=True)
    assert "CPU" in TALEngine.load(plan_path, "cuda:0").description
    assert "falling back to the CPU" in caplog.text


def test_errors_in_the_reading_thread_arrive(engine, tmp_path):
    path = tmp_path / "x.mp4"
    path.write_text("no video")
    with pytest.raises(VideoError) as e:
        engine.localize(path)
    assert e.value.fault is VideoFault.NOT_A_VIDEO
    assert threading.active_count() < 20


def test_timeline_is_the_only_clock(engine):
    features = Features({"rgb": np.ones((5, 4), np.float32)}, Timeline(100.0, 2.0, 2.0), 110.0)
    result = engine.localize(features)
    assert {(s.start, s.end) for s in result} == {(100.0, 110.0)}
