"""Snippets to features, by graphs or from files. Knows nothing of videos or of heads."""

from .contract import Difference, check_contract, contract_of, differences, merged
from .graph import EncoderGraph, SnippetEncoder, encode
from .store import load_features, save_features

__all__ = [
    "Difference", "EncoderGraph", "SnippetEncoder", "check_contract", "contract_of", "differences", "encode",
    "load_features", "merged", "save_features",
]  # fmt: skip
