"""Graphs that are not what their manifest says: refused when they are loaded, or after the run that shows it."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tal_engine import TALEngine
from tal_engine.backends import RunOptions, open_backend
from tal_engine.backends.checked import Declared, check_declared
from tal_engine.diagnostics.doctor import examine
from tal_engine.errors import FeatureError, PlanError, PlanFault
from tal_engine.options import BoundaryOptions, NmsOptions, SegmentOptions, SnippetOptions
from tal_engine.plan.archive import parse_plan, plan_bytes, with_members, write_plan
from tal_engine.plan.fields import Encoder, Graph, Method, Tensor
from tal_engine.plan.graph_contents import outputs_without_shape
from tal_engine.plan.manifest import Manifest
from tal_engine.records import Snippets
from tal_engine.timeline import Timeline
from tests.makers import HEAD, encoder_graph, head_graph, tiny_manifest, tiny_plan

KINDS = {
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "float64": TensorProto.DOUBLE,
    "float16": TensorProto.FLOAT16,
    "uint8": TensorProto.UINT8,
    "string": TensorProto.STRING,
}


def onnx_model(nodes, inputs, outputs, constants=None):
    """nodes: (operator, inputs, outputs, attributes); inputs and outputs: (name, dtype, shape or None)."""
    values = [[helper.make_tensor_value_info(n, KINDS[t], s) for n, t, s in side] for side in (inputs, outputs)]
    kept = [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()]
    made = helper.make_graph([helper.make_node(o, i, r, **a) for o, i, r, a in nodes], "g", *values, kept)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return model.SerializeToString()


RGB = ("rgb", "float32", ["B", "T", 4])
#: Nothing is declared, so that only a run can tell.
CAS, ATTENTION = ("cas", "float32", [None, None, None]), ("attention", "float32", [None, None])
CUT = {
    "weight": HEAD,
    "first": np.array(0),
    "zero": np.array([0]),
    "one": np.array([1]),
    "two": np.array([2]),
    "last": np.array([-1]),
    "end": np.array([2**31]),
    "cols": np.array([0, 1, 2]),
    "all": np.array([0, 1, 2]),
    "shift": np.array([1], np.int64),
}
BASE = [("MatMul", ["rgb", "weight"], ["c"], {}), ("Gather", ["c", "first"], ["l"], {"axis": 2})]


def head(*nodes, cas=CAS, attention=ATTENTION, reads=(RGB,), outputs=None):
    return onnx_model([*BASE, *nodes], list(reads), outputs or [cas, attention], CUT)


SAME_CAS, SAME_ATTENTION = ("Identity", ["c"], ["cas"], {}), ("Sigmoid", ["l"], ["attention"], {})


def cut(value, axis, start, end, to):
    return ("Slice", [value, start, end, axis], [to], {})


#: Graphs whose declarations show it.
AT_LOAD = {
    "input of another name": head(SAME_CAS, SAME_ATTENTION).replace(b"rgb", b"abc"),
    "output of another name": head(
        ("Identity", ["c"], ["scores"], {}), SAME_ATTENTION, cas=("scores", "float32", ["B", "T", 4])
    ),
    "one output too few": head(SAME_CAS, outputs=[CAS]),
    "one output too many": head(
        SAME_CAS,
        SAME_ATTENTION,
        ("Identity", ["c"], ["more"], {}),
        outputs=[CAS, ATTENTION, ("more", "float32", [None, None, None])],
    ),
    "names of outputs exchanged": head(
        ("Identity", ["c"], ["attention"], {}),
        ("Sigmoid", ["l"], ["cas"], {}),
        cas=("cas", "float32", [None, None]),
        attention=("attention", "float32", [None, None, None]),
    ),
    "one input too many": head(
        SAME_CAS, ("Add", ["l", "x"], ["attention"], {}), reads=(RGB, ("x", "float32", ["B", "T"]))
    ),
    "whole numbers": head(
        ("Cast", ["c"], ["cas"], {"to": TensorProto.INT64}), SAME_ATTENTION, cas=("cas", "int64", [None, None, None])
    ),
    "double precision": head(
        ("Cast", ["c"], ["cas"], {"to": TensorProto.DOUBLE}), SAME_ATTENTION, cas=("cas", "float64", [None, None, None])
    ),
    "half precision": head(
        ("Cast", ["c"], ["cas"], {"to": TensorProto.FLOAT16}),
        SAME_ATTENTION,
        cas=("cas", "float16", [None, None, None]),
    ),
    "texts": head(
        ("Cast", ["c"], ["cas"], {"to": TensorProto.STRING}), SAME_ATTENTION, cas=("cas", "string", [None, None, None])
    ),
    "reads texts": onnx_model(
        [
            ("Cast", ["rgb"], ["x"], {"to": TensorProto.FLOAT}),
            ("MatMul", ["x", "weight"], ["c"], {}),
            ("Gather", ["c", "first"], ["l"], {"axis": 2}),
            SAME_CAS,
            SAME_ATTENTION,
        ],
        [("rgb", "string", ["B", "T", 4])],
        [CAS, ATTENTION],
        CUT,
    ),
    "scalar": head(
        SAME_CAS, ("ReduceMean", ["l"], ["attention"], {"keepdims": 0}), attention=("attention", "float32", [])
    ),
    "rank too high": head(
        SAME_CAS,
        ("Unsqueeze", ["l", "last"], ["attention"], {}),
        attention=("attention", "float32", [None, None, None]),
    ),
    "fewer classes": head(cut("c", "two", "zero", "last", "cas"), SAME_ATTENTION),
    "more classes": head(("Concat", ["c", "c"], ["cas"], {"axis": 2}), SAME_ATTENTION),
    "one length only": onnx_model(
        [*BASE, SAME_CAS, SAME_ATTENTION], [("rgb", "float32", ["B", 32, 4])], [CAS, ATTENTION], CUT
    ),
    "one video only": onnx_model(
        [*BASE, SAME_CAS, SAME_ATTENTION], [("rgb", "float32", [1, "T", 4])], [CAS, ATTENTION], CUT
    ),
    "time before batch": onnx_model(
        [*BASE, SAME_CAS, SAME_ATTENTION], [("rgb", "float32", ["T", "B", 4])], [CAS, ATTENTION], CUT
    ),
    "classes before time": head(("Transpose", ["c"], ["cas"], {"perm": [0, 2, 1]}), SAME_ATTENTION),
    "gives time before batch": head(
        ("Transpose", ["c"], ["cas"], {"perm": [1, 0, 2]}), SAME_ATTENTION, cas=("cas", "float32", ["T", "B", 4])
    ),
}

#: Graphs that keep it to themselves until they run. Sizes are computed, so that inference knows nothing of them.
SIZE = [("Shape", ["c"], ["s"], {}), ("Slice", ["s", "one", "two", "zero"], ["t"], {})]
FEWER = [*SIZE, ("Sub", ["t", "shift"], ["fewer"], {})]
HALF = [*SIZE, ("Div", ["t", "two"], ["half"], {})]
WIDTH = [
    ("Shape", ["c"], ["s"], {}),
    ("Slice", ["s", "two", "end", "zero"], ["w"], {}),
    ("Sub", ["w", "shift"], ["n"], {}),
]
AT_RUN = {
    "fewer snippets": head(*FEWER, cut("c", "one", "zero", "fewer", "cas"), SAME_ATTENTION),
    "half of the snippets": head(
        *HALF, cut("c", "one", "zero", "half", "cas"), cut("l", "one", "zero", "half", "attention")
    ),
    "late snippets": head(*HALF, cut("c", "one", "half", "end", "cas"), SAME_ATTENTION),
    "more snippets": head(("Concat", ["c", "c"], ["cas"], {"axis": 1}), SAME_ATTENTION),
    "no snippets": head(cut("c", "one", "end", "end", "cas"), SAME_ATTENTION),
    "fewer weights": head(SAME_CAS, *FEWER, cut("l", "one", "zero", "fewer", "attention")),
    "fewer classes": head(*WIDTH, cut("c", "two", "zero", "n", "cas"), SAME_ATTENTION),
    "more videos": head(("Concat", ["c", "c"], ["cas"], {"axis": 0}), SAME_ATTENTION),
    "no videos": head(cut("c", "zero", "end", "end", "cas"), SAME_ATTENTION),
    "time before batch": head(
        ("Transpose", ["c"], ["cas"], {"perm": [1, 0, 2]}), SAME_ATTENTION, reads=[("rgb", "float32", [None, None, 4])]
    ),
    "scalar of unknown rank": head(
        SAME_CAS,
        ("Cast", ["fl"], ["attention"], {"to": TensorProto.FLOAT}),
        ("Shape", ["c"], ["s"], {}),
        ("ReduceSum", ["s"], ["fl"], {"keepdims": 0}),
        attention=("attention", "float32", None),
    ),
}


def plan_of(head_content, **files):
    return with_members(tiny_manifest(), {"head.onnx": head_content, "encoder_rgb.onnx": encoder_graph(), **files})


def refused(call, *words):
    with pytest.raises(PlanError) as e:
        call()
    assert e.value.fault is PlanFault.BAD_GRAPH
    assert e.value.exit_code == 1
    assert "the manifest says" in str(e.value)
    assert all(w in str(e.value) for w in words), str(e.value)


FEATURES = {"rgb": np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)}


@pytest.fixture(autouse=True)
def quiet(capfd):
    """ONNX Runtime warns of some of these graphs on its own."""
    yield
    capfd.readouterr()


def test_the_sound_one_runs():
    assert len(TALEngine(plan_of(head(SAME_CAS, SAME_ATTENTION)), "cpu").localize(FEATURES, top_k=0, min_score=-9)) > 0


@pytest.mark.parametrize("what", AT_LOAD)
def test_heads_that_declare_something_else(what, tmp_path):
    plan = plan_of(AT_LOAD[what])
    refused(lambda: TALEngine(plan, "cpu"), "head.onnx")
    write_plan(tmp_path / "x.plan", plan)
    found = examine(tmp_path / "x.plan", "cpu")
    assert found.status == 1
    assert found.graphs[0].status == 1
    assert "head.onnx" in found.findings[0].what


@pytest.mark.parametrize("what", AT_RUN)
def test_heads_that_show_it_when_they_run(what, tmp_path):
    plan = plan_of(AT_RUN[what])
    engine = TALEngine(plan, "cpu")
    refused(lambda: engine.localize(FEATURES), "head.onnx", "T = 20")
    ((_, outcome),) = engine.localize_batch([FEATURES], on_error="return")
    assert isinstance(outcome, PlanError)
    write_plan(tmp_path / "x.plan", plan)
    assert examine(tmp_path / "x.plan", "cpu").status == 1


def test_a_head_that_changes_its_mind_after_the_first_run():
    """It is compared each time: this one loses a snippet of videos with more than 24."""
    nodes = [*SIZE, ("Min", ["t", "most"], ["kept"], {}), cut("c", "one", "zero", "kept", "cas"), SAME_ATTENTION]
    content = onnx_model([*BASE, *nodes], [RGB], [CAS, ATTENTION], CUT | {"most": np.array([24])})
    engine = TALEngine(plan_of(content), "cpu")
    engine.localize(FEATURES)
    refused(lambda: engine.localize({"rgb": np.ones((25, 4), np.float32)}), "T = 25")
    assert engine.localize(FEATURES).info.snippets == 20


def encoder(
    *nodes, gives=("feature", "float32", [None, None]), reads=("frames", "uint8", ["B", 8, 32, 32, 3]), more=()
):
    constants = {
        "axes": np.array([1, 2]),
        "zero": np.array([0]),
        "one": np.array([1]),
        "last": np.array([-1]),
        "shape": np.array([0, 32, 96]),
        "four": np.array([4]),
        "flat": np.array([-1]),
    }
    base = [
        ("Cast", ["frames"], ["f"], {"to": TensorProto.FLOAT}),
        ("ReduceMean", ["f"], ["m"], {"keepdims": 0, "axes": [1, 2, 3]}),
        ("Concat", ["m", "m"], ["six"], {"axis": 1}),
        ("Slice", ["six", "zero", "four", "one"], ["x"], {}),
    ]
    base[1] = ("ReduceMean", ["f", "places"], ["m"], {"keepdims": 0})
    return onnx_model([*base, *nodes], [reads, *more], [gives], constants | {"places": np.array([1, 2, 3])})


FEATURE = ("Identity", ["x"], ["feature"], {})
ENCODERS_AT_LOAD = {
    "another size": encoder(FEATURE, reads=("frames", "uint8", ["B", 8, 16, 16, 3])),
    "another window": encoder(FEATURE, reads=("frames", "uint8", ["B", 4, 32, 32, 3])),
    "floats": encoder(FEATURE, reads=("frames", "float32", ["B", 8, 32, 32, 3])),
    "channels first": encoder(FEATURE, reads=("frames", "uint8", ["B", 3, 8, 32, 32])),
    "narrower": encoder(("Identity", ["m"], ["feature"], {})),
    "flat": encoder(("Reshape", ["x", "flat"], ["feature"], {}), gives=("feature", "float32", [None])),
    "whole numbers": encoder(
        ("Cast", ["x"], ["feature"], {"to": TensorProto.INT64}), gives=("feature", "int64", [None, None])
    ),
}
ENCODERS_AT_RUN = {
    "one row too few": encoder(cut("x", "zero", "zero", "last", "feature")),
    "first row only": encoder(cut("x", "zero", "zero", "one", "feature")),
    "twice": encoder(("Concat", ["x", "x"], ["feature"], {"axis": 0})),
}


def snippets(rows=3):
    return Snippets(np.zeros((rows, 8, 32, 32, 3), np.uint8), None, 0, Timeline(0.0, 0.32, 0.32), 1.0)


def encoder_plan(content):
    manifest = tiny_manifest()
    return with_members(
        manifest.model_copy(update={"snippet": SnippetOptions(window=8, stride=8, resize=32, crop=32, flow="none")}),
        {"head.onnx": head_graph(), "encoder_rgb.onnx": content},
    )


def test_a_sound_encoder_runs():
    assert TALEngine(encoder_plan(encoder(FEATURE)), "cpu").encode_snippets(snippets())["rgb"].shape == (3, 4)


@pytest.mark.parametrize("what", [*ENCODERS_AT_LOAD, *ENCODERS_AT_RUN])
def test_encoders(what, tmp_path):
    content = (ENCODERS_AT_LOAD | ENCODERS_AT_RUN)[what]
    engine = TALEngine(encoder_plan(content), "cpu")
    if what in ENCODERS_AT_LOAD:
        refused(engine.load_encoders, "encoder_rgb.onnx")
    refused(lambda: engine.encode_snippets(snippets()), "encoder_rgb.onnx")
    write_plan(tmp_path / "x.plan", encoder_plan(content))
    seen = examine(tmp_path / "x.plan", "cpu")
    assert (seen.status, seen.graphs[1].status) == (1, 1)


# -- evaluators --------------------------------------------------------------------------------


def boundary_plan(score_nodes, score=("score", "float32", [None, None])):
    """A head that gives borders and an evaluator made of nodes that read "embedding", "positions" and "wide" [P, 2]."""
    outputs = [
        ("start", "float32", [None, None]),
        ("end", "float32", [None, None]),
        ("embedding", "float32", [None, None, None]),
    ]
    border = [("Gather", ["rgb", n], [n + "_"], {"axis": 2}) for n in ("k0", "k1")]
    border += [
        ("Sigmoid", ["k0_"], ["start"], {}),
        ("Sigmoid", ["k1_"], ["end"], {}),
        ("Identity", ["rgb"], ["embedding"], {}),
    ]
    made_head = onnx_model(border, [RGB], outputs, {"k0": np.array(0), "k1": np.array(1)})
    tail = [
        ("ReduceMean", ["embedding", "axis"], ["mean"], {"keepdims": 0}),
        ("Slice", ["mean", "two", "four", "axis"], ["pair"], {}),
        ("Slice", ["positions", "axis", "two", "ones"], ["p"], {}),
        ("Add", ["p", "pair"], ["sum"], {}),
        ("Sigmoid", ["sum"], ["wide"], {}),
    ]
    constants = {
        "axis": np.array([0]),
        "two": np.array([2]),
        "four": np.array([4]),
        "ones": np.array([1]),
        "last": np.array([-1]),
        "end": np.array([2**31]),
        "nan": np.array([[np.nan, 0.5]], np.float32),
    }
    reads = [("embedding", "float32", ["T", 4]), ("positions", "float32", ["P", 5])]
    evaluator = onnx_model([*tail, *score_nodes], reads, [score], constants)
    of = lambda n, s: Tensor(name=n, dtype="float32", shape=s)  # noqa: E731
    manifest = Manifest(
        name="pairs",
        method=Method(name="made"),
        vocabulary=["run", "jump"],
        snippet=SnippetOptions(flow="none"),
        encoders=[],
        streams={"rgb": 4},
        proposal=BoundaryOptions(points=5),
        nms=NmsOptions(),
        segment=SegmentOptions(),
        head=Graph(
            member="head.onnx",
            inputs=[of("rgb", ["B", "T", 4])],
            outputs=[of("start", ["B", "T"]), of("end", ["B", "T"]), of("embedding", ["B", "T", 4])],
        ),
        evaluator=Graph(
            member="evaluator.onnx",
            inputs=[of("embedding", ["T", 4]), of("positions", ["P", 5])],
            outputs=[of("score", ["P", 2])],
        ),
    )
    return with_members(manifest, {"head.onnx": made_head, "evaluator.onnx": evaluator})


SCORE = ("Identity", ["wide"], ["score"], {})


def test_a_sound_evaluator_runs():
    assert len(TALEngine(boundary_plan([SCORE]), "cpu").localize(FEATURES)) > 0


@pytest.mark.parametrize(
    ("nodes", "score", "when"),
    [
        ([cut("wide", "ones", "axis", "ones", "score")], ("score", "float32", [None, None]), "load"),
        ([("Cast", ["wide"], ["score"], {"to": TensorProto.DOUBLE})], ("score", "float64", [None, None]), "load"),
        ([("ReduceMean", ["wide"], ["score"], {"keepdims": 0})], ("score", "float32", []), "load"),
        ([("Transpose", ["wide"], ["score"], {"perm": [1, 0]})], ("score", "float32", [None, None]), "load"),
        ([cut("wide", "axis", "axis", "last", "score")], ("score", "float32", [None, None]), "run"),
        ([("Concat", ["wide", "wide"], ["score"], {"axis": 0})], ("score", "float32", [None, None]), "run"),
    ],
)
def test_evaluators(nodes, score, when, tmp_path):
    plan = boundary_plan(nodes, score)
    if when == "load":
        refused(lambda: TALEngine(plan, "cpu"), "evaluator.onnx")
    else:
        engine = TALEngine(plan, "cpu")
        refused(lambda: engine.localize(FEATURES), "evaluator.onnx")
    write_plan(tmp_path / "x.plan", plan)
    assert examine(tmp_path / "x.plan", "cpu").status == 1


def test_scores_that_are_no_numbers_lose_no_class_in_silence():
    engine = TALEngine(boundary_plan([("Add", ["wide", "nan"], ["score"], {})]), "cpu")
    with pytest.raises(FeatureError, match="scores that are NaN"):
        engine.localize(FEATURES)


# -- manifests that contradict themselves ------------------------------------------------------


def changed(**update):
    return lambda m: m.update(update)


def at(*path, value):
    def change(m):
        for key in path[:-1]:
            m = m[key]
        m[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (at("head", "inputs", 0, "shape", value=["B", "T"]), "must have 3"),
        (at("head", "inputs", 0, "shape", value=["B", 16, 4]), "must have 3"),
        (at("head", "inputs", 0, "shape", value=["B", "B", 4]), "must have 3"),
        (at("head", "inputs", 0, "shape", value=["B", "T", "D"]), "must be float32"),
        (at("head", "inputs", 0, "dtype", value="uint8"), "must be float32"),
        (at("head", "outputs", 0, "shape", value=["T", "B", 4]), "cas is"),
        (at("head", "outputs", 0, "shape", value=[4]), "cas is"),
        (at("head", "outputs", 1, "shape", value=["B", "T", 1]), "attention is"),
        (at("head", "outputs", 1, "name", value="rgb"), "head gives|listed twice"),
        (at("encoders", 0, "graph", "inputs", 0, "shape", value=["B", 8, 16, 16, 3]), "encoder_rgb.onnx: frames is"),
        (at("encoders", 0, "graph", "inputs", 0, "shape", value=["B", 4, 32, 32, 3]), "encoder_rgb.onnx: frames is"),
        (at("encoders", 0, "graph", "inputs", 0, "shape", value=["B", 3, 8, 32, 32]), "encoder_rgb.onnx: frames is"),
        (at("encoders", 0, "graph", "inputs", 0, "shape", value=["B", 8, 32, 32]), "snippets are"),
        (at("encoders", 0, "graph", "inputs", 0, "dtype", value="float32"), "must be uint8"),
        (at("encoders", 0, "graph", "inputs", value=[]), "one input and one output"),
        (at("encoders", 0, "graph", "outputs", 0, "shape", value=["B", 5]), "feature is"),
        (at("encoders", 0, "graph", "outputs", 0, "shape", value=["B", "T", 4]), "feature is"),
        (lambda m: m["encoders"].append(m["encoders"][0]), "two encoders give stream 'rgb'"),
        (lambda m: m["snippet"].update(resize=16, crop=16), "encoder_rgb.onnx: frames is"),
        (lambda m: m["snippet"].update(resize=0, crop=0), "any size"),
        (lambda m: m["snippet"].update(window=16), "encoder_rgb.onnx: frames is"),
    ],
)
def test_shapes_that_no_stage_reads(change, words):
    import io
    import json
    import re
    import zipfile

    data = plan_bytes(tiny_plan())
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        files = {n: z.read(n) for n in z.namelist()}
    document = json.loads(files["manifest.json"])
    change(document)
    files["manifest.json"] = json.dumps(document).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, content in files.items():
            z.writestr(name, content)
    with pytest.raises(PlanError) as e:
        parse_plan(out.getvalue(), "x.plan")
    assert e.value.fault is PlanFault.BAD_VALUE
    assert re.search(words, str(e.value)), str(e.value)


# -- parts -------------------------------------------------------------------------------------


def test_shapes_that_a_file_does_not_state():
    free = head(SAME_CAS, SAME_ATTENTION, attention=("attention", "float32", None))
    assert outputs_without_shape(free) == {"attention"}
    assert outputs_without_shape(head(SAME_CAS, SAME_ATTENTION)) == set()
    scalar = head(SAME_CAS, SAME_ATTENTION, attention=("attention", "float32", []))
    assert outputs_without_shape(scalar) == set()
    with pytest.raises(ValueError, match="protocol buffer"):
        outputs_without_shape(b"\xff\xff\xff")


def test_without_a_manifest_nothing_is_compared():
    backend = open_backend(AT_LOAD["more classes"], "x.onnx", "cpu")
    assert backend.run({"rgb": np.ones((1, 3, 4), np.float32)})["cas"].shape == (1, 3, 8)


def test_declarations_of_any_runtime():
    spec = tiny_manifest().head
    sound = [
        Declared("rgb", True, "float32", ("B", "T", 4)),
        Declared("cas", False, "float32", (None, "s1", 4)),
        Declared("attention", False, "float32", None),
    ]
    check_declared(sound, spec)
    for i, wrong in ((1, ("B", 16, 4)), (1, ("T", "B", 4)), (0, ("B", "T", 5)), (0, ("B", "T"))):
        other = [*sound]
        other[i] = Declared(sound[i].name, sound[i].is_input, "float32", wrong)
        with pytest.raises(PlanError, match=sound[i].name):
            check_declared(other, spec)


def test_a_card_s_filled_batches_hide_nothing(monkeypatch):
    """Rows that fill a batch up are cut off: an encoder that gives too many would not be noticed after that."""
    from tal_engine.backends import ort as ort_module
    from tal_engine.backends import ort_gpu
    from tal_engine.backends.protocol import DeviceName
    from tests.fake_ort import FakeOrt, encoder_spec

    spec = encoder_spec()
    compute = spec["compute"]
    spec["compute"] = lambda f: {"feature": np.concatenate([compute(f)["feature"][:1], compute(f)["feature"]])}
    spec["outputs"] = [("feature", ["N", 2], "tensor(float)")]
    made = FakeOrt(spec)
    monkeypatch.setattr(ort_gpu, "ort", made)
    monkeypatch.setattr(ort_module, "ort", made)
    backend = ort_gpu.OrtGpuBackend(b"", "e.onnx", DeviceName("cuda"), RunOptions(rows=4))
    with pytest.raises(PlanError, match=r"feature \[5, 2\] for a batch of 4 rows"):
        backend.run({"frames": np.zeros((3, 4), np.uint8)})


def test_encoders_outside_of_plans_are_compared_too():
    """`tal features extract` opens encoders without a plan."""
    from tal_engine.export.encoder_graphs import EncoderSet

    graph = tiny_manifest().encoders[0].graph
    record = Encoder(name="e", stream="rgb", reads="frames", dim=4, weights_sha256="0" * 64, graph=graph)
    content = ENCODERS_AT_LOAD["narrower"]
    with pytest.raises(PlanError, match="the manifest says"):
        EncoderSet(SnippetOptions(), {"rgb": record}, {"rgb": content}, None).open(["rgb"], "cpu")


# -- what a graph loads from elsewhere ---------------------------------------------------------


def external(name="weight"):
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4, 4])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../../etc/passwd"), ("offset", "0"), ("length", "64")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def with_external(place):
    import onnx

    model = onnx.load_from_string(head(SAME_CAS, SAME_ATTENTION))
    if place == "initializer":
        model.graph.initializer.append(external())
    elif place == "constant":
        model.graph.node.append(helper.make_node("Constant", [], ["more"], value=external()))
    elif place == "branch":
        inner = helper.make_graph([], "inner", [], [], [external()])
        model.graph.node.append(helper.make_node("If", ["c"], ["more"], then_branch=inner, else_branch=inner))
    elif place == "function":
        made = helper.make_function(
            "mine", "F", [], ["y"], [helper.make_node("Constant", [], ["y"], value=external())],
            [helper.make_opsetid("", 18)],
        )  # fmt: skip
        model.functions.append(made)
    elif place == "compiled":
        context = helper.make_node("EPContext", ["c"], ["more"], domain="com.microsoft", embed_mode=0)
        model.graph.node.append(context)
    return model.SerializeToString()


@pytest.mark.parametrize("place", ["initializer", "constant", "branch", "function", "compiled"])
def test_graphs_that_load_something_from_elsewhere(place):
    """ONNX Runtime 1.32 refuses them in models that come from memory; not every parser does."""
    with pytest.raises(PlanError, match=r"head\.onnx holds .*plans are whole in themselves") as e:
        parse_plan(plan_bytes(plan_of(with_external(place))))
    assert e.value.fault is PlanFault.BAD_GRAPH


def test_a_location_in_a_name_is_no_file():
    plan = plan_of(head(SAME_CAS, SAME_ATTENTION).replace(b"first", b"location"[:5]))
    assert parse_plan(plan_bytes(plan))
    named = head(("Identity", ["c"], ["location"], {}), ("Identity", ["location"], ["cas"], {}), SAME_ATTENTION)
    assert parse_plan(plan_bytes(plan_of(named)))
