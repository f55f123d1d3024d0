"""sed_eval reads a table of sound events, dcase_util writes one."""

import sys
from pathlib import Path

import dcase_util
import sed_eval
from talk import answer, rows

folder = Path(sys.argv[1])
read = sed_eval.io.load_event_list(str(folder / "ours.txt"))
found = [[e["event_label"], float(e["onset"]), float(e["offset"])] for e in read]
own = dcase_util.containers.MetaDataContainer(
    [{"filename": "v.mp4", "onset": start, "offset": end, "event_label": label} for label, _, _, start, end in rows()]
)
own.save(filename=str(folder / "theirs.txt"))
answer(seconds=found, wrote="theirs.txt")
