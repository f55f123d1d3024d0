"""TSM and VLC: text queries mine segments, segments complete sentences (Boosting WTAL with text, CVPR 2023).

`text_segment` makes class names into queries, which replace a base head's classifier; `completion` teaches the
head's attention by what it takes to complete a sentence about the video. Equation and table numbers are the paper's.
"""

from ...heads.streams import visual_streams
from .config import RECIPES, Config
from .network import TSMVLC, build, freeze, nms_options, proposal_options

__all__ = ["RECIPES", "TSMVLC", "Config", "build", "freeze", "nms_options", "proposal_options"]

name = "tsm_vlc"
uses_text = False
training_streams = visual_streams
inference_streams = visual_streams
