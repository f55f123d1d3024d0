"""CBP + VLP: phases, pseudo-labels and losses against their definitions, both branches, the frozen graph."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tal_engine.errors import UsageError
from tal_engine.export import parity
from tal_engine.export.to_onnx import to_onnx
from tal_engine.inference import activations_of, propose
from tal_engine.lab.data.batches import BatchSampler
from tal_engine.lab.heads import HEADS, load_head
from tal_engine.lab.heads.interface import Batch, Output, probabilities
from tal_engine.lab.methods import load_method
from tal_engine.lab.nn.initial import SMALL_STD
from tal_engine.lab.nn.prompt import PromptLearner
from tal_engine.lab.nn.transformer_layers import TemporalTransformer
from tal_engine.lab.training import checkpoint
from tal_engine.lab.training.loop import fit
from tal_engine.lab.training.training_options import TrainOptions
from tal_engine.timeline import Timeline
from tests.learning import NAMES, SMALL_CBP, WIDTH, a_batch, a_set, numbers, quiet_config, small_config
from tests.reference.vlpo import softmax

COLLAB = load_method("distill_collab")
#: Two steps of each phase.
SHORT = {"warm_up": 2, "b_steps": 2, "f_steps": 2, "rounds": 2}


def state_of(net, *, cbp):
    return {k: v.clone() for k, v in net.state_dict().items() if k.startswith("cbp.") == cbp}


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


def train(net, batch, steps, rate=3e-3):
    optimizer = torch.optim.Adam(net.parameters(), rate, weight_decay=5e-4)
    totals = []
    for step in steps:
        terms = net.loss(batch, step)
        assert all(torch.isfinite(v) and v.ndim == 0 for v in terms.values())
        total = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    return totals


def test_phases_follow_the_steps():
    names = [COLLAB.phase(s, COLLAB.Config(**SHORT)) for s in range(13)]
    assert names == ["warm_up"] * 2 + ["b", "b", "f", "f"] * 2 + ["f"] * 3
    for mode, wanted in (("only_b", "b"), ("only_f", "f")):
        names = [COLLAB.phase(s, COLLAB.Config(mode=mode, **SHORT)) for s in range(9)]
        assert names == ["warm_up"] * 2 + [wanted] * 7
    recipe = COLLAB.RECIPES["thumos14"]
    counts = Counter(COLLAB.phase(s, COLLAB.Config(**recipe.config)) for s in range(recipe.train["steps"]))
    assert counts == {"warm_up": 2000, "b": 2000, "f": 2000}


def test_a_step_changes_one_branch_bit_for_bit(text):
    """Adam with weight decay and momentum from earlier phases leaves the frozen branch as it is."""
    torch.manual_seed(0)
    config = small_config(COLLAB, vlp_probability="sigmoid", **SHORT)
    net = COLLAB.build(config, NAMES, text).train()
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, weight_decay=5e-4)
    for step in range(10):
        before = {cbp: state_of(net, cbp=cbp) for cbp in (True, False)}
        optimizer.zero_grad()
        sum(net.loss(a_batch(COLLAB), step).values()).backward()
        optimizer.step()
        learns_cbp = COLLAB.phase(step, config) != "b"
        assert same(before[not learns_cbp], state_of(net, cbp=not learns_cbp))
        assert not same(before[learns_cbp], state_of(net, cbp=learns_cbp))
        assert all(m.training for m in net.modules())


def test_the_teacher_has_no_dropout_and_the_pupil_has(text):
    torch.manual_seed(0)
    config = small_config(COLLAB, dropout=0.5, fb_weight=0.0, **SHORT)
    net, batch = COLLAB.build(config, NAMES, text).train(), a_batch(COLLAB)
    seen = []
    for module, name in ((net.cbp, "cbp"), (net.temporal, "temporal")):
        module.register_forward_pre_hook(lambda m, _, name=name: seen.append((name, m.training, m.layers_train())))
        module.layers_train = lambda m=module: all(x.training for x in m.modules())
    net.loss(batch, 0)
    net.loss(batch, 2)
    net.loss(batch, 4)
    learns = ("cbp", True, True), ("temporal", True, True)
    assert seen == [learns[0], ("cbp", False, False), learns[1], learns[0], ("temporal", False, False)]


def test_probabilities_of_any_head():
    cas, attention = torch.randn(2, 5, 4), torch.rand(2, 5)
    found = [
        probabilities(SimpleNamespace(background=b), Output(cas, cas, a))
        for b, a in ((True, attention), (False, attention), (False, None))
    ]
    torch.testing.assert_close(found[0], cas.softmax(-1)[..., :3])
    torch.testing.assert_close(found[1].sum(-1), attention)
    torch.testing.assert_close(found[2], torch.sigmoid(cas))


def padded(batch, more):
    length = batch.streams["rgb"].shape[1]
    streams = {k: torch.cat([x, torch.randn(len(x), more, x.shape[2]) * 9], 1) for k, x in batch.streams.items()}
    mask = torch.cat([torch.ones(len(batch.labels), length), torch.zeros(len(batch.labels), more)], 1)
    return replace(batch, streams=streams, mask=mask)


def test_padding_changes_nothing(text):
    torch.manual_seed(0)
    config = small_config(COLLAB, positions=40, contrast_frames=10**6, **SHORT)
    net, batch = COLLAB.build(config, NAMES, text).eval(), a_batch(COLLAB)
    longer = padded(batch, 13)
    a, b = COLLAB.branches(net, batch), COLLAB.branches(net, longer)
    for k in ("cbp", "vlp"):
        torch.testing.assert_close(a[k], b[k][:, :24], rtol=1e-4, atol=1e-5)
        assert not b[k][:, 24:].any()
    for step in (0, 2, 4):
        for k, v in net.loss(batch, step).items():
            torch.testing.assert_close(v, net.loss(longer, step)[k], rtol=1e-4, atol=1e-5)


_OWN = {"cls", "norm", "guide", "mutual", "coactivity"}
_QUIET_CO2 = dict.fromkeys(("dropout", "fusion_dropout", "entry_dropout", "logit_dropout"), 0.0)


@pytest.mark.parametrize(
    ("changes", "b", "f"),
    [
        ({}, {"kd", "fb"}, {"kd", "fb", "cls"}),
        ({"mode": "only_f"}, {"kd", "fb", "cls"}, {"kd", "fb", "cls"}),
        ({"mode": "only_b", "fusion": "average"}, {"kd", "fb"}, {"kd", "fb"}),
        ({"fb_weight": 0.0}, {"kd"}, {"kd", "cls"}),
        ({"kd_weight": 0.0}, {"fb"}, {"fb", "cls"}),
        (COLLAB.EARLIER, {"kd", "fb"}, {"kd", "fb", "cls"}),
        ({"cls_weight": 0.0, "kd_over": "pairs"}, {"kd", "fb"}, {"kd", "fb"}),
        ({"vlp_probability": "sigmoid", "teacher": "minmax"}, {"kd", "fb"}, {"kd", "fb", "cls"}),
        ({"cbp_options": {**SMALL_CBP, "classification": "softmax"}}, {"kd", "fb"}, {"kd", "fb", "cls"}),
        ({"cbp": "co2", "cbp_options": _QUIET_CO2}, {"kd", "fb"}, {"kd", "fb", *_OWN}),
    ],
)
def test_every_switch_trains_and_the_total_falls(changes, b, f, text):
    """With thresholds that call something background in a network that has hardly learned."""
    torch.manual_seed(0)
    deltas = {"delta_high": 0.5, "delta_low": 0.48}
    config = replace(quiet_config(COLLAB), warm_up=6, b_steps=12, f_steps=12, rounds=1, **deltas, **changes)
    net, batch = COLLAB.build(config, NAMES, text).train(), a_batch(COLLAB, length=14)
    assert set(net.loss(batch, 6)) == b
    assert set(net.loss(batch, 18)) == f
    totals = train(net, batch, range(30))
    for first, last in ((0, 6), (6, 18), (18, 30)):
        assert np.mean(totals[last - 2 : last]) < np.mean(totals[first : first + 2])


def test_only_f_has_the_plain_tower(text):
    net = COLLAB.build(small_config(COLLAB, mode="only_f"), NAMES, text)
    assert (net.temporal, net.prompt) == (None, None)
    image = torch.randn(2, 5, 128)
    with torch.no_grad():
        torch.testing.assert_close(net.vlp(image)[0], (image @ text(list(NAMES)).T).softmax(-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("probability", ["softmax", "sigmoid"])
def test_similarities_are_those_of_eq_3_or_scaled_cosines(text, probability):
    image = torch.randn(2, 5, 128)
    words = text(list(NAMES)).detach()
    for kind, products in (
        ("dot", image.double() @ words.double().T),
        ("cosine", torch.cosine_similarity(image[:, :, None].double(), words[None, None].double(), dim=-1)),
    ):
        config = small_config(COLLAB, mode="only_f", vlp_similarity=kind, vlp_probability=probability)
        net = COLLAB.build(config, NAMES, text)
        scale = 1 / 0.07 if kind == "cosine" else 1.0
        if probability == "softmax":
            wanted = [[softmax(scale * row) for row in video] for video in products.numpy()]
        else:
            wanted = 1 / (1 + np.exp(-scale * (products.numpy() - 0.25)))
        np.testing.assert_allclose(numbers(net.vlp(image)[0]), wanted, atol=1e-5)
        assert hasattr(net, "log_scale") == (kind == "cosine")


def test_one_reading_of_n_0_01(text):
    """The second number is the standard deviation: prompts and layers of VLP, and what says nothing else."""
    assert COLLAB.Config().std == SMALL_STD == 0.01
    torch.manual_seed(0)
    prompts = PromptLearner(text, list(NAMES), prefix=8, suffix=8)
    layers = TemporalTransformer(64, layers=1, heads=2, dropout=0.0, positions=100)
    net = COLLAB.build(small_config(COLLAB, prefix=8, suffix=8, positions=100), NAMES, text)
    found = [prompts.context, prompts.background, layers.positions, net.prompt.context, net.temporal.positions]
    found += [m.weight for m in net.temporal.layers.modules() if isinstance(m, torch.nn.Linear)]
    for values in found:
        assert values.std().item() == pytest.approx(0.01, rel=0.25)


def test_untrained_layers_leave_image_features_nearly_as_they_are():
    torch.manual_seed(0)
    x = torch.randn(1, 40, 512)
    with torch.no_grad():
        y = TemporalTransformer(512, layers=2, heads=8, dropout=0.1, positions=50, std=0.01).eval()(x)
    assert torch.cosine_similarity(x, y, dim=-1).min() > 0.97


def test_positions_are_rows_of_the_table_or_stretched_over_a_long_video():
    layers = TemporalTransformer(4, layers=1, heads=1, dropout=0.0, positions=11)
    table = layers.positions
    for length in (1, 2, 7, 11):
        assert torch.equal(layers.rows(length), table[:length])
    found = layers.rows(21)
    torch.testing.assert_close(found[::2], table)
    torch.testing.assert_close(found[1::2], (table[1:] + table[:-1]) / 2)
    one = TemporalTransformer(4, layers=1, heads=1, dropout=0.0, positions=1)
    assert torch.equal(one.rows(3), one.positions.expand(3, 4))


@pytest.mark.parametrize("fusion", ["none", "average", "weighted"])
def test_the_frozen_graph_passes_the_gate_with_its_own_rules(fusion, text):
    torch.manual_seed(0)
    config = small_config(COLLAB, fusion=fusion)
    net = COLLAB.build(config, NAMES, text).eval()
    frozen = COLLAB.freeze(net)
    dims = {"rgb": WIDTH, "flow": WIDTH, "clip": 128}
    streams = COLLAB.inference_streams(config)
    assert streams == (("rgb", "flow") if fusion == "none" else ("rgb", "flow", "clip"))
    content, graph = to_onnx(frozen, {s: torch.randn(1, 9, dims[s]) for s in streams}, {0: "B", 1: "T"}, "head.onnx")
    assert [(t.name, t.shape) for t in graph.outputs] == [("cas", ["B", "T", 3]), ("video", ["B", 3])]
    options = COLLAB.proposal_options(config), COLLAB.nms_options(config)
    found = parity.check_head(frozen, content, graph, *options, Timeline(0, 1, 1))
    assert found["tensor"] < 1e-5
    assert found["segments"] > 20
    batch = a_batch(COLLAB)
    both = COLLAB.branches(net, batch)
    share = {"none": 1.0, "average": 0.5, "weighted": 0.7}[fusion]
    with torch.no_grad():
        out = frozen(**{s: batch.streams[s] for s in streams})
    torch.testing.assert_close(out["cas"], share * both["cbp"] + (1 - share) * both["vlp"])


def test_inference_follows_the_paper():
    """Classes over .85, snippets over .45, a proposal is worth its largest snippet."""
    config = COLLAB.Config()
    cas = np.array([[0.1, 0.5], [0.5, 0.1], [0.9, 0.9], [0.45, 0.1], [0.2, 0.1], [0.6, 0.1]], np.float32)
    out = {"cas": cas[None], "video": np.array([[0.86, 0.84]], np.float32)}
    found = propose(activations_of(out, Timeline(0, 1, 1), 6.0), COLLAB.proposal_options(config)).data
    rows = [tuple(r) for r in found[["label", "start", "end"]]]
    assert rows == [(0, 1, 3), (0, 5, 6)]
    np.testing.assert_allclose(found["score"], [0.9, 0.6], rtol=1e-6)
    assert (COLLAB.nms_options(config).kind, COLLAB.nms_options(config).sigma) == ("gaussian", 0.3)


def test_another_head_keeps_its_own_inference(text):
    config = small_config(COLLAB, cbp="co2", cbp_options={"class_threshold": 0.1})
    co2 = load_head("co2")
    assert COLLAB.proposal_options(config) == co2.proposal_options(co2.Config(class_threshold=0.1))
    frozen = COLLAB.freeze(COLLAB.build(config, NAMES, text).eval())
    out = frozen(**{s: torch.randn(1, 9, WIDTH) for s in ("rgb", "flow")})
    assert {k: list(v.shape) for k, v in out.items()} == {"cas": [1, 9, 4], "attention": [1, 9]}


def test_a_run_goes_through_all_phases_and_exports_without_a_text_tower(tmp_path, text):
    config = small_config(COLLAB, fusion="weighted", warm_up=2, b_steps=2, f_steps=1)
    videos, features = a_set()
    batches = BatchSampler(videos, features, NAMES, ("rgb", "flow", "clip"), length=16, size=4, pairs=1)
    seen = []
    options = TrainOptions(steps=5, batch=4, pairs=1, length=16, learning_rate=1e-3)
    fit(
        COLLAB, config, NAMES, text, batches, options, tmp_path, provenance={},
        report=lambda step, steps, terms: seen.append(set(terms)),
    )  # fmt: skip
    assert seen == [{"cls"}] * 2 + [{"kd", "fb"}] * 2 + [{"kd", "fb", "cls"}]
    found = checkpoint.load(tmp_path)
    x = {s: torch.randn(1, 9, d) for s, d in (("rgb", WIDTH), ("flow", WIDTH), ("clip", 128))}
    a, b = (COLLAB.freeze(found.network(t))(**x) for t in (text, None))
    torch.testing.assert_close(a, b)


def test_bad_configs_are_named(text):
    for changes, words in (
        ({"mode": "both"}, "mode is 'both', must be one of alternate, only_f, only_b"),
        ({"fusion": "sum"}, "fusion is 'sum'"),
        ({"cbp": "magic"}, "cbp is 'magic', must be one of aicl"),
        ({"vlp_probability": "max"}, "vlp_probability is 'max'"),
        ({"contrast_reduction": "max"}, "contrast_reduction is 'max', must be one of sum, mean"),
        ({"teacher": "max"}, "teacher is 'max', must be one of probability, minmax"),
        ({"delta_low": 0.4}, r"delta_low is 0\.4"),
        ({"kd_weight": 0.0, "fb_weight": 0.0}, "learn nothing from each other"),
        ({"b_steps": 0, "f_steps": 0}, "nothing comes after the warm-up"),
        ({"rounds": 0}, "rounds is 0"),
        ({"warm_up": -1}, "warm_up is -1"),
        ({"temperature": 0.0}, r"temperature is 0\.0"),
        ({"cbp": "co2", "fusion": "average"}, "needs cbp 'transformer'"),
    ):
        with pytest.raises(UsageError, match=words):
            COLLAB.Config(**changes)
    small = small_config(COLLAB)
    for changes, words in (
        ({"cbp_options": {"magic": 1}}, "cbp_options of transformer: unexpected keyword argument 'magic'"),
        ({"cbp_options": {"classification": "max"}}, "classification is 'max'"),
        ({"cbp_options": {"width": 10, "heads": 4}}, "4 heads do not divide a width of 10"),
        ({"layers": 0}, "layers, heads and positions are 0, 2, 24"),
        ({"joint": 64}, "joint is 64"),
        ({"prefix": 16, "suffix": 16}, "too many for a context of 32"),
    ):
        with pytest.raises(UsageError, match=words):
            COLLAB.build(replace(small, **changes), NAMES, text)
    with pytest.raises(UsageError, match="without a text tower"):
        COLLAB.build(small, NAMES, None).loss(a_batch(COLLAB), 0)
    with pytest.raises(TypeError, match="cannot freeze a Linear"):
        COLLAB.freeze(torch.nn.Linear(1, 1))


def test_recipes_are_configs():
    for recipe in COLLAB.RECIPES.values():
        if recipe.config.get("cbp", "transformer") in HEADS:
            assert COLLAB.Config(**recipe.config).base_config.rgb == 1024


def test_batches_without_clip_cannot_be_shown_to_both_branches(text):
    net = COLLAB.build(small_config(COLLAB), NAMES, text).train()
    batch = a_batch(COLLAB)
    with pytest.raises(UsageError, match="'clip'"):
        COLLAB.branches(net, Batch({k: batch.streams[k] for k in ("rgb", "flow")}, batch.labels))
