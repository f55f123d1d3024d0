"""Base heads against what was published of them: sizes, losses, inference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tal_engine.errors import UsageError
from tal_engine.lab.heads.interface import Batch
from tal_engine.lab.methods import load_method
from tal_engine.lab.nn import losses, mining
from tal_engine.lab.nn.temporal import minmax, top_weights
from tal_engine.options import NMS_RULES, NmsOptions
from tal_engine.vocabulary import Vocabulary
from tests.learning import NAMES, WIDTH, a_batch, quiet_config, small_config
from tests.reference import heads as twin


@pytest.mark.parametrize(
    ("name", "count"),
    [("basnet", 26_262_529), ("cola", 12_625_920), ("um", 12_625_920), ("hamnet", 29_146_646), ("aicl", 6_304_278),
     ("stpn", 2 * 283_157)],
)  # fmt: skip
def test_parameter_counts(name, count):
    """Published: 26.26, 12.63, 12.63, 29.15 and 6.30 M (methods.md 3)."""
    head = load_method(name)
    with torch.device("meta"):
        net = head.build(head.Config(), Vocabulary([str(i) for i in range(20)]))
    assert sum(p.numel() for p in net.parameters()) == count


@pytest.mark.parametrize(
    ("name", "threshold", "topk", "upsample", "nms", "first", "last"),
    [
        ("basnet", 0.25, 8, 24, NMS_RULES["basnet"], 0.0, 0.225),
        ("cola", 0.2, 5, 24, NMS_RULES["cola"], 0.0, 0.9),
        ("um", 0.2, 9, 24, NMS_RULES["cola"], 0.0, 0.6),
        ("aicl", 0.25, 8, 24, NMS_RULES["aicl"], 0.1, 0.9),
        ("hamnet", 0.2, 10, 1, replace(NMS_RULES["co2"], length_offset=0.0), 0.1, 0.9),
        ("stpn", 0.1, 20, 24, NmsOptions(kind="hard", threshold=0.5), 0.05, 0.05),
    ],
)  # fmt: skip
def test_published_inference(name, threshold, topk, upsample, nms, first, last):
    head = load_method(name)
    options = head.proposal_options(head.Config())
    assert (options.class_threshold, options.topk_ratio, options.upsample) == (threshold, topk, upsample)
    assert options.background == head.build(small_config(head), NAMES).background
    assert (options.sources[0].thresholds[0], options.sources[-1].thresholds[-1]) == (first, last)
    assert options.class_fallback == (name not in ("hamnet", "stpn"))
    assert head.nms_options(head.Config()) == nms
    for recipe in head.RECIPES.values():
        head.proposal_options(head.Config(**recipe.config))


def run(name, **changes):
    torch.manual_seed(0)
    head = load_method(name)
    net = head.build(replace(quiet_config(head), **changes), NAMES).eval()
    batch = a_batch(head, length=23)
    out = net(batch.streams)
    return net, batch, out, {k: v.item() for k, v in net.objective(out, batch).items()}


def with_column(labels, value):
    return [[*row, value] for row in labels.tolist()]


def test_basnet_losses():
    _, batch, out, terms = run("basnet")
    supp = out.parts["suppressed"].tolist()
    base = [twin.top_mean(v, 8) for v in out.cas.tolist()]
    assert terms["base"] == pytest.approx(twin.bce(base, with_column(batch.labels, 1)), rel=1e-4)
    wanted = twin.bce([twin.top_mean(v, 8) for v in supp], with_column(batch.labels, 0))
    assert terms["suppressed"] == pytest.approx(wanted, rel=1e-4)
    assert terms["norm"] == pytest.approx(1e-4 * np.mean([sum(a) for a in out.attention.tolist()]), rel=1e-4)


def test_basnet_kept_classes_count_one():
    net, _, out, _ = run("basnet", class_threshold=0.9)
    found = net.activations(out)
    assert torch.equal(found["cas"], out.parts["suppressed"])
    p = np.array([twin.softmax(twin.top_mean(v, 8))[:-1] for v in found["cas"].tolist()])
    wanted = p >= 0.9
    wanted[np.arange(len(p)), p.argmax(1)] |= ~wanted.any(1)
    np.testing.assert_array_equal(found["video"].numpy(), wanted)
    assert set(run("basnet", video_score="soft")[0].activations(out)) == {"cas"}


def test_cola_losses():
    _, batch, out, terms = run("cola")
    assert (out.cas >= 0).all()
    video = [twin.top_mean(v, 5) for v in out.cas.tolist()]
    assert terms["action"] == pytest.approx(twin.bce(video, batch.labels.tolist()), rel=1e-4)
    mined = mining.mine(out.cas.sum(-1), easy=4, hard=1, inner=3, outer=6, dropout=0)
    sets = {k: mining.gather(out.parts["embedded"], i).tolist() for k, i in mined._asdict().items()}
    mean = {k: np.mean(v, axis=1).tolist() for k, v in sets.items()}
    wanted = sum(
        twin.info_nce(mean[f"hard_{a}"], mean[f"easy_{a}"], sets[f"easy_{b}"], 0.07)
        for a, b in (("action", "background"), ("background", "action"))
    )
    assert terms["contrast"] == pytest.approx(0.01 * wanted, rel=1e-3)
    a = out.cas.sum(-1)
    low, high = a.min(1, keepdim=True).values, a.max(1, keepdim=True).values
    torch.testing.assert_close(out.attention, (a - low) / (high - low))


def test_um_losses_and_video_probabilities():
    net, batch, out, terms = run("um", margin=100.0)
    feature = out.embedding.detach().numpy()
    size = np.linalg.norm(feature, axis=-1)
    cas = out.cas.detach().numpy()
    video, nothing, magnitude = [], [], []
    for b in range(len(size)):
        order = np.argsort(-size[b])
        high, low = order[: 23 // 9], order[::-1][: 23 // 4]
        video.append(cas[b, high].mean(0).tolist())
        nothing.append(cas[b, low].mean(0).tolist())
        long, short = (np.linalg.norm(feature[b, i].mean(0)) for i in (high, low))
        magnitude.append((max(100 - long, 0) + short) ** 2)
    assert terms["action"] == pytest.approx(twin.bce(video, batch.labels.tolist()), rel=1e-4)
    assert terms["background"] == pytest.approx(twin.bce(nothing, np.ones((6, 3)).tolist()), rel=1e-4)
    assert terms["magnitude"] == pytest.approx(5e-4 * np.mean(magnitude), rel=1e-4)
    found = net.activations(out)
    np.testing.assert_allclose(found["video"].detach().numpy(), [twin.softmax(v) for v in video], rtol=1e-4)
    share = np.array([[twin.softmax(row) for row in v] for v in cas.tolist()])
    scaled = (size - size.min(1, keepdims=True)) / np.ptp(size, axis=1, keepdims=True)
    np.testing.assert_allclose(found["cas"].detach().numpy(), share * scaled[..., None], rtol=1e-4, atol=1e-6)


def test_hamnet_losses():
    _, batch, out, terms = run("hamnet")
    cas, attention = out.cas.detach().numpy().astype(float), out.attention.detach().numpy().astype(float)
    a = attention[..., None]
    limit = a.min(1, keepdims=True) + 0.2 * np.ptp(a, axis=1, keepdims=True)
    dropped = np.where(a < limit, a, 0.0)
    low = cas.min(-1, keepdims=True)
    present, absent = with_column(batch.labels, 1), with_column(batch.labels, 0)
    bcl, hal = (twin.mil_ce(x.tolist(), present, 10) for x in (cas, (dropped > 0) * (cas - low) + low))
    sal, ssal = (twin.mil_ce(x.tolist(), absent, 10) for x in (a * cas, dropped * (cas - low) + low))
    assert terms["present"] == pytest.approx(0.2 * hal + 0.8 * bcl, rel=1e-4)
    assert terms["absent"] == pytest.approx(0.2 * ssal + 0.8 * sal, rel=1e-4)
    assert terms["norm"] == pytest.approx(0.8 * attention.mean(), rel=1e-4)
    background = np.array([[twin.softmax(row)[-1] for row in v] for v in cas.tolist()])
    assert terms["guide"] == pytest.approx(0.8 * np.abs(1 - attention - background).mean(), rel=1e-4)


def test_aicl_losses_and_video_probabilities():
    net, batch, out, terms = run("aicl")
    cas = out.cas.detach().numpy().astype(float)
    a = {s: out.parts[s].detach().numpy().astype(float) for s in ("rgb", "flow")}
    video, positive = [], []
    for b in range(len(cas)):
        combined = (np.array([twin.softmax(row) for row in cas[b].tolist()]) + (a["rgb"] + a["flow"])[b][:, None]) / 3
        chosen = [np.argsort(-combined[:, c])[: 23 // 8] for c in range(3)]
        video.append([cas[b, i, c].mean() for c, i in enumerate(chosen)])
        positive.append(np.isin(np.arange(23), np.concatenate([chosen[c] for c in range(3) if batch.labels[b, c]])))
        np.testing.assert_allclose(net.activations(out)["cas"][b].detach().numpy(), combined, rtol=1e-4)
    labels = batch.labels.tolist()
    ce = -np.mean([np.log(twin.softmax(v)) @ np.array(y) / (sum(y) + 1e-4) for v, y in zip(video, labels, strict=True)])
    assert terms["cls"] == pytest.approx(ce, rel=1e-4)
    wanted = sum(twin.generalized_ce(a[s].tolist(), positive, 0.7) for s in ("rgb", "flow"))
    assert terms["actionness"] == pytest.approx(wanted, rel=1e-4)
    found = net.activations(out)["video"].detach().numpy()
    np.testing.assert_allclose(found, [twin.softmax(v) for v in video], rtol=1e-4)
    with pytest.raises(UsageError, match="robustness is 0"):
        load_method("aicl").Config(robustness=0)


def test_stpn_losses_and_streams():
    stpn = load_method("stpn")
    for streams in ("rgb", "flow", "both"):
        net, batch, out, terms = run("stpn", streams=streams)
        names = stpn.inference_streams(net.config)
        assert names == stpn.training_streams(net.config) == (("rgb", "flow") if streams == "both" else (streams,))
        cls, norm = 0.0, 0.0
        for s in names:
            a, x = (v.detach().double().numpy() for v in (out.parts[s], batch.streams[s]))
            layer = net.classifier[s]
            pooled = (a[..., None] * x).mean(1)
            logits = pooled @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
            p, y = 1 / (1 + np.exp(-logits)), batch.labels.numpy()
            cls -= (y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
            norm += np.abs(a).sum(1).mean()
        assert terms["cls"] == pytest.approx(cls, rel=1e-4)
        assert terms["sparsity"] == pytest.approx(1e-4 * norm, rel=1e-4)


def test_a_given_classifier_takes_the_place_of_the_own_one():
    for name in ("basnet", "cola", "um", "hamnet", "aicl", "stpn"):
        head = load_method(name)
        net = head.build(small_config(head), NAMES, own_classifier=False).eval()
        streams = {s: torch.randn(1, 9, WIDTH) for s in head.training_streams(small_config(head))}
        with pytest.raises(UsageError, match="without a classifier"):
            net(streams)
        given = torch.nn.Linear(net.width, 3 + net.background)
        out = net(streams, None, given)
        assert out.cas.shape == (1, 9, 3 + net.background)
        assert out.embedding.shape == (1, 9, net.width)
        assert all(torch.isfinite(v) for v in net.objective(out, Batch(streams, torch.eye(3)[:1])).values())


def test_top_weights_and_minmax():
    x = torch.tensor([[3.0, 1.0, 2.0, 5.0, 4.0, 9.0]])
    torch.testing.assert_close(top_weights(x, 3), torch.tensor([[0, 0, 0, 0.5, 0, 0.5]]))
    mask = torch.tensor([[1.0, 1, 1, 1, 0, 0]])
    torch.testing.assert_close(top_weights(x, 2, mask), torch.tensor([[0.5, 0, 0, 0.5, 0, 0]]))
    torch.testing.assert_close(top_weights(x[..., None], 2, mask)[..., 0], top_weights(x, 2, mask))
    torch.testing.assert_close(minmax(x, mask), torch.tensor([[0.5, 0, 0.25, 1, 0, 0]]))
    assert minmax(torch.ones(1, 4)).abs().sum() == 0


def test_padding_is_not_mined():
    a = torch.rand(2, 30) + 0.1
    mask = torch.ones(2, 40)
    mask[:, 30:] = 0
    longer = torch.cat([a, torch.zeros(2, 10)], 1)
    options = {"easy": 5, "hard": 2, "inner": 3, "outer": 6, "dropout": 0.0}
    found = mining.mine(longer, **options, mask=mask)
    plain = mining.mine(a, **options)
    assert all((i < 30).all() for i in found)
    assert torch.equal(found.easy_action, plain.easy_action)
    assert torch.equal(found.easy_background, plain.easy_background)


def test_small_losses_equal_their_twins(rng):
    p, kind = rng.uniform(0.05, 0.95, (2, 6)), rng.integers(0, 2, (2, 6))
    found = losses.generalized_ce(torch.tensor(p), torch.tensor(kind).double(), 0.5)
    assert found.item() == pytest.approx(twin.generalized_ce(p.tolist(), kind.tolist(), 0.5))
    q, k, n = rng.normal(size=(2, 4)), rng.normal(size=(2, 4)), rng.normal(size=(2, 3, 4))
    found = losses.info_nce(*(torch.tensor(v) for v in (q, k, n)), 0.07)
    assert found.item() == pytest.approx(twin.info_nce(q.tolist(), k.tolist(), n.tolist(), 0.07))
