"""The page of a data set: what each prediction is, at every least score; texts and addresses that come from files."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from tal_engine.annotations.formats import Annotation, AnnotationTable, Media, write
from tal_engine.cli import main
from tal_engine.errors import UsageError
from tal_engine.metrics.error_analysis import KINDS
from tal_engine.outputs.render.data_view import DataView
from tests.makers import moving_square, write_mp4


def document(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def overlap(a, b):
    inter = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return inter / ((a[1] - a[0]) + (b[1] - b[0]) - inter)


def kinds_by_hand(truth, found, least, tiou):
    """(label, start, end) -> kind of the detections with at least a score, and which instances are missed."""
    out, free = {}, list(truth)
    for row in sorted((r for r in found if r[3] >= least), key=lambda r: (-r[3], r[1], r[2])):
        mine = [(overlap(row[1:3], t[1:3]), t) for t in truth if t[0] == row[0]]
        other = max((overlap(row[1:3], t[1:3]) for t in truth if t[0] != row[0]), default=0.0)
        right = [(o, t) for o, t in mine if o >= tiou and t in free]
        best = max((o for o, _ in mine), default=0.0)
        if right:
            free.remove(max(right, key=lambda pair: pair[0])[1])
            out[row] = "right"
        else:
            tests = (best >= tiou, other >= tiou, best >= 0.1, other >= 0.1, True)
            out[row] = KINDS[tests.index(True)]
    return out, free


def random_rows(seed, count, score):
    rng = np.random.default_rng(seed)
    rows = []
    for label in rng.choice(["a", "b"], count):
        start = round(float(rng.uniform(0, 40)), 3)
        rows.append(
            (str(label), start, round(start + float(rng.uniform(1, 8)), 3), *([round(float(rng.random()), 5)] * score))
        )
    return rows


@pytest.mark.parametrize("seed", range(4))
def test_kinds_hold_at_every_least_score(seed):
    truth, found = random_rows(seed, 12, 0), random_rows(seed + 100, 40, 1)
    tables = [
        AnnotationTable.of(Annotation("v", r[0], r[1], r[2], score=r[3] if len(r) > 3 else None) for r in t)
        for t in (truth, found)
    ]
    page = document(DataView(*tables).page())
    (video,) = page["videos"]
    for least in (0.0, 0.3, 0.7):
        kinds, missed = kinds_by_hand(truth, found, least, 0.5)
        shown = {(page["classes"][p[0]], *p[1:4]): page["kinds"][p[4]] for p in video["p"] if p[3] >= least}
        assert shown == kinds
        unfound = [(page["classes"][t[0]], t[1], t[2]) for t in video["t"] if t[4] is None or t[4] < least]
        assert sorted(unfound) == sorted(missed)
    assert {"right", "localization", "background"} <= set(kinds_by_hand(truth, found, 0.0, 0.5)[0].values())


def test_texts_of_files_do_not_leave_their_place():
    evil = "</script><script>alert(1)</script>"
    rows = [Annotation(evil, evil, 0.0, 1.0, subject=evil), Annotation(evil, "whole"), Annotation(evil, "here", 2.0)]
    page = DataView(AnnotationTable.of(rows), title=evil).page()
    assert page.count("</script>") == 2
    assert "default-src &#x27;none&#x27;" in page
    assert not re.search(r'(?:src|href)="?(?:https?:)?//', page)
    (video,) = document(page)["videos"]
    assert (video["n"], video["t"][0][3], len(video["w"]), video["t"][1][2], video["d"]) == (evil, evil, 1, None, 2.0)


def test_the_command(tmp_path):
    (tmp_path / "clips").mkdir()
    write_mp4(tmp_path / "clips" / "my clip.mp4", moving_square(20, 48, 64))
    truth = AnnotationTable.of([Annotation("my clip", "jump", 0.1, 0.5), Annotation("gone", "jump", 0.1, 0.5)])
    write(truth, tmp_path / "labels.csv")
    write(AnnotationTable.of([Annotation("my clip.mp4", "jump", 0.1, 0.6, score=0.5)]), tmp_path / "out.csv")
    command = [
        "data", "view", str(tmp_path / "labels.csv"), "--predictions", str(tmp_path / "out.csv"), "--videos",
        str(tmp_path / "clips"), "-o", str(tmp_path / "pages.html"),
    ]  # fmt: skip
    if not main.app.registered_groups:
        main._register()
    done = CliRunner().invoke(main.app, command)
    assert done.exit_code == 0, done.output
    assert "1 videos are not in" in done.output
    page = document((tmp_path / "pages.html").read_text())
    first, second = page["videos"]
    assert (first["u"], first["p"], second["u"]) == ("clips/my%20clip.mp4", [[0, 0.1, 0.6, 0.5, 0]], "")
    assert first["d"] == pytest.approx(0.8)
    kept = (tmp_path / "pages.html").read_bytes()
    assert CliRunner().invoke(main.app, command).exit_code != 0
    assert (tmp_path / "pages.html").read_bytes() == kept


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda t: DataView(t, tiou=0.0), "overlap of 0, must be above 0"),
        (lambda t: DataView(AnnotationTable.of([])), "no video to show"),
        (lambda t: DataView(t, t), "1 predictions have no score"),
    ],
)
def test_errors_name_what_is_allowed(make, said):
    with pytest.raises(UsageError, match=said):
        make(AnnotationTable.of([Annotation("v", "a", 0.0, 1.0)], {"v": Media()}))
