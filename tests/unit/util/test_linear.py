"""Lists from strangers are long: looking for repeats must not take time that grows with their square."""

from __future__ import annotations

import ast
import gc
import json
import time
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from tal_engine._util.repeats import repeated
from tal_engine.annotations import read_annotations
from tal_engine.errors import PlanError, TALError, UsageError
from tal_engine.plan.archive import parse_plan, plan_bytes, with_members
from tal_engine.plan.manifest import parse_manifest
from tal_engine.vocabulary import Vocabulary
from tests.makers import tiny_manifest, tiny_plan

ROOT = Path(__file__).parents[3]
MANY = 20_000
#: Ten times the input takes less than so many times the time; a search of all for each takes 60 to 100 times.
LINEAR = 30


class Counted(str):
    """A name that counts how often it is compared or hashed."""

    __slots__ = ()
    operations = 0

    def __eq__(self, other):
        Counted.operations += 1
        return str.__eq__(self, other)

    def __hash__(self):
        Counted.operations += 1
        return str.__hash__(self)


def operations(call, names):
    Counted.operations = 0
    call([Counted(n) for n in names])
    return Counted.operations


def pairs(count):
    """Names of which each is there twice: the worst case of a search that counts each one."""
    return [f"name {i}" for i in range(count // 2)] * 2


def test_what_is_repeated():
    assert repeated([]) == []
    assert repeated("abcab") == ["a", "b"]
    assert repeated("aaa") == ["a"]
    assert repeated(x for x in (1, 2, 3)) == []


def refused_vocabulary(names):
    with pytest.raises(UsageError, match="unique"):
        Vocabulary(names)


@pytest.mark.parametrize("call", [repeated, refused_vocabulary], ids=["repeated", "vocabulary"])
def test_operations_grow_with_the_number_of_names(call):
    """Ten times the names, about ten times the work; a search of each in all of them takes a hundred times."""
    few, many = operations(call, pairs(200)), operations(call, pairs(2000))
    assert many < 20 * few
    assert many < 2000 * 20


def test_yaml_keys_are_compared_linearly(monkeypatch):
    yaml = pytest.importorskip("yaml")
    from tal_engine.lab.data import description

    constructed = yaml.SafeLoader.construct_object

    def counted(self, node, deep=False):
        value = constructed(self, node, deep)
        return Counted(value) if type(value) is str else value

    monkeypatch.setattr(description._Loader, "construct_object", counted)

    def load(names):
        text = "".join(f"{n.replace(' ', '_')}: 1\n" for n in names)
        return yaml.load(text, description._Loader)

    few, many = (operations(load, [f"k{i}" for i in range(n)]) for n in (100, 1000))
    assert many < 20 * few


def times_as_much(work, many=MANY):
    """Processor time of `work(many)()` by that of a tenth: 10 where it is linear, towards 100 by the square.

    A ratio does not depend on the machine, nor this thread's time on what else runs; the shortest of three stands for
    the small one, which a stray moment would make long.
    """

    def seconds(call):
        gc.disable()  # what it looks through grows with all that is there
        try:
            began = time.thread_time()
            call()
            return time.thread_time() - began
        finally:
            gc.enable()

    few, all_of_them = work(many // 10), work(many)
    return seconds(all_of_them) / min(seconds(few) for _ in range(3))


def wide_plan(count):
    plan = tiny_plan()
    return plan_bytes(with_members(plan.manifest, {**plan.files, **{f"m{i}": b"" for i in range(count)}}))


def test_a_plan_of_many_members():
    def work(count):
        data = wide_plan(count)
        return lambda: parse_plan(data)

    assert times_as_much(work) < LINEAR


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_plan_of_many_members_that_are_all_there_twice():
    def work(count):
        out = BytesIO()
        with zipfile.ZipFile(out, "w") as z:
            z.writestr("manifest.json", b"{}")
            for i in range(2 * count):
                z.writestr(f"m{i % count}", b"")

        def refused():
            with pytest.raises(PlanError, match="more than once"):
                parse_plan(out.getvalue())

        return refused

    assert times_as_much(work) < LINEAR


def test_manifests_with_many_entries():
    document = json.loads(tiny_manifest().to_json())
    encoder = document["encoders"][0]

    def parsed(**changes):
        text = json.dumps({**document, **changes})
        return lambda: parse_manifest(text)

    def refused(**changes):
        parse = parsed(**changes)

        def call():
            with pytest.raises(PlanError):
                parse()

        return call

    member = {"bytes": 1, "sha256": "0" * 64}
    assert times_as_much(lambda n: parsed(members={f"m{i}": member for i in range(n)})) < LINEAR
    assert times_as_much(lambda n: refused(encoders=[encoder] * n)) < LINEAR
    assert times_as_much(lambda n: refused(vocabulary=pairs(n))) < LINEAR
    assert times_as_much(lambda n: refused(streams={f"s{i}": 4 for i in range(n)})) < LINEAR


def test_annotations_with_many_entries_of_one_name(tmp_path):
    def work(count):
        path = tmp_path / f"{count}.json"
        entries = ", ".join(f'"{n}": {{"subset": "x", "duration": 1, "annotations": []}}' for n in pairs(2 * count))
        path.write_text(f'{{"database": {{{entries}}}}}')

        def refused():
            with pytest.raises(TALError, match="twice"):
                read_annotations(path)

        return refused

    assert times_as_much(work) < LINEAR


# -- the pattern, in the whole tree ------------------------------------------------------------

LOOPS = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
#: Where what is searched cannot be long: precisions, joints of a skeleton, axes, kinds of files, reasons.
SHORT = {
    "export/planar.py",
    "tal_engine/backends/dynamic_batching.py",
    "tal_engine/diagnostics/doctor.py",
    "tal_engine/lab/nn/weights.py",
    "tal_engine/lab/fitting/held_out.py",
    "tal_engine/lab/fitting/material.py",
    "tal_engine/lab/fitting/outcomes.py",
    "tal_engine/outputs/render/fit_pictures.py",
    "tal_engine/outputs/render/panel.py",
    "tal_engine/pose/amc.py",
    "tal_engine/pose/bvh.py",
    "tal_engine/pose/skeleton.py",
}


def searches(tree):
    """Lines on which a loop searches a whole list in each turn, as `x.count(y)` or `x.index(y)` do."""
    for loop in (n for n in ast.walk(tree) if isinstance(n, LOOPS)):
        first = loop.generators[0].iter if hasattr(loop, "generators") else getattr(loop, "iter", None)
        once = set(map(id, ast.walk(first))) if first is not None else set()
        for node in ast.walk(loop):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args
            if called and id(node) not in once and node.func.attr in ("count", "index", "remove", "insert"):
                yield node.lineno
            built = isinstance(node, ast.Compare) and isinstance(node.comparators[0], (ast.ListComp, ast.SetComp))
            if built and isinstance(node.ops[0], (ast.In, ast.NotIn)):
                yield node.lineno


def test_the_scan_sees_the_pattern():
    for text in ("[n for n in names if names.count(n) > 1]", "for a in b:\n    c.remove(a)",
                 "[p for i, p in enumerate(x) if p in {q.stem for q in x[:i]}]"):  # fmt: skip
        assert list(searches(ast.parse(text))) != []
    assert list(searches(ast.parse("for x in names.split(names.index('a')): pass"))) == []


def test_no_loop_searches_a_list_in_each_turn():
    found = {}
    for path in [*(ROOT / "tal_engine").rglob("*.py"), *(ROOT / "export").rglob("*.py")]:
        name = path.relative_to(ROOT).as_posix()
        if name not in SHORT and (lines := sorted(set(searches(ast.parse(path.read_text()))))):
            found[name] = lines
    assert found == {}
