"""Manifests from elsewhere: a value is refused by name when it is read, or everything that reads it later copes."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine import TALEngine
from tal_engine.cli.plan import _summary
from tal_engine.errors import PlanError, PlanFault, TALError, UsageError
from tal_engine.options import (
    BoundaryOptions,
    NmsOptions,
    ProposalOptions,
    SegmentOptions,
    SnippetOptions,
    StreamOptions,
    timeline_of,
)
from tal_engine.plan.archive import Plan, parse_plan, plan_bytes
from tal_engine.plan.manifest import parse_manifest
from tests.makers import tiny_plan
from tests.unit.streaming.test_restoring import EXAMPLES, ODD, places

PLAN = tiny_plan()
DOCUMENT = json.loads(PLAN.document)


def at(*path, value):
    """The manifest with one value replaced."""
    document = copy.deepcopy(DOCUMENT)
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return json.dumps(document)


ENGINE = {
    "member": "e.engine", "graph": "head.onnx", "graph_sha256": "0" * 64, "flavour": "tensorrt", "version": "10",
    "targets": ["sm89"], "platform": "linux-x86_64", "profile": {"B": [1, 1, 8], "T": [1, 320, 4096]},
    "layers": {"fp32": 3}, "bytes": 1, "sha256": "0" * 64, "build_seconds": 1.5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        # texts where numbers belong, and numbers of the wrong kind
        (["streams", "rgb"], "4", "streams.rgb"),
        (["streams", "rgb"], True, "streams.rgb"),
        (["streams", "rgb"], 4.0, "streams.rgb"),
        (["encoders", 0, "dim"], "4", "encoders.0.dim"),
        (["snippet", "fps"], "25", "snippet.fps"),
        (["snippet", "window"], "8", "snippet.window"),
        (["snippet", "window"], 8.0, "snippet.window"),
        (["nms", "sigma"], "0.5", "nms.sigma"),
        (["nms", "inclusive"], 1, "nms.inclusive"),
        (["nms", "inclusive"], "false", "nms.inclusive"),
        (["nms", "min_score"], "low", "nms.min_score"),
        (["proposal", "sources", 0, "thresholds", 0], "0.5", "thresholds"),
        (["head", "inputs", 0, "shape", 2], "4", "head.inputs.0.shape.2"),
        (["head", "inputs", 0, "shape", 2], 4.5, "head.inputs.0.shape.2"),
        (["head", "inputs", 0, "shape", 2], None, "head.inputs.0.shape.2"),
        (["head", "inputs", 0, "shape", 0], "B ", "head.inputs.0.shape.0"),
        (["members", "head.onnx", "bytes"], "12", "members.head.onnx.bytes"),
        (["schema", "spec"], "3", "schema.spec"),
        (["vocabulary", 0], 7, "vocabulary.0"),
        (["name"], 7, "name"),
        # shapes and types that nothing has
        (["head", "outputs", 0, "shape"], [], "head.outputs.0.shape"),
        (["head", "inputs", 0, "shape"], [], "head.inputs.0.shape"),
        (["head", "inputs", 0, "shape", 2], 0, "head.inputs.0.shape.2"),
        (["head", "inputs", 0, "shape", 2], -4, "head.inputs.0.shape.2"),
        (["head", "inputs", 0, "shape", 2], 10**30, "manifest.json"),
        (["head", "inputs", 0, "shape", 2], 2**62, "head.inputs.0.shape.2"),
        (["head", "inputs", 0, "dtype"], "float", "head.inputs.0.dtype"),
        (["head", "inputs", 0, "dtype"], "object", "head.inputs.0.dtype"),
        (["head", "inputs", 0, "dtype"], "", "head.inputs.0.dtype"),
        (["head", "inputs", 0, "name"], "", "head.inputs.0.name"),
        (["head", "inputs"], [], "head"),
        (["head", "outputs"], [], "head"),
        (["streams"], {}, "streams"),
        # sizes and strides that take all memory, or none
        (["streams", "rgb"], -4, "streams.rgb"),
        (["streams", "rgb"], 2**40, "streams.rgb"),
        (["encoders", 0, "dim"], 0, "encoders.0.dim"),
        (["snippet", "stride"], 0, "stride"),
        (["snippet", "stride"], -8, "stride"),
        (["snippet", "stride"], 2**31, "stride"),
        (["snippet", "window"], 2**31, "window"),
        (["snippet", "fps"], 1e-300, "fps"),
        (["snippet", "fps"], float("nan"), "fps"),
        (["snippet", "fps"], float("inf"), "fps"),
        (["snippet", "flow_clip"], float("inf"), "flow_clip"),
        (["snippet"], {"resize": 2**20, "crop": 2**20}, "resize"),
        (["snippet"], {"resize": 16000, "crop": 16000, "window": 64}, "snippet"),
        (["stream"], {"window": 1e300}, "window"),
        (["stream"], {"window": float("nan")}, "window"),
        (["stream"], {"hysteresis": float("nan")}, "hysteresis"),
        # numbers that no C++ option takes
        (["nms", "top_k"], 2**31, "top_k"),
        (["nms", "top_k"], 2**63, "top_k"),
        (["nms", "top_k"], 10**30, "manifest.json"),
        (["nms", "sigma"], float("nan"), "sigma"),
        (["nms", "sigma"], float("inf"), "sigma"),
        (["nms", "min_score"], float("nan"), "min_score"),
        (["nms", "threshold_slope"], float("nan"), "threshold_slope"),
        (["nms", "length_offset"], float("inf"), "length_offset"),
        (["segment", "min_score"], float("nan"), "min_score"),
        (["segment", "top_k"], 2**40, "top_k"),
        (["proposal", "sources"], [], "sources"),
        (["proposal", "sources", 0, "thresholds"], [], "thresholds"),
        (["proposal", "sources", 0, "thresholds"], [0.1, float("nan")], "thresholds"),
        (["proposal", "sources", 0, "thresholds"], [float("-inf")], "thresholds"),
        (["proposal", "sources", 0, "outer_ratio"], float("nan"), "outer_ratio"),
        (["proposal", "sources", 0, "outer_ratio"], -1.0, "outer_ratio"),
        (["proposal", "sources", 0, "class_weight"], float("nan"), "class_weight"),
        (["proposal", "class_threshold"], float("nan"), "class_threshold"),
        (["proposal", "topk_ratio"], 2**31, "topk_ratio"),
        (["proposal", "min_length"], 2**40, "min_length"),
        (["proposal", "upsample"], 10**6, "upsample"),
        # what the parts around it take for granted
        (["provenance"], {"contract": []}, "provenance.contract"),
        (["provenance"], {"contract": {"pixels": 7}}, "provenance.contract"),
        (["parity"], {"head": 3}, "parity.head"),
        (["producer"], {"torch": 2}, "producer.torch"),
        (["members", "head.onnx", "sha256"], "0" * 63, "sha256"),
        (["members", "head.onnx", "sha256"], "G" * 64, "sha256"),
        (["members", "head.onnx", "bytes"], -1, "bytes"),
        (["engines"], [{**ENGINE, "profile": {"T": [8, 4, 2]}}], "profile"),
        (["engines"], [{**ENGINE, "profile": {"T": [0, 4, 8]}}], "profile"),
        (["engines"], [{**ENGINE, "profile": {"T": [1, 4]}}], "profile"),
        (["engines"], [{**ENGINE, "bytes": -1}], "bytes"),
        (["engines"], [{**ENGINE, "build_seconds": float("nan")}], "build_seconds"),
        (["engines"], [{**ENGINE, "layers": {"fp32": -1}}], "layers"),
        (["engines"], [{**ENGINE, "graph": "none.onnx"}], "none.onnx"),
    ],
)
def test_refused_when_read_and_named(path, value, field):
    with pytest.raises(PlanError) as e:
        parse_manifest(at(*path, value=value), "x.plan")
    assert e.value.fault in (PlanFault.BAD_VALUE, PlanFault.BAD_MANIFEST, PlanFault.MISSING_FIELD)
    assert str(e.value).startswith("x.plan: ")
    assert field in str(e.value)


@pytest.mark.parametrize("text", ['"name": "a", "name": "b"', '"name": "a", "n\\u0061me": "b"'])
def test_two_entries_of_one_name(text):
    with pytest.raises(PlanError, match="'name' is there twice") as e:
        parse_manifest(PLAN.document.decode().replace('"name": "tiny"', text))
    assert e.value.fault is PlanFault.BAD_MANIFEST


def test_a_newer_schema_is_told_even_if_its_number_is_odd():
    for version in (5, 5.0, 10**9, 1e9):
        with pytest.raises(PlanError) as e:
            parse_manifest(at("schema", "spec", value=version))
        assert e.value.fault is PlanFault.NEWER_SCHEMA


@pytest.mark.parametrize("written", [float("-inf"), "-Infinity"])
def test_both_ways_of_writing_an_infinite_score(written):
    """Versions of pydantic differ in what they write; both are in plans that people have."""
    assert parse_manifest(at("nms", "min_score", value=written)).nms.min_score == float("-inf")


def test_whole_numbers_are_numbers():
    assert parse_manifest(at("snippet", "fps", value=25)).snippet.fps == 25.0


@pytest.mark.parametrize(
    "options",
    [SnippetOptions(), ProposalOptions(), BoundaryOptions(), NmsOptions(), SegmentOptions(), StreamOptions()],
    ids=lambda o: type(o).__name__,
)
def test_options_that_people_set_have_the_same_limits(options):
    """Numbers only: types are what the command line and the manifest see to."""
    for name in options.__dataclass_fields__:
        value = getattr(options, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        bad = [2**64] if isinstance(value, int) else [float("nan")]
        for other in bad:
            with pytest.raises(UsageError, match=name):
                replace(options, **{name: other})


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_edited_manifests_are_refused_or_used(data):
    """What is taken is then loaded, run, printed and streamed: nothing but the project's errors may come of it."""
    document = copy.deepcopy(DOCUMENT)
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from([p for p in places(document) if p]))
        holder = document
        for key in path[:-1]:
            holder = holder[key]
        kind = data.draw(st.sampled_from(["set", "set", "set", "drop", "copy"]))
        with suppress(KeyError, IndexError):
            if kind == "set":
                holder[path[-1]] = data.draw(st.sampled_from(ODD))
            elif kind == "drop":
                del holder[path[-1]]
            elif isinstance(holder, list):
                holder.append(copy.deepcopy(holder[path[-1]]))
    try:
        plan = parse_plan(plan_bytes(Plan(PLAN.manifest, PLAN.files, json.dumps(document).encode())))
    except PlanError:
        return
    manifest = plan.manifest
    _summary(Path("x.plan"), plan)
    timeline_of(manifest.snippet)
    with suppress(TALError):
        engine = TALEngine(plan, "cpu", threads=1)
        x = {name: np.ones((5, min(dim, 64)), np.float32) for name, dim in manifest.streams.items()}
        engine.localize(x)
        stream = engine.open_stream("s")
        for _ in range(5):
            stream.push_features({name: np.ones(min(dim, 64), np.float32) for name, dim in manifest.streams.items()})
        stream.flush()
