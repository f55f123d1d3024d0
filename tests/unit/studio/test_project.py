"""Nothing that was said to be saved is lost: the journal, edits and conflicts, files of labels, a project elsewhere."""

from __future__ import annotations

import datetime as dt
import errno
import os
import shutil
from dataclasses import replace

import pytest
from typer.testing import CliRunner

pytest.importorskip("fastapi", reason="the studio needs [serve]")
pytest.importorskip("httpx", reason="the studio needs [serve]")

from tal_engine.annotations import write
from tal_engine.annotations.formats.table import Annotation, AnnotationTable
from tal_engine.annotations.labels import read_labels
from tal_engine.cli import main
from tal_engine.errors import DataError, StateError, UsageError
from tal_engine.studio.classes import set_classes, with_classes
from tal_engine.studio.journal import Journal
from tal_engine.studio.labels import Change, Label
from tal_engine.studio.project import ConflictError, Project
from tests.studios import studio, videos

VIDEO = "v1"


def opened(folder):
    one = Project(folder)
    if not one.state.videos:
        one.note("video", id=VIDEO, name="day1/a.mp4", size=9, digest="d")
        with_classes(one, ["run", "sit"])
    return one


def label(name, start, end=None, of="run", kind=None):
    end = start if end is None else end
    return Label(name, VIDEO, kind or ("point" if start == end else "segment"), start, end, of)


@pytest.fixture
def project(tmp_path):
    one = opened(tmp_path / "p")
    yield one
    one.check()
    one.close()


def test_a_journal_that_was_cut_anywhere_has_all_entries_before(tmp_path):
    path = tmp_path / "j"
    journal = Journal(path)
    ends = [0]
    for k in range(3):
        journal.append({"kind": "note", "text": f"é{k}\n"})
        ends.append(path.stat().st_size)
    journal.close()
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        again = Journal(path)
        assert again.revision == sum(e <= cut for e in ends) - 1
        again.append({"kind": "note"})
        again.close()
        assert Journal(path).revision == again.revision


def test_a_damaged_line_inside_a_journal_is_named(tmp_path):
    path = tmp_path / "j"
    path.write_bytes(b'{"n":1}\n{"n":7}\n{"n":3}\n')
    with pytest.raises(DataError, match=r"line 2 is no entry.*number is 7"):
        Journal(path)


@pytest.mark.parametrize("where", ["write", "fsync"])
def test_a_full_disk_changes_nothing_and_the_next_edit_works(project, monkeypatch, where):
    project.edit("edit-0001", "anna", VIDEO, [Change("add", label("a", 1.0))])
    before, files = (project.folder / "journal.jsonl").read_bytes(), (project.folder / "labels.csv").read_text()
    real_write, real_sync, calls = os.write, os.fsync, []

    def write_some(handle, data):
        if calls:
            raise OSError(errno.ENOSPC, "No space left on device")
        calls.append(1)
        return real_write(handle, data[: len(data) // 2])

    def sync(handle):
        if not calls:
            calls.append(1)
            raise OSError(errno.ENOSPC, "No space left on device")
        real_sync(handle)

    monkeypatch.setattr("tal_engine.studio.journal.os.write", write_some if where == "write" else real_write)
    monkeypatch.setattr("tal_engine.studio.journal.os.fsync", sync if where == "fsync" else real_sync)
    with pytest.raises(OSError, match="No space"):
        project.edit("edit-0002", "anna", VIDEO, [Change("add", label("b", 2.0))])
    assert (project.folder / "journal.jsonl").read_bytes() == before
    assert (project.folder / "labels.csv").read_text() == files
    assert set(project.state.labels) == {"a"}
    monkeypatch.undo()
    project.edit("edit-0002", "anna", VIDEO, [Change("add", label("b", 2.0))])
    assert set(project.state.labels) == {"a", "b"}


def test_a_disk_that_cannot_take_back_says_so_until_it_is_opened_again(tmp_path, monkeypatch):
    project = opened(tmp_path / "p")

    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("tal_engine.studio.journal.os.fsync", broken)
    monkeypatch.setattr("tal_engine.studio.journal.os.ftruncate", broken)
    with pytest.raises(OSError, match="Input/output"):
        project.edit("edit-0001", "anna", VIDEO, [Change("add", label("a", 1.0))])
    monkeypatch.undo()
    with pytest.raises(StateError, match="start the studio again"):
        project.edit("edit-0001", "anna", VIDEO, [Change("add", label("a", 1.0))])
    project.close()
    again = opened(tmp_path / "p")
    again.check()
    again.close()


def test_an_edit_is_made_once_whoever_sends_it_again(project):
    first = project.edit("edit-0001", "anna", VIDEO, [Change("add", label("a", 1.0))])
    assert project.edit("edit-0001", "anna", VIDEO, [Change("add", label("a", 1.0))]) == first
    assert project.state.revision == first


def test_a_clock_that_jumps_changes_no_order(project, monkeypatch):
    years = iter((2050, 2050, 1985, 1985))

    class Jumping(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(next(years), 1, 1, tzinfo=tz)

    monkeypatch.setattr("tal_engine.studio.project.dt.datetime", Jumping)
    base = project.edit("edit-0001", "anna", VIDEO, [Change("add", label("a", 1.0))])
    last = project.edit("edit-0002", "ben", VIDEO, [Change("change", label("a", 2.0), base)])
    monkeypatch.undo()
    assert last == base + 1
    assert project.state.labels["a"].start == 2.0
    assert project.state.labels["a"].edited < "2000"
    project.check()


def test_a_change_of_an_old_label_is_kept_until_it_is_settled(project):
    base = project.edit("edit-0001", "anna", VIDEO, [Change("add", label("a", 1.0))])
    project.edit("edit-0002", "ben", VIDEO, [Change("change", label("a", 2.0), base)])
    both = [Change("change", label("a", 3.0), base), Change("add", label("b", 5.0))]
    with pytest.raises(ConflictError):
        project.edit("edit-0003", "anna", VIDEO, both)
    assert project.state.labels["a"].start == 2.0
    assert project.state.labels["b"].start == 5.0  # what does not conflict is made
    with pytest.raises(ConflictError):  # the same answer, and no second conflict
        project.edit("edit-0003", "anna", VIDEO, both)
    [conflict] = project.conflicts()
    assert (conflict["mine"]["start"], conflict["theirs"]["start"]) == (3.0, 2.0)
    project.settle(conflict["id"], "both", "ben")
    assert sorted(x.start for x in project.state.labels.values()) == [2.0, 3.0, 5.0]
    with pytest.raises(UsageError, match="none such"):
        project.settle(conflict["id"], "mine", "ben")


@pytest.mark.parametrize(("op", "keep", "starts"), [
    ("change", "mine", [3.0]), ("change", "theirs", []), ("change", "both", [3.0]),
])  # fmt: skip
def test_a_change_of_a_label_that_somebody_removed(project, op, keep, starts):
    base = project.edit("edit-0001", "anna", VIDEO, [Change("add", label("a", 1.0))])
    project.edit("edit-0002", "ben", VIDEO, [Change("remove", label("a", 1.0), base)])
    with pytest.raises(ConflictError):
        project.edit("edit-0003", "anna", VIDEO, [Change(op, label("a", 3.0), base)])
    project.settle(project.conflicts()[0]["id"], keep, "anna")
    assert [x.start for x in project.state.labels.values()] == starts


def test_what_is_said_twice_is_no_conflict_and_a_remove_can_be_undone(project):
    base = project.edit("edit-0001", "anna", VIDEO, [Change("add", label("a", 1.0))])
    project.edit("edit-0002", "ben", VIDEO, [Change("change", label("a", 2.0), base)])
    project.edit("edit-0003", "anna", VIDEO, [Change("change", label("a", 2.0), base)])
    now = project.state.labels["a"].revision
    project.edit("edit-0004", "anna", VIDEO, [Change("remove", label("a", 2.0), now)])
    project.edit("edit-0005", "ben", VIDEO, [Change("remove", label("a", 2.0), base)])
    project.edit("edit-0006", "anna", VIDEO, [Change("add", label("a", 2.0), now)])
    assert project.state.labels["a"].start == 2.0
    assert not project.conflicts()


@pytest.mark.parametrize(("wrong", "told"), [
    (label("a", 1.0, of="fly"), "must be a class of the project"), (label("a", -1.0), "0 <= start <= end"),
    (label("a", 3.0, 2.0), "0 <= start <= end"), (label("a", 1.0, 99.0), r"<= 10\.5 s"),
    (label("a", float("nan")), "finite"), (label("a", 1.0, 1.0, kind="segment"), "a moment is a point"),
    (label("a", 1.0, 2.0, "run", "nothing"), "must be empty"), (replace(label("a", 1.0), video="v2"), "another video"),
])  # fmt: skip
def test_labels_that_make_no_sense_change_nothing(project, wrong, told):
    before = project.state.revision
    with pytest.raises(UsageError, match=told):
        project.edit("edit-0001", "anna", VIDEO, [Change("add", wrong)], duration=10.0)
    assert project.state.revision == before


def test_files_of_labels_are_read_by_tal_fit(project):
    marks = [label("a", 1.5), label("b", 2.0, 3.25, "sit"), label("c", 7.0, 8.0, "", "nothing")]
    project.edit("edit-0001", "anna, of day 1", VIDEO, [Change("add", x) for x in marks])
    project.note("video", id="v2", name="empty.mp4", size=8, digest="")
    project.set("watched", id="v2", fields={"done": True})
    for name in ("labels.csv", "labels.json"):
        read = read_labels(project.folder / name)
        assert not read.problems
        mine = read.videos["day1/a"]
        assert [(p.seconds, p.label) for p in mine.points] == [(1.5, "run")]
        assert [(s.start, s.end, s.label) for s in mine.segments] == [(2.0, 3.25, "sit")]
        assert read.videos["empty"].background


def test_words_that_spreadsheets_calculate_stay_what_people_wrote(project):
    """A quote before them, as some programs write, would be another class to every reader of labels."""
    odd = ("=1+1", "+run", "-run", "@run", '=HYPERLINK("http://x")')
    set_classes(project, [{"name": n} for n in odd])
    marks = [Label(f"m{k}", VIDEO, "segment", k, k + 1.0, n, note="=2+2") for k, n in enumerate(odd)]
    project.edit("edit-0001", "anna", VIDEO, [Change("add", x) for x in marks])
    for name in ("labels.csv", "labels.json"):
        read = read_labels(project.folder / name)
        assert not read.problems
        assert [s.label for s in read.videos["day1/a"].segments] == list(odd)
    assert ",=2+2\n" in (project.folder / "labels.csv").read_text()


def test_classes_are_renamed_with_their_labels_and_stay_while_they_are_used(project):
    base = project.edit("edit-0001", "anna", VIDEO, [Change("add", label("a", 1.0))])
    set_classes(project, [{"name": "sprint", "former": "run", "key": "r"}, {"name": "sit"}, {"name": "jump"}])
    assert project.state.labels["a"].label == "sprint"
    assert [(c.name, c.key) for c in project.state.classes] == [("sprint", "r"), ("sit", "2"), ("jump", "1")]
    with pytest.raises(ConflictError):  # of a page that does not know the name yet
        project.edit("edit-0002", "ben", VIDEO, [Change("remove", label("a", 1.0), base)])
    with pytest.raises(UsageError, match="'sprint' has labels"):
        set_classes(project, [{"name": "sit"}])


def test_a_project_that_was_moved_or_removed_takes_no_edits(project):
    project.edit("edit-0001", "anna", VIDEO, [Change("add", label("a", 1.0))])
    away = project.folder.rename(project.folder.with_name("away"))
    with pytest.raises(OSError, match="moved or removed"):
        project.edit("edit-0002", "anna", VIDEO, [Change("add", label("b", 2.0))])
    assert not project.folder.exists()
    project.folder.mkdir()
    (project.folder / "journal.jsonl").touch()
    with pytest.raises(OSError, match="another one is there"):
        project.edit("edit-0002", "anna", VIDEO, [Change("add", label("b", 2.0))])
    assert set(project.state.labels) == {"a"}
    (project.folder / "journal.jsonl").unlink()
    project.folder.rmdir()
    away.rename(project.folder)
    project.edit("edit-0002", "anna", VIDEO, [Change("add", label("b", 2.0))])
    project.check()


def test_the_same_file_twice_is_held_out_twice_or_not_at_all(tmp_path):
    folder = videos(tmp_path / "v", *(f"{n}.mp4" for n in "abcd"))
    for n in "abcd":
        shutil.copy(folder / f"{n}.mp4", folder / f"copy-{n}.mp4")
    one = studio(folder)
    held = {one.library.videos[v].name for v in one.project.state.held_out}
    assert held
    assert held == {n for x in held for n in (x.removeprefix("copy-"), f"copy-{x.removeprefix('copy-')}")}
    one.close()


def test_what_one_corrects_of_anothers_labels_is_no_second_look(project):
    added = project.edit("edit-0001", "anna", VIDEO, [Change("add", label("a", 1.0)), Change("add", label("b", 4.0))])
    project.edit("edit-0002", "ben", VIDEO, [Change("change", label("a", 2.0), added)])
    project.edit("edit-0003", "ben", VIDEO, [Change("remove", label("b", 4.0), added)])
    assert {(x.id, x.start, x.author) for x in project.state.own.values()} == {("a", 1.0, "anna"), ("b", 4.0, "anna")}
    project.edit("edit-0004", "ben", VIDEO, [Change("add", label("c", 3.0))])
    project.edit("edit-0005", "ben", VIDEO, [Change("remove", label("c", 3.0), project.state.revision)])
    assert set(project.state.own) == {"a", "b"}
    project.check()


def test_a_folder_without_videos_is_refused_and_leaves_no_project(tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "notes.txt").write_text("no video")
    with pytest.raises(DataError, match="no videos in this folder"):
        studio(tmp_path / "v")
    assert [p.name for p in tmp_path.iterdir()] == ["v"]
    with pytest.raises(DataError, match="no such folder of videos"):
        studio(tmp_path / "nowhere")


def test_one_studio_has_a_project(project):
    with pytest.raises(UsageError, match=rf"open in another tal studio \(process {os.getpid()}\)"):
        Project(project.folder)
    (other := project.folder.parent / "other").mkdir()
    (other / "thesis.txt").touch()
    with pytest.raises(UsageError, match="no project of tal studio and not empty"):
        Project(other)


def test_a_project_goes_on_elsewhere_with_its_videos_under_other_names(tmp_path):
    here = videos(tmp_path / "here", "a.mp4", "b.mp4")
    one = studio(here, classes=("run",))
    ids = {v.name: v.id for v in one.library.videos.values()}
    one.project.edit("edit-0001", "anna", ids["b.mp4"], [Change("add", Label("x", ids["b.mp4"], "point", 1, 1, "run"))])
    one.close()
    there = tmp_path / "there"
    (there / "day1").mkdir(parents=True)
    shutil.copytree(one.project.folder, there / "p")
    shutil.copy(here / "a.mp4", there / "day1" / "a.mp4")
    shutil.copy(here / "b.mp4", there / "renamed.mp4")
    two = studio(there, project=there / "p")
    assert {v.name: v.id for v in two.library.videos.values()} == {
        "day1/a.mp4": ids["a.mp4"],
        "renamed.mp4": ids["b.mp4"],
    }
    assert "renamed.mp4,1,,run" in (there / "p" / "labels.csv").read_text()
    assert two.project.state.held_out == one.project.state.held_out
    two.close()


def test_labels_of_another_tool_are_taken_once_and_what_does_not_fit_is_named(tmp_path):
    folder = videos(tmp_path / "v", "a.mp4", "b.mp4", "c.mp4")
    rows = [
        Annotation("a.mp4", "groom", 0.5, 1.0, "mouse 1", None, "left paw"), Annotation("b.mp4", "rear", 0.25),
        Annotation("b.mp4", "rear", 50.0, 51.0), Annotation("z.mp4", "rear", 0.0, 1.0),
    ]  # fmt: skip
    write(AnnotationTable.of(rows), tmp_path / "labels.csv")
    one = studio(folder, labels=tmp_path / "labels.csv")
    found = sorted((x.kind, x.start, x.end, x.label, x.subject, x.note) for x in one.project.state.labels.values())
    assert found == [("point", 0.25, 0.25, "rear", "", ""), ("segment", 0.5, 1.0, "groom", "mouse 1", "left paw")]
    told = "; ".join(next(iter(one.project.state.imported.values()))["problems"])
    assert "'z.mp4' is not in" in told
    assert "at 50 s is after its end" in told
    one.close()
    rows = [Annotation("y.mp4", "rear", 0.0, 1.0)]
    write(AnnotationTable.of(rows), tmp_path / "other.csv")
    with pytest.raises(DataError, match="none of its labels is of a video in"):
        studio(folder, labels=tmp_path / "other.csv", project=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    again = studio(folder, labels=tmp_path / "labels.csv")
    assert len(again.project.state.labels) == 2
    again.close()


def test_the_command_opens_what_it_is_told(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="the command needs [train]")
    opened = []
    monkeypatch.setattr("tal_engine.studio.running.run", lambda options, **more: opened.append((options, more)))
    main._register("studio")
    words = ["studio", str(tmp_path / "v"), "--classes", "squat, lunge", "--no-browser", "--port", "0", "--quiet"]
    done = CliRunner().invoke(main.app, words)
    assert done.exit_code == 0, done.output
    [(options, more)] = opened
    assert (options.classes, options.port, options.folder) == (("squat", "lunge"), 0, tmp_path / "v.studio")
    assert more == {"browser": False, "say": None}
    done = CliRunner().invoke(main.app, [*words, "--encoders", "nope"])
    assert isinstance(done.exception, UsageError)
    assert ("nope" in str(done.exception), len(opened)) == (True, 1)
    with pytest.raises(DataError, match="no such folder of videos"):
        studio(tmp_path / "v")
    assert not options.folder.exists()
