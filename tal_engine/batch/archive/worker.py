"""A process that localizes one video after another: a line of JSON in, a line of JSON out.

``python -m tal_engine.batch.archive.worker``; the first line says what to load. It ends with its input, so none
outlives the run that started it, and it takes no Ctrl-C: that run decides. If nothing can be loaded it says so in place
of its first answer, and ends.
"""

from __future__ import annotations

import base64
import json
import math
import os
import pickle
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from ...engine import TALEngine
from ...errors import TALError
from ...limits import Limits
from ...video import open_video
from ...video.source import Part

#: Of an answer: the error, pickled, because of which there are no others.
FATAL = "fatal"


def answer(engine: TALEngine, asked: Mapping[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked of a video; an error of it is an answer too.

    Args:
        engine: does it.
        asked: ``address`` of a video that is localized. With ``longer`` it is told what parts it is to be encoded in
            where it is longer than so many seconds; with ``part``, its first snippet and the one behind its last, the
            features of these go to the file ``to``. Instead of it ``parts``, files with the features of all parts.
        options: of `TALEngine.localize`.

    Returns:
        ``segments`` (start, end, label, score, subject) and ``info``; ``parts``; ``part``; or ``error``, ``kind`` and
        ``status``.
    """
    try:
        if "longer" in asked:
            return {"parts": [(p.first, p.last) for p in _split(engine, asked["address"], asked["longer"])]}
        if "part" in asked:
            encoded = engine.encode_part(asked["address"], Part(*asked["part"]))
            Path(asked["to"]).write_bytes(pickle.dumps(encoded))
            return {"part": asked["part"]}
        if "parts" in asked:
            parts = [pickle.loads(Path(p).read_bytes()) for p in asked["parts"]]  # noqa: S301 - of our own processes
            result = engine.localize_parts(parts, **options)
        else:
            result = engine.localize(asked["address"], **options)
    except TALError as e:
        return {"error": str(e), "kind": _kind(e), "status": e.exit_code}
    segments = [(s.start, s.end, s.label, s.score, s.subject) for s in result]
    return {"segments": segments, "info": asdict(result.info)}


def _split(engine: TALEngine, address: str, longer: float) -> list[Part]:
    with open_video(address) as video:
        seconds = video.duration or 0.0
    return engine.split(address, max(math.ceil(seconds / longer), 1))


def _kind(e: TALError) -> str:
    fault = getattr(e, "fault", None)
    return type(e).__name__ if fault is None else f"{type(e).__name__}: {fault.value}"


def load(wanted: Mapping[str, Any]) -> TALEngine:
    """Load the engine of a run: ``plan``, ``device``, ``limits``, and ``engine`` for the rest of `TALEngine.load`."""
    return TALEngine.load(wanted["plan"], wanted["device"], limits=Limits(**wanted["limits"]), **wanted["engine"])


def serve(lines: IO[str], out: IO[str]) -> None:
    """Answer until the input ends."""
    wanted = json.loads(lines.readline())
    try:
        engine = load(wanted)
    except TALError as e:
        _say(out, {FATAL: base64.b64encode(pickle.dumps(e)).decode()})
        return
    for line in lines:
        _say(out, answer(engine, json.loads(line), wanted["options"]))


def _say(out: IO[str], found: Mapping[str, Any]) -> None:
    try:
        out.write(f"{json.dumps(found)}\n")
        out.flush()
    except BrokenPipeError:  # the run is dead: nobody waits for this
        os._exit(0)


def check(found: Mapping[str, Any]) -> None:
    """Raise the error of a process that could load nothing, if that is what it answered; another one could not either.

    Args:
        found: its answer.
    """
    if FATAL in found:
        error: TALError = pickle.loads(base64.b64decode(found[FATAL]))  # noqa: S301 - of our own process
        raise error


def main() -> None:
    """Keep stdout for answers: what libraries print goes to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, out)


if __name__ == "__main__":
    main()
