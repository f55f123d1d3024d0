"""Your own actions from a table of labels: python examples/fit_from_csv.py videos/ labels.csv mine.plan.

labels.csv: video,label (which actions), or video,time,label (a click each), or video,start,end,label (docs/labels.md).
"""

import sys

from tal_engine import TALEngine, TALError
from tal_engine.lab import fit


def main(videos, labels, output="mine.plan", **options):
    report = fit(videos, labels=labels, output=output, **options)
    print(report.table)  # measured on videos that the head was not trained on
    print(*report.next_steps, sep="\n")
    with TALEngine.load(report.output) as engine:
        print(engine.description, list(engine.plan.manifest.vocabulary))
    return report


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except TALError as e:  # the message names the file or the value, and what is allowed
        sys.exit(str(e))
