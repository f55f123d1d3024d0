"""The pose encoder in plans, engines and streams: the same features for the same frames, however they come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tal_engine import TALEngine
from tal_engine.backends.onnx_write import GraphWriter
from tal_engine.demo.demo_set import script_of
from tal_engine.demo.render import render
from tal_engine.errors import FeatureError, PlanError, UsageError
from tal_engine.export.encoder_graphs import open_encoders
from tal_engine.features.contract import check_contract
from tal_engine.lab.nn.encoders import geometry, parse
from tal_engine.lab.nn.tiny import TINY_WEIGHTS
from tal_engine.options import SnippetOptions
from tal_engine.plan.archive import Plan, parse_plan, plan_bytes, with_members
from tal_engine.plan.fields import Graph, Tensor
from tal_engine.plan.manifest import Manifest, parse_manifest
from tal_engine.pose.encoder import pose_encoder
from tal_engine.pose.features import DIM, POSE_SNIPPETS
from tal_engine.pose.follow import FollowedPoses, notes_of
from tal_engine.pose.tracking import Counts
from tal_engine.records import Snippets
from tal_engine.streaming.stream_state import StreamState
from tests.makers import tiny_manifest

FPS, COUNT = 12.5, 20


def pose_plan(snippet: SnippetOptions = POSE_SNIPPETS) -> Plan:
    """A plan whose head takes the first values of pose features for scores."""
    spec, members = pose_encoder("lite")
    writer = GraphWriter("head")
    writer.input("pose", np.float32, ("B", "T", DIM))
    cas = writer.add("Slice", "pose", writer.ints(0), writer.ints(4), writer.ints(2))
    writer.output(cas, "cas", np.float32, ("B", "T", 4))
    attention = writer.add("ReduceMax", cas, writer.ints(2), keepdims=0)
    writer.output(writer.add("Sigmoid", attention), "attention", np.float32, ("B", "T"))
    head = Graph(
        member="head.onnx",
        inputs=[Tensor(name="pose", dtype="float32", shape=["B", "T", DIM])],
        outputs=[
            Tensor(name="cas", dtype="float32", shape=["B", "T", 4]),
            Tensor(name="attention", dtype="float32", shape=["B", "T"]),
        ],
    )
    kept = {name: value for name, value in tiny_manifest(encoders=False) if name != "schema_"}
    manifest = Manifest(**kept | {"snippet": snippet, "encoders": [spec], "streams": {"pose": DIM}, "head": head})
    return with_members(manifest, {"head.onnx": writer.serialized(), **members})


@pytest.fixture(scope="module")
def plan() -> Plan:
    return pose_plan()


@pytest.fixture(scope="module")
def engine(plan: Plan) -> TALEngine:
    return TALEngine(plan, "cpu")


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    script = script_of("test", 0, 0)
    return np.stack([f for i, f in zip(range(2 * COUNT), render(script), strict=False) if i % 2 == 0])


@pytest.fixture(scope="module")
def whole(engine: TALEngine, frames: np.ndarray) -> np.ndarray:
    return engine.features(frames, fps=FPS).streams["pose"]


def streamed(engine: TALEngine, frames: np.ndarray) -> np.ndarray:
    """Features of frames that come one by one."""
    state, rows = StreamState(engine.plan.manifest, engine.plan.sha256, "s"), []
    for i, frame in enumerate(frames):
        rows += [engine.encode_snippets(r.snippets)["pose"] for r in state.push(lambda f=frame: f, i / FPS)]
    return np.concatenate(rows + [engine.encode_snippets(r.snippets)["pose"] for r in state.flush()])


def test_a_stream_gives_what_the_video_gives(engine, frames, whole):
    assert whole.shape == (4, DIM)
    assert (whole[:, -1] > 0.8).all()  # the person is seen
    np.testing.assert_array_equal(streamed(engine, frames), whole)


def test_snippets_of_two_streams_in_one_call_are_each_its_own(engine, frames, whole):
    states = [StreamState(engine.plan.manifest, engine.plan.sha256, name) for name in "ab"]
    found: dict[str, list[np.ndarray]] = {"a": [], "b": []}
    shown = {"a": frames, "b": frames[:, :, ::-1]}
    for i in range(COUNT):
        ready = [(s.source, s.push(lambda f=shown[s.source][i]: f, i / FPS)) for s in states]
        group = [r.snippets for _, one in ready for r in one]
        if group:
            both = replace(
                group[0],
                frames=np.concatenate([g.frames for g in group]),
                followed=sum((g.followed for g in group), ()),
            )
            for (name, _), row in zip(ready, engine.encode_snippets(both)["pose"], strict=True):
                found[name].append(row)
    np.testing.assert_array_equal(np.stack(found["a"]), whole[:3])
    assert np.abs(np.stack(found["b"]) - whole[:3]).max() > 0.1


def test_snippets_that_overlap_look_at_each_frame_once(engine, frames):
    options = replace(POSE_SNIPPETS, window=6, stride=2)
    followed, seen = FollowedPoses(options), []
    estimator = engine._stages.poses.estimator

    class Watched:
        def locate(self, image, regions):
            seen.append(len(regions))
            return estimator.locate(image, regions)

        def detect(self, image, *, closely=False):
            return estimator.detect(image, closely=closely)

    rows = [followed(Watched(), frames[2 * n : 2 * n + 6], n) for n in range(4)]
    np.testing.assert_array_equal(rows[0][2:], rows[1][:4])
    looked = len(seen)
    for n, row in enumerate(rows):  # a shared call that another stream's failure ended is made again, one by one
        np.testing.assert_array_equal(followed(Watched(), frames[2 * n : 2 * n + 6], n), row)
    assert len(seen) == looked
    once = FollowedPoses(replace(options, stride=6))
    np.testing.assert_array_equal(rows[0], once(estimator, frames[:6], 0))
    assert followed.counts.pictures == 12
    again = FollowedPoses(options)
    still = again(estimator, np.repeat(frames[:1], 6, 0), 0)  # a frame that stays is looked at once
    assert again.counts.pictures == 1
    np.testing.assert_array_equal(still, np.repeat(still[:1], 6, 0))


def test_a_plan_with_poses_survives_its_file_and_names_what_found_them(plan, engine):
    again = parse_plan(plan_bytes(plan))
    assert again.manifest.pose_encoder == plan.manifest.pose_encoder
    assert again.sha256 == plan.sha256
    assert set(engine.runs_on) == {"head.onnx", "pose_detector.onnx", "pose_landmarks.onnx"}
    features = engine.features(np.zeros((8, 48, 64, 3), np.uint8), fps=FPS)
    assert features.contract["poses"].startswith("lite, ")
    other = features.contract | {"poses": "full, 0, rules 0"}
    (note,) = check_contract(other, features.contract, "x")
    assert "poses is 'full, 0, rules 0'" in note
    recorded = {k: v for k, v in features.contract.items() if k not in ("poses", "pixels", "libraries")}
    assert check_contract(features.contract, recorded, "x") == []  # a head that was trained on skeletons


def test_nobody_is_told_and_scores_nothing_wrong(engine):
    result = engine.localize(np.zeros((20, 48, 64, 3), np.uint8), fps=FPS)
    assert any("pose: no person was found in any of" in w for w in result.info.warnings)
    row = engine.features(np.zeros((20, 48, 64, 3), np.uint8), fps=FPS).streams["pose"]
    assert not row.any()


def test_a_stream_tells_what_it_saw_over_all_its_parts(engine, plan):
    state = StreamState(plan.manifest, plan.sha256, "s")
    assert state.notes == []
    for part in range(2):
        for i in range(12):
            black = np.full((48, 64, 3), i, np.uint8)
            for ready in state.push(lambda b=black: b, 100 * part + i / FPS):
                engine.encode_snippets(ready.snippets)
        for ready in state.flush():
            engine.encode_snippets(ready.snippets)
    (note,) = state.notes
    assert note == "pose: no person was found in any of 24 pictures"


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"empty": 8}, "no person was found in 8 of 10 pictures"),
        ({"half": 9}, "the legs are not visible (half a person?) in 9 of 10"),
        ({"upside_down": 9}, "upside down"),
        ({"small": 9}, "less than 48 pixels tall"),
        ({"most": 7}, "up to 7 people are in the picture, the largest is followed"),
        ({"empty": 10, "refused": 4}, "4 times what was detected did not hold together"),
    ],
)
def test_what_is_not_to_be_trusted_is_told(counts, said):
    (note,) = notes_of(Counts(pictures=10, **counts), "pose")
    assert said in note
    assert notes_of(Counts(pictures=10, empty=1, most=1), "pose") == []


def changed(plan: Plan, **encoder: object) -> bytes:
    spec = plan.manifest.pose_encoder.model_copy(update=encoder)
    return plan.manifest.model_copy(update={"encoders": [spec]}).to_json().encode()


def test_plans_that_do_not_hold_together_are_refused(plan):
    with pytest.raises(PlanError, match="encoder pose gives pose"):
        parse_manifest(changed(plan, dim=7))
    with pytest.raises(PlanError, match=r"manifest field encoders\.0\.detector"):
        parse_manifest(changed(plan).replace(b'"detector"', b'"finder"'))
    with pytest.raises(PlanError, match="must read pictures and give"):
        parse_manifest(changed(plan).replace(b'"presence"', b'"absence"'))
    with pytest.raises(PlanError, match="must be uint8"):
        parse_manifest(changed(plan).replace(b"224", b"225"))
    cropped = plan.manifest.model_copy(update={"snippet": replace(POSE_SNIPPETS, resize=64, crop=64)})
    with pytest.raises(PlanError, match="reads poses of whole frames"):
        parse_manifest(cropped.to_json())
    with pytest.raises(PlanError, match=r"pose_detector\.onnx"):
        parse_plan(plan_bytes(with_members(plan.manifest, {"head.onnx": plan.files["head.onnx"]})))
    spec = plan.manifest.pose_encoder.model_copy(update={"weights_sha256": "0" * 64})
    manifest = plan.manifest.model_copy(update={"encoders": [spec]})
    with pytest.raises(PlanError, match="use the version of tal-engine that made the plan"):
        TALEngine(with_members(manifest, plan.files), "cpu")


def test_what_needs_pictures_on_a_card_is_refused(plan, engine):
    with pytest.raises(UsageError, match="encoder pose of plan tiny reads poses"):
        TALEngine(plan, "cpu", convert_on_device=True)
    with pytest.raises(UsageError, match="reads poses, which are found in pictures on the host"):
        TALEngine(plan, "cpu", on_card=True)
    snippets = Snippets(np.zeros((1, 6, 8, 8, 3), np.uint8), None, 0, engine.features, 0.0)
    with pytest.raises(FeatureError, match="reads poses, the snippets have none"):
        engine._stages.poses(snippets)


def test_the_encoder_has_a_name_like_every_other():
    parts = parse("pose")
    assert [(p.key, p.stream) for p in parts] == [("pose:lite", "pose")]
    assert geometry(parts) == POSE_SNIPPETS
    assert geometry(parse("pose:full+lite0")) == POSE_SNIPPETS  # both read frames as they were decoded
    for spec, match in (
        ("pose:heavy", "'pose:heavy' is not of a known form"),
        ("pose+pose:full", "both make the stream"),
    ):
        with pytest.raises(UsageError, match=match):
            parse(spec)
    found = open_encoders("pose:full")
    assert found.specs["pose"].poses.startswith("full, ")
    assert set(found.members(["pose"])) == {"pose_detector.onnx", "pose_landmarks.onnx"}
    with pytest.raises(UsageError, match="no encoder takes them"):
        open_encoders("pose", {"pose": TINY_WEIGHTS})
