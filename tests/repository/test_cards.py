"""Method cards: one for each paper's method, its generated parts those of the code and of the stored results."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

import pytest
from config_table import config_table
from methods_rows import LATER, PAPERS
from pages import filled

from tal_engine.lab.methods import METHODS, load_method

ROOT = Path(__file__).parents[2]
CARDS = ROOT / "docs" / "methods"


def test_cards_are_up_to_date():
    done = subprocess.run(
        [sys.executable, "benchmarks/cards.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [*PAPERS, *LATER])
def test_every_paper_has_a_card(name):
    card = (CARDS / f"{name}.md").read_text()
    for part in ("## Configuration", "## What the paper leaves out, and what we chose", "## What we measured"):
        assert part in card
    if name in METHODS:
        listed = ROOT / ("docs/train.md" if name in LATER else "README.md")
        assert f"({'' if name in LATER else 'docs/'}methods/{name}.md)" in listed.read_text()
        assert all(f"`{f.name}`" in card for f in fields(load_method(name).Config))


def test_pictures_are_small():
    assert all(p.stat().st_size < 150_000 for p in CARDS.glob("*.png"))


@dataclass(frozen=True)
class Small:
    """A config."""

    #: Widths (paper 4.1: a | b).
    rgb: int = 8
    flow: int = 8

    #: How it is done: one way (paper)
    #: or another (code).
    way: Literal["one", "other"] = "one"
    #: Anything else.
    options: dict[str, int] = field(default_factory=dict)


def test_a_comment_is_about_the_fields_below_it():
    assert config_table(Small).splitlines()[2:] == [
        r"| `rgb`<br>`flow` | `8`<br>`8` | Widths (paper 4.1: a \| b). |",
        "| `way` | `'one' ('other')` | How it is done: one way (paper) or another (code). |",
        "| `options` | `{}` | Anything else. |",
    ]


def test_a_field_without_a_comment_is_refused():
    @dataclass
    class Bare:
        width: int = 1

    with pytest.raises(ValueError, match=r"Bare\.width has no comment"):
        config_table(Bare)


def test_only_what_lies_between_markers_is_written(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("by hand\n<!-- a -->\nold\n<!-- /a -->\nmore\n")
    assert filled(page, {"a": lambda: "new"}) == "by hand\n<!-- a -->\nnew\n<!-- /a -->\nmore\n"
    with pytest.raises(SystemExit, match="lacks the lines <!-- b -->"):
        filled(page, {"b": lambda: "new"})
