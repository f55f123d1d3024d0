"""The videos of ``tal localize``, one after another: results go out as they come, and nothing that is done is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..batch.files import Batch, FormName, batch_of, is_kept, made_by
from ..batch.record import BatchRecord, Done, begun, done, path_of
from ..engine import TALEngine
from ..errors import TALError
from ..inference.given import is_features, is_skeleton
from ..pose.skeleton_options import SkeletonOptions
from ..records import Segment
from ..results import Localization
from .console import errors, stdout
from .localize_talk import complain_of, progress_of, report, table_of
from .localize_targets import Targets

Failed = list[tuple[str | Path, TALError]]
Truth = Callable[[str | Path], list[Segment] | None]


@dataclass(frozen=True)
class Wanted:
    """What the user asked for: form and file of the results, whether to go on, and what decides the segments."""

    form: FormName | None
    output: Path | None
    resume: bool
    min_score: float | None
    top_k: int | None
    raw_scores: bool
    force: bool
    quiet: bool
    people: int = 0
    skeleton: SkeletonOptions | None = None


def run(engine: TALEngine, sources: Mapping[str, str | Path], wanted: Wanted, targets: Targets, truth: Truth) -> Failed:
    """Localize sources by name, and write their results.

    Returns:
        The sources that could not be used.
    """
    record = _record(wanted, len(sources))
    options: dict[str, Any] = {
        "min_score": wanted.min_score, "top_k": wanted.top_k, "calibrated": not wanted.raw_scores, "force": wanted.force
    }  # fmt: skip
    options |= {"people": wanted.people} if wanted.people else {}
    options |= {"skeleton": asdict(wanted.skeleton)} if wanted.skeleton is not None else {}
    made = made_by(engine.plan.sha256, options)
    kept = _kept(record, sources, made, targets, wanted) if wanted.resume and record is not None else {}
    vocabulary = engine.plan.vocabulary
    earlier = {name: one.result(vocabulary) for name, one in kept.items()}
    batch = batch_of(wanted.form, wanted.output, list(sources), earlier)
    work = _Work(engine, wanted, targets, truth, batch, record, made, written=len(earlier))
    if record is not None:
        record.begin({one.path: one for one in kept.values()})
    try:
        for name, source in sources.items():
            if name not in earlier:
                work.one(name, source)
    except BaseException:
        work.end_early(len(sources))
        raise
    work.end()
    return work.failed


def _record(wanted: Wanted, count: int) -> BatchRecord | None:
    """Open the record of a batch; a single video that is localized once needs none."""
    output = wanted.output
    if output is None or not is_kept(output) or (count < 2 and not wanted.resume):
        return None
    return BatchRecord(output)


def _kept(
    record: BatchRecord, sources: Mapping[str, str | Path], made: Mapping[str, object], targets: Targets, wanted: Wanted
) -> dict[str, Done]:
    """Select the sources whose results still hold."""
    known = record.read()
    kept = {}
    for name, source in sources.items():
        one = known.get(path_of(source))
        if one is not None and targets.there(source) and one.unchanged(made):
            kept[name] = one
    if not wanted.quiet:
        why = "" if record.path.exists() else f": there is no {record.path.name} of an earlier run"
        errors.print(f"{len(kept)} of {len(sources)} videos are there already and unchanged{why}")
    return kept


@dataclass
class _Work:
    """The batch as it goes on. written: results that `batch` has, those of an earlier run included."""

    engine: TALEngine
    wanted: Wanted
    targets: Targets
    truth: Truth
    batch: Batch
    record: BatchRecord | None
    made: Mapping[str, object]
    written: int

    def __post_init__(self) -> None:
        self.failed: Failed = []

    def one(self, name: str, source: str | Path) -> None:
        """Localize a source; an error of it is noted, and the next one goes on."""
        w = self.wanted
        before = begun(source)
        try:
            with progress_of(source, w.quiet) as progress:
                result = self.engine.localize(
                    source, min_score=w.min_score, top_k=w.top_k, calibrated=not w.raw_scores, force=w.force,
                    progress=progress, people=w.people, keep_people=source in self.targets.videos,
                    skeleton=w.skeleton if is_features(source) and is_skeleton(str(source)) else None,
                )  # fmt: skip
        except TALError as e:
            self.failed.append((source, e))
            complain_of(source, e)
            return
        if not w.quiet:
            report(result)
        true = self.truth(source)
        if self._shown(true):
            stdout().print(table_of(result, true))
        self._keep(name, source, before, result)
        self.targets.write(source, result, true, result.people)

    def _shown(self, true: list[Segment] | None) -> bool:
        """Say whether a table is printed: where nothing else is written, or where truth is to stand beside."""
        if self.wanted.output is None:
            return self.wanted.form is None
        return true is not None and not self.wanted.quiet

    def _keep(self, name: str, source: str | Path, before: tuple[int, int] | None, result: Localization) -> None:
        self.batch.add(name, result)
        self.written += 1
        if self.record is not None and (one := done(source, before, self.made, result)) is not None:
            self.record.add(one)

    def end(self) -> None:
        """Write what is left. Where every video failed, an earlier file stays as it is."""
        if self.written or not self.failed:
            self.batch.close()
        if self.record is not None:
            self.record.close(keep=self.wanted.resume or (bool(self.failed) and self.written > 0))

    def end_early(self, count: int) -> None:
        """Write what is there, after Ctrl-C or an error that ends all, and say how to go on."""
        with suppress(OSError, TALError):
            if self.written:
                self.batch.close()
            if self.record is not None:
                self.record.close(keep=self.written > 0)
        if self.wanted.output is not None:
            on = "; go on with --resume" if self.record is not None and self.written else ""
            errors.print(f"{self.written} of {count} written to {self.wanted.output}{on}")
