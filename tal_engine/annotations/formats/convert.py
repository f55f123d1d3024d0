"""Read any annotation format, write any other, and say line by line what the target could not hold."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

from ..._util.files import check_outputs
from ..._util.names import without_ending
from ..._util.untrusted import TEXT_LIMIT, first_text, guarded
from ...errors import DataError, TALError, UsageError
from . import registry
from .checks import check_rows, largest_shift, lose_names
from .format import Context, Format, choices, without
from .staging import called, put_in_place
from .table import AnnotationTable, joined


@dataclass(frozen=True)
class Report:
    """What a conversion did.

    Attributes:
        rows: annotations that were read. written: that are in the target.
        source, target: names of the formats.
        losses: what the target does not hold, a sentence each, with its count before it.
        notes: what the reader left out or assumed.
        largest_shift_s: seconds by which a start or end moved, as reading the target again shows; None where it was
            not read again.
    """

    rows: int
    written: int
    source: str
    target: str
    losses: tuple[str, ...]
    notes: tuple[str, ...]
    largest_shift_s: float | None


def read(
    path: str | Path,
    form: str | None = None,
    *,
    fps: float | None = None,
    video: str | Path | None = None,
    name: str | None = None,
) -> AnnotationTable:
    """Read annotations of any known format.

    Args:
        path: a file, or a folder whose files of one format are read together.
        form: name of the format; default: told by the file's ending and its first bytes.
        fps: frames a second, for files that count frames and do not say their rate.
        video: the annotated video, or the folder of all of them: the times of its frames are used instead, also where
            they are not evenly spaced.
        name: of the video, where the file does not say it; default: the file's name without its ending.

    Raises:
        DataError: missing, of no known format, or malformed; all that is wrong is named in one error.
        UsageError: an unknown format; frames without a rate, or with fps and video; one video file for several videos.

    Example:
        >>> read("labels.eaf").labels  # doctest: +SKIP
        ('groom', 'rear')
    """
    context = Context(fps=fps, video=video, name=name)
    table = _read(Path(path), form, context)[0]
    return replace(table, notes=(*table.notes, *losses_of(context), *context.assumed))


def _read(path: Path, form: str | None, context: Context) -> tuple[AnnotationTable, Format]:
    if path.is_file() and path.suffix.lower() == ".zip":
        with TemporaryDirectory() as folder:
            return _read(_unpacked(path, Path(folder)), form, context)
    chosen = registry.named(form) if form else recognised(path)
    if chosen.read is None:
        raise UsageError(f"{chosen.title} is written only; formats that are read: {choices(registry.readable())}")
    if path.is_dir() and chosen.one_video:
        files = [p for p in sorted(path.iterdir()) if p.name.lower().endswith(chosen.suffixes)]
        if not files:
            raise DataError(f"{path}: no files that end in {' or '.join(chosen.suffixes)}")
        if len(files) > 1 and context.video is not None and not Path(context.video).is_dir():
            raise UsageError(
                f"{context.video} cannot be the video of {len(files)} files in {path}: name the folder of all videos"
            )
        return joined([chosen.read(p, Context(context.fps, context.video)) for p in files]), chosen
    return chosen.read(path, context), chosen


def _unpacked(path: Path, folder: Path) -> Path:
    """Extract the annotation file of an export in a zip.

    Raises:
        DataError: there is none or several, or it is too large.
    """
    with guarded(path, "zip file"), zipfile.ZipFile(path) as file:
        endings = tuple(e for f in registry.readable() for e in f.suffixes)
        inside = [m for m in file.infolist() if m.filename.lower().endswith(endings)]
        if len(inside) != 1:
            names = ", ".join(m.filename for m in inside[:5]) or "no annotation file"
            raise DataError(f"{path}: {names} in it, must be one: unpack it and name the file")
        with file.open(inside[0]) as member:
            data = member.read(TEXT_LIMIT + 1)
        if len(data) > TEXT_LIMIT:
            raise DataError(f"{path}: {inside[0].filename} has more than {TEXT_LIMIT} bytes")
    target = folder / PurePath(inside[0].filename).name
    target.write_bytes(data)
    return target


def tool_of(path: Path) -> Format | None:
    """Return the format of a file if it is certainly one tool's: by its first bytes, or an ending of its own."""
    lower = path.name.lower()
    known = [f for f in registry.readable() if lower.endswith(f.suffixes)]
    if not any(f.recognise for f in known):
        return known[0] if len(known) == 1 else None
    head = first_text(path)
    return next((f for f in known if f.recognise is not None and f.recognise(head)), None)


def recognised(path: Path) -> Format:
    """Recognise the format of a file or folder, by its ending and its first bytes.

    Raises:
        DataError: missing, or of no known format.
    """
    if not path.exists():
        raise DataError(f"{path}: no such annotation file").missing(path)
    lower = path.name.lower()
    if path.is_dir():
        inside = {p.name.lower() for p in path.iterdir()}
        known = [f for f in registry.readable() if f.one_video and any(n.endswith(f.suffixes) for n in inside)]
    else:
        known = [f for f in registry.readable() if lower.endswith(f.suffixes)]
        told = tool_of(path)
        known = [told] if told is not None else [f for f in known if f.recognise is None]
    if len(known) != 1:
        found = f"could be {choices(known)}" if known else "of no known format"
        raise DataError(f"{path}: {found}; say which with --from: {choices(registry.readable())}")
    return known[0]


def write(
    table: AnnotationTable,
    path: str | Path,
    form: str | None = None,
    *,
    fps: float | None = None,
    video: str | Path | None = None,
) -> tuple[str, ...]:
    """Write annotations in a format; the whole file or new folder, or nothing.

    Args:
        table: what to write.
        path: the file; a folder where the format holds one video a file and there are several.
        form: name of the format; default: by the path's ending.
        fps: as in `read`.
        video: as in `read`.

    Returns:
        What the format could not hold, a sentence each, with its count before it; then what was assumed of its clock.

    Raises:
        UsageError: an unknown format, one that is read only, frames without a rate, several videos for one file.
    """
    context = Context(fps=fps, video=video)
    _write(table, Path(path), registry.for_writing(Path(path), form), context)
    return (*losses_of(context), *context.assumed)


def _write(table: AnnotationTable, path: Path, form: Format, context: Context) -> None:
    if form.write is None:
        raise UsageError(f"{form.title} is read only; formats that are written: {choices(registry.writable())}")
    kept = without(table, form, context)
    named = path.name.lower().endswith(form.suffixes) and not path.is_dir()
    if not form.one_video or (named and len(kept.videos) <= 1):
        form.write(kept, path, context)
        return
    if named:
        raise UsageError(
            f"{path}: {form.title} holds one video a file and there are {len(kept.videos)}: name a folder instead"
        )
    fresh = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    try:
        for name, file in _files(kept.videos, path, form).items():
            form.write(kept.of_video(name), file, context)
    except BaseException:
        if fresh:
            shutil.rmtree(path)
        raise


def _files(videos: tuple[str, ...], folder: Path, form: Format) -> dict[str, Path]:
    """Name a file for each video.

    Raises:
        UsageError: two videos would have one file.
    """
    files: dict[Path, str] = {}
    for name in videos:
        file = folder / f"{without_ending(name).replace('/', '__')}{form.suffixes[0]}"
        if file in files:
            raise UsageError(f"videos {files[file]!r} and {name!r} would both be written to {file}")
        files[file] = name
    return {name: file for file, name in files.items()}


def losses_of(context: Context) -> tuple[str, ...]:
    """List what got lost, the most frequent first."""
    return tuple(f"{count} x {what}" for what, count in context.losses.most_common())


def convert(
    path: str | Path,
    output: str | Path,
    *,
    source: str | None = None,
    target: str | None = None,
    fps: float | None = None,
    video: str | Path | None = None,
) -> Report:
    """Read a file of any format and write it as another.

    The target is read again, if its format allows that, to report by how much times moved; it is put in place only
    then, so that a file that was there stays whole after any error.

    Args:
        path: the file or folder to read.
        output: the file or folder to write.
        source: name of the format to read; default: recognised from the file.
        target: name of the format to write; default: by the ending of `output`.
        fps: as in `read`.
        video: as in `read`.

    Raises:
        DataError, UsageError: as `read` and `write`, or the output is the input; nothing is written then.
    """
    check_outputs({"--output": output}, [path])
    reading, writing = Context(fps=fps, video=video), Context(fps=fps, video=video)
    chosen = registry.for_writing(Path(output), target)
    table, found = _read(Path(path), source, reading)
    check_rows(table, path)
    with TemporaryDirectory(prefix="tal-") as folder:
        staged = Path(folder) / Path(output).name
        with called(staged, Path(output)):
            _write(table, staged, chosen, writing)
        shift = None
        if chosen.read is not None and len(table) > writing.dropped:
            again = _read_again(staged, Path(output), chosen, Context(fps=fps, video=video))
            shift = largest_shift(table, again)
            lose_names(table, again, writing)
        put_in_place(staged, Path(output))
    return Report(
        len(table),
        len(table) - writing.dropped,
        found.name,
        chosen.name,
        losses_of(writing),
        (*table.notes, *losses_of(reading), *(reading.assumed | writing.assumed)),
        shift,
    )


def _read_again(staged: Path, output: Path, form: Format, context: Context) -> AnnotationTable:
    """Read what is to become the output.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return _read(staged, form.name, context)[0]
    except TALError as e:
        why = str(e).replace(str(staged), "it")
        raise DataError(f"{output}: not written, since {form.title} cannot hold these annotations ({why})") from e
