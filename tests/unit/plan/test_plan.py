"""The plan format: one error code per way a file can be wrong, hostile samples included."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.errors import PlanError, PlanFault
from tal_engine.plan.archive import parse_plan, plan_bytes, read_plan, with_members, write_plan
from tal_engine.plan.manifest import MANIFEST, parse_manifest
from tests.makers import tiny_manifest, tiny_plan


@pytest.fixture(scope="module")
def data():
    return plan_bytes(tiny_plan())


def fault(data):
    with pytest.raises(PlanError) as e:
        parse_plan(data, "x.plan")
    assert "x.plan" in str(e.value)
    return e.value.fault, str(e.value)


def rebuilt(data, change=None, drop=(), add=None, first=MANIFEST):
    """The same zip with its manifest changed, members dropped or added."""
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        files = {n: z.read(n) for n in z.namelist()}
    manifest = json.loads(files[MANIFEST])
    if change is not None:
        change(manifest)
    files[MANIFEST] = json.dumps(manifest).encode()
    for name in drop:
        del files[name]
    files |= add or {}
    order = [first, *(n for n in files if n != first)] if first in files else list(files)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as z:
        for n in order:
            z.writestr(n, files[n])
    return out.getvalue()


def test_round_trip(tmp_path):
    plan = tiny_plan(tmp_path / "a.plan")
    again = read_plan(tmp_path / "a.plan")
    assert again.manifest == plan.manifest
    assert dict(again.files) == dict(plan.files)
    assert again.sha256 == plan.sha256
    assert list(again.vocabulary) == ["jump", "run", "sit"]


def test_same_plan_same_bytes(data):
    assert plan_bytes(parse_plan(data)) == data


def test_any_zip_tool_opens_it_and_nothing_is_compressed(data):
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        assert z.testzip() is None
        assert z.namelist()[0] == MANIFEST
        assert all(i.compress_type == zipfile.ZIP_STORED for i in z.infolist())


def test_missing_file(tmp_path):
    with pytest.raises(PlanError) as e:
        read_plan(tmp_path / "no.plan")
    assert e.value.fault is PlanFault.MISSING_FILE


@pytest.mark.parametrize("junk", [b"", b"PK", b"not a zip at all" * 50, b"\x00" * 1000])
def test_not_a_zip(junk):
    assert fault(junk)[0] is PlanFault.NOT_A_PLAN


def test_manifest_must_come_first(data):
    assert fault(rebuilt(data, first="head.onnx"))[0] is PlanFault.NOT_A_PLAN


def test_a_zip_without_manifest(data):
    assert fault(rebuilt(data, drop=[MANIFEST]))[0] is PlanFault.NOT_A_PLAN


def test_every_flipped_byte_of_a_member_is_noticed(data):
    start = data.index(parse_plan(data).files["head.onnx"])
    for at in (start, start + 40, start + 100):
        hurt = bytearray(data)
        hurt[at] ^= 1
        kind, text = fault(bytes(hurt))
        assert kind is PlanFault.WRONG_HASH
        assert "head.onnx" in text


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_one_flipped_byte_anywhere_is_an_error_or_harmless(choice):
    """Zip keeps some fields twice and some for show; whatever opens must be the same plan."""
    plan = tiny_plan()
    hurt = bytearray(plan_bytes(plan))
    hurt[choice.draw(st.integers(0, len(hurt) - 1))] ^= choice.draw(st.integers(1, 255))
    try:
        found = parse_plan(bytes(hurt))
    except PlanError:
        return
    assert found.manifest == plan.manifest
    assert dict(found.files) == dict(plan.files)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_truncation_anywhere_is_an_error(choice):
    whole = plan_bytes(tiny_plan())
    with pytest.raises(PlanError):
        parse_plan(whole[: choice.draw(st.integers(0, len(whole) - 1))])


def test_missing_member(data):
    kind, text = fault(rebuilt(data, drop=["encoder_rgb.onnx"]))
    assert kind is PlanFault.MISSING_MEMBER
    assert "encoder_rgb.onnx" in text


def test_graph_that_is_no_member():
    plan = tiny_plan()
    files = {k: v for k, v in plan.files.items() if k != "head.onnx"}
    kind, text = fault(plan_bytes(with_members(plan.manifest, files)))
    assert kind is PlanFault.MISSING_MEMBER
    assert "head.onnx" in text


@pytest.mark.parametrize("name", ["../evil.onnx", "/etc/passwd", "a/../../b", "a\\b", ".hidden", "", "a b"])
def test_members_cannot_be_unpacked_outside_of_their_folder(name):
    plan = tiny_plan()
    kind, text = fault(plan_bytes(with_members(plan.manifest, {**plan.files, name: b"x"})))
    assert kind is PlanFault.BAD_VALUE
    assert repr(name) in text


def test_unlisted_member(data):
    kind, text = fault(rebuilt(data, add={"surprise.py": b"print()"}))
    assert kind is PlanFault.UNLISTED_MEMBER
    assert "surprise.py" in text


@pytest.mark.parametrize("field", ["layout", "spec"])
def test_newer_schema(data, field):
    def change(m):
        m["schema"][field] = 99
        m["field_of_the_future"] = 1

    kind, text = fault(rebuilt(data, change))
    assert kind is PlanFault.NEWER_SCHEMA
    assert f"schema.{field} is 99" in text
    assert "upgrade" in text
    with pytest.raises(PlanError) as e:
        parse_plan(rebuilt(data, change))
    assert e.value.exit_code == 4


@pytest.mark.parametrize(
    ("path", "value", "kind", "words"),
    [
        (["surprise"], 1, PlanFault.UNKNOWN_FIELD, "surprise"),
        (["snippet", "fpz"], 1, PlanFault.UNKNOWN_FIELD, "snippet.fpz"),
        (["nms", "sigmoid"], 1, PlanFault.UNKNOWN_FIELD, "nms.sigmoid"),
        (["proposal", "sources", 0, "x"], 1, PlanFault.UNKNOWN_FIELD, "proposal.sources.0.x"),
        (["nms", "kind"], "harsh", PlanFault.BAD_VALUE, "nms.kind"),
        (["nms", "sigma"], -1.0, PlanFault.BAD_VALUE, "sigma"),
        (["snippet", "fps"], "fast", PlanFault.BAD_VALUE, "snippet.fps"),
        (["vocabulary"], ["a", "a", "b"], PlanFault.BAD_VALUE, "unique"),
        (["vocabulary"], ["a", "b"], PlanFault.BAD_VALUE, "columns"),
        (["streams"], {"rgb": 4, "flow": 4}, PlanFault.BAD_VALUE, "streams"),
        (["streams"], {"rgb": 5}, PlanFault.BAD_VALUE, "test-rgb"),
        (["members", "head.onnx", "sha256"], None, PlanFault.BAD_VALUE, "sha256"),
    ],
)
def test_bad_fields_are_named(data, path, value, kind, words):
    def change(m):
        for key in path[:-1]:
            m = m[key]
        m[path[-1]] = value

    found, text = fault(rebuilt(data, change))
    assert found is kind
    assert words in text


@pytest.mark.parametrize("field", ["name", "vocabulary", "head", "snippet", "schema"])
def test_missing_fields_are_named(data, field):
    kind, text = fault(rebuilt(data, lambda m: m.pop(field)))
    assert kind is PlanFault.MISSING_FIELD
    assert field in text


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"1", b"\xff\xfe", b"[" * 100_000])
def test_manifest_that_is_no_object(text):
    with pytest.raises(PlanError) as e:
        parse_manifest(text)
    assert e.value.fault is PlanFault.BAD_MANIFEST


def test_infinite_operating_point_survives():
    m = tiny_manifest()
    assert m.segment.min_score == float("-inf")
    assert parse_manifest(m.to_json()).segment.min_score == float("-inf")


def test_writing_is_whole_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.plan"
    plan = tiny_plan(path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_plan(path, plan)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.plan"]
