"""The studio's own process, as Label Studio, CVAT and FiftyOne meet it: `tal studio` runs, their SDKs ask it.

Label Studio's SDK takes the place of this package's OpenCV (findings/), so it lies in an environment of its own:

    python -m venv ls && ls/bin/pip install label-studio-sdk
    TAL_LABEL_STUDIO_PYTHON=ls/bin/python python -m pytest tests/integration/test_studio_tools.py
"""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from functools import partial
from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi", reason="the studio needs [serve]")
pytest.importorskip("torch", reason="tal studio trains")

from tal_engine import TALEngine
from tal_engine.annotations.suggest import fiftyone_field
from tal_engine.errors import DataError, UsageError
from tal_engine.options import ProposalOptions, SegmentOptions
from tests.cvat_server import commanded, cvat_server
from tests.makers import tiny_plan
from tests.studios import result, studio, videos
from tests.unit.annotations.test_suggestions import Sample, annotated, loaded
from tests.waiting import LONG_S

FOUND = [[0.4, 1.2, "run", 0.9], [1.4, 1.6, "sit", 0.2]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A project with suggestions and a plan, as a morning leaves it."""
    pytest.importorskip("onnx", reason="makes a plan")
    folder = tmp_path_factory.mktemp("tools")
    one = studio(videos(folder / "v", "a.mp4", "b.mp4"), classes=("run", "sit"))
    result(one, FOUND)
    (one.project.folder / "plans").mkdir()
    everything = {"segment": SegmentOptions(min_score=-100.0), "proposal": ProposalOptions(class_threshold=-100.0)}
    tiny_plan(one.project.folder / "plans" / "mine.plan", **everything)
    one.project.set("exported", plan={"name": "mine"})
    one.close()
    return folder


@pytest.fixture(scope="module")
def media(folder):
    """Where Label Studio has the videos."""
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=folder / "v")) as server:
        threading.Thread(target=server.serve_forever, name="test-media", daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="module")
def address(folder, media):
    """What `tal studio` prints: its address with the token."""
    words = ["studio", str(folder / "v"), "--port", "0", "--no-browser", "--no-auto-train", "--allow-source", media]
    command = [sys.executable, "-c", "from tal_engine.cli.main import run; run()", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        try:
            line = next(text for text in child.stderr if "open http" in text)
            yield re.search(r"open (\S+);", line)[1]
        finally:
            child.terminate()
            child.wait(LONG_S)


def test_cvat_s_sdk_gets_the_suggestions_of_a_studio_that_runs(monkeypatch, address):
    names = [f"a/{k:06d}.jpg" for k in range(50)]
    options = {"labels": ("run", "sit"), "scored": ("run",), "allow_unmatched_labels": True}
    found = annotated(monkeypatch, loaded(results=address, fps=25.0), names, **options)
    assert found == [(k, 100, [(7, "0.9")]) for k in range(10, 30)]  # what does not reach its threshold is not told
    bare, _, token = address.partition("?token=")
    monkeypatch.setenv("TAL_STUDIO_TOKEN", token)
    assert annotated(monkeypatch, loaded(results=bare, fps=25.0), names, **options) == found
    monkeypatch.setenv("TAL_STUDIO_TOKEN", "of-nobody")
    with pytest.raises(UsageError, match="wants its token"):
        loaded(results=bare, fps=25.0)
    with pytest.raises(DataError, match="no studio answers there"):
        loaded(results="http://127.0.0.1:9/", fps=25.0)


def test_cvat_s_own_command_asks_a_studio_that_runs_and_writes_into_a_task_of_a_server(tmp_path, address):
    pytest.importorskip("cvat_cli", reason="CVAT's command is cvat-cli")
    names = [f"a/{k:06d}.jpg" for k in range(50)]
    with cvat_server(9, names, ("run", "sit"), ("run",)) as cvat:
        assert commanded(cvat, tmp_path, f"results=str:{address}", "fps=float:25") == ""
        [sent] = cvat.sent
    told = sorted((t["frame"], t["label_id"], [a["value"] for a in t["attributes"]]) for t in sent["tags"])
    assert told == [(k, 100, ["0.9"]) for k in range(10, 30)]


def test_fiftyone_gets_the_suggestions_of_a_studio_that_runs_as_a_field(monkeypatch, address):
    labels = SimpleNamespace(TemporalDetection=lambda **k: k, TemporalDetections=lambda detections: detections)
    monkeypatch.setattr(fiftyone_field, "_labels", lambda: labels)  # the real ones: benchmarks/judge_formats.py
    sample = Sample("/data/a.mp4", 25.0)
    assert fiftyone_field.add_predictions([sample], address, "studio") == ("b.mp4",)
    assert sample["studio"] == [{"label": "run", "support": [11, 30], "confidence": 0.9}]


ASK = """
import json, sys, urllib.request
from label_studio_sdk.label_interface import LabelInterface
address, media, config = sys.argv[1:]
base, _, token = address.partition("/?token=")
def ask(path, document=None):
    body = None if document is None else json.dumps(document).encode()
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + token}
    with urllib.request.urlopen(urllib.request.Request(base + "/label-studio" + path, body, headers)) as answer:
        return json.load(answer)
project = LabelInterface(config)
project.validate()
task = {"id": 7, "data": {name: media + "a.mp4" for name in project.generate_sample_task()}}
said = {"health": ask("/health"), "setup": ask("/setup", {"project": "1.2", "schema": config})}
(found,) = ask("/predict", {"tasks": [task], "label_config": config, "project": "1.2"})["results"]
said["errors"] = project.validate_prediction({"model_version": found["model_version"], **found}, return_errors=True)
bent = json.loads(json.dumps(found))
bent["result"][0]["value"]["timelinelabels"] = ["of nobody"]
said["bent"] = project.validate_prediction(bent, return_errors=True)
said["labels"] = sorted({r["value"]["timelinelabels"][0] for r in found["result"]})
said["ranges"] = [r["value"]["ranges"][0] for r in found["result"]]
print(json.dumps(said))
"""


def test_label_studio_s_sdk_takes_what_a_studio_predicts_as_an_ml_backend(address, media, folder):
    python = os.environ.get("TAL_LABEL_STUDIO_PYTHON", "")
    if not python or shutil.which(python) is None:
        pytest.skip("TAL_LABEL_STUDIO_PYTHON names no Python that has label-studio-sdk")
    plan = folder / "v.studio" / "plans" / "mine.plan"
    with TALEngine.load(plan) as engine:
        names, here = list(engine.plan.vocabulary), engine.localize(folder / "v" / "a.mp4").by_time()
    labels = "".join(f'<Label value="{n}"/>' for n in names)
    config = (
        f'<View><TimelineLabels name="acts" toName="film">{labels}</TimelineLabels>'
        '<Video name="film" value="$clip" frameRate="25.0"/></View>'
    )
    done = subprocess.run([python, "-c", ASK, address, media, config], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["health"]["status"], said["health"]["plan"]) == ("UP", "mine")
    assert said["setup"]["model_version"].startswith("mine-")
    assert said["errors"] == []
    assert said["bent"], "the SDK looks at labels"
    assert said["labels"] == sorted({s.label for s in here})
    assert [r["start"] for r in said["ranges"]] == [round(s.start * 25) + 1 for s in here]
