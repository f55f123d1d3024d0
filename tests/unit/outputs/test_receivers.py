"""Receivers of live events that are slow, away or hostile: real local servers, a real broker, librdkafka's own."""

from __future__ import annotations

import json
import logging
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tal_engine.errors import MissingExtraError, SinkError, UsageError
from tal_engine.events import Event
from tal_engine.outputs.sinks.delivery import Delivery, DeliveryOptions, PermanentError, RetryableError
from tal_engine.outputs.sinks.registry import SinkOptions, open_sink
from tal_engine.outputs.sinks.webhook import Post, retry_after_s
from tests.brokers import broker, subscriber
from tests.events import final, provisional
from tests.waiting import LONG_S, nap, no_thread_left, until, within

#: Tries until it works, however slow the machine is.
PATIENT = DeliveryOptions(first_wait_s=0.01, longest_wait_s=0.05, give_up_s=LONG_S, drain_s=LONG_S)
#: Gives up after half a second: for receivers that never work.
SHORT = DeliveryOptions(first_wait_s=0.01, longest_wait_s=0.05, give_up_s=0.5, drain_s=LONG_S)


@contextmanager
def server(answer, tls=None, port=0):
    """A web server; `answer(handler, number)` sends what it likes. Yields (URL, list of (headers, body))."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((dict(self.headers), body))
            answer(self, len(seen))

        def log_message(self, *_):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    httpd.daemon_threads = True
    if tls is not None:
        httpd.socket = tls.wrap_socket(httpd.socket, server_side=True)
    httpd.handle_error = lambda *_: None  # clients that hang up are what these tests are about
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}/hook?x=1", seen
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def webhook(url, dead_letters, options, timeout_s=10.0):
    post = Post(url, timeout_s)
    return Delivery(f"webhook {post.shown}", post, dead_letters, options)


def status(code, headers=None, body=b""):
    def answer(handler, number):
        handler.send_response(code)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def dead(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write_all(sink, events):
    for e in events:
        sink.write(e)


def test_webhook_delivers_in_order(tmp_path):
    events = [final(f"cam/ü {k}", k, k + 1) for k in range(20)]
    with server(status(200, body=b"x" * 300_000)) as (url, seen):
        with webhook(url, tmp_path / "dead.jsonl", PATIENT) as sink:
            write_all(sink, [provisional("p"), *events])
        assert [Event.from_json(body) for _, body in seen] == events
        assert seen[3][0]["Idempotency-Key"] == "cam/%C3%BC%203"
        assert seen[3][0]["Content-Type"] == "application/json"
    assert sink.counts == {"delivered": 20}
    assert not (tmp_path / "dead.jsonl").exists()


def test_webhook_tries_again(tmp_path):
    def moody(handler, number):
        status(500 if number % 3 else 204)(handler, number)

    with server(moody) as (url, seen):
        with webhook(url, tmp_path / "dead.jsonl", PATIENT) as sink:
            write_all(sink, [final(f"e{k}") for k in range(4)])
        keys = [h["Idempotency-Key"] for h, _ in seen]
    assert keys == [f"e{k}" for k in range(4) for _ in range(3)]
    assert sink.counts == {"delivered": 4, "retried": 8}


def test_webhook_that_is_always_broken(tmp_path, caplog):
    with server(status(500)) as (url, seen), caplog.at_level(logging.WARNING):
        with webhook(url, tmp_path / "dead.jsonl", SHORT) as sink:
            write_all(sink, [final("a"), final("b")])
        assert len(seen) >= 2
    letters = dead(tmp_path / "dead.jsonl")
    assert [(d["event"]["id"], d["schema"]) for d in letters] == [
        ("a", "tal.dead-letter/1"),
        ("b", "tal.dead-letter/1"),
    ]
    assert "given up after" in letters[0]["reason"]
    assert "status 500" in letters[0]["reason"]
    assert Event.from_dict(letters[0]["event"]) == final("a")
    assert len(caplog.records) == 2  # each kind once


@pytest.mark.parametrize("code", [301, 307, 400, 401, 404, 410])
def test_webhook_that_refuses(code, tmp_path):
    with server(status(code, {"Location": "http://127.0.0.1:1/"})) as (url, seen):
        with webhook(url, tmp_path / "dead.jsonl", PATIENT) as sink:
            write_all(sink, [final("a")])
        assert len(seen) == 1
    assert f"status {code}" in dead(tmp_path / "dead.jsonl")[0]["reason"]


def test_webhook_waits_as_it_is_told(tmp_path):
    times = []

    def busy(handler, number):
        times.append(time.monotonic())
        status(429 if number == 1 else 200, {"Retry-After": "1"})(handler, number)

    options = DeliveryOptions(first_wait_s=0.001, longest_wait_s=0.002, drain_s=LONG_S)
    with server(busy) as (url, _), webhook(url, tmp_path / "dead.jsonl", options) as sink:
        write_all(sink, [final("a"), final("b")])
    assert len(times) == 3
    assert times[1] - times[0] >= 1.0  # a slow machine waits longer
    assert sink.counts["delivered"] == 2


def test_webhook_that_asks_for_too_long_a_wait_is_left_alone(tmp_path):
    with server(status(503, {"Retry-After": "100"})) as (url, seen):
        with webhook(url, tmp_path / "dead.jsonl", SHORT) as sink:
            write_all(sink, [final("a"), final("b")])
        assert len(seen) == 1  # nor is it asked for the next event
    assert [d["event"]["id"] for d in dead(tmp_path / "dead.jsonl")] == ["a", "b"]


def test_retry_after():
    assert retry_after_s("7") == 7
    for seconds in (60, -60):
        assert retry_after_s(formatdate(1e9 + seconds, usegmt=True), now=lambda: 1e9) == max(seconds, 0)
    assert retry_after_s("9" * 400) == 3600
    for nonsense in ("", "soon", "-3", "1.5", "²", "Wed, 99 Foo"):
        assert retry_after_s(nonsense) == 0


def drip(handler, over):
    """Headers that never end, a byte at a time: no read of the socket ever times out."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not over.is_set():
        handler.wfile.write(b"X")
        handler.wfile.flush()
        nap(0.02)


def hang(handler, over):
    over.wait()


def garbage(handler, over):
    handler.wfile.write(b"\x00\xff" * 1000)


@pytest.mark.parametrize("behaviour", [drip, hang, garbage])
def test_hostile_webhooks_hold_up_nothing(behaviour, tmp_path):
    """It answers when the test is over: a write or an end that waited for it would not return."""
    options, over = DeliveryOptions(first_wait_s=0.01, longest_wait_s=0.02, queue_size=5), threading.Event()
    with server(lambda handler, _: behaviour(handler, over)) as (url, _):
        sink = webhook(url, tmp_path / "dead.jsonl", options, timeout_s=0.2)
        events = [final(f"e{k}") for k in range(50)]
        within(lambda: write_all(sink, events))
        until(lambda: sink.counts["retried"] >= 1)
        within(lambda: sink.close(timeout=0.3))
        over.set()
    letters = dead(tmp_path / "dead.jsonl")
    assert sorted(d["event"]["id"] for d in letters) == sorted(e.id for e in events)  # each once, none lost
    assert sum("queue of 5 events is full" in d["reason"] for d in letters) in (44, 45)  # one may be on its way
    assert sink.counts["dead"] == 50


def test_broken_headers_do_not_put_the_address_into_the_log(tmp_path, caplog):
    """It may hold a secret. The status counts, as it was whole."""

    def torn(handler, number):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
        handler.connection.shutdown(socket.SHUT_RDWR)

    with server(torn) as (url, _), webhook(url.replace("x=1", "token=secret"), tmp_path / "d", PATIENT) as sink:
        sink.write(final("a"))
    assert sink.counts["delivered"] == 1
    assert "secret" not in caplog.text
    assert not caplog.records


def test_a_body_without_end_is_not_waited_for(tmp_path):
    over = threading.Event()

    def endless(handler, number):
        handler.send_response(200)
        handler.end_headers()
        while not over.is_set():
            handler.wfile.write(b"x")
            nap(0.02)

    with server(endless) as (url, _), webhook(url, tmp_path / "d", PATIENT, timeout_s=0.2) as sink:
        write_all(sink, [final("a")])
        until(lambda: sink.counts["delivered"] == 1)
        over.set()


def test_nobody_there(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://user:secret@127.0.0.1:{taken.getsockname()[1]}/"
        with webhook(url, tmp_path / "dead.jsonl", SHORT) as sink:
            write_all(sink, [final("a")])
    (letter,) = dead(tmp_path / "dead.jsonl")
    assert "refused" in letter["reason"]
    assert "secret" not in json.dumps(letter) + sink.name


def test_login(tmp_path):
    with server(status(200)) as (url, seen):
        with webhook(url.replace("//", "//user:p%40ss@"), tmp_path / "d", PATIENT) as sink:
            sink.write(final("a"))
        assert seen[0][0]["Authorization"] == "Basic dXNlcjpwQHNz"


def test_a_certificate_that_nobody_signed_is_not_trusted(tmp_path, monkeypatch):
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl on this machine")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "1",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with server(status(200), context) as (url, seen):
        with webhook(url.replace("http:", "https:"), tmp_path / "dead.jsonl", SHORT) as sink:
            sink.write(final("a"))
        assert not seen
        assert "CERTIFICATE_VERIFY_FAILED" in dead(tmp_path / "dead.jsonl")[0]["reason"]
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with webhook(url.replace("http:", "https:"), tmp_path / "dead.jsonl", PATIENT) as sink:
            sink.write(final("b"))
        assert len(seen) == 1


def test_by_name(tmp_path):
    with (
        server(status(404)) as (url, _),
        open_sink(f"webhook:{url}", SinkOptions(dead_letters=str(tmp_path / "letters"))) as sink,
    ):
        sink.write(final("a"))
    (path,) = (tmp_path / "letters").iterdir()
    assert path.name.startswith("webhook-127.0.0.1-")
    assert dead(path)[0]["event"]["id"] == "a"


@pytest.mark.parametrize(("url", "host", "target"), [
    ("http://[::1]/ä b?q=%20ü", "[::1]", "/%C3%A4%20b?q=%20%C3%BC"),
    ("http://example.org:8080", "example.org:8080", "/"),
])  # fmt: skip
def test_addresses_are_sent_as_http_wants_them(url, host, target, monkeypatch):
    """Of a host by number, with and without a port, and of letters that a request line cannot hold."""
    ours, theirs = socket.socketpair()
    monkeypatch.setattr("http.client.HTTPConnection.connect", lambda self: setattr(self, "sock", ours))
    with theirs:
        theirs.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        Post(url)(final("a"))
        head = theirs.recv(1 << 16).split(b"\r\n")
    assert head[0] == f"POST {target} HTTP/1.1".encode()
    assert f"Host: {host}".encode() in head


class Scripted:
    """A receiver that answers by a script, then takes everything."""

    def __init__(self, *answers):
        self.answers, self.got, self.hold, self.closed = list(answers), [], threading.Event(), False
        self.hold.set()

    def __call__(self, event):
        self.hold.wait()
        if self.answers and (answer := self.answers.pop(0)) is not None:
            raise answer
        self.got.append(event.id)

    def close(self):
        self.closed = True


@no_thread_left("tal-test")
def test_close_drains_and_closes_once(tmp_path):
    send = Scripted(RetryableError("later"), None, PermanentError("no"))
    sink = Delivery("test", send, tmp_path / "dead.jsonl", PATIENT)
    for k in range(4):
        sink.write(final(f"e{k}"))
    sink.close()
    sink.close()
    assert send.got == ["e0", "e2", "e3"]
    assert send.closed
    assert sink.waiting == 0
    assert [(d["event"]["id"], d["reason"], d["sink"]) for d in dead(tmp_path / "dead.jsonl")] == [
        ("e1", "refused: no", "test")
    ]
    with pytest.raises(SinkError, match="already closed"):
        sink.write(final("x"))


def test_close_without_time_loses_nothing(tmp_path):
    send = Scripted()
    send.hold.clear()
    sink = Delivery("test", send, tmp_path / "dead.jsonl", PATIENT)
    for k in range(4):
        sink.write(final(f"e{k}"))
    until(lambda: len(sink._waiting) == 3)
    sink.close(timeout=0.05)
    send.hold.set()  # it came through after all: the dead letter says that it may have
    letters = dead(tmp_path / "dead.jsonl")
    assert [d["event"]["id"] for d in letters] == ["e0", "e1", "e2", "e3"]
    assert "may have it" in letters[0]["reason"]
    until(lambda: not sink._thread.is_alive())
    assert sink.counts == {"dead": 4}


def test_a_bug_in_a_receiver_is_a_dead_letter(tmp_path):
    with Delivery("test", Scripted(ZeroDivisionError("oops")), tmp_path / "dead.jsonl", PATIENT) as sink:
        sink.write(final("a"))
        sink.write(final("b"))
    assert sink.counts == {"delivered": 1, "dead": 1}
    assert dead(tmp_path / "dead.jsonl")[0]["reason"] == "ZeroDivisionError: oops"


def test_dead_letters_that_cannot_be_written(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with (
        caplog.at_level(logging.ERROR),
        Delivery("test", Scripted(PermanentError("no")), tmp_path / "file" / "dead.jsonl", PATIENT) as sink,
    ):
        sink.write(final("a"))
        sink.write(final("b"))
    assert sink.counts == {"delivered": 1, "dead": 1}
    assert "event a is lost (refused: no)" in caplog.text


def test_waits_grow_and_are_bounded():
    options = DeliveryOptions(first_wait_s=1, longest_wait_s=30)
    for failures, longest in ((1, 1), (2, 2), (5, 16), (6, 30), (10_000, 30)):
        waits = [options.wait_s(failures) for _ in range(200)]
        assert longest / 2 <= min(waits) < max(waits) <= longest
    with pytest.raises(UsageError, match="queue_size is 0"):
        DeliveryOptions(queue_size=0)


def test_mqtt_through_a_real_broker(tmp_path):
    events = [final(f"e{k}", k, k + 1) for k in range(20)]
    with broker(tmp_path) as port, subscriber(port, "tal/events") as got:
        with open_sink(
            f"mqtt://127.0.0.1:{port}/tal/events", SinkOptions(dead_letters=str(tmp_path / "letters"))
        ) as sink:
            write_all(sink, events)
            until(lambda: sink.counts["delivered"] == 20)
        until(lambda: len(got) == 20)
    assert [Event.from_json(line) for line in got] == events
    assert not (tmp_path / "letters").exists()


def test_mqtt_broker_that_comes_later(tmp_path):
    with broker(tmp_path) as port:
        pass
    sink = open_sink(f"mqtt://127.0.0.1:{port}/tal", SinkOptions(dead_letters=str(tmp_path / "letters")))
    write_all(sink, [final("a")])
    until(lambda: sink.counts["retried"] >= 1)
    with broker(tmp_path, port), subscriber(port, "tal") as got:
        until(lambda: len(got) == 1)
        sink.close()
    assert sink.counts["delivered"] == 1


def test_mqtt_nobody_there(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        sink = open_sink(f"mqtt://127.0.0.1:{taken.getsockname()[1]}/t", SinkOptions(dead_letters=str(tmp_path)))
        write_all(sink, [final("a")])
        sink.close(timeout=0.2)
    (path,) = tmp_path.iterdir()
    assert [d["event"]["id"] for d in dead(path)] == ["a"]


def test_kafka_through_librdkafka_and_its_mock_broker(tmp_path):
    from tal_engine.outputs.sinks.kafka import Produce

    produce = Produce("kafka://unused:1/tal.events", settings={"test.mock.num.brokers": 3, "log_level": 0})
    with Delivery(produce.shown, produce, tmp_path / "dead.jsonl") as sink:
        write_all(sink, [final(f"e{k}") for k in range(10)])
        until(lambda: sink.counts["delivered"] == 10)
    assert not (tmp_path / "dead.jsonl").exists()


def test_kafka_nobody_there(tmp_path):
    from tal_engine.outputs.sinks.kafka import Produce

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"kafka://127.0.0.1:{taken.getsockname()[1]}/t"
        produce = Produce(url, timeout_s=0.5, settings={"log_level": 0})
        with pytest.raises(RetryableError, match="timed out"):
            produce(final("a"))
        produce.close()


class FakeError:
    def __init__(self, code, retriable):
        self._code, self._retriable = code, retriable

    def code(self):
        return self._code

    def retriable(self):
        return self._retriable

    def str(self):
        return f"code {self._code}"


def test_kafka_answers(monkeypatch):
    """What the library says, at its boundary: a record's fields, and which errors are tried again."""
    from tal_engine.outputs.sinks.kafka import Produce

    produce = Produce("kafka://a:1,b:2/t", settings={"log_level": 0})
    told = []

    class Fake:
        answer = None

        def produce(self, topic, **record):
            told.append((topic, record))

        def flush(self, seconds):
            if self.answer != "silence":
                told[-1][1]["on_delivery"](self.answer, None)

    monkeypatch.setattr(produce, "_producer", Fake())
    produce(final("a"))
    topic, record = told[0]
    assert (topic, record["key"], record["headers"]) == ("t", b"cam", [("id", b"a")])
    assert Event.from_json(record["value"]) == final("a")
    for answer, raised in (
        (FakeError(-192, False), RetryableError),
        (FakeError(7, True), RetryableError),
        (FakeError(10, False), PermanentError),
        ("silence", RetryableError),
    ):
        produce._producer.answer = answer
        with pytest.raises(raised, match="kafka://a:1,b:2/t: "):
            produce(final("a"))


def test_kafka_settings_that_do_not_exist():
    from tal_engine.outputs.sinks.kafka import Produce

    with pytest.raises(UsageError, match=r"no\.such"):
        Produce("kafka://a:1/t", settings={"no.such": 1})


@pytest.mark.parametrize(("module", "url"), [("paho.mqtt.client", "mqtt://a/t"), ("confluent_kafka", "kafka://a:1/t")])
def test_without_the_extra(module, url, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, module.split(".")[0], None)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"tal-engine\[(mqtt|kafka)\]"):
        open_sink(url, SinkOptions(dead_letters=str(tmp_path)))
