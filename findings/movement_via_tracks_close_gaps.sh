#!/usr/bin/env bash
# movement 0.15.0 reads VIA tracks: frames without a box are not there, and what follows comes earlier.
#
# Guess before it was run: the time of a box is the frame's number in its file name over the rate, and frames between two
# boxes are rows without a position (NaN).
# Seen: boxes in frames 1, 2 and 52 of a video of 10 frames a second have times 0, 0.1 and 0.2 s: frames that have boxes are
# counted one after another, and no warning says that 49 of them are missing. With use_frame_numbers_from_file=True
# times are 0.1, 0.2 and 5.2 s, and the missing frames are no rows then either: what takes the axis of times as evenly
# spaced (a moving median, a velocity from differences, labels by frame) is wrong in both.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check movement==0.15.0
cat > "$work/case.py" <<'PY'
import json
import sys

from movement.io import load_bboxes


def cell(value):
    return '"' + json.dumps(value).replace('"', '""') + '"'


rows = ["filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"]
for frame in (1, 2, 52):
    shape = {"name": "rect", "x": 10 * frame, "y": 20, "width": 4, "height": 6}
    rows.append(f"v_frame_{frame:04d}.png,1,{cell({})},1,0,{cell(shape)},{cell({'track': '1'})}")
path = sys.argv[1] + "/via.csv"
with open(path, "w") as file:
    file.write("\n".join(rows) + "\n")
for own in (False, True):
    boxes = load_bboxes.from_via_tracks_file(path, fps=10, use_frame_numbers_from_file=own)
    print(own, boxes.time.values.round(3).tolist(), boxes.position.sel(space="x").values.ravel().tolist())
PY
found=$("$python" "$work/case.py" "$work" 2> /dev/null)
echo "$found"
test "$found" = "False [0.0, 0.1, 0.2] [12.0, 22.0, 522.0]
True [0.1, 0.2, 5.2] [12.0, 22.0, 522.0]"
