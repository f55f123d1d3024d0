#!/usr/bin/env bash
# MP4 with B-frames and a gap, read by PyAV 18.1.0 (its FFmpeg): how long each picture is shown.
#
# Guess before it was run: the picture before a gap has the gap as its duration, so start + duration is the start of the next one.
# Seen: the picture at 0.76 s, after which nothing comes until 1.6 s, has 0.04 s, and the picture at 1.6 s, followed at 1.64 s,
# has 0.84 s. MP4 stores the steps between pictures in the order of decoding, and those reach the pictures shown. Ends of segments
# are to be taken from the next picture's start, not from a picture's own duration.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: av==18.1.0 imageio-ffmpeg==0.6.0
cat > "$work/case.py" <<'PY'
import subprocess
import sys

import av
import imageio_ffmpeg

path = f"{sys.argv[1]}/variable.mp4"
source = ["-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=4", "-vf", "select='not(between(n,20,39))'"]
ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, "-fps_mode", "vfr", "-c:v", "libx264", "-bf", "2", path]
subprocess.run(ffmpeg, check=True)
with av.open(path) as container:
    stream = container.streams.video[0]
    for frame in list(container.decode(stream))[18:22]:
        print(round(float(frame.pts * stream.time_base), 2), round(float(frame.duration * stream.time_base), 2))
PY
found=$("$python" "$work/case.py" "$work")
expected='0.72 0.04
0.76 0.04
1.6 0.84
1.64 0.04'
[ "$found" = "$expected" ] || { echo "changed:"; echo "$found"; exit 1; }
echo "as described"
