"""What a release promises on paper: README's length, licences, citation, workflows, extras."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import release_check
import yaml

from tal_engine.pose.plans import open_plan

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_readme_can_be_read():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 160


def test_the_page_on_people_names_all_that_the_plan_knows():
    said = " ".join((ROOT / "docs/people.md").read_text().split())
    labels = list(open_plan().vocabulary)
    assert len(labels) == 18
    assert f"It knows eighteen actions: {', '.join(labels[:-1])} and {labels[-1]}." in said


def test_notice_names_what_the_extras_bring():
    notice = re.sub(r"[-_.]+", "-", (ROOT / "NOTICE").read_text().lower())
    needed = [*PROJECT["dependencies"], *(x for extra in PROJECT["optional-dependencies"].values() for x in extra)]
    names = {re.match(r"[\w.-]+", line)[0] for line in needed} - {"tal-engine"}
    assert sorted(n for n in names if re.sub(r"[-_.]+", "-", n.lower()) not in notice) == []


def test_versions_agree():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == PROJECT["version"]
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_each_extra_has_a_job():
    assert {*PROJECT["optional-dependencies"]} == {*release_check.JOBS, *release_check.NOT_HERE}


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda p: p.name)
def test_workflows_call_targets_that_exist(path):
    text = path.read_text()
    yaml.safe_load(text)
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = {word for line in re.findall(r"run: make ([\w \-]+)", text) for word in line.split()}
    assert called <= targets


def test_a_compiled_wheel_is_judged(tmp_path):
    """Foreign folders, a missing core and too much weight are told."""
    import zipfile

    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as z:
        z.writestr("tests/a.py", "")
    with pytest.raises(SystemExit, match=r"not wanted: \['tests/a.py'\]; missing: \['tal_engine/_core"):
        release_check.contents(wheel)
