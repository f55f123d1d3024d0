"""tal features import: the layouts of video_features, OpenTAD, MMAction2 and HDF5, and what nobody knows of them."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from typer.testing import CliRunner

from tal_engine import TALEngine, load_features, save_features
from tal_engine.cli.main import _register, app
from tal_engine.errors import FeatureError, MissingExtraError, UsageError
from tal_engine.features import check_contract, foreign
from tal_engine.features.contract import not_known
from tal_engine.features.importing import ImportOptions, import_features
from tal_engine.records import Features
from tal_engine.timeline import Timeline
from tests.makers import SNIPPET, tiny_plan

RNG = np.random.default_rng(0)
GEOMETRY = {"fps": 30.0, "window": 16, "stride": 4}


def rows(count, width):
    return RNG.normal(size=(count, width)).astype(np.float32)


def write_video_features(folder, name, count=7, fps=25.0, stack=64, step=64):
    """What `python main.py feature_type=i3d on_extraction=save_numpy` leaves: float64 rows, times of stacks' ends."""
    folder.mkdir(parents=True, exist_ok=True)
    rgb, flow = RNG.normal(size=(2, count, 1024))
    times = (np.arange(count) * step + stack) / fps * 1000
    for key, value in {"rgb": rgb, "flow": flow, "fps": np.array(fps), "timestamps_ms": times}.items():
        np.save(folder / f"{name}_{key}.npy", value)
    return rgb, flow


def run(*args):
    if not app.registered_commands:
        _register()
    return CliRunner().invoke(app, ["features", "import", *map(str, args)])


def test_stacks_of_video_features(tmp_path):
    rgb, flow = write_video_features(tmp_path / "i3d", "a_b_c", stack=24, step=12)
    outcome = import_features(tmp_path / "i3d", tmp_path / "out", ImportOptions())
    assert (outcome.layout, outcome.made, outcome.failed) == ("video_features", ["a_b_c"], {})
    found = load_features(tmp_path / "out" / "a_b_c.npz")
    np.testing.assert_array_equal(found.streams["rgb"], rgb.astype(np.float32))
    np.testing.assert_array_equal(found.streams["flow"], flow.astype(np.float32))
    assert (found.timeline.start, found.timeline.width) == (0, 0.96)
    assert found.timeline.step == pytest.approx(0.48)
    assert found.duration == pytest.approx(6 * 0.48 + 0.96)
    assert found.contract["snippet"] == {"fps": 25.0, "window": 24, "stride": 12}
    assert found.contract["encoders"]["rgb"] == {"name": "video_features:rgb", "dim": 1024}
    assert {"encoders.flow.weights_sha256", "snippet.crop", "flow", "duration"} <= set(not_known(found.contract))


def test_frames_of_video_features(tmp_path):
    """CLIP and the like have a row a frame, the first at 0, and the name of the feature is its end."""
    folder = tmp_path / "clip" / "ViT-B_32"
    folder.mkdir(parents=True)
    x = rows(50, 512)
    np.save(folder / "v_x_clip.npy", x)
    np.save(folder / "v_x_fps.npy", np.array(12.5))
    np.save(folder / "v_x_timestamps_ms.npy", np.arange(50) * 80.0)
    import_features(folder, tmp_path / "out", ImportOptions(encoder="CLIP ViT-B/32", durations={"v_x": 4.02}))
    found = load_features(tmp_path / "out" / "v_x.npz")
    assert list(found.streams) == ["clip"]
    assert (found.timeline.step, found.timeline.width) == (pytest.approx(0.08), pytest.approx(0.08))
    assert found.duration == 4.02
    assert found.contract["encoders"]["clip"]["name"] == "CLIP ViT-B/32"
    assert "duration" not in not_known(found.contract)


def test_kinds_without_times_need_a_geometry(tmp_path):
    (tmp_path / "r21d").mkdir()
    np.save(tmp_path / "r21d" / "v_r21d.npy", rows(5, 512))
    with pytest.raises(UsageError, match=r"nothing says where in time its rows are: give --snippet fps=25"):
        import_features(tmp_path / "r21d", tmp_path / "out", ImportOptions(layout="video_features"))
    assert not (tmp_path / "out").exists()
    options = ImportOptions(layout="video_features", **GEOMETRY)
    import_features(tmp_path / "r21d", tmp_path / "out", options)
    found = load_features(tmp_path / "out" / "v.npz")
    assert found.timeline == Timeline(0.0, 4 / 30, 16 / 30)


@pytest.mark.parametrize("kind", ["npy", "npz", "csv", "csv without names", "pkl", "pkl of a list"])
def test_files_of_opentad_and_mmaction2(kind, tmp_path):
    x, folder = rows(9, 6), tmp_path / "in"
    folder.mkdir()
    path = folder / f"v_abc.{kind[:3]}"
    if kind == "npy":
        np.save(path, x.astype(np.float16))
    elif kind == "npz":
        np.savez(path, feats=x)
    elif kind.startswith("csv"):
        names = "" if "without" in kind else ",".join(f"f{i}" for i in range(6)) + "\n"
        path.write_text(names + "\n".join(",".join(map(str, r)) for r in x.tolist()))
    else:
        path.write_bytes(pickle.dumps(list(x) if "list" in kind else x))
    options = ImportOptions(pattern="v_{name}", columns={"rgb": (0, 4), "flow": (4, 6)}, **GEOMETRY)
    outcome = import_features(folder, tmp_path / "out", options)
    assert (outcome.layout, outcome.made) == ("files", ["abc"])
    found = load_features(tmp_path / "out" / "abc.npz")
    np.testing.assert_allclose(np.hstack([found.streams["rgb"], found.streams["flow"]]), x, rtol=2e-3, atol=1e-3)
    # Row i of OpenTAD is of the frames around i * stride + offset, and offset is half a window.
    assert found.timeline.centers(3) == pytest.approx((np.arange(3) * 4 + 8) / 30)


def test_hdf5(tmp_path):
    """TSP: a dataset a video. ActivityNet's C3D: a group a video, with one dataset."""
    h5py = pytest.importorskip("h5py")
    x, y = rows(5, 512), rows(4, 500)
    with h5py.File(tmp_path / "tsp.h5", "w") as file:
        file["v_one"] = x
        file["v_two/c3d_features"] = y
        file["v_three/a"], file["v_three/b"] = x, y
    options = ImportOptions(stream="tsp", pattern="v_{name}", fps=15, window=16, stride=16)
    outcome = import_features(tmp_path / "tsp.h5", tmp_path / "out", options)
    assert (outcome.layout, outcome.made) == ("hdf5", ["one", "two"])
    assert "it is a group of 2 arrays" in str(outcome.failed["three"])
    np.testing.assert_array_equal(load_features(tmp_path / "out" / "one.npz").streams["tsp"], x)
    np.testing.assert_array_equal(load_features(tmp_path / "out" / "two.npz").streams["tsp"], y)


def test_hdf5_without_its_package(tmp_path, monkeypatch):
    (tmp_path / "x.h5").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingExtraError, match="h5py"):
        foreign.foreign_videos(tmp_path / "x.h5", None)


def test_resized_rows_are_as_long_as_their_video_makes_them(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        np.save(tmp_path / "in" / f"{name}.npy", rows(100, 8))
    options = ImportOptions(stream="rgb", resized=True, durations={"a": 50.0})
    outcome = import_features(tmp_path / "in", tmp_path / "out", options)
    assert load_features(tmp_path / "out" / "a.npz").timeline == Timeline(0, 0.5, 0.5)
    assert {"snippet.fps", "snippet.stride"} <= set(not_known(load_features(tmp_path / "out" / "a.npz").contract))
    assert "resized rows need the duration of b" in str(outcome.failed["b"])


def test_what_is_there_is_kept(tmp_path):
    write_video_features(tmp_path / "in", "v")
    (tmp_path / "out").mkdir()
    mine = Features({"rgb": rows(2, 3)}, Timeline(0, 1, 1), 2.0)
    save_features(tmp_path / "out" / "v.npz", mine)
    assert import_features(tmp_path / "in", tmp_path / "out", ImportOptions()).kept == ["v"]
    assert load_features(tmp_path / "out" / "v.npz") == mine
    assert import_features(tmp_path / "in", tmp_path / "out", ImportOptions(), overwrite=True).made == ["v"]
    assert load_features(tmp_path / "out" / "v.npz") != mine


def test_damaged_files_do_not_stop_the_others(tmp_path):
    folder = tmp_path / "in"
    for name in ("cut", "late", "uneven", "few", "nan", "good"):
        write_video_features(folder, name)
    whole = (folder / "cut_rgb.npy").read_bytes()
    (folder / "cut_rgb.npy").write_bytes(whole[:-8])
    np.save(folder / "late_timestamps_ms.npy", np.arange(7)[::-1] * 100.0)
    np.save(folder / "uneven_timestamps_ms.npy", np.array([64, 128, 192, 256, 320, 350, 448]) / 25 * 1000)
    np.save(folder / "few_timestamps_ms.npy", np.arange(5) * 100.0)
    broken = np.load(folder / "nan_rgb.npy")
    broken[3, 5] = np.nan
    np.save(folder / "nan_rgb.npy", broken)
    done = run(folder, "-o", tmp_path / "out")
    assert done.exit_code == FeatureError.exit_code
    said = " ".join(done.stderr.split())
    for words in ("1 made (video_features), 5 failed", "do not rise from 0 on", "not evenly spaced", "feature 3 is NaN",
                  "has 7 rows and the times of 5"):  # fmt: skip
        assert words in said
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["good.npz"]


def test_a_pickle_runs_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "v.pkl").write_bytes(pickle.dumps(Evil()))
    outcome = import_features(tmp_path / "in", tmp_path / "out", ImportOptions(stream="rgb", **GEOMETRY))
    assert isinstance(outcome.failed["v"], FeatureError)


@pytest.mark.parametrize(
    ("args", "words"),
    [(["--snippet", "fps=25"], "go together"), (["--snippet", "crop=224"], "fields of imported features are"),
     (["--snippet", "fps=x"], "'x' is not a number"), (["--columns", "rgb=4"], "must be NAME=FIRST:END"),
     (["--columns", "rgb=4:2"], "columns of rgb is '4:2'"), (["--layout", "tsn"], "must be one of video_features"),
     (["--pattern", "v_"], r"must hold {name} once"), ([], "its features have no name"),
     (["--stream", "rgb"], "nothing says where in time"), (["--pattern", "w_{name}"], "its files are such as v_1.npy")],
)  # fmt: skip
def test_what_is_refused(args, words, tmp_path):
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "v_1.npy", rows(3, 4))
    done = run(tmp_path / "in", "-o", tmp_path / "out", *args)
    assert isinstance(done.exception, UsageError)
    assert words in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_tensors_of_torch_are_named(tmp_path):
    (tmp_path / "v.pt").write_bytes(b"PK")
    with pytest.raises(UsageError, match=r"but .pt files: save them with numpy.save"):
        import_features(tmp_path, tmp_path / "out", ImportOptions())


def imported_pair(tmp_path, **options):
    """Our features of a stream, and imported ones of the same width."""
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "v.npy", rows(20, 4))
    options = {"stream": "rgb", "fps": 25.0, "window": 8, "stride": 8, **options}
    import_features(tmp_path / "in", tmp_path / "out", ImportOptions(**options))
    return load_features(tmp_path / "out" / "v.npz")


def test_a_plan_of_other_encoders_refuses_them(tmp_path):
    """By the name of the encoder; and once it is the same name, it says what was not compared."""
    other = imported_pair(tmp_path)
    engine = TALEngine(tiny_plan(), "cpu")
    with pytest.raises(FeatureError, match=r"encoders.rgb.name is 'files:rgb', the head was trained on 'test-rgb'"):
        engine.localize(other)
    np.save(tmp_path / "in" / "w.npy", rows(20, 4))
    same = {"fps": SNIPPET.fps, "window": SNIPPET.window, "stride": SNIPPET.stride}
    options = ImportOptions(stream="rgb", encoder="test-rgb", **same)
    import_features(tmp_path / "in", tmp_path / "out", options)
    (note,) = engine.localize(load_features(tmp_path / "out" / "w.npz")).info.warnings
    assert "made by another extractor; not known, so not compared: encoders.rgb.weights_sha256" in note


def test_a_head_of_imported_features_says_what_it_never_knew(tmp_path):
    """And refuses features of another extractor, though its plan has no encoder."""
    own = imported_pair(tmp_path)
    engine = TALEngine(tiny_plan(encoders=False, provenance={"contract": own.contract}), "cpu")
    said = engine.localize(own).info.warnings
    assert sum("not known, so not compared" in w for w in said) == 1
    assert not any("carries no record of" in w for w in said)
    ours = {**own.contract, "encoders": {"rgb": {"name": "i3d:rgb", "dim": 4, "weights_sha256": "1" * 64}}}
    ours.pop("imported")
    with pytest.raises(FeatureError, match=r"encoders.rgb.name is 'i3d:rgb', the head was trained on 'files:rgb'"):
        engine.localize(Features(own.streams, own.timeline, own.duration, ours))
    same = {**ours, "encoders": {"rgb": {"name": "files:rgb", "dim": 4, "weights_sha256": "1" * 64}}}
    (note,) = check_contract(same, engine.contract, "v")
    assert note.startswith("v: the head was trained on features of another extractor; not known of them")


def test_training_on_them(tmp_path):
    """`tal fit` takes the folder as it takes one of `tal features extract`; its plan keeps the record."""
    pytest.importorskip("torch")
    from tal_engine.plan import read_plan

    folder, labels = tmp_path / "in", ["video,label"]
    folder.mkdir()
    for i in range(8):
        x, label = rows(40, 6), ("run", "jump")[i % 2]
        x[10:25, i % 2] += 6
        np.save(folder / f"v{i}.npy", x)
        labels.append(f"v{i},{label}")
    (tmp_path / "labels.csv").write_text("\n".join(labels))
    assert run(folder, "-o", tmp_path / "f", "--stream", "rgb", "--encoder", "I3D of a friend", "--snippet", "fps=25",
               "--snippet", "window=16", "--snippet", "stride=16").exit_code == 0  # fmt: skip
    args = ["fit", tmp_path / "f", "--labels", tmp_path / "labels.csv", "-o", tmp_path / "x.plan", "--encoders", "none"]
    done = CliRunner().invoke(app, [*map(str, args), "--folds", "2", "--no-curve", "--steps", "30", "--force"])
    assert done.exit_code == 0, done.output
    plan = read_plan(tmp_path / "x.plan")
    assert plan.manifest.provenance["contract"]["encoders"]["rgb"]["name"] == "I3D of a friend"
    assert (plan.manifest.snippet.fps, plan.manifest.snippet.stride) == (25.0, 16)
    result = TALEngine(plan, "cpu").localize(load_features(tmp_path / "f" / "v0.npz"))
    assert any("not known, so not compared" in w for w in result.info.warnings)
    info = CliRunner().invoke(app, ["features", "info", str(tmp_path / "f" / "v0.npz"), "--json"])
    assert "pixels" in json.loads(info.stdout)["contract"]["imported"]["unknown"]
