"""The plan that is taken where none is named, and skeleton files in the place of videos."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from tal_engine import TALEngine
from tal_engine.cli import main
from tal_engine.errors import FeatureError, MissingPlanError, UsageError
from tal_engine.features import save_features
from tal_engine.inference.given import is_skeleton
from tal_engine.lab.people.streams import FPS, write_stream
from tal_engine.pose.plans import open_plan, plan_path
from tal_engine.pose.skeleton import LAYOUTS, canonical
from tal_engine.pose.skeleton_options import SkeletonOptions


@pytest.fixture(scope="module")
def engine() -> TALEngine:
    return TALEngine.load(device="cpu")


@pytest.fixture(scope="module")
def stream():
    return write_stream("a", [31, 7], actions=1, classes=["squat"])


@pytest.fixture(scope="module")
def bodies(tmp_path_factory, stream):
    """One recording as a table and as arrays, in the layout and axes of the figure."""
    folder = tmp_path_factory.mktemp("bodies")
    names = LAYOUTS["figure18"].names
    header = ",".join(["time", *(f"{n}_{a}" for n in names for a in "xyz")])
    flat = stream.joints.reshape(len(stream.joints), -1)
    rows = [",".join([f"{i / FPS:.6f}", *(f"{v:.7f}" for v in row)]) for i, row in enumerate(flat)]
    (folder / "b.csv").write_text("\n".join([header, *rows]) + "\n")
    np.savez(folder / "b.npz", joints=stream.joints, fps=FPS, layout="figure18")
    np.savez(folder / "bare.npz", joints=stream.joints)
    return folder


def invoked(*words):
    if not main.app.registered_commands:
        main._register()
    return CliRunner().invoke(main.app, [str(w) for w in words])


def test_no_plan_is_the_plan_for_people_and_demo_is_called_by_name(tmp_path, monkeypatch, engine):
    assert [open_plan(n).manifest.name for n in (None, "people", "demo")] == ["people", "people", "demo"]
    assert [e.reads for e in open_plan().manifest.encoders] == ["pose"]
    assert engine.plan.sha256 == open_plan("people").sha256
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").write_bytes(b"no plan")  # what is there comes before what ships
    assert plan_path("demo").read_bytes() == b"no plan"
    with pytest.raises(MissingPlanError, match="none"):
        open_plan("none")


def test_results_name_their_plan(engine):
    result = engine.localize(np.zeros((20, 64, 64, 3), np.uint8), fps=25.0)
    assert (len(result), result.info.plan_name) == (0, "people")
    assert result.to_activitynet()["external_data"]["plan_name"] == ["people"]
    assert "no person was found" in " ".join(result.info.warnings)


def test_skeletons_in_tables_and_arrays_are_localized(engine, stream, bodies):
    found = [engine.localize(bodies / name, min_score=0.0) for name in ("b.csv", "b.npz")]
    found.append(engine.localize(bodies / "bare.npz", min_score=0.0, skeleton=SkeletonOptions(fps=FPS)))
    (true,) = stream.instances
    for result in found:
        assert result[0].label == "squat"
        assert result[0].start < true.end
        assert result[0].end > true.start
    np.testing.assert_allclose([s.score for s in found[0]], [s.score for s in found[1]], atol=1e-3)
    assert found[1].segments == found[2].segments
    with pytest.raises(Exception, match="does not say its frame rate: --skeleton fps=30"):
        engine.localize(bodies / "bare.npz")


def test_arrays_are_told_from_features_by_what_is_in_them(engine, bodies, tmp_path):
    features = engine.features(bodies / "b.npz")
    save_features(tmp_path / "f.npz", features)
    (tmp_path / "broken.npz").write_bytes(b"PK\3\4")
    kinds = [bodies / "b.npz", bodies / "b.csv", tmp_path / "f.npz", tmp_path / "broken.npz", tmp_path / "x.mp4"]
    assert [is_skeleton(p) for p in kinds] == [True, True, False, False, False]
    assert engine.localize(tmp_path / "f.npz").segments == engine.localize(bodies / "b.npz").segments
    with pytest.raises(UsageError, match=r"skeleton is .* must be left out"):
        engine.localize(tmp_path / "f.npz", skeleton=SkeletonOptions(fps=30.0))
    with pytest.raises(FeatureError):
        engine.localize(tmp_path / "broken.npz")


def test_what_nobody_reads_is_refused(bodies, tmp_path, engine):
    save_features(tmp_path / "f.npz", engine.features(bodies / "b.npz"))
    done = invoked("localize", bodies / "bare.npz", "--skeleton", "fps=30", "-o", tmp_path / "r.json", "-q")
    assert done.exit_code == 0, done.output
    for words in (["localize", tmp_path / "f.npz"], ["features", "extract", tmp_path / "a.mp4", "--encoders", "pose"]):
        done = invoked(*words, "--skeleton", "fps=30", "-o", tmp_path / "o.json")
        assert isinstance(done.exception, UsageError)
        assert "is for skeleton files (.bvh, .amc, .npz, .csv), and there is none" in str(done.exception)


def test_a_file_without_anybody_says_so(engine, tmp_path, stream):
    joints = np.full_like(stream.joints, np.nan)
    np.savez(tmp_path / "n.npz", joints=joints, fps=FPS, layout="figure18")
    result = engine.localize(tmp_path / "n.npz")
    assert len(result) == 0
    said = " ".join(result.info.warnings)
    assert f"no joint is seen in any of {len(joints)} frames" in said
    assert "no depth" not in said
    assert (canonical(joints, layout="figure18")[1] == 0).all()
