"""Runs one Python target under atheris: python -m tests.fuzz.one NAME [libFuzzer's arguments].

Coverage of the project's modules and of the parsers that they use guides it; mutations keep the inputs' structure.
"""

from __future__ import annotations

import sys

import atheris

from tests.fuzz.archives import MUTATORS

#: NumPy itself is left alone: it is large, and its own.
WATCHED = ["tal_engine", "json", "csv", "zipfile", "pickle"]

# An editable install comes with a finder whose modules atheris takes without a word and cannot follow: the ordinary one
# finds all but the extension in the clone.
sys.meta_path.sort(key=lambda finder: "Editable" in str(finder) or "Redirecting" in str(finder))

with atheris.instrument_imports(include=WATCHED):
    from tests.fuzz.bindings import bindings
    from tests.fuzz.parsers import TARGETS
    from tests.fuzz.states import STATES

if __name__ == "__main__":
    name = sys.argv.pop(1)
    target = (TARGETS | STATES | {"bindings": bindings})[name]
    mutator = {"custom_mutator": MUTATORS[name]} if name in MUTATORS else {}
    atheris.Setup(sys.argv, target, **mutator)
    atheris.Fuzz()
