"""Plans that take their classes as texts: encoders, the text tower of their space, and no training."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

import tal_engine

from ..backends import open_backend
from ..errors import ParityError, UsageError
from ..features.contract import contract_of
from ..lab.nn.text import TextEncoder
from ..options import StreamOptions
from ..plan.archive import Plan, with_members
from ..plan.fields import Method
from ..plan.manifest import Manifest
from ..plan.text_fields import TextHead, TextTower, TokenizerRecord
from ..texts.classes import TextClass, checked
from ..texts.head import head_graph, nms_options, proposal_options
from ..texts.plans import METHOD, UNNAMED, with_classes
from .encoder_graphs import EncoderSet, weights_hash
from .gate import FP32, difference, ran_on
from .to_onnx import traced

#: Members of a plan that hold the tower.
TOWER, TOKENIZER = "text.onnx", "tokenizer.json"
#: What is no class, said so that it fits any video. Our choice: T3AL and FreeZAD have the video's mean instead.
BACKGROUND = ("a person", "a person in a room")
#: What is said of a class: as it is, and as T3AL and FreeZAD say it.
PROMPTS = ("{}", "a video of action {}")
#: The class of a plan that was made without any.
ANY = TextClass(UNNAMED, ("a person doing an action",))


class TextGraph(nn.Module):
    """A text tower as a graph: tokens [N, context] int64 to embeddings [N, dim]; the end is the first end token."""

    def __init__(self, text: TextEncoder) -> None:
        super().__init__()
        self.text, self.stop = text, text.special[1]

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        end = (tokens == self.stop).to(torch.int32).argmax(1)
        return {"vector": self.text.encode(self.text.embed_tokens(tokens), end)}


def text_plan(
    encoders: EncoderSet,
    *,
    name: str,
    stream: str = "clip",
    classes: Sequence[TextClass | str] = (ANY,),
    prompts: Sequence[str] = PROMPTS,
    background: Sequence[str] = BACKGROUND,
    scale: float = 100.0,
    centre: float = 0.5,
    smooth: int = 5,
    stream_options: StreamOptions | None = None,
) -> Plan:
    """Make a plan whose classes are texts, without training; `texts.with_classes` gives it others.

    Args:
        encoders: with an image tower whose features lie in the space of `encoders.text`.
        name: name of the plan, for people.
        stream: the image tower's.
        classes: those that it localizes until others are given.
        prompts: what is said of a class, with {} for its text; embeddings are averaged.
        background: texts of what is no class.
        scale: factor of cosines: e^logit_scale of the pair, 100 for CLIP and its kin.
        centre: share of the video's mean that is taken from each snippet, 0 to 1.
        smooth: snippets of the moving average, odd.
        stream_options: default stream options.

    Raises:
        UsageError: the encoders have no text tower or no such stream, or a setting makes no sense.
        ExportError, ParityError: the tower cannot be exported.
        MissingExtraError: the library of its tokenizer is not installed.
    """
    text, encoder = encoders.text, encoders.specs.get(stream)
    if encoder is None:
        raise UsageError(f"no encoder gives stream {stream!r}, there are {', '.join(encoders.specs)}")
    if text is None or text.dim != encoder.dim:
        why = "its texts need a tokenizer (--weights tokenizer=FOLDER) or are of no known kind" if text is None else (
            f"texts have {text.dim} dimensions, its features {encoder.dim}"
        )  # fmt: skip
        raise UsageError(f"encoder {encoder.name} does not take classes as texts: {why}")
    try:
        how = TextHead(prompts=list(prompts), background=list(background), scale=scale, centre=centre, smooth=smooth)
    except ValidationError as e:
        wrong = e.errors()[0]
        what, why = ".".join(map(str, wrong["loc"])), wrong["msg"].removeprefix("Value error, ")
        said = why if why.startswith("is ") else f"is {wrong['input']!r}: {why[:1].lower()}{why[1:]}"
        raise UsageError(f"{what} {said}") from e
    kind, tokenizer, clean = text.stored_tokenizer()
    start, stop, pad = text.special
    content, parity = tower_graph(text)
    record = TokenizerRecord(kind=kind, member=TOKENIZER, clean=clean, start=start, stop=stop, pad=pad)
    tower = TextTower(
        name=encoder.name, member=TOWER, weights_sha256=weights_hash(text), stream=stream, dim=text.dim,
        context=text.context, tokenizer=record, head=how,
    )  # fmt: skip
    # A head of no meaning holds the place until texts are embedded, by the same code as at run time.
    draft = np.eye(1, text.dim, dtype=np.float32)
    head, graph = head_graph(stream, draft, draft, how)
    manifest = Manifest(
        name=name,
        description="Its classes are texts: give others with --classes.",
        method=Method(name=METHOD),
        vocabulary=[ANY.name],
        snippet=encoders.snippet,
        encoders=[encoder],
        streams={stream: text.dim},
        head=graph,
        proposal=proposal_options(),
        nms=nms_options(),
        segment={"min_score": float("-inf"), "top_k": 0},  # type: ignore[arg-type]
        stream=stream_options or StreamOptions(),
        texts=tower,
        producer={
            "tal_engine": tal_engine.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        provenance={"contract": contract_of(encoders.snippet, [encoder])},
        parity={"texts": parity},
    )
    files = {graph.member: head, TOWER: content, TOKENIZER: tokenizer, **encoders.members([stream])}
    return with_classes(with_members(manifest, files), checked(classes))


def tower_graph(text: TextEncoder) -> tuple[bytes, dict[str, Any]]:
    """Export a text tower behind a gate: one text and three, of other lengths than the example's.

    Raises:
        ExportError: it cannot be traced.
        ParityError: graph and network differ.
    """
    module = TextGraph(text).eval()
    with _written_out():
        model, _ = traced(module, {"tokens": _drawn(text, 2)}, {"tokens": {0: "N"}}, TOWER)
    content: bytes = model.SerializeToString()
    backend, worst = open_backend(content, TOWER, "cpu"), 0.0
    for count in (1, 3):
        tokens = _drawn(text, count)
        with torch.no_grad():
            wanted = {n: v.numpy() for n, v in module(tokens).items()}
        worst = max(worst, difference(wanted, backend.run({"tokens": tokens.numpy()})))
    if not worst <= FP32.tensor:
        raise ParityError(f"{TOWER}: differs by {worst:.3g} from what it was made of, allowed is {FP32.tensor:g}")
    return content, {"tensor": worst, "tolerance": FP32.tensor, **ran_on()}


@contextmanager
def _written_out() -> Iterator[None]:
    """Let torch's attention be traced operator by operator, not as the one that has no counterpart in ONNX."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _drawn(text: TextEncoder, count: int) -> Tensor:
    """Draw texts of low token numbers, each of another length, as rows of tokens."""
    start, stop, pad = text.special
    rng = np.random.default_rng(count)
    first = [] if start is None else [start]
    rows = np.full((count, text.context), pad, np.int64)
    for i, row in enumerate(rows):
        length = min(1 + (7 * i + 3 * count) % 11, text.context - 1 - len(first))
        tokens = [*first, *rng.integers(3, 60, length).tolist(), stop]
        row[: len(tokens)] = tokens
    return torch.from_numpy(rows)
