"""What README and docs/ show works: Python blocks run, commands and options exist, files are there."""

from __future__ import annotations

import math
import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest
import typer

from tal_engine import TALEngine
from tal_engine.cli import main
from tests.makers import moving_square, tiny_plan, write_mp4

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("tal_engine/**/*.md")])
#: Where a block needs what a test has not, something else in its place, and why.
INSTEAD = {
    "rtsp://cam/1": ("first.mp4", "no camera"),
    "rtsp://cam/2": ("second.mp4", "no camera"),
}
#: Pages whose Python blocks cannot run here, and why; their imports are looked up all the same.
NOT_RUN = {
    "docs/serve.md": "it needs a service: tests/unit/serve/test_serve_docs.py runs it against one",
    "docs/distill.md": "it trains for minutes; tests/unit/distilling does so in small",
    "docs/fit.md": "it trains for minutes; tests/unit/fitting does so in small",
    "docs/scores.md": "it fits a plan to the features and the truth of a training set",
}
#: Options of other programs that pages mention.
FOREIGN = {
    "--cpu": "prlimit",
    "--motion": "tal_engine.export.people_plan",
    "--remove-retained": "mosquitto_sub",
    "--resolution": "uv",
}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page, *languages):
    text = page.read_text()
    return [m[2] for m in BLOCK.finditer(text) if m[1] in languages]


def named(page):
    return str(page.relative_to(ROOT))


# -- Python -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=named)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="a block draws a picture")
    monkeypatch.chdir(tmp_path)
    tiny_plan(tmp_path / "pvlr.plan")
    frames = np.stack(list(moving_square(20, 48, 64)))
    for name in ("my.mp4", "first.mp4", "second.mp4"):
        write_mp4(tmp_path / name, frames)
    (tmp_path / "videos" / "day1").mkdir(parents=True)
    write_mp4(tmp_path / "videos" / "day1" / "cat.mp4", frames)
    (tmp_path / "labels.csv").write_text("video,start,end,label\nday1/cat,0.1,0.5,jump\n")
    space = {
        "engine": TALEngine.load("pvlr.plan"), "frames": frames, "sources": ["my.mp4"],
        "camera": [(frame, i / 25) for i, frame in enumerate(frames)],
        "segments": [[1.0, 4.0], [1.2, 4.1]], "scores": [0.9, 0.8], "labels": [0, 0],
        "cas": np.array([[0.0, 9.0], [8.0, 0.0], [0.0, 9.0]]), "attention": [0.1, 0.9, 0.1],
    }  # fmt: skip
    for block in blocks(page, "python"):
        for there, (here, _) in INSTEAD.items():
            block = block.replace(there, here)
        if named(page) in NOT_RUN:
            block = "\n".join(line for line in block.splitlines() if line.startswith(("from ", "import ")))
        exec(compile(block, named(page), "exec"), space)  # its own documents


# -- the command line -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tal():
    main._register()
    return typer.main.get_command(main.app)


def words_of(line):
    """Arguments of tal in a line of shell, up to a pipe or redirection; [] if it does not call tal."""
    line = re.sub(r"(^|\s)#.*", "", line).replace("$(which tal)", "tal")
    if not re.search(r"(^|\s)tal\s", line):
        return []
    words = shlex.split(re.sub(r"[<>]\(.*?\)", "PIPE", line))
    words = words[words.index("tal") + 1 :]
    return words[: next((i for i, w in enumerate(words) if w in ("|", ">", "&&", ";")), len(words))]


def commands(page):
    """Arguments of all calls of tal in blocks."""
    shell = "".join(blocks(page, "sh", "bash", "console", "")).replace("\\\n", " ")
    return [words for words in map(words_of, shell.splitlines()) if words]


def follow(group, words):
    """The command that words name, and the rest of them."""
    command = group
    while hasattr(command, "commands") and words:
        if words[0] not in command.commands:
            assert "checkpoint" in command.commands, f"no command {words[0]!r} in {command.name!r}"  # tal export CKPT
            return command.commands["checkpoint"], words
        command, words = command.commands[words[0]], words[1:]
    return command, words


def faults_of(lines, look):
    for words in lines:
        try:
            look(words)
        except (AssertionError, click.UsageError) as e:
            yield f"tal {shlex.join(words)}: {e}"


@pytest.mark.parametrize("page", [p for p in PAGES if commands(p)], ids=named)
def test_blocks_call_commands_that_exist(page, tal):
    def parse(words):
        command, words = follow(tal, words)
        _, rest, _ = command.make_parser(typer.Context(command, info_name=command.name)).parse_args(list(words))
        assert len(rest) <= sum(
            math.inf if p.nargs < 0 else p.nargs for p in command.params if not p.opts[0].startswith("-")
        )

    assert list(faults_of(commands(page), parse)) == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_text_names_commands_that_exist(page, tal):
    """Values may be left out: `tal localize -o`."""

    def look(words):
        command, words = follow(tal, words)
        used = {w.partition("=")[0].rstrip(",") for w in words if re.match("--?[a-z]", w)}
        assert used <= {*options(command), "-h", "--help"}, used

    codes = (re.sub(r"\s+", " ", code) for code in re.findall(r"`(tal [^`]+)`", BLOCK.sub("", page.read_text())))
    assert list(faults_of([words for words in map(words_of, codes) if words], look)) == []


def options(command):
    yield from (name for p in command.params for name in (*p.opts, *p.secondary_opts))
    for inner in getattr(command, "commands", {}).values():
        yield from options(inner)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_options_exist(page, tal):
    """Of tal, of a script in benchmarks/, or of pytest here."""
    scripts = "".join(p.read_text() for p in (*ROOT.glob("benchmarks/*.py"), ROOT / "tests/slow_lane.py"))
    known = {*options(tal), "--help", *FOREIGN, *re.findall(r"\"(--[a-z][\w-]*)\"", scripts)}
    prose = BLOCK.sub("", page.read_text())
    mentioned = {m for code in re.findall(r"`([^`]+)`", prose) for m in re.findall(r"(?<![\w-])--[a-z][\w-]*", code)}
    assert sorted(mentioned - known) == []


# -- files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_files_exist(page):
    text = page.read_text()
    links = [x for x in re.findall(r"\]\(([^)#\s]+)\)", text) if "://" not in x]
    assert [x for x in links if not (page.parent / x).exists()] == []
    paths = re.findall(r"`((?:tal_engine|tests|docs|benchmarks|export|csrc)/[\w./-]*[\w/])`", text)
    paths += re.findall(r"^python (benchmarks/\S+)", "".join(blocks(page, "sh", "bash", "")), re.MULTILINE)
    results = "benchmarks/results/"  # whether those are there and in the pages, benchmarks/readme.py --check says
    assert [x for x in paths if not x.startswith(results) and not (ROOT / x).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named_ones = set(re.findall(r"`make ([\w-]+)`|^make ([\w-]+)", page.read_text(), re.MULTILINE))
    assert {a or b for a, b in named_ones} <= targets
