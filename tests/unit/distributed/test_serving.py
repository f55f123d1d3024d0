"""The service on Ray Serve: replicas of their own, and requests about a stream reach the one that has it."""

from __future__ import annotations

import socket

import numpy as np
import pytest

from tal_engine.distributed import serve_app
from tal_engine.errors import UsageError
from tal_engine.serve.settings import ServeOptions
from tests.makers import moving_square, tiny_plan, write_mp4

pytest.importorskip("ray.serve", reason="pip install '.[ray]'")  # a folder that Ray left in /tmp is no Ray
ray = pytest.importorskip("ray")
httpx = pytest.importorskip("httpx", reason="pip install '.[ray]'")
pytest.importorskip("fastapi", reason="pip install '.[ray]'")

#: Ray warns of itself, and leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.xdist_group("ray"),
    *(pytest.mark.filterwarnings(f"ignore::{kind}") for kind in (
        "DeprecationWarning", "FutureWarning", "ResourceWarning", "UserWarning",
        "pytest.PytestUnraisableExceptionWarning",
    )),
]  # fmt: skip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_mp4(tmp_path_factory.mktemp("clip") / "clip.mp4", np.stack(list(moving_square(2500, 24, 32))))


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def client(clip, state, tmp_path_factory):
    from ray import serve

    plan = tmp_path_factory.mktemp("plan") / "tiny.plan"
    tiny_plan(plan)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray.init(num_cpus=2, object_store_memory=100 << 20, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    options = ServeOptions(plan=plan, state=state, threads=1, workers=1, sources=(f"cam={clip}",))
    serve.run(serve_app(options, replicas=2, cpus=0.1), route_prefix="/")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client
    serve.shutdown()
    ray.shutdown()


def test_streams_are_found_by_their_name(client, state):
    names = [f"gate{k}" for k in range(6)]
    for name in names:
        wanted = {"source": "cam", "name": name, "realtime": True}
        assert client.post("/v1/streams", json=wanted, headers={"X-Session-Id": name}).status_code == 201
    for name in names:
        assert {client.get(f"/v1/streams/{name}").status_code for _ in range(4)} == {200}
    held = {
        tuple(sorted(s["name"] for s in client.get("/v1/streams", headers={"X-Session-Id": name}).json()["streams"]))
        for name in names
    }
    assert len(held) == 2  # both replicas have some, and none is at both
    assert sorted(name for some in held for name in some) == names
    for name in names:
        assert client.post(f"/v1/streams/{name}/stop").status_code == 202
    assert sorted(p.name for p in state.iterdir()) == ["replica-0", "replica-1"]


def test_jobs_are_found_by_their_session(client, clip):
    mine = {"X-Session-Id": "a text of my own"}
    job = client.post("/v1/localize?mode=job", content=clip.read_bytes(), headers=mine)
    assert job.status_code == 202
    assert {client.get(f"/v1/jobs/{job.json()['id']}", headers=mine).status_code for _ in range(6)} == {200}


def test_names_are_read_from_requests():
    from tal_engine.distributed.stream_router import stream_in

    assert stream_in({"path": "/v1/streams/door/events"}) == "door"
    assert stream_in({"path": "/v1/push", "query_string": b"format=jpeg&name=gate"}) == "gate"
    assert stream_in({"path": "/v1/localize", "query_string": b"name=gate"}) == ""
    assert stream_in({}) == ""


def test_replicas_are_checked():
    for replicas in (0, (0, 2), (3, 2)):
        with pytest.raises(UsageError, match="replicas is"):
            serve_app(replicas=replicas)
