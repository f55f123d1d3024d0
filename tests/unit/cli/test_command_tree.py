"""The command line as one tree: an option of one name means one thing and is told in one way, in its panel."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from tal_engine.cli import main
from tal_engine.cli.shared import former_path
from tal_engine.errors import UsageError
from tests.waiting import alone

#: Options that mean the same in all commands that have them, and are told in the same words.
SHARED = {"--device", "--json", "--batch", "--timeout", "--quiet", "--threads", "--plan", "--window", "--step",
          "--look-ahead", "--max-pixels", "--max-snippets", "--weights", "--snippet"}  # fmt: skip
#: Where an option means something of that command's own.
OWN = {
    ("export checkpoint", "--conf"): "writes the operating point that the others read",
    ("export checkpoint", "--stream-options"): "writes the defaults that the others read",
    ("import", "--key"): "of a state dict, not of a signature",
    ("plan sign", "--key"): "the private key",
}
#: A command with more options than this shows them in panels.
WITHOUT_PANELS = 7


def commands(command=None, path=()):
    """(name, command) of all of them; aliases that are hidden are left out."""
    if command is None:
        if not main.app.registered_groups:
            main._register()
        command = typer.main.get_command(main.app)
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            if not inner.hidden:
                yield from commands(inner, (*path, name))
    else:
        yield " ".join(path), command


TREE = dict(commands())


def options(command):
    return [p for p in command.params if p.param_type_name == "option" and not p.hidden and p.name != "help"]


def all_options():
    return [(name, o) for name, c in TREE.items() for o in options(c)]


def test_all_commands_are_here():
    assert {"localize", "stream", "train", "export checkpoint", "plan build", "features info"} <= TREE.keys()
    assert len(TREE) > 25


@pytest.mark.parametrize("name", TREE)
def test_everything_is_told_in_a_sentence(name):
    for parameter in (p for p in TREE[name].params if not getattr(p, "hidden", False) and p.name != "help"):
        words = parameter.help
        assert words, f"{parameter.name} says nothing"
        assert words.endswith("."), f"{parameter.name}: {words}"
        assert "\n" not in words, parameter.name


def test_an_option_of_one_name_is_told_in_the_same_words():
    told = {}
    for name, option in all_options():
        shared = SHARED | {"--conf", "--stream-options", "--key"}
        for spelling in shared.intersection(option.opts):
            if (name, spelling) not in OWN:
                told.setdefault(spelling, {}).setdefault(option.help, []).append(name)
    assert told.keys() >= SHARED
    assert {spelling: by_words for spelling, by_words in told.items() if len(by_words) > 1} == {}


def test_json_is_a_switch_that_prints():
    found = [(name, o) for name, o in all_options() if "--json" in o.opts]
    assert len(found) > 5
    assert all(o.is_flag and not o.secondary_opts for _, o in found)


def test_short_spellings_have_one_long_one():
    long = {}
    for _, option in all_options():
        for short in (s for s in option.opts if not s.startswith("--")):
            long.setdefault(short, set()).update(s for s in option.opts if s.startswith("--"))
    assert long == {"-o": {"--output"}, "-q": {"--quiet"}}
    assert all("-o" in o.opts for _, o in all_options() if "--output" in o.opts)


@pytest.mark.parametrize("name", TREE)
def test_many_options_are_in_panels(name):
    shown = options(TREE[name])
    if len(shown) > WITHOUT_PANELS:
        assert [o.name for o in shown if not o.rich_help_panel] == []


@pytest.mark.parametrize("name", TREE)
def test_help_has_no_broken_lines(name):
    done = CliRunner().invoke(main.app, [*name.split(), "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
    assert done.exit_code == 0
    assert "…" not in done.output
    assert max(map(len, done.output.splitlines())) <= 80


# -- former spellings --------------------------------------------------------------------------


def test_a_flag_that_took_a_file(capsys):
    assert former_path(["x.plan", "--json"], "--json", "--output") == ["x.plan", "--json"]
    assert former_path(["--json", "x.plan"], "--json", "--output") == ["--json", "x.plan"]
    assert capsys.readouterr().err == ""
    assert former_path(["--json", "x.JSON", "-q"], "--json", "--output") == ["--output", "x.JSON", "-q"]
    assert former_path(["--json=x"], "--json", "--output") == ["--output=x"]
    assert capsys.readouterr().err.count("--json FILE is called --output FILE now") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bench", "none.plan", "--synthetic", "4", "--json", "{}/x.json"], "--json FILE is called --output FILE"),
        (["bench", "none.plan", "--synthetic", "4", "--batch", "2"], "--batch is called --head-batch"),
        (["certify", "--plan", "none.plan", "--out", "{}/x"], "--out is called --output"),
        (["verify-stream", "none.mp4", "--plan", "none.plan", "--min-score", "0.5"], "--min-score is called --conf"),
        (["plan", "build", "--profile", "T=1", "--batch", "2:4:8", "--backend", "onnxruntime"],
         "--batch is called --profile"),
    ],
)  # fmt: skip
def test_former_spellings_are_taken_and_said(arguments, words, tmp_path, capsys):
    done = CliRunner().invoke(main.app, [a.format(tmp_path) for a in arguments])
    assert done.exit_code not in (0, 2) or isinstance(done.exception, UsageError), done.output
    assert "No such option" not in done.output
    assert words in done.stderr + capsys.readouterr().err


def test_two_spellings_at_once_are_refused(tmp_path):
    done = CliRunner().invoke(main.app, ["certify", "--out", str(tmp_path / "a"), "-o", str(tmp_path / "b")])
    assert isinstance(done.exception, UsageError)
    assert "one option" in str(done.exception)


def test_a_command_loads_its_own_module_and_no_other():
    """What one command needs, the others do not wait for; together they are all that there are."""
    everything = typer.main.get_command(main.app).commands
    assert set(everything) == {*main._MODULES, *main._GROUPS}
    code = "import sys, json; from tal_engine.cli import main; main._register(sys.argv[1]);"
    code += "print(json.dumps([m for m in sys.modules if m.startswith('tal_engine.')]))"
    assert "tal_engine.cli.evaluate" in alone(code, "eval")
    assert not {"tal_engine.cli.localize", "tal_engine.engine", "tal_engine.cli.plan"} & set(alone(code, "convert"))
    assert "tal_engine.errors" in alone(code, "--version")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["localize", "a.mp4"], "localize"), (["-v", "plan", "inspect"], "plan"), (["--version"], "--version"),
        (["--help"], None), ([], None), (["localise"], None), (["-x", "train"], None),
    ],
)  # fmt: skip
def test_the_command_that_arguments_name(arguments, name):
    assert main._named(arguments) == name
