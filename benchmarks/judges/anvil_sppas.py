"""SPPAS reads an Anvil file. It writes none."""

import sys
from pathlib import Path

from sppas.src.anndata.aio.anvil import sppasAnvil
from talk import answer

folder = Path(sys.argv[1])
reader = sppasAnvil()
reader.read(str(folder / "ours.anvil"))
found = []
for tier in reader:
    if not tier.get_name().endswith(".label"):
        continue
    for a in tier:
        place = a.get_location().get_best()
        start, end = place.get_begin().get_midpoint(), place.get_end().get_midpoint()
        found.append([a.get_best_tag().get_content(), start, end])
answer(seconds=found)
