"""A new text against an index of 100 hours: from the text to segments."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import text_classes
from common import interleaved

from tal_engine.options import timeline_of
from tal_engine.plan.archive import with_members
from tal_engine.records import Features
from tal_engine.texts.index import TextIndex, build_index

HOURS, EACH = 100, int(3600 / 0.64)


def asked(width: int, work: Path) -> dict[str, Any]:
    """Seconds for one new text and for five, medians; features are random, slow over time, and as wide as asked."""
    plan = text_classes.pair_plan() if width == 128 else wider(text_classes.pair_plan(), width)
    folder = work / f"index_{width}"
    build_index(folder, plan, archive(width), overwrite=True)
    index = TextIndex(folder, plan)
    found = index.search(["squat"])  # reads the map once
    texts = iter([f"a person doing thing {i}" for i in range(200)])
    work_of = {
        "one": lambda: index.search([next(texts)]),
        "five": lambda: index.search([next(texts) for _ in range(5)]),
    }
    taken = interleaved(work_of, 9)
    began = time.process_time()
    for _ in range(5):
        work_of["one"]()
    cpu = (time.process_time() - began) / 5
    size = (folder / "vectors.f32").stat().st_size
    row = {"snippets": len(index), "bytes": size, "seconds_one_text": taken["one"], "seconds_five_texts": taken["five"]}
    row |= {"cpu_seconds_one_text": cpu, "load": round(os.getloadavg()[0], 1)}
    print(width, row, len(found), flush=True)
    return row


def archive(width: int) -> Iterator[tuple[str, Features]]:
    rng = np.random.default_rng(0)
    for i in range(HOURS):
        slow = np.repeat(rng.normal(size=(EACH // 15, width)), 15, 0).astype(np.float32)
        yield f"hour_{i:03d}", Features({"clip": slow}, timeline_of(text_classes.SNIPPET), EACH * 0.64)


def wider(plan: Any, width: int) -> Any:
    """The plan with a text tower of another width: hashed words, since no time depends on what is meant."""
    from tal_engine.export.text_tower import TOKENIZER, TOWER, tower_graph
    from tal_engine.lab.nn.hashed_text import HashedText

    text = HashedText(width)
    content, _ = tower_graph(text)
    t = plan.manifest.texts
    start, stop, pad = text.special
    record = t.tokenizer.model_copy(update={"start": start, "stop": stop, "pad": pad})
    changes = {"dim": width, "context": text.context, "tokenizer": record, "weights_sha256": "0" * 64}
    texts = t.model_copy(update=changes)
    files = {**plan.files, TOWER: content, TOKENIZER: text.stored_tokenizer()[1]}
    return with_members(plan.manifest.model_copy(update={"texts": texts, "encoders": []}), files)
