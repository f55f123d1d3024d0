"""Word vectors, and the sentences that say what a video shows.

Vectors come from any file in GloVe's text format or from an .npz file. Without a file they are made of hashed
character n-grams, which know spelling and no meaning. Either way they are kept with the weights of a network, so
that no file is needed to load one.
"""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...._util.arrays import as_float32, read_arrays
from ...._util.untrusted import guarded
from ....errors import UsageError
from ....vocabulary import Vocabulary
from ...nn.text import spoken

log = logging.getLogger("tal_engine")

Vectors = npt.NDArray[np.float32]

#: Root mean square of a hashed vector's entries (our choice).
_HASHED_SCALE = 0.4
#: Words that say nothing of the action; they are masked half as often as others. nltk's tags, which the public code
#: uses, would also call the adjectives of class names ("high jump") such; here every word of a name counts fully.
FUNCTION_WORDS = frozenset(
    re.findall("[a-z]+", "a an and at by for from in into of off on one onto or out over the to up with")
)
#: Most values of a word vector, and characters of a line: no published vectors have more than 4,096.
_WIDEST, _LONGEST_LINE = 1 << 16, 4 << 20
#: What a template has in place of the class name.
PLACE = "[CLS]"


def words_of(text: str) -> list[str]:
    """Split a text into lower-case words; anything but letters and digits separates them."""
    return re.findall(r"[^\W_]+", text.lower())


def name_words(vocabulary: Vocabulary, spoken_as: Mapping[str, str], left_out: str = "") -> list[list[str]]:
    """Return the words of every class name, or of its replacement in `spoken_as`.

    Raises:
        UsageError: a name, or its replacement, has no words.
    """
    skipped, found = set(words_of(left_out)), []
    for name in vocabulary:
        # A name without words may still be said as something; `spoken` would refuse it.
        said = spoken_as[name] if name in spoken_as else spoken(name) if words_of(name) else name
        words = words_of(said)
        if not words:
            raise UsageError(
                f"class name {name!r} has no words as it is said, {said!r}; say it with spoken={{{name!r}: ...}}"
            )
        found.append([w for w in words if w not in skipped] or words)
    return found


def around(template: str) -> tuple[list[str], list[str]]:
    """Return the words of a template before and after the class name."""
    if template.count(PLACE) != 1:
        raise UsageError(f"template is {template!r}, must contain {PLACE} once")
    before, after = template.split(PLACE)
    return words_of(before), words_of(after)


_ARCHIVE = "archive (.npz) with arrays 'words' [N] and 'vectors' [N, width]"


def _is_npz(path: Path) -> bool:
    return path.suffix == ".npz"


def file_width(path: Path) -> int:
    """Return the width of a file's vectors.

    Raises:
        UsageError: no such file, or not one of word vectors.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file of word vectors").missing(path)
    if _is_npz(path):
        return int(_npz(path)[1].shape[1])
    with guarded(path, "file of word vectors in GloVe's text format", UsageError):
        with path.open(encoding="utf-8-sig") as file:
            first = file.readline(_LONGEST_LINE).split()
        values = [float(v) for v in first[1:]]
        if not values:
            raise ValueError("no values in its first line")
        width = int(first[1]) if len(first) == 2 and values[0] > 1 else len(values)  # word2vec begins: words, width
        if width > _WIDEST:
            raise ValueError(f"its first line says vectors of {width} values, at most {_WIDEST} are read")
        return width


def read_vectors(path: Path, wanted: Sequence[str]) -> dict[str, Vectors]:
    """Read the wanted words' vectors from a file; the first one counts if a word occurs twice.

    Raises:
        UsageError: no such file, not one of word vectors, or a wanted word's vector is damaged; its line is named.
    """
    width, missing, found = file_width(path), set(wanted), {}
    for where, word, values in _npz_rows(path) if _is_npz(path) else _text_rows(path, width, missing):
        if word in missing:
            if not np.isfinite(values).all():
                raise UsageError(f"{where}: the vector of {word!r} is not finite")
            found[word] = values
            missing.discard(word)
    return found


def _text_rows(path: Path, width: int, wanted: set[str]) -> Iterator[tuple[str, str, Vectors]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                word, _, rest = line.partition(" ")
                if word not in wanted:
                    continue
                values, where = rest.split(), f"{path}, line {number}"
                if len(values) > width:
                    continue  # a key of several words (GloVe 840B)
                if len(values) < width:
                    raise UsageError(f"{where}: {word!r} has {len(values)} values, must have {width}")
                try:
                    yield where, word, np.array(values, np.float32)
                except ValueError as e:
                    raise UsageError(f"{where}: the vector of {word!r} is not numbers ({e})") from e
    except UnicodeDecodeError as e:
        raise UsageError(f"{path}: not a text file ({e})") from e


def _npz(path: Path) -> tuple[npt.NDArray[Any], Vectors]:
    found = read_arrays(path, _ARCHIVE, UsageError, names=("words", "vectors"), texts=("words",))
    words, vectors = found["words"], found["vectors"]
    if words.ndim != 1 or vectors.ndim != 2 or len(words) != len(vectors):
        raise UsageError(
            f"{path}: must have texts 'words' [N] and 'vectors' [N, width], has {words.dtype} {list(words.shape)} "
            f"and {list(vectors.shape)}"
        )
    return words, as_float32(vectors)


def _npz_rows(path: Path) -> Iterator[tuple[str, str, Vectors]]:
    for i, (word, values) in enumerate(zip(*_npz(path), strict=True)):
        yield f"{path}, row {i}", str(word), values


def hashed_vector(word: str, width: int) -> Vectors:
    """Sum of a random vector for each of a word's character n-grams (3 to 5, ends marked) and the word itself."""
    marked = f"<{word}>"
    grams = {marked, *(marked[i : i + n] for n in (3, 4, 5) for i in range(len(marked) - n + 1))}
    rows = [np.random.default_rng([zlib.crc32(g.encode()), width]).normal(size=width) for g in sorted(grams)]
    total = np.sum(rows, axis=0)
    return np.asarray(total * (_HASHED_SCALE / np.sqrt(np.mean(total**2))), dtype=np.float32)


class WordTable(nn.Module):
    """Frozen vectors of a list of words, [N, width], in alphabetical order."""

    vectors: Tensor

    def __init__(self, words: Sequence[str], width: int, source: str, unknown: Literal["error", "hash"]) -> None:
        super().__init__()
        self.words = sorted(set(words))
        self.ids = {w: i for i, w in enumerate(self.words)}
        self.width, self.missing_file = width, ""
        self.register_buffer("vectors", torch.from_numpy(self._read(source, unknown)))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *rest)
        if f"{prefix}vectors" in state_dict:
            self.missing_file = ""  # loaded weights bring their vectors

    def _read(self, source: str, unknown: str) -> Vectors:
        if source == "hashed":
            return np.stack([hashed_vector(w, self.width) for w in self.words])
        path = Path(source).expanduser()
        if not path.is_file():
            self.missing_file = str(path)
            return np.zeros((len(self.words), self.width), np.float32)
        if file_width(path) != self.width:
            raise UsageError(f"{path} has vectors of width {file_width(path)}, word_dim is {self.width}")
        found = read_vectors(path, self.words)
        absent = [w for w in self.words if w not in found]
        if absent and unknown == "error":
            raise UsageError(
                f"{path} has no vector for {', '.join(map(repr, absent))}; say class names in other words (spoken), "
                "or fill in hashed vectors with unknown='hash'"
            )
        if absent:
            log.warning("%s has no vector for %s: filled with hashed ones", path, ", ".join(absent))
        return np.stack([found[w] if w in found else hashed_vector(w, self.width) for w in self.words])

    def need(self) -> None:
        """Refuse to go on with vectors that were never read."""
        if self.missing_file:
            raise UsageError(f"{self.missing_file}: no such file of word vectors").missing(self.missing_file)

    def rows(self, words: Sequence[str]) -> list[int]:
        """Return the row of each word."""
        return [self.ids[w] for w in words]


class Sentences(NamedTuple):
    """One sentence a video. ids [B, M]: row in the table + 1, 0 beyond the end. weights [B, M]: of being masked."""

    ids: Tensor
    weights: Tensor

    @property
    def real(self) -> Tensor:
        """[B, M], where there is a word."""
        return self.ids > 0


class SentenceMaker:
    """Sentences "template with class name", from the classes of a video; several are joined by "and".

    The public code joins them without blanks and then leaves out the words it does not know ("bowlingandcricket").
    """

    def __init__(self, names: Sequence[Sequence[str]], template: str, key_weight: float) -> None:
        self.names, self.key_weight = names, key_weight
        self.before, self.after = around(template)

    @property
    def words(self) -> list[str]:
        """Every word that a sentence can have."""
        return [*self.before, *self.after, "and", *(w for n in self.names for w in n)]

    def say(self, present: Sequence[int]) -> list[str]:
        """Make the sentence of a video with these classes."""
        middle: list[str] = []
        for c in present:
            middle += [*(["and"] if middle else []), *self.names[c]]
        return [*self.before, *middle, *self.after]

    def __call__(self, labels: Tensor, table: WordTable) -> Sentences:
        """Make the sentences of videos with labels [B, C]."""
        said = [self.say([c for c, y in enumerate(row) if y > 0]) for row in labels.tolist()]
        ids = [torch.tensor(table.rows(s), dtype=torch.long) + 1 for s in said]
        weights = [torch.tensor([1.0 if w in FUNCTION_WORDS else self.key_weight for w in s]) for s in said]
        longest = max(1, max(len(s) for s in said))

        def stacked(rows: list[Tensor]) -> Tensor:
            return torch.stack([functional.pad(r, (0, longest - len(r))) for r in rows]).to(labels.device)

        return Sentences(stacked(ids), stacked(weights))


def drawn_masks(sentences: Sentences) -> Tensor:
    """Draw a third of each sentence's words (len // 3, paper 3.3) by weight, without replacement: [B, M] of bool."""
    # The largest of log(weight) + Gumbel noise are a draw without replacement.
    uniform = torch.rand_like(sentences.weights).clamp(1e-9, 1 - 1e-7)
    keys = torch.log(sentences.weights.clamp(min=1e-9)) - torch.log(-torch.log(uniform))
    rank = keys.masked_fill(~sentences.real, float("-inf")).argsort(1, descending=True).argsort(1)
    return rank < (sentences.real.sum(1, keepdim=True) // 3)
