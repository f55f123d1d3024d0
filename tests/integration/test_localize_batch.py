"""Many videos in one command: results as they come, what survives Ctrl-C, and what a second run leaves out."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tal_engine.cli.main import _register, app
from tal_engine.engine import TALEngine
from tal_engine.errors import UsageError
from tests.makers import moving_square, tiny_plan, write_mp4
from tests.waiting import until


@pytest.fixture(scope="module", autouse=True)
def registered():
    if not app.registered_commands:
        _register()


@pytest.fixture
def folder(tmp_path):
    """Three good videos and a bad one between them."""
    root = tmp_path / "clips"
    root.mkdir()
    for i, name in enumerate("acd"):
        write_mp4(root / f"{name}.mp4", moving_square(40 + 8 * i, 32, 48))
    (root / "b.mp4").write_text("no video")
    return root


@pytest.fixture
def localized(monkeypatch):
    """Names of the videos that the engine was asked for."""
    asked, real = [], TALEngine.localize

    def localize(self, source, **more):
        asked.append(Path(source).name)
        return real(self, source, **more)

    monkeypatch.setattr(TALEngine, "localize", localize)
    return asked


def tal(*args):
    return CliRunner().invoke(app, ["localize", *map(str, args)])


def names_in(path):
    if path.suffix == ".json":
        return sorted(json.loads(path.read_text())["results"])
    if path.suffix == ".csv":
        return sorted({Path(row["video"]).stem for row in csv.DictReader(io.StringIO(path.read_text()))})
    return sorted({Path(json.loads(line)["source"]).stem for line in path.read_text().splitlines()})


@pytest.mark.parametrize("form", ["activitynet", "csv", "jsonl"])
def test_several_videos_on_stdout_are_one_document(folder, plan_path, form):
    done = tal(folder, "--plan", plan_path, "--format", form)
    assert done.exit_code == 5, "of the bad one"
    if form == "activitynet":
        assert sorted(json.loads(done.stdout)["results"]) == ["a", "c", "d"]
    elif form == "csv":
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        assert {Path(row["video"]).stem for row in rows} == {"a", "c", "d"}
        assert all(float(row["score"]) is not None for row in rows)
    else:
        assert {Path(json.loads(line)["source"]).stem for line in done.stdout.splitlines()} == {"a", "c", "d"}


def test_subtitles_of_several_videos_are_refused(folder, plan_path):
    assert isinstance(tal(folder, "--plan", plan_path, "--format", "srt").exception, UsageError)


@pytest.mark.parametrize("name", ["r.json", "r.jsonl", "r.csv"])
def test_a_later_run_leaves_out_what_is_there_and_unchanged(folder, plan_path, tmp_path, localized, name):
    out = tmp_path / name
    done = tal(folder, "--plan", plan_path, "-o", out, "--resume")
    assert "0 of 4 videos are there already and unchanged: there is no" in done.stderr
    assert names_in(out) == ["a", "c", "d"]
    whole = out.read_text()
    localized.clear()
    done = tal(folder, "--plan", plan_path, "-o", out, "--resume")
    assert (localized, out.read_text()) == (["b.mp4"], whole), "the bad one is tried again"
    assert "3 of 4 videos are there already" in done.stderr
    localized.clear()
    os.utime(folder / "a.mp4", ns=(1, 1))  # as of a copy: the content is the same
    write_mp4(folder / "b.mp4", moving_square(40, 32, 48))
    write_mp4(folder / "c.mp4", moving_square(80, 32, 48))
    assert tal(folder, "--plan", plan_path, "-o", out, "--resume").exit_code == 0
    assert localized == ["b.mp4", "c.mp4"]
    assert names_in(out) == ["a", "b", "c", "d"]
    (folder / "d.mp4").unlink()
    localized.clear()
    assert tal(folder, "--plan", plan_path, "-o", out, "--resume").exit_code == 0
    assert (localized, names_in(out)) == ([], ["a", "b", "c"])


def test_a_resumed_file_is_that_of_one_run(folder, plan_path, tmp_path):
    (folder / "b.mp4").unlink()
    first, whole = tmp_path / "first.json", tmp_path / "whole.json"
    assert tal(folder / "c.mp4", "--plan", plan_path, "-o", first, "--resume").exit_code == 0
    assert tal(folder, "--plan", plan_path, "-o", first, "--resume").exit_code == 0
    assert tal(folder, "--plan", plan_path, "-o", whole).exit_code == 0
    assert first.read_text() == whole.read_text()


@pytest.mark.parametrize("option", ["-o", "--plot"])
def test_what_is_there_is_kept_unless_the_user_says_otherwise(folder, plan_path, tmp_path, localized, option):
    there = tmp_path / ("r.jsonl" if option == "-o" else "r.png")
    there.write_text("of another day\n")
    common = [folder / "a.mp4", "--plan", plan_path, option, there]
    refused = tal(*common)
    assert isinstance(refused.exception, UsageError)
    assert "is there already; --overwrite replaces it" in str(refused.exception)
    assert ("--resume goes on with it" in str(refused.exception)) == (option == "-o")
    assert (localized, there.read_text()) == ([], "of another day\n")
    assert isinstance(tal(*common, "-o", there.with_suffix(".json"), "--overwrite", "--resume").exception, UsageError)
    assert tal(*common, "--overwrite").exit_code == 0
    assert b"another day" not in there.read_bytes()


def test_other_options_and_another_plan_are_other_results(folder, plan_path, tmp_path, localized):
    (folder / "b.mp4").unlink()
    common = [folder, "-o", tmp_path / "r.json", "--resume"]
    assert tal(*common, "--plan", plan_path).exit_code == 0
    for more in (["--conf", "-5", "--plan", plan_path], ["--topk", "2", "--plan", plan_path]):
        localized.clear()
        assert tal(*common, *more).exit_code == 0
        assert localized == ["a.mp4", "c.mp4", "d.mp4"]
    localized.clear()
    assert tal(*common, "--topk", "2", "--plan", plan_path).exit_code == 0
    assert localized == []
    other = tmp_path / "other.plan"
    tiny_plan(other, name="other")
    assert tal(*common, "--topk", "2", "--plan", other).exit_code == 0
    assert localized == ["a.mp4", "c.mp4", "d.mp4"]


def test_pictures_that_are_missing_are_drawn(folder, plan_path, tmp_path, localized):
    (folder / "b.mp4").unlink()
    common = [folder, "--plan", plan_path, "-o", tmp_path / "r.json", "--resume"]
    assert tal(*common).exit_code == 0
    localized.clear()
    assert tal(*common, "--plot", tmp_path / "t.png").exit_code == 0
    assert localized == ["a.mp4", "c.mp4", "d.mp4"]
    localized.clear()
    (tmp_path / "t-c.png").unlink()
    assert tal(*common, "--plot", tmp_path / "t.png").exit_code == 0
    assert localized == ["c.mp4"]


def test_a_record_stays_only_where_there_is_something_to_go_on_with(folder, plan_path, tmp_path):
    record = tmp_path / "r.json.resume"
    tal(folder, "--plan", plan_path, "-o", tmp_path / "r.json")
    assert record.exists(), "a video failed"
    (folder / "b.mp4").unlink()
    assert tal(folder, "--plan", plan_path, "-o", tmp_path / "r.json", "--overwrite").exit_code == 0
    assert not record.exists()
    assert tal(folder / "a.mp4", "--plan", plan_path, "-o", tmp_path / "r.json", "--overwrite").exit_code == 0
    assert not record.exists()
    assert tal(folder, "--plan", plan_path, "-o", tmp_path / "r.json", "--resume").exit_code == 0
    assert record.exists()


def test_a_record_that_was_torn_or_is_nonsense_is_only_less(folder, plan_path, tmp_path, localized):
    (folder / "b.mp4").unlink()
    out, record = tmp_path / "r.jsonl", tmp_path / "r.jsonl.resume"
    assert tal(folder, "--plan", plan_path, "-o", out, "--resume").exit_code == 0
    lines = record.read_text().splitlines()
    record.write_text("\n".join([lines[0], '{"schema": "tal.batch/9"}', "[1", lines[1][:80]]))
    out.write_text(out.read_text()[:-7])
    localized.clear()
    assert tal(folder, "--plan", plan_path, "-o", out, "--resume").exit_code == 0
    assert localized == ["c.mp4", "d.mp4"]
    assert names_in(out) == ["a", "c", "d"]


def test_nothing_to_go_on_with(folder, plan_path):
    done = tal(folder, "--plan", plan_path, "--resume")
    assert isinstance(done.exception, UsageError)
    assert "--resume goes on with a file of results: give --output" in str(done.exception)


def test_where_all_fail_an_earlier_file_stays(folder, plan_path, tmp_path):
    out = tmp_path / "r.json"
    out.write_text("mine")
    assert tal(folder / "b.mp4", "--plan", plan_path, "-o", out, "--overwrite").exit_code == 5
    assert out.read_text() == "mine"


#: Runs tal, whose engine waits at d.mp4 for ever once it has made a file that says so.
WAITING = """
import pathlib, sys, time
from tal_engine.engine import TALEngine
real, marker = TALEngine.localize, pathlib.Path(sys.argv.pop())
def localize(self, source, **more):
    if pathlib.Path(source).name == "d.mp4":
        marker.touch()
        while True:  # signal.pause() would sleep through a signal that comes just before it
            time.sleep(0.05)
    return real(self, source, **more)
TALEngine.localize = localize
from tal_engine.cli.main import run
run()
"""


@pytest.mark.parametrize(
    ("name", "number", "status"),
    [
        ("r.json", signal.SIGINT, 130),
        ("r.jsonl", signal.SIGINT, 130),
        ("r.csv", signal.SIGTERM, 143),
        ("r.jsonl", signal.SIGKILL, -9),
    ],
)
def test_a_batch_that_ended_early_goes_on(folder, plan_path, tmp_path, localized, name, number, status):
    out, marker = tmp_path / name, tmp_path / "waits"
    command = [sys.executable, "-c", WAITING, "localize", folder, "--plan", plan_path, "-o", out, marker]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: marker.exists() or process.poll() is not None)
        if name == "r.jsonl":
            assert names_in(out) == ["a", "c"], "each result is there when its video ends"
        else:
            assert not out.exists(), "whole or not there"
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == status, said
    if number != signal.SIGKILL:
        assert names_in(out) == ["a", "c"]
        assert f"2 of 4 written to {out}; go on with --resume" in said.replace("\n", "")
    shutil.copy(folder / "a.mp4", folder / "b.mp4")
    assert tal(folder, "--plan", plan_path, "-o", out, "--resume").exit_code == 0
    assert localized == ["b.mp4", "d.mp4"]
    assert names_in(out) == ["a", "b", "c", "d"]
