"""What an answer to a question says of the labels."""

from __future__ import annotations

from typing import Any, Literal

from ..errors import UsageError
from .labels import Change, Label
from .questions import Question

Answer = Literal["accept", "reject", "move", "other", "nothing"]


def changes_of(
    asked: Question, answer: Answer, edit: str, start: float | None, end: float | None, label: str | None
) -> tuple[list[Change], dict[str, Any]]:
    """Return the changes of labels that an answer makes, and the note of what was answered.

    accept: it is there; a point in the middle, or a segment where the question is where it begins and ends, or the
    answer says. reject: it is not this class; nothing else is known. move: it is there from `start` to `end`. other:
    it is `label`. nothing: no action at all in this stretch. Of a video that is to be watched as a whole: accept or
    nothing, it was, and what is marked is all; reject: do not ask again.

    Args:
        asked: the question.
        answer: see above.
        edit: of the answer; the label's id follows from it.
        start: seconds; None as asked.
        end: seconds; None as asked.
        label: None as asked.

    Raises:
        UsageError: it lacks something.
    """
    note = {"id": asked.id, "answer": answer, "video": asked.video, "start": asked.start, "end": asked.end,
            "label": asked.label, "reason": asked.reason}  # fmt: skip
    if answer == "reject":
        return [], note
    if asked.reason == "unfinished":
        if answer not in ("accept", "nothing"):
            raise UsageError(f"answer is {answer!r}, must be accept, nothing or reject: this asks about a whole video")
        return [], {**note, "done": True}
    first, last = _or(start, asked.start), _or(end, asked.end)
    if answer == "nothing":
        return [Change("add", Label(edit, asked.video, "nothing", first, last, ""))], {**note, "label": ""}
    if answer == "other" and not label:
        raise UsageError("answer 'other' needs a label: the class that it is")
    if answer == "move" and (start is None or end is None):
        raise UsageError("answer 'move' needs start and end: where it is")
    name = label or asked.label
    if not name:
        raise UsageError(f"answer {answer!r} needs a label: the question does not know the class")
    if answer == "move" or asked.reason == "boundary" or start is not None:
        last = first if end is None and start is not None else last
        made = Label(edit, asked.video, "segment" if last > first else "point", first, last, name)
    else:
        middle = round((asked.start + asked.end) / 2, 3)
        made = Label(edit, asked.video, "point", middle, middle, name)
    return [Change("add", made)], note


def _or(value: float | None, other: float) -> float:
    return other if value is None else value
