#!/usr/bin/env bash
# av 18.1.0 (PyAV), the wheel for Linux x86-64: metadata says BSD-3-Clause, FFmpeg inside says LGPL, and beside it lie x264 and
# x265, which are GPL.
#
# Guess before it was run: a wheel that encodes H.264 with libx264 has an FFmpeg built with --enable-gpl, and
# avcodec_license() says GPL.
# Seen: avcodec_license() says "LGPL version 3 or later"; its configuration has --enable-libx264 and --enable-libx265 but no
# --enable-gpl, which FFmpeg's own configure refuses together; libx264 and libx265 are files of the wheel. Tools that read
# metadata report BSD for all of it. Whoever ships a product with this wheel has to look into the wheel (NOTICE of tal_engine says so).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: av==18.1.0
cat > "$work/case.py" <<'PY'
import ctypes
from importlib.metadata import metadata
from pathlib import Path

import av

libraries = Path(av.__file__).parents[1] / "av.libs"
codecs = ctypes.CDLL(str(next(libraries.glob("libavcodec*"))))
for ask in (codecs.avcodec_license, codecs.avcodec_configuration):
    ask.restype = ctypes.c_char_p
built = codecs.avcodec_configuration().decode().split()
print(metadata("av")["License-Expression"] or metadata("av")["License"])
print(codecs.avcodec_license().decode())
print(*(option for option in ("--enable-gpl", "--enable-libx264", "--enable-libx265") if option in built))
print(*sorted(path.name.split("-")[0] for path in libraries.glob("libx26*")))
PY
found=$("$python" "$work/case.py")
expected='BSD-3-Clause
LGPL version 3 or later
--enable-libx264 --enable-libx265
libx264 libx265'
[ "$found" = "$expected" ] || { echo "changed:"; echo "$found"; exit 1; }
echo "as described"
