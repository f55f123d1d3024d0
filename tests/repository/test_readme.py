"""README's numbers are those of the stored results, and its files exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_measured_numbers_come_from_stored_results():
    done = subprocess.run(
        [sys.executable, "benchmarks/readme.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_files_that_it_names_exist():
    text = (ROOT / "README.md").read_text()
    links = [x for x in re.findall(r"\]\(([^)#]+)\)", text) if not x.startswith("http")]
    table = [x for row in re.findall(r"^\| (`.*?) \|", text, re.M) for x in re.findall(r"`([^`]+)`", row)]
    assert len(links) > 3
    assert len(table) > 15
    for name in links + [x for x in table if "/" in x]:
        assert (ROOT / name).exists() or (ROOT / "tal_engine" / name).exists(), name
