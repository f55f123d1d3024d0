"""Features to segments in four steps: score, propose, suppress, to_segments."""

from .activations import activations_of, score, score_together
from .proposals import Evaluator, evaluator_of, paired, propose
from .segments import to_segments
from .suppress import suppress

__all__ = [
    "Evaluator",
    "activations_of",
    "evaluator_of",
    "paired",
    "propose",
    "score",
    "score_together",
    "suppress",
    "to_segments",
]
