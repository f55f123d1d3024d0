"""Modules by their names of version 0.1 are those of today, with a warning."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import subprocess
import sys

import pytest

from tal_engine import _former


@pytest.mark.parametrize(
    "old", [*_former.MODULES, *_former._ROOMS, "stream.window", "nn.weights", "methods.apn.network"]
)
def test_a_former_name_leads_to_a_module(old):
    today = _former.name_of_today(old)
    assert importlib.util.find_spec(f"tal_engine.{today}") is not None
    with pytest.warns(DeprecationWarning, match=rf"tal_engine\.{old} is now tal_engine\.{today}; .* version 0\.3"):
        spec = _former.FormerNames().find_spec(f"tal_engine.{old}", None)
    assert spec is not None


def test_no_name_of_today_is_a_former_one():
    import tal_engine

    for old in (*_former.MODULES, *_former._ROOMS):
        found = importlib.machinery.PathFinder.find_spec(old.partition(".")[0], tal_engine.__path__)
        if found is not None:  # a room that is still there: only modules of it have moved
            assert "." in old
            assert (
                importlib.machinery.PathFinder.find_spec(old.rpartition(".")[2], found.submodule_search_locations)
                is None
            )
    assert _former.name_of_today("engine") is None
    assert _former.FormerNames().find_spec("numpy", None) is None


CODE = """
import warnings
warnings.simplefilter("ignore")
from tal_engine.stream.state import StreamState
from tal_engine.stream import StreamScheduler
from tal_engine.sinks.activitynet import document
import tal_engine.nn.hashed as old
import tal_engine.lab.nn.hashed_text as new
from tal_engine.streaming import StreamScheduler as today
assert old is new and StreamScheduler is today
assert new.__name__ == new.__spec__.name == "tal_engine.lab.nn.hashed_text"
import tal_engine.localize.suppress
from tal_engine.inference import suppress
assert callable(suppress)
from tal_engine.stream import state
import tal_engine.streaming.stream_state
assert state is tal_engine.streaming.stream_state
from tal_engine.localize import suppress as by_room
try:
    import tal_engine.stream.nothing
except ModuleNotFoundError as e:
    print(e)
"""


def test_modules_are_loaded_once():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "No module named 'tal_engine.streaming.nothing'"


def test_a_former_module_is_run_by_its_name():
    command = [sys.executable, "-W", "ignore", "-m", "tal_engine.vocabulary"]
    assert subprocess.run(command, check=False).returncode == 0
    command[-1] = "tal_engine.repeats"
    assert subprocess.run(command, check=False).returncode == 0


def test_the_package_itself_uses_none(tmp_path):
    code = "import tal_engine.cli.main as m, tal_engine.engine, tal_engine.diagnostics.doctor; m._register()"
    subprocess.run([sys.executable, "-W", "error:tal_engine:DeprecationWarning", "-c", code], check=True)


def test_classes_pickled_by_former_names_are_read():
    from tal_engine.records import Segment

    data = pickle.dumps(Segment(0.0, 1.0, "a", 0.5))
    assert pickle.loads(data) == Segment(0.0, 1.0, "a", 0.5)
    with pytest.warns(DeprecationWarning, match=r"tal_engine\.manifest is now tal_engine\.plan\.manifest"):
        moved = pickle.loads(b"\x80\x04\x8c\x13tal_engine.manifest\x94\x8c\x06Member\x94\x93\x94.")
    assert moved.__module__ == "tal_engine.plan.fields"


@pytest.mark.parametrize("today", sorted(_former._CLASSES))
def test_renamed_classes_are_found_in_modules_of_former_names(today):
    module = importlib.import_module(f"tal_engine.{today}")
    olds = [old for old, new in _former.MODULES.items() if new == today]
    for name, new in _former._CLASSES[today].items():
        assert not hasattr(module, name), "only by the module's former name"
        for old in olds:
            sys.modules.pop(f"tal_engine.{old}", None)
            with pytest.warns(DeprecationWarning, match="goes with version 0.3"):
                former = importlib.import_module(f"tal_engine.{old}")
            assert getattr(former, name) is getattr(module, new)
