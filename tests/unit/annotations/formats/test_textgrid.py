"""Praat's TextGrids: praatio and Praat itself read what we write, and the other way round."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.annotations.formats import Annotation, AnnotationTable, read, write
from tal_engine.errors import DataError

textgrid = pytest.importorskip("praatio.textgrid")
parselmouth = pytest.importorskip("parselmouth")

rows = st.lists(
    st.tuples(
        st.sampled_from(["groom", 'say "x"', "7"]), st.sampled_from(["", "mouse", "mouse (2)"]), st.integers(0, 400),
        st.integers(0, 90),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


def table_of(drawn, step=1001 / 30000):
    """Those of length 0 are points; one a moment in a tier."""
    kept = {(s or label, a if n == 0 else -i): (label, s, a, n) for i, (label, s, a, n) in enumerate(drawn, 1)}
    return AnnotationTable.of(
        Annotation("v", label, a * step, (a + n) * step if n else None, subject)
        for label, subject, a, n in kept.values()
    )


def key(r):
    return r.label, r.start, r.end or -1.0


def intervals(grid):
    return sorted((e.label, e.start, e.end) for t in grid.tiers for e in t.entries if len(e) == 3 and e.label)


@given(drawn=rows)
@settings(max_examples=30, deadline=None)
def test_praat_reads_what_we_write(tmp_path_factory, drawn):
    table, path = table_of(drawn), tmp_path_factory.mktemp("g") / "x.TextGrid"
    assert write(table, path) == ()
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=True)
    wanted = [(r.label, r.start, r.end) for r in table if r.end is not None]
    assert [x[0] for x in intervals(grid)] == [x[0] for x in sorted(wanted)]
    for a, b in zip(intervals(grid), sorted(wanted), strict=True):
        assert a[1:] == pytest.approx(b[1:], abs=1e-9)
    found = read(path)
    assert sorted(map(key, found)) == sorted(map(key, table))
    again = path.with_name("y.TextGrid")
    write(found, again)
    assert again.read_text() == path.read_text()


@given(drawn=rows)
@settings(max_examples=15, deadline=None)
def test_praat_itself_loads_it(tmp_path_factory, drawn):
    table, path = table_of(drawn), tmp_path_factory.mktemp("g") / "x.TextGrid"
    write(table, path)
    grid = parselmouth.read(str(path))
    tiers = parselmouth.praat.call(grid, "Get number of tiers")
    found = []
    for tier in range(1, tiers + 1):
        if not parselmouth.praat.call(grid, "Is interval tier", tier):
            continue
        for k in range(1, parselmouth.praat.call(grid, "Get number of intervals", tier) + 1):
            label = parselmouth.praat.call(grid, "Get label of interval", tier, k)
            if label:
                found.append((label, parselmouth.praat.call(grid, "Get start time of interval", tier, k)))
    assert sorted(found) == sorted((r.label, r.start) for r in table if r.end is not None)


@pytest.mark.parametrize("form", ["short_textgrid", "long_textgrid"])
def test_we_read_what_praatio_writes(tmp_path, form):
    grid = textgrid.Textgrid()
    grid.addTier(textgrid.IntervalTier("mouse", [(0.5, 1.25, "groom"), (1.25, 2.0, 'a "b"')], 0, 3))
    grid.addTier(textgrid.PointTier("clicks", [(0.75, "x")], 0, 3))
    grid.save(str(tmp_path / "x.TextGrid"), form, includeBlankSpaces=True)
    found = read(tmp_path / "x.TextGrid")
    assert [(r.label, r.subject, r.start, r.end) for r in found] == [
        ("groom", "mouse", 0.5, 1.25), ('a "b"', "mouse", 1.25, 2.0), ("x", "clicks", 0.75, None)
    ]  # fmt: skip
    assert found.media["x"].duration == 3


def test_utf16_is_read_as_praat_writes_it(tmp_path):
    table = AnnotationTable.of([Annotation("v", "ä", 1.0, 2.0)])
    write(table, tmp_path / "x.TextGrid")
    text = (tmp_path / "x.TextGrid").read_text()
    (tmp_path / "x.TextGrid").write_bytes(text.encode("utf-16"))
    assert [r.label for r in read(tmp_path / "x.TextGrid")] == ["ä"]


GRID = 'File type = "ooTextFile"\nObject class = "TextGrid"\n0\n1\n<exists>\n1\n"IntervalTier"\n"a"\n0\n1\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nothing", "not a TextGrid in a text form"),
        ('File type = "ooTextFile"\nObject class = "Pitch"\n0\n1\n', "holds a Pitch"),
        (GRID + "2\n0\n", "cut off"),
        (GRID + '1\n1\n0\n"x"', "from 1 to"),
    ],
)
def test_errors_name_what_is_wrong(tmp_path, text, said):
    (tmp_path / "x.TextGrid").write_text(text)
    with pytest.raises(DataError, match=said):
        read(tmp_path / "x.TextGrid")
