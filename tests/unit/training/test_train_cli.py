"""``tal train`` on stored features, as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from tal_engine.cli.inputs import with_settings
from tal_engine.cli.main import _register, app
from tal_engine.cli.progress import PlainLines
from tal_engine.errors import TALError, UsageError
from tal_engine.lab.methods import load_method
from tal_engine.lab.training import checkpoint
from tal_engine.lab.training.recipe import demo_config, recipe
from tests.waiting import LONG_S, until

CLASSES = ("run", "jump")
FAST = ["--steps", "4", "--train-options", "batch=4", "--train-options", "pairs=1", "--train-options", "length=16"]


@pytest.fixture(scope="module", autouse=True)
def registered():
    if not app.registered_commands:
        _register()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Eight training, three validation and three test videos with a class planted in their middle."""
    root, rng = tmp_path_factory.mktemp("set"), np.random.default_rng(0)
    database = {}
    for i in range(14):
        subset = ("train", "validation", "test")[0 if i < 8 else 1 + (i - 8) // 3]
        label, length = CLASSES[i % 2], 24 + i
        x = rng.normal(size=(length, 22)).astype(np.float32)
        x[8:16, i % 2 :: 2] += 3
        for folder, part in (("i3d", x[:, :16]), ("clip", x[:, 16:])):
            (root / folder).mkdir(exist_ok=True)
            np.save(root / folder / f"v{i}.npy", part)
        segment = {"segment": [8 * 0.64, 16 * 0.64], "label": label}
        database[f"v{i}"] = {"subset": subset, "duration": length * 0.64, "annotations": [segment]}
    (root / "gt.json").write_text(json.dumps({"database": database}))
    description = {
        "name": "planted",
        "annotations": "gt.json",
        "subsets": {"train": "train", "validation": "validation", "test": "test"},
        "features": [
            {"path": "i3d/{name}.npy", "streams": {"rgb": [0, 8], "flow": [8, 16]}},
            {"path": "clip/{name}.npy", "stream": "clip"},
        ],
        "protocol": "wtal-seconds",
        "text": {"tower": "hashed", "dim": 6},
    }
    (root / "data.yaml").write_text(yaml.safe_dump(description))
    return root / "data.yaml"


def tal_train(*args):
    return CliRunner().invoke(app, ["train", *map(str, args)])


def read(path):
    return json.loads(path.read_text())


def test_a_method_with_texts_end_to_end(data, tmp_path):
    done = tal_train("pvlr", "--data", data, "-o", tmp_path / "c", "--eval-every", "2", *FAST)
    assert done.exit_code == 0, done.output
    assert "pvlr on planted: test mAP in %, protocol wtal-seconds" in done.output
    assert "selected on test: optimistic" in done.output
    found = checkpoint.load(tmp_path / "c")
    assert (found.config.rgb, found.config.flow, found.config.joint) == (8, 8, 6)
    assert (found.step, found.train.learning_rate, found.train.batch) == (4, 5e-5, 4)
    document = read(tmp_path / "c" / "report.json")
    assert [h["step"] for h in document["history"]] == [2, 4]
    assert set(document["history"][0]) == {"step", "test"}
    assert document["history"][0]["test"]["videos"] == 3
    assert [r["name"] for r in document["rows"]] == [
        "last", "mean of the last 2 evaluations", "best on test (selected on test: optimistic)"
    ]  # fmt: skip


def test_a_network_that_is_not_trained_is_scored_and_written(data, tmp_path):
    command = ("vlpo", "--data", data, "-o", tmp_path / "c", "--cfg-options", "adaptation=zero_shot", *FAST[2:])
    done = tal_train(*command, "--steps", "1")
    assert isinstance(done.exception, UsageError)
    assert "steps=0 writes it as it is" in str(done.exception)
    done = tal_train(*command, "--steps", "0")
    assert done.exit_code == 0, done.output
    assert "vlpo on planted: test mAP in %" in done.output
    assert checkpoint.load(tmp_path / "c").step == 0
    assert [h["step"] for h in read(tmp_path / "c" / "report.json")["history"]] == [0]


def test_seeds_selected_on_validation(data, tmp_path):
    out = tmp_path / "c"
    options = ["--train-options", "select=validation", "--cfg-options", "gate=autoencoded"]
    common = ["co2", "--data", data, "-o", out, "--seed", "3", "--eval-every", "2", *options]
    done = tal_train(*common, "--seeds", "2", *FAST)
    assert done.exit_code == 0, done.output
    assert "co2 on planted (mean ± sd over seeds 3 to 4): test mAP" in done.output
    assert sorted(p.name for p in out.iterdir()) == ["report.json", "seed3", "seed4"]
    document = read(out / "report.json")
    assert document["seeds"] == [3, 4]
    rows = {r["name"]: r for r in document["rows"]}
    assert rows["best on validation"]["figures"]["mean"]["n"] == 2
    assert checkpoint.load(out / "seed4").train.seed == 4
    assert checkpoint.load(out / "seed4").config.gate == "autoencoded"
    done = tal_train(*common, "--seeds", "3", "--resume", "--steps", "6", *FAST[2:])
    assert done.exit_code == 0, done.output
    assert [len(read(out / f"seed{s}" / "report.json")["history"]) for s in (3, 4, 5)] == [3, 3, 3]


def test_widths_that_are_set_are_kept(data, tmp_path):
    done = tal_train("co2", "--data", data, "-o", tmp_path / "c", "--cfg-options", "rgb=9", *FAST)
    assert "stream 'rgb' of 'v0' is 8 wide, must be 9" in str(done.exception)
    done = tal_train("co2", "--data", data, "-o", tmp_path / "c", "--recipe", "activitynet", *FAST)
    assert done.exit_code == 0, done.output
    found = checkpoint.load(tmp_path / "c")
    assert (found.config.smoothing, found.config.rgb, found.train.weight_decay) == ("both", 8, 5e-4)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--recipe", "best"], "pvlr has no recipe 'best'; known: activitynet, "),
        (["--cfg-options", "base_options.nonsense=1"], "base_options of co2: unexpected keyword argument 'nonsense'"),
        (["--train-options", "amp=int8"], "cannot set amp='int8'"),
        (["--train-options", "epochs=8"], "cannot set 'epochs=8': use NAME=VALUE with one of steps, batch"),
        (["--subset", "everything"], "subset is 'everything', must be one of train, validation, test"),
    ],
)
def test_wrong_settings_are_named(data, tmp_path, more, words):
    done = tal_train("pvlr", "--data", data, "-o", tmp_path / "c", *FAST, *more)
    assert isinstance(done.exception, UsageError)
    assert words in str(done.exception)
    assert not (tmp_path / "c").exists()


def test_a_finished_run_is_not_overwritten_unless_asked(data, tmp_path):
    command = ("stpn", "--data", data, "-o", tmp_path / "c", *FAST)
    assert tal_train(*command).exit_code == 0
    before = (tmp_path / "c" / "checkpoint.json").read_bytes()
    for more in ((), ("--seed", "3"), ("--seeds", "2")):
        done = tal_train(*command, *more)
        assert isinstance(done.exception, UsageError)
        assert "holds a run already (stpn, step 4 of 4): choose another --output, go on with --resume" in str(
            done.exception
        )
    done = tal_train("co2", *command[1:], "--resume")
    assert isinstance(done.exception, TALError)
    assert "cannot resume, its method is stpn, this run has co2" in str(done.exception)
    assert isinstance(tal_train(*command, "--resume", "--overwrite").exception, UsageError)
    array = data.parent / "i3d" / "v0.npy"
    content = array.read_bytes()
    np.save(array, np.load(array) + 1)
    done = tal_train(*command, "--resume")
    array.write_bytes(content)
    assert "cannot resume, its labels or features have changed" in str(done.exception)
    assert (tmp_path / "c" / "checkpoint.json").read_bytes() == before
    (tmp_path / "c" / "notes.txt").write_text("mine")
    assert tal_train("co2", *command[1:], "--overwrite", "--seeds", "2").exit_code == 0
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["notes.txt", "report.json", "seed0", "seed1"]
    assert "holds a run already (co2" in str(tal_train(*command).exception)
    assert tal_train(*command, "--overwrite").exit_code == 0
    assert not (tmp_path / "c" / "seed0").exists()


def test_a_run_says_where_it_is_when_nobody_sees_a_bar(data, tmp_path):
    done = tal_train("stpn", "--data", data, "-o", tmp_path / "c", *FAST)
    lines = done.stderr.splitlines()
    assert "features 1/8" in lines
    assert "features 8/8" in lines
    assert any(line.startswith("training 4/4, loss ") for line in lines)


def test_plain_lines_come_now_and_then_with_the_time_left():
    said, now = [], 0.0
    tell = PlainLines(said.append, lambda: now)
    for step in range(0, 1001, 10):
        now = step / 10
        tell("training", step, 1000, "loss 1.5")
    assert said[:3] == [
        "training 0/1000, loss 1.5", "training 100/1000, loss 1.5, 90 s left", "training 200/1000, loss 1.5, 80 s left"
    ]  # fmt: skip
    assert len(said) == 11
    assert said[-1] == "training 1000/1000, loss 1.5"
    tell("training", 0, 1000, "")
    assert said[-1] == "training 0/1000", "a second run under the same name begins anew"
    now += 1000
    tell("training", 10, 1000, "")
    assert said[-1] == "training 10/1000, 27 h 30 min left"


@pytest.mark.parametrize("sampling", ["uniform", "contiguous", "full"])
def test_ways_to_sample(data, tmp_path, sampling):
    tests = ["--train-options", "test_sampling=uniform", "--train-options", "test_length=20"]
    done = tal_train(
        "co2", "--data", data, "-o", tmp_path / "c", *FAST, "--train-options", f"sampling={sampling}",
        *tests, "--train-options", "length=32",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert checkpoint.load(tmp_path / "c").train.sampling == sampling


def test_ctrl_c_saves_and_the_run_goes_on(data, tmp_path):
    tal = Path(sys.executable).with_name("tal")
    command = [tal, "train", "co2", "--data", data, "-o", tmp_path / "c", "--steps", "100000", *FAST[2:]]
    run = subprocess.Popen(
        [*command, "--train-options", "save_every=5"], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    until(lambda: (tmp_path / "c" / "checkpoint.json").exists() or run.poll() is not None)
    assert run.poll() is None
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=LONG_S)
    assert run.returncode == 130
    step = checkpoint.load(tmp_path / "c").step
    assert f"interrupted at step {step} of 100000" in said
    done = tal_train(*command[2:7], "--steps", step + 2, "--resume", *FAST[2:])
    assert done.exit_code == 0, done.output
    assert checkpoint.load(tmp_path / "c").step == step + 2


def test_another_config_does_not_resume(data, tmp_path):
    assert tal_train("co2", "--data", data, "-o", tmp_path / "c", *FAST).exit_code == 0
    done = tal_train("co2", "--data", data, "-o", tmp_path / "c", "--resume", "--cfg-options", "dropout=0.1", *FAST)
    assert isinstance(done.exception, TALError)
    assert "cannot resume, its config is" in str(done.exception)


def test_validation_has_to_be_there(data, tmp_path):
    fields = yaml.safe_load(data.read_text())
    del fields["subsets"]["validation"]
    other = data.with_name("without.yaml")
    other.write_text(yaml.safe_dump(fields))
    more = ["--eval-every", "2", "--train-options", "select=validation"]
    done = tal_train("co2", "--data", other, "-o", tmp_path / "c", *more, *FAST)
    assert "planted has no validation videos" in str(done.exception)


def test_texts_and_clip_have_one_space(data, tmp_path):
    fields = yaml.safe_load(data.read_text()) | {"text": {"tower": "hashed", "dim": 5}}
    other = data.with_name("other_space.yaml")
    other.write_text(yaml.safe_dump(fields))
    done = tal_train("pvlr", "--data", other, "-o", tmp_path / "c", *FAST)
    assert "stream 'clip' is 6 wide, its text tower gives 5" in str(done.exception)


def test_two_processes_print_and_write_once(data, tmp_path):
    tal = Path(sys.executable).with_name("tal")
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        tal,
        "train",
        "co2",
    ]
    done = subprocess.run(
        [*command, "--data", data, "-o", tmp_path / "c", "--seeds", "2", *FAST],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("protocol wtal-seconds") == 1
    assert read(tmp_path / "c" / "report.json")["seeds"] == [0, 1]


def test_the_demonstration_is_a_recipe_of_every_method():
    pvlr, co2 = load_method("pvlr"), load_method("co2")
    assert (demo_config(pvlr).kd_weight, demo_config(pvlr).joint) == (2.0, 128)
    assert (demo_config(co2).class_threshold, demo_config(co2).rgb) == (0.01, 128)
    assert recipe(co2, "demo").train["steps"] == 1200
    assert recipe(pvlr, "thumos14").train["steps"] == 7000


@dataclass(frozen=True)
class Nested:
    count: int = 1
    extra: dict[str, Any] = field(default_factory=lambda: {"kept": 1})


def test_dotted_settings():
    found = with_settings(Nested(), ["extra.rate=0.2", "extra.deep.on=true", "extra.kind=co2", "count=3"])
    assert found == Nested(3, {"kept": 1, "rate": 0.2, "deep": {"on": True}, "kind": "co2"})
    with pytest.raises(UsageError, match=r"cannot set 'count\.x=1': only fields that are mappings have keys"):
        with_settings(Nested(), ["count.x=1"])
    with pytest.raises(UsageError, match=r"cannot set 'extra\.=1': use NAME=VALUE"):
        with_settings(Nested(), ["extra.=1"])
