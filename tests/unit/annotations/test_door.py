"""The module that reads and writes annotation files, as users import it."""

from tests.waiting import alone


def test_a_fresh_process_imports_the_module():
    """Not the feature of the same name that `from __future__ import annotations` would leave in the package."""
    code = "import json\nfrom tal_engine import annotations\nprint(json.dumps(annotations.__name__))"
    assert alone(code) == "tal_engine.annotations"
