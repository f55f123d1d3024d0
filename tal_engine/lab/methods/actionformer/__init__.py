"""ActionFormer: segments from labels with start and end times (Zhang, Wu and Li, ECCV 2022).

A pyramid of local self-attention (`blocks`, `network`) looks at a video at several time steps. Each moment of each
level says which classes it lies in and how far away their borders are. Training assigns segments to moments (`targets`)
and learns by a focal and a distance-IoU loss (`losses`). The runtime turns moments into segments
(`inference.pyramid`) and suppresses them.

Times inside of this package are in snippets: the moment t is the middle of snippet t.
"""

from ...heads.streams import visual_streams
from .config import RECIPES, Config, nms_options, proposal_options
from .network import ActionFormer, build, freeze

__all__ = ["RECIPES", "ActionFormer", "Config", "build", "freeze", "nms_options", "proposal_options"]

name = "actionformer"
uses_text = False
uses_segments = True
mixes = True
training_streams = visual_streams
inference_streams = visual_streams
