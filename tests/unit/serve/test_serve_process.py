"""`tal serve` as a process: it is killed and told to stop, it speaks TLS, and it refuses what it cannot serve."""

from __future__ import annotations

import re
import signal
import socket
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("fastapi", reason="the service needs [serve]")
pytest.importorskip("uvicorn", reason="the service needs [serve]")
pytest.importorskip("httpx", reason="the service needs [serve]")

import httpx
from typer.testing import CliRunner

from tal_engine.cli import main
from tal_engine.client import Client
from tal_engine.errors import UsageError
from tal_engine.serve.server import listen
from tal_engine.serve.settings import ServeOptions
from tests.serving import running
from tests.waiting import the_rest, until


def start(state, plan):
    words = ["serve", "--plan", plan, "--state", state, "--port", 0, "--workers", 1, "--device", "cpu", "--threads", 1]
    child = subprocess.Popen(
        [sys.executable, "-m", "tal_engine", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = child.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
    assert found, line + the_rest(child)[1]
    return child, f"http://127.0.0.1:{found[1]}"


def test_no_accepted_job_is_lost_or_done_twice_where_the_service_is_killed(tmp_path, plan_path, clip):
    child, base = start(tmp_path, plan_path)
    with Client(base) as client:
        until(client.ready)
        jobs = [client.submit(clip, min_score=0.0).id for _ in range(20)]
        until(lambda: client.jobs("done"))
        done = {j.id: j.finished for j in client.jobs("done")}
        child.kill()
        the_rest(child)
    child, base = start(tmp_path, plan_path)
    with Client(base) as client:
        until(client.ready)
        assert {j.id for j in client.jobs(limit=1000)} == set(jobs)
        results = [client.wait(job).segments for job in jobs]
        after = {j.id: j for j in client.jobs(limit=1000)}
        assert len(after) == 20
        assert all(j.state == "done" for j in after.values())
        assert all(segments == results[0] for segments in results)
        assert {id_: after[id_].finished for id_ in done} == done
        assert sum(j.attempts == 2 for j in after.values()) <= 1  # the one that ran
        assert max(j.attempts for j in after.values()) <= 2
        assert list((tmp_path / "spool").iterdir()) == []
        with socket.create_connection(("127.0.0.1", int(base.rpartition(":")[2]))) as upload:
            upload.sendall(b"POST /v1/localize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")
            until(lambda: list((tmp_path / "spool").iterdir()))  # it waits for the other half
            child.send_signal(signal.SIGTERM)
            until(lambda: not client.ready())
            child.send_signal(signal.SIGTERM)  # and nothing is waited for any more
            said = the_rest(child)[1]
    assert child.returncode in (143, -signal.SIGTERM)
    assert "Traceback" not in said


def certificate(folder):
    x509 = pytest.importorskip("cryptography.x509", reason="makes the certificate")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    form = serialization.PrivateFormat.PKCS8
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return folder / "cert.pem", folder / "key.pem"


def test_tls(tmp_path, plan_path, clip):
    cert, key = certificate(tmp_path)
    trusted = ssl.create_default_context(cafile=cert)
    with running(tmp_path / "state", plan=plan_path, tls_cert=cert, tls_key=key) as one:
        with httpx.Client(verify=trusted) as http, Client(f"https://localhost:{one.port}", http=http) as client:
            assert client.ready()
            assert client.localize(clip).info.source == "clip.mp4"
        with Client(one.base) as plain:
            assert not plain.ready()
        with pytest.raises(UsageError, match="cannot be had"):
            listen(ServeOptions(port=one.port))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "loopback"), (["--plan-dir", "EMPTY"], "no plan"), (["--plan", "no.plan"], "no such"),
        (["--tls-cert", "no.pem", "--tls-key", "no.pem"], "no certificate"), (["--host", "256.1.1.1"], "loopback"),
        (["--allow-source", "nonsense"], "allowed source is"), (["--state", "/proc/no"], "--state"),
        (["--fit-command", "'"], "quotes"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_refused_before_it_listens(tmp_path, words, said):
    main._register()
    words = [str(tmp_path) if w == "EMPTY" else w for w in words]
    state = [] if "--state" in words else ["--state", str(tmp_path / "state")]
    ended = CliRunner().invoke(main.app, ["serve", "--port", "0", *state, *words])
    assert said in str(ended.exception)
