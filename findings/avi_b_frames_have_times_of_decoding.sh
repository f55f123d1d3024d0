#!/usr/bin/env bash
# av 18.1.0 (PyAV, FFmpeg 8): frames of H.264 with B-frames in AVI come in the right order with times that jump.
#
# Guess before it was run: AVI holds no presentation times, so they are missing (None), and readers know that they have to count.
# Seen: no time is missing. Packets carry the order of decoding as if it were that of showing, and decoded frames, which are in the
# order of showing, have times such as 1, 4, 3, 5, 2, 7: who sorts by time shows them in a wrong order, who keeps times that grow
# loses many of them. The order of the frames as they come is right; in AVI only that counts.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cat > "$work/case.py" <<'PY'
import sys

import av
import numpy as np

path = sys.argv[1] + "/b.avi"
with av.open(path, "w") as out:
    stream = out.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    stream.options = {"preset": "medium", "bf": "3", "crf": "5"}
    for k in range(100):
        picture = np.full((48, 64, 3), 2 * k, np.uint8)
        picture[:, (3 * k) % 64 : (3 * k) % 64 + 8] = 255
        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    out.mux(stream.encode())
with av.open(path) as container:
    frames = [(f.pts, float(np.median(f.to_ndarray(format="gray")))) for f in container.decode(video=0)]
times, shades = zip(*frames)
grows = sum(b > a for a, b in zip(times, times[1:]))
print(len(times), times.count(None), grows < 99, list(shades) == sorted(shades))
PY
found=$("$python" "$work/case.py" "$work")
echo "$found"
test "$found" = "100 0 True True"
