"""Text towers: CLIP's through open_clip from files, the hashed one, and prompts through all of them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tal_engine.errors import CheckpointError, UsageError
from tal_engine.lab.nn.clip import ClipText, load_clip_text
from tal_engine.lab.nn.hashed_text import HashedText
from tal_engine.lab.nn.image_towers import open_text
from tal_engine.lab.nn.prompt import PromptLearner
from tal_engine.lab.nn.text import spoken


@pytest.fixture(scope="module")
def model():
    """RN50 of the paper, with random weights in the public key layout."""
    open_clip = pytest.importorskip("open_clip")
    torch.manual_seed(0)
    return open_clip.create_model("RN50", load_weights=False).eval()


def test_names_are_spoken():
    assert [spoken(n) for n in ("CleanAndJerk", "sit_down", "high jump")] == ["Clean And Jerk", "sit down", "high jump"]


def test_clip_equals_open_clip(model):
    """Text width 512, joint space 1024 (methods.md 9), and the same vectors as open_clip's own path."""
    open_clip = pytest.importorskip("open_clip")
    tower = ClipText(model)
    assert (tower.context, tower.width, tower.dim) == (77, 512, 1024)
    texts = ["a video of Clean And Jerk", "golf"]
    with torch.no_grad():
        wanted = model.encode_text(open_clip.tokenize(texts))
    torch.testing.assert_close(tower(texts), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", ["pt", "wrapped", "safetensors", "openai"])
def test_clip_weights_are_read_in_every_public_form(model, tmp_path, form):
    import safetensors.torch

    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    path = tmp_path / f"w.{'safetensors' if form == 'safetensors' else 'pt'}"
    if form == "safetensors":
        safetensors.torch.save_file(state, str(path))
    elif form == "wrapped":
        torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    elif form == "openai":
        torch.save({k: v.half() for k, v in state.items()} | {"input_resolution": torch.tensor(224)}, path)
    else:
        torch.save(state, path)
    tower = load_clip_text("RN50", path)
    x, end = torch.randn(2, 9, 512), torch.tensor([8, 3])
    wanted = ClipText(model).encode(x, end)
    if form == "openai":  # quick GELU: close, not the same
        assert functional.cosine_similarity(tower.encode(x, end), wanted).min() > 0.9
    else:
        torch.testing.assert_close(tower.encode(x, end), wanted)


def test_clip_files_that_do_not_fit_are_named(model, tmp_path):
    with pytest.raises(UsageError, match=r"needs its weights file and nothing is downloaded: take RN50\.pt"):
        load_clip_text("RN50", None)
    with pytest.raises(UsageError, match="unknown CLIP architecture 'RN51'"):
        load_clip_text("RN51", tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="no such weights file"):
        load_clip_text("RN50", tmp_path / "x.pt")
    (tmp_path / "junk.pt").write_bytes(b"junk" * 9)
    with pytest.raises(CheckpointError, match=r"junk\.pt: cannot be read as weights"):
        load_clip_text("RN50", tmp_path / "junk.pt")
    state = dict(model.state_dict())
    torch.save({k: v for k, v in state.items() if k != "ln_final.bias"}, tmp_path / "less.pt")
    with pytest.raises(CheckpointError, match=r"\(text tower\): missing ln_final\.bias; unexpected nothing"):
        load_clip_text("RN50", tmp_path / "less.pt")
    torch.save(state | {"text_projection": torch.zeros(512, 3)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"text_projection is \[512, 3\], needs \[512, 1024\]"):
        load_clip_text("RN50", tmp_path / "other.pt")


@pytest.mark.parametrize("layout", ["affix", "full"])
@pytest.mark.parametrize("background", [True, False])
def test_prompts_learn_through_frozen_towers(model, layout, background):
    for tower in (ClipText(model), HashedText(32)):
        prompt = PromptLearner(tower, ["CleanAndJerk", "GolfSwing"], layout=layout, background=background)
        out = prompt()
        assert out.shape == (2 + background, tower.dim)
        (out @ torch.randn(tower.dim)).sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in prompt.parameters())
        assert not any(p.requires_grad for p in tower.parameters())


def test_the_hashed_tower_is_the_same_everywhere_and_knows_words():
    a, b = HashedText(64, seed=3), HashedText(64, seed=3)
    texts = ["CleanAndJerk", "clean and jerk", "a video of clean and jerk", "GolfSwing"]
    e = functional.normalize(a(texts), dim=1)
    torch.testing.assert_close(e, functional.normalize(b(texts), dim=1))
    torch.testing.assert_close(e[0], e[1])
    assert e[0] @ e[2] > 0.5 > e[0] @ e[3]
    assert not torch.allclose(a(texts), HashedText(64, seed=4)(texts))


def test_towers_by_name():
    assert open_text("hashed", dim=16).dim == 16
    assert open_text("tiny").dim == 128
    with pytest.raises(UsageError, match="unknown text tower 'bert'; known: clip, hashed, tiny"):
        open_text("bert")
