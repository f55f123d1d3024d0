"""kloppy reads Sportscode's XML and writes it."""

import sys
from pathlib import Path

from kloppy import sportscode
from talk import answer

folder = Path(sys.argv[1])
data = sportscode.load(str(folder / "ours.xml"))
found = [[c.code, c.timestamp.total_seconds(), c.end_timestamp.total_seconds()] for c in data.records]
sportscode.save(data, str(folder / "theirs.xml"))
answer(seconds=found, wrote="theirs.xml")
