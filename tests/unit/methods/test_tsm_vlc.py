"""TSM and VLC: sizes, queries, masking, who learns from what."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from tal_engine.errors import UsageError
from tal_engine.lab.heads.interface import Batch
from tal_engine.lab.methods.tsm_vlc import completion
from tests.learning import NAMES, WIDTH, a_batch, multi_label, numbers, quiet_config
from tests.tsm import CODE, THUMOS14, TSM, sizes, tiny, tiny_net


def test_published_sizes():
    """methods.md 8: TSM 97.13 M, VLC 51.0 M."""
    config = TSM.Config(**{**CODE, "masking": "words"})
    with torch.device("meta"):
        net = TSM.build(config, THUMOS14)
        vlc = completion.Reconstructor(config, net.words, 8001)
    found = sizes(net)
    assert found["base"] + found["queries"] == 97_128_406
    pair = sum(p.numel() for m in (net.vlc.rgb, net.vlc.flow) for p in m.parameters())
    # The code's VLC holds more that no loss reaches: a small second transformer, and attention to a memory in its
    # three encoder layers, which have none.
    attention = 4 * (512 * 512 + 512)
    layer = 2 * attention + (512 * 1024 + 1024) + (1024 * 512 + 512) + 3 * 2 * 512
    unused = 2 * layer + 3 * (attention + 2 * 512)
    assert sum(p.numel() for p in vlc.parameters()) + pair + unused == 51_001_243
    # And its vocabulary has 8001 words, of which sentences about 20 classes need 42.
    assert net.vlc.reconstructor.logits.out_features == len(net.words.words) + 1 < 50


@pytest.mark.parametrize(("name", "width", "most"), [("simulator", 64, 600_000), ("demo", 128, 1_400_000)])
def test_recipes_for_narrow_features(name, width, most):
    """Small enough to train on a CPU (published: 148 M), VLC smaller than what it teaches."""
    found = sizes(TSM.build(TSM.Config(**TSM.RECIPES[name].config, rgb=width, flow=width), NAMES))
    assert sum(found.values()) < most
    assert found["vlc"] < found["base"]


def test_text_block_of_its_own_width():
    net = tiny_net(text_width=6, mlp_ratio=3)
    q = net.queries
    assert (q.embed.out_features, q.block.mlp[0].out_features) == (6, 18)
    assert q.learned_positions.shape[-1] == q.positions.shape[-1] == 6
    assert q().shape == (4, 2 * WIDTH)
    assert isinstance(tiny_net().queries.fit, torch.nn.Identity)
    with pytest.raises(UsageError, match=r"heads is 2, must divide the width of the text block \(5\)"):
        tiny_net(text_width=5)


def test_words_of_queries_and_sentences():
    net = TSM.build(tiny(**TSM.RECIPES["thumos14"].config), THUMOS14)
    jerk = THUMOS14.id("CleanAndJerk")
    words = net.words.words
    assert [words[i] for i in net.queries.name_ids[jerk]] == ["clean", "jerk"]
    assert [words[i] for i in net.queries.name_ids[THUMOS14.id("Shotput")]] == ["shot", "put"]
    assert [words[i] for i in net.queries.name_ids[THUMOS14.id("Diving")]] == ["diving", "diving"]
    assert net.vlc.sentences.say([jerk, 7]) == ["a", "video", "of", "the", "clean", "and", "jerk", "and", "diving"]
    assert net.vlc.sentences.say([]) == ["a", "video", "of", "the"]


@pytest.mark.parametrize("short", ["repeat", "zeros", "masked"])
def test_short_names(short):
    net = tiny_net(short_names=short, start="prompt", prompts=2).eval()
    q, run = net.queries, net.words.ids["run"]
    tokens = q.tokens()[0]
    assert tokens.shape == (4, 12)
    vector = net.words.vectors[run]
    torch.testing.assert_close(tokens[2], vector)
    torch.testing.assert_close(tokens[3], vector if short == "repeat" else torch.zeros(12))
    assert q.real[0].tolist() == [True, True, True, short != "masked"]
    assert q.real[2:].all()  # "sit down" and background
    before = q()[0]
    with torch.no_grad():
        q.learned_positions[0, 3] += 100
    assert torch.equal(before, q()[0]) == (short == "masked")


def test_cas_is_the_inner_product_with_token_0():
    net = tiny_net(branch_scale=0.0).eval()
    q = net.queries
    # Without its branches the block hands on the start token: embedded, positions added.
    first = torch.nn.functional.leaky_relu(q.embed(q.start), 0.2) + q.learned_positions[:, 0] + q.positions[0]
    torch.testing.assert_close(q(), first)
    assert not q.positions[0].any()
    net = tiny_net().eval()
    batch = a_batch(TSM)
    out = net.base(batch.streams, None, lambda e: e @ net.queries().T)
    wanted = np.einsum("btd,cd->btc", numbers(out.embedding), numbers(net.queries()))
    frozen = TSM.freeze(net)(**batch.streams)
    np.testing.assert_allclose(numbers(frozen["cas"]), wanted * numbers(out.attention)[..., None], rtol=1e-4, atol=1e-5)


def test_background_begins_with_zeros_and_learns():
    net = tiny_net().train()
    assert not net.queries.background.any()
    sum(net.loss(a_batch(TSM), 0).values()).backward()
    assert net.queries.background.grad.abs().sum() > 0


def test_handcraft_prompt():
    net = tiny_net(prompt="handcraft", start="prompt", template="a video of [CLS] now").eval()
    words = ["a", "video", "of", "sit", "down", "now"]
    torch.testing.assert_close(net.queries.tokens()[2], net.words.vectors[net.words.rows(words)])
    assert net.queries.prompts is None


# -- masking ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masking", ["words", "none"])
def test_masks_hide_words(masking):
    """Another vector for a masked word changes nothing of what is read, but where all words are read (compat)."""
    net = tiny_net(masking=masking, **({} if masking == "words" else {"word_loss": "mean"})).eval()
    vlc = net.vlc
    sentences = vlc.sentences(torch.tensor([[0.0, 0, 1], [1, 0, 0]]), net.words)
    masked = torch.zeros_like(sentences.real)
    masked[0, 4] = True  # a video of the SIT down
    before = vlc.reconstructor.words(sentences, masked)
    net.words.vectors[net.words.ids["sit"]] += 5.0
    after = vlc.reconstructor.words(sentences, masked)
    assert torch.equal(before, after) == (masking == "words")
    net.words.vectors[net.words.ids["down"]] += 5.0
    assert not torch.equal(after, vlc.reconstructor.words(sentences, masked))


def test_positions_reach_the_decoder_only_with_masks():
    with_, without = (tiny_net(masking=m).vlc.eval() for m in ("words", "none"))
    table = tiny_net().words
    for vlc, differs in ((with_, True), (without, False)):
        s = vlc.sentences(torch.tensor([[1.0, 0, 0]]), table)
        s = s._replace(ids=torch.full_like(s.ids, 2))
        x = vlc.reconstructor.words(s, torch.zeros_like(s.real))
        assert (not torch.allclose(x[0, 1], x[0, 2])) == differs


def test_words_are_predicted_from_earlier_ones():
    for kind in ("transformer", "gru", "lstm"):
        r = tiny_net(reconstructor=kind).vlc.reconstructor.eval()
        words, video = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
        real, weight = torch.ones(2, 5, dtype=torch.bool), torch.rand(2, 7)
        a = r.body(video, weight, words, real, None)
        words[:, 3] += 1
        b = r.body(video, weight, words, real, None)
        torch.testing.assert_close(a[:, :3], b[:, :3])
        assert not torch.allclose(a[:, 3:], b[:, 3:])


def test_a_third_of_the_words_is_drawn_by_weight():
    net = tiny_net()
    sentences = net.vlc.sentences(torch.tensor([[0.0, 0, 1]]), net.words)  # a video of the sit down
    assert sentences.weights.tolist() == [[1, 2, 1, 1, 2, 2]]
    torch.manual_seed(0)
    many = type(sentences)(*(x.expand(4000, -1) for x in sentences))
    drawn = completion.drawn_masks(many)
    assert (drawn.sum(1) == 2).all()
    rng = np.random.default_rng(0)
    p = np.array([1, 2, 1, 1, 2, 2]) / 9
    wanted = Counter(i for _ in range(4000) for i in rng.choice(6, 2, replace=False, p=p))
    np.testing.assert_allclose(drawn.float().mean(0).numpy(), [wanted[i] / 4000 for i in range(6)], atol=0.03)


def test_masks_stay_in_the_sentence():
    net = tiny_net()
    sentences = net.vlc.sentences(torch.tensor([[1.0, 0, 0], [1, 1, 1]]), net.words)
    drawn = completion.drawn_masks(sentences)
    assert sentences.real.sum(1).tolist() == [5, 10]
    assert drawn.sum(1).tolist() == [1, 3]
    assert not (drawn & ~sentences.real).any()


# -- who learns from what --------------------------------------------------------------------------------------------


def learners(net, term):
    """Parts of the network that a term gives gradients to."""
    net.zero_grad(set_to_none=True)
    torch.manual_seed(0)
    net.loss(a_batch(TSM), 0)[term].backward()
    touched = {n for n, p in net.named_parameters() if p.grad is not None and p.grad.abs().sum()}
    parts = {"vlc.reconstructor": "reconstructor", "vlc.": "attention", "base.": "base", "queries.": "queries"}
    return {next(part for start, part in parts.items() if n.startswith(start)) for n in touched}


def test_every_part_learns_from_its_own_terms():
    # A reconstructor that was never trained tells no attentions apart: margins keep the contrast at work.
    net = tiny_net(updates="separate", margin_whole=5.0, margin_rest=5.0).train()
    assert learners(net, "rec") == {"reconstructor"}
    assert learners(net, "contrast") == {"attention"}
    assert learners(net, "vlc_reconstruction") == {"attention"}
    assert learners(net, "con_vlc") == {"attention"}
    assert learners(net, "con_tsm") == {"base"}
    assert learners(net, "mil") == {"base", "queries"}
    assert all(p.requires_grad for p in net.vlc.parameters())


def test_joint_updates_are_those_of_eq_12():
    net = tiny_net(margin_whole=5.0, margin_rest=5.0).train()
    assert learners(net, "rec") == learners(net, "contrast") == {"reconstructor", "attention"}


def test_shared_attention_learns_in_the_base():
    net = tiny_net(consistency="shared", updates="separate", margin_whole=5.0, margin_rest=5.0).train()
    assert learners(net, "rec") == {"reconstructor"}
    assert learners(net, "contrast") == {"base"}
    terms = net.loss(a_batch(TSM), 0)
    assert not {"con_tsm", "con_vlc", "vlc_reconstruction"} & set(terms)


VARIANTS = [
    {},
    CODE,
    TSM.RECIPES["activitynet"].config,
    *({"consistency": c} for c in ("mae", "kl", "shared", "none")),
    {"reconstructor": "gru"},
    {"reconstructor": "lstm", "weighting": "after"},
    {"prompt": "handcraft"},
    {"text_query": False},
    {"text_query": False, "consistency": "none"},
    {"text_query": False, "contrast_weight": 0.0},
    {"text_width": 8, "mlp_ratio": 1},
    {"updates": "separate", "learn_whole": True, "label_smoothing": 0.1},
    {"short_names": "masked", "masking": "none", "end_token": True},
    {"base": "basnet", "base_options": {}},
    {"base": "hamnet", "base_options": {}},
    {"base": "basnet", "base_options": {}, "text_query": False},
    {"base": "hamnet", "base_options": {}, "consistency": "none"},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=lambda c: "-".join(map(str, list(c)[:2])) or "default")
def test_variants_train(changes):
    net = tiny_net(**changes).train()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    batch, totals = multi_label(a_batch(TSM)), []
    for step in range(25):
        terms = net.loss(batch, step)
        assert all(torch.isfinite(v) and v.ndim == 0 for v in terms.values())
        total = sum(terms.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert np.mean(totals[-3:]) < 0.95 * np.mean(totals[:3])
    assert ("rec" in terms) == (net.config.consistency != "none")
    frozen = TSM.freeze(net)(**batch.streams)
    assert frozen["cas"].shape == (6, 24, 4)


@pytest.mark.parametrize("changes", [{}, CODE, {"reconstructor": "gru"}], ids=["paper", "code", "gru"])
def test_padding_has_no_effect(changes):
    net = tiny_net(**{**changes, "base_options": dict(quiet_config(TSM).base_options)}).train()
    streams = {s: torch.randn(2, 14, WIDTH) for s in ("rgb", "flow")}
    mask = torch.cat([torch.ones(2, 14), torch.zeros(2, 6)], 1)
    longer = {s: torch.cat([x, torch.randn(2, 6, WIDTH)], 1) for s, x in streams.items()}
    found = []
    for batch in (Batch(streams, torch.eye(3)[:2]), Batch(longer, torch.eye(3)[:2], mask=mask)):
        torch.manual_seed(3)
        found.append(net.loss(batch, 0))
    assert found[0].keys() == found[1].keys() >= {"rec", "contrast", "con_vlc", "vlc_reconstruction", "reconstruction"}
    for term in found[0]:
        torch.testing.assert_close(found[0][term], found[1][term], rtol=1e-4, atol=1e-5, msg=term)
