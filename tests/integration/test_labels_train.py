"""From a folder of videos and labels of any kind to a checkpoint, as a user types it."""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import pytest
from typer.testing import CliRunner

from tal_engine.annotations.labels import read_labels
from tal_engine.cli.main import _register, app
from tal_engine.demo.demo_set import script_of, write_video
from tal_engine.demo.render import render
from tal_engine.export import encoder_graphs
from tal_engine.export.encoder_graphs import open_encoders
from tal_engine.lab.data.description import read_description

SECONDS = 4
FAST = ["--steps", "2", "--train-options", "batch=4", "--train-options", "pairs=1", "--train-options", "length=8"]
DOCS = Path(__file__).parents[2] / "docs" / "labels.md"


@pytest.fixture(scope="module", autouse=True)
def registered():
    if not app.registered_commands:
        _register()


@pytest.fixture(scope="module", autouse=True)
def opened_once():
    """Tracing an encoder and checking its graph takes seconds, and gives the same each time."""
    opened = {}

    def cached(spec, weights=MappingProxyType({}), *, streams=None, snippet=None):
        key = (spec, snippet)
        if key not in opened:
            opened[key] = open_encoders(spec, weights, streams=streams, snippet=snippet)
        return opened[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder_graphs, "open_encoders", cached)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The first seconds of four videos of two classes, as ``CLASS/NAME.mp4``."""
    root = tmp_path_factory.mktemp("folder") / "videos"
    for i in range(4):
        script = script_of("train", 3, i)
        write_video(root / "ab"[i % 2] / f"v{i}.mp4", islice(render(script), 25 * SECONDS), 25)
    return root


def train(method, folder, labels, out):
    done = CliRunner().invoke(
        app, ["train", method, "--data", str(folder), "--labels", str(labels), "-o", str(out), *FAST]
    )
    if isinstance(done.exception, Exception):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done, json.loads((out / "report.json").read_text())


KINDS = {
    "video": "video,label\nv0,a\nv1,b\nv2.mp4,a\nb/v3.mp4,b\n",
    "points": "video,time,label\nv0,1,a\nv1,2.5,b\nv2,1,a\nv2,0:02,a\nv3,3,b\n",
    "segments": "video,start,end,label\n" + "".join(f"v{i},1,2.5,{'ab'[i % 2]}\n" for i in range(4)),
    "mixed": "video,start,end,label\nv0,1,2,a\nv1,1,,b\nv2,,,a\nv3,,,\nnobody,1,2,a\n",
}


@pytest.mark.parametrize(
    ("kind", "method", "trained"),
    [("video", "co2", 4), ("points", "lacp", 4), ("segments", "lacp", 2), ("mixed", "stpn", 4), ("mixed", "lacp", 4)],
)
def test_labels_of_every_kind_train(folder, tmp_path, caplog, kind, method, trained):
    labels = tmp_path / "labels.csv"
    labels.write_text(KINDS[kind])
    _, report = train(method, folder, labels, tmp_path / "c")
    assert len(report["videos"]) == trained
    assert [h["test"]["videos"] for h in report["history"]] == ([2] if kind == "segments" else [])
    assert ("1 rows of" in caplog.text) == (kind == "mixed")
    assert ("lack points of some class and cannot supervise lacp" in caplog.text) == (trained == 3)


def test_folders_are_labels_and_their_features_are_kept_beside(folder, tmp_path):
    done, report = train("co2", folder, folder, tmp_path / "c")
    assert sorted(report["videos"]) == ["a/v0", "a/v2", "b/v1", "b/v3"]
    assert len(list((folder / "features").glob("*/[ab]/v?.npz"))) == 4
    assert "features 4/4" in done.stderr


def test_the_examples_of_the_docs_are_read_as_they_say(tmp_path):
    """Each block of ``docs/labels.md`` that names a file, and the kind that is said of it."""
    blocks = re.findall(r"^`(\S+\.(?:csv|tsv|json))` \((\w+)\)\n\n```\w*\n(.*?)```", DOCS.read_text(), re.M | re.S)
    assert len(blocks) >= 6
    for name, kind, text in blocks:
        (tmp_path / name).write_text(text)
        found = read_labels(tmp_path / name)
        assert (name, found.kind, found.problems) == (name, kind, ())
    (description,) = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.S)
    (tmp_path / "data.yaml").write_text(description)
    assert read_description(tmp_path / "data.yaml").extracts
