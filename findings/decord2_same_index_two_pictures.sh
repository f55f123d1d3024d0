#!/usr/bin/env bash
# decord2 3.4.0, on an MP4 whose edit list hides its first pictures (what `ffmpeg -ss T -c copy` writes: the cut begins at the key
# frame before T, and players leave out what lies between).
#
# Guess before it was run: len() counts the pictures that are shown, 65 of the 75 stored ones, and an index always means the same
# picture.
# Seen: len() is 75. Read one after the other, index i is the i-th picture shown, and from 65 on the last one is repeated.
# Read after a seek (here from index 25 on, the second key frame), index i is the shown picture i - 10. So one index gives
# two pictures, which depends on what was read before, and the first time stamp is -0.4 s. PyAV and torchcodec's exact mode count 65.
# Features of clips that were cut without encoding and read so are up to a group of pictures early where batches begin late in the file.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: decord2==3.4.0 av==18.1.0 imageio-ffmpeg==0.6.0 numpy==2.4.6
cat > "$work/case.py" <<'PY'
import subprocess
import sys

import av
import decord
import imageio_ffmpeg
import numpy as np

whole, cut = f"{sys.argv[1]}/whole.mp4", f"{sys.argv[1]}/cut.mp4"
ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y"]
source = ["-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=4", "-c:v", "libx264", "-g", "25", "-bf", "2"]
subprocess.run([*ffmpeg, *source, whole], check=True)
subprocess.run([*ffmpeg, "-ss", "1.4", "-i", whole, "-c", "copy", cut], check=True)
with av.open(cut) as container:
    shown = [f.to_ndarray(format="rgb24").astype(int) for f in container.decode(video=0)]


def which(picture):
    return int(np.argmin([np.abs(picture.asnumpy().astype(int) - s).mean() for s in shown]))


print(len(shown), len(decord.VideoReader(cut)))
reader = decord.VideoReader(cut)
print([which(reader[i]) for i in range(75)][28:31], round(float(reader.get_frame_timestamp(0)[0]), 2))
reader = decord.VideoReader(cut)
print([which(reader[i]) for i in (28, 29, 30)])
PY
found=$("$python" "$work/case.py" "$work")
expected='65 75
[28, 29, 30] -0.4
[18, 19, 20]'
[ "$found" = "$expected" ] || { echo "changed:"; echo "$found"; exit 1; }
echo "as described"
