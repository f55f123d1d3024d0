"""Subtitles and chapters as annotations: labels with markup, texts that are neither."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.annotations.formats import Annotation, AnnotationTable, read, write
from tal_engine.annotations.formats.registry import named
from tal_engine.errors import DataError


def starts(table):
    return [(r.label, r.start, r.end) for r in table]


def test_chapters_are_points(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("Intro words\n0:00 Start\n00:05 loading\n1:02:03 - unloading\n")
    assert [(r.label, r.start, r.end) for r in read(path)] == [
        ("Start", 0, None),
        ("loading", 5, None),
        ("unloading", 3723, None),
    ]
    write(read(path), tmp_path / "y.txt", "chapters")
    assert (tmp_path / "y.txt").read_text() == "0:00 Start\n0:05 loading\n1:02:03 unloading\n"
    later = read(path).where(np.array([1, 2]))
    write(later, tmp_path / "y.txt", "chapters")
    assert (tmp_path / "y.txt").read_text().startswith("0:00 ")  # else YouTube shows none
    assert starts(read(tmp_path / "y.txt")) == starts(later)


@pytest.mark.parametrize("name", ["srt", "vtt"])
@given(
    st.lists(st.sampled_from(["<i>", "<lick>", "&lt;", "&", "a", "(2)", "(0.5)", "{\\an8}", "-->", "9"]), min_size=1)
)
@settings(max_examples=30, deadline=None)
def test_labels_come_back_from_cues_or_are_said(tmp_path_factory, name, parts):
    label, path = " ".join(parts), tmp_path_factory.mktemp("t") / f"x.{name}"
    losses = write(AnnotationTable.of([Annotation("v", label, 1.0, 2.0)]), path)
    same = [(r.label, r.score) for r in read(path)] == [(label, None)]
    assert same != any("reads otherwise" in words for words in losses)
    exact = set(parts) <= (
        {"<lick>", "&lt;", "&", "a", "9"} if name == "srt" else {"<i>", "<lick>", "&lt;", "&", "a", "9"}
    )
    assert same or not exact


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.srt", "these are my notes\n\nand more", "'these are my notes': a cue has a line"),
        ("x.srt", "1\n00:00:01,000 --> 00:00:02\njump\n", "'1': a cue has a line"),
        ("x.vtt", "1\n00:01.000 --> 00:02.000\njump\n", "WebVTT with 'WEBVTT'"),
        ("x.vtt", "WEBVTT\n\nNOTE mine\n\nso long", "'so long': a cue has a line"),
        ("x.txt", "these are my notes\n", "no line such as '1:30 label'"),
    ],
)
def test_texts_that_are_no_list_of_times_are_refused(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=said):
        read(tmp_path / name, "chapters" if name == "x.txt" else None)


def test_tables_of_sound_events_have_names_above_where_their_readers_want_them(tmp_path):
    table = AnnotationTable.of([Annotation("v.mp4", "dog, <bark>", 1.0, 2.5)])
    for name, head in (("x.tsv", "filename\tonset"), ("x.txt", "v.mp4\t1.0")):
        write(table, tmp_path / name, "sed")
        assert (tmp_path / name).read_text().startswith(head)
        assert list(read(tmp_path / name)) == list(table)


@pytest.mark.parametrize("name", ["srt", "vtt", "chapters"])
def test_nothing_is_written_and_read_as_nothing(tmp_path, name):
    path = tmp_path / f"x{named(name).suffixes[0]}"
    write(AnnotationTable.of([]), path, name)
    assert len(read(path, name)) == 0
