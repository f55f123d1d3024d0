"""Results in the forms that clients ask for, and as jobs store them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..outputs.writers import activitynet, csv_table, jsonl, subtitles
from ..records import Activations
from ..results import Localization
from ..vocabulary import Vocabulary


class ResultFormat(StrEnum):
    """Forms of a result."""

    json = "json"
    activitynet = "activitynet"
    jsonl = "jsonl"
    csv = "csv"
    srt = "srt"
    vtt = "vtt"


MEDIA_TYPES = {
    ResultFormat.json: "application/json",
    ResultFormat.activitynet: "application/json",
    ResultFormat.jsonl: "application/jsonl",
    ResultFormat.csv: "text/csv; charset=utf-8",
    ResultFormat.srt: "application/x-subrip; charset=utf-8",
    ResultFormat.vtt: "text/vtt; charset=utf-8",
}


def rendered(result: Localization, form: ResultFormat) -> str:
    """Format a result; JSON without its curves."""
    match form:
        case ResultFormat.json:
            return json.dumps({**result.to_dict(), "classes": list(result.vocabulary)}) + "\n"
        case ResultFormat.activitynet:
            return json.dumps(activitynet.document([result], [result.info.source]), indent=1) + "\n"
        case ResultFormat.jsonl:
            return "".join(f"{line}\n" for line in jsonl.lines(result))
        case ResultFormat.csv:
            return csv_table.text([result])
        case ResultFormat.srt:
            return subtitles.text(result, "srt")
        case ResultFormat.vtt:
            return subtitles.text(result, "vtt")


def json_text(document: object) -> bytes:
    """Return a document as JSON. Curves are long: call it in a thread.

    Raises:
        ValueError: a number is infinite or none, which JSON has not.
    """
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()


def stored_result(result: Localization) -> dict[str, Any]:
    """Return a result with its classes and curves, ready for JSON; `restored` reads it.

    The curves are the class activations [T][C] and the attention [T] of heads that give such, to four digits.
    """
    document = {**result.to_dict(), "classes": list(result.vocabulary), "activations": None}
    scored = result.activations
    if isinstance(scored, Activations):
        document["activations"] = {
            "start": scored.timeline.start, "step": scored.timeline.step, "width": scored.timeline.width,
            "cas": _rounded(scored.cas),
            "attention": None if scored.attention is None else _rounded(scored.attention),
        }  # fmt: skip
    return document


def _rounded(values: NDArray[np.float32]) -> list[Any]:
    """Round for JSON, which has no numbers that are infinite or none."""
    rounded: list[Any] = np.nan_to_num(values.astype(np.float64)).round(4).tolist()
    return rounded


def restored(document: Mapping[str, Any]) -> Localization:
    """Return the result that `stored_result` gave, without its curves."""
    return Localization.from_dict(document, Vocabulary(document["classes"]))
