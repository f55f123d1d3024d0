"""Studios in a test's own process: small videos, a project, and a client without a network."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import numpy as np

from tal_engine.studio.app import application
from tal_engine.studio.order import RESULT
from tal_engine.studio.settings import StudioOptions
from tal_engine.studio.studio import Studio
from tests.makers import moving_square, write_mp4

TOKEN = "of-a-test-studio-0001"


def videos(folder, *names, frames=50):
    """Write small videos that differ in length, and so in size."""
    folder.mkdir(exist_ok=True)
    for k, name in enumerate(names):
        write_mp4(folder / name, moving_square(frames + 5 * k, 32, 48))
    return folder


def studio(folder, **options):
    """Open a studio that does not train by itself."""
    return Studio(StudioOptions(**{"videos": folder, "token": TOKEN, "auto_train": False, **options}))


def asked(one, talk):
    """Run a studio, and `talk` with it: a coroutine function of a client."""

    @asynccontextmanager
    async def client():
        where = httpx.ASGITransport(app=application(one))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        http = httpx.AsyncClient(transport=where, base_url="http://127.0.0.1", headers=headers)
        async with http as c, one.running():
            yield c

    async def run():
        async with client() as c:
            return await talk(c)

    return asyncio.run(run())


def edit(video, name, *changes, author="anna"):
    """Body of an edit: changes are (op, label, base)."""
    return {
        "edit": name, "author": author, "video": video,
        "changes": [{"op": op, "label": {"video": video, **label}, "base": base} for op, label, base in changes],
    }  # fmt: skip


def point(name, at, label="run"):
    return {"id": name, "kind": "point", "start": at, "end": at, "label": label}


def result(one, segments, other=(), action=0.0, classes=("run", "sit")):
    """Leave a trainer's result in a project: segments of every video, and an even actionness."""
    of = {"segments": [list(s) for s in segments], "other": [list(s) for s in other], "start": 0.25, "step": 0.5,
          "curves": np.full((len(classes) + 1, 4), action).tolist()}  # fmt: skip
    found = {
        "revision": 1,
        "classes": list(classes),
        "calibrated": False,
        "videos": dict.fromkeys(one.library.videos, of),
    }
    (one.project.folder / RESULT).parent.mkdir(exist_ok=True)
    (one.project.folder / RESULT).write_text(json.dumps(found))
    one.findings.read()
