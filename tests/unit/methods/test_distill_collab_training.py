"""CBP + VLP in training: what is scored when, and the recipe for the simulator with every switch of the tables."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from tal_engine.lab.data.synthetic import NAMES as SIMULATED
from tal_engine.lab.methods import has_views, load_method, milestones_of, views_of
from tal_engine.lab.nn.hashed_text import HashedText
from tal_engine.lab.training.recipe import demo_config, recipe
from tal_engine.lab.training.validation import Videos, scores
from tal_engine.metrics import protocol
from tal_engine.records import Features
from tal_engine.timeline import Timeline
from tal_engine.vocabulary import Vocabulary
from tests.learning import NAMES, OPTIONS, a_batch, a_set, run_fit, small_config

COLLAB = load_method("distill_collab")
#: Two steps of each phase.
SHORT = {"warm_up": 2, "b_steps": 2, "f_steps": 2, "rounds": 2}
#: Tables 4 to 6 on top of the simulator's recipe, at the widths of these tests.
TABLES = {
    "only F": {"mode": "only_f"},
    "only B": {"mode": "only_b", "fusion": "average"},
    "weighted": {"fusion": "weighted"},
    "B then F": {},
    "KD alone": {"fb_weight": 0.0},
    "FB alone": {"kd_weight": 0.0, "fb_weight": 1.0},
    "UM": {"cbp": "um", "cbp_options": {"margin": 5.0}},
    "CO2-Net": {"cbp": "co2", "cbp_options": {}},
}


def the_videos():
    videos, features = a_set(3)
    snippets = Timeline(0.0, 0.64, 0.64)
    timed = {k: Features(f.streams, snippets, len(f) * 0.64) for k, f in features.items()}
    return Videos(videos, timed, protocol("wtal-seconds"))


def evaluator(config):
    return lambda net: {"test": scores(COLLAB, net, config, NAMES, the_videos())}


def test_milestones_are_where_phases_end():
    config = COLLAB.Config(**SHORT)
    assert milestones_of(COLLAB, config) == {2: "warm-up", 4: "B 1", 6: "F 1", 8: "B 2", 10: "F 2"}
    changes = [s for s in range(1, 12) if COLLAB.phase(s, config) != COLLAB.phase(s - 1, config)]
    assert changes == [2, 4, 6, 8]
    assert milestones_of(COLLAB, replace(config, mode="only_f")) == {2: "warm-up"}
    assert milestones_of(COLLAB, replace(config, warm_up=0, f_steps=0)) == {2: "B 1", 4: "B 2"}
    co2 = load_method("co2")
    assert (milestones_of(co2, co2.Config()), has_views(co2), has_views(COLLAB)) == ({}, False, True)


@pytest.mark.parametrize("changes", [{}, {"fusion": "average"}, {"cbp": "co2", "cbp_options": {}}])
def test_views_are_the_branches_that_inference_does_not_show(changes, text):
    torch.manual_seed(0)
    config = small_config(COLLAB, **changes)
    net, batch = COLLAB.build(config, NAMES, text).eval(), a_batch(COLLAB)
    found, both = views_of(COLLAB, net), COLLAB.branches(net, batch)
    assert set(found) == ({"vlp", "cbp"} if "fusion" in changes else {"vlp"})
    for name, view in found.items():
        with torch.no_grad():
            out = view.module(**batch.streams)
        torch.testing.assert_close(out["cas"], both[name])
        assert out["video"].shape == (6, 3)
        assert ((out["video"] >= 0) & (out["video"] <= 1)).all()  # theta_cls cuts it, as it cuts CBP's
    plain = load_method("transformer")
    wanted = plain.Config() if "cbp" in changes else config.base_config
    assert (found["vlp"].method, found["vlp"].config) == (plain, wanted)


def test_a_run_scores_and_tells_both_branches_after_each_phase(tmp_path, text, caplog):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = small_config(COLLAB, warm_up=2, b_steps=1, f_steps=1, rounds=1)
    options = replace(OPTIONS, eval_every=3, tensorboard=True)
    with caplog.at_level(logging.INFO, logger="tal_engine"):
        state = run_fit(tmp_path, text, options, method="distill_collab", config=config, evaluate=evaluator(config))
    assert [(h["step"], h.get("after")) for h in state.history] == [(2, "warm-up"), (3, "B 1"), (4, "F 1"), (6, None)]
    for entry in state.history:
        figures = entry["test"]["views"]["vlp"]
        assert set(figures) == set(entry["test"]) - {"views"}
        assert 0 <= figures["miou"]["background"] <= 1
    told = [r.getMessage() for r in caplog.records if r.getMessage().startswith("after")]
    assert [t.split(": mAP")[0] for t in told] == [
        "after warm-up, step 2, test", "after B 1, step 3, test", "after F 1, step 4, test"
    ]  # fmt: skip
    assert all("; vlp: mAP" in t and t.count("mIoU background") == 2 for t in told)
    # B steps leave CBP alone, and F steps VLP.
    one, two, three = (h["test"] for h in state.history[:3])
    assert {k: v for k, v in one.items() if k != "views"} == {k: v for k, v in two.items() if k != "views"}
    assert two["views"] == three["views"]
    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert [s.step for s in read.Scalars("test/vlp/map")] == [2, 3, 4, 6]
    assert {"test/vlp/miou_background", "test/miou_foreground", "test/vlp/map_0.5"} <= set(read.Tags()["scalars"])


def test_a_run_without_test_videos_evaluates_nothing(tmp_path, text):
    config = small_config(COLLAB, **SHORT)
    assert run_fit(tmp_path, text, method="distill_collab", config=config).history == []


@pytest.mark.parametrize("name", ["simulator", "demo"])
def test_small_recipes_go_through_all_phases(name):
    chosen = recipe(COLLAB, name)
    config = COLLAB.Config(**chosen.config)
    assert config.positions == chosen.train["length"]
    assert chosen.train["steps"] == max(milestones_of(COLLAB, config))


def test_prompts_fit_the_text_towers(text):
    assert COLLAB.build(demo_config(COLLAB), NAMES, text).prompt().shape == (len(NAMES), 128)
    config = COLLAB.Config(**recipe(COLLAB, "simulator").config, joint=64)
    assert COLLAB.build(config, Vocabulary(SIMULATED), HashedText(64)).prompt().shape == (len(SIMULATED), 64)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_switch_runs_through_its_phases_and_is_scored(name, tmp_path, text):
    chosen = recipe(COLLAB, "simulator").config | TABLES[name]
    small = {"prefix": 4, "suffix": 4, "positions": 24, "rgb": 8, "flow": 8, "joint": 128}
    config = COLLAB.Config(**{**chosen, **small, "warm_up": 1, "b_steps": 1, "f_steps": 1, "rounds": 1})
    options = replace(OPTIONS, steps=4)
    state = run_fit(tmp_path, text, options, method="distill_collab", config=config, evaluate=evaluator(config))
    assert state.history[-1]["step"] == 4
    assert "vlp" in state.history[-1]["test"]["views"]
    assert all(torch.isfinite(p).all() for p in state.net.parameters())


def test_a_confident_branch_passes_the_thresholds_and_background_does_not(text):
    """theta_cls and theta_loc cut what VLP gives: classes that a video lacks and background lie under them."""
    config = small_config(COLLAB, mode="only_f", vlp_probability="sigmoid", offset=0.5)
    net = COLLAB.build(config, NAMES, text).eval()
    with torch.no_grad():
        names = functional.normalize(text(list(NAMES)), dim=-1)
    others = torch.randn(12, 128)
    others -= others @ torch.linalg.pinv(names) @ names  # resemble no name
    image = torch.cat([names[:1].expand(4, 128), functional.normalize(others, dim=-1)])[None]
    view = views_of(COLLAB, net)["vlp"]
    with torch.no_grad():
        out = view.module(clip=image)
    rules = view.method.proposal_options(view.config)
    loc, cls = rules.sources[0].thresholds[0], rules.class_threshold
    assert (out["cas"][0, :4, 0] > loc).all()
    assert (out["cas"][0, 4:] < loc).all()
    assert out["video"][0, 0] > cls
