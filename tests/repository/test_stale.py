"""Which figures are older than the code they measure."""

from __future__ import annotations

import subprocess
import sys

import common
import pytest
import rooms
import stale


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone of two rooms, with history; "bench" measures both, its part "one" only the first."""
    for room in ("a", "b"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "code.py").write_text(f"{room} = 1\n")
    monkeypatch.setattr(rooms, "MEASURED", {"bench": {"": ("a", "b"), "one": ("a",)}})
    monkeypatch.setattr(rooms, "digest", rooms.digest.__wrapped__)  # files change within a test
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "first")
    return tmp_path


def git(folder, *words):
    subprocess.run(["git", "-C", str(folder), *words], check=True)


def parts(root, *names):
    return {"figures": {}, "parts": {n: {"code": rooms.code_record("bench", n, root)} for n in names}}


def judged(document, root):
    return [(s.part, s.state, s.changed) for s in stale.states({"bench": document}, root)]


def test_a_figure_is_current_until_its_own_code_changes(clone):
    document = parts(clone, "one", "other")
    assert judged(document, clone) == [("one", "current", ()), ("other", "current", ())]
    (clone / "b" / "code.py").write_text("b = 2\n")
    assert judged(document, clone) == [("one", "current", ()), ("other", "stale", ("b/code.py",))]
    for new in ("new.py", "new.js", "new.css"):  # a page is code too
        (clone / "a" / new).write_text("")
        assert judged(document, clone)[0] == ("one", "stale", (f"a/{new}",))
        (clone / "a" / new).unlink()
    (clone / "a" / "code.py").write_bytes(b"a = 1\r\n")  # a checkout on Windows is no change
    assert judged(document, clone)[0] == ("one", "current", ())


def test_without_history_the_rooms_are_named(clone):
    document = parts(clone, "other")
    document["parts"]["other"]["code"]["commit"] = "0" * 40
    (clone / "b" / "code.py").unlink()
    assert judged(document, clone) == [("other", "stale", ("b",))]


def test_a_record_says_whether_its_commit_had_changes(clone):
    assert rooms.code_record("bench", "one", clone)["changed"] is False
    (clone / "a" / "code.py").write_text("a = 2\n")
    assert rooms.code_record("bench", "one", clone)["changed"] is True


def test_a_result_without_a_record_is_unknown(clone):
    assert judged({"figures": {}}, clone) == [("", "unknown", ())]


def test_rows_that_were_measured_one_by_one_have_their_own_state(clone):
    run = {"command": "x", "code": rooms.code_record("bench", "one", clone)}
    document = parts(clone, "one") | {"figures": {"one": {"rows": {"r": run, "s": run, "old": {"command": "x"}}}}}
    (clone / "a" / "code.py").write_text("a = 2\n")
    found = stale.states({"bench": document}, clone)
    assert [(s.state, s.rows) for s in found] == [("stale", "2 of 3 rows"), ("unknown", "1 of 3 rows")]
    assert stale.line(found[0]) == "stale    bench one (2 of 3 rows): a/code.py"


def test_a_stored_result_keeps_what_code_it_measured(clone, monkeypatch, tmp_path):
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(common, "code_record", lambda name, part: rooms.code_record(name, part, clone))
    common.store("bench", {"x": 1}, "one")
    document = common.store("bench", {"x": 1}, "other")
    assert set(document["parts"]["one"]["code"]["rooms"]) == {"a"}
    assert set(document["parts"]["other"]["code"]["rooms"]) == {"a", "b"}
    assert "code" not in document


def test_every_stored_result_has_rooms_and_every_room_exists():
    for name in common.every_stored():
        assert rooms.rooms_of(name, None), f"{name} is not in rooms.MEASURED"
    every = {room for parts in rooms.MEASURED.values() for named in parts.values() for room in named}
    assert [room for room in sorted(every) if not (rooms.ROOT / room).exists()] == []


def test_the_command_lists_every_benchmark():
    done = subprocess.run(
        [sys.executable, "benchmarks/readme.py", "--stale"], cwd=rooms.ROOT, capture_output=True, text=True, check=True
    )
    assert all(name in done.stdout for name in common.every_stored())
