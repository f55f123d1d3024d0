"""pyannote reads RTTM (pyannote.database) and writes it (pyannote.core)."""

import sys
from pathlib import Path

from pyannote.core import Annotation, Segment
from pyannote.database.util import load_rttm
from talk import answer, rows

folder = Path(sys.argv[1])
(read,) = load_rttm(folder / "ours.rttm").values()
found = [[label, segment.start, segment.end] for segment, _, label in read.itertracks(yield_label=True)]
own = Annotation(uri="v.mp4")
for number, (label, _, _, start, end) in enumerate(rows()):
    own[Segment(start, end), number] = label
with (folder / "theirs.rttm").open("w") as file:
    own.write_rttm(file)
answer(seconds=found, wrote="theirs.rttm")
