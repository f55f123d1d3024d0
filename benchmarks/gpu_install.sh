#!/usr/bin/env bash
# Joins the pieces that gpu_wheels.py cut, checks and installs them: install.sh SITE [PYTHON]
# Pieces lie beside this script or in folders trip-N beside or below it. Exits 1 if nothing could be installed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
site=${1:?usage: install.sh SITE [PYTHON]}
python=${2:-python3}
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT

list=$(ls "$here"/PIECES "$here"/trip-*/PIECES "$here"/../trip-*/PIECES 2>/dev/null | head -1)
[ -n "$list" ] || { echo "no pieces beside $here" >&2; exit 1; }

piece() { ls "$here/$1" "$here"/trip-*/"$1" "$here"/../trip-*/"$1" 2>/dev/null | head -1; }

good=()
while read -r name pieces; do
  : >"$wheels/$name"
  lacking=
  for p in $pieces; do
    found=$(piece "$p")
    if [ -z "$found" ]; then lacking=$p; break; fi
    cat "$found" >>"$wheels/$name"
  done
  if [ -n "$lacking" ]; then
    echo "left out: $name, its piece $lacking is not here" >&2
  elif ! (cd "$wheels" && grep -F "  $name" "$(dirname "$list")/SHA256SUMS" | sha256sum --check --status); then
    echo "left out: $name, its checksum is wrong" >&2
  elif [[ $name == *.whl ]]; then
    good+=("$wheels/$name")
  fi
done <"$list"

mkdir -p "$site"
# By way of a folder of its own: pip would replace what is there already of a folder that two packages share.
add() {
  rm -rf "$wheels/new"
  "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --disable-pip-version-check \
    --target "$wheels/new" "$@" 2>"$wheels/why" && cp -R "$wheels/new/." "$site/"
}
# All in one call, which takes seconds; then one at a time: a wheel that does not fit this Python costs no other.
count=0
if [ "${#good[@]}" -gt 0 ] && add "${good[@]}"; then
  count=${#good[@]}
else
  for wheel in "${good[@]}"; do
    if add "$wheel"; then
      count=$((count + 1))
    else
      echo "left out: $(basename "$wheel"), $(tail -1 "$wheels/why")" >&2
    fi
  done
fi

# No wheel of the project itself: build it here.
if [ -s "$wheels/tal_engine_sources.tar.gz" ]; then
  mkdir "$wheels/sources" && tar xzf "$wheels/tal_engine_sources.tar.gz" -C "$wheels/sources"
  if ! command -v c++ >/dev/null; then
    printf '#!/bin/sh\nexec "%s" -m ziglang cc "$@"\n' "$python" >"$wheels/cc"
    printf '#!/bin/sh\nexec "%s" -m ziglang c++ "$@"\n' "$python" >"$wheels/c++"
    chmod +x "$wheels/cc" "$wheels/c++"
    export CC=$wheels/cc CXX=$wheels/c++
  fi
  if PYTHONPATH=$site PATH=$site/bin:$PATH add --no-build-isolation "$wheels/sources"; then
    count=$((count + 1))
  else
    echo "left out: tal-engine, it cannot be built here: $(tail -3 "$wheels/why" | tr '\n' ' ')" >&2
  fi
fi

for module in tal_engine._core pydantic typer av cv2 onnxruntime onnx onnxscript safetensors cuda.bindings.runtime psutil; do
  PYTHONPATH=$site "$python" -P -c "import $module" 2>/dev/null || echo "cannot be imported: $module" >&2
done
echo "$count of the wheels installed into $site; PYTHONPATH=$site"
[ "$count" -gt 0 ]
