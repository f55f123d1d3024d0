"""The `pose` encoder: snippets to poses by two graphs, poses to features by the rules of `pose.features`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend
from ..errors import FeatureError, PlanError, PlanFault
from ..options import SnippetOptions
from ..plan.fields import Graph, PoseEncoder, Tensor
from ..records import Snippets
from .estimator import PoseEstimator
from .features import DIM, STREAM, VERSION, pose_record, snippet_features
from .follow import FollowedPoses, notes_of
from .people import FoundPeople
from .tracking import RULES
from .weights import pose_graphs

#: Members of a plan that find poses.
DETECTOR_MEMBER, LANDMARKS_MEMBER = "pose_detector.onnx", "pose_landmarks.onnx"


def pose_encoder(variant: str = "lite") -> tuple[PoseEncoder, dict[str, bytes]]:
    """Return the record of the encoder for plans, and its members.

    Args:
        variant: of the landmark network, "lite" or "full".

    Raises:
        UsageError: another variant.

    >>> from tal_engine.pose.encoder import pose_encoder
    >>> record, members = pose_encoder("lite")
    >>> record.stream, record.dim, sorted(members)
    ('pose', 242, ['pose_detector.onnx', 'pose_landmarks.onnx'])
    """
    detector, landmarks = pose_graphs(variant)
    digest = hashlib.sha256(detector + landmarks).hexdigest()[:12]
    record = pose_record()
    spec = PoseEncoder(
        name=record["name"],
        stream=STREAM,
        dim=DIM,
        weights_sha256=record["weights_sha256"],
        poses=f"{variant}, {digest}, {RULES}",
        detector=_graph(DETECTOR_MEMBER, 224, {"boxes": [2254, 12], "scores": [2254, 1]}),
        landmarks=_graph(
            LANDMARKS_MEMBER, 256, {"landmarks": [195], "presence": [1], "heatmap": [64, 64, 39], "world": [117]}
        ),
        preprocess={"features": VERSION},
    )
    return spec, {DETECTOR_MEMBER: detector, LANDMARKS_MEMBER: landmarks}


def _graph(member: str, side: int, outputs: dict[str, list[int]]) -> Graph:
    def tensor(name: str, dtype: str, sizes: list[int]) -> Tensor:
        return Tensor.model_validate({"name": name, "dtype": dtype, "shape": ["N", *sizes]})

    gives = [tensor(name, "float32", sizes) for name, sizes in outputs.items()]
    return Graph(member=member, inputs=[tensor("pictures", "uint8", [side, side, 3])], outputs=gives)


@dataclass(frozen=True)
class PoseFeatures:
    """The encoder, its graphs loaded; safe to share between threads, as each video is followed by itself."""

    spec: PoseEncoder
    estimator: PoseEstimator
    options: SnippetOptions

    @classmethod
    def opened(cls, spec: PoseEncoder, options: SnippetOptions, load: Callable[[Graph], Backend]) -> PoseFeatures:
        """Load the graphs.

        Args:
            spec: of a plan.
            options: of its snippets.
            load: opens a graph.

        Raises:
            PlanError: the plan's features follow rules that this version does not have.
        """
        wanted = pose_record()
        for field, value in (("weights_sha256", spec.weights_sha256), ("dim", spec.dim)):
            if value != wanted[field]:
                raise PlanError(
                    PlanFault.BAD_VALUE,
                    f"encoder {spec.name}: its {field} is {value!r}, the {VERSION} of this version have "
                    f"{wanted[field]!r}: use the version of tal-engine that made the plan, or train it anew",
                )
        return cls(spec, PoseEstimator(load(spec.detector), load(spec.landmarks)), options)

    def __call__(self, snippets: Snippets) -> NDArray[np.float32]:
        """Compute features [N, dim] of snippets with poses.

        Raises:
            FeatureError: they have none.
        """
        if snippets.pose is None:
            raise FeatureError(f"encoder {self.spec.name} reads poses, the snippets have none")
        return snippet_features(snippets.pose[..., :3], snippets.pose[..., 3], self.options.fps)

    def of_video(
        self, snippets: Iterable[Snippets], warnings: list[str], found: FoundPeople | None = None
    ) -> Iterator[Snippets]:
        """Add poses to the snippets of one video, in order; say at its end what they are not to be trusted for.

        Args:
            snippets: of the whole video.
            warnings: get what is to be said.
            found: gets everybody who is found; see `FollowedPoses`.

        Raises:
            BackendError: a graph failed.
        """
        followed = FollowedPoses(self.options, found=found)
        for batch in snippets:
            yield self._posed(batch, [(followed, batch.first + i) for i in range(len(batch.frames))])
        if followed.counts.pictures:
            warnings += notes_of(followed.counts, self.spec.name, 1 if found is None else found.most)

    def posed(self, batch: Snippets) -> Snippets:
        """Add poses to snippets of live streams, each followed by its stream; others are followed from here on.

        Raises:
            BackendError: a graph failed.
        """
        if batch.followed:
            return self._posed(batch, list(batch.followed))
        followed = FollowedPoses(self.options)
        return self._posed(batch, [(followed, batch.first + i) for i in range(len(batch.frames))])

    def _posed(self, batch: Snippets, rows: list[tuple[FollowedPoses, int]]) -> Snippets:
        found = [f(self.estimator, frames, n) for frames, (f, n) in zip(batch.frames, rows, strict=True)]
        return replace(batch, pose=np.stack(found))
