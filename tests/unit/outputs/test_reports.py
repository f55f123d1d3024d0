"""How a number was picked is printed beside it."""

from __future__ import annotations

import io
import json
import math

import pytest
from rich.console import Console

from tal_engine.lab.training import training_report
from tal_engine.metrics import protocol

RULES = protocol("wtal-seconds")


def entry(step, test, validation=None):
    def score(value):
        averages = {"0.1:0.7": value}
        return {"average": value, "averages": averages, "map": {"0.5": value / 2}, "miou": {"foreground": None}}

    return {"step": step, "test": score(test)} | ({} if validation is None else {"validation": score(validation)})


HISTORY = [entry(100, 0.30, 0.5), entry(200, 0.50, 0.6), entry(300, 0.40, 0.9), entry(400, 0.20, 0.8)]


def rows(history=HISTORY, mean_of_last=3, by_validation=True):
    return {r.name: r for r in training_report.rows(history, mean_of_last=mean_of_last, by_validation=by_validation)}


def test_rows_of_a_history():
    found = rows()
    assert list(found) == [
        "last", "mean of the last 3 evaluations", "best on validation", "best on test (selected on test: optimistic)"
    ]  # fmt: skip
    assert [(r.steps, round(r.figures["mean"].mean, 9)) for r in found.values()] == [
        ((400,), 0.2), ((200, 300, 400), round(1.1 / 3, 9)), ((300,), 0.4), ((200,), 0.5)
    ]  # fmt: skip
    mean = found["mean of the last 3 evaluations"].figures["mean"]
    assert mean.sd == pytest.approx(0.15275252)
    assert found["last"].figures["0.5"].mean == 0.1


def test_validation_is_a_row_only_where_it_was_asked_for():
    assert "best on validation" not in rows(by_validation=False)
    assert "best on validation" not in rows([entry(1, 0.5), entry(2, 0.4)])


def test_best_on_test_never_stands_alone():
    assert list(rows([entry(1, 0.5)])) == ["last"]
    assert rows([]) == {}


def test_a_tie_goes_to_the_earlier_step():
    assert rows([entry(1, 0.5), entry(2, 0.5)])[training_report.OPTIMISTIC].steps == (1,)


def test_seeds_give_mean_and_spread():
    runs = [list(rows([entry(1, v)]).values()) for v in (0.2, 0.4)]
    (last,) = training_report.over_seeds(runs)
    assert (last.name, last.figures["mean"].n) == ("last", 2)
    assert last.figures["mean"].mean == pytest.approx(0.3)
    assert last.figures["mean"].sd == pytest.approx(math.sqrt(0.02))


def test_report_files(tmp_path):
    found = list(rows().values())
    training_report.write_run(
        tmp_path / "seed0", found, HISTORY, RULES, {"method": "co2", "data": "d", "seed": 0, "step": 400}
    )
    document = json.loads((tmp_path / "seed0" / "report.json").read_text())
    assert document["history"] == HISTORY
    assert document["protocol"]["name"] == "wtal-seconds"
    assert document["rows"][0]["figures"]["mean"] == {"mean": 0.2, "sd": None, "n": 1}
    assert document["rows"][3]["name"] == "best on test (selected on test: optimistic)"
    summary = training_report.write_seeds(tmp_path, {0: found, 1: found}, RULES, {"method": "co2", "data": "d"})
    document = json.loads((tmp_path / "report.json").read_text())
    assert (document["seeds"], list(document["runs"])) == ([0, 1], ["0", "1"])
    assert document["rows"][0]["figures"]["mean"] == {"mean": 0.2, "sd": 0.0, "n": 2}
    assert summary[0].steps == (400,)


def test_the_table_names_protocol_and_optimism():
    out = io.StringIO()
    Console(file=out, width=160).print(training_report.table(list(rows().values()), RULES, "co2 on d"))
    text = out.getvalue()
    assert "co2 on d: test mAP in %, protocol wtal-seconds" in text
    assert "selected on test: optimistic" in text
    assert "36.67 ±15.28" in text
    assert "steps 200..400" in text


def test_the_mean_leaves_out_evaluations_that_a_phase_brought():
    found = {r.name: r for r in training_report.rows(HISTORY, mean_of_last=5, by_validation=False, every=200)}
    assert found["mean of the last 2 evaluations"].steps == (200, 400)
    odd = {r.name: r for r in training_report.rows(HISTORY[:3], mean_of_last=5, by_validation=False, every=200)}
    assert odd["mean of the last 2 evaluations"].steps == (200, 300)


def test_views_are_figures_with_their_name_before():
    score = entry(1, 0.5)["test"]
    view = {**score, "average": 0.25, "miou": {"foreground": 0.75, "background": None}}
    found = training_report.figures_of({**score, "views": {"vlp": view}})
    assert (found["mean"], found["vlp mean"], found["vlp mIoU foreground"]) == (0.5, 0.25, 0.75)
    assert "vlp mIoU background" not in found
    assert training_report.told({**score, "views": {"vlp": view}}) == "mAP 50.0; vlp: mAP 25.0, mIoU foreground 75.0"
