"""Features to segments in five steps: score, propose, suppress, `ScoreRule.shown`, to_segments."""

from .activations import activations_of, score, score_batch, score_on_card, score_windows_on_card
from .proposals import Evaluator, evaluator_of, paired, propose
from .pyramid import decoded
from .score_rule import ScoreRule
from .segments import to_segments
from .suppression import suppress

__all__ = [
    "Evaluator",
    "ScoreRule",
    "activations_of",
    "decoded",
    "evaluator_of",
    "paired",
    "propose",
    "score",
    "score_batch",
    "score_on_card",
    "score_windows_on_card",
    "suppress",
    "to_segments",
]
