#!/usr/bin/env bash
# scenedetect 0.7.2 on a video of variable rate (80 pictures in 4 s: at 25 a second, and .84 s without a picture).
#
# Guess before it was run: both backends give each picture the same number, its count, and the same length of the video, 4.0 s.
# Seen: the 21st picture, shown at 1.6 s, is number 21 by the OpenCV backend and 41 by the PyAV backend, which reckons numbers from
# times and a nominal rate; the OpenCV backend says 4.0 s, the PyAV backend 3.2 s, which is before its own last picture (3.96 s).
# Times agree; carry over times between tools, not frame numbers.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: scenedetect==0.7.2 av==18.1.0 imageio-ffmpeg==0.6.0
cat > "$work/case.py" <<'PY'
import subprocess
import sys

import imageio_ffmpeg
from scenedetect import open_video

path = f"{sys.argv[1]}/variable.mp4"
source = ["-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=4", "-vf", "select='not(between(n,20,39))'"]
ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, "-fps_mode", "vfr", "-c:v", "libx264", "-bf", "2", path]
subprocess.run(ffmpeg, check=True)
for backend in ("opencv", "pyav"):
    video = open_video(path, backend=backend)
    seen = []
    while video.read() is not False:
        seen.append((video.frame_number, round(video.position.seconds, 2)))
    print(backend, len(seen), seen[20], seen[-1][1], round(video.duration.seconds, 2))
PY
found=$("$python" "$work/case.py" "$work")
expected='opencv 80 (21, 1.6) 3.96 4.0
pyav 80 (41, 1.6) 3.96 3.2'
[ "$found" = "$expected" ] || { echo "changed:"; echo "$found"; exit 1; }
echo "as described"
