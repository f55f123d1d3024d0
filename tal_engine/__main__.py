"""``python -m tal_engine``: the command line, where ``tal`` is not on the path."""

from .cli.main import run

run()
