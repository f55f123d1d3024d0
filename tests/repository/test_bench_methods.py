"""bench_methods: its rows exist, its runs are kept one by one, and its tables say what was not run."""

from __future__ import annotations

import copy
import json
from itertools import pairwise

import bench_ablation
import bench_methods
import common
import methods_tables
import pytest
from methods_cost import costs, exported
from methods_extras import EXTRAS, Trained, extras
from methods_rows import ABLATIONS, EVERY, PARTS, PLUG_INS, TITLES, known
from variants import Variant, measured, prepared

from tal_engine.lab.data.dataset import open_dataset
from tal_engine.lab.data.synthetic import SimulatorOptions
from tal_engine.lab.data.write_public import write_simulation
from tal_engine.lab.methods import METHODS

MACHINE = {"cpu": "a CPU", "cores": 2, "python": "3.11", "versions": {"torch": "2"}}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_simulation(folder, SimulatorOptions(train=8, test=4, classes=3, rgb=16, flow=16, joint=16))
    return open_dataset(folder / "data.yaml")


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    return tmp_path / "bench_methods.json"


def a_row(method, *runs):
    return {"method": method, "runs": {str(i): r for i, r in enumerate(runs)}, "machine": MACHINE}


def test_each_row_of_pvlr_s_ablation_adds_one_term(world):
    """In the order of its Table 3: distillation, intra, inter, orthogonality."""
    terms = []
    for variant in bench_ablation.ROWS.values():
        _, config, options, _ = prepared(world, variant, 1)
        weights = {k.split("_")[0]: getattr(config, k) for k in vars(config) if k.endswith("_weight")}
        terms.append({k for k, v in weights.items() if v})
        assert options.steps == 1000
    assert [b - a for a, b in pairwise(terms)] == [{"kd"}, {"intra"}, {"inter"}, {"ortho"}]
    assert terms[0] == set()


def test_every_method_has_a_row():
    assert set(METHODS) - {"actionformer"} <= set(EVERY)  # which learns from other labels: bench_former
    assert list(EVERY) == list(TITLES)


@pytest.mark.parametrize("part", list(PARTS))
def test_rows_are_variants_that_exist(part, world):
    for row, variant in known(part).items():
        method, _, options, _ = prepared(world, variant, 1, bench_methods.settings_of(part))
        assert (method.name, options.seed) == (variant.method, 1), row


def test_a_run_is_measured_and_its_head_costs_something(world, tmp_path):
    variant = Variant("cola", train={"steps": 3})
    found = measured(world, variant, 0, tmp_path / "run")
    assert {"map_10_70", "map_50", "foreground_iou", "background_iou", "training_cpu_s"} == set(found)
    row = costs({"cola": exported(world, variant, tmp_path / "run", "simulator")}, world)["cola"]
    assert row["training_parameters"] == row["inference_parameters"] > 1000
    assert 0 < row["head_ms"] < row["video_ms"]


def test_a_variant_that_is_not_trained_is_scored_as_it_is_built(world, tmp_path):
    found = measured(world, PARTS["ablations"]["vlpo: zero-shot"], 0, tmp_path / "run")
    assert found["training_cpu_s"] == 0
    assert not (tmp_path / "run").exists()


def test_a_method_can_have_figures_of_its_own(world, tmp_path, monkeypatch):
    monkeypatch.setitem(EXTRAS, "cola", lambda run: {"videos": float(len(run.data.subset("test")))})
    assert extras("cola", Trained(world, tmp_path)) == {"videos": 4.0}
    assert extras("um", Trained(world, tmp_path)) == {}


def test_runs_are_stored_one_by_one_and_only_missing_ones_are_made(results, tmp_path, monkeypatch, capsys):
    places = bench_methods.Places(tmp_path, tmp_path)
    monkeypatch.setitem(PARTS, "simulator", {"um": EVERY["um"], "new": Variant("nothing")})
    jobs = list(bench_methods.jobs_of("simulator", None, [0, 1], False, places))
    assert [(j.row, j.seed) for j in jobs] == [("um", 0), ("um", 1)]
    assert "new: skipped, there is no method 'nothing' yet" in capsys.readouterr().err
    bench_methods.keep("simulator", {}, jobs[0], {"map_50": 1.0}, fresh=True)
    missing = list(bench_methods.jobs_of("simulator", ["um"], [0, 1], True, places))
    assert missing == jobs[1:]
    bench_methods.keep("simulator", {}, missing[0], {"map_50": 2.0}, fresh=False)
    row = json.loads(results.read_text())["figures"]["simulator"]["rows"]["um"]
    assert row["runs"] == {"0": {"map_50": 1.0}, "1": {"map_50": 2.0}}
    assert row["machine"]["cores"]
    bench_methods.keep("simulator", {}, jobs[1], {"map_50": 3.0}, fresh=True)
    assert json.loads(results.read_text())["figures"]["simulator"]["rows"]["um"]["runs"] == {"1": {"map_50": 3.0}}


def figures(at):
    return {"map_10_70": at, "map_50": at - 1, "foreground_iou": at - 2, "background_iou": at + 10,
            "training_cpu_s": 9.6, "steps": 5}  # fmt: skip


@pytest.fixture
def document():
    points = {k: v for k, v in figures(70.0).items() if not k.endswith("iou")}
    with_extra = figures(60.0) | {"extra": {"J": [3.0, 2.0], "gap (uses test labels)": 4.0}}
    later = figures(62.0) | {"extra": {"J": [1.0, 1.0], "gap (uses test labels)": 6.0}}
    cost = {"training_parameters": 1_234_567, "inference_parameters": 50_561, "head_ms": 0.5, "video_ms": 1.25,
            "machine": MACHINE}  # fmt: skip
    rows = {"um": a_row("um", figures(50.0)), "lacp": a_row("lacp", points), "vlpo": a_row("vlpo", with_extra, later)}
    return {
        "figures": {
            "simulator": {"rows": rows},
            "ablations": {"rows": {"vlpo: without DSP": a_row("vlpo", figures(40.0))}},
            "cost": {"snippets": 300, "rows": {"simulator: um": cost}},
        }
    }


def test_the_large_table(document):
    lines = {x.split(" | ")[0].removeprefix("| "): x for x in methods_tables.everything(document)}
    assert lines["UM"] == "| UM | 50.0 | 49.0 | 48.0 / 60.0 | not run | not run | 1.23 M / 51 k | 10 | 0.50 / 1.25 |"
    assert lines["LACP (points)"].startswith("| LACP (points) | 70.0 | 69.0 | – | not run |")
    assert lines["VLPO"].startswith("| VLPO | 61.0 ± 1.4 | 60.0 ± 1.4 | 59.0 ± 1.4 / 71.0 ± 1.4 |")
    assert "over 1 or 2 seeds" in methods_tables.section(document)
    assert lines["PVLR"] == "| PVLR" + " | not run" * 8 + " |"


def test_tables_of_papers_say_what_was_not_run(document):
    lines = methods_tables.ablations(document, "vlpo")
    assert lines[2:4] == ["| as it is | 61.0 ± 1.4 | 60.0 ± 1.4 | 59.0 ± 1.4 | 71.0 ± 1.4 |",
                          "| without DSP | 40.0 | 39.0 | 38.0 | 50.0 |"]  # fmt: skip
    assert lines[4:] == ["", f"Not run: {'; '.join(row for row in ABLATIONS['vlpo'] if row != 'without DSP')}."]
    hosts = methods_tables.plug_ins(document, "distill_collab")
    assert hosts[2] == "| UM | 50.0 | 49.0 | 48.0 | 60.0 |"
    assert hosts[3:] == ["", "Not run: UM + CBP+VLP; CO2-Net; CO2-Net + CBP+VLP."]
    (none,) = (x for x in methods_tables.plug_ins({}, "tsm_vlc") if x)
    assert none.count(";") == 2 * (1 + len(PLUG_INS["tsm_vlc"]["basnet"])) - 1
    assert set(ABLATIONS) <= set(TITLES)


def test_a_card_has_the_figures_of_its_method_alone(document):
    card = methods_tables.card(document, "vlpo")
    assert "- simulator: J 2.0 → 1.5.\n- simulator: gap (uses test labels) 5.0 ± 1.4." in card
    assert "J" not in methods_tables.card(document, "pvlr")


def test_own_figures_are_made_of_the_rows_that_show_them():
    shown = methods_tables.shows_extras
    assert shown("vlpo", "vlpo")
    assert shown("vlpo: without DSP", "vlpo")
    assert not shown("vlpo: without PPG", "vlpo")
    assert set(methods_tables.WITH_EXTRAS) <= {row for rows in PARTS.values() for row in rows}


def test_machines_are_named_by_part_or_by_row(document):
    assert methods_tables.machines(document) == ["- Machine: a CPU, 2 cores, no GPU; Python 3.11, torch 2."]
    other = copy.deepcopy(document)
    other["figures"]["simulator"]["rows"]["um"]["machine"] = {**MACHINE, "cpu": "another"}
    first, *_ = methods_tables.machines(other)
    assert first.startswith("- Machine of simulator (um): another, 2 cores")
    rows = other["figures"]["simulator"]["rows"]
    rows |= {f"row {i}": {**rows["um"], "machine": MACHINE} for i in range(4)}
    told = " ".join(methods_tables.machines(other))
    assert f"simulator ({len(rows) - 1} of {len(rows)} rows)" in told
