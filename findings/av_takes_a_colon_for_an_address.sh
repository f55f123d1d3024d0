#!/usr/bin/env bash
# av 18.1.0 (PyAV, FFmpeg 8): a file that is named after a time of day is taken for an address.
#
# Guess before it was run: a path that exists is opened, whatever its name is.
# Seen: "12:30:45.mp4" ends in "Protocol not found", though it lies in the folder; so does every name with letters or digits before a
# colon, as recorders and screenshots have them. `file:` and the absolute path before it opens the same file, and any other.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cat > "$work/case.py" <<'PY'
import os
import sys

import av
import numpy as np

os.chdir(sys.argv[1])
name = "12:30:45.mp4"
with av.open("file:" + os.path.abspath(name), "w", format="mp4") as out:
    stream = out.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
    out.mux(stream.encode())
try:
    av.open(name)
    print("opened")
except av.error.FFmpegError as e:
    print(os.path.exists(name), e.strerror, end=" ")
with av.open("file:" + os.path.abspath(name)) as container:
    print(len(container.streams.video))
PY
found=$("$python" "$work/case.py" "$work")
echo "$found"
test "$found" = "True Protocol not found 1"
