"""Do what an order of a studio asks: features, heads, suggestions, figures; or the plan.

    python -m tal_engine.lab.studio PROJECT             # train
    python -m tal_engine.lab.studio PROJECT --features  # only make features
    python -m tal_engine.lab.studio PROJECT --export PLAN

Each line on stdout is a JSON object with the state; the last one is "done", or "failed" with the reason. What is found
is written to ``training/result.json`` in one step: a trainer that is killed leaves what was there before.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..._util.files import clear_unfinished, write_text
from ...errors import FitError, TALError
from ...studio.order import ATTACHED, FEATURES, RESULT, Order, read_json, read_order
from ..fitting.tools import default_encoders
from . import measuring
from .exporting import export
from .features import Made, made_features
from .heads import course_of, train_heads
from .lessons import lessons_of
from .suggesting import documents, heard
from .telling import Telling

log = logging.getLogger("tal_engine")

#: The page comes first.
_NICE = 5


def main(arguments: Sequence[str]) -> int:
    """Run the trainer; the exit status."""
    folder, rest = Path(arguments[0]), list(arguments[1:])
    if rest[:1] == [ATTACHED]:
        rest = rest[1:]
        threading.Thread(target=_end_with_studio, name="tal-studio-parent", daemon=True).start()
    os.nice(_NICE)
    try:
        order = read_order(folder)
        telling = Telling(_seconds(folder))
        if rest[:1] == ["--export"]:
            done = export(folder, order, Path(rest[1]), telling)
        elif rest[:1] == ["--features"]:
            done = {"failed": _features(folder, order, telling).failed}
        else:
            done = train(folder, order, telling)
    except (TALError, OSError) as e:
        Telling.line({"state": "failed", "detail": str(e)})
        return 1
    telling.end()
    Telling.line({"state": "done", "revision": order.revision, **done})
    return 0


def _end_with_studio() -> None:
    """End when the studio does, however it ended: the pipe that it holds is then closed."""
    while sys.stdin.buffer.read(1):
        pass
    os._exit(1)


def _seconds(folder: Path) -> dict[str, float]:
    try:
        return dict(read_json(folder / RESULT, "result of a trainer").get("seconds", {}))
    except TALError:
        return {}


def _features(folder: Path, order: Order, telling: Telling) -> Made:
    telling.stage("features", ("training", "measuring"))
    spec = order.encoders or default_encoders()
    return made_features(order.videos, folder / FEATURES / spec, spec, telling)


def train(folder: Path, order: Order, telling: Telling) -> dict[str, Any]:
    """Train heads on the labels of an order, and write what they find.

    Args:
        folder: of the project.
        order: what is asked for.
        telling: gets the progress.

    Returns:
        What there is to say, without what they find.

    Raises:
        FitError: there is nothing to learn from.
        TrainingError, OSError: it went wrong; what was found before stays.
    """
    clear_unfinished(folder / RESULT.parent)
    made = _features(folder, order, telling)
    if not made.features:
        raise FitError(f"no video can be read; the first: {next(iter(made.failed.values()), 'there are none')}")
    lessons = lessons_of(order.videos, made.features)
    course = course_of(order, lessons, made.contract)
    telling.stage("training", ("measuring",))
    nets = train_heads(folder, order, course, lessons, telling)
    telling.stage("measuring")
    heads = [heard(course.method, course.config, course.vocabulary, net, made.features) for net in nets[:2]]
    classes = tuple(course.vocabulary)
    known = measuring.judged(order, heads[0].found, made.features, classes)
    probability = measuring.probabilities(heads[0].found, known)
    videos = documents(heads[0], heads[1] if len(heads) > 1 else None, probability, made.features)
    measures = None if known is None else measuring.document(order, known, classes)
    telling.end()
    said = {
        "head": course.rule.head, "kind": course.rule.kind, "labels": order.count, "failed": made.failed,
        "calibrated": known is not None and known.scores is not None, "seconds": telling.seconds,
        "encoders": order.encoders or default_encoders(),
    }  # fmt: skip
    result = {"revision": order.revision, "classes": list(classes), **said, "measures": measures, "videos": videos}
    write_text(folder / RESULT, json.dumps(result) + "\n")
    return {**said, "measures": measures}
