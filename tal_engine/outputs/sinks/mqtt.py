"""Final events as MQTT messages. Knows one broker; the queue, retries and dead letters are `delivery`'s.

An event is published with quality of service 1 and counts as delivered when the broker has acknowledged it. A
subscriber may get one twice, with the same id.
"""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import unquote, urlsplit

from ..._util.extras import need
from ..._util.redaction import redact_address
from ...errors import UsageError, require
from ...events import Event
from .delivery import RetryableError

#: How long closing waits for paho, seconds.
_CLOSE_S = 2.0


class Publish:
    """Publishes events to one topic; connects in the background, again and again.

    Args:
        url: mqtt://[USER:PASSWORD@]HOST[:PORT]/TOPIC, or mqtts:// for TLS.
        timeout_s: for the broker's acknowledgement.
        below: what is put behind the topic for events.
        will: topic and message that the broker keeps when the connection is lost.

    last_word: topic and message that the broker keeps from the end on.

    Raises:
        UsageError: not such a URL.
        MissingExtraError: paho-mqtt is not installed.
    """

    def __init__(
        self, url: str, timeout_s: float = 10.0, *, below: str = "", will: tuple[str, str] | None = None
    ) -> None:
        require(0 < timeout_s < float("inf"), "timeout_s", timeout_s, "positive")
        parts = _parts(url)
        self._topic, self._timeout_s = unquote(parts.path[1:]) + below, timeout_s
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        self.shown = f"{parts.scheme}://{parts.hostname}:{port}/{self._topic}"
        client = need("paho.mqtt.client")
        self._client: Any = client.Client(client.CallbackAPIVersion.VERSION2)
        self._client.max_queued_messages_set(1)
        if parts.username:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or "") or None)
        if parts.scheme == "mqtts":
            self._client.tls_set()
        if will is not None:
            self._client.will_set(*will, qos=1, retain=True)
        self._kept: dict[str, str] = {}
        self._keeping = threading.Lock()
        self.last_word: tuple[str, str] | None = None
        self._refusal = ""
        self._client.on_connect = self._connected
        self._client.reconnect_delay_set(1, 30)
        self._underway: tuple[str, Any] | None = None
        self._client.connect_async(parts.hostname, port)
        self._client.loop_start()

    def __call__(self, event: Event) -> None:
        """Publish one event and wait until the broker has it.

        Raises:
            RetryableError: not connected, or no acknowledgement in time.
        """
        if self._underway is None or self._underway[0] != event.id:
            if not self._client.is_connected():
                raise RetryableError(f"{self.shown}: not connected{self._refusal}")
            message = self._client.publish(self._topic, event.to_json(), qos=1)
            if message.rc != 0:
                raise RetryableError(f"{self.shown}: not published (MQTT error {message.rc})")
            self._underway = event.id, message
        message = self._underway[1]  # paho sends it again by itself after a reconnection: never publish it twice
        try:
            message.wait_for_publish(self._timeout_s)
        except (ValueError, RuntimeError) as e:
            self._underway = None
            raise RetryableError(f"{self.shown}: {e}") from e
        if not message.is_published():
            raise RetryableError(f"{self.shown}: no acknowledgement within {self._timeout_s:g} s")
        self._underway = None

    def keep(self, topic: str, message: str) -> None:
        """Let the broker keep a message; again after each connection, so that none has to wait here.

        Args:
            topic: whole.
            message: replaces what the broker keeps there.
        """
        with self._keeping:  # messages of one topic keep their order
            if self._kept.get(topic) != message:
                self._kept[topic] = message
                if self._client.is_connected():
                    self._client.publish(topic, message, retain=True)

    def close(self) -> None:
        """Disconnect; returns after `_CLOSE_S` even where paho's thread, a daemon, still waits for the network."""
        if self.last_word is not None:
            self.keep(*self.last_word)
        self._client.disconnect()
        stop = threading.Thread(target=self._client.loop_stop, name="tal-mqtt-close", daemon=True)
        stop.start()
        stop.join(_CLOSE_S)

    def _connected(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._refusal = f" ({reason})" if reason.is_failure else ""
        if not reason.is_failure:
            with self._keeping:
                for topic, message in self._kept.items():
                    self._client.publish(topic, message, retain=True)


def topic_of(url: str) -> str:
    """Return the topic in a URL.

    Raises:
        UsageError: not such a URL.
    """
    return unquote(_parts(url).path[1:])


def _parts(url: str) -> Any:
    try:
        parts = urlsplit(url)
        topic = unquote(parts.path[1:])
        good = parts.scheme in ("mqtt", "mqtts") and bool(parts.hostname) and parts.port != 0
        good = good and bool(topic) and not set(topic) & set("+#\0") and not (parts.query or parts.fragment)
    except ValueError:
        good = False
    if not good:
        raise UsageError(
            f"{redact_address(url)!r} must be mqtt://HOST:PORT/TOPIC or mqtts://..., the topic without + and #"
        )
    return parts
