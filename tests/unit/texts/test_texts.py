"""Classes given as text: the head against its slow twin, plans, streams and the index of an archive."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from tal_engine import TALEngine, read_plan
from tal_engine.backends import open_backend
from tal_engine.cli import main
from tal_engine.errors import DataError, FeatureError, PlanError, PlanFault, UsageError
from tal_engine.features import save_features
from tal_engine.plan.archive import parse_plan, plan_bytes, with_members, write_plan
from tal_engine.plan.text_fields import TextHead
from tal_engine.records import Features, Segment
from tal_engine.texts.classes import TextClass, checked, parse_classes
from tal_engine.texts.head import head_graph
from tal_engine.texts.index import TextIndex, build_index, prepared
from tal_engine.texts.plans import UNNAMED, TextEmbedder, with_classes
from tests.makers import moving_square, write_mp4
from tests.reference import text_head as twin

HOW = TextHead(prompts=["{}"], background=["a room"], scale=20.0, centre=0.5, smooth=5)


def unit(rng, n, d):
    x = rng.normal(size=(n, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("length", [1, 2, 7, 40])
@pytest.mark.parametrize(("centre", "smooth"), [(0.0, 1), (0.5, 5), (1.0, 9)])
def test_the_head_is_its_slow_twin(length, centre, smooth):
    rng = np.random.default_rng(length)
    how = HOW.model_copy(update={"centre": centre, "smooth": smooth})
    classes, background = unit(rng, 3, 8), unit(rng, 2, 8)
    x = rng.normal(size=(2, length, 8)).astype(np.float32) + 1
    content, graph = head_graph("clip", classes, background, how)
    found = open_backend(content, "head", "cpu").run({"clip": x})["cas"]
    assert graph.outputs[0].shape == ["B", "T", 4]
    for row, features in zip(found, x, strict=True):
        wanted = twin.activations(features, classes, background, 20.0, centre, smooth)
        np.testing.assert_allclose(row, wanted, atol=2e-5)


def test_classes_as_people_type_them():
    found = parse_classes("a person doing push-ups; door = opening a door | a door that opens ;")
    assert found == [
        TextClass("a person doing push-ups", ("a person doing push-ups",)),
        TextClass("door", ("opening a door", "a door that opens")),
    ]
    for text, match in (
        (" ; ", "classes is 0, must be 1 to 10000"),
        ("a;b;a", "class 'a' is given twice"),
        ("a=", "class name '' has no words"),
        ("a; ...", r"class name '\.\.\.' has no words"),
    ):
        with pytest.raises(UsageError, match=match):
            parse_classes(text)


def test_a_head_refuses_an_even_average():
    with pytest.raises(ValueError, match="is 4, must be odd"):
        TextHead(prompts=["{}"], background=["a"], scale=1.0, smooth=4)


def hits(segments, truth, label):
    """Mean score of what overlaps a true instance of the label by a half, and of what does not."""
    rows = [(s.score, max((overlap(s, t) for t in truth if t.label == label), default=0.0)) for s in segments]
    return [[score for score, o in rows if o >= 0.3], [score for score, o in rows if o < 0.3]]


def overlap(a, b):
    inside = max(0.0, min(a.end, b.end) - max(a.start, b.start))
    return inside / (a.end - a.start + b.end - b.start - inside)


def test_other_classes_are_found_by_their_texts(text_plan_file, drawn_videos):
    """Exercises that no head was trained on: the best segment of each class that is there is better than none."""
    plan = read_plan(text_plan_file)
    assert plan.vocabulary.names == (UNNAMED,)
    right = wrong = 0
    for features, truth in drawn_videos.values():
        classes = sorted({s.label for s in truth})
        engine = TALEngine.load(text_plan_file, "cpu", threads=1, classes=classes)
        assert engine.plan.manifest.method.name == "text"
        found = engine.localize(features.streams, min_score=0.0)
        for label in classes:
            own = [s for s in found if s.label == label]
            shuffled = [Segment(s.start, s.end, label, s.score) for s in found if s.label != label]
            right += sum(hits(own, truth, label)[0][:1])
            wrong += sum(hits(shuffled[: len(own)], truth, label)[0][:1])
    assert right > wrong


def test_texts_of_one_class_are_averaged_and_the_tower_may_stay_away(text_plan_file):
    plan = read_plan(text_plan_file)
    embed = TextEmbedder(plan)
    a, b = embed(["a person doing squat", "a person doing jog"])
    both = embed.classes([TextClass("c", ("squat", "jog"))])[0]
    np.testing.assert_allclose(both, (a + b) / np.linalg.norm(a + b), atol=1e-6)
    small = with_classes(plan, ["squat", "jog"], keep_tower=False)
    assert small.manifest.texts is None
    assert set(small.files) == {"head.onnx", "encoder_clip.onnx"}
    kept = parse_plan(plan_bytes(with_classes(plan, ["squat", "jog"])))
    again = with_classes(kept, ["squat", "jog"], keep_tower=False)
    assert again.files["head.onnx"] == small.files["head.onnx"]
    stays = "was written without its text tower: its classes stay squat; jog. Leave --classes out"
    with pytest.raises(PlanError, match=stays) as e:
        with_classes(small, ["wave"])
    assert e.value.fault is PlanFault.NO_TEXTS
    trained = (
        "carries no text tower: its classes are those it was trained on, .*; `tal export texts` makes a plan with one"
    )
    with pytest.raises(PlanError, match=trained):
        with_classes(TALEngine.load("demo", "cpu").plan, ["wave"])


def test_plans_that_are_damaged_are_refused(text_plan_file):
    plan = read_plan(text_plan_file)
    without = with_members(plan.manifest, {n: c for n, c in plan.files.items() if n != "text.onnx"})
    with pytest.raises(PlanError, match=r"texts 'text\.onnx' is not among the members"):
        parse_plan(plan_bytes(without))
    document = json.loads(plan.document)
    document["texts"]["stream"] = "rgb"
    changed = with_members(plan.manifest, plan.files)
    object.__setattr__(changed, "document", json.dumps(document).encode())
    with pytest.raises(PlanError, match=r"texts\.stream is rgb\[128\], streams are"):
        parse_plan(plan_bytes(changed))
    broken = with_members(plan.manifest, {**plan.files, "tokenizer.json": b"[]"})
    with pytest.raises(PlanError, match=r"tokenizer\.json"):
        TextEmbedder(broken)


def test_a_plan_that_was_made_without_classes_finds_nothing_before_it_has_some(text_plan_file, tmp_path):
    with pytest.raises(UsageError, match="plan zs has no classes yet: give them as texts, by --classes"):
        TALEngine.load(text_plan_file, "cpu")
    write_plan(tmp_path / "some.plan", with_classes(read_plan(text_plan_file), ["squat", "jog"]))
    assert list(TALEngine.load(tmp_path / "some.plan", "cpu").plan.manifest.vocabulary) == ["squat", "jog"]


def test_streams_take_texts_too(text_plan_file):
    """A stream whose window covers all of it finds what the file has."""
    from tal_engine import StreamOptions

    engine = TALEngine.load(text_plan_file, "cpu", threads=1, classes="squat; jog")
    frames = np.random.default_rng(0).integers(0, 256, (80, 112, 112, 3), np.uint8)
    whole = engine.localize(frames, fps=25.0, min_score=0.0)
    with engine.open_stream("s", StreamOptions(window=60.0, look_ahead=60.0), min_score=0.0) as stream:
        events = [e for i, f in enumerate(frames) for e in stream.push(f, i / 25)]
        events += stream.flush()
    assert {e.label for e in events} <= {"squat", "jog"}
    assert len([e for e in events if e.is_final]) <= len(whole)


@pytest.fixture
def index(tmp_path, text_plan_file, drawn_videos):
    plan = read_plan(text_plan_file)
    videos = ((n, f) for n, (f, _) in drawn_videos.items())
    build_index(tmp_path / "a.index", plan, videos)
    return tmp_path / "a.index", plan


def test_an_index_answers_as_the_engine_does(index, drawn_videos):
    folder, plan = index
    found = TextIndex(folder, plan).search(["squat", "a person doing jog", "wave"], min_score=0.05)
    assert found
    engine = TALEngine(with_classes(plan, ["squat", "a person doing jog", "wave"]), "cpu", threads=1)
    for name, (features, _) in drawn_videos.items():
        wanted = list(engine.localize(features, min_score=0.05))
        got = found.get(name, [])
        assert len(got) == len(wanted)
        for a, b in zip(got, wanted, strict=True):
            assert (a.label, a.start, a.end) == (b.label, b.start, b.end)
            assert a.score == pytest.approx(b.score, abs=1e-4)


@pytest.mark.parametrize("length", [1, 3, 11])
def test_smoothing_goes_before_the_product(length):
    rng = np.random.default_rng(1)
    x, texts = rng.normal(size=(length, 8)).astype(np.float32), unit(rng, 2, 8)
    logits = 20.0 * prepared(x, HOW) @ texts.T
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    wanted = twin.activations(x, texts[:1], texts[1:], 20.0, 0.5, 5)
    np.testing.assert_allclose(p, wanted, atol=2e-5)


def test_an_index_of_something_else_is_refused(index, tmp_path):
    folder, plan = index
    head = plan.manifest.texts.head.model_copy(update={"centre": 0.25})
    other = plan.manifest.model_copy(update={"texts": plan.manifest.texts.model_copy(update={"head": head})})
    with pytest.raises(UsageError, match=r"was made with centre 0\.5, plan zs has 0\.25; make it anew"):
        TextIndex(folder, with_members(other, plan.files))
    with pytest.raises(DataError, match="not an index of features"):
        TextIndex(tmp_path, plan)
    (folder / "vectors.f32").write_bytes(b"")
    with pytest.raises(DataError, match="not an index of features, or damaged"):
        TextIndex(folder, plan)
    with pytest.raises(UsageError, match=r"b: an index needs videos, .*; there are 0"):
        build_index(tmp_path / "b", plan, [])
    assert not (tmp_path / "b").exists()
    (tmp_path / "kept").mkdir()
    with pytest.raises(UsageError, match="an index needs videos"):
        build_index(tmp_path / "kept", plan, [])
    assert list((tmp_path / "kept").iterdir()) == []


def test_features_without_the_stream_are_refused(index, tmp_path, drawn_videos):
    _, plan = index
    features, _ = drawn_videos["v0"]
    other = Features({"rgb": features.streams["clip"]}, features.timeline, features.duration)
    with pytest.raises(FeatureError, match=r"v: has streams \{'rgb': 128\}, texts are compared with clip\[128\]"):
        build_index(tmp_path / "c", plan, [("v", other)])
    assert not (tmp_path / "c" / "index.json").exists()


def run(*arguments):
    if not main.app.registered_groups:
        main._register()
    return CliRunner().invoke(main.app, [str(a) for a in arguments], catch_exceptions=False)


def test_the_commands(tmp_path, text_plan_file, drawn_videos):
    features, _ = drawn_videos["v0"]
    save_features(tmp_path / "v0.npz", features)
    out = tmp_path / "out.json"
    done = run("localize", tmp_path / "v0.npz", "--plan", text_plan_file, "--classes", "squat; run=jog", "--conf", 0.05,
               "-o", out, "--device", "cpu")  # fmt: skip
    assert done.exit_code == 0, done.output
    (found,) = json.loads(out.read_text())["results"].values()
    assert {s["label"] for s in found} <= {"squat", "run"}
    assert found
    made = run(
        "plan", "classes", text_plan_file, "--classes", "squat; run=jog", "--no-tower", "-o", tmp_path / "s.plan"
    )
    assert made.exit_code == 0, made.output
    assert read_plan(tmp_path / "s.plan").vocabulary.names == ("squat", "run")
    folder = tmp_path / "i"
    assert run("features", "index", tmp_path / "v0.npz", "--plan", text_plan_file, "-o", folder).exit_code == 0
    asked = run("features", "search", folder, "--plan", text_plan_file, "--classes", "squat; run=jog", "--conf", 0.05,
                "--json")  # fmt: skip
    shown = json.loads(asked.stdout)
    assert [(s["label"], round(s["start"], 3)) for s in shown[:3]] == [
        (s["label"], round(s["segment"][0], 3)) for s in sorted(found, key=lambda s: -s["score"])[:3]
    ]
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "v0.npz").write_bytes((tmp_path / "v0.npz").read_bytes())
    for sources, words in (([tmp_path / "i"], f"{tmp_path / 'i'}: holds no feature files"),
                           ([tmp_path / "v0.npz", tmp_path / "none"], "are both called 'v0'")):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            run("features", "index", *sources, "--plan", text_plan_file, "-o", tmp_path / "j")
    assert not (tmp_path / "j").exists()
    assert "other classes can be given as texts" in " ".join(run("plan", "inspect", text_plan_file).output.split())


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--smooth", "4"], "smooth is 4, must be odd: as many snippets before as behind"),
     (["--scale", "0"], "scale is 0.0: input should be greater than 0"),
     (["--centre", "2"], "centre is 2.0: input should be less than or equal to 1")],
)  # fmt: skip
def test_settings_of_the_head_are_refused_in_words_of_ours(options, words, tmp_path):
    pytest.importorskip("torch")
    with pytest.raises(UsageError) as e:
        run("export", "texts", "--encoders", "tiny:clip", "-o", tmp_path / "x.plan", *options)
    assert str(e.value) == words


def test_an_archive_takes_texts(tmp_path, text_plan_file):
    """A run of the same classes goes on; other classes are another ID."""
    pq = pytest.importorskip("pyarrow.parquet", reason="pip install '.[archive]'")
    (tmp_path / "v").mkdir()
    write_mp4(tmp_path / "v" / "a.mp4", moving_square(60, 48, 64))
    batch = ["batch", tmp_path / "v", "--plan", text_plan_file, "-o", tmp_path / "o", "--workers", 1, "--conf", 0.0]
    for classes in ("squat; run=jog", "squat; run=jog", "wave"):
        done = run(*batch, "--classes", classes)
        assert done.exit_code == 0, done.output
    assert "0 of 1 videos localized" in run(*batch, "--classes", "wave").output
    found = [pq.read_table(p) for p in sorted((tmp_path / "o" / "segments").rglob("*.parquet"))]
    labels = [set(t.column("label").to_pylist()) for t in found]
    assert len(list((tmp_path / "o" / "plans").iterdir())) == 2
    assert labels
    assert set.union(*labels) <= {"squat", "run", "wave"}


def test_flow_that_nothing_reads_is_not_computed(text_plan_file, tmp_path, monkeypatch):
    """A plan of one stream of an encoder set that has flow keeps its record, and reads features of the set."""
    from tal_engine.video import flow

    plan = read_plan(text_plan_file)
    snippet = replace(plan.manifest.snippet, flow="dis")
    made = with_classes(with_members(plan.manifest.model_copy(update={"snippet": snippet}), plan.files), ["squat"])
    video = write_mp4(tmp_path / "v.mp4", moving_square(40, 48, 64))

    def never(*args):
        raise AssertionError("flow was computed")

    monkeypatch.setattr(flow, "snippet_flow", never)
    with TALEngine(made, "cpu") as engine:
        features = engine.features(video)
    assert set(features.streams) == {"clip"}
    assert features.contract["snippet"]["flow"] == "dis"


def test_checked_takes_texts():
    assert checked(["a", TextClass("b", ("c",))]) == [TextClass("a", ("a",)), TextClass("b", ("c",))]
