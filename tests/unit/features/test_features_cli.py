"""tal features: extraction that survives interruptions and bad videos, comparison that says why files differ."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tal_engine._util import concurrency
from tal_engine.errors import FeatureError
from tal_engine.features import EncoderGraph, check_contract, contract_of, load_features, save_features
from tal_engine.features.compare import compare, read_for_comparison
from tal_engine.features.contract import differences
from tal_engine.inference.extraction import Extractor, extract_all
from tal_engine.options import NEAR_PIXELS, PIXELS
from tal_engine.records import Features
from tal_engine.timeline import Timeline
from tests.makers import SNIPPET, encoder_graph, moving_square, tiny_manifest, write_mp4

TIME = Timeline(0.0, 0.5, 0.5)


@pytest.fixture(scope="module")
def extractor():
    from tal_engine.backends import open_backend

    (spec,) = tiny_manifest().encoders
    return Extractor(SNIPPET, [EncoderGraph(spec, open_backend(encoder_graph(), "encoder_rgb.onnx", "cpu"))])


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    return [write_mp4(folder / f"v{i}.mp4", moving_square(20 + 8 * i, 48, 64)) for i in range(3)]


def made_by(features, extractor):
    """The record is the extractor's, and versions beside it."""
    record = dict(features.contract)
    return {"tal_engine", "av", "ffmpeg", "opencv", "onnxruntime"} == set(record.pop("libraries")) and (
        record == extractor.contract
    )


def test_features_of_many_videos_equal_those_of_each(extractor, videos, tmp_path):
    seen: dict[Path, list[float]] = {}
    outcome = extract_all(
        videos, tmp_path / "out", extractor, workers=2, progress=lambda v, x: seen.setdefault(v, []).append(x)
    )
    assert sorted(outcome.made) == videos
    for v in videos:
        found, alone = load_features(tmp_path / "out" / f"{v.stem}.npz"), extractor(v).features
        np.testing.assert_array_equal(found.streams["rgb"], alone.streams["rgb"])
        assert made_by(found, extractor)
        assert seen[v][-1] == 1.0
    assert list(outcome.seconds) == ["decode", "snippets", "flow", "encode"]


def test_a_second_run_keeps_what_is_there(extractor, videos, tmp_path):
    out = tmp_path / "out"
    extract_all(videos[:2], out, extractor)
    before = {p: p.stat().st_mtime_ns for p in out.iterdir()}
    outcome = extract_all(videos, out, extractor)
    assert (outcome.made, sorted(outcome.kept)) == ([videos[2]], videos[:2])
    assert all(p.stat().st_mtime_ns == t for p, t in before.items())


def test_a_file_made_of_something_else_is_not_taken_and_not_lost(extractor, videos, tmp_path):
    out = tmp_path / "out"
    other = Extractor(replace(SNIPPET, stride=4), extractor.encoders)
    extract_all(videos[:1], out, other)
    content = (out / "v0.npz").read_bytes()
    outcome = extract_all(videos[:1], out, extractor)
    assert "snippet.stride is 4" in str(outcome.failed[videos[0]])
    assert (out / "v0.npz").read_bytes() == content
    assert extract_all(videos[:1], out, extractor, overwrite=True).made == videos[:1]
    assert made_by(load_features(out / "v0.npz"), extractor)
    by_torch = {**extractor.contract, "flow_by": "torch"}
    save_features(out / "v0.npz", replace(load_features(out / "v0.npz"), contract=by_torch))
    assert "flow_by is 'torch', not None" in str(extract_all(videos[:1], out, extractor).failed[videos[0]])
    save_features(out / "v0.npz", replace(load_features(out / "v0.npz"), contract={}))
    assert "no record of its origin" in str(extract_all(videos[:1], out, extractor).failed[videos[0]])


def test_other_versions_and_older_records_are_taken(extractor, videos, tmp_path):
    """Versions refuse nothing; the pixels' rules do, where a record says them."""
    out = tmp_path / "out"
    extract_all(videos[:1], out, extractor)
    made = load_features(out / "v0.npz")
    old = {k: v for k, v in made.contract.items() if k not in ("libraries", "pixels")}
    for contract in ({**made.contract, "libraries": {"av": "0.1", "opencv": "2.4"}}, old):
        save_features(out / "v0.npz", replace(made, contract=contract))
        assert extract_all(videos[:1], out, extractor).kept == videos[:1]
    save_features(out / "v0.npz", replace(made, contract={**old, "pixels": "other rules"}))
    assert "pixels is 'other rules'" in str(extract_all(videos[:1], out, extractor).failed[videos[0]])


class Slow:
    """A way to flow that takes all the time there is: the clock stands still elsewhere."""

    name = "slow"
    now = 100.0

    def __call__(self, snippets, options, video):
        for batch in snippets:
            self.now += 1.0
            yield batch


def test_each_stage_has_its_own_seconds(extractor, videos, monkeypatch):
    flow = Slow()
    slow = Extractor(replace(SNIPPET, flow="dis"), extractor.encoders, flow)
    monkeypatch.setattr(concurrency.time, "perf_counter", lambda: flow.now)
    seconds = slow(videos[0]).seconds
    assert seconds["flow"] == flow.now - 100.0 > 0
    assert [seconds[stage] for stage in ("decode", "snippets", "encode")] == [0, 0, 0]


def older(contract):
    """The record as it was before shrinking and what flow is of were options."""
    snippet = {k: v for k, v in contract["snippet"].items() if k not in ("interpolation", "flow_of")}
    return {**contract, "snippet": snippet}


def test_records_from_before_an_option_mean_its_default(extractor, videos, tmp_path):
    new = extractor.contract
    assert differences(older(new), new) == differences(new, older(new)) == []
    protocol = contract_of(replace(SNIPPET, interpolation="bilinear", flow_of="whole"), [])
    wanted = [("snippet.interpolation", "area", "bilinear"), ("snippet.flow_of", "crop", "whole")]
    assert sorted(differences(older(new), protocol)) == sorted(wanted)
    assert sorted(differences(protocol, {"snippet": older(new)["snippet"]})) == sorted((n, b, a) for n, a, b in wanted)
    with pytest.raises(FeatureError, match=r"snippet\.interpolation is 'area', the head was trained on 'bilinear'"):
        check_contract(older(new), protocol, "old.npz")
    assert extract_all(videos[:1], tmp_path, extractor).made == videos[:1]
    kept = load_features(tmp_path / "v0.npz")
    save_features(tmp_path / "v0.npz", replace(kept, contract=older(new)))
    assert extract_all(videos[:1], tmp_path, extractor).kept == videos[:1]


def test_one_bad_video_does_not_stop_the_others(extractor, videos, tmp_path):
    bad = videos[0].with_name("a_bad.mp4")
    bad.write_bytes(b"not a video")
    outcome = extract_all([bad, *videos], tmp_path / "out", extractor, workers=2)
    assert list(outcome.failed) == [bad]
    assert sorted(outcome.made) == videos
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["v0.npz", "v1.npz", "v2.npz"]


def test_what_was_lost_is_told(extractor, videos, tmp_path):
    content = bytearray(videos[0].read_bytes())
    damaged = videos[0].with_name("damaged.mp4")
    middle = len(content) // 3
    content[middle : middle + 400] = b"\xff" * 400
    damaged.write_bytes(content)
    outcome = extract_all([damaged, videos[1]], tmp_path / "out", extractor)
    assert list(outcome.warnings) == [damaged]
    assert outcome.warnings[damaged]


def test_two_videos_of_one_name_are_both_kept(extractor, videos, tmp_path):
    other = tmp_path / "more" / "v0.mp4"
    other.parent.mkdir()
    shutil.copy(videos[0], other)
    assert not extract_all([videos[0], other], tmp_path / "out", extractor).failed
    found = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.npz"))
    assert found == sorted([f"{videos[0].parent.name}/v0.npz", "more/v0.npz"])


def test_a_full_disk_stops_the_run_and_leaves_no_half_file(extractor, videos, tmp_path, monkeypatch):
    import tal_engine.features.store as stored

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stored.np, "savez", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*out/.*\.npz'"):
        extract_all(videos, tmp_path / "out", extractor)
    assert list((tmp_path / "out").iterdir()) == []


def features(values, **contract):
    made = {"snippet": {"stride": 8, **contract}, "encoders": {"rgb": {"name": "x"}}}
    return Features({"rgb": np.asarray(values, np.float32)}, TIME, 9.0, made)


def test_comparison_says_what_differs():
    x = np.random.default_rng(0).normal(size=(9, 4))
    (same,), none = compare(features(x), features(x))
    assert (same.within(0, 1), none) == (True, [])
    assert same.cosine_least == 1.0
    (scaled,), (field,) = compare(features(x), features(2 * x, stride=16))
    assert scaled.cosine_least == pytest.approx(1.0)
    assert not scaled.within(1e-3, 1.1)
    assert field == ("snippet.stride", 16, 8)
    (short,), _ = compare(features(x), features(x[:7]))
    assert short.rows == (9, 7)
    assert not short.within(1, -1)
    zeros = features(np.zeros((3, 4)))
    assert compare(zeros, zeros)[0][0].cosine_mean == 1.0


def test_comparison_names_versions_that_both_record():
    x = np.ones((3, 4))
    old, new = features(x), features(x)
    new.contract.update(libraries={"av": "14.0", "torch": "2.5"}, pixels="rules 1")
    assert compare(old, new)[1] == compare(new, old)[1] == []
    old.contract.update(libraries={"av": "13.1"}, pixels="rules 1")
    assert compare(new, old)[1] == [("libraries.av", "13.1", "14.0")]


def test_arrays_of_other_tools_are_read(tmp_path):
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", features=x, fps=25.0)
    for name in ("x.npy", "x.npz"):
        (found,), differ = compare(features(x), read_for_comparison(tmp_path / name, "rgb"))
        assert found.within(0, 1)
        assert differ == []
    with pytest.raises(FeatureError, match=r"stream is 'flow', must be one of rgb"):
        compare(features(x), x, "flow")
    with pytest.raises(FeatureError, match="4 wide in one file and 5"):
        compare(features(x), np.zeros((9, 5), np.float32))
    np.savez(tmp_path / "y.npz", other=x)
    with pytest.raises(FeatureError, match="neither 'rgb' nor 'features'"):
        read_for_comparison(tmp_path / "y.npz", "rgb")
    np.save(tmp_path / "z.npy", x[0])
    with pytest.raises(FeatureError, match=r"shape \[4\], must be \[T, D\]"):
        read_for_comparison(tmp_path / "z.npy", "rgb")


def tal(*args):
    return subprocess.run([Path(sys.executable).with_name("tal"), *args], capture_output=True, text=True, check=False)


def test_command_extracts_compares_and_shows(videos, tmp_path):
    out = tmp_path / "out"
    bad = videos[0].with_name("bad.mp4")
    bad.write_bytes(b"not a video")
    result = tal("features", "extract", str(videos[0].parent), "--encoders", "tiny", "-o", str(out))
    assert result.returncode == 5, result.stderr
    assert "3 made, 1 failed" in result.stderr
    assert tal("features", "check", str(out / "v0.npz"), str(out / "v0.npz")).returncode == 0
    differs = tal("features", "check", str(out / "v0.npz"), str(out / "v1.npz"))
    assert differs.returncode == 3
    document = json.loads(tal("features", "info", str(out / "v0.npz"), "--json").stdout)
    assert document["streams"]["rgb"][1] == 128
    assert document["contract"]["snippet"]["window"] == 16
    assert "seconds by stage, of all videos: decode " in result.stderr
    record = {**document["contract"], "libraries": {"av": "0.1"}, "flow_by": "torch"}
    other = replace(load_features(out / "v0.npz"), contract=record)
    save_features(out / "other.npz", other)
    shown = tal("features", "info", str(out / "other.npz")).stdout
    assert all(f" {field} " in shown for field in ("encoders.rgb", "libraries.av", "pixels", "flow_by"))
    same = tal("features", "check", str(out / "v0.npz"), str(out / "other.npz"))
    assert same.returncode == 0
    assert "libraries.av: " in same.stdout
    assert "'0.1' in other.npz (a version: " in " ".join(same.stdout.split())


def test_pixels_of_the_rules_before_are_taken_with_a_warning():
    """They are the same for nearly all files; other rules are refused."""
    wanted = {"encoders": {}, "pixels": PIXELS}
    before = PIXELS.replace("rules 2", "rules 1")
    assert before in NEAR_PIXELS
    (note,) = check_contract({"encoders": {}, "pixels": before}, wanted, "a.npz")
    assert "rules 1" in note
    with pytest.raises(FeatureError, match=r"a\.npz: pixels is 'other'"):
        check_contract({"encoders": {}, "pixels": "other"}, wanted, "a.npz")
