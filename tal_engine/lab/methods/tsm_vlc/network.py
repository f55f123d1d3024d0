"""The network of TSM and VLC: a base head, text queries in place of its classifier, completion beside it."""

from __future__ import annotations

import logging
from typing import Any

from torch import Tensor, nn

from ....options import NmsOptions, ProposalOptions
from ....vocabulary import Vocabulary
from ...heads import load_head
from ...heads.co2 import CO2, CrossAttention
from ...heads.interface import Batch, FrozenHead, Head
from .completion import Completion
from .config import Config
from .text_segment import InnerProduct, TextQueries
from .words import SentenceMaker, WordTable, around, name_words

log = logging.getLogger("tal_engine")


class TSMVLC(nn.Module):
    """Base head, queries (TSM, Eq. 1-4) and, in training, completion (VLC, Eq. 5-11)."""

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config = config
        self.base: Head = load_head(config.base).build(
            config.base_config, vocabulary, own_classifier=not config.text_query
        )
        short = name_words(vocabulary, config.spoken, config.left_out)
        full = name_words(vocabulary, config.spoken)
        needed = [w for n in short for w in n]
        if config.prompt == "handcraft":
            needed += [w for part in around(config.template) for w in part]
        has_vlc = config.consistency != "none"
        if has_vlc:
            needed += SentenceMaker(full, config.sentence, config.key_weight).words
        self.words = WordTable(needed, config.word_width, config.words, config.unknown)
        self.queries = None
        if config.text_query:
            self.queries = TextQueries(config, self.base.width, self.words, short, self.base.background)
        self.vlc = Completion(config, self.words, full) if has_vlc else None
        self._told = False

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Compute the weighted terms of Eq. 12: the base head's, whose L_cls is L_mil (Eq. 4), and those of VLC."""
        self.words.need()
        self._tell()
        if self.queries is None:
            out = self.base(batch.streams, batch.mask)
        else:
            queries = self.queries()
            out = self.base(batch.streams, batch.mask, lambda embedding: embedding @ queries.T)
        terms = {"mil" if k == "cls" else k: v for k, v in self.base.objective(out, batch).items()}
        if self.vlc is not None:
            terms |= self.vlc.loss(batch, out.attention, self._lent())
        return terms

    def _lent(self) -> dict[str, CrossAttention] | None:
        """Return the base head's attention, if VLC has none of its own."""
        if self.config.consistency != "shared" or not isinstance(self.base, CO2):
            return None
        return self.base.gates

    def _tell(self) -> None:
        """Say once that words without a meaning are trained on."""
        if not self._told and self.config.words == "hashed":
            log.warning(
                "tsm_vlc: word vectors are hashed character n-grams, which know no meaning; published results are with "
                "GloVe: give its file as words=glove.6B.300d.txt"
            )
        self._told = True


def build(config: Config, vocabulary: Vocabulary, text: Any = None) -> TSMVLC:
    """See `methods.protocol.Method.build`. The file of word vectors is not needed to load weights into it."""
    return TSMVLC(config, vocabulary)


def freeze(net: nn.Module) -> nn.Module:
    """See `methods.protocol.Method.freeze`: base head and folded queries; VLC is left behind."""
    if not isinstance(net, TSMVLC):
        raise TypeError(f"cannot freeze a {type(net).__name__} as TSM")
    net.words.need()
    net.eval()
    return FrozenHead(net.base, None if net.queries is None else InnerProduct(net.queries())).eval()


def proposal_options(config: Config) -> ProposalOptions:
    """Return the base head's own inference; CO2-Net's is exactly the public code's."""
    options: ProposalOptions = load_head(config.base).proposal_options(config.base_config)
    return options


def nms_options(config: Config) -> NmsOptions:
    """Return the base head's own."""
    options: NmsOptions = load_head(config.base).nms_options(config.base_config)
    return options
