"""Features to segments in four steps: score, propose, suppress, to_segments."""

from .activations import activations_of, score
from .proposals import propose
from .segments import to_segments
from .suppress import suppress

__all__ = ["activations_of", "propose", "score", "suppress", "to_segments"]
