#!/usr/bin/env bash
# mediapipe 0.10.14 (wheel): the pose networks of model_complexity 0 and 2 are not inside.
#
# Guess before it was run: the wheel carries lite, full and heavy, as the npm package @mediapipe/pose does.
# Seen: it carries full only. `Pose(model_complexity=0)` fetches pose_landmark_lite.tflite from a bucket and writes it
# into site-packages, without a hash; whatever lies there under that name is taken from then on, also half a file of a
# connection that broke. And its detector has another sha256 than npm's: only the metadata differ, all weights are the
# same values, so hashes of files say nothing about networks here (compared with export/tflite_graph.py: equal to the bit).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps mediapipe==0.10.14
package=$(echo "$work"/venv/lib/python3*/site-packages/mediapipe)
inside=$(cd "$package/modules/pose_landmark" && ls ./*.tflite)
fetched=$(grep -c 'storage.googleapis.com' "$package/python/solutions/download_utils.py")
checked=$(grep -ciE 'sha256|md5|hashlib' "$package/python/solutions/download_utils.py" || true)
detector=$(sha256sum "$package/modules/pose_detection/pose_detection.tflite" | cut -c1-8)
echo "inside: $inside; addresses: $fetched; hashes checked: $checked; detector: $detector (npm: a63c614b)"
test "$inside" = "./pose_landmark_full.tflite"
test "$fetched" = 1
test "$checked" = 0
test "$detector" = 9ba9dd3d
