"""What a stream needs of an engine: encoders, a head, and what the plan says of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..inference.online_scoring import Reading, Step
from ..plan.archive import Plan
from ..records import Features, Proposals, Snippets


class Models(Protocol):
    """Encoders and head of a plan; `TALEngine` is one."""

    @property
    def plan(self) -> Plan:
        """The plan."""

    def encode_snippets(self, snippets: Snippets) -> dict[str, NDArray[np.float32]]:
        """Compute features [N, D] of a batch of snippets by stream."""

    def advance(self, steps: Sequence[Step]) -> list[Reading]:
        """Read on in several streams with an online head."""

    def propose(self, features: Features) -> Proposals:
        """Propose segments for one window, before suppression."""

    def propose_many(self, features: Sequence[Features]) -> list[Proposals]:
        """Propose segments for several windows at once, in their order."""
