"""Pre-training of the tiny encoders."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tal_engine.cli import demo_plan
from tal_engine.demo.captions import vocabulary
from tal_engine.demo.demo_set import render_split
from tal_engine.errors import FeatureError, UsageError
from tal_engine.lab.nn.tiny import TinyEncoders, load_tiny
from tal_engine.lab.training.pretrain_tiny import pretrain
from tal_engine.lab.training.snippets import cut_clips, snippet_set


def test_towers_are_pretrained_from_clips_to_one_file(tmp_path):
    """The whole pre-training at the smallest size: render, cut, three processes, one weights file."""
    render_split(tmp_path / "clips", "clips", 20, seed=3, workers=2)
    total = cut_clips(tmp_path / "clips", tmp_path / "snippets", workers=2)
    data = snippet_set(tmp_path / "snippets")
    assert len(data.labels) == total == 80
    assert data.frames.shape == (80, 4, 112, 112, 3)
    assert np.abs(data.flow).max() > 0
    assert sorted(np.unique(data.labels)) == list(range(20))
    epochs = {"flow": 1, "rgb": 1, "pair": 1}
    figures = pretrain(
        tmp_path / "snippets", tmp_path / "w.safetensors", epochs=epochs, pictures=256, seed=0, workers=2
    )
    assert set(figures) == {"flow_held_out_accuracy", "rgb_held_out_accuracy", "pair_loss"}
    assert np.isfinite(figures["pair_loss"])
    fresh = TinyEncoders(vocabulary()).state_dict()
    learned = load_tiny(tmp_path / "w.safetensors").state_dict()
    for part in ("rgb.trunk", "flow.trunk", "image.trunk", "text.blocks"):
        name = next(k for k in fresh if k.startswith(part) and k.endswith("weight"))
        assert not torch.equal(fresh[name], learned[name])


def test_clips_are_asked_for(tmp_path):
    (tmp_path / "annotations.json").write_text(json.dumps({"database": {}}))
    with pytest.raises(FeatureError, match="has no clips; render some with: tal demo render --split clips"):
        cut_clips(tmp_path, tmp_path / "cache")


def test_a_step_that_is_in_the_log_is_not_done_again(tmp_path):
    calls = []

    def run():
        calls.append(1)
        return {"videos": 3}

    demo_plan._Log(tmp_path / "log.json", 0).step("rendered", run)
    again = demo_plan._Log(tmp_path / "log.json", 0)
    again.step("rendered", run)
    assert len(calls) == 1
    assert again.record["steps"][0]["videos"] == 3
    with pytest.raises(UsageError, match="was made with seed 0"):
        demo_plan._Log(tmp_path / "log.json", 1)
