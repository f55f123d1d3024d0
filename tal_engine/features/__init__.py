"""Snippets to features, by graphs or from files. Knows nothing of videos or of heads."""

from .contract import check_contract, contract_of
from .graph import EncoderGraph, encode
from .stored import load_features, save_features

__all__ = ["EncoderGraph", "check_contract", "contract_of", "encode", "load_features", "save_features"]
