"""A service in a thread of the test's own process, on a port of its own."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager

import httpx

from tal_engine.client import Client
from tal_engine.serve.server import listen, server_of
from tal_engine.serve.service import Service
from tal_engine.serve.settings import ServeOptions
from tests.waiting import LONG_S, nap, until


class Running:
    """A service that runs."""

    def __init__(self, options):
        listening = listen(options)
        self.port = listening.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}"
        self.service = Service(options)
        self.server = server_of(self.service)
        self.thread = threading.Thread(target=self.server.run, args=([listening],), name="test-serve", daemon=True)
        self.thread.start()
        until(lambda: self.server.started or not self.thread.is_alive())
        self.http = httpx.Client(base_url=self.base, timeout=LONG_S)

    def client(self, token=None):
        return Client(self.base, token)

    def raw(self, data, read=True):
        """What the server says to bytes on a connection of their own, up to its end."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.settimeout(LONG_S)
            connection.sendall(data)
            said = b""
            while read and (piece := connection.recv(65536)):
                said += piece
            return said

    def stop(self):
        self.http.close()
        self.server.should_exit = True
        self.thread.join(LONG_S)
        assert not self.thread.is_alive()


@contextmanager
def running(state, **options):
    one = Running(ServeOptions(state=state, port=0, drain_seconds=5.0, **options))
    try:
        yield one
    finally:
        one.stop()


class Gate:
    """Holds localizations until it is opened; they look at it as they do at their progress."""

    def __init__(self, service, monkeypatch):
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        engine = service.plans.model(None).engine
        localize = engine.localize

        def held(source, *, progress, **options):
            self.entered.release()
            while not self.open.is_set():
                progress(0.5, 1.0)
                nap(0.002)
            return localize(source, progress=progress, **options)

        monkeypatch.setattr(engine, "localize", held)
