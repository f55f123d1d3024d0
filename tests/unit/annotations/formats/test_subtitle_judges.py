"""Subtitles: what we write, srt, pysubs2 and webvtt-py read; what they write, we read."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.annotations.formats import Annotation, AnnotationTable, read, write

srt = pytest.importorskip("srt")
webvtt = pytest.importorskip("webvtt")
pysubs2 = pytest.importorskip("pysubs2")

rows = st.lists(
    st.tuples(st.sampled_from(["groom", "rear & turn", "ä <b>"]), st.integers(0, 90_000), st.integers(1, 900)),
    min_size=1, max_size=10,
)  # fmt: skip


def table_of(drawn):
    return AnnotationTable.of(Annotation("v", label, a * 0.04, (a + n) * 0.04) for label, a, n in drawn)


def ms(seconds):
    return round(seconds * 1000)


@given(drawn=rows)
@settings(max_examples=20, deadline=None)
def test_srt_libraries_read_what_we_write(tmp_path_factory, drawn):
    table, path = table_of(drawn), tmp_path_factory.mktemp("s") / "x.srt"
    write(table, path)
    wanted = sorted((r.label, ms(r.start), ms(r.end)) for r in table)
    cues = srt.parse(path.read_text())
    assert sorted((c.content, ms(c.start.total_seconds()), ms(c.end.total_seconds())) for c in cues) == wanted
    assert sorted((e.start, e.end) for e in pysubs2.load(str(path))) == sorted(w[1:] for w in wanted)


@given(drawn=rows)
@settings(max_examples=20, deadline=None)
def test_webvtt_reads_what_we_write(tmp_path_factory, drawn):
    table, path = table_of(drawn), tmp_path_factory.mktemp("s") / "x.vtt"
    write(table, path)
    found = sorted(
        (ms(c.start_in_seconds + c.start_time.milliseconds / 1000), c.raw_text) for c in webvtt.read(str(path))
    )
    escaped = {"rear & turn": "rear &amp; turn", "ä <b>": "ä &lt;b&gt;"}
    assert found == sorted((ms(r.start), escaped.get(r.label, r.label)) for r in table)


@given(drawn=rows)
@settings(max_examples=20, deadline=None)
def test_we_read_what_srt_writes(tmp_path_factory, drawn):
    table, path = (
        table_of([d for d in drawn if "<" not in d[0]] or [("x", 0, 1)]),
        tmp_path_factory.mktemp("s") / "x.srt",
    )
    cues = [
        srt.Subtitle(k, timedelta(milliseconds=ms(r.start)), timedelta(milliseconds=ms(r.end)), r.label)
        for k, r in enumerate(table, 1)
    ]
    path.write_text(srt.compose(cues))
    assert sorted((r.label, ms(r.start), ms(r.end)) for r in read(path)) == sorted(
        (r.label, ms(r.start), ms(r.end)) for r in table
    )
