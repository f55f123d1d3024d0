"""Neurodata Without Borders: bouts of behaviour as ndx-ethogram keeps them, and other tables of labelled intervals.

Written: `EthogramBouts` in the processing module "behavior", with the extension's own package; subject, score and
comment are further columns, which the standard allows. Where rate and number of frames are known, the bouts name their
video, and both begin together at the session's start; else the file's identifier does. Read: every `EthogramBouts`, and
every other `TimeIntervals` that has a column of labels; of bouts that name a video with a start, times are those of the
video.

Source: ndx-ethogram 0.1.0, pynwb 4.2.0, the NWB schema.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from ..._util.extras import need
from ..._util.files import whole_file
from ..._util.untrusted import guarded, listed
from ...errors import DataError
from .format import Context, Format, holds
from .lines import interval
from .table import Annotation, AnnotationTable, Media

_SOFTWARE = "tal_engine"
_EXTRAS = ("subject", "score", "comment")
#: Columns that name what happens, in the order in which they are looked for.
_LABELS = ("label", "labels", "behavior", "behaviour", "action", "event_type", "tag")


def read_nwb(path: Path, context: Context) -> AnnotationTable:
    """Read all tables of labelled intervals; those without labels are named in the notes.

    Raises:
        MissingExtraError: pynwb is not installed.
        DataError: no NWB file, no labelled intervals, or times that cannot be; all are named.
    """
    pynwb = need("pynwb")
    rows, wrong, others, found = list[Annotation](), list[str](), list[str](), 0
    with guarded(path, "NWB file"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions of cached specifications
        with pynwb.NWBHDF5IO(str(path), "r") as file:
            session = file.read()
            for table in _tables(pynwb, session):
                label = next((c for c in _LABELS if c in table.colnames), None)
                if label is None:
                    others.append(table.name)
                    continue
                found += 1
                ours = getattr(table, "source_software", None) == _SOFTWARE and context.name is None
                rows += _rows(table, label, session.identifier if ours else context.named(path), wrong)
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    if not found:
        raise DataError(f"{path}: no table of intervals with a column {' or '.join(map(repr, _LABELS))}")
    notes = [f"{len(others)} tables of intervals without labels left out: {listed(others)}"] if others else []
    return AnnotationTable.of(rows, notes=notes)


def _tables(pynwb: Any, file: Any) -> Iterator[Any]:
    """Yield the tables of intervals in order of name."""
    kinds = (o for o in file.objects.values() if isinstance(o, pynwb.epoch.TimeIntervals))
    yield from sorted(kinds, key=lambda table: str(table.name))


def _rows(table: Any, label: str, name: str, wrong: list[str]) -> Iterator[Annotation]:
    video = getattr(table, "source_video", None)
    files = [] if video is None or video.external_file is None else list(video.external_file)
    begin = 0.0 if video is None or video.starting_time is None else float(video.starting_time)
    known = {key: table[key].data[:] for key in ("start_time", "stop_time", label, *_EXTRAS) if key in table.colnames}
    for k in range(len(table)):
        at = {key: column[k] for key, column in known.items()}
        try:
            start, end = interval(repr(float(at["start_time"]) - begin), repr(float(at["stop_time"]) - begin))
            score = float(at.get("score", math.nan))
        except ValueError as e:
            wrong.append(f"table {table.name!r}: row {k}: {e}")
            continue
        yield Annotation(
            PurePath(str(files[0])).name if files else name, _text(at[label]), start, end, _text(at.get("subject", "")),
            None if math.isnan(score) else score, _text(at.get("comment", "")),
        )  # fmt: skip


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def write_nwb(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write a file of its own; copy its "behavior" module into a session's file with pynwb.

    Raises:
        MissingExtraError: pynwb or ndx-ethogram is not installed.
    """
    pynwb, ethogram = need("pynwb"), need("ndx_ethogram")
    name = next(iter(table.videos), context.named(path))
    file = pynwb.NWBFile(
        session_description=f"behaviour in {name}", identifier=name, session_start_time=datetime(1970, 1, 1, tzinfo=UTC)
    )
    order = table.where(np.lexsort((table.end, table.start)))
    scored = bool((order.score == order.score).any())
    columns: dict[str, Any] = {"start_time": order.start, "stop_time": order.end, "label": order.label.tolist()}
    columns |= {
        key: getattr(order, key).tolist() for key in ("subject", "comment") if (getattr(order, key) != "").any()
    }
    columns |= {"score": order.score} if scored else {}
    bouts = ethogram.EthogramBouts(
        name="behavior_bouts", description=f"bouts of behaviour in {name}", source_software=_SOFTWARE,
        labeling_method="automated" if scored else "manual",
        columns=[_column(key, data) for key, data in columns.items()],
    )  # fmt: skip
    module = file.create_processing_module("behavior", "bouts of behaviour")
    if (video := _video(pynwb, name, table.media.get(name, Media()), context)) is not None:
        file.add_acquisition(video)
        bouts.source_video = video
    module.add(bouts)
    h5py = need("h5py")  # opened by hand, since pynwb warns of names without .nwb
    with (
        whole_file(path) as temporary,
        h5py.File(temporary, "w") as opened,
        pynwb.NWBHDF5IO(file=opened, mode="w") as out,
    ):
        out.write(file)


def _video(pynwb: Any, name: str, media: Media, context: Context) -> Any:
    """Describe the video; None where the rate or the number of frames is not known."""
    rate = context.fps or media.fps
    frames = media.frames or round((media.duration or 0.0) * (rate or 0.0))
    if not rate or not frames:
        return None
    return pynwb.image.ImageSeries(
        name="video", format="external", external_file=[media.path or name], starting_frame=[0], starting_time=0.0,
        rate=float(rate), num_samples=frames, unit="n/a",
    )  # fmt: skip


def _column(name: str, data: Any) -> Any:
    return need("pynwb").core.VectorData(name=name, description=f"{name} of the bout", data=data)


FORMATS = (
    Format("nwb", "NWB (ndx-ethogram)", (".nwb",), holds("subject", "score", "comment", "overlaps"),
           "seconds, all digits", read_nwb, write_nwb, unfit="\x00", one_video=True),
)  # fmt: skip
