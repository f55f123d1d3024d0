"""Files of examples/deploy: what they name is there, tools that know them agree, and the service runs so locked in."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.makers import tiny_plan
from tests.waiting import LONG_S, until

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "examples" / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DOCKERFILES = [DEPLOY / "Dockerfile", DEPLOY / "Dockerfile.cuda"]
#: A metric in an expression, with what stands in its braces.
METRIC = re.compile(r"\b(tal_\w+)(?:\{([^}]*)\})?")


def run(*words, **options):
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=LONG_S, **options)


def program(name, package):
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} (apt-get install {package})")
    return found


# -- metrics ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def metrics(tmp_path_factory, clip):
    """Labels of each metric of a service that has answered, worked, and reads a stream: a name to a set."""
    pytest.importorskip("fastapi", reason="the service needs [serve]")
    from tests.serving import running

    folder = tmp_path_factory.mktemp("metrics")
    tiny_plan(folder / "tiny.plan")
    with running(folder / "state", plan=folder / "tiny.plan", sources=(f"door={clip}",)) as one:
        with one.client() as client:
            client.wait(client.submit(clip).id)
        one.http.post("/v1/streams", json={"source": "door", "realtime": True})
        until(lambda: one.http.get("/v1/streams/door").json()["frames"] > 0)
        text = one.http.get("/metrics").text
    found = {name: set() for name in re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)}
    for name, labels in re.findall(r"^(tal_\w+)(?:\{(.*)\})? ", text, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r"(\w+)=\"", labels))
    return found


def expressions():
    """Where each expression stands, and the expression."""
    dashboard = json.loads((DEPLOY / "grafana/dashboards/tal.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        yield variable["name"], variable["query"]["query"]
    for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def test_metrics_of_dashboard_and_alerts_are_there(metrics):
    seen = set()
    for where, text in expressions():
        for name, labels in METRIC.findall(text):
            assert name in metrics, f"{where}: there is no {name}"
            named = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))
            assert named <= metrics[name] or not metrics[name], f"{where}: {name} has labels {metrics[name]}"
            seen.add(name)
    assert len(seen) >= 18
    for name in ("tal_late_events_total", "tal_source_state", "tal_http_request_seconds_bucket", "tal_jobs"):
        assert name in seen
        assert metrics[name], f"{name} has no sample, so its labels were not looked at"


def test_the_dashboard_s_panels_lie_side_by_side():
    panels = json.loads((DEPLOY / "grafana/dashboards/tal.json").read_text())["panels"]
    assert len({p["id"] for p in panels}) == len(panels)
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells


def test_prometheus_takes_its_files(tmp_path):
    promtool = program("promtool", "prometheus")
    (tmp_path / "token").write_text("x")
    text = (DEPLOY / "prometheus.yml").read_text().replace("/run/secrets/token", str(tmp_path / "token"))
    (tmp_path / "prometheus.yml").write_text(text)
    shutil.copy(DEPLOY / "alerts.yml", tmp_path)
    done = run(promtool, "check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


# -- containers ---------------------------------------------------------------------------------------


def test_services_are_locked_in_and_name_what_is_there():
    for name, service in COMPOSE["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert re.search(r":v?\d+\.\d+\.\d+", service["image"]), f"{name}: {service['image']} is no version"
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], volume
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name}: {port} is open to the network"
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        assert set(service.get("depends_on", ())) <= set(COMPOSE["services"])
    targets = re.findall(r"targets: \[\"(\w+):", (DEPLOY / "prometheus.yml").read_text())
    assert set(targets) <= set(COMPOSE["services"])


def test_commands_of_containers_exist():
    """Options that `tal` does not know would stop a container when it starts."""
    import typer

    from tal_engine.cli import main

    if not main.app.registered_commands:
        main._register()
    tal = typer.main.get_command(main.app)
    commands = [COMPOSE["services"][name]["command"] for name in ("serve", "stream")]
    commands += [json.loads(re.search(r"^CMD (\[.*\])$", p.read_text(), re.MULTILINE)[1]) for p in DOCKERFILES]
    unit = re.search(r"^ExecStart=\S+/tal (.*)$", (DEPLOY / "tal-serve.service").read_text(), re.MULTILINE)
    for words in [*commands, unit[1].split()]:
        known = {o for p in tal.commands[words[0]].params for o in p.opts}
        assert {w.partition("=")[0] for w in words if w.startswith("--")} <= known, words


def test_compose_takes_its_file(tmp_path):
    compose = program("docker-compose", "docker-compose")
    folder = shutil.copytree(DEPLOY, tmp_path / "examples" / "deploy")
    (folder / "token").write_text("x")
    text = (folder / "compose.yaml").read_text().replace("name: tal\n", "")  # Debian 12's does not know it yet
    (folder / "compose.yaml").write_text(text)
    done = run(compose, "-f", folder / "compose.yaml", "config", "-q")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda p: p.name)
def test_images_are_pinned_and_run_as_nobody(path):
    text = path.read_text()
    assert re.search(r"^ARG BASE=debian:\d+\.\d+-slim$", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE}"}
    assert re.findall(r"^USER (.*)", text, re.MULTILINE) == ["65534:65534"]
    ignored = (DEPLOY / f"{path.name}.dockerignore").read_text().splitlines()
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored, f"{source} is left out of the context"


def test_versions_of_images_are_exact_and_fit_the_project():
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = [ln for ln in (DEPLOY / "constraints.txt").read_text().splitlines() if not ln.startswith("#")]
    pinned = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(r for e in ("cpu", "serve", "client", "stream", "mqtt") for r in extras[e])]
    for requirement in map(Requirement, wanted):
        if requirement.name != "tal-engine":
            version = pinned[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version, prereleases=True), requirement


# -- systemd ------------------------------------------------------------------------------------------


def test_systemd_takes_the_unit_and_calls_it_locked_in(tmp_path):
    analyze = program("systemd-analyze", "systemd")
    text = (DEPLOY / "tal-serve.service").read_text().replace("/opt/tal/bin/tal", "/bin/true")
    unit = tmp_path / "tal-serve.service"
    unit.write_text(text)
    done = run(analyze, "verify", "--man=no", unit, env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"})
    ours = [line for line in done.stderr.splitlines() if "tal-serve" in line]
    assert not ours, done.stderr
    done = run(analyze, "security", "--offline=true", "--no-pager", "--threshold=15", unit)
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposure, done.stderr
    assert float(exposure[1]) <= 1.5


# -- the service itself -------------------------------------------------------------------------------

#: Memory that is executable cannot be written from here on (as systemd's MemoryDenyWriteExecute=), over exec too.
LOCKED = "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); os.execv(sys.executable, sys.argv[1:])"


def lived(child, folder, clip):
    """Do a job of a service that starts, and end it; return the command of its health check."""
    import httpx

    try:
        line = child.stderr.readline()
        port = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert port, line
        check = json.loads(re.search(r"^  CMD (\[.*\])$", DOCKERFILES[0].read_text(), re.MULTILINE)[1])
        healthy = [sys.executable, *(w.replace("8765", port[1]) for w in check[1:])]
        until(lambda: run(*healthy).returncode == 0)
        base = f"http://127.0.0.1:{port[1]}"
        done = httpx.post(f"{base}/v1/localize?mode=job", content=clip.read_bytes(), timeout=LONG_S).json()
        until(lambda: httpx.get(f"{base}/v1/jobs/{done['id']}").json()["state"] == "done")
        assert (folder / "state" / "tal" / "jobs.sqlite").exists()
    finally:
        child.terminate()
        child.wait(LONG_S)
    return healthy


def test_it_runs_as_nobody_on_a_root_that_cannot_be_written(tmp_path, clip):
    """As the images run it, and its health is looked at by the very command of the Dockerfile."""
    pytest.importorskip("fastapi", reason="the service needs [serve]")
    bwrap = program("bwrap", "bubblewrap")
    jail = [bwrap, "--ro-bind", "/", "/", "--tmpfs", "/tmp", "--dev", "/dev", "--proc", "/proc", "--unshare-user",
            "--uid", "65534", "--gid", "65534", "--unshare-pid", "--unshare-ipc", "--cap-drop", "ALL",
            "--die-with-parent"]  # fmt: skip
    if run(*jail, "true").returncode:
        pytest.skip("no user namespaces here")
    tiny_plan(tmp_path / "tiny.plan")
    (tmp_path / "state").mkdir()
    binds = ["--ro-bind", tmp_path / "tiny.plan", "/tmp/tiny.plan", "--bind", tmp_path / "state", "/var/lib"]
    for folder in {str(ROOT), *(p for p in sys.path if p.startswith("/tmp/"))}:
        binds += ["--ro-bind", folder, folder]
    words = [*jail, *binds, "--setenv", "PYTHONDONTWRITEBYTECODE", "1", "--setenv", "HOME", "/tmp", "--chdir", ROOT,
             sys.executable, "-c", LOCKED, sys.executable, "-m", "tal_engine", "serve", "--plan", "/tmp/tiny.plan",
             "--state", "/var/lib/tal", "--port", "0"]  # fmt: skip
    with subprocess.Popen(list(map(str, words)), stderr=subprocess.PIPE, text=True) as child:
        healthy = lived(child, tmp_path, clip)
    assert run(*healthy).returncode != 0  # of a service that is away
