"""Files of events that version 0.1 wrote go on with events of today."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tal_engine.events import Event
from tal_engine.outputs.sinks.rotating import RotatingJsonLines
from tests.events import final

OLD = Path(__file__).parents[2] / "golden" / "v0_1" / "events_before.jsonl"


@pytest.mark.parametrize("aside", [False, True])
def test_a_file_of_0_1_goes_on(tmp_path, aside):
    path = tmp_path / "e.jsonl"
    shutil.copy(OLD, tmp_path / "e.000001.jsonl" if aside else path)
    before = [Event.from_json(line) for line in OLD.read_text().splitlines()]
    sink = RotatingJsonLines(path)
    for event in [*before, final("new")]:  # finals that are there already are not written again
        sink.write(event)
    sink.close()
    lines = [Event.from_json(x) for x in path.read_text().splitlines()]
    assert lines == ([] if aside else before) + [final("new")]
