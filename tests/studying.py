"""A studio in a thread of the test's own process, and answers of a training that nobody has to wait for."""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager
from dataclasses import replace

from tal_engine.studio.server import listening, server_of
from tal_engine.studio.settings import StudioOptions
from tal_engine.studio.studio import Studio
from tests.waiting import LONG_S, until


class Studying:
    """A studio that runs."""

    def __init__(self, options):
        socket = listening(options)
        port = socket.getsockname()[1]
        self.studio = Studio(replace(options, port=port))
        self.server = server_of(self.studio)
        self.base = f"http://127.0.0.1:{port}"
        self.address = f"{self.base}/?token={self.studio.options.token}"
        self.thread = threading.Thread(target=self.server.run, args=([socket],), name="test-studio", daemon=True)
        self.thread.start()
        until(lambda: self.server.started or not self.thread.is_alive())

    def stop(self):
        self.server.should_exit = True
        self.thread.join(LONG_S)
        assert not self.thread.is_alive()


@contextmanager
def studying(videos, **options):
    """A studio of a folder of videos; it does not train by itself."""
    one = Studying(StudioOptions(videos=videos, port=0, **{"auto_train": False, **options}))
    try:
        yield one
    finally:
        one.stop()


#: Seconds from a key's press to its release in a tap, as the browser is told.
_TAP_S = 0.08


def tap(page, key, seconds=_TAP_S):
    """Press a digit for so long by the clock of its events, however slowly the driver and the machine deliver them."""
    events = page.context.new_cdp_session(page)
    about = {"key": key, "code": f"Digit{key}", "windowsVirtualKeyCode": ord(key)}
    began = page.evaluate("performance.timeOrigin + performance.now()") / 1e3
    events.send("Input.dispatchKeyEvent", {"type": "keyDown", "text": key, "timestamp": began, **about})
    events.send("Input.dispatchKeyEvent", {"type": "keyUp", "timestamp": began + seconds, **about})
    events.detach()


class Told:
    """Answers about training, suggestions, questions and measures, in place of the server's; posts are kept."""

    def __init__(self, page):
        self.posts = []
        self.answers = {
            "training": {"state": "idle"}, "suggestions": {"revision": 0, "segments": [], "curves": None},
            "queue": {"revision": 0, "items": []}, "thresholds": {}, "streams": {"streams": []},
            "measures": {"clicks": [], "by_class": [], "advice": [], "held_out": {"videos": 0, "labelled": 0}},
            "agreement": {"people": [], "pairs": []},
        }  # fmt: skip
        names = "|".join([*self.answers, "export"])
        page.route(re.compile(rf"/api/({names})(/.*|\?.*)?$"), self._answer)

    def _answer(self, route):
        path = route.request.url.split("/api/")[1]
        name = re.split(r"[/?]", path)[0]
        if route.request.method != "GET":
            body = json.loads(route.request.post_data or "null")
            self.posts.append((path, body))
            found = self.answers.get(f"{route.request.method} {name}", {})
        else:
            found = self.answers[name]
        found = found(path) if callable(found) else found
        route.fulfill(json=found)
