"""A real MQTT broker on loopback, and a client that listens to it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager

import pytest

from tests.waiting import LONG_S, until


@contextmanager
def broker(folder, port=0):
    """A real MQTT broker on loopback."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        pytest.skip("no mosquitto on this machine (apt-get install mosquitto)")
    if not port:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    (folder / "m.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    child = subprocess.Popen([program, "-c", folder / "m.conf"], stderr=subprocess.DEVNULL)
    try:
        until(lambda: _answers(port))
        yield port
    finally:
        child.kill()
        child.wait(LONG_S)


def _answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def subscriber(port, topic, messages=False):
    """What comes on a topic: a list that grows, of payloads or of messages."""
    import paho.mqtt.client as paho

    got, ready = [], threading.Event()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_connect = lambda *_: client.subscribe(topic, qos=1)
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _c, _d, message: got.append(message if messages else message.payload)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        assert ready.wait(LONG_S)
        yield got
    finally:
        client.disconnect()  # its thread is a daemon: not waited for
