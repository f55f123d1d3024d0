"""What bench_gold decides: whether a figure is reached, and whether one was lost."""

from __future__ import annotations

import bench_gold
import pytest
from gold_files import GOLD, reached


@pytest.mark.parametrize(
    ("ours", "printed", "good"),
    [
        (52.122, "52.1", True),
        (52.171, "52.1", False),
        (4.988, "4.9", False),
        (4.988, "5.0", True),
        (5 / 7, "0.71428571", True),
        (0.6177579365079364, "0.6177579365079365", True),
        (0.05, "0.1", True),
        (0.25, "0.2", True),
    ],
)
def test_a_figure_is_reached_if_ours_rounds_to_it(ours, printed, good):
    assert reached(ours, printed) is good


def files(good):
    digit = {"at": "0.5", "printed": "17.7", "ours": 17.7, "reached": good}
    return {"a.json": {"claims": [{"rules": "r", "kind": "published", "source": "s", "digits": [digit]}]}}


def test_only_what_was_reached_can_be_lost():
    assert bench_gold.lost(files(True), files(False)) == ["a.json | r | s | 0.5 | 17.7"]
    assert bench_gold.lost(files(True), files(True)) == []
    assert bench_gold.lost(files(False), files(False)) == []
    assert bench_gold.lost(files(True), {}) == []  # the file is not there: skipped


def test_a_lost_figure_ends_with_an_error_and_nothing_is_stored(monkeypatch):
    monkeypatch.setattr(bench_gold, "measured", lambda: (files(False), {}))
    monkeypatch.setattr(bench_gold, "stored", lambda name: {"figures": {"files": files(True)}})
    monkeypatch.setattr(bench_gold, "finish", lambda *a: pytest.fail("stored"))
    with pytest.raises(SystemExit, match="missed now"):
        bench_gold.main()


def test_files_that_are_absent_are_skipped_with_the_reason(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench_gold, "SHARED", tmp_path)
    monkeypatch.setattr(bench_gold, "finish", lambda *a: pytest.fail("stored"))
    with pytest.raises(SystemExit) as ended:
        bench_gold.main()
    assert ended.value.code == 0
    said = capsys.readouterr().err
    assert all(f"{gold.file}: skipped, no detections/{gold.file}" in said for gold in GOLD)


def test_each_claim_has_a_figure_for_each_overlap_and_a_source():
    for gold in GOLD:
        for claim in gold.claims:
            assert len(claim.by_tiou) == len(claim.rules.tious)
            assert claim.kind in ("published", "recomputed")
            assert claim.source
