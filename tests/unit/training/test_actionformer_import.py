"""ActionFormer's published key layout: read, and the same numbers as the public architecture gives, one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tal_engine.errors import CheckpointError
from tal_engine.lab.methods.actionformer.network import padded_length
from tal_engine.lab.training import checkpoint, import_weights
from tests.public_layouts import THREE, W, actionformer, written
from tests.reference import actionformer as twin


@pytest.mark.parametrize("length", [1, 13, 16])
def test_published_weights_give_what_the_public_architecture_gives(length, tmp_path):
    """Padded to its training length as the public code does it, which is longer than ours."""
    torch.manual_seed(length)
    file = actionformer()
    found = import_weights.read(
        written(tmp_path, file, "epoch_034.pth.tar"), THREE, adjust=lambda c: type(c)(**{**vars(c), "window": 5})
    )
    assert "'state_dict_ema' is taken, others are 'state_dict'" in found.notes[0]
    assert found.unused == ()
    assert (found.config.width, found.config.levels, found.config.stem, found.config.embedding) == (8, 3, 1, 2)
    assert (found.config.heads, found.config.rgb, found.config.flow) == (4, W, W)
    streams = {s: torch.randn(1, length, W) for s in ("rgb", "flow")}
    with torch.no_grad():
        out = found.net(streams)
    state = {k.removeprefix("module."): v.double().numpy() for k, v in file["state_dict_ema"].items()}
    x = np.concatenate([s[0].double().numpy() for s in streams.values()], 1)
    first, ours = 0, padded_length(length, 3)
    for stride, (logits, distances, mask) in zip(
        (1, 2, 4), twin.network(state, x, levels=3, heads=4, window=5, padded=40), strict=True
    ):
        rows = int(mask.sum())
        here = slice(first, first + rows)
        assert out.mask[0, first : first + ours // stride].sum() == rows
        np.testing.assert_allclose(out.logits[0, here], logits[:rows], atol=1e-5)
        np.testing.assert_allclose(out.distances[0, here], distances[:rows], atol=1e-5)
        first += ours // stride


def test_they_become_a_checkpoint(tmp_path):
    torch.manual_seed(0)
    file = actionformer(stem=2, levels=2, head_layers=2)
    found = import_weights.read(written(tmp_path, file), THREE, key="state_dict")
    import_weights.save(tmp_path / "c", found)
    net = checkpoint.load(tmp_path / "c").network()
    assert sum(p.numel() for p in net.parameters()) == sum(v.numel() for v in file["state_dict"].values())
    theirs = sorted(float(v.sum()) for v in file["state_dict"].values())
    assert sorted(float(v.sum()) for v in net.state_dict().values()) == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("module.neck.lateral_convs.0.conv.weight", "a top-down path"),
        ("module.backbone.stem.0.attn.rel_pe", "relative positions"),
        ("module.backbone.proj.0.conv.weight", "a projection of each stream"),
    ],
)
def test_variants_that_are_not_read_are_refused(key, words, tmp_path):
    state = actionformer()["state_dict"] | {key: torch.zeros(1)}
    with pytest.raises(CheckpointError, match=f"ActionFormer with {words}.*: import reads its pyramid"):
        import_weights.read(written(tmp_path, state), THREE)


def test_what_is_missing_is_named_as_published(tmp_path):
    state = actionformer()["state_dict"]
    del state["module.backbone.branch.1.attn.key.weight"]
    words = r"missing backbone\.branch\.1\.attn\.key\.weight \(branch\.1\.attention\.key\.weight here\)"
    with pytest.raises(CheckpointError, match=words):
        import_weights.read(written(tmp_path, state), THREE)
