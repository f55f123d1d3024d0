#!/usr/bin/env bash
# banos 1.0.0 (Behavior ANnOtation Score): recordings of which one shows a behaviour that was never predicted.
#
# Guess before it was run, from the note in score()'s documentation: all metrics are NaN where a recording's annotation lacks the
# behaviour, and the means leave it out; a behaviour that is annotated and never predicted has F1 0.
# Seen, the other way round: where neither shows it every metric is 1.0 and counts; where it is annotated and missed, F1, segment
# overlap and precision are NaN and are left out. A prediction that is empty for all of four recordings, one of which shows the
# behaviour, has an overall F1 of 1.0, and one that finds the behaviour in one recording and misses it in another has 1.0 too. Only recall tells.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: banos==1.0.0 pandas==3.0.0 numpy==2.4.6
cat > "$work/case.py" <<'PY'
import banos
import pandas as pd


def frames(*on):
    return pd.DataFrame({"rearing": [1 if i in on else 0 for i in range(20)]})


print("NaN" in banos.score.__doc__, banos.score(frames(), frames())["rearing"]["f1_score"])
print(banos.score(frames(), frames(5, 6, 7))["rearing"]["f1_score"])
_, silent = banos.score({"a": (frames(), frames(5, 6, 7)), **{n: (frames(), frames()) for n in "bcd"}})
_, half = banos.score({"a": (frames(5, 6, 7), frames(5, 6, 7)), "b": (frames(), frames(5, 6, 7))})
print(silent["f1_score"], half["f1_score"], half["recall"])
PY
found=$("$python" "$work/case.py")
expected='True 1.0
nan
1.0 1.0 0.5'
[ "$found" = "$expected" ] || { echo "changed:"; echo "$found"; exit 1; }
echo "as described"
