"""DeepEthogram's own reader of labels; and a table as its GUI saves it, by the same call of pandas."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
from talk import answer, rows

# The package imports Lightning and Qt; its reader of labels needs neither, and is loaded by itself.
for name in ("vidio",):
    stub = sys.modules[name] = ModuleType(name)
    stub.VideoReader = stub.VideoWriter = None
place = Path(importlib.util.find_spec("deepethogram").submodule_search_locations[0]) / "file_io.py"
spec = importlib.util.spec_from_file_location("file_io", place)
file_io = importlib.util.module_from_spec(spec)
spec.loader.exec_module(file_io)

folder = Path(sys.argv[1])
names = list(pd.read_csv(folder / "ours.csv", index_col=0).columns)
flags = file_io.read_labels(folder / "ours.csv")
assert names[0] == "background", names
assert ((flags[:, 1:].sum(1) == 0) == (flags[:, 0] == 1)).all(), "background is where nothing is"
found = []
for k, name in enumerate(names[1:], 1):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags[:, k], [0]])))
    found += [[name, int(a), int(b)] for a, b in zip(edges[::2], edges[1::2], strict=True)]
labels = sorted({row[0] for row in rows()})
array = np.zeros((max(row[2] for row in rows()), len(labels) + 1), int)
for label, first, end, _, _ in rows():
    array[first:end, labels.index(label) + 1] = 1
array[:, 0] = ~array[:, 1:].any(1)
pd.DataFrame(array, columns=["background", *labels]).to_csv(folder / "theirs.csv")
answer(frames=found, wrote="theirs.csv")
