"""The Triton repository: configurations that its own schema takes, and graphs that do what they say."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from tal_engine.cli.main import _register, app
from tal_engine.engine import EMBEDDED_PLAN, TALEngine
from tal_engine.errors import ExportError, UsageError
from tal_engine.export.pbtxt import Word, to_text
from tal_engine.export.stateful import START, state_names, windowed
from tal_engine.export.triton import models, write_repository
from tal_engine.plan.archive import Plan, read_plan
from tal_engine.plan.fields import EngineRecord

text_format = pytest.importorskip("google.protobuf.text_format")
schema = pytest.importorskip("tritonclient.grpc.model_config_pb2")


@pytest.fixture(scope="module")
def plan():
    return read_plan(EMBEDDED_PLAN)


@pytest.fixture(scope="module")
def repository(plan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("triton") / "repository"
    write_repository(plan, folder)
    return folder


def config_of(folder):
    return text_format.Parse((folder / "config.pbtxt").read_text(), schema.ModelConfig())


def configs(repository):
    return {f.name: config_of(f) for f in sorted(repository.iterdir())}


def shape(config, tensor):
    """The shape that a model's graph sees."""
    return ([-1] if config.max_batch_size else []) + list(tensor.reshape.shape or tensor.dims)


def test_the_schema_takes_every_configuration(repository):
    found = configs(repository)
    assert set(found) == {
        *("demo_encoder_rgb", "demo_encoder_flow", "demo_head", "demo_window", "demo_whole", "demo", "demo_live"),
    }
    assert all(name == c.name for name, c in found.items())
    assert all((repository / name / "1").is_dir() for name in found)
    assert found["demo_window"].sequence_batching.state[0].dims == [-1, 128]


def test_graphs_have_the_tensors_of_their_configurations(repository):
    """ONNX Runtime reads each model and says which names, types and shapes it has."""
    types = {"tensor(float)": "TYPE_FP32", "tensor(uint8)": "TYPE_UINT8", "tensor(int32)": "TYPE_INT32"}
    for name, config in configs(repository).items():
        if config.platform == "ensemble":
            continue
        session = onnxruntime.InferenceSession(repository / name / "1" / "model.onnx")
        given = {t.name: t for t in (*session.get_inputs(), *session.get_outputs())}
        states = {n for s in config.sequence_batching.state for n in (s.input_name, s.output_name)}
        controls = {c.name for c in config.sequence_batching.control_input}
        assert set(given) == {t.name for t in (*config.input, *config.output)} | states | controls
        for t in (*config.input, *config.output):
            wanted = [d if isinstance(d, int) else -1 for d in given[t.name].shape]
            seen = shape(config, t)
            assert len(wanted) == len(seen)
            assert all(a == b or -1 in (a, b) for a, b in zip(wanted, seen, strict=True)), (name, t.name)
            assert schema.DataType.Name(t.data_type) == types[given[t.name].type]


def test_ensembles_join_what_fits(repository):
    """Each tensor of an ensemble has one maker and the same shape on both sides, the batch counted."""
    found = configs(repository)
    for name in ("demo", "demo_live"):
        ensemble = found[name]
        made = {t.name: shape(ensemble, t) for t in ensemble.input}
        for step in ensemble.ensemble_scheduling.step:
            model = found[step.model_name]
            full = {
                t.name: ([-1] if model.max_batch_size else []) + list(t.dims) for t in (*model.input, *model.output)
            }
            assert set(step.input_map) == {t.name for t in model.input}
            for inner, outer in step.input_map.items():
                assert made[outer] == full[inner], (name, inner)
            for inner, outer in step.output_map.items():
                assert outer not in made
                made[outer] = full[inner]
        for t in ensemble.output:
            assert made[t.name] == shape(ensemble, t)


def test_a_sequence_sees_the_window_and_nothing_of_the_one_before(plan):
    """The graph of streams, fed one snippet at a time as the server does, gives what the head gives on the window."""
    longest, streams = 7, list(plan.manifest.streams)
    session = onnxruntime.InferenceSession(windowed(plan.files["head.onnx"], streams, longest))
    head = onnxruntime.InferenceSession(plan.files["head.onnx"])
    outputs = [o.name for o in session.get_outputs()]
    random = np.random.default_rng(3)
    state = {s: random.normal(size=(1, 5, 128)).astype(np.float32) for s in streams}  # of another sequence
    seen = {s: np.empty((1, 0, 128), np.float32) for s in streams}
    for step in range(20):
        new = {s: random.normal(size=(1, 1 if step != 9 else 3, 128)).astype(np.float32) for s in streams}
        feeds = {**new, **{state_names(s)[0]: state[s] for s in streams}}
        found = dict(zip(outputs, session.run(outputs, {**feeds, START: [[np.int32(step == 0)]]}), strict=True))
        seen = {s: np.concatenate([seen[s], new[s]], 1)[:, -longest:] for s in streams}
        state = {s: found[state_names(s)[1]] for s in streams}
        for name, value in zip([o.name for o in head.get_outputs()], head.run(None, seen), strict=True):
            np.testing.assert_allclose(found[name], value, atol=1e-5)
        for s in streams:
            np.testing.assert_array_equal(state[s], seen[s])


def test_the_whole_head_is_the_engine(plan, repository):
    """What the ensemble computes, graph after graph, is what the engine computes."""
    engine = TALEngine(plan, "cpu")
    frames = np.random.default_rng(5).integers(0, 256, (64, 112, 112, 3), dtype=np.uint8)
    features = engine.features(frames, fps=25.0)
    head = onnxruntime.InferenceSession(repository / "demo_whole" / "1" / "model.onnx")
    whole = configs(repository)["demo_whole"]
    feeds = {t.name: features.streams[t.name].reshape([1, *features.streams[t.name].shape]) for t in whole.input}
    cas = head.run(["cas"], feeds)[0][0]
    np.testing.assert_allclose(cas, engine.localize(features).activations.cas, atol=1e-5)


def test_engines_are_served_by_capability(plan):
    record = EngineRecord(
        member="head.engine",
        graph="head.onnx",
        graph_sha256="0" * 64,
        flavour="tensorrt",
        version="10.9",
        targets=["sm89"],
        platform="linux-x86_64",
        profile={"T": (1, 320, 4096)},
        layers={"fp32": 3},
        bytes=3,
        sha256="0" * 64,
        build_seconds=1.0,
    )
    manifest = plan.manifest.model_copy(update={"engines": [record]})
    made = {m.name: m for m in models(Plan(manifest, {**plan.files, "head.engine": b"abc"}, plan.document), 8, 100)}
    head = made["demo_head"]
    config = text_format.Parse(to_text(head.config), schema.ModelConfig())
    assert config.platform == "tensorrt_plan"
    assert dict(config.cc_model_filenames) == {"8.9": "model_sm89.plan"}
    assert head.files == {"model_sm89.plan": b"abc"}
    assert made["demo_encoder_rgb"].config["platform"] == "onnxruntime_onnx"


def test_names_and_texts_survive_the_text_form():
    config = {"name": 'a "quoted"\n\\ name', "platform": "ensemble", "max_batch_size": 3}
    parsed = text_format.Parse(to_text(config), schema.ModelConfig())
    assert parsed.name == config["name"]
    assert to_text({"a": [], "b": [1, 2], "c": Word("X"), "d": [{"e": 1}, {"e": 2}]}) == (
        "a: []\nb: [1, 2]\nc: X\nd {\n  e: 1\n}\nd {\n  e: 2\n}\n"
    )


@pytest.mark.parametrize(
    ("options", "words"), [({"max_batch": 0}, "max_batch is 0"), ({"delay_us": -1}, "delay_us is -1")]
)
def test_bad_numbers_are_named(plan, tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        write_repository(plan, tmp_path / "r", **options)
    assert not (tmp_path / "r").exists()


def test_nothing_is_overwritten_or_half_written(plan, tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="is there already"):
        write_repository(plan, tmp_path / "there")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tal_engine.export.triton._write", full)
    with pytest.raises(OSError, match="No space"):
        write_repository(plan, tmp_path / "r")
    assert [p.name for p in tmp_path.iterdir()] == ["there"]


def test_a_stream_that_the_head_does_not_read(plan):
    with pytest.raises(ExportError, match="not 'audio'"):
        windowed(plan.files["head.onnx"], ["audio"], 3)


def test_command_line(tmp_path):
    from typer.testing import CliRunner

    _register()
    result = CliRunner().invoke(app, ["export", "triton", str(EMBEDDED_PLAN), "-o", str(tmp_path / "r")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "r" / "demo_head" / "config.pbtxt").exists()
