"""The command line as a user types it: output, files and exit statuses."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tal_engine.errors import PlanFault
from tests.makers import moving_square, tiny_plan, write_audio_only, write_mp4

TAL = Path(sys.executable).with_name("tal")
#: `make oldest` has what users run, without torch.
WITH_TORCH = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed: [train]")


def tal(*args, cwd=None):
    return subprocess.run([TAL, *map(str, args)], capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two good videos and three bad ones."""
    root = tmp_path_factory.mktemp("clips")
    for name, count in (("a", 100), ("b", 60)):
        write_mp4(root / f"{name}.mp4", moving_square(count, 48, 64))
    return root


def test_version_and_help():
    assert tal("--version").stdout.startswith("tal_engine ")
    out = tal("--help").stdout
    for command in ("localize", "train", "export", "plan", "demo"):
        assert command in out


def test_localize_prints_a_table(folder, plan_path):
    done = tal("localize", folder / "a.mp4", "--plan", plan_path)
    assert done.returncode == 0, done.stderr
    assert "a.mp4" in done.stdout
    assert "score" in done.stdout
    assert "seconds by stage: decode" in done.stderr
    assert "embedded" not in done.stderr


def test_localize_writes_every_form(folder, plan_path, tmp_path):
    for name in ("r.json", "r.jsonl", "r.csv"):
        done = tal("localize", folder, "--plan", plan_path, "-o", tmp_path / name, "-q")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found = json.loads((tmp_path / "r.json").read_text())["results"]
    assert sorted(found) == ["a", "b"]
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    with (tmp_path / "r.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(rows) == len(table) == sum(map(len, found.values())) > 0
    best = max(rows, key=lambda r: r["score"])
    assert best["score"] == max(s["score"] for part in found.values() for s in part)
    assert Path(best["source"]).name in ("a.mp4", "b.mp4")


def test_jsonl_goes_to_stdout_and_talk_to_stderr(folder, plan_path):
    done = tal("localize", folder / "a.mp4", folder / "b.mp4", "--plan", plan_path, "--format", "jsonl")
    assert done.returncode == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {Path(r["source"]).name for r in rows} == {"a.mp4", "b.mp4"}
    assert "a.mp4" in done.stderr


def test_plots(folder, plan_path, tmp_path):
    assert tal("localize", folder / "a.mp4", "--plan", plan_path, "--plot", tmp_path / "t.png").returncode == 0
    assert tal("localize", folder, "--plan", plan_path, "--plot", tmp_path / "t.png").returncode == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t-a.png", "t-b.png", "t.png"]


def test_conf_and_topk(folder, plan_path):
    done = tal("localize", folder / "a.mp4", "--plan", plan_path, "--format", "csv", "--topk", "2", "--conf", "-9")
    assert len(done.stdout.splitlines()) == 3
    done = tal("localize", folder / "a.mp4", "--plan", plan_path, "--format", "csv", "--conf", "1000")
    assert done.stdout.splitlines() == ["video,label,start,end,score,domain"]


def test_one_bad_file_does_not_stop_the_others(folder, plan_path, tmp_path):
    bad = tmp_path / "text.mp4"
    bad.write_text("hello")
    write_audio_only(tmp_path / "sound.mp4")
    out = tmp_path / "r.json"
    sources = [folder / "a.mp4", bad, tmp_path / "no.mp4", tmp_path / "sound.mp4", folder / "b.mp4"]
    done = tal("localize", *sources, "--plan", plan_path, "-o", out)
    assert done.returncode == 5
    assert sorted(json.loads(out.read_text())["results"]) == ["a", "b"]
    assert "2 localized, 3 failed" in done.stderr
    for name in ("text.mp4", "no.mp4", "sound.mp4"):
        assert name in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (["localize"], 2, "Missing argument"),
        (["localize", "{clip}", "--plan", "{plan}", "--nonsense"], 2, "No such option"),
        (["localize", "{clip}", "--plan", "{plan}", "--device", "abacus"], 2, "'abacus'"),
        (["localize", "{clip}", "--plan", "{plan}", "-o", "x.yaml"], 2, "'.yaml'"),
        (["localize", "{clip}", "--plan", "{plan}", "-o", "{clip}/r.json"], 2, "file of --output cannot be"),
        (["localize", "{clip}", "--plan", "{plan}", "--topk", "-1"], 2, "top_k is -1"),
        (["localize", "{tmp}/a.bvh", "--plan", "{plan}", "--save-video", "{tmp}/v.mp4"], 2, "holds only features"),
        (["localize", "{empty}", "--plan", "{plan}"], 5, "no videos and no feature files (.npz) in this folder"),
        (["localize", "{tmp}/no.mp4", "--plan", "{plan}"], 5, "no such file"),
        (["localize", "{clip}", "--plan", "{tmp}/no.plan"], 5, "no such plan"),
        (["localize", "{clip}", "--plan", "{clip}"], 1, "not a plan"),
        (["localize", "{clip}", "--plan", "{future}"], 4, "upgrade tal-engine"),
        (["localize", "{clip}", "--plan", "{plan}", "--device", "cuda", "--strict"], 4, "has no CUDA"),
        (["localize", "{clip}", "--plan", "{plan}", "--truth", "{clip}"], 1, "cannot tell the form of a '.mp4' file"),
        (["plan", "verify", "{clip}"], 1, "not a plan"),
        (["plan", "unpack", "{plan}", "-o", "{clip}"], 2, "is not a folder"),
        (["demo", "render", "-o", "{tmp}/d", "--split", "dev"], 2, "split is 'dev'"),
        pytest.param(
            ["train", "magic", "--data", "{tmp}", "-o", "{tmp}/c"], 2, "unknown method 'magic'", marks=WITH_TORCH
        ),
        pytest.param(["export", "{tmp}", "-o", "{tmp}/x.plan"], 5, "no checkpoint.json", marks=WITH_TORCH),
    ],
)
def test_exit_statuses(args, status, words, clip, plan_path, tmp_path):
    import onnxruntime

    if "--strict" in args and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA, so --device cuda --strict works")
    (tmp_path / "empty").mkdir()
    names = {"clip": clip, "plan": plan_path, "tmp": tmp_path, "empty": tmp_path / "empty"}
    names["future"] = tmp_path / "future.plan"
    tiny_plan(names["future"], schema={"layout": 9, "spec": 1})
    done = tal(*(a.format(**names) for a in args), cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert words in " ".join((done.stderr + done.stdout).split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x.plan").exists()


def test_plan_inspect_verify_unpack(plan_path, tmp_path):
    out = tal("plan", "inspect", plan_path).stdout
    for words in ("tiny", "jump, run, sit", "test-rgb", "head.onnx"):
        assert words in out
    manifest = json.loads(tal("plan", "inspect", plan_path, "--json").stdout)
    assert manifest["schema"] == {"layout": 1, "spec": 4}
    assert "sound" in tal("plan", "verify", plan_path).stdout
    assert tal("plan", "unpack", plan_path, "-o", tmp_path / "u").returncode == 0
    assert sorted(p.name for p in (tmp_path / "u").iterdir()) == [
        "encoder_rgb.onnx",
        "head.onnx",
        "labels.txt",
        "manifest.json",
    ]
    assert (tmp_path / "u" / "labels.txt").read_text().split() == ["jump", "run", "sit"]
    import onnx

    onnx.checker.check_model(str(tmp_path / "u" / "head.onnx"))


def test_verify_names_the_fault(plan_path, tmp_path):
    data = bytearray(plan_path.read_bytes())
    data[data.index(b"MatMul")] ^= 1
    hurt = tmp_path / "hurt.plan"
    hurt.write_bytes(data)
    done = tal("plan", "verify", hurt)
    assert done.returncode == 1
    assert "head.onnx" in done.stderr
    assert PlanFault.WRONG_HASH.value == "wrong_hash"


def test_demo_render(tmp_path):
    done = tal("demo", "render", "-o", tmp_path, "--split", "clips", "--count", "2", "--seed", "3", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "videos").glob("*.mp4"))) == 2
    assert len(json.loads((tmp_path / "annotations.json").read_text())["database"]) == 2


@pytest.mark.parametrize(
    ("command", "module"),
    [
        pytest.param(["train", "pvlr", "--data", "d", "-o", "c"], "torch", marks=WITH_TORCH),  # else yaml is missed
        pytest.param(["data", "check", "d.yaml"], "yaml", marks=WITH_TORCH),  # else torch is missed
        (["import", "x.pth", "-o", "c"], "torch"),
    ],
)
def test_a_missing_extra_is_an_error_with_its_command(command, module, tmp_path):
    """The training commands where only the runtime is installed."""
    code = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {module!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
sys.argv = ["tal", *{command!r}]
from tal_engine.cli.main import run
run()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert f"{module} is not installed: pip install 'tal-engine[train]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_names_are_printed_as_they_are(tmp_path, plan_path):
    """Rich would make a style of [red] and a picture of :b:."""
    path = tmp_path / "[red]a:b:c.mp4"
    write_mp4(path, moving_square(40, 48, 64))
    done = tal("localize", path, tmp_path / "[bold]none.mp4", "--plan", plan_path)
    assert "[red]a:b:c.mp4" in done.stdout
    assert "[red]a:b:c.mp4: 1.6 s in" in done.stderr
    assert "[bold]none.mp4" in done.stderr
    assert done.returncode == 5
