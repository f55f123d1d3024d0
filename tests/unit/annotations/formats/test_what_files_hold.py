"""Labels that files cannot hold: what is written is read again, or said, and the file that was there stays whole."""

from __future__ import annotations

import pytest

from tal_engine.annotations.formats import Annotation, AnnotationTable, Media, convert, read, write
from tal_engine.annotations.formats.comments import split_score, with_score
from tal_engine.annotations.formats.format import Format, holds
from tal_engine.annotations.formats.registry import named, writable
from tal_engine.errors import DataError, UsageError

NASTY = [
    "a\x01b", "a\ufffeb", "a\rb", "a\tb", "a\nb", "a\x00b", "a,b", "a\x85b", "a\u2028b", "a\x1cb", 'a"b', "a\ud800b",
    "a --> b", "background", "other", "None", "time", "frame", "<b>a</b>",
]  # fmt: skip


def table_of(label, fps=25.0):
    rows = [Annotation("v", label, 1.0, 2.0, f"s {label}", 0.5, f"c {label}"), Annotation("v", "run", 2.0, 3.0)]
    return AnnotationTable.of(rows, {"v": Media(fps=fps)})


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A function that makes `convert` read a given table, as no one format holds every label."""

    def stand_in(table):
        form = Format("given", "given", (".given",), holds(), "seconds", read=lambda path, context: table)
        real = named
        monkeypatch.setattr(
            "tal_engine.annotations.formats.registry.named", lambda name: form if name == "given" else real(name)
        )
        (tmp_path / "in.given").touch()
        return tmp_path / "in.given"

    return stand_in


def needs(form):
    """Skip a format whose extra is not installed."""
    for name in {"parquet": ["pyarrow", "pandas"], "otio": ["opentimelineio"], "nwb": ["pynwb", "ndx_ethogram"],
                 "edl": ["opentimelineio", "otio_cmx3600_adapter"]}.get(form, []):  # fmt: skip
        pytest.importorskip(name)


@pytest.mark.parametrize("form", [f.name for f in writable()])
def test_every_label_is_read_again_or_said_to_be_lost(tmp_path, source, form):
    needs(form)
    target = named(form)
    for k, label in enumerate(["a\x00b"] if form == "nwb" else NASTY):  # a file of HDF5 takes half a second
        out = tmp_path / f"o{k}{target.suffixes[0]}"
        report = convert(source(table_of(label)), out, source="given", target=form, fps=25)
        found = read(out, form, fps=25)
        assert len(found) == 2
        said = [w for w in report.losses if repr(label) in w or "in a name" in w or "comma in a label" in w]
        assert label in found.labels or said, (label, report.losses)
        assert read(out, fps=25) == found, label  # told by the file alone


def test_a_lost_character_names_its_row_and_counts(tmp_path):
    rows = [Annotation("v", x, 1.0, 2.0) for x in ("run", "a\x01b", "a\x01b")]
    losses = write(AnnotationTable.of(rows), tmp_path / "x.eaf")
    assert len(losses) == 1
    assert losses[0].startswith("2 x ELAN: a label")
    assert "annotation 2, 'a\\x01b'" in losses[0]
    assert read(tmp_path / "x.eaf").labels == ("a\\x01b", "run")


@pytest.mark.parametrize("form", ["csv", "tsv"])
@pytest.mark.parametrize("large", [False, True])
def test_tables_hold_carriage_returns(tmp_path, monkeypatch, form, large):
    from tal_engine.annotations.formats import tabular

    monkeypatch.setattr(tabular, "_LARGE", 0 if large else 1 << 20)
    table = AnnotationTable.of([Annotation("v", "a\rb", 1.0, 2.0, comment='c\r\nd, "e"\tf')])
    assert write(table, tmp_path / f"x.{form}") == ()
    assert read(tmp_path / f"x.{form}") == table


@pytest.mark.parametrize("there", [None, "the good file"])
def test_a_file_that_cannot_be_read_again_is_never_put_in_place(tmp_path, source, monkeypatch, there):
    out = tmp_path / "out.eaf"
    if there is not None:
        out.write_text(there)
    before = sorted(p.name for p in tmp_path.iterdir())
    monkeypatch.setattr(
        "tal_engine.annotations.formats.elan.write_xml", lambda path, root: path.write_text("<ANNOTATION_DOC")
    )
    path = source(table_of("run"))
    with pytest.raises(DataError, match=r"out\.eaf: not written, since ELAN cannot hold"):
        convert(path, out, source="given", target="elan")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*before, "in.given"])
    assert there is None or out.read_text() == there


def test_a_folder_of_files_is_put_in_place_whole_or_not_at_all(tmp_path, source):
    rows = [Annotation("v", "run", 1.0, 2.0), Annotation("w", "run", 1.0, 2.0)]
    report = convert(source(AnnotationTable.of(rows)), tmp_path / "out", source="given", target="anvil")
    assert report.written == 2
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["tal-anvil-spec.xml", "v.anvil", "w.anvil"]
    (tmp_path / "tal-anvil-spec.xml").write_text("mine")
    with pytest.raises(UsageError, match=str(tmp_path / "x.anvil")):
        convert(source(AnnotationTable.of(rows)), tmp_path / "x.anvil", source="given", target="anvil")
    convert(source(table_of("run")), tmp_path / "x.anvil", source="given", target="anvil")
    assert (tmp_path / "tal-anvil-spec.xml").read_text() == "mine"
    assert read(tmp_path / "x.anvil").labels == ("run",)


@pytest.mark.parametrize("form", ["per-frame", "asoid"])
def test_columns_that_say_nothing_are_never_a_label(tmp_path, form):
    labels = ["background", "Other", "none", "time", "index", "other_", "run"]
    rows = [Annotation("v", label, float(k), k + 1.0) for k, label in enumerate(labels)]
    losses = write(AnnotationTable.of(rows), tmp_path / "x.csv", form, fps=25)
    assert len(losses) == 5
    assert "1 x label 'time' written as 'time_': a table of frames has no behaviour of that name" in losses
    found = sorted(read(tmp_path / "x.csv", fps=25), key=lambda r: r.start or 0.0)
    assert [r.label for r in found] == ["background_", "Other_", "none_", "time_", "index_", "other_", "run"]
    assert [(r.start, r.end) for r in found] == [(float(k), k + 1.0) for k in range(7)]


@pytest.mark.parametrize("comment", ["score=0.5", "sure score=-1e3", "x score=none", "score=none score=2", "=b", ""])
@pytest.mark.parametrize("score", [None, 0.25])
def test_a_comment_is_never_a_score(comment, score):
    assert split_score(with_score(comment, score)) == (comment, score)


def test_a_comment_that_reads_as_a_score_comes_back(tmp_path):
    table = AnnotationTable.of([Annotation("v.mp4", "run", 1.0, 2.0, comment="sure score=0.5")])
    write(table, tmp_path / "x.boris")
    assert read(tmp_path / "x.boris") == table
