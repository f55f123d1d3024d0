"""ELAN's files: what we write, pympi reads; what pympi writes, we read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.annotations.formats import Annotation, AnnotationTable, FrameClock, read, write
from tal_engine.errors import DataError

pympi = pytest.importorskip("pympi")

HEAD = '<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds">{head}</HEADER><TIME_ORDER>{slots}</TIME_ORDER>{tiers}'
SLOTS = '<TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="100"/><TIME_SLOT TIME_SLOT_ID="b" TIME_VALUE="200"/>'
ONE = (
    '<TIER TIER_ID="groom" LINGUISTIC_TYPE_REF="x"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="1" '
    'TIME_SLOT_REF1="{0}" TIME_SLOT_REF2="{1}"><ANNOTATION_VALUE>{2}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION>'
    "</ANNOTATION></TIER>"
)


PLAIN = ONE.format("a", "b", "")


def document(tmp_path, head="", slots=SLOTS, tiers=PLAIN):
    path = tmp_path / "x.eaf"
    path.write_text(HEAD.format(head=head, slots=slots, tiers=tiers) + "</ANNOTATION_DOCUMENT>")
    return path


rows = st.lists(
    st.tuples(
        st.sampled_from(["groom", "rear & turn", 'say "<x>"']), st.sampled_from(["", "mouse 1", "ä"]),
        st.integers(0, 400), st.integers(1, 90), st.none() | st.floats(0, 1), st.sampled_from(["", "why not"]),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


def table_of(drawn, step=1 / 25):
    return AnnotationTable.of(
        Annotation("v.mp4", label, a * step, (a + n) * step, subject, score, comment)
        for label, subject, a, n, score, comment in drawn
    )


def key(r):
    return r.subject, r.label, round(r.start, 9), round(r.end, 9), -1 if r.score is None else r.score, r.comment


@given(drawn=rows)
@settings(max_examples=30, deadline=None)
def test_pympi_reads_what_we_write(tmp_path_factory, drawn):
    table, path = table_of(drawn), tmp_path_factory.mktemp("eaf") / "x.eaf"
    assert write(table, path) == ()
    eaf = pympi.Eaf(str(path))
    found = sorted(
        (value, start, end)
        for tier in eaf.get_tier_names()
        if eaf.tiers[tier][0]  # aligned annotations
        for start, end, value in eaf.get_annotation_data_for_tier(tier)
    )
    assert found == sorted((r.label, round(r.start * 1000), round(r.end * 1000)) for r in table)
    assert {eaf.tiers[t][2].get("PARTICIPANT", "") for t in eaf.get_tier_names()} == set(table.subject.tolist())
    assert sorted(map(key, read(path))) == sorted(map(key, table))  # 25 frames a second are whole milliseconds
    again = path.with_name("y.eaf")
    write(read(path), again)
    assert sorted(map(key, read(again))) == sorted(map(key, read(path)))


@given(drawn=rows)
@settings(max_examples=20, deadline=None)
def test_frames_survive_milliseconds(tmp_path_factory, drawn):
    clock, path = FrameClock(30000 / 1001), tmp_path_factory.mktemp("eaf") / "x.eaf"
    table = table_of(drawn, 1001 / 30000)
    write(table, path)
    frames = [sorted((r.label, *clock.frames(r.start, r.end)) for r in t) for t in (table, read(path))]
    assert frames[0] == frames[1]


@given(drawn=rows)
@settings(max_examples=20, deadline=None)
def test_we_read_what_pympi_writes(tmp_path_factory, drawn):
    path, eaf = tmp_path_factory.mktemp("eaf") / "x.eaf", pympi.Eaf()
    eaf.add_linked_file("file:///data/v.mp4", relpath="./v.mp4", mimetype="video/mp4")
    wanted = []
    for k, (label, subject, a, n, _, _) in enumerate(drawn):
        eaf.add_tier(f"{label} {k}", part=subject)
        eaf.add_annotation(f"{label} {k}", a * 40, (a + n) * 40, label)
        wanted.append((label, subject, a * 40 / 1000, (a + n) * 40 / 1000))
    eaf.to_file(str(path))
    found = read(path)
    assert sorted((r.label, r.subject, r.start, r.end) for r in found) == sorted(wanted)
    assert set(found.video.tolist()) == {"v.mp4"}


def test_what_is_not_aligned_is_counted(tmp_path):
    free = '<TIME_SLOT TIME_SLOT_ID="c"/>'
    found = read(document(tmp_path, slots=SLOTS + free, tiers=ONE.format("a", "b", "") + ONE.format("a", "c", "x")))
    assert [(r.label, r.start, r.end) for r in found] == [("groom", 0.1, 0.2)]  # no value: the tier's name
    assert found.notes == ("1 x annotation without aligned times left out",)


def test_a_time_origin_is_added(tmp_path):
    found = read(document(tmp_path, head='<MEDIA_DESCRIPTOR MEDIA_URL="file:///a%20b.mp4" TIME_ORIGIN="1500"/>'))
    assert [(r.video, r.start) for r in found] == [("a b.mp4", 1.6)]
    assert "1.5 s" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<a/>", "its root is <a>"),
        ("<a", "not an ELAN file"),
        ('<!DOCTYPE x [<!ENTITY y "z">]><ANNOTATION_DOCUMENT/>', "not an ELAN file"),
        (
            HEAD.replace("milliseconds", "PAL-frames").format(head="", slots="", tiers="") + "</ANNOTATION_DOCUMENT>",
            "PAL-frames",
        ),
        (
            HEAD.format(head="", slots=SLOTS, tiers=ONE.format("b", "a", "x")) + "</ANNOTATION_DOCUMENT>",
            "from 0.2 to 0.1 s",
        ),
    ],
)
def test_errors_name_what_is_wrong(tmp_path, text, said):
    (tmp_path / "x.eaf").write_text(text)
    with pytest.raises(DataError, match=said):
        read(tmp_path / "x.eaf")


def test_points_are_lost_and_said(tmp_path):
    table = AnnotationTable.of([Annotation("v", "x", 1.0), Annotation("v", "x", 1.0, 2.0)])
    assert write(table, tmp_path / "x.eaf") == ("1 x a point in time left out: ELAN cannot hold it",)


def test_times_that_are_no_numbers_are_named(tmp_path):
    slots = SLOTS.replace('"200"', '"NaN"')
    with pytest.raises(DataError, match="must be milliseconds"):
        read(document(tmp_path, slots=slots))
