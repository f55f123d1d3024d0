"""VLC's attention weighting and losses against twins that are loops over plain numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tal_engine.lab.methods.tsm_vlc import completion, reconstructor, text_segment
from tests.learning import a_batch, numbers
from tests.reference import completion as twin
from tests.tsm import TSM, tiny, tiny_net


@pytest.mark.parametrize("rule", ["inside", "after"])
@pytest.mark.parametrize("heads", [1, 2])
def test_attention_weighting(rule, heads):
    """One head divides by the root of the whole width (D_h of Eq. 6), more by that of their own."""
    torch.manual_seed(1)
    layer = reconstructor.WeightedAttention(tiny(weighting=rule, vlc_heads=heads)).double()
    x, memory = torch.randn(1, 5, 16).double(), torch.randn(1, 5, 16).double()
    weight, real = torch.rand(1, 5).double(), torch.tensor([[True, True, True, True, False]])
    layers = [(numbers(f.weight), numbers(f.bias)) for f in (layer.query, layer.key, layer.value, layer.out)]
    for causal in (False, True):
        found = layer(x, memory, weight, real, causal)
        allowed = [[bool(real[0, t]) and (not causal or t <= m) for t in range(5)] for m in range(5)]
        wanted = twin.attention(numbers(x[0]), numbers(memory[0]), layers, heads, numbers(weight[0]), allowed, rule)
        np.testing.assert_allclose(numbers(found[0]), wanted, rtol=1e-5, atol=1e-6)
    whole = layer(x, memory, None, real, False)
    torch.testing.assert_close(whole, layer(x, memory, torch.ones_like(weight), real, False), rtol=1e-5, atol=1e-6)


def test_attention_without_any_weight_is_finite():
    p = reconstructor.weighted_softmax(torch.randn(1, 1, 3, 4), torch.zeros(1, 4), None, "after")
    torch.testing.assert_close(p.sum(-1), torch.ones(1, 1, 3))


@pytest.mark.parametrize("changes", [{}, {"word_loss": "mean", "end_token": True, "label_smoothing": 0.1}])
def test_sentence_loss(changes):
    net = tiny_net(**changes).eval()
    r = net.vlc.reconstructor
    sentences = net.vlc.sentences(torch.tensor([[0.0, 0, 1], [1, 0, 0]]), net.words)
    masked = completion.drawn_masks(sentences)
    video, weight = torch.randn(2, 7, 16), torch.rand(2, 7)
    found = r(video, weight[None], sentences, masked, None)[0]
    _, counts = r.targets(sentences)
    logits = numbers(r.logits(r.body(r.frame(video), weight, r.words(sentences, masked), counts, None)))
    end = [0] if changes else []
    said = [["a", "video", "of", "the", "sit", "down"], ["a", "video", "of", "the", "run"]]
    for v, words in enumerate(said):
        ids = [net.words.ids[w] + 1 for w in words] + end
        wanted = twin.sentence_loss(logits[v][: len(ids)], ids, net.config.label_smoothing, net.config.word_loss)
        assert found[v].item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("whole", [False, True])
def test_what_the_reconstructor_learns_from(whole):
    """Eq. 9 by att_r alone, or by weights of 1 too, in value and gradient: the sum of what either gives."""
    net = tiny_net(learn_whole=whole, contrast_weight=0.0).eval()
    batch, r = a_batch(TSM), net.vlc.reconstructor
    torch.manual_seed(2)
    found = net.vlc._completion(net.vlc.look(batch, None), batch)["rec"]
    torch.manual_seed(2)
    seen = net.vlc.look(batch, None)
    sentences = net.vlc.sentences(batch.labels, net.words)
    masked = completion.drawn_masks(sentences)
    each = [
        r(seen.filtered.transpose(1, 2), w[None], sentences, masked, batch.mask)[0].mean()
        for w in (seen.attention, torch.ones_like(seen.attention))[: 1 + whole]
    ]
    torch.testing.assert_close(found, sum(each))
    parameters = list(r.frame.parameters())
    for a, b in zip(*(torch.autograd.grad(x, parameters) for x in (found, sum(each))), strict=True):
        torch.testing.assert_close(a, b)


def test_attentions_are_asked_together_as_one_by_one():
    net = tiny_net().eval()
    r = net.vlc.reconstructor
    sentences = net.vlc.sentences(torch.tensor([[0.0, 0, 1], [1, 0, 0]]), net.words)
    masked = completion.drawn_masks(sentences)
    video, weights = torch.randn(2, 7, 16), torch.rand(3, 2, 7)
    frames = torch.tensor([[1.0] * 7, [1.0] * 5 + [0.0] * 2])
    found = r(video, weights, sentences, masked, frames)
    for losses, weight in zip(found, weights, strict=True):
        torch.testing.assert_close(losses, r(video, weight[None], sentences, masked, frames)[0])


def test_text_block_gives_token_0_of_a_whole_block():
    torch.manual_seed(0)
    block = text_segment.TextBlock(tiny(branch_scale=0.5), 8).eval()
    x, real = torch.randn(3, 5, 8), torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] * 4 + [False]])
    layers = [(numbers(f.weight), numbers(f.bias)) for f in (block.query, block.key, block.value, block.out)]
    for row, open_, found in zip(x, real.tolist(), block(x, real), strict=True):
        seen = twin.attention(numbers(row), numbers(row), layers, 2, [1.0] * 5, [open_] * 5, "inside")
        whole = row + 0.5 * torch.from_numpy(seen).float()
        whole = whole + 0.5 * block.mlp(whole)
        torch.testing.assert_close(found, whole[0], rtol=1e-4, atol=1e-5)


def test_contrast():
    vlc = tiny_net(margin_whole=0.1, margin_rest=0.15).vlc
    rows = torch.rand(3, 5)
    wanted = twin.contrast(*rows.tolist(), 0.1, 0.15)
    assert vlc._contrast(*rows).item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("rule", ["mse", "mae", "kl"])
def test_consistency(rule):
    a, b = torch.rand(2, 2, 6).clamp(0.01, 0.99).requires_grad_(True)
    found = completion.disagreement(a, b, rule)
    assert found.item() == pytest.approx(twin.disagreement(a.tolist(), b.tolist(), rule), rel=1e-4)
    assert completion.disagreement(a, a, rule).item() == pytest.approx(0, abs=1e-6)
    mask = torch.tensor([[1.0] * 4 + [0] * 2] * 2)
    short = completion.disagreement(a[:, :4], b[:, :4], rule)
    torch.testing.assert_close(completion.disagreement(a, b, rule, mask), short)


def test_weights_multiply_their_terms():
    """All terms are linear in their weights, and terms of weight 0 are left out."""
    names = ("rec", "contrast", "consistency", "vlc_reconstruction")
    one = tiny_net(**{f"{n}_weight": 1.0 for n in names}).train()
    two = tiny_net(**{f"{n}_weight": 2.0 for n in names}).train()
    two.load_state_dict(one.state_dict())
    found = []
    for net in (one, two):
        torch.manual_seed(5)
        found.append(net.loss(a_batch(TSM), 0))
    for term in ("rec", "contrast", "con_tsm", "con_vlc", "vlc_reconstruction"):
        assert found[1][term].item() == pytest.approx(2 * found[0][term].item(), rel=1e-5)
    none = tiny_net(**{f"{n}_weight": 0.0 for n in names}).train().loss(a_batch(TSM), 0)
    assert set(none) == {"mil", "norm", "guide", "coactivity", "reconstruction"}


def test_sinusoids_are_those_of_the_code():
    table = text_segment.sinusoids(4, 6).numpy()
    rates = [10000 ** (-i / 2) for i in range(3)]
    wanted = np.array([[*(np.sin(p * r) for r in rates), *(np.cos(p * r) for r in rates)] for p in range(4)])
    wanted[0] = 0
    np.testing.assert_allclose(table, wanted, atol=1e-6)
