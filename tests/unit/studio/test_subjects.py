"""Whom labels of a studio are about: who is offered, what is stored, what other tools and people read."""

from __future__ import annotations

import csv

import pytest

pytest.importorskip("fastapi", reason="the studio needs [serve]")
pytest.importorskip("httpx", reason="the studio needs [serve]")

from tal_engine.annotations.formats.convert import convert, read, write
from tal_engine.annotations.formats.registry import writable
from tal_engine.annotations.formats.table import Annotation, AnnotationTable
from tal_engine.annotations.labels import read_labels
from tal_engine.errors import DataError, UsageError
from tal_engine.studio.agreement import agreement
from tal_engine.studio.labels import Label
from tests.studios import asked, edit, point, result, studio, videos


@pytest.fixture
def folder(tmp_path):
    made = videos(tmp_path / "v", "a.mp4", "b.mp4", "c.mp4", "d.mp4")
    (made / "a.csv").write_text("time,subject,nose_x,nose_y\n0,1,5,5\n2,1,5,5\n0.5,0,1,1\n1.5,0,1,1\n")
    return made


@pytest.fixture
def one(folder):
    made = studio(folder, classes=("run", "sit"))
    yield made
    made.close()


def ids(one):
    return {v.name: v.id for v in one.library.videos.values()}


def about(one, name, at, subject, label="run"):
    return ("add", {**point(name, at, label), "subject": subject}, 0)


async def offered(c, video):
    found = (await c.get(f"/api/videos/{video}/subjects")).json()
    return [(s["name"], s["source"], s["first"], s["last"]) for s in found["subjects"]], found["problem"]


def test_persons_of_skeletons_come_first_then_names_that_were_given_and_those_of_labels(folder):
    one = studio(folder, classes=("run",), subjects=("Cy",))
    a, b = ids(one)["a.mp4"], ids(one)["b.mp4"]

    async def talk(c):
        seen = [("0", "pose", 0.5, 1.5), ("1", "pose", 0.0, 2.0)]
        assert await offered(c, a) == ([*seen, ("Cy", "project", None, None)], None)
        assert await offered(c, b) == ([("Cy", "project", None, None)], None)
        body = edit(b, "edit-0001", about(one, "x", 0.5, "Ana"), about(one, "y", 0.6, "1"), about(one, "z", 0.7, ""))
        assert (await c.post("/api/edits", json=body)).status_code == 200
        others = [("Cy", "project", None, None), ("1", "labels", None, None), ("Ana", "labels", None, None)]
        assert await offered(c, a) == ([*seen, others[0], others[2]], None)
        assert await offered(c, b) == (others, None)
        assert (await c.get("/api/videos/none/subjects")).status_code == 404

    asked(one, talk)
    again = studio(folder)  # the names are the project's
    assert again.project.state.subjects == ["Cy"]
    again.close()


def test_a_skeleton_file_is_read_again_when_it_is_another_one_and_a_damaged_one_is_named(one, folder):
    a = ids(one)["a.mp4"]

    async def talk(c):
        assert [s[0] for s in (await offered(c, a))[0]] == ["0", "1"]
        (folder / "a.csv").write_text("time,subject,nose_x,nose_y\n0,Bo,5,5\n2,Bo,5,5\n")
        assert [s[0] for s in (await offered(c, a))[0]] == ["Bo"]
        (folder / "a.csv").write_bytes(b"time,subject,nose_x,nose_y\n0,\xff\xfe,5,5\n")
        subjects, problem = await offered(c, a)
        assert subjects == []
        assert problem["detail"].startswith("VIDEOS/a.csv: not a CSV of landmarks")
        (folder / "a.csv").unlink()
        assert await offered(c, a) == ([], None)

    asked(one, talk)


def test_skeletons_may_lie_in_a_folder_of_their_own(folder, tmp_path):
    (tmp_path / "poses").mkdir()
    (folder / "a.csv").rename(tmp_path / "poses" / "a.csv")
    one = studio(folder, skeletons=tmp_path / "poses")

    async def talk(c):
        assert [s[0] for s in (await offered(c, ids(one)["a.mp4"]))[0]] == ["0", "1"]
        assert await offered(c, ids(one)["b.mp4"]) == ([], None)

    asked(one, talk)
    with pytest.raises(DataError, match="no such folder of skeleton files"):
        studio(folder, skeletons=tmp_path / "none", project=tmp_path / "new")
    with pytest.raises(UsageError, match=r"subject is 'a\\nb', must be a name"):
        studio(folder, subjects=("a\nb",), project=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_subjects_are_stored_in_the_files_kept_by_the_journal_and_read_by_every_format_that_has_them(one, tmp_path):
    a = ids(one)["a.mp4"]
    long = {"id": "s", "kind": "segment", "start": 0.5, "end": 1.5, "label": "sit", "subject": "0"}
    same = {**long, "id": "t", "subject": "Ana", "note": "too"}

    async def talk(c):
        body = edit(a, "edit-0001", about(one, "x", 1.0, "1"), ("add", long, 0), ("add", same, 0))
        assert (await c.post("/api/edits", json=body)).status_code == 200
        revision = one.project.state.labels["x"].revision
        change = ("change", {**point("x", 1.0), "subject": "0"}, revision)
        assert (await c.post("/api/edits", json=edit(a, "edit-0002", change))).status_code == 200
        # somebody else is late, and says whom it is about
        late = ("change", {**point("x", 1.0), "subject": "2"}, revision)
        found = await c.post("/api/edits", json=edit(a, "edit-0003", late, author="bo"))
        assert found.status_code == 409
        [conflict] = (await c.get("/api/conflicts")).json()
        assert (conflict["mine"]["subject"], conflict["theirs"]["subject"]) == ("2", "0")
        await c.post(f"/api/conflicts/{conflict['id']}", json={"keep": "mine", "author": "bo"})

    asked(one, talk)
    files = one.project.folder
    with (files / "labels.csv").open() as file:
        rows = {(r["label"], r["subject"], r["note"]) for r in csv.DictReader(file)}
    wanted = {("run", "2", ""), ("sit", "0", ""), ("sit", "Ana", "too")}
    assert rows == wanted
    for name in ("labels.csv", "labels.json"):
        table = read(files / name)
        assert {(r.label, r.subject, r.comment) for r in table} == wanted, name
        fitted = read_labels(files / name)
        assert (fitted.problems, fitted.videos["a"].labels) == ((), ("run", "sit")), name
        assert len(fitted.videos["a"].segments) == 1  # the picture shows once what two do at once
    for form in writable():
        if "subject" not in form.holds or form.name in ("nwb", "parquet"):
            continue
        convert(files / "labels.json", tmp_path / f"o{form.name}{form.suffixes[0]}", target=form.name, fps=25)
        back = read(tmp_path / f"o{form.name}{form.suffixes[0]}", form.name, fps=25)
        assert {(r.label, r.subject) for r in back} >= {("sit", "0"), ("sit", "Ana")}, form.name
    again = studio(one.options.videos)
    assert {x.subject for x in again.project.state.labels.values()} == {"2", "0", "Ana"}
    again.project.check()
    again.close()


def test_labels_that_name_subjects_are_taken_with_them_though_two_do_the_same_at_once(folder, tmp_path):
    rows = [Annotation("a.mp4", "run", 0.5, 1.0, who) for who in ("Ana", "Bo", "")]
    write(AnnotationTable.of(rows), tmp_path / "labels.csv")
    one = studio(folder, labels=tmp_path / "labels.csv")
    assert sorted(x.subject for x in one.project.state.labels.values()) == ["", "Ana", "Bo"]
    one.close()
    assert read_labels(tmp_path / "labels.csv").problems == ()
    write(AnnotationTable.of([*rows, rows[0]]), tmp_path / "twice.csv")
    assert [p.wrong for p in read_labels(tmp_path / "twice.csv").problems] == ["repeats line 2"]
    new = studio(folder, labels=one.project.folder / "labels.json", project=tmp_path / "new")  # after damage
    assert sorted(x.subject for x in new.project.state.labels.values()) == ["", "Ana", "Bo"]
    new.close()


def test_an_answer_makes_a_label_about_somebody_and_nothing_is_about_nobody(one):
    result(one, [(0.4, 0.8, "run", 0.9), (1.2, 1.6, "sit", 0.9)])

    async def talk(c):
        items = [i for i in (await c.get("/api/queue")).json()["items"] if i["reason"] != "unfinished"]
        first, second = items[0], next(i for i in items if i["label"] != items[0]["label"])
        for k, (item, answer) in enumerate(((first, "accept"), (second, "nothing"))):
            body = {"edit": f"answer-{k:04d}", "author": "ana", "answer": answer, "subject": "1", "asked": item}
            assert (await c.post(f"/api/queue/{item['id']}", json=body)).status_code == 200, item

    asked(one, talk)
    assert sorted((x.kind, x.subject) for x in one.project.state.labels.values()) == [("nothing", ""), ("point", "1")]


def test_people_agree_by_whom_their_labels_are_about():
    def of(author, *stretches):
        return [Label(f"{author}{k}", "v", "segment", s, e, "run", who, author=author)
                for k, (s, e, who) in enumerate(stretches)]  # fmt: skip

    anna = of("anna", (1.0, 3.0, "0"), (5.0, 7.0, "1"))
    other = of("ben", (1.0, 3.0, "1"), (5.0, 7.0, "0"))
    [pair] = agreement([*anna, *other], {"v": 10.0})["pairs"]
    assert (pair["both"], pair["only_a"], pair["only_b"]) == (0, 2, 2)
    assert pair["kappa"] < 0
    [pair] = agreement([*anna, *of("ben", (1.0, 3.0, "0"), (5.0, 7.0, "1"))], {"v": 10.0})["pairs"]
    assert (pair["both"], pair["kappa"]) == (2, pytest.approx(1.0))
    [pair] = agreement([*anna, *of("ben", (1.0, 3.0, ""), (5.0, 7.0, ""))], {"v": 10.0})["pairs"]
    assert (pair["both"], pair["kappa"]) == (2, pytest.approx(1.0))  # one of them never said whom
