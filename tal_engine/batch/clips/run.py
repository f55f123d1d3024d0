"""One run that cuts clips: what is there stays, each file is whole, and a table says which clip is what."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..._util.files import check_folder, check_free, check_outputs, check_writable, write_text
from ...errors import TALError, UsageError, VideoError, VideoFault, require
from ...outputs.render.video_writer import ENDINGS
from .copying import copy
from .found import Clip
from .pictures import Pictures

#: The table of a folder's clips.
INDEX = "clips.csv"
_COLUMNS = ("clip", "video", "start", "end", "label", "score", "subject", "first_picture", "last_picture")


@dataclass(frozen=True, kw_only=True)
class ClipOptions:
    """How clips are cut.

    pad: seconds before and after each. exact: encode them anew, from their first picture to their last; else they are
    copied as they are stored, from the key frame before them on. ending: of the files. overwrite: replace those that
    are there. sheet, supercut: files of one picture each, and of all of them.
    """

    pad: float = 0.0
    exact: bool = False
    ending: str = ".mp4"
    overwrite: bool = False
    sheet: Path | None = None
    supercut: Path | None = None

    def __post_init__(self) -> None:
        require(0 <= self.pad < float("inf"), "pad", self.pad, "0 or more seconds")
        require(self.ending in ENDINGS, "ending", self.ending, f"one of {', '.join(ENDINGS)}")


@dataclass
class Cut:
    """What became of clips: files that were written, clips that could not be, and why."""

    written: dict[Clip, Path] = field(default_factory=dict)
    failed: dict[Clip, TALError] = field(default_factory=dict)


def cut_clips(
    clips: Sequence[Clip],
    folder: Path,
    options: ClipOptions | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Cut:
    """Cut clips into a folder, with the table `INDEX`; a clip that fails does not stop the others.

    Args:
        clips: see `found.clips_of`.
        folder: made if it is not there.
        options: see `ClipOptions`.
        progress: called with clips done, of how many, and the last one's name.

    Raises:
        UsageError: a file is there already, or cannot be written; a video behind an address is to be copied.
        SinkError: a file cannot be written, once the others were.
    """
    o = options or ClipOptions()
    targets = {clip: folder / f"{clip.name}{o.ending}" for clip in clips}
    _check(targets, folder, o)
    done, shown = Cut(), dict[Clip, tuple[float, float]]()
    for video in dict.fromkeys(c.video for c in clips):
        of = {clip: target for clip, target in targets.items() if clip.video == video}
        shown |= _exact(video, of, o, done) if o.exact else _copied(of, o, done)
        if progress is not None:
            progress(len(shown) + len(done.failed), len(clips), video)
    done.written = {clip: targets[clip] for clip in shown}
    write_text(folder / INDEX, _index(done.written, shown))
    kept = list(done.written)
    if kept and o.sheet is not None:
        Pictures().sheet(o.sheet, kept)
    if kept and o.supercut is not None:
        Pictures(o.pad).supercut(o.supercut, kept)
    return done


def _check(targets: dict[Clip, Path], folder: Path, o: ClipOptions) -> None:
    """Refuse before anything is cut."""
    if not o.exact:
        for clip in targets:
            if "://" in clip.video:
                raise UsageError(f"{clip.video}: clips of addresses are encoded anew: give --exact")
    outputs: dict[str, str | Path | None] = {f"the clip {t}": t for t in targets.values()}
    outputs |= {f"the table {folder / INDEX}": folder / INDEX, f"--sheet {o.sheet}": o.sheet}
    outputs[f"--supercut {o.supercut}"] = o.supercut
    check_outputs(outputs, [clip.video for clip in targets])
    check_folder(folder, "the folder of the clips")
    for path in outputs.values():
        if path is not None:
            check_free(path, overwrite=o.overwrite)
            check_writable(Path(path), "a file of the clips")


def _exact(video: str, targets: dict[Clip, Path], o: ClipOptions, done: Cut) -> dict[Clip, tuple[float, float]]:
    try:
        shown = Pictures(o.pad).encode(video, targets)
    except TALError as e:
        done.failed |= dict.fromkeys(targets, e)
        return {}
    done.failed |= {
        c: VideoError(VideoFault.NO_FRAMES, f"{video}: has no pictures from {c.start:.2f} s on")
        for c in targets
        if c not in shown
    }
    return shown


def _copied(targets: dict[Clip, Path], o: ClipOptions, done: Cut) -> dict[Clip, tuple[float, float]]:
    shown = {}
    for clip, target in targets.items():
        try:
            shown[clip] = copy(clip.video, target, max(clip.start - o.pad, 0.0), clip.end + o.pad)
        except TALError as e:
            done.failed[clip] = e
    return shown


def _index(written: dict[Clip, Path], shown: dict[Clip, tuple[float, float]]) -> str:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for c, path in written.items():
        times = (f"{seconds:.3f}" for seconds in shown[c])
        subject = "" if c.subject is None else c.subject
        rows.writerow(
            [path.name, c.video, f"{c.start:.3f}", f"{c.end:.3f}", c.label, f"{c.score:.4f}", subject, *times]
        )
    return out.getvalue()
