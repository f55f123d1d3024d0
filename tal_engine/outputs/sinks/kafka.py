"""Final events as Kafka records. Knows one topic; the queue, retries and dead letters are `delivery`'s.

The record's key is the event's source, so that events of a stream stay in order; the id stands in the header ``id``.
The producer is idempotent and an event counts as delivered when all in-sync replicas have it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ..._util.extras import need
from ..._util.redaction import redact_address
from ...errors import UsageError, require
from ...events import Event
from .delivery import PermanentError, RetryableError


class Produce:
    """Produces events to one topic.

    Args:
        url: kafka://HOST:PORT[,HOST:PORT...]/TOPIC.
        timeout_s: for the brokers' acknowledgement; after it the producer has given the record up.
        settings: more settings of librdkafka (``security.protocol``, ``sasl.username`` ...).

    Raises:
        UsageError: not such a URL, or a setting that librdkafka does not know.
        MissingExtraError: confluent-kafka is not installed.
    """

    def __init__(self, url: str, timeout_s: float = 10.0, settings: dict[str, Any] | None = None) -> None:
        require(0 < timeout_s < float("inf"), "timeout_s", timeout_s, "positive")
        servers, self._topic = _parts(url)
        self.shown, self._timeout_s = f"kafka://{servers}/{self._topic}", timeout_s
        library = need("confluent_kafka")
        self._error = library.KafkaException
        given = {
            "bootstrap.servers": servers,
            "enable.idempotence": True,
            "message.timeout.ms": int(timeout_s * 1000),
            "linger.ms": 0,
            **(settings or {}),
        }
        try:
            self._producer: Any = library.Producer(given)
        except (library.KafkaException, ValueError, TypeError) as e:
            raise UsageError(f"{self.shown}: {e}") from e

    def __call__(self, event: Event) -> None:
        """Produce one event and wait until the brokers have it.

        Raises:
            RetryableError, PermanentError: they have not.
        """
        answers: list[Any] = []
        try:
            self._producer.produce(
                self._topic,
                key=event.source.encode(),
                value=event.to_json().encode(),
                headers=[("id", event.id.encode())],
                on_delivery=lambda error, _message: answers.append(error),
            )
            self._producer.flush(self._timeout_s + 1.0)
        except (BufferError, self._error) as e:
            raise RetryableError(f"{self.shown}: {e}") from e
        if not answers:
            raise RetryableError(f"{self.shown}: no acknowledgement within {self._timeout_s:g} s")
        error = answers[0]
        if error is None:
            return
        if error.retriable() or error.code() in _LATER:
            raise RetryableError(f"{self.shown}: {error.str()}")
        raise PermanentError(f"{self.shown}: {error.str()}")

    def close(self) -> None:
        """Give up what is under way."""
        self._producer.purge()
        self._producer.flush(0.5)


#: librdkafka's own codes for a record that timed out: _MSG_TIMED_OUT, _TIMED_OUT, _TRANSPORT, _ALL_BROKERS_DOWN.
_LATER = frozenset([-192, -185, -195, -187])


def _parts(url: str) -> tuple[str, str]:
    """Split a URL into servers and topic."""
    parts = urlsplit(url)
    topic = parts.path[1:]
    plain = topic.isascii() and all(c.isalnum() or c in "._-" for c in topic)
    if parts.scheme != "kafka" or not parts.netloc or "@" in parts.netloc or not topic or not plain:
        raise UsageError(
            f"{redact_address(url)!r} must be kafka://HOST:PORT/TOPIC, the topic of letters, digits, '.', '_' and '-'"
        )
    return parts.netloc, topic
