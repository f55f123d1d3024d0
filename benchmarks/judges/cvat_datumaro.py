"""Datumaro reads a CVAT file: runs of frames in which a track shows. It writes no tracks."""

import sys
from itertools import groupby
from pathlib import Path

from datumaro.components.dataset import Dataset
from talk import answer

folder = Path(sys.argv[1])
data = Dataset.import_from(str(folder / "ours.xml"), "cvat")
names = [c.name for c in next(iter(data.categories().values())).items]
shown = {}
for item in data:
    for box in item.annotations:
        if not box.attributes["outside"]:
            frame = int(item.attributes["frame"])
            shown.setdefault((box.attributes["track_id"], names[box.label]), []).append(frame)
found = []
for (_, label), frames in shown.items():
    for _, run in groupby(enumerate(sorted(frames)), key=lambda pair: pair[1] - pair[0]):
        run = [frame for _, frame in run]
        found.append([label, run[0], run[-1] + 1])
answer(frames=found)
