"""Small networks of TSM and VLC for their tests."""

from __future__ import annotations

from dataclasses import replace

import torch

from tal_engine.lab.methods import load_method
from tal_engine.vocabulary import Vocabulary
from tests.learning import NAMES, quiet_config

TSM = load_method("tsm_vlc")
CODE = TSM.RECIPES["thumos14-code"].config
TINY = {"width": 16, "heads": 2, "feedforward": 24, "word_dim": 12, "vlc_heads": 2}
_THUMOS14 = """
BaseballPitch BasketballDunk Billiards CleanAndJerk CliffDiving CricketBowling CricketShot Diving FrisbeeCatch
GolfSwing HammerThrow HighJump JavelinThrow LongJump PoleVault Shotput SoccerPenalty TennisSwing ThrowDiscus
VolleyballSpiking
"""
THUMOS14 = Vocabulary(_THUMOS14.split())


def tiny(**changes):
    return replace(quiet_config(TSM), **{**TINY, **changes})


def tiny_net(**changes):
    torch.manual_seed(0)
    return TSM.build(tiny(**changes), NAMES)


def sizes(net):
    """Parameters of each part."""
    return {n: sum(p.numel() for p in m.parameters()) for n, m in net.named_children()}
