"""FiftyOne's importer reads labels.json, its exporter writes one. Its database is not started."""

import os
import sys
from pathlib import Path

os.environ["FIFTYONE_DO_NOT_TRACK"] = "1"
import fiftyone
import fiftyone.core.labels as fol
import fiftyone.utils.data as foud
from talk import answer, rate, rows

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
# The same rows as suggestions in a field of a sample, by tal_engine's own function.
sys.path.insert(0, str(Path(__file__).parents[2]))
from tal_engine.annotations.formats import Annotation, AnnotationTable  # noqa: E402
from tal_engine.annotations.suggest.fiftyone_field import add_predictions  # noqa: E402

sample = fiftyone.Sample(filepath=str(folder / "v.mp4"), metadata=fiftyone.VideoMetadata(frame_rate=rate()))
table = AnnotationTable.of(Annotation("v.mp4", label, start, end, score=0.5) for label, _, _, start, end in rows())
assert add_predictions([sample], table, "tal") == ()
held = sorted([d.label, *d.support, d.confidence] for d in sample["tal"].detections)
assert held == sorted([label, first + 1, end, 0.5] for label, first, end, _, _ in rows()), held
answer(frames=found, wrote="theirs.json", notes=["suggestions in a sample's field have the same frames"])
