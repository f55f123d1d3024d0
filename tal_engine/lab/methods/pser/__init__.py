"""PseR: pseudo-label refinement for point-supervised temporal action detection (Fang and Hong, IEEE TMM 2026).

A network that learns from points (LACP) gives each point one segment, its seed (`seeds`). Segments like it, shorter,
longer and moved, are a bag (`bags`); a network looks at their features and says which of them are best (`ranking`).
Their mean is the pseudo-label, and a detector that wants segments, ActionFormer, learns from these. Inference is
ActionFormer's alone.

Source: the abstract and the public code, zhenyingfang/PseR; the paper's text is not at hand. "our choice" marks where
this differs from the code.

Borders are in snippets and half open, as those of proposals: the action [s, e) begins with snippet s.
"""

from ...heads.streams import visual_streams
from ..actionformer import nms_options, proposal_options
from .config import RECIPES, Config
from .network import PseR, build, freeze, views

__all__ = ["RECIPES", "Config", "PseR", "build", "freeze", "nms_options", "proposal_options", "views"]

name = "pser"
uses_text = False
uses_points = True
training_streams = visual_streams
inference_streams = visual_streams
