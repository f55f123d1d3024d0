"""crowsetta reads Audacity's labels and writes them."""

import sys
from pathlib import Path

import crowsetta
import numpy as np
from talk import answer, rows

folder = Path(sys.argv[1])
read = crowsetta.formats.seq.AudSeq.from_file(annot_path=folder / "ours.txt")
found = [[str(x), float(a), float(b)] for x, a, b in zip(read.labels, read.start_times, read.end_times, strict=True)]
labels, _, _, starts, ends = zip(*rows(), strict=True)
own = crowsetta.formats.seq.AudSeq(
    start_times=np.array(starts), end_times=np.array(ends), labels=np.array(labels), annot_path=folder / "x.txt"
)
own.to_file(folder / "theirs.txt")
answer(seconds=found, wrote="theirs.txt")
