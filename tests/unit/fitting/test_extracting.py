"""Features that were made before, as `tal fit --encoders none` reads them."""

import numpy as np
import pytest

from tal_engine import Features, Timeline, save_features
from tal_engine.annotations.labels import VideoLabels
from tal_engine.errors import DataError
from tal_engine.lab.fitting.extracting import stored


def test_features_of_no_time_are_left_out_by_name(tmp_path):
    for name, seconds in (("a", 1.92), ("b", 0.0)):
        rows = Features({"rgb": np.zeros((3, 4), np.float32)}, Timeline(0.0, 0.64, 0.64), seconds)
        save_features(tmp_path / f"{name}.npz", rows)
    found = stored([VideoLabels("a"), VideoLabels("b")], tmp_path)
    assert list(found.features) == ["a"]
    assert found.failed["b"].endswith("b.npz: the video's duration is 0.0 s, must be above 0")
    with pytest.raises(DataError, match=r"no video has features; the first: .* is 0.0 s, must be above 0"):
        stored([VideoLabels("b")], tmp_path)
