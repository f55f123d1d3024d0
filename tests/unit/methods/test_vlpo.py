"""VLPO in training: its losses and pseudo-labels against plain twins, its variants, its configs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tal_engine import ops
from tal_engine.errors import UsageError
from tal_engine.lab.methods import vlpo
from tal_engine.options import NMS_RULES
from tal_engine.vocabulary import Vocabulary
from tests.learning import NAMES, a_batch, multi_label, numbers, small_config, small_net
from tests.reference import vlpo as twin

RATIO = 8


@pytest.fixture
def batch():
    return multi_label(a_batch(vlpo))


def test_published_widths_have_9_847_million_parameters():
    """Table 12 says 9.84 M, and 6.30 M for the base, AICL."""
    twenty = Vocabulary([str(i) for i in range(20)])
    with torch.device("meta"):
        net = vlpo.VLPO(vlpo.Config(), twenty, None)
        base = vlpo.VLPO(vlpo.Config(**vlpo.RECIPES["baseline"].config), twenty, None)
    assert sum(p.numel() for p in net.parameters()) == 9_846_807
    assert sum(p.numel() for p in base.parameters()) == 6_304_278


def test_preferences_and_their_agreement(text, batch):
    net = small_net(vlpo, text).double()
    video = batch.streams["clip"].double()
    to_text, to_video = net.similarities(video)
    project = [
        (lambda x, f=f: numbers(f.weight) @ x + numbers(f.bias)) for f in (net.adapter.video, net.adapter.text)
    ]  # fmt: skip
    wanted = [twin.preferences(numbers(v), numbers(net.text), *project) for v in video]
    np.testing.assert_allclose(numbers(to_text), [w[0] for w in wanted], atol=1e-9)
    np.testing.assert_allclose(numbers(to_video), [w[1] for w in wanted], atol=1e-9)
    agreement = net._agreement(to_text, to_video, None).item()
    assert agreement == pytest.approx(np.mean([twin.kl_loss(*w, 1.0) for w in wanted]), rel=1e-6)
    per_snippet = replace(net.config, kl_reduction="snippets")
    net.config = per_snippet
    assert net._agreement(to_text, to_video, None).item() == pytest.approx(agreement * len(NAMES), rel=1e-6)
    assert net._agreement(to_text, to_text, None).item() == pytest.approx(0, abs=1e-9)


def test_text_is_the_prompt_of_each_class(text):
    net = small_net(vlpo, text)
    torch.testing.assert_close(net.text, text([f"a video of action {n}" for n in NAMES]))
    assert not net.text.requires_grad
    camel = vlpo.build(small_config(vlpo), Vocabulary(["CleanAndJerk"]), text)
    torch.testing.assert_close(camel.text, text(["a video of action Clean And Jerk"]))


#: AICL's public code where the paper says otherwise.
AICL = {"mil_pooling": "combined", "gce_on": "each"}


@pytest.mark.parametrize("changes", [{}, AICL, {"hybrid_cas": "logits", "hybrid_action": "sum", "vl_scale": 1.0}])
def test_every_term_is_its_equation(changes, text, batch):
    net = small_net(vlpo, text, topk_ratio=5, **changes)
    c = net.config
    terms = net.loss(batch, 0)
    s = net.scores(batch.streams)
    to_text, to_video = (numbers(m) for m in net.similarities(batch.streams["clip"]))
    x = {k: numbers(getattr(s, k)) for k in ("cas", "action", "added")}
    wanted = {k: [] for k in terms}
    for v, y in enumerate(batch.labels.numpy()):
        cas, action, m = x["cas"][v], x["action"][v], (to_text[v] + to_video[v]) / 2
        added = cas if c.hybrid_cas == "logits" else np.array([twin.softmax(r) for r in cas])
        np.testing.assert_allclose(x["added"][v], added, atol=1e-6)
        plain = cas if c.mil_pooling == "cas" else added + action[:, None]
        wanted["mil"].append(twin.video_loss(twin.selected_mean(cas, plain, 5), y))
        means = np.array(twin.selected_mean(m, twin.hybrid(added, action, y), 5))
        wanted["vl"].append(c.vl_weight * twin.video_loss(c.vl_scale * means, y))
        wanted["kl"].append(c.kl_weight * twin.kl_loss(to_text[v], to_video[v], 1.0))
        preferred = twin.normalised(m)
        wanted["snip"].append(c.snip_weight * twin.snippet_loss(cas, twin.snippet_labels(preferred, y, c.high)))
        positives = twin.refined_positives(action.tolist(), preferred, y, 5, c.low, c.high)
        wanted["act"].append(sum(twin.actionness_loss(numbers(p[v]).tolist(), positives, c.q) for p in s.parts))
    own, flow, clip = s.parts if changes == AICL else (s.parts[0], s.parts[0], s.parts[1])
    top = 1 if c.hybrid_action == "sum" else 2
    torch.testing.assert_close(((own + flow) / 2 + clip) / top, s.action)
    assert len(s.parts) == (3 if changes == AICL else 2)
    for k, value in terms.items():
        assert value.item() == pytest.approx(np.mean(wanted[k]), rel=1e-4, abs=1e-6), k


def test_half_precision_keeps_the_terms(text, batch):
    net = small_net(vlpo, text)
    wanted = net.loss(batch, 0)
    with torch.autocast("cpu", torch.bfloat16):
        found = net.loss(batch, 0)
    for k, value in found.items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(wanted[k].item(), rel=0.05), k
    assert found["kl"] == wanted["kl"]


def test_score_bounds(text, batch):
    for changes, top in (({}, 1), ({"hybrid_action": "sum"}, 2)):
        net = small_net(vlpo, text, gce_on="each", **changes)
        s, out = net.scores(batch.streams), net.activations(batch.streams)
        rgb, flow, clip = s.parts
        torch.testing.assert_close(s.action, ((rgb + flow) / 2 + clip) * top / 2)
        for k in ("cas", "attention"):
            assert 0 <= out[k].min() <= out[k].max() <= 1


def test_positives_without_refinement(text, batch):
    """Eq. 9 as printed, and AICL's: the top k of A + S of a video's classes."""
    for rule in ("action", "combined"):
        net = small_net(vlpo, text, apr=False, positives=rule)
        s = net.scores(batch.streams)
        assert len(s.parts) == 1
        found = net.positives(s, torch.zeros_like(s.cas), batch.labels)
        for v, y in enumerate(batch.labels.numpy()):
            if rule == "action":
                wanted = twin.top_indices(s.action[v].tolist(), RATIO)
            else:
                own = np.flatnonzero(y)
                wanted = set().union(*(twin.top_indices(s.sequence[v, :, c].tolist(), RATIO) for c in own))
            assert set(np.flatnonzero(found[v])) == wanted


def test_pseudo_labels_are_labels(text, batch):
    """Nothing is trained through them: L_kl and L_vl alone move the projections."""
    net = small_net(vlpo, text).train()
    terms = net.loss(batch, 0)
    (terms["act"] + terms["snip"] + terms["mil"]).backward()
    assert all(p.grad is None or not p.grad.abs().sum() for p in net.adapter.parameters())


ALL = {"mil", "act", "kl", "vl", "snip"}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"adaptation": "clip_adapter"}, ALL - {"kl"}),
        ({"adaptation": "training_free"}, ALL - {"kl", "vl"}),
        ({"dsp": False}, ALL),
        ({"ppg": False}, ALL - {"snip"}),
        ({"apr": False}, ALL),
        ({"kl_weight": 0.0}, ALL - {"kl"}),
        ({"norm": "softmax", "vl_scale": 1.0}, ALL),
        ({"norm": "minmax", "vl_scale": 1.0}, ALL),
        ({"hybrid_cas": "logits", "hybrid_action": "sum"}, ALL),
        ({"positives": "combined", **AICL}, ALL),
        (vlpo.RECIPES["activitynet"].config, ALL),
        (vlpo.RECIPES["baseline"].config, {"mil", "act"}),
    ],
)
def test_variants_train(changes, wanted, text):
    torch.manual_seed(0)
    net = vlpo.build(small_config(vlpo, **changes), NAMES, text).train()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    batch, totals = multi_label(a_batch(vlpo)), []
    for step in range(20):
        terms = net.loss(batch, step)
        assert set(terms) == wanted
        total = sum(terms.values())
        assert torch.isfinite(total)
        optimizer.zero_grad()
        total.backward()
        if step == 0:
            assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum()] == []
        optimizer.step()
        totals.append(total.item())
    assert np.mean(totals[-3:]) < 0.95 * np.mean(totals[:3])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adaptation": "lora"}, "adaptation is 'lora', must be one of cm_afa, clip_adapter, training_free, zero_shot"),
        ({"norm": "l1"}, "norm is 'l1'"),
        ({"class_from": "labels"}, "class_from is 'labels'"),
        ({"prompt": "a video"}, r"prompt is 'a video', must be a text with \[CLS\]"),
        ({"q": 0.0}, r"q is 0.0, must be in \(0, 1\]"),
        ({"low": 0.95}, r"low is 0.95, must be in \[0, high\]"),
        ({"topk_ratio": 0}, "topk_ratio is 0"),
        ({"passes": -1}, "passes is -1"),
        ({"suppression": "hard"}, "suppression is 'hard', must be one of soft, aicl"),
        ({"nms_sigma": 0.0}, "nms_sigma is 0.0, must be positive"),
        ({"vl_weight": -1.0}, "vl_weight is -1.0"),
        ({"kl_weight": 0.0, "vl_weight": 0.0}, "no loss trains it: use 'training_free'"),
        ({"adaptation": "clip_adapter", "vl_weight": 0.0}, "no loss trains it"),
    ],
)
def test_bad_config_is_named(changes, message):
    with pytest.raises(UsageError, match=message):
        vlpo.Config(**changes)


def test_suppression_is_soft_or_aicls():
    """Appendix A.1: Gaussian over plain overlap. AICL's: what is dropped stays decayed, a second on every length."""
    overlap = {0.0: 0.5, 1.0: 3 / 5}
    boxes, scores = [[0.0, 3.0], [1.0, 4.0]], [1.0, 0.9]
    for changes, length, sigma in (({}, 0.0, 0.3), (vlpo.RECIPES["simulator"].config, 1.0, 0.35)):
        kept = ops.suppress(boxes, scores, options=vlpo.nms_options(vlpo.Config(**changes)))
        assert kept.rows.tolist() == [0, 1]
        np.testing.assert_allclose(kept.score, [1.0, 0.9 * np.exp(-(overlap[length] ** 2) / sigma)])
    assert vlpo.nms_options(vlpo.Config(suppression="aicl", nms_length_offset=1.0)) == NMS_RULES["aicl"]


def test_width_of_the_text_tower_is_checked(text):
    with pytest.raises(UsageError, match="gives 128 dimensions, joint is 768"):
        vlpo.build(vlpo.Config(rgb=8, flow=8), NAMES, text)
