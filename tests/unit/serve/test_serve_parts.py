"""The parts of a service on their own: options, allowed sources, jobs on the disk, uploads, tensors, events."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the service needs [serve]")
pytest.importorskip("uvicorn", reason="the service needs [serve]")
pytest.importorskip("httpx", reason="the service needs [serve]")

import httpx
from fastapi import FastAPI

from tal_engine import errors
from tal_engine.errors import PlanError, TALError, UsageError
from tal_engine.serve.allowed import AllowedSources
from tal_engine.serve.api_push import decoded, jpeg_size
from tal_engine.serve.event_log import EventLog
from tal_engine.serve.guard import Guard, Tokens
from tal_engine.serve.job_store import MOST_ATTEMPTS, Job, JobStore
from tal_engine.serve.labelling_config import parse_config
from tal_engine.serve.page_files import add_page
from tal_engine.serve.plans import Plans
from tal_engine.serve.problems import ERRORS, KINDS, ProblemError, problem_of
from tal_engine.serve.settings import ServeOptions, read_tokens
from tal_engine.serve.spool import Spool
from tal_engine.serve.task import Task
from tal_engine.serve.tensors import request_of, response_of
from tal_engine.serve.wanted import Wanted
from tal_engine.serve.work import Workers
from tests.events import event
from tests.makers import tiny_plan

# -- options ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": "0.0.0.0"}, {"host": "example.org"}, {"tokens": ("short",)}, {"tls_cert": "x.pem"}, {"queue": 0},
        {"deadline": float("nan")}, {"port": 65536}, {"max_duration": float("inf")}, {"drain_seconds": -1.0},
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError, match=r"must be|given together"):
        ServeOptions(**wrong)


def test_a_network_is_served_with_tokens_or_when_told(tmp_path, monkeypatch):
    monkeypatch.setenv("TAL_SERVE_TOKENS", "from-the-environment-1")
    file = tmp_path / "tokens"
    file.write_text("# of the dashboard\nfrom-the-file-000001\n\n")
    tokens = read_tokens(file)
    assert tokens == ("from-the-environment-1", "from-the-file-000001")
    assert ServeOptions(host="0.0.0.0", tokens=tokens).host_names is None
    assert ServeOptions(host="0.0.0.0", open_to_all=True).host_names is None
    assert ServeOptions(hosts=("tal.local",)).host_names == {"localhost", "127.0.0.1", "[::1]", "tal.local"}
    known = Tokens(tokens)
    assert known.know(tokens[0])
    assert known.know(tokens[1])
    assert not known.know(tokens[0][:-1])
    assert not known.know("")
    file.write_text("# none\n")
    with pytest.raises(UsageError, match="no token"):
        read_tokens(file)


def test_a_page_is_open_and_nothing_beside_it(tmp_path):
    (tmp_path / "page").mkdir()
    (tmp_path / "secret").write_text("no")
    app = FastAPI()
    assert not add_page(app, tmp_path / "page")
    (tmp_path / "page" / "index.html").write_text("<title>here</title>")
    assert add_page(app, tmp_path / "page")
    app.get("/v1/plans")(lambda: "not without a token")

    async def look():
        guarded = Guard(app, ServeOptions(tokens=("a-token-of-some-length",)))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://tal") as client:
            assert (await client.get("/page/")).text == "<title>here</title>"
            assert (await client.get("/")).headers["location"] == "/page/"
            for path in ("/page/../v1/plans", "/page/..%2fsecret", "/page/%2e%2e/secret", "/page//etc/passwd"):
                said = await client.get(path)
                assert said.status_code in (401, 404), path
                assert "root:" not in said.text

    asyncio.run(look())


def test_a_plan_of_a_folder_that_cannot_be_read_is_left_out(tmp_path, caplog):
    (tmp_path / "a.plan").write_bytes(b"PK\x03\x04no plan")
    only = Plans(ServeOptions(plan_dir=tmp_path))
    with pytest.raises(PlanError, match=r"a\.plan"):
        only.model(None)
    tiny_plan(tmp_path / "b.plan", encoders=False)
    assert not caplog.messages
    plans = Plans(ServeOptions(plan_dir=tmp_path))
    assert plans.default == "b"
    assert list(plans.unusable()) == ["a"]
    (said,) = caplog.messages  # once for each file
    assert said.startswith(f"plan a is left out: {tmp_path}")
    assert str(tmp_path) not in plans.unusable()["a"]
    with pytest.raises(PlanError, match=r"a\.plan"):
        Plans(ServeOptions(plan=tmp_path / "a.plan", plan_dir=tmp_path)).model(None)
    (tmp_path / "a.plan").write_bytes((tmp_path / "b.plan").read_bytes())
    assert plans.unusable() == {}


# -- sources ----------------------------------------------------------------------------------------

ALLOWED = AllowedSources(["https://media.example/clips/", "rtsp://cam.local", "door=rtsp://me:secret@cam/1"])


@pytest.mark.parametrize(
    "address",
    ["https://media.example/clips/a.mp4", "HTTPS://MEDIA.example:443/clips/b/c.mp4?x=1", "rtsp://cam.local/2"],
)
def test_addresses_below_an_entry_are_allowed(address):
    assert ALLOWED.address(address) == address


@pytest.mark.parametrize(
    "trick",
    [
        "https://media.example/clips", "https://media.example/clips/../secret", "https://media.example/clips/%2e%2e/x",
        "https://media.example/clips/%252e%252e/x", "https://media.example/clipsandmore/x", "https://evil.example/clips/x",
        "https://media.example@evil.example/clips/x", "https://me:pw@media.example/clips/x",
        "https://media.example:8443/clips/x", "http://media.example/clips/x", "https://media.example\\@evil/clips/x",
        "https://media.example.evil/clips/x", "/etc/passwd", "file:///etc/passwd", "clip.mp4", "playlist:x.m3u8", "-",
        "0", "https://media.example/clips/\nx", "https://[::1/clips/", "", "rtsp://me:secret@cam/1", "https:///clips/x",
        "https://media.example/clips/..%5c..%5cx", "https://media.example/clips/..;/x", "https://media.example/clips/%2e;a/x",
        "https://media.example/clips/a b", "concat:https://media.example/clips/x",
    ],
)  # fmt: skip
def test_everything_else_is_refused(trick):
    """A beginning ends at a name's end; what two readers could read in two ways is read by none."""
    if trick == "https://media.example/clips":
        assert ALLOWED.address(f"{trick}/") == f"{trick}/"
    with pytest.raises(ProblemError) as refused:
        ALLOWED.address(trick)
    assert refused.value.status == 403
    assert "secret@" not in refused.value.detail


def test_a_named_source_keeps_its_password():
    assert ALLOWED.named == ["door"]
    assert ALLOWED.source("door") == "rtsp://me:secret@cam/1"
    for wrong in ("ftp://x/", "https://me:pw@x/", "https://", "no address", "https://x/?q"):
        with pytest.raises(UsageError, match="allowed source is"):
            AllowedSources([wrong])


# -- jobs -------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    store = JobStore(tmp_path)
    yield store
    store.close()


def job(number, key=None):
    return Job(f"job{number}", Wanted("tiny", f"{number}.mp4"), key=key, file=f"{number}.media", created=float(number))


def reopened(store, folder):
    """What a service finds after one that did not close its store."""
    store.close()
    return JobStore(folder)


def test_accepted_jobs_are_there_after_a_crash_and_finished_ones_stay_finished(store, tmp_path):
    for number in range(4):
        store.add(job(number))
    assert store.begin("job0")
    assert store.finish("job0", "done", {"x": 1})
    assert store.begin("job1")  # it runs when the service dies
    assert store.finish("job2", "cancelled")
    store = reopened(store, tmp_path)
    try:
        assert [j.id for j in store.recover()] == ["job1", "job3"]
        assert not store.begin("job0")
        assert not store.begin("job2")
        assert not store.finish("job0", "failed")
        assert store.result("job0") == {"x": 1}
        assert store.begin("job1")
        assert store.get("job1").attempts == 2
        assert store.counts() == {"queued": 1, "running": 1, "done": 1, "failed": 0, "cancelled": 1}
        assert store.get("job3") == job(3)
        store.put_back("job1")
        assert store.get("job1").attempts == 1
    finally:
        store.close()


def test_a_job_that_takes_the_service_down_fails_at_last(store):
    store.add(job(1))
    for _ in range(MOST_ATTEMPTS):
        assert [j.id for j in store.recover()] == ["job1"]
        assert store.begin("job1")
    assert store.recover() == []
    failed = store.get("job1")
    assert failed.state == "failed"
    assert f"{MOST_ATTEMPTS} times" in failed.problem["detail"]
    assert failed.problem["status"] == 500


def test_a_key_is_accepted_once(store):
    assert store.add(job(1, "a")).id == "job1"
    again = replace(job(2, "a"), wanted=job(1).wanted)
    assert store.add(again).id == "job1"
    for change in ({"url": "https://x/"}, {"top_k": 0}, {"plan": "other"}):
        with pytest.raises(ProblemError, match="'a', that of job job1"):
            store.add(replace(again, wanted=replace(again.wanted, **change)))
    assert store.get("job2") is None
    one, other = (replace(job(3).wanted, digest=digest) for digest in ("1", "2"))
    assert not one.same(other)
    assert one.same(job(3).wanted)  # accepted by a version that kept no digest


def test_one_service_at_a_time_uses_a_state(store, tmp_path):
    with pytest.raises(UsageError, match="another service uses this state"):
        JobStore(tmp_path)
    store.close()
    (tmp_path / "jobs.sqlite").write_bytes(b"something else entirely" * 100)
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"jobs.sqlite{suffix}").unlink(missing_ok=True)
    with pytest.raises(UsageError, match="not a store of jobs"):
        JobStore(tmp_path)
    (tmp_path / "jobs.sqlite").unlink()
    JobStore(tmp_path).close()  # nothing of the failures is left
    db = sqlite3.connect(tmp_path / "jobs.sqlite")
    db.execute("PRAGMA user_version=9")
    db.close()
    with pytest.raises(UsageError, match="version 9"):
        JobStore(tmp_path)


def test_a_store_of_a_version_without_progress_is_taken_over(store, tmp_path):
    store.add(job(1))
    store.close()
    db = sqlite3.connect(tmp_path / "jobs.sqlite")
    for column in ("done", "total"):
        db.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
    db.close()
    store = JobStore(tmp_path)
    try:
        assert store.get("job1") == job(1)
        store.finish("job1", "failed", progress=(3.0, 60.0))
        assert (store.get("job1").done, store.get("job1").total) == (3.0, 60.0)
    finally:
        store.close()


def test_old_jobs_are_forgotten(tmp_path):
    now = [1000.0]
    store = JobStore(tmp_path, lambda: now[0])
    for number in range(6):
        store.add(job(number))
        if number:
            now[0] += 10
            store.finish(f"job{number}", "done", {})
    assert not store.forget("job0")
    assert store.forget_old(25, 100) == 2
    assert store.forget_old(1e9, 2) == 1
    assert [j.id for j in store.list()] == ["job5", "job4", "job0"]
    store.close()


def test_neither_requests_nor_jobs_wait_for_ever(tmp_path):
    def order(workers, requests_only):
        line = Workers(ServeOptions(workers=workers), None, None, None)
        for number in range(3):
            line._requests.append(Task(Wanted("p", f"r{number}"), None))
            line._jobs.append(Task(Wanted("p", f"j{number}"), None, job=True))
        return [line._next(requests_only).wanted.source for _ in range(3 if requests_only else 6)]

    assert order(1, False) == ["r0", "j0", "r1", "j1", "r2", "j2"]
    assert order(2, True) == ["r0", "r1", "r2"]
    assert order(2, False) == ["j0", "j1", "j2", "r0", "r1", "r2"]


# -- uploads ----------------------------------------------------------------------------------------


def test_a_body_that_breaks_off_or_is_too_large_leaves_nothing(tmp_path):
    spool = Spool(tmp_path / "spool", 3 << 20)

    async def pieces(count, fails=False):
        for _ in range(count):
            yield b"x" * (1 << 20)
        if fails:
            raise ConnectionError("gone")

    def take(*args, name="../../evil.MP4"):
        return asyncio.run(spool.take(pieces(*args), name))

    path = take(2)
    assert path.parent == spool.folder
    assert path.suffix == ".mp4"
    assert "evil" not in path.name
    for wrong, kind in ((4, ProblemError), (0, ProblemError)):
        with pytest.raises(kind):
            take(wrong)
    with pytest.raises(ConnectionError):
        take(1, True)
    assert list(spool.folder.iterdir()) == [path]
    assert spool.used == 2 << 20
    spool.remove(path)
    spool.remove(path)
    assert spool.used == 0


# -- tensors ----------------------------------------------------------------------------------------


def tensor(**changes):
    return {"name": "rgb", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0], **changes}


def body(*inputs, **more):
    return json.dumps({"inputs": list(inputs), **more}).encode()


#: A number of bytes that is no whole number, though equal to one.
FRACTION = body(tensor(data=None, parameters={"binary_data_size": 8.0}))


def test_tensors_in_json_and_behind_it():
    _, flat = request_of(body(tensor()), None)
    _, nested = request_of(body(tensor(data=[[1, 2]])), None)
    text = body(tensor(data=None, parameters={"binary_data_size": 8}))
    _, raw = request_of(text + np.array([1, 2], "<f4").tobytes(), str(len(text)))
    for found in (flat, nested, raw):
        assert np.array_equal(found["rgb"], np.array([[1, 2]], np.float32))
    out = {"cas": np.array([[0.5, np.inf]], np.float32)}
    text, length = response_of("m", {"id": "7", "parameters": {"binary_data_output": True}}, out)
    assert np.array_equal(np.frombuffer(text[length:], "<f4"), out["cas"][0])
    text, length = response_of("m", {"outputs": ["cas"]}, out)
    assert length is None
    assert json.loads(text)["outputs"][0]["data"] == [0.5, None]


@pytest.mark.parametrize(
    ("data", "length", "words"),
    [
        (b"{", None, "not JSON"), (b"[]", None, "list of inputs"), (body(1), None, "object with a name"),
        (body(tensor(datatype="BYTES")), None, "must be 'FP32'"), (body(tensor(shape=[1, 2**40])), None, "sizes"),
        (body(tensor(shape=[1, True])), None, "positive sizes"), (body(tensor(data=[1])), None, "list of 2"),
        (body(tensor(data=["a", "b"])), None, "list of 2 num"), (body(tensor(data=[1, [2]])), None, "list of 2"),
        (body(tensor(data=[1e39, 1])), None, "infinite"), (body(tensor(), tensor()), None, "given twice"),
        (body(tensor()), "9999", "must be at most"), (body(tensor()), "-1", "must be at most"),
        (body(tensor()) + b"xx", str(len(body(tensor()))), "left behind"),
        (body(tensor(parameters={"binary_data_size": 10**9})), None, "raw bytes"),
        (body(tensor(parameters={"binary_data_size": "8"})), None, "raw bytes"),
        (FRACTION + bytes(8), str(len(FRACTION)), "raw bytes"),
    ],
)  # fmt: skip
def test_malformed_tensors_are_refused(data, length, words):
    with pytest.raises((ProblemError, UsageError), match=words):
        request_of(data, length)


# -- frames, labels, events, errors ------------------------------------------------------------------


def test_a_jpeg_that_declares_gigabytes_is_not_decoded():
    import cv2

    from tal_engine.limits import Limits

    image = np.full((40, 60, 3), (200, 30, 30), np.uint8)
    data = cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()
    assert jpeg_size(data) == (60, 40)
    assert np.abs(decoded(data, "x", Limits()).astype(int) - image).max() < 12
    at = data.index(b"\xff\xc0") + 5
    bomb = data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :]
    for wrong, words in ((bomb, "65535 x 65535"), (data[:30], "no JPEG"), (b"GIF89a" * 9, "no JPEG")):
        with pytest.raises(errors.VideoError, match=words):
            decoded(wrong, "x", Limits())


@pytest.mark.parametrize(
    "text",
    ["", "<View>", '<!DOCTYPE x [<!ENTITY a "b">]><View>&a;</View>', "<View/>",
     '<View><TimelineLabels name="l" toName="other"/><Video name="v"/></View>',
     '<View><TimelineLabels name="l" toName="v"/><Video name="v" frameRate="0"/></View>'],
)  # fmt: skip
def test_labelling_set_ups_without_a_timeline_are_refused(text):
    with pytest.raises(UsageError):
        parse_config(text)


def test_listeners_read_on_where_they_were_and_learn_what_they_missed():
    log = EventLog(kept=3)
    numbers = [log.add(event()) for _ in range(5)]
    assert numbers == [1, 2, 3, 4, 5]
    missed, found = log.after(0)
    assert (missed, [t.number for t in found]) == (2, [3, 4, 5])
    assert [t.number for t in log.after(4)[1]] == [5]
    assert log.after(5) == (0, [])
    assert log.number_of(f"{log.epoch}-4") == 4
    for foreign in ("", "x-4", f"{log.epoch}-", f"{log.epoch}-99999999999999999999", "4"):
        assert log.number_of(foreign) == 0

    async def wait():
        waiting = asyncio.create_task(log.changed(5, 60))
        await asyncio.sleep(0)
        await asyncio.to_thread(log.add, event())
        await waiting
        await log.changed(6, 0.001)  # nothing came: it ends all the same
        log.close()
        await log.changed(6, 60)

    asyncio.run(wait())


def test_every_error_has_a_problem_and_no_path_is_told():
    kinds = [
        e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, TALError) and e.__name__[0] != "_"
    ]
    kinds.remove(TALError)
    lab = (errors.ExportError, errors.CheckpointError, errors.TrainingError, errors.FitError, errors.FlowError,
           errors.SnapshotError, errors.ServiceError)  # fmt: skip
    for kind in kinds:
        assert any(issubclass(kind, base) for base, _ in ERRORS) or issubclass(kind, lab), kind
    assert {name for _, name in ERRORS} <= KINDS.keys()
    told = problem_of(errors.VideoError(errors.VideoFault.NOT_A_VIDEO, "/srv/a.media: no"), {"/srv/a.media": "my.mp4"})
    assert told.document == {
        "type": "/v1/problems/bad-video", "title": "The video cannot be used", "status": 422, "detail": "my.mp4: no",
    }  # fmt: skip
    assert problem_of(OSError(28, "No space left on device")).status == 507
    hidden = problem_of(ValueError("/etc/secret"))
    assert hidden.status == 500
    assert "secret" not in hidden.detail
    assert ProblemError("not-found", "half \ud800").response().status_code == 404
