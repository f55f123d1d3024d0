"""One real service on loopback: everything that it offers, and what it does about clients that mean no good."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import sqlite3
import struct
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the service needs [serve]")
pytest.importorskip("uvicorn", reason="the service needs [serve]")
pytest.importorskip("httpx", reason="the service needs [serve]")

from tal_engine import TALEngine, save_features
from tal_engine.client import AsyncClient
from tal_engine.errors import ServiceError, UsageError
from tal_engine.serve import api_jobs, api_localize, guard, job_store, server
from tests.makers import moving_square, tiny_plan
from tests.serving import Gate, running
from tests.waiting import LONG_S, until

LABELS = (
    '<View><TimelineLabels name="acts" toName="film"><Label value="jump"/><Label value="run"/></TimelineLabels>'
    '<Video name="film" value="$clip" frameRate="25"/></View>'
)


@pytest.fixture(scope="module")
def media(clip):
    """A server of videos: of what is asked for under /data/upload; everything else leads to another address."""
    seen = []

    class Videos(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("Authorization")))
            good = self.path.startswith("/data/upload/")
            self.send_response(200 if good else 302)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
            if good:
                self.wfile.write(clip.read_bytes())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Videos) as videos:
        threading.Thread(target=videos.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{videos.server_port}", seen
        videos.shutdown()


@pytest.fixture(scope="module")
def one(tmp_path_factory, clip, media):
    folder = tmp_path_factory.mktemp("serve")
    tiny_plan(folder / "tiny.plan")
    plain = tiny_plan(encoders=False)
    (folder / "plans").mkdir()
    tiny_plan(folder / "plans" / "heads.plan", encoders=False)
    (folder / "plans" / "broken.plan").write_bytes(b"PK\x03\x04no plan")
    assert plain.manifest.encoders == []
    with running(
        folder / "state", plan=folder / "tiny.plan", plan_dir=folder / "plans", queue=2, max_body_mib=1, uploads=4,
        sync_seconds=60.0, label_studio=media[0], label_studio_key="ls-key", connections=60, streams=2,
        fit_command="true", sources=(f"door={clip}", f"{media[0]}/data/"), max_duration=30.0,
    ) as service:  # fmt: skip
        yield service


@pytest.fixture(scope="module")
def engine(one):
    return TALEngine.load(one.service.options.plan)


def problem(response, status, kind):
    document = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, document["status"], document["type"]) == (status, status, f"/v1/problems/{kind}")
    return document["detail"]


# -- what it is for ---------------------------------------------------------------------------------


def test_a_video_gives_what_the_engine_gives(one, engine, clip):
    here = engine.localize(clip, min_score=0.0, top_k=5)
    with one.client() as client:
        there = client.localize(clip, min_score=0.0, top_k=5)
        again = client.localize(clip.read_bytes(), name="clip.mp4", min_score=0.0, top_k=5)
        with pytest.raises(UsageError, match="no such file"):
            client.localize("no.mp4")
    assert there.segments == again.segments == here.segments
    assert there.info.source == again.info.source == "clip.mp4"
    here.info.source = "clip.mp4"
    there.activations = here.activations
    assert there == here
    form = one.http.post(
        "/v1/localize?min_score=0&top_k=5&curves=true", files={"file": ("../x/clip.mp4", clip.read_bytes())}
    )
    document = form.json()
    assert document["info"]["source"] == "clip.mp4"
    assert np.allclose(document["activations"]["cas"], here.activations.cas, atol=1e-4)
    assert list(one.service.spool.folder.iterdir()) == []


def test_people_are_asked_of_plans_that_read_poses(one, clip):
    said = one.http.post("/v1/localize?people=2", content=clip.read_bytes())
    assert said.status_code == 422
    assert "reads no poses" in said.json()["detail"]
    assert one.http.post("/v1/localize?people=17", content=clip.read_bytes()).status_code == 422


@pytest.mark.parametrize(
    ("form", "begins"),
    [("activitynet", '{\n "version"'), ("csv", "video,label,start,end,score,domain\n"), ("vtt", "WEBVTT"),
     ("srt", "1\n"), ("jsonl", '{"source": "a.mp4"')],
)  # fmt: skip
def test_results_come_in_all_forms(one, clip, form, begins):
    said = one.http.post(f"/v1/localize?format={form}&name=a.mp4&min_score=0", content=clip.read_bytes())
    assert said.text.startswith(begins)
    assert "jump" in said.text


def test_features_are_localized(one, engine, clip, tmp_path):
    features = engine.features(clip)
    save_features(tmp_path / "clip.npz", features)
    with one.client() as client:
        there = client.localize(tmp_path / "clip.npz", min_score=0.0)
    assert there.segments == engine.localize(features, min_score=0.0).segments
    said = one.http.post("/v1/localize?plan=heads", content=clip.read_bytes())
    assert "no encoders" in problem(said, 422, "no-encoder")
    bomb = (tmp_path / "clip.npz").read_bytes()[:400] + bytes(3000)
    assert ".npz" not in problem(one.http.post("/v1/localize?name=evil", content=bomb), 422, "bad-features")
    noise = {"file": ("noise.NPZ", np.random.default_rng(0).bytes(3000))}
    said = problem(one.http.post("/v1/localize", files=noise), 422, "bad-features")
    assert said == "noise.NPZ: not a feature file, it is no zip archive"
    assert one.http.post("/v1/localize?name=video.npz", content=clip.read_bytes()).status_code == 200  # by its content


def test_jobs_are_accepted_once_told_of_and_forgotten(one, engine, clip):
    with one.client() as client:
        job = client.submit(clip, min_score=0.0, key="only once")
        assert client.submit(clip, min_score=0.0, key="only once").id == job.id
        for content, options in ((clip.read_bytes() + b"x", {"min_score": 0.0}), (clip, {"min_score": 0.1})):
            with pytest.raises(ServiceError, match=f"'only once', that of job {job.id}") as other:
                client.submit(content, name="clip.mp4", key="only once", **options)
            assert (other.value.status, other.value.kind) == (409, "key-reused")
        states = list(client.progress(job.id))
        assert states[-1].over
        assert states[-1].state == "done"
        assert client.job(job.id).done == client.job(job.id).total == pytest.approx(4.0, abs=0.1)
        assert client.wait(job.id).segments == engine.localize(clip, min_score=0.0).segments
        assert job.id in [j.id for j in client.jobs("done")]
        csv = one.http.get(f"/v1/jobs/{job.id}/result?format=csv")
        assert csv.headers["content-type"] == "text/csv; charset=utf-8"
        problem(one.http.post(f"/v1/jobs/{job.id}/cancel"), 409, "conflict")
        client.forget(job.id)
        with pytest.raises(ServiceError) as gone:
            client.job(job.id)
        assert (gone.value.status, gone.value.kind) == (404, "not-found")


def test_addresses_are_fetched_if_they_are_allowed_and_lead_nowhere_else(one, media):
    base, seen = media
    with one.client() as client:
        assert client.localize(f"{base}/data/upload/a.mp4").info.source == "a.mp4"
        for address, kind in ((f"{base}/data/elsewhere", "source-unavailable"), (f"{base}/x", "source-not-allowed"),
                              ("file:///etc/passwd", "source-not-allowed")):  # fmt: skip
            with pytest.raises(ServiceError) as refused:
                client.localize(address)
            assert refused.value.kind == kind
    assert all(key is None for path, key in seen if path.endswith("a.mp4"))


def test_a_stream_is_read_and_its_events_resumed(one, engine, clip):
    from websockets.sync.client import connect

    with one.client() as client:
        stream = client.start_stream(
            "door", provisional=True, min_score=0.0, options={"look_ahead": 1.0, "window": 4.0}
        )
        assert stream["name"] == "door"
        events = list(client.events("door"))
        assert {e.event.kind for e in events} >= {"started", "final"}
        rest = list(client.events("door", after=events[2].id))
        assert [e.id for e in rest] == [e.id for e in events[3:]]
        with connect(f"ws://127.0.0.1:{one.port}/v1/streams/door/events?after={events[2].id}") as socket_:
            assert [json.loads(socket_.recv())["id"] for _ in rest] == [e.id for e in rest]
            assert json.loads(socket_.recv())["type"] == "end"
        until(lambda: client.stream("door")["state"] == "ended")
        assert client.stream("door")["finals"] == sum(e.event.is_final for e in events)
        for wrong, words in (({"window": 0.0}, "window is 0"), ({"spam": 1.0}, "option is 'spam'")):
            with pytest.raises(ServiceError, match=words):
                client.start_stream("door", options=wrong)
        client.forget_stream("door")
        assert client.streams() == []
        with pytest.raises(ServiceError, match="this service allows the names door"):
            client.start_stream(str(clip))
    assert "source is 'rtsp" in problem(
        one.http.post("/v1/streams", json={"source": "rtsp://a:b@c/"}), 403, "source-not-allowed"
    )


def test_frames_are_pushed_and_others_listen(one, engine):
    from websockets.sync.client import connect

    frames = [(f, i / 25) for i, f in enumerate(moving_square(150, 48, 64))]
    options = {"provisional": True, "min_score": 0.0}
    with engine.open_stream("push:cam", **options) as localizer:
        here = [e for f, t in frames for e in localizer.push(f, t)] + localizer.flush()
    with one.client() as client:
        pushed = list(client.push(frames, "cam", format="rgb24", **options))
        assert [e.event for e in pushed] == here
        assert len(list(client.push(iter(frames), "jpegs", **options))) > 0
        assert [e.id for e in client.events("cam")] == [e.id for e in pushed]
        for name in ("cam", "jpegs"):
            client.forget_stream(name)
        with connect(f"ws://127.0.0.1:{one.port}/v1/push?name=bad") as bad:
            assert json.loads(bad.recv())["window"] == 8
            with connect(f"ws://127.0.0.1:{one.port}/v1/streams/bad/events") as chatty:
                chatty.send("x" * 10_000)
                with pytest.raises(Exception, match="1009"):
                    chatty.recv(LONG_S)
            bad.send(b"12345678not a jpeg")
            told = json.loads(bad.recv())
            assert (told["type"], told["problem"]["status"]) == ("problem", 422)
        until(lambda: client.stream("bad")["state"] == "failed")
        for query in ("name=a%20b", "name=x&plan=nothing", "name=x&format=rgb24"):
            with pytest.raises(Exception, match="HTTP 4"):
                connect(f"ws://127.0.0.1:{one.port}/v1/push?{query}")
        with connect(f"ws://127.0.0.1:{one.port}/v1/streams/bad/events") as ended:
            assert json.loads(ended.recv())["type"] == "end"
        client.forget_stream("bad")


def test_pushed_frames_whose_time_is_wrong_are_told_and_counted(one, caplog):
    from websockets.sync.client import connect

    image = np.zeros((48, 64, 3), np.uint8)
    with connect(f"ws://127.0.0.1:{one.port}/v1/push?name=times&format=rgb24&width=64&height=48") as pushed:
        pushed.recv()
        for pts in (float("nan"), 1.0, 0.5, 1.04):
            pushed.send(struct.pack("<d", pts) + image.tobytes())
        pushed.send('{"type": "end"}')
        told = [m for m in map(json.loads, pushed) if m["type"] != "event"]
    assert [m["type"] for m in told] == ["refused", "ack", "ack", "refused", "ack", "ack", "done"]
    assert "frame 1: time is nan s, must be finite;" in told[0]["problem"]["detail"]
    assert (
        "frame 3: time is 0.5 s, must be finite and after that of the frame before, 1 s;"
        in told[3]["problem"]["detail"]
    )
    done = told[-1]["stream"]
    assert (done["state"], done["frames"], done["refused"]) == ("ended", 4, 2)
    assert done["ended"] >= done["started"]
    with one.client() as client:
        assert client.stream("times")["ended"] == done["ended"]
        client.forget_stream("times")
        list(client.push([(image, 1.0), (image, 0.0)], "times"))
        assert ["frame 2: time is 0 s" in m for m in caplog.messages] == [True]
        client.forget_stream("times")


def test_plans_are_told_of(one):
    with one.client() as client:
        assert client.plans() == ["tiny", "heads"]
        broken = one.http.get("/v1/plans").json()["unusable"]
        assert list(broken) == ["broken"]
        assert broken["broken"].startswith("broken: ")
        states = {m["name"]: m["state"] for m in one.http.post("/v2/repository/index").json()}
        assert states == {"tiny_head": "READY", "broken_head": "UNAVAILABLE", "heads_head": "READY"}
        assert client.plan("tiny")["classes"] == ["jump", "run", "sit"]
        report = client.doctor("tiny")
        assert (report["path"], report["status"]) == ("tiny", 0)
        assert str(one.service.options.plan.parent) not in json.dumps(report)
        assert client.about()["default_plan"] == "tiny"
    assert str(one.service.options.plan_dir) not in problem(one.http.get("/v1/plans/broken"), 500, "bad-plan")
    for path in ("nothing", "..%2Ftiny", "tiny.plan", "%00", "a" * 3000):
        problem(one.http.get(f"/v1/plans/{path}"), 404, "not-found")


def test_a_model_is_found_without_looking_through_the_folder(one, monkeypatch):
    def looks():
        raise AssertionError("the folder was read")

    monkeypatch.setattr(one.service.plans, "_paths", looks)
    body = {"inputs": [{"name": "rgb", "shape": [1, 1, 4], "datatype": "FP32", "data": [0, 1, 2, 3]}]}
    assert one.http.post("/v2/models/heads_head/infer", json=body).status_code == 200
    assert one.http.get("/v2/models/tiny_head").json()["name"] == "tiny_head"
    monkeypatch.undo()
    for strange in ("none_head", "_head", ".heads_head", "..%2Fheads_head", "heads.plan_head", "%00_head", "heads"):
        problem(one.http.get(f"/v2/models/{strange}"), 404, "not-found")


def test_curves_are_written_in_a_thread(one, clip, monkeypatch):
    """They are long: other requests would wait meanwhile."""
    threads = []
    for api in (api_jobs, api_localize):
        text = api.json_text
        monkeypatch.setattr(api, "json_text", lambda d, text=text: threads.append(threading.get_ident()) or text(d))
    with one.client() as client:
        job = client.submit(clip)
        client.wait(job.id)
    assert one.http.get(f"/v1/jobs/{job.id}/result?curves=true").json()["activations"]["cas"]
    assert one.http.post("/v1/localize?curves=true", content=clip.read_bytes()).json()["activations"]["cas"]
    assert len(threads) == 2
    assert one.thread.ident not in threads


def test_triton_s_client_works_unchanged(one, engine):
    triton = pytest.importorskip("tritonclient.http", reason="the client of Triton is not installed")
    values = np.random.default_rng(0).random((2, 5, 4), np.float32)
    there = triton.InferenceServerClient(f"127.0.0.1:{one.port}")
    assert there.is_server_live()
    assert there.is_server_ready()
    assert there.is_model_ready("tiny_head")
    assert not there.is_model_ready("tiny_head", "2")
    assert there.get_model_metadata("tiny_head")["inputs"][0]["shape"] == [-1, -1, 4]
    wanted = engine.head.run({"rgb": values})
    for raw in (True, False):
        given = triton.InferInput("rgb", list(values.shape), "FP32")
        given.set_data_from_numpy(values, binary_data=raw)
        outputs = [triton.InferRequestedOutput("cas", binary_data=raw)]
        found = there.infer("tiny_head", [given], outputs=outputs).as_numpy("cas")
        assert np.allclose(found, wanted["cas"], atol=1e-6)
    wrong = triton.InferInput("rgb", [1, 5, 3], "FP32")
    wrong.set_data_from_numpy(np.zeros((1, 5, 3), np.float32))
    with pytest.raises(triton.InferenceServerException, match=r"\[1, 5, 3\], must be \[-1, -1, 4\]"):
        there.infer("tiny_head", [wrong])
    there.close()


def test_label_studio_gets_predictions_and_trains(one, media, engine, clip):
    _, seen = media
    post = lambda path, document: one.http.post(f"/label-studio{path}", json=document)  # noqa: E731
    assert one.http.get("/label-studio/health").json()["status"] == "UP"
    version = post(
        "/setup", {"project": "1.2", "schema": LABELS, "access_token": "x", "hostname": "http://evil/"}
    ).json()
    tasks = [{"id": 7, "data": {"clip": "/data/upload/1/a.mp4"}}]
    said = post(
        "/predict", {"tasks": tasks, "label_config": LABELS, "project": "1.2", "params": {"login": None}}
    ).json()
    (found,) = said["results"]
    assert found["model_version"] == version["model_version"]
    here = [s for s in engine.localize(clip).by_time() if s.label != "sit"]
    first = found["result"][0]
    assert len(found["result"]) == len(here) > 0
    assert (first["from_name"], first["to_name"], first["type"]) == ("acts", "film", "timelinelabels")
    assert first["value"]["ranges"][0]["start"] == round(here[0].start * 25) + 1
    assert ("/data/upload/1/a.mp4", "Token ls-key") in seen
    tasks[0]["data"]["clip"] = "http://169.254.169.254/latest"
    problem(post("/predict", {"tasks": tasks, "label_config": LABELS}), 403, "source-not-allowed")
    problem(post("/predict", {"tasks": [{"data": {}}], "label_config": LABELS}), 422, "invalid-request")
    assert post("/webhook", {"action": "PROJECT_UPDATED"}).json()["status"] == "ignored"
    started = post("/webhook", {"action": "START_TRAINING"})
    assert (started.status_code, started.json()["status"]) == (201, "started")
    until(lambda: one.http.get("/label-studio/is_training").json()["exit_status"] == 0)


def test_the_client_for_event_loops(one, engine, clip):
    async def use():
        async with AsyncClient(one.base) as client:
            job = await client.submit(clip, min_score=0.0)
            first, second = await asyncio.gather(client.wait(job.id), client.localize(clip, min_score=0.0))
            assert first.segments == second.segments == engine.localize(clip, min_score=0.0).segments

            async def frames():
                for i, frame in enumerate(moving_square(60, 48, 64)):
                    yield frame, i / 25

            pushed = [e.id async for e in client.push(frames(), "aio", provisional=True, min_score=0.0)]
            assert [e.id async for e in client.events("aio")] == pushed
            await client.forget_stream("aio")
            await client.forget(job.id)

    asyncio.run(use())


def test_metrics_and_probes(one):
    text = one.http.get("/metrics").text
    for part in ('tal_work_seconds_count{kind="request",outcome="done"}', "tal_waiting 0.0",
                 'tal_jobs{state="queued"} 0.0', 'route="/v1/jobs/{id}"'):  # fmt: skip
        assert part in text
    assert one.http.get("/healthz").json() == {"ok": True}
    assert one.http.get("/readyz").json()["ok"]
    assert one.http.get("/openapi.json").json()["openapi"].startswith("3.1")
    for name, kind in one.http.get("/v1/problems").json().items():
        assert one.http.get(f"/v1/problems/{name}").json()["status"] == kind["status"]


# -- bad input --------------------------------------------------------------------------------------


def test_what_is_no_video_or_no_request_is_refused(one, clip):
    send = lambda data, query="", **more: one.http.post(f"/v1/localize{query}", content=data, **more)  # noqa: E731
    data = clip.read_bytes()
    for body, status, kind in ((b"text", 422, "bad-video"), (b"", 422, "invalid-request"),
                               (b"#EXTM3U\nfile:///etc/passwd\n", 422, "bad-video"), (data[:500], 422, "bad-video"),
                               (bytes(2 << 20), 413, "too-large")):  # fmt: skip
        assert str(one.service.spool.folder) not in problem(send(body, "?name=my.mp4"), status, kind)
    for query in ("?plan=none", "?plan=../tiny"):
        problem(send(data, query), 404, "not-found")
    for query in (
        "?top_k=-1",
        "?min_score=nan",
        "?format=exe",
        "?deadline=0",
        "?mode=x",
        "?top_k=9999999999",
    ):
        problem(send(data, query), 422, "invalid-request")
    problem(send(data, headers={"Content-Encoding": "gzip"}), 415, "unsupported-type")
    problem(send(iter([bytes(1 << 20)] * 2)), 413, "too-large")  # in chunks, of a length that nobody says
    problem(send(b"{", headers={"Content-Type": "application/json"}), 400, "bad-syntax")
    problem(send(b"[" * 100_000, headers={"Content-Type": "application/json"}), 400, "bad-syntax")
    problem(send(b'{"url": 1}', headers={"Content-Type": "application/json"}), 422, "invalid-request")
    problem(send(b"--x\r\n", headers={"Content-Type": "multipart/form-data; boundary=x"}), 422, "invalid-request")
    problem(one.http.post("/v1/localize", files={"other": b"x"}), 422, "invalid-request")
    problem(one.http.put("/v1/localize"), 405, "method-not-allowed")
    problem(one.http.get("/v1/../../etc/passwd"), 404, "not-found")
    problem(one.http.post("/v1/streams", content=b'{"source": "\\ud800"}'), 422, "invalid-request")
    assert list(one.service.spool.folder.iterdir()) == []


def test_parameters_that_no_route_knows_are_named(one, clip):
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    said = problem(
        one.http.post("/v1/localize?min_scor=0.2&top_k=1", content=clip.read_bytes()), 422, "invalid-request"
    )
    assert said.startswith("query.min_scor: no such parameter, must be one of curves, deadline, ")
    assert said.endswith(", it is '0.2'")
    assert "top_k:" not in said
    routes = [
        ("get", "/v1/jobs"), ("get", "/v1/jobs/x"), ("get", "/v1/jobs/x/result"), ("get", "/v1/jobs/x/events"),
        ("post", "/v1/jobs/x/cancel"), ("delete", "/v1/jobs/x"), ("get", "/v1/plans"), ("get", "/v1/plans/tiny/doctor"),
        ("get", "/v1"), ("get", "/v1/streams"), ("get", "/v1/streams/x/events"), ("get", "/v1/limits"),
        ("get", "/v1/problems"),
    ]  # fmt: skip
    for method, path in routes:
        assert "query.spam: " in problem(one.http.request(method, f"{path}?spam=1"), 422, "invalid-request")
    for path in ("push?name=x&spam=1", "streams/x/events?spam=1"):
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws://127.0.0.1:{one.port}/v1/{path}")
        assert refused.value.response.status_code == 422
        assert b"query.spam" in refused.value.response.body
    for path in ("/healthz", "/readyz", "/metrics", "/v2", "/label-studio/health", "/page/"):
        assert one.http.get(f"{path}?spam=1").status_code == 200


def test_pages_of_others_and_other_names_are_refused(one):
    get = lambda **headers: one.http.get("/v1/plans", headers=headers)  # noqa: E731
    problem(get(Host="evil.example"), 421, "unknown-host")
    problem(get(Origin="https://evil.example"), 403, "foreign-origin")
    problem(get(Origin="null"), 403, "foreign-origin")
    own = get(Origin=one.base)
    assert own.status_code == 200
    assert "access-control-allow-origin" not in own.headers
    assert own.headers["x-content-type-options"] == "nosniff"


def test_raw_connections_that_mean_no_good(one, monkeypatch):
    monkeypatch.setattr(server, "_HEADER_S", 0.2)
    monkeypatch.setattr(guard, "_PAUSE_S", 0.2)
    head = b"HTTP/1.1 "
    huge = one.raw(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nX: " + b"x" * 70_000 + b"\r\n\r\n")
    assert huge.startswith(head + b"431")
    assert one.raw(b"\x16\x03\x01 no http\r\n\r\n").startswith(head + b"400")
    assert one.raw(b"GET /healthz HTTP/1.1\r\n").startswith(head + b"408")  # half a header, and silence
    slow = b"POST /v1/localize HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nabc"
    assert one.raw(slow).startswith(head + b"408")
    lies = slow.replace(b"1000", b"99999999999999")
    assert one.raw(lies).startswith(head + b"413")
    asks = lies.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    assert one.raw(asks).startswith(head + b"413")  # it is not asked to send what is not wanted
    one.raw(slow, read=False)  # it goes in the middle of its body
    with socket.create_connection(("127.0.0.1", one.port)) as half:
        half.sendall(slow)
        half.shutdown(socket.SHUT_WR)
        half.settimeout(LONG_S)
        half.recv(4096)
    until(lambda: one.service.uploads.taken == 0 and not any(one.service.spool.folder.iterdir()))


def test_connections_that_say_nothing_take_no_more_than_their_places(one, monkeypatch):
    monkeypatch.setattr(server, "_HEADER_S", 1.0)
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", one.port))) for _ in range(100)]
        until(lambda: b"429" in one.raw(b""))  # those beyond the 60 are told so
        for connection in silent:
            connection.settimeout(LONG_S)
            said = connection.recv(4096)  # and the others get no longer than a header may take
            assert b" 429 " in said or b" 408 " in said
    until(
        lambda: one.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").endswith(
            b'{"ok":true}'
        )
    )


def test_who_reads_nothing_is_disconnected(one, monkeypatch):
    class Transport:
        size, aborted = 5, False

        def get_write_buffer_size(self):
            return self.size

        def abort(self):
            self.aborted = True

    class Connection:
        transport = Transport()

    found = server.server_of(one.service)
    found.server_state.connections = {Connection()}
    for now, size in ((0, 5), (50, 4), (100, 4)):
        Connection.transport.size = size
        found._end_unread(now)
        assert not Connection.transport.aborted
    found._end_unread(111)
    assert Connection.transport.aborted


# -- full, late, gone --------------------------------------------------------------------------------


def test_a_full_line_is_told_with_the_time_to_come_back(one, clip, monkeypatch):
    gate = Gate(one.service, monkeypatch)
    workers = one.service.workers
    with one.client() as client:
        jobs = [client.submit(clip)]  # the worker of jobs is busy with it
        assert gate.entered.acquire(timeout=LONG_S)
        jobs += [client.submit(clip) for _ in range(2)]
        with pytest.raises(ServiceError) as full:
            client.submit(clip)
        assert (full.value.status, full.value.kind) == (429, "busy")
        assert full.value.retry_after >= 1
        client.cancel(jobs[1].id)  # one that waits
        client.cancel(jobs[0].id)  # one that runs
        until(lambda: client.job(jobs[0].id).state == "cancelled")
        assert client.job(jobs[1].id).state == "cancelled"
        problem(one.http.get(f"/v1/jobs/{jobs[1].id}/result"), 409, "conflict")
        # Requests have a worker of their own; one that is late, or whose client goes, is not finished.
        problem(one.http.post("/v1/localize?deadline=0.2", content=clip.read_bytes()), 408, "deadline")
        data = clip.read_bytes()
        head = f"POST /v1/localize HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        while gate.entered.acquire(blocking=False):
            pass
        with socket.create_connection(("127.0.0.1", one.port)) as leaving:
            leaving.sendall(head.encode() + data)
            assert gate.entered.acquire(timeout=LONG_S)
        until(lambda: workers.running <= 1)
        gate.open.set()
        assert len(client.wait(jobs[2].id)) >= 0
        for one_job in jobs:
            client.forget(one_job.id)
    until(lambda: list(one.service.spool.folder.iterdir()) == [])


def test_a_full_disk_delays_a_job_and_loses_none(one, clip, monkeypatch):
    store, refusals = one.service.store, []
    monkeypatch.setattr(job_store, "AGAIN_S", 0.001)
    for name in ("begin", "finish"):
        real = getattr(store, name)

        def full(*args, real=real, name=name):
            if refusals.count(name) < 3:
                refusals.append(name)
                raise sqlite3.OperationalError("database or disk is full")
            return real(*args)

        monkeypatch.setattr(store, name, full)
    with one.client() as client:
        job = client.submit(clip, min_score=0.0)
        assert len(client.wait(job.id)) > 0
        assert refusals == ["begin"] * 3 + ["finish"] * 3
        client.forget(job.id)
        monkeypatch.setattr(store, "add", full)
        refusals.clear()
        with pytest.raises(ServiceError) as refused:
            client.submit(clip)
        assert (refused.value.status, refused.value.kind) == (507, "storage")
    assert list(one.service.spool.folder.iterdir()) == []


def test_long_videos_become_jobs_and_too_long_ones_are_refused(one, clip, monkeypatch):
    options = one.service.options
    monkeypatch.setattr(type(options), "__setattr__", object.__setattr__)
    monkeypatch.setattr(options, "sync_seconds", 1.0)
    said = one.http.post("/v1/localize", content=clip.read_bytes())
    assert said.status_code == 202
    assert said.headers["location"] == f"/v1/jobs/{said.json()['id']}"
    with one.client() as client:
        client.wait(said.json()["id"])
        client.forget(said.json()["id"])
    monkeypatch.setattr(options, "max_duration", 1.0)
    assert "4.0 s long" in problem(one.http.post("/v1/localize", content=clip.read_bytes()), 413, "too-large")


# -- tokens, and the end ------------------------------------------------------------------------------


def test_tokens_guard_everything_but_probes(tmp_path, plan_path, clip):
    from websockets.sync.client import connect

    token = "a-token-of-some-length"
    with running(tmp_path, plan=plan_path, tokens=(token,)) as one:
        for path in ("/v1/plans", "/metrics", "/openapi.json", "/v2", "/label-studio/health", "/nothing", "/page"):
            said = one.http.get(path)
            problem(said, 401, "unauthorized")
            assert said.headers["www-authenticate"].startswith("Bearer")
        for wrong in ("Bearer x", f"Bearer {token[:-1]}", f"Bearer {token}x", "Basic !", "Basic", "Bearer \xff"):
            problem(one.http.get("/v1", headers={"Authorization": wrong.encode("latin-1")}), 401, "unauthorized")
        assert one.http.get("/healthz").status_code == 200
        basic = base64.b64encode(f"anybody:{token}".encode()).decode()
        assert one.http.get("/label-studio/health", headers={"Authorization": f"Basic {basic}"}).status_code == 200
        with one.client(token) as client:
            assert client.localize(clip).info.source == "clip.mp4"
            list(client.push([(np.zeros((48, 64, 3), np.uint8), 0.0)], "cam"))
        where = f"ws://127.0.0.1:{one.port}/v1/streams/cam/events"
        with pytest.raises(Exception, match="HTTP 401"):
            connect(where)
        with connect(where, subprotocols=["tal.v1", f"bearer.{token}"]) as browser:
            assert browser.subprotocol == "tal.v1"
            assert json.loads(browser.recv())["type"] in ("event", "end")


def test_a_service_that_ends_puts_its_jobs_back_and_the_next_one_does_them(tmp_path, plan_path, clip, monkeypatch):
    with running(tmp_path, plan=plan_path, sources=(f"door={clip}",), workers=1) as one:
        gate = Gate(one.service, monkeypatch)
        monkeypatch.setattr(type(one.service.options), "__setattr__", object.__setattr__)
        one.service.options.drain_seconds = 0.1
        with one.client() as client:
            jobs = [client.submit(clip, min_score=0.0) for _ in range(2)]
            assert gate.entered.acquire(timeout=LONG_S)
            client.start_stream("door", realtime=True)
        one.server.should_exit = True
        until(lambda: one.service.draining.is_set())
    assert not one.service.workers.alive
    monkeypatch.undo()
    with running(tmp_path, plan=plan_path) as one, one.client() as client:
        for job in jobs:
            assert len(client.wait(job.id)) > 0
            assert client.job(job.id).attempts == 1
