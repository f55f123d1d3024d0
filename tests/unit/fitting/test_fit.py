"""`fit` as a whole on small features: the plan, the report, what is refused, kept and gone on with."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager

import numpy as np
import pytest
from typer.testing import CliRunner

from tal_engine import TALEngine, load_features
from tal_engine.cli import fit as cli
from tal_engine.cli.main import _register, app
from tal_engine.errors import FitError, UsageError
from tal_engine.lab import fit
from tal_engine.lab.fitting import rules, stages
from tal_engine.lab.fitting.advice import next_steps
from tal_engine.lab.fitting.workplace import Workplace
from tal_engine.plan.archive import read_plan
from tests.fitted import CLASSES, QUICK, QUICK_RULES, write_world

REAL_RULES = rules.RULES


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The cheapest head instead of the table's."""
    monkeypatch.setattr(rules, "RULES", QUICK_RULES)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def fitted(world):
    """One fit of segments, and the steps of training that it told."""
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "RULES", QUICK_RULES)
        report = fit(
            world / "f", world / "segments.csv", world / "one.plan", progress=lambda *a: told.append(a), **QUICK
        )
    return report, told


def test_the_plan_carries_what_its_scores_mean(world, fitted):
    report, _ = fitted
    manifest = read_plan(report.output).manifest
    assert manifest.vocabulary == list(CLASSES)
    assert manifest.calibration.ece == report.document["scores"]["error"]
    assert manifest.calibration.videos == 12
    assert set(manifest.thresholds.classes) == set(CLASSES)
    assert manifest.thresholds.chosen_for == "f1"
    assert "held-out mAP@0.1:0.7" in manifest.description
    assert manifest.domain.videos == 12
    engine = TALEngine.load(report.output, "cpu")
    found = engine.localize(load_features(world / "f" / "v00.npz"))
    assert {s.label for s in found} == {"jump"}
    assert all(manifest.thresholds.classes["jump"] <= s.score <= 1 for s in found)


def test_inspecting_the_plan_counts_videos_once(fitted):
    if not app.registered_commands:
        _register()
    done = CliRunner().invoke(app, ["plan", "inspect", str(fitted[0].output)], env={"COLUMNS": "1000"})
    assert done.exit_code == 0, done.output
    assert "12 held-out videos of tal fit" in done.stdout
    assert "known from 12 videos of tal fit, 480 snippets" in done.stdout
    assert done.stdout.count("12 videos") == 2, "of the domain and of the description"
    assert "chosen for the best F1: " in done.stdout


def test_the_report_says_what_was_measured(fitted):
    report, told = fitted
    d = report.document
    assert d["figures"]["mAP@0.1:0.7"]["mean"] > 0.5
    assert len(d["figures"]["mAP@0.1:0.7"]["values"]) == 2
    assert d["chance"]["p"] <= 0.05
    assert set(d["segmental_f1"]) == {"10", "25", "50"}
    assert [c["name"] for c in d["classes"]] == list(CLASSES)
    assert np.sum(d["confusion"]["counts"][:3]) == 36
    assert set(d["curve"]["class_ap"]) == set(CLASSES)
    assert {"fold0", "half1", "all"} <= set(d["seconds"])
    assert json.loads((report.output.with_suffix(".fit") / "report.json").read_text()) == d
    assert report.next_steps[-1] == f"tal localize new.mp4 --plan {report.output}"
    lines = str(report.table).splitlines()
    assert len(lines) == 5
    assert lines[-1].startswith("mAP@0.1:0.7")
    assert ("all videos", 40, 40) in [t[:3] for t in told]


def test_the_page_has_every_part(fitted, tmp_path):
    report, _ = fitted
    report.to_html(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    parts = ("What would help most", "Which class is taken for which", "Can the scores be believed?")
    for part in (*parts, "What more labels would bring", "Held-out videos beside", "segmental F1@{10,25,50}"):
        assert part in page
    assert page.count("<svg") == 4 + len(report.document["timelines"])
    assert "By luck alone" in page
    assert not any(x in page for x in ("<script", "src=", "@import", "<link"))  # it needs no network


def test_a_class_of_which_nothing_was_found_is_named(fitted):
    from tal_engine.outputs.render.fit_report import page

    assert fitted[0].document["not_usable"] == []
    d = json.loads(json.dumps(fitted[0].document)) | {"not_usable": ["jump"]}
    assert next_steps(d)[0].startswith("Not usable yet: 'jump' (12 labels). Nothing of it was found on held-out videos")
    assert "Not usable yet: <b>jump</b>" in page(d)


def test_texts_of_users_are_escaped(fitted, tmp_path):
    from tal_engine.outputs.render.fit_report import page

    d = json.loads(json.dumps(fitted[0].document).replace("jump", "<b>j&p"))
    assert "<b>j&p" not in page(d)
    assert "&lt;b&gt;j&amp;p" in page(d)


def test_labels_of_several_kinds_train_one_head_and_are_measured_apart(world, tmp_path):
    report = fit(world / "f", world / "mixed.csv", tmp_path / "x.plan", curve=False, min_videos=2, **QUICK)
    d = report.document
    assert d["supply"]["text"] == "6 with segments, 3 with points, 3 with labels alone"
    assert (d["trained_on"], d["kind"]) == ("point", "point"), "a class has segments in 2 videos only"
    assert {k: f["videos"] for k, f in d["by_kind"].items()} == {"video": 12, "point": 9, "segment": 6}
    assert d["by_kind"]["segment"]["mean"] > 0.5
    assert "mixed labels (6 with segments" in read_plan(report.output).manifest.description
    report.to_html(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "labels of several kinds (6 with segments, 3 with points, 3 with labels alone)" in page
    assert "videos with such labels" in page


def test_no_video_is_measured_by_a_head_that_saw_it(world, tmp_path, monkeypatch):
    """Whatever is trained on and detected in within one run of a fold has no video in common."""
    seen = []
    trained, found_by = stages.trained, stages.found_by
    monkeypatch.setattr(stages, "trained", lambda c, v, *a: seen.append({x.name for x in v}) or trained(c, v, *a))
    monkeypatch.setattr(stages, "found_by", lambda c, n, v: seen.append({x.name for x in v}) or found_by(c, n, v))
    fit(world / "f", world / "video.csv", tmp_path / "x.plan", curve=False, **QUICK)
    train, tested = seen[0:4:2], seen[1:4:2]
    assert all(not a & b for a, b in zip(train, tested, strict=True))
    assert set.union(*tested) == {f"v{i:02d}" for i in range(12)}
    assert len(seen) == 5  # and the head of all


def test_an_output_is_not_overwritten_and_a_done_run_is_not_done_again(world, fitted, monkeypatch):
    report, _ = fitted
    with pytest.raises(UsageError, match=r"one\.plan: is there already; --overwrite replaces it"):
        fit(world / "f", world / "segments.csv", report.output, **QUICK)
    monkeypatch.setattr(stages, "trained", lambda *a: pytest.fail("trained again"))
    again = fit(world / "f", world / "segments.csv", report.output, overwrite=True, false_alarms_per_hour=20.0, **QUICK)
    assert read_plan(report.output).manifest.thresholds.false_alarms_per_hour == 20
    assert sum(c["per_hour"] for c in again.document["classes"]) <= 20
    assert again.document["seconds"] == report.document["seconds"]


def test_the_folder_of_another_run_is_refused(world, fitted, tmp_path):
    work = fitted[0].output.with_suffix(".fit")
    with pytest.raises(UsageError, match="is of another run, whose seed is 0, not 1: choose another folder"):
        fit(world / "f", world / "segments.csv", tmp_path / "x.plan", work=work, seed=1, **QUICK)
    with pytest.raises(UsageError, match="is of another run, whose labels is"):
        fit(world / "f", world / "points.csv", tmp_path / "x.plan", work=work, **QUICK)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(UsageError, match="is no folder of tal fit and not empty"):
        fit(world / "f", world / "segments.csv", tmp_path / "x.plan", work=tmp_path / "mine", **QUICK)


def test_a_run_that_was_killed_goes_on_to_the_same_plan(world, tmp_path):
    """Stopped in the middle of a fold, by what a user or the machine may do."""
    steps = []

    def stop(task, done, total, note):
        if (task, done) == ("fold 2/2", 30):
            raise KeyboardInterrupt

    args, a, b = (world / "f", world / "points.csv"), tmp_path / "a" / "x.plan", tmp_path / "b" / "x.plan"
    whole = fit(*args, a, curve=False, **QUICK)
    with pytest.raises(KeyboardInterrupt):
        fit(*args, b, curve=False, progress=stop, **QUICK)
    assert not b.exists()
    place = tmp_path / "b" / "x.fit" / "stages"
    assert sorted(p.name for p in place.iterdir()) == ["fold0.json", "fold1.part", "folds.json"]
    before = (place / "fold0.json").stat().st_mtime_ns
    report = fit(*args, b, curve=False, progress=lambda *t: steps.append(t[:2]), **QUICK)
    assert (place / "fold0.json").stat().st_mtime_ns == before
    assert [n for task, n in steps if task == "fold 2/2"] == [30, 40]  # from the checkpoint of step 20 on
    assert report.document["figures"] == whole.document["figures"]
    assert read_plan(b).files == read_plan(a).files


def test_a_stage_that_is_half_written_is_done_again(tmp_path):
    place = Workplace(tmp_path / "w", {"seed": 0})
    assert place.run("one", lambda: [1, 2]) == [1, 2]
    place.spent("two", 3.0)
    assert place.done("two") is None
    again = Workplace(tmp_path / "w", {"seed": 0})
    assert again.run("one", lambda: pytest.fail("done again")) == [1, 2]
    assert again.run("two", lambda: "x") == "x"
    assert again.seconds()["two"] >= 3.0


def test_what_chance_does_as_well_is_not_shipped(tmp_path, caplog):
    """Features that say nothing of the labels, in which snippets and videos differ all the same."""
    noise = write_world(tmp_path, noise=1.0, same=False)
    rng = np.random.default_rng(5)
    rows = (noise / "video.csv").read_text().splitlines()
    names, labels = zip(*(r.split(",") for r in rows[1:]), strict=True)
    dealt = [f"{n},{c}" for n, c in zip(names, rng.permutation(labels), strict=True)]
    (noise / "video.csv").write_text("\n".join([rows[0], *dealt]) + "\n")
    with pytest.raises(FitError, match=r"which does as well with a probability of .* No plan is written: click one"):
        fit(noise / "f", noise / "video.csv", tmp_path / "x.plan", curve=False, **QUICK)
    assert not (tmp_path / "x.plan").exists()
    forced = fit(noise / "f", noise / "video.csv", tmp_path / "x.plan", curve=False, force=True, **QUICK)
    assert (tmp_path / "x.plan").exists()
    assert "shipped because of --force" in forced.document["warnings"][0]
    assert "shipped because of --force" in caplog.text


def test_a_refusal_names_the_rows_that_could_not_be_used(world, tmp_path):
    rows = (world / "video.csv").read_text().splitlines()
    few = tmp_path / "few.csv"
    few.write_text("\n".join([*rows[:5], "v05", "v06,jump,sit"]) + "\n")
    with pytest.raises(FitError) as e:
        fit(world / "f", few, tmp_path / "x.plan", **QUICK)
    said = str(e.value)
    assert "4 videos, at least 8 are needed" in said
    refused = tmp_path / "x.refused.json"
    assert f"2 rows of {few} could not be used (all of them: {refused}):\n  line 6: has 1 of 2 cells" in said
    document = json.loads(refused.read_text())
    assert [p["row"] for p in document["left_out"]] == ["line 6", "line 7"]
    assert document["refused"] in said
    assert not (tmp_path / "x.fit").exists(), "other labels are another run"
    fit(world / "f", world / "video.csv", tmp_path / "x.plan", curve=False, **QUICK)
    assert not refused.exists()


def test_a_plan_that_cannot_be_written_is_found_before_the_work(world, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UsageError, match=r"x\.plan: the plan cannot be written \(.*file is no folder\)"):
        fit(world / "f", world / "video.csv", tmp_path / "file" / "x.plan", **QUICK)


def test_ctrl_c_leaves_a_run_that_goes_on(world, tmp_path, monkeypatch):
    """The signal itself, in the middle of training: the step is saved, and the command says how to go on."""
    told, stop = [], [("fold 1/2", 10)]

    @contextmanager
    def bars():
        def tell(task, done, total, note):
            told.append((task, done))
            if (task, done) in stop:
                signal.raise_signal(signal.SIGINT)

        yield tell

    monkeypatch.setattr(cli, "bars", bars)
    if not app.registered_commands:
        _register()
    args = ["fit", world / "f", "--labels", world / "video.csv", "-o", tmp_path / "x.plan", "--encoders", "none"]
    args = [*map(str, args), "--folds", "2", "--no-curve"]
    done = CliRunner().invoke(app, args)
    assert done.exit_code != 0
    assert f"stopped; the same command goes on with what is in {tmp_path / 'x.fit'}" in " ".join(done.stderr.split())
    assert not (tmp_path / "x.plan").exists()
    assert json.loads((tmp_path / "x.fit" / "runs" / "fold0" / "checkpoint.json").read_text())["step"] == 10
    told.clear()
    stop.clear()
    again = CliRunner().invoke(app, args)
    assert again.exit_code == 0, again.output
    assert [d for t, d in told if t == "fold 1/2"] == [20, 30, 40], "from step 10 on"
    assert (tmp_path / "x.plan").exists()


def test_options_that_make_no_sense(world, tmp_path):
    for wrong, said in (({"folds": 1}, "folds is 1, must be at least 2"), ({"steps": 0}, "steps is 0"),
                        ({"false_alarms_per_hour": -1.0}, "false_alarms_per_hour is -1.0"),
                        ({"min_videos": 1}, "min_videos is 1")):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            fit(world / "f", world / "video.csv", tmp_path / "x.plan", **{**QUICK, **wrong})


def test_from_the_command_line(world, tmp_path):
    if not app.registered_commands:
        _register()
    args = ["fit", world / "f", "--labels", world / "points.csv", "-o", tmp_path / "x.plan", "--encoders", "none"]
    done = CliRunner().invoke(app, [*map(str, args), "--folds", "2", "--no-curve", "--false-alarms-per-hour", "30"])
    assert done.exit_code == 0, done.output
    assert "point mAP" in done.stdout
    assert "fold 2/2 40/40, loss" in done.stderr  # plain lines, as this is no terminal
    assert f"tal localize new.mp4 --plan {tmp_path / 'x.plan'}" in done.stderr
    assert (tmp_path / "x.fit" / "report.html").exists()
    again = CliRunner().invoke(app, [*map(str, args)])
    assert isinstance(again.exception, UsageError)


@pytest.mark.parametrize("kind", ["video", "points", "segments", "mixed"])
def test_the_heads_of_the_real_table_go_from_labels_to_a_plan(world, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(rules, "RULES", REAL_RULES)
    report = fit(world / "f", world / f"{kind}.csv", tmp_path / "x.plan", steps=6, curve=False, force=True, **QUICK)
    engine = TALEngine.load(report.output, "cpu")
    found = engine.localize(load_features(world / "f" / "v00.npz"), min_score=0.0)
    assert found.info.calibrated
    assert {s.label for s in found} <= set(CLASSES)
