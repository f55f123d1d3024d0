"""The whole path on a plan whose answer can be worked out by hand."""

from __future__ import annotations

import copy
import json
import pickle
import queue
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

from tal_engine import Features, Segment, TALEngine, Timeline
from tal_engine.backends import DynamicBatchingBackend
from tal_engine.errors import BackendError, FeatureError, PlanError, PlanFault, UsageError, VideoError, VideoFault
from tal_engine.features import load_features, save_features
from tal_engine.plan.archive import with_members, write_plan
from tests.makers import HEAD, moving_square, tiny_plan, write_mp4
from tests.reference import nms as slow_nms
from tests.reference import proposals as slow_proposals
from tests.waiting import LONG_S, no_thread_left


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


def test_segments_in_time_order(engine, clip):
    result = engine.localize(clip, min_score=-np.inf)
    assert sorted(result, key=lambda s: (s.start, s.end, s.label)) == result.by_time()
    with pytest.raises(TypeError, match="stream"):  # was never lazy: the head sees the whole video at once
        engine.localize(clip, stream=True)


def test_equal_results_are_equal_and_survive_pickling(engine, clip, rng):
    features = {"rgb": rng.normal(size=(40, 4)).astype(np.float32)}
    for source, other in ((clip, features), (features, {"rgb": features["rgb"][:20]})):
        one, two = engine.localize(source), engine.localize(source)
        assert one.info.seconds != two.info.seconds
        assert one == two
        assert hash(one) == hash(two)
        assert pickle.loads(pickle.dumps(one)) == one
        assert copy.deepcopy(one) == one
        assert one != engine.localize(other)
        assert one != engine.localize(source, top_k=1)
        assert one != list(one)
    record = engine.features(clip)
    assert record == engine.features(clip)
    assert record != replace(record, duration=1.0)
    assert record != replace(record, streams={"rgb": record.streams["rgb"] + 1})
    assert pickle.loads(pickle.dumps(record)) == record
    assert engine.propose(record) == engine.propose(record)
    assert (engine.propose(record) == 7) is False


def test_fps_is_for_frames_only(engine, clip, tmp_path):
    features = engine.features(clip)
    save_features(tmp_path / "f.npz", features)
    for fps in (25.0, -3.0, float("nan")):
        for source in (features, dict(features.streams), tmp_path / "f.npz", clip):
            with pytest.raises(UsageError, match=f"fps={fps}"):
                engine.localize(source, fps=fps)
        (found,) = [f for _, f in engine.localize_batch([features], fps=fps, on_error="return")]
        assert isinstance(found, UsageError)


def test_a_list_of_frames_is_what_its_array_is(engine):
    frames = list(moving_square(60, 48, 64))
    wanted = engine.localize(np.stack(frames), fps=25)
    assert engine.localize(frames, fps=25) == wanted
    assert engine.localize(tuple(frames), fps=25) == wanted
    gray = [f[..., 0] for f in frames]
    assert engine.localize(gray, fps=25) == engine.localize(np.stack(gray), fps=25)


@pytest.mark.parametrize(
    ("frames", "words", "error"),
    [
        ([], "no frames in an empty list", VideoError),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)], r"frame 1 .* uint8 \[4, 5, 3\]", VideoError),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3))], r"frame 1 .* float64 \[4, 4, 3\]", VideoError),
        ([np.zeros((4, 4, 3))] * 2, "frames are float64", VideoError),
        ([np.zeros((4, 4, 2), np.uint8)] * 2, "must be", VideoError),
        ([np.zeros((2, 4, 4, 3), np.uint8)], "must be", VideoError),
        ([[1, 2, 3]], "frame 0 of the list is a list", UsageError),
        (["a.mp4", "b.mp4"], "localize_batch takes several", UsageError),
        (7, "a source is a int", UsageError),
        (None, "a source is a NoneType", UsageError),
        (b"a.mp4", "a source is a bytes", UsageError),
    ],
)
def test_frames_that_are_none_are_named_without_their_pixels(engine, frames, words, error):
    with pytest.raises(error, match=words) as e:
        engine.localize(frames, fps=25)
    assert "file" not in str(e.value)
    assert len(str(e.value)) < 150


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


def test_a_plan_of_other_pixels_says_so(engine, clip):
    """Rules of pixels that changed after the training cannot be undone; they are told, and no features mixed."""
    older = {**engine.plan.manifest.provenance, "contract": {"pixels": "rules 0"}}
    plan = replace(engine.plan, manifest=engine.plan.manifest.model_copy(update={"provenance": older}))
    old = TALEngine(plan, device="cpu")
    (warning,) = old.localize(clip).info.warnings
    assert "trained on pixels by the rules 'rules 0', this version decodes by 'display shape" in warning
    assert engine.localize(clip).info.warnings == []
    made_then = replace(old.features(clip), contract=old.contract)
    assert old.localize(made_then).info.warnings == []
    for features, reader in ((made_then, engine), (old.features(clip), old)):
        with pytest.raises(FeatureError, match=r"features: pixels is .*, the head was trained on '"):
            reader.localize(features)


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
    assert "falling back to cpu" in caplog.text


def test_errors_in_the_reading_thread_arrive(engine, tmp_path):
    path = tmp_path / "x.mp4"
    path.write_text("no video")
    with no_thread_left(), pytest.raises(VideoError) as e:
        engine.localize(path)
    assert e.value.fault is VideoFault.NOT_A_VIDEO


def test_timeline_is_the_only_clock(engine):
    features = Features({"rgb": np.ones((5, 4), np.float32)}, Timeline(100.0, 2.0, 2.0), 110.0)
    result = engine.localize(features)
    assert {(s.start, s.end) for s in result} == {(100.0, 110.0)}


# -- many sources ------------------------------------------------------------------------------


def same(a, b):
    """Two localizations: the same segments, of the same source."""
    return list(a) == list(b) and a.info.source == b.info.source and a.info.snippets == b.info.snippets


def test_many_equal_one_by_one_in_order(engine, clip, tmp_path, rng):
    """Videos and features, of equal and of other lengths, by one worker or by several."""
    short = write_mp4(tmp_path / "short.mp4", moving_square(30, 48, 64))
    features = [{"rgb": rng.normal(size=(t, 4)).astype(np.float32)} for t in (13, 40, 13, 1)]
    sources = [clip, features[0], short, features[1], features[2], clip, features[3]]
    wanted = [engine.localize(s) for s in sources]
    for workers, batch in ((1, 1), (1, 8), (3, 2), (4, 100)):
        found = list(engine.localize_batch(sources, workers=workers, batch=batch, on_error="return"))
        assert [s for s, _ in found] == sources
        assert all(same(f, w) for (_, f), w in zip(found, wanted, strict=True))
        assert all(f.info.seconds["total"] >= f.info.seconds["head"] > 0 for _, f in found)


def test_encoders_share_calls_unless_each_has_a_thread(plan_path, clip):
    alone = TALEngine.load(plan_path, "cpu", threads=1)
    shared = TALEngine.load(plan_path, "cpu", threads=2)
    assert isinstance(shared._stages.encoders[0].backend, DynamicBatchingBackend)
    assert not isinstance(alone._stages.encoders[0].backend, DynamicBatchingBackend)
    ((_, one), (_, other)), ((_, third), _) = (
        list(e.localize_batch([clip] * 2, workers=2, on_error="return")) for e in (alone, shared)
    )
    assert list(one) == list(other)
    assert [s.label for s in one] == [s.label for s in third]
    np.testing.assert_allclose([s.score for s in one], [s.score for s in third], rtol=1e-4)


def test_heads_of_one_length_run_in_one_call(engine, rng, monkeypatch):
    shapes, run = [], engine._stages.head.run
    monkeypatch.setattr(engine._stages.head, "run", lambda feeds: shapes.append(feeds["rgb"].shape) or run(feeds))
    sources = [{"rgb": rng.normal(size=(t, 4)).astype(np.float32)} for t in (5, 9, 5, 5, 9, 5)]
    list(engine.localize_batch(sources, batch=5, on_error="return"))
    assert shapes == [(3, 5, 4), (2, 9, 4), (1, 5, 4)]


def test_one_bad_source_does_not_stop_the_others(engine, clip, tmp_path):
    (tmp_path / "x.mp4").write_text("no video")
    good = {"rgb": np.ones((5, 4), np.float32)}
    bad = [
        tmp_path / "x.mp4",
        tmp_path / "no.npz",
        {"rgb": np.ones((5, 7), np.float32)},  # too wide, and as long as the good ones
        {"rgb": np.full((5, 4), np.nan, np.float32)},
        {"flow": np.ones((5, 4), np.float32)},
    ]
    sources = [good, *bad, clip, good]
    found = [f for _, f in engine.localize_batch(sources, workers=2, on_error="return")]
    assert [type(f).__name__ for f in found] == [
        "Localization", "VideoError", "MissingFeatureError", "FeatureError", "FeatureError", "FeatureError",
        "Localization", "Localization",
    ]  # fmt: skip
    assert same(found[0], engine.localize(good))
    assert same(found[0], found[-1])


def test_a_length_that_the_device_refuses_is_one_result(engine, monkeypatch):
    run = engine._stages.head.run

    def covered(feeds):
        if feeds["rgb"].shape[1] > 8:
            raise BackendError("head.onnx: T is 9, the engine's profile covers T = 1..8")
        return run(feeds)

    monkeypatch.setattr(engine._stages.head, "run", covered)
    sources = [{"rgb": np.ones((t, 4), np.float32)} for t in (5, 9, 8)]
    found = [f for _, f in engine.localize_batch(sources, on_error="return")]
    assert [type(f).__name__ for f in found] == ["Localization", "BackendError", "Localization"]
    assert "T is 9" in str(found[1])


def test_sources_are_taken_as_they_are_needed(engine):
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield {"rgb": np.ones((5, 4), np.float32)}

    with no_thread_left("tal-in-order"):
        many = engine.localize_batch(endless(), workers=2, batch=3, on_error="return")
        assert not taken
        for _ in range(4):
            next(many)
        assert len(taken) <= 2 * (2 + 3)
        many.close()


def test_an_error_in_the_sources_themselves_is_raised(engine):
    def broken():
        yield {"rgb": np.ones((5, 4), np.float32)}
        raise OSError("the list of files is gone")

    many = engine.localize_batch(broken(), batch=1, on_error="return")
    with pytest.raises(OSError, match="gone"):
        list(many)


def test_a_result_comes_before_the_next_source_is_taken(engine, clip):
    """One worker, groups of one: in the calling thread, in turns."""
    log = []

    def sources():
        for i, source in enumerate(({"rgb": np.ones((5, 4), np.float32)}, clip, {"rgb": np.ones((3, 4), np.float32)})):
            log.append(("source", i, threading.current_thread().name))
            yield source

    for i, _ in enumerate(engine.localize_batch(sources(), batch=1, workers=1, on_error="return")):
        log.append(("result", i, threading.current_thread().name))
    assert log == [(what, i, threading.current_thread().name) for i in range(3) for what in ("source", "result")]


@pytest.mark.parametrize(("workers", "batch"), [(1, 1), (1, 8), (3, 1), (2, 8)])
@pytest.mark.parametrize("kind", ["features", "videos"])
def test_no_result_waits_for_a_source_that_has_not_come(engine, clip, kind, workers, batch):
    """The sources block until the results of all before were taken; it would hang for ever."""
    taken, jobs = [], queue.Queue()
    source = clip if kind == "videos" else {"rgb": np.ones((5, 4), np.float32)}

    def sources():
        while (job := jobs.get(timeout=LONG_S)) is not None:
            yield job

    for _ in range(3):
        jobs.put(source)
    for _, result in engine.localize_batch(sources(), workers=workers, batch=batch, on_error="return"):
        taken.append(result)
        if len(taken) in (3, 4):  # all so far: now the next
            jobs.put(source)
        if len(taken) == 5:
            jobs.put(None)
    assert len(taken) == 5
    assert all(r == taken[0] for r in taken)


def test_a_video_waits_for_no_other(engine, clip, monkeypatch):
    begun, prepare = [], engine._stages.prepare

    def slow(source, *args):
        begun.append(source)
        if len(begun) > 1:
            assert done.wait(LONG_S)
        return prepare(source, *args)

    done = threading.Event()
    monkeypatch.setattr(engine._stages, "prepare", slow)
    many = engine.localize_batch([clip] * 3, workers=2, batch=8, on_error="return")
    next(many)
    done.set()
    assert len(list(many)) == 2


def test_sources_that_block_are_left_when_many_is_closed(engine):
    go, gone_on = threading.Event(), []

    def sources():
        yield {"rgb": np.ones((5, 4), np.float32)}
        gone_on.append(go.wait(LONG_S))
        yield {"rgb": np.ones((5, 4), np.float32)}

    with no_thread_left("tal-sources"):
        many = engine.localize_batch(sources(), on_error="return")
        next(many)
        many.close()
        assert not gone_on, "it was waited for"
        go.set()


@pytest.mark.parametrize("error", [OSError("the list is gone"), SystemExit(3)])
@pytest.mark.parametrize("batch", [1, 8])
def test_results_before_an_error_of_the_sources_are_not_lost(engine, batch, error):
    def broken():
        yield {"rgb": np.ones((5, 4), np.float32)}
        yield {"rgb": np.ones((7, 4), np.float32)}
        raise error

    many = engine.localize_batch(broken(), batch=batch, on_error="return")
    lengths = [next(many)[1].info.snippets, next(many)[1].info.snippets]
    assert lengths == [5, 7]
    with pytest.raises(type(error)):
        next(many)


@pytest.mark.parametrize(("fields", "words"), [({"workers": 0}, "workers is 0"), ({"batch": 0}, "batch is 0")])
def test_many_checks_its_arguments_at_once(engine, fields, words):
    with pytest.raises(UsageError, match=words):
        engine.localize_batch([], **fields, on_error="return")


def test_options_of_many_are_those_of_one(engine, clip):
    ((_, found),) = engine.localize_batch([clip], min_score=-np.inf, top_k=2, on_error="return")
    assert list(found) == list(engine.localize(clip, min_score=-np.inf, top_k=2))
    assert len(found) == 2


def test_batch_of_the_engine_changes_nothing(plan_path, clip, engine):
    small = TALEngine.load(plan_path, "cpu", batch=3)
    np.testing.assert_array_equal(small.features(clip).streams["rgb"], engine.features(clip).streams["rgb"])
    with pytest.raises(UsageError, match="batch is 0"):
        TALEngine.load(plan_path, "cpu", batch=0)


# -- loading late ------------------------------------------------------------------------------


def test_features_load_neither_encoders_nor_opencv(plan_path):
    code = f"""
import sys
import numpy as np
from tal_engine import TALEngine
engine = TALEngine.load({str(plan_path)!r}, "cpu")
engine.localize({{"rgb": np.ones((5, 4), np.float32)}})
assert engine.runs_on["encoder_rgb.onnx"] == "not loaded yet", engine.runs_on
print([m for m in ("cv2", "av", "torch", "onnx", "rich", "typer") if m in sys.modules])
engine.load_encoders()
print(engine.runs_on["encoder_rgb.onnx"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "[]"
    assert done.stdout.splitlines()[1].endswith("(CPU)")


def test_a_broken_encoder_is_found_when_it_is_needed(tmp_path, clip):
    plan = tiny_plan()
    write_plan(tmp_path / "x.plan", with_members(plan.manifest, {**plan.files, "encoder_rgb.onnx": b"junk"}))
    engine = TALEngine.load(tmp_path / "x.plan", "cpu")
    assert len(engine.localize({"rgb": np.ones((5, 4), np.float32)})) > 0
    with pytest.raises(BackendError, match=r"encoder_rgb\.onnx"):
        engine.localize(clip)
    with pytest.raises(BackendError, match=r"encoder_rgb\.onnx"):
        engine.load_encoders()
