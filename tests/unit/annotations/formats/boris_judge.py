"""Run in a process of its own: what BORIS itself makes of a project, without its windows.

    python boris_judge.py PROJECT FOLDER

Its modules import Qt for their dialogs, mpv to play and plots, and the package imports all of them: they are replaced
by empty classes, since nothing here opens a window. Prints JSON: what it complains of, and its aggregated events;
writes its tabular events as FOLDER/OBSERVATION.csv.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from pathlib import Path


class Empty:
    """Takes what it is made with, and has no attributes of its own."""

    def __init__(self, *_, **__):
        pass


class Stub(types.ModuleType):
    """A module whose every name is an empty class."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Empty,), {})


def prepare():
    qt = ("PyQt5", "PyQt5.QtCore", "PyQt5.QtGui", "PyQt5.QtWidgets", "PyQt5.QtTest", "PIL.ImageQt")
    for name in (*qt, "boris.mpv", "boris.mpv2", "boris.vlc_local", "boris.plot_data_module"):
        sys.modules[name] = Stub(name)
    sys.modules["PIL.ImageQt"].Image = None
    for name in ("boris.mpv", "boris.mpv2"):
        sys.modules[name].sofile = "libmpv.so.2"
    package = types.ModuleType("boris")
    package.__path__ = list(importlib.util.find_spec("boris").submodule_search_locations)
    sys.modules["boris"] = package


def main():
    prepare()
    from boris import config, export_observation, project_functions

    path, folder = sys.argv[1], Path(sys.argv[2])
    _, _, project, message = project_functions.open_project_json(path)
    assert "error" not in project, project["error"]
    names = list(project[config.OBSERVATIONS])
    states = [
        project_functions.check_state_events_obs(n, project[config.ETHOGRAM], project[config.OBSERVATIONS][n])
        for n in names
    ]
    subjects = [s["name"] for s in project[config.SUBJECTS].values()] + [config.NO_FOCAL_SUBJECT]
    behaviours = [b["code"] for b in project[config.ETHOGRAM].values()]
    parameters = {
        config.SELECTED_SUBJECTS: subjects, config.SELECTED_BEHAVIORS: behaviours, "time": config.TIME_FULL_OBS,
        config.START_TIME: 0, config.END_TIME: 1e6, config.INCLUDE_MODIFIERS: False,
        config.EXCLUDE_BEHAVIORS: False, config.EXCLUDED_BEHAVIORS: [],
    }  # fmt: skip
    aggregated = []
    for name in names:
        rows, _ = export_observation.export_aggregated_events(project, parameters, name)
        aggregated += [[str(cell) for cell in row] for row in rows]
        observation = project[config.OBSERVATIONS][name]
        done, why = export_observation.export_tabular_events(
            project, parameters, name, observation, project[config.ETHOGRAM], str(folder / f"{name}.csv"), "csv"
        )
        assert done, why
    unpaired = [why for bad, why in states if not bad and "No problem" not in why and "State event" not in why]
    print(json.dumps({"message": message, "unpaired": unpaired, "aggregated": aggregated}))


if __name__ == "__main__":
    main()
