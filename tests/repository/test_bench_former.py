"""bench_former's segmental F1, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from segmental import painted, segmental_f1


def test_each_snippet_has_its_best_segment():
    centres = np.arange(10) + 0.5
    columns = ([0.0, 3.0, 2.0], [6.0, 5.0, 9.0], [0.5, 0.9, 0.1], [0, 1, 1])
    assert painted(columns, centres) == [(0, 3, 0), (3, 5, 1), (5, 6, 0), (6, 9, 1)]
    assert painted((), centres) == []


def test_f1_counts_each_true_segment_once():
    true = [(0, 10, 0), (20, 30, 1)]
    found = [(0, 6, 0), (6, 10, 0), (21, 30, 1), (40, 41, 1)]
    # Two right; (6, 10) overlaps by 0.4 only, (40, 41) nothing.
    assert segmental_f1([(found, true)], 0.5) == pytest.approx(2 * 2 / (2 * 2 + 2))
    assert segmental_f1([([(0, 6, 0), (0, 10, 0)], true[:1])], 0.5) == pytest.approx(2 / 3)
    assert segmental_f1([([], true)], 0.1) == 0
    assert segmental_f1([([], [])], 0.1) == 0
