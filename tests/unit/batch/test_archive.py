"""Archives: what is listed, what is written, and that every video is in the tables once, whatever is killed when."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tal_engine import TALEngine
from tal_engine.batch.archive import pool as pools
from tal_engine.batch.archive import run as runs
from tal_engine.batch.archive.listing import Item, listed
from tal_engine.batch.archive.pool import Pool
from tal_engine.batch.archive.run import ArchiveOptions, localize_archive
from tal_engine.batch.archive.store import Store
from tal_engine.batch.archive.tables import SEGMENTS, VIDEOS, Outcome, segment_rows, video_row
from tal_engine.errors import DataError, MissingExtraError, SinkError, StateError, TALError, UsageError, VideoError
from tests.makers import moving_square, tiny_plan, write_mp4

pq = pytest.importorskip("pyarrow.parquet", reason="pip install '.[archive]'")
fsspec = pytest.importorskip("fsspec", reason="pip install '.[archive]'")

MADE = {"plan": "sha256:0", "top_k": None}


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    path = tmp_path_factory.mktemp("plan") / "tiny.plan"
    tiny_plan(path)
    return str(path)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_mp4(path, np.stack(list(moving_square(40, 48, 64))))
    return path


@pytest.fixture
def videos(tmp_path, clip):
    folder = tmp_path / "videos"
    (folder / "day1").mkdir(parents=True)
    for name in ("b.mp4", "a.mp4", "day1/a.mp4"):
        shutil.copy(clip, folder / name)
    return folder


def rows(output, kind):
    """All rows of a table, as any reader of the folder sees them."""
    return [row for p in sorted((output / kind).rglob("*.parquet")) for row in pq.read_table(p).to_pylist()]


def found(item, *segments):
    info = {"duration": 4.0, "fps": 25.0, "frames": 100, "frames_lost": 0, "domain": None, "out_of_domain": False,
            "warnings": [], "seconds": {"total": 1.0}}  # fmt: skip
    return Outcome(item, 1, {"segments": segments, "info": info})


def part(*names, label="a"):
    """Rows of a part: each video has one segment."""
    outcomes = [found(Item(n, n, 1, "1"), (0.0, 1.0, label, 0.5, None)) for n in names]
    return [video_row(o) for o in outcomes], [row for o in outcomes for row in segment_rows(o, ["a", "b"])]


# -- listing ----------------------------------------------------------------------------------------


def test_folders_patterns_lists_and_tables_name_the_same_videos(videos, tmp_path):
    (videos / ".hidden.mp4").write_bytes(b"")
    (videos / "notes.txt").write_text("# what was filmed\n\na.mp4\nday1/a.mp4\nb.mp4\na.mp4\n")
    (videos / "t.csv").write_text("day,video\n1,a.mp4\n2,day1/a.mp4\n3,\n4,b.mp4\n")
    (videos / "t.tsv").write_text("clip\tday\nb.mp4\t1\na.mp4\t1\nday1/a.mp4\t2\n")
    pa = pytest.importorskip("pyarrow")
    pq.write_table(pa.table({"path": ["a.mp4", None, "b.mp4", "day1/a.mp4"]}), videos / "t.parquet")
    expected = sorted(str(p) for p in videos.rglob("[ab].mp4"))
    for sources, column in (
        ([videos], None), ([f"{videos}/**/*.mp4"], None), ([videos / "notes.txt"], None), ([videos / "t.csv"], None),
        ([videos / "t.tsv"], "clip"), ([videos / "t.parquet"], None),
        ([videos / "a.mp4", videos, videos / "b.mp4"], None),
    ):  # fmt: skip
        items = listed([str(s) for s in sources], column)
        assert sorted(i.key for i in items) == expected
        assert all(i.size == Path(i.address).stat().st_size and i.stamp for i in items)


def test_stores_list_what_they_know_of_each_file(videos):
    fs = fsspec.filesystem("memory")
    for name in ("x/2.mp4", "x/deep/1.mkv", "x/note.txt"):
        fs.pipe_file(f"/archive-listing/{name}", b"12345")
    items = listed(["memory://archive-listing/x/", "memory://archive-listing/x/*.mp4"])
    assert [i.key for i in items] == ["memory:///archive-listing/x/2.mp4", "memory:///archive-listing/x/deep/1.mkv"]
    assert {i.size for i in items} == {5}
    assert all(i.stamp for i in items)
    (secret,) = listed(["https://me:hidden@host/a.mp4?token=hidden&x=[1]"])
    assert "hidden" in secret.address
    assert "hidden" not in secret.key


def test_listing_refuses_by_name(videos, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "t.parquet").write_text("no")
    (tmp_path / "none").mkdir()
    for source, error, words in (
        (tmp_path / "t.csv", UsageError, "no column video or path .* it has a, b; name one with --column"),
        (tmp_path / "empty.csv", DataError, "the table is empty"),
        (tmp_path / "t.parquet", DataError, "not a Parquet file"),
        (tmp_path / "none", VideoError, "none: no videos"),
        (tmp_path / "*.mp4", VideoError, "no videos"),
        ("memory://archive-nothing/*.mp4", VideoError, "no videos"),
    ):
        with pytest.raises(error, match=words):
            listed([str(source)])
    with pytest.raises(UsageError, match="no input"):
        listed([])


# -- the store --------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_parts_are_whole_and_what_a_killed_run_left_is_removed(where, tmp_path):
    output = str(tmp_path / "out") if where == "disk" else f"memory://archive-{tmp_path.name}"
    store = Store(output, MADE, "abc")
    store.add(*part("v1", "v2"))
    store.add(*part("v3"))
    store._write("segments/plan=abc/0-orphan.parquet", b"half")
    known = store.recover()
    assert sorted(known) == ["v1", "v2", "v3"]
    assert len(store._parts(VIDEOS)) == len(store._parts(SEGMENTS)) == 2
    store.forget({known["v2"]["part"]: {"v2"}})
    assert sorted(store.recover()) == ["v1", "v3"]
    assert len(store._parts(VIDEOS)) == len(store._parts(SEGMENTS)) == 2
    store.close()


@pytest.mark.parametrize("killed_after", range(4))
def test_a_part_that_takes_the_place_of_another_counts_once(killed_after, tmp_path, monkeypatch):
    """Forgetting is writing two files and removing two: killed anywhere in between, no video is there twice or gone."""
    store = Store(str(tmp_path / "out"), MADE, "abc")
    store.add(*part("v1", "v2"))
    steps = []
    gone = {store.recover()["v2"]["part"]: {"v2"}}

    def stopping(do):
        def step(*arguments):
            if len(steps) == killed_after:
                raise KeyboardInterrupt
            steps.append(do.__name__)
            return do(*arguments)

        return step

    with monkeypatch.context() as m:
        m.setattr(store, "_write", stopping(store._write))
        m.setattr(store, "_remove", stopping(store._remove))
        with pytest.raises(KeyboardInterrupt):
            store.forget(gone)
    known = store.recover()
    store.forget({known["v2"]["part"]: {"v2"}} if "v2" in known else {})
    assert sorted(r["video"] for r in rows(tmp_path / "out", VIDEOS)) == ["v1"]
    assert sorted(r["video"] for r in rows(tmp_path / "out", SEGMENTS)) == ["v1"]
    store.close()


def test_two_runs_cannot_share_a_folder(tmp_path):
    first = Store(str(tmp_path), MADE, "abc")
    with pytest.raises(StateError, match="another run is writing"):
        Store(str(tmp_path), MADE, "abc")
    first.close()
    Store(str(tmp_path), MADE, "abc").close()


def test_a_damaged_part_is_named(tmp_path):
    store = Store(str(tmp_path), MADE, "abc")
    store._write("videos/plan=abc/1.parquet", b"no")
    with pytest.raises(DataError, match=r"videos/plan=abc/1.parquet: not a part of an archive"):
        store.recover()
    store.close()


def test_a_store_that_fails_for_a_moment_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr("tal_engine.batch.archive.store._WAIT_S", 0.0)
    store = Store(f"memory://archive-{tmp_path.name}", MADE, "abc")
    calls = []
    real = store._fs.pipe_file

    def failing(path, content):
        calls.append(path)
        if len(calls) % 4:
            raise OSError(500, "busy")
        real(path, content)

    monkeypatch.setattr(store._fs, "pipe_file", failing)
    store.add(*part("v1"))
    assert len(calls) == 8
    monkeypatch.setattr(store._fs, "pipe_file", lambda *a: (_ for _ in ()).throw(OSError(500, "down")))
    with pytest.raises(SinkError, match="cannot be used"):
        store.add(*part("v2"))
    assert sorted(store.recover()) == ["v1"]
    store.close()


# -- processes --------------------------------------------------------------------------------------


class Answers:
    """Takes the place of a process: dies over some videos, fails at others."""

    started = 0

    def __init__(self, wanted):
        self.wanted = wanted

    def ask(self, asked):
        name = asked["address"]
        self.wanted.append(name)
        if name.startswith("deadly"):
            return None
        if name.startswith("bad") or (name.startswith("once") and self.wanted.count(name) == 1):
            return {"error": "no frames", "kind": "VideoError: no_frames", "status": 5}
        return {"segments": [], "info": {}}

    def close(self):
        self.wanted.append("closed")


def test_what_fails_is_tried_again_after_the_others(monkeypatch):
    monkeypatch.setattr(pools, "Process", Answers)
    asked: list[str] = []
    items = [Item(n, n) for n in ("deadly", "a", "once", "bad", "b")]
    outcomes = {o.item.key: o for o in Pool(asked, 1, tries=3).run(items)}
    assert {k: (o.ok, o.tries) for k, o in outcomes.items()} == {
        "a": (True, 1), "b": (True, 1), "once": (True, 2), "bad": (False, 3), "deadly": (False, 3),
    }  # fmt: skip
    assert outcomes["deadly"].error == "deadly: a process died over it"
    assert asked == ["deadly", "a", "once", "bad", "b", "deadly", "once", "bad", "deadly", "bad", "closed"]


def test_nothing_to_do_starts_nothing(monkeypatch):
    monkeypatch.setattr(pools, "Process", Answers)
    assert list(Pool([], 4, tries=1).run([])) == []


# -- whole runs -------------------------------------------------------------------------------------


def test_a_run_goes_on_and_does_again_what_changed(videos, plan, tmp_path, clip):
    output = tmp_path / "out"
    (videos / "bad.mp4").write_bytes(b"no video at all")
    options = ArchiveOptions(workers=2, tries=1, every=2, also=("json", "vtt"))
    said = []
    first = localize_archive(listed([str(videos)]), plan, str(output), options, lambda *a: said.append(a[:2]))
    assert (first.total, first.done, first.failed, first.exit_status) == (4, 3, 1, 5)
    assert said == [(1, 4), (2, 4), (3, 4), (4, 4)]
    table = {r["video"]: r for r in rows(output, VIDEOS)}
    assert len(rows(output, VIDEOS)) == len(table) == 4
    bad = table[str(videos / "bad.mp4")]
    assert (bad["status"], bad["error_kind"], bad["segments"]) == ("failed", "VideoError: not_a_video", 0)
    with TALEngine.load(plan) as engine:
        expected = sorted((s.start, s.end, s.label, s.score) for s in engine.localize(clip))
    same = [r for r in rows(output, SEGMENTS) if r["video"] == str(videos / "b.mp4")]
    assert sorted((r["start"], r["end"], r["label"], r["score"]) for r in same) == expected
    assert len(list((output / "vtt").rglob("*.vtt"))) == len(list((output / "json").rglob("*.json"))) == 3

    again = localize_archive(listed([str(videos)]), plan, str(output), options)
    assert (again.done, again.there, again.failed_before, again.exit_status) == (0, 3, 1, 5)

    shutil.copy(clip, videos / "bad.mp4")  # mended: another size
    os.utime(videos / "a.mp4", ns=(1, 1))
    changed = localize_archive(listed([str(videos)]), plan, str(output), options)
    assert (changed.done, changed.there, changed.failed_before, changed.exit_status) == (2, 2, 0, 0)
    assert sorted(r["video"] for r in rows(output, VIDEOS)) == sorted(str(p) for p in videos.rglob("*.mp4"))
    assert len(rows(output, SEGMENTS)) == 4 * len(expected)

    other = localize_archive(listed([str(videos)]), plan, str(output), replace(options, top_k=1))
    assert other.done == 4
    assert len(list((output / VIDEOS).iterdir())) == 2
    (named,) = (p for p in (output / "plans").iterdir() if json.loads(p.read_text())["top_k"] == 1)
    assert (output / VIDEOS / f"plan={named.stem}").is_dir()


def test_failed_videos_are_tried_again_when_asked(videos, plan, tmp_path):
    bad = videos / "bad.mp4"
    bad.write_bytes(b"no")
    output, items = str(tmp_path / "out"), listed([str(bad)])
    options = ArchiveOptions(workers=1, tries=1)
    assert localize_archive(items, plan, output, options).failed == 1
    assert localize_archive(items, plan, output, options).failed == 0
    assert localize_archive(items, plan, output, replace(options, retry_failed=True)).failed == 1
    assert len(rows(tmp_path / "out", VIDEOS)) == 1


def test_a_name_that_is_no_text_costs_no_video(videos, plan, tmp_path, clip):
    shutil.copy(clip, os.fsencode(videos) + b"/bad\xff.mp4")
    output = tmp_path / "out"
    summary = localize_archive(listed([str(videos)]), plan, str(output), ArchiveOptions(workers=1, also=("json",)))
    assert (summary.done, summary.failed) == (4, 0)
    assert str(videos) + r"/bad\udcff.mp4" in [r["video"] for r in rows(output, VIDEOS)]
    assert len(list((output / "json").rglob("*.json"))) == 4


def test_files_asked_for_later_are_written_from_the_tables(videos, plan, tmp_path):
    items, output = listed([str(videos)]), tmp_path / "out"
    localize_archive(items[:2], plan, str(output), ArchiveOptions(workers=1, also=("json", "vtt")))
    first = {p.name: p.read_text() for form in ("json", "vtt") for p in (output / form).rglob("*.*")}
    shutil.rmtree(output / "json")
    next((output / "vtt").rglob(runs.file_of(items[0].key, "vtt"))).unlink()
    again = localize_archive(items, plan, str(output), ArchiveOptions(workers=1, also=("json", "vtt")))
    assert (again.there, again.done) == (2, 1)
    assert (
        len(list((output / "json").rglob("*.json"))) == len(list((output / "vtt").rglob("*.vtt"))) == 3
    )  # two are called a.mp4
    for name, text in first.items():
        now = next((output / name.rpartition(".")[2]).rglob(name)).read_text()
        if name.endswith("vtt"):
            assert now == text
        else:
            assert json.loads(now)["results"] == json.loads(text)["results"]


def test_stores_that_cannot_be_opened_are_told(tmp_path, monkeypatch):
    def missing(address):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(MissingExtraError, match=r"s3://\*\*\*@b/x.mp4: .* is not installed: pip install s3fs"):
        listed(["s3://me:secret@b/x.mp4"])
    with pytest.raises(MissingExtraError, match="pip install gcsfs"):
        Store("gs://b/out", MADE, "abc")
    monkeypatch.undo()
    with pytest.raises(UsageError, match=r"foo://x/y.mp4: foo:// is not known"):
        listed(["foo://x/y.mp4"])
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file: is a file, must be a folder"):
        Store(str(tmp_path / "file"), MADE, "abc")


def test_ctrl_c_keeps_what_was_localized(videos, plan, tmp_path, monkeypatch):
    monkeypatch.setattr(pools, "Process", Answers)
    real = runs.Pool

    class Interrupted(real):
        def __init__(self, wanted, workers, tries):
            super().__init__([], workers, tries)

        def run(self, items):
            for k, item in enumerate(items):
                if k == 2:
                    raise KeyboardInterrupt
                yield found(item, (0.0, 1.0, next(iter(names)), 0.5, None))

    with TALEngine.load(plan) as engine:
        names = engine.plan.vocabulary
    with monkeypatch.context() as m:
        m.setattr(runs, "Pool", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            localize_archive(listed([str(videos)]), plan, str(tmp_path / "out"))
    assert len(rows(tmp_path / "out", VIDEOS)) == len(rows(tmp_path / "out", SEGMENTS)) == 2


def test_a_process_that_is_killed_costs_one_try(videos, plan, tmp_path, monkeypatch):
    """The real thing: a worker that gets SIGKILL in the middle; its video is done by the next one."""
    started, killed = [], []

    class Recorded(subprocess.Popen):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            started.append(self)

    monkeypatch.setattr(pools.subprocess, "Popen", Recorded)

    def kill(done, total, outcome):
        if not killed:
            killed.append(started[0].kill())

    summary = localize_archive(listed([str(videos)]), plan, str(tmp_path / "out"), ArchiveOptions(workers=1), kill)
    assert (summary.done, summary.failed) == (3, 0)
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)
    assert sorted(r["video"] for r in rows(tmp_path / "out", VIDEOS)) == sorted(str(p) for p in videos.rglob("*.mp4"))


def test_processes_that_can_load_nothing_end_the_run(videos, plan, tmp_path):
    """This process reads the plan and opens no graph, so they find out what a device cannot do."""
    with pytest.raises(TALError, match="abacus"):
        localize_archive(listed([str(videos)]), plan, str(tmp_path / "o"), ArchiveOptions(device="abacus"))
    assert rows(tmp_path / "o", VIDEOS) == []


@pytest.mark.parametrize("where", ["disk", "memory"])
@pytest.mark.parametrize("what", ["everything", "the tables"])
def test_tables_that_are_removed_under_a_run_are_missed(where, what, videos, plan, tmp_path):
    """What was written is gone: a run that ended well would say that it is there."""
    output = str(tmp_path / "out") if where == "disk" else f"memory://archive-gone-{tmp_path.name}"
    fs, root = fsspec.core.url_to_fs(output)

    def remove(done, total, outcome):
        if done == 2:
            fs.rm(root if what == "everything" else f"{root}/{VIDEOS}", recursive=True)

    items = listed([str(videos)])
    with pytest.raises(SinkError, match=r"removed while it was running: run it again"):
        localize_archive(items, plan, output, ArchiveOptions(workers=1, every=1), remove)
    assert localize_archive(items, plan, output, ArchiveOptions(workers=1)).total == 3
    store = Store(
        output,
        MADE,
        next(iter(p.name.removeprefix("plan=") for p in map(Path, fs.ls(f"{root}/{VIDEOS}", detail=False)))),
    )
    assert sorted(store.recover()) == sorted(i.key for i in items)
    store.close()


def test_a_store_that_errs_is_not_taken_for_an_empty_one(tmp_path, monkeypatch):
    """Else all videos would be there twice."""
    monkeypatch.setattr("tal_engine.batch.archive.store._WAIT_S", 0.0)
    store = Store(f"memory://archive-errs-{tmp_path.name}", MADE, "abc")
    store.add(*part("v1"))

    def failing(*arguments, **named):
        raise OSError(500, "busy")

    for name in ("ls", "cat_file"):
        with monkeypatch.context() as m:
            m.setattr(store._fs, name, failing)
            with pytest.raises(SinkError, match="cannot be used"):
                store.recover()
    with monkeypatch.context() as m:
        m.setattr(store._fs, "info", failing)
        with pytest.raises(SinkError, match="cannot be used"):
            store.add(*part("v2"))
    assert list(store.recover()) == ["v1"]
    store.close()


def test_ray_is_named_where_it_is_missing(monkeypatch, videos, tmp_path):
    from tal_engine.cli.batch import batch

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"ray is not installed: pip install 'tal-engine\[ray\]'"):
        batch([str(videos)], str(tmp_path / "o"), ray="local")
    for words, options in (("--gpus 0.5 is of workers on Ray", {"gpus": 0.5}), ("--split 60 is of", {"split": 60.0})):
        with pytest.raises(UsageError, match=words):
            batch([str(videos)], str(tmp_path / "o"), **options)
    assert not (tmp_path / "o").exists()
