#!/usr/bin/env bash
# av 18.1.0 (PyAV, FFmpeg 8): a video of 25 frames a second whose last picture stays for 10 s has an average rate of 17/4.
#
# Guess before it was run: average_rate is how fast frames come: 25.
# Seen: it is the number of frames over the duration, and the duration has the last picture's stay in it: 51 frames in 12 s. Screen
# recordings and slide shows end like that. Who counts frames by average_rate is six times off in the first two seconds; frames over
# their own times are right, and a file that "ends early" for want of frames does not.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cat > "$work/case.py" <<'PY'
import sys
from fractions import Fraction

import av
import numpy as np

path = sys.argv[1] + "/still.mp4"
with av.open(path, "w") as out:
    stream = out.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    stream.options, stream.codec_context.time_base = {"preset": "ultrafast", "bf": "0"}, Fraction(1, 1000)
    packets = []
    for k in range(51):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), k, np.uint8), format="rgb24")
        frame.pts, frame.time_base = 40 * k, Fraction(1, 1000)
        packets += stream.encode(frame)
    packets += stream.encode()
    for k, packet in enumerate(packets):
        packet.duration = 40 if k < 50 else 10_000
        out.mux(packet)
with av.open(path) as container:
    stream = container.streams.video[0]
    rate, seconds = stream.average_rate, float(stream.duration * stream.time_base)
    times = [frame.time for frame in container.decode(stream)]
print(rate, seconds, len(times), round(times[-1] - times[-2], 3))
PY
found=$("$python" "$work/case.py" "$work")
echo "$found"
test "$found" = "17/4 12.0 51 0.04"
