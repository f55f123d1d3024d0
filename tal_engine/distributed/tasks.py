"""A function of many things on a Ray cluster: training runs of a fit, streams of an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ..errors import TALError
from .cluster import RayOptions, ended, joined

S = TypeVar("S")
X = TypeVar("X")
Y = TypeVar("Y")

#: Times that Ray does a task again whose node or process died.
_RETRIES = 3


def mapped(
    function: Callable[[S, X], Y],
    shared: S,
    items: Sequence[X],
    cluster: RayOptions,
    progress: Callable[[int, int], None] | None = None,
) -> list[Y]:
    """Call ``function(shared, item)`` for each item, each a task of a core (and the GPUs that the options name).

    A task whose process or node dies is done again elsewhere, up to three times. If one fails, the others are ended.

    Args:
        function: of a module, since it is pickled; what it is given and gives back is, too.
        shared: what all of them read; it travels to each node once.
        items: of the calls.
        cluster: where Ray is, and the GPUs of a task.
        progress: called with (tasks done, all) as they end.

    Returns:
        Results in the order of `items`.

    Raises:
        MissingExtraError, UsageError: Ray is not installed, or no cluster answers.
        TALError: what the function raised first, as it was raised.
        BackendError: Ray ended the run: a task died too often, or raised what is no error of this package.
    """
    with joined(cluster.address) as ray:
        gpus = {"num_gpus": cluster.gpus} if cluster.gpus else {}
        task = ray.remote(num_cpus=1, max_retries=_RETRIES, **gpus)(function)
        held = ray.put(shared)
        waiting = [task.remote(held, item) for item in items]
        order = {ref: i for i, ref in enumerate(waiting)}
        found: dict[int, Y] = {}
        try:
            while waiting:
                (ready, *_), waiting = ray.wait(waiting)
                found[order[ready]] = ray.get(ready)
                if progress is not None:
                    progress(len(found), len(items))
        except ray.exceptions.RayError as e:
            cause = getattr(e, "cause", None)
            if isinstance(cause, TALError):
                raise cause from None
            raise ended(e) from e
        finally:
            for ref in waiting:
                ray.cancel(ref, force=True)
    return [found[i] for i in range(len(items))]
