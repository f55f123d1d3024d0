#!/usr/bin/env bash
# av 18.1.0 (PyAV, FFmpeg 8) and opencv-python-headless 5.0.0.93: a transport stream that was joined of two is as long as its
# last part, and its clock begins again in the middle.
#
# Guess before it was run: `cat a.ts b.ts` is a valid transport stream of 5 s, whose frames come with times that grow.
# Seen: all 125 frames are decoded, but the container says 3.0 s, as if the first part were not there; the frame after the
# first part has time 0.0 again. OpenCV says 75 frames and reads 125. Recorders write such files whenever a camera comes back.
# Who keeps only times that grow loses the second part; who divides frames by the duration gets 42 a second for 25.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check av==18.1.0 opencv-python-headless==5.0.0.93
cat > "$work/case.py" <<'PY'
import sys
from pathlib import Path

import av
import cv2
import numpy as np

folder = Path(sys.argv[1])


def write(name, count):
    with av.open(str(folder / name), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"preset": "ultrafast", "bf": "0"}
        for k in range(count):
            picture = np.full((48, 64, 3), k % 256, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return (folder / name).read_bytes()


joined = folder / "ab.ts"
joined.write_bytes(write("a.ts", 50) + write("b.ts", 75))
with av.open(str(joined)) as container:
    seconds = container.duration / av.time_base
    times = [round(frame.time, 2) for frame in container.decode(video=0)]
capture, read = cv2.VideoCapture(str(joined)), 0
while capture.read()[0]:
    read += 1
print(seconds, len(times), times[49], times[50], int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), read)
PY
found=$("$python" "$work/case.py" "$work")
echo "$found"
test "$found" = "3.0 125 1.96 0.0 75 125"
