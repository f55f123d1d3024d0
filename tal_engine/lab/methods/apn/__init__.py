"""APN: action proposals from points (proposal-based localization with point-level supervision, BMVC 2023).

A point in each action is grown to a segment by clustering (`pseudo_labels`); segments teach where actions begin and end
(`boundary`) and how good a pair of both is (`evaluation`); a contrast sharpens the features around their borders
(`contrast`). There is no public code and the paper's supplement is not at hand: "our choice" marks what is open.

All borders are in snippets and half open: the action [s, e) is a pair of the start probability at s and the end
probability at e.
"""

from ...heads.streams import visual_streams
from .config import EARLIER, RECIPES, Config, nms_options, proposal_options
from .network import APN, build, freeze, freeze_evaluator
from .pseudo_segments import pseudo_segments

__all__ = [
    "APN", "EARLIER", "RECIPES", "Config", "build", "freeze", "freeze_evaluator", "nms_options",
    "proposal_options", "pseudo_segments",
]  # fmt: skip

name = "apn"
uses_text = True
uses_points = True
training_streams = visual_streams
inference_streams = visual_streams
