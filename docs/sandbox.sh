#!/usr/bin/env bash
# Runs a command on files from strangers: sandbox.sh VENV IN OUT COMMAND...
#
#   docs/sandbox.sh .venv incoming results tal localize /in/clip.mp4 --plan /in/x.plan --timeout 60 -o /out/r.json
#
# The command sees the system's libraries, VENV, the folder IN as /in (read-only) and the folder OUT as /out. It has no
# network, no home, no other process in sight, at most 8 GiB of address space and 10 minutes of processor time
# (TAL_SANDBOX_BYTES, TAL_SANDBOX_SECONDS). Folders that VENV needs besides are named in TAL_SANDBOX_READ.
# Needs bubblewrap (apt-get install bubblewrap) and user namespaces. Run on Debian 12 with bubblewrap 0.8.
set -euo pipefail
[ $# -ge 4 ] || { sed -n '2,4p' "$0" >&2; exit 2; }
venv=$(realpath "$1") in=$(realpath "$2") out=$(realpath "$3")
shift 3
python=$(dirname "$(dirname "$(realpath "$venv/bin/python")")")
read=()
for folder in "$python" "$venv" ${TAL_SANDBOX_READ:-}; do read+=(--ro-bind "$folder" "$folder"); done
for file in /lib64 /etc/ld.so.cache; do [ -e "$file" ] && read+=(--ro-bind "$(realpath "$file")" "$file"); done
exec prlimit --as="${TAL_SANDBOX_BYTES:-8589934592}" --cpu="${TAL_SANDBOX_SECONDS:-600}" --core=0 -- \
  bwrap --unshare-all --die-with-parent --new-session --cap-drop ALL \
  --clearenv --setenv PATH "$venv/bin:/usr/bin:/bin" --setenv HOME /tmp \
  --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --tmpfs /tmp "${read[@]}" \
  --proc /proc --dev /dev --ro-bind "$in" /in --bind "$out" /out --chdir /out "$@"
