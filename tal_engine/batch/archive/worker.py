"""A process that localizes one video after another: a line of JSON in, a line of JSON out.

``python -m tal_engine.batch.archive.worker``; the first line says what to load. It ends with its input, so none
outlives the run that started it, and it takes no Ctrl-C: that run decides.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, Any

from ...engine import TALEngine
from ...errors import TALError
from ...limits import Limits


def answer(engine: TALEngine, address: str, options: dict[str, Any]) -> dict[str, Any]:
    """Localize a video; an error of it is an answer too.

    Returns:
        ``segments`` (start, end, label, score, subject) and ``info``, or ``error``, ``kind`` and ``status``.
    """
    try:
        result = engine.localize(address, **options)
    except TALError as e:
        return {"error": str(e), "kind": _kind(e), "status": e.exit_code}
    segments = [(s.start, s.end, s.label, s.score, s.subject) for s in result]
    return {"segments": segments, "info": asdict(result.info)}


def _kind(e: TALError) -> str:
    fault = getattr(e, "fault", None)
    return type(e).__name__ if fault is None else f"{type(e).__name__}: {fault.value}"


def load(wanted: Mapping[str, Any]) -> TALEngine:
    """Load the engine of a run: ``plan``, ``device``, ``limits``, and ``engine`` for the rest of `TALEngine.load`."""
    return TALEngine.load(wanted["plan"], wanted["device"], limits=Limits(**wanted["limits"]), **wanted["engine"])


def serve(lines: IO[str], out: IO[str]) -> None:
    """Answer until the input ends."""
    wanted = json.loads(lines.readline())
    engine = load(wanted)
    for line in lines:
        found = json.dumps(answer(engine, json.loads(line), wanted["options"]))
        try:
            out.write(f"{found}\n")
            out.flush()
        except BrokenPipeError:  # the run is dead: nobody waits for this
            os._exit(0)


def main() -> None:
    """Keep stdout for answers: what libraries print goes to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, out)


if __name__ == "__main__":
    main()
