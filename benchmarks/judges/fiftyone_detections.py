"""FiftyOne's importer reads labels.json, its exporter writes one. Its database is not started."""

import os
import sys
from pathlib import Path

os.environ["FIFTYONE_DO_NOT_TRACK"] = "1"
import fiftyone.core.labels as fol
import fiftyone.utils.data as foud
from talk import answer, rows

folder = Path(sys.argv[1])
(folder / "data").mkdir()
(folder / "data" / "v.mp4").touch()
importer = foud.FiftyOneTemporalDetectionDatasetImporter(
    data_path=str(folder / "data"), labels_path=str(folder / "ours.json")
)
importer.setup()
found = []
for _, _, labels, _ in importer:
    found += [[d.label, d.support[0] - 1, d.support[1]] for d in labels.detections]
exporter = foud.FiftyOneTemporalDetectionDatasetExporter(export_dir=str(folder / "export"), export_media=False)
with exporter:
    wanted = [fol.TemporalDetection(label=label, support=[first + 1, end]) for label, first, end, _, _ in rows()]
    exporter.export_sample(str(folder / "v.mp4"), fol.TemporalDetections(detections=wanted), None)
(folder / "theirs.json").write_text((folder / "export" / "labels.json").read_text())
answer(frames=found, wrote="theirs.json")
