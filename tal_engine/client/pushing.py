"""Frames pushed over a WebSocket, without the socket: what is sent, what answers mean, how much is on its way."""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, ServiceError, UsageError, require
from ..events import Event
from .calls import ServedEvent

log = logging.getLogger("tal_engine")

_TIME = struct.Struct("<d")
_FORMATS = ("jpeg", "rgb24")
#: Largest message of the service.
MESSAGE_BYTES = 1 << 20


class Pushing:
    """One stream of frames.

    Args:
        base: address of the service, http or https.
        name: of the stream.
        format: "jpeg", or "rgb24", which loses nothing and is larger.
        size: (width, height) of frames in rgb24.
        options: plan, provisional, min_score, top_k, raw_scores.
        quality: of JPEG, 1..100.

    Raises:
        UsageError: a value makes no sense.
    """

    def __init__(
        self,
        base: str,
        name: str,
        format: str,  # noqa: A002 - the service's name
        size: tuple[int, int],
        options: Mapping[str, Any],
        quality: int = 95,
    ) -> None:
        require(format in _FORMATS, "format", format, "'jpeg' or 'rgb24'")
        require(1 <= quality <= 100, "quality", quality, "in 1..100")
        self._name = name
        self._format, self._quality, self._size = format, quality, size
        query = {"name": name, "format": format, **{k: v for k, v in options.items() if v is not None}}
        if format == "rgb24":
            query |= {"width": size[0], "height": size[1]}
        texts = {k: str(v).lower() if isinstance(v, bool) else v for k, v in query.items()}
        self.url = f"ws{base.rstrip('/').removeprefix('http')}/v1/push?{urlencode(texts)}"
        self._window, self._sent, self._taken = 0, 0, 0
        self.done = False

    @property
    def may_send(self) -> bool:
        """Whether another frame may be on its way."""
        return self._sent - self._taken < self._window

    def frame(self, image: NDArray[np.uint8], pts: float) -> bytes:
        """Return the message of a frame.

        Args:
            image: [H, W, 3] uint8 RGB.
            pts: its time, seconds.

        Raises:
            UsageError: it is no such frame, or of another size than was said.
        """
        ok = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        what = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        require(ok, "a frame", what, "[H, W, 3] uint8 RGB")
        self._sent += 1
        if self._format == "rgb24":
            wanted = [self._size[1], self._size[0], 3]
            require(list(image.shape) == wanted, "a frame", what, f"of the size of the first one, {wanted}")
            return _TIME.pack(pts) + image.tobytes()
        good, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self._quality])
        if not good:
            raise UsageError(f"a frame {what} cannot be encoded as JPEG")
        return _TIME.pack(pts) + data.tobytes()

    @property
    def end(self) -> str:
        """The message that ends the stream."""
        return json.dumps({"type": "end"})

    def take(self, message: str | bytes) -> ServedEvent | None:
        """Take a message of the service; return the event in it.

        Raises:
            ServiceError: the service tells of a problem.
        """
        document = json.loads(message)
        kind = document["type"]
        if kind == "ready":
            self._window = document["window"]
        elif kind == "ack":
            self._taken = document["frames"]
        elif kind == "done":
            self.done = True
        elif kind == "refused":
            log.warning("stream %s: %s", self._name, document["problem"]["detail"])
        elif kind == "event":
            try:
                return ServedEvent(document["id"], Event.from_dict(document["event"]))
            except DataError as e:
                raise ServiceError(f"an event cannot be read: {e}") from e
        else:
            problem = document["problem"]
            raise ServiceError(problem["detail"], problem["status"], problem["type"].rpartition("/")[2])
        return None
