"""FiftyOne: predictions as a field of the samples of a data set, with their confidence.

    python -m tal_engine.annotations.suggest.fiftyone_field MY_DATASET out.json --field tal

Frames are those of each sample's own rate (`dataset.compute_metadata()` first), counted as FiftyOne does: from 1, the
last one inside. Correct the field there, export it (FiftyOneTemporalDetectionDataset), and train on the export.

Source: fiftyone 1.22.1, `fiftyone.core.labels.TemporalDetections`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from ..._util.names import Finder
from ...errors import UsageError
from ..formats import AnnotationTable, FrameClock, read
from .served import read_served


def add_predictions(
    samples: Iterable[Any], table: AnnotationTable | str | Path, field: str = "predictions"
) -> tuple[str, ...]:
    """Set a field of samples to their predictions; samples of a data set are saved.

    Args:
        samples: a data set, a view, or samples, with metadata.
        table: predictions, a file of them in any format that counts seconds, or the address of a `tal studio` that
            runs, whose suggestions of the moment are taken.
        field: name of the field; what it held is replaced.

    Returns:
        The videos with predictions that no sample is.

    Raises:
        UsageError: FiftyOne is not installed here, or a sample's rate of frames is not known; nothing is set then.
    """
    labels = _labels()
    rows = table if isinstance(table, AnnotationTable) else read_served(str(table), read)
    rows = rows.where(rows.kinds == "segment")
    known, missing = Finder(rows.videos), set(rows.videos)
    found = [(sample, name) for sample in samples if (name := known(str(sample.filepath))) is not None]
    clocks = [FrameClock(_rate(sample)) for sample, _ in found]
    for (sample, name), clock in zip(found, clocks, strict=True):
        missing.discard(name)
        detections = []
        for r in rows.of_video(name):
            first, end = clock.frames(r.start or 0.0, r.end or 0.0)
            detections.append(labels.TemporalDetection(label=r.label, support=[first + 1, end], confidence=r.score))
        sample[field] = labels.TemporalDetections(detections=detections)
        if getattr(sample, "in_dataset", False):
            sample.save()
    return tuple(sorted(missing))


def _labels() -> Any:
    try:
        return import_module("fiftyone.core.labels")
    except ModuleNotFoundError as e:
        raise UsageError("fiftyone is not installed here: install tal-engine where your FiftyOne runs") from e


def _rate(sample: Any) -> float:
    rate = getattr(sample.metadata, "frame_rate", None)
    if not rate:
        raise UsageError(f"{sample.filepath}: its rate of frames is not known; call dataset.compute_metadata() first")
    return float(rate)


def main(arguments: list[str] | None = None) -> None:
    """Load a data set by name and add predictions to it."""
    parser = argparse.ArgumentParser(description="Add predictions to a FiftyOne data set as a field.")
    parser.add_argument("dataset", help="name of the data set")
    parser.add_argument("results", help="file of predictions, or the address that tal studio prints")
    parser.add_argument("--field", default="predictions", help="name of the field")
    args = parser.parse_args(arguments)
    try:
        _labels()
    except UsageError as e:
        parser.exit(2, f"error: {e}\n")
    missing = add_predictions(import_module("fiftyone").load_dataset(args.dataset), args.results, args.field)
    for name in missing:
        print(f"no sample is the video {name!r}")


if __name__ == "__main__":
    main()
