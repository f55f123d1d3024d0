#!/usr/bin/env bash
# torchcodec 0.17.0, exact seek mode, on a video with a gap: which picture is shown in the middle of it. And its approximate mode
# on a recording whose clock begins at 10 s.
#
# Guess before it was run: at 1.0 s the picture of 0.76 s, which stays until the next one comes at 1.6 s; and 100 pictures for
# 4 s at 25 a second.
# Seen: get_frame_played_at(1.0) gives the picture of 1.6 s, which is yet to come; so does every time of the gap. The
# approximate mode says the recording has 350 pictures: it takes its end, 14 s, for its length, and reading the last index fails.
# Labels at times within a gap are looked up in the wrong picture; recordings of cameras are to be opened in exact mode.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: torchcodec==0.17.0 torch==2.14.1 imageio-ffmpeg==0.6.0
cat > "$work/case.py" <<'PY'
import subprocess
import sys

import imageio_ffmpeg
from torchcodec.decoders import VideoDecoder

gap, late = f"{sys.argv[1]}/gap.mp4", f"{sys.argv[1]}/late.mkv"
ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=4"]
coded = ["-c:v", "libx264", "-bf", "2"]
subprocess.run([*ffmpeg, "-vf", "select='not(between(n,20,39))'", "-fps_mode", "vfr", *coded, gap], check=True)
subprocess.run([*ffmpeg, *coded, "-output_ts_offset", "10", late], check=True)
exact = VideoDecoder(gap, seek_mode="exact")
print([round(exact.get_frame_at(i).pts_seconds, 2) for i in (19, 20)])
print([round(exact.get_frame_played_at(t).pts_seconds, 2) for t in (0.79, 0.9, 1.0, 1.5)])
print([len(VideoDecoder(late, seek_mode=mode)) for mode in ("exact", "approximate")])
PY
found=$("$python" "$work/case.py" "$work")
expected='[0.76, 1.6]
[0.76, 1.6, 1.6, 1.6]
[100, 350]'
[ "$found" = "$expected" ] || { echo "changed:"; echo "$found"; exit 1; }
echo "as described"
