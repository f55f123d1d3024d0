"""Sportscode's XML, judged by kloppy."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.annotations.formats import Annotation, AnnotationTable, FrameClock, read, write

sportscode = pytest.importorskip("kloppy.sportscode", exc_type=ImportError)

RATE = 30000 / 1001
drawn_rows = st.lists(
    st.tuples(st.sampled_from(["Shot", "A & B", '"go" <x>', "läuft"]), st.integers(0, 9000), st.integers(1, 90)),
    min_size=1, max_size=8,
)  # fmt: skip


def frames(rows):
    clock = FrameClock(RATE)
    return Counter((label, *clock.frames(start, end)) for label, start, end in rows)


# kloppy 3.19 leaves its buffers open.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@given(drawn=drawn_rows)
@settings(max_examples=20, deadline=None)
def test_kloppy_reads_what_we_write_and_we_what_it_writes(tmp_path_factory, drawn):
    clock, folder = FrameClock(RATE), tmp_path_factory.mktemp("s")
    wanted = [(label, clock.seconds(a), clock.seconds(a + n)) for label, a, n in drawn]
    table = AnnotationTable.of(Annotation("v", *row, subject="Team B", score=0.5) for row in wanted)
    write(table, folder / "x.xml", "sportscode")
    data = sportscode.load((folder / "x.xml").read_bytes())
    times = [(c.code, c.timestamp.total_seconds(), c.end_timestamp.total_seconds()) for c in data.records]
    assert frames(times) == frames(wanted)
    assert all(c.labels == {"subject": "Team B", "score": 0.5} for c in data.records)
    sportscode.save(data, str(folder / "y.xml"))
    found = read(folder / "y.xml")
    assert frames((r.label, r.start, r.end) for r in found) == frames(wanted)
    assert {(r.subject, r.score) for r in found} == {("Team B", 0.5)}
