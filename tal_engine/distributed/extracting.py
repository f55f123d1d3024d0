"""Feature files of many videos by a Ray cluster, into a folder that all of its nodes see."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .._util.extras import need
from ..errors import TALError
from ..inference.extraction import Extractor, Outcome, Progress, Work, feature_files
from .cluster import RayOptions, ended, joined, quiet_data
from .localizing import dataset


class ExtractBatch:
    """Writes the feature files of a batch of videos; a callable class for ``map_batches(batch_format="pyarrow")``.

    Reads the columns ``video`` and ``target``, paths that every node sees, and adds ``outcome``: a pickled
    `inference.extraction.Outcome` of that video.

    Args:
        make: makes the extractor; called once in each actor.
        overwrite: make files anew that are there.
    """

    def __init__(self, make: Callable[[], Extractor], overwrite: bool = False) -> None:
        self._extractor, self._overwrite = make(), overwrite

    def __call__(self, table: Any) -> Any:
        """Extract each video of a table."""
        pa = need("pyarrow")
        found = [self._one(Path(row["video"]), Path(row["target"])) for row in table.to_pylist()]
        return table.append_column("outcome", pa.array([pickle.dumps(outcome) for outcome in found], pa.binary()))

    def _one(self, video: Path, target: Path) -> Outcome:
        work = Work({video: target}, self._extractor, self._overwrite, None)
        found = work.outcome
        try:
            seconds = work.one(video)
        except TALError as e:
            found.failed[video] = e
            return found
        (found.kept if seconds is None else found.made).append(video)
        found.seconds |= seconds or {}
        return found


def extract_on_ray(
    videos: Sequence[Path],
    output: Path,
    make: Callable[[], Extractor],
    *,
    cluster: RayOptions | None = None,
    workers: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Write ``OUTPUT/NAME.npz`` of each video by a Ray cluster; see `inference.extraction.extract_all`.

    Args:
        videos: paths that every node sees, as it sees the output.
        output: folder.
        make: makes the extractor in each actor, so it is pickled: a function of a module, or a ``partial`` of one.
        cluster: where Ray is, and the GPUs of an actor.
        workers: actors; 0: as many as the cluster has room for.
        overwrite: make files anew that are there.
        progress: see `extract_all`.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: no cluster answers, two videos cannot be told apart, or one file would be an input.
        BackendError: Ray ended the run: an actor could not be made, or died twice over one video. What was made stays.
    """
    where, whole = cluster or RayOptions(), Outcome()
    absolute = {video.absolute(): video for video in videos}
    targets = feature_files(list(absolute), output.absolute())
    rows = [{"video": str(video), "target": str(target)} for video, target in targets.items()]
    with joined(where.address) as ray, quiet_data():
        most = workers or None
        begin = min(most or max(int(ray.cluster_resources().get("CPU", 1)), 1), len(rows))
        pool = need("ray.data").ActorPoolStrategy(min_size=1, max_size=most, initial_size=begin)
        gpus = {"num_gpus": where.gpus} if where.gpus else {}
        made = dataset(rows, 1).map_batches(
            ExtractBatch, fn_constructor_args=(make, overwrite), batch_size=1, batch_format="pyarrow", compute=pool,
            num_cpus=1, max_restarts=-1, max_task_retries=1, **gpus,
        )  # fmt: skip
        try:
            for table in made.iter_batches(batch_size=None, batch_format="pyarrow"):
                for row in table.to_pylist():
                    one: Outcome = pickle.loads(row["outcome"])  # noqa: S301 - of our own actors
                    _add(whole, one, absolute)
                    if progress is not None:
                        progress(absolute[Path(row["video"])], 1.0)
        except ray.exceptions.RayError as e:
            raise ended(e) from e
    return whole


def _add(whole: Outcome, one: Outcome, names: dict[Path, Path]) -> None:
    """Add what became of a video, by the name that the caller has for it."""
    whole.made += [names[v] for v in one.made]
    whole.kept += [names[v] for v in one.kept]
    whole.failed |= {names[v]: e for v, e in one.failed.items()}
    whole.warnings |= {names[v]: w for v, w in one.warnings.items()}
    for stage, seconds in one.seconds.items():
        whole.seconds[stage] = whole.seconds.get(stage, 0.0) + seconds
