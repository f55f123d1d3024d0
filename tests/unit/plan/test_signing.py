"""Signatures of plans: ours and minisign's, and everything that must not pass for one."""

from __future__ import annotations

import base64
import shutil
import stat
import subprocess
from contextlib import suppress

import pytest

pytest.importorskip("cryptography", reason="signatures need the [sign] extra")

from tal_engine import TALEngine
from tal_engine.diagnostics.doctor import examine
from tal_engine.errors import MissingExtraError, PlanError, PlanFault, UsageError
from tal_engine.plan.archive import read_plan, write_plan
from tal_engine.plan.signatures import generate, read_public_key, sign, signature_path, verified
from tests.integration.test_cli import tal
from tests.makers import tiny_plan
from tests.waiting import LONG_S

#: Written by minisign 0.11: `minisign -G -W`, `minisign -Sm x.plan -t "made by minisign 0.11"` of a file "a plan".
MINISIGN_KEY = "RWSMgwW3FcQg1/hnOD79aj9zFqKA3k8GwEEzo3M2snXUozb7uslQELRB"
MINISIGN_SIGNATURE = """\
untrusted comment: signature from minisign secret key
RUSMgwW3FcQg1wL/E/zMJ+iz/wC8tJa8uyCK75U8Ky4OAKBrj75QpBwi9sDBqiJpcqm2lyz0qlE1AA6K2EYXOFtUT9bi7z7oDAY=
trusted comment: made by minisign 0.11
gt/bV19vwnsGEUT9o28SgqmHVUv8uk+UG3B53oXmA4tGLaQ9Z/kT9XxrLKSXIOLHnqgyKTD+55gwRLA4kGF1Dg==
"""


@pytest.fixture
def keys(tmp_path):
    generate(tmp_path / "me.key", tmp_path / "me.pub")
    return tmp_path / "me.key", tmp_path / "me.pub"


@pytest.fixture
def signed(tmp_path, keys):
    path = tmp_path / "x.plan"
    tiny_plan(path)
    sign(path, path.read_bytes(), keys[0])
    return path


def refused(fault, words, call):
    with pytest.raises(PlanError, match=words) as e:
        call()
    assert e.value.fault is fault
    assert e.value.exit_code == 3
    return str(e.value)


def test_a_signed_plan_loads_and_is_the_plan_that_it_was(signed, keys):
    assert TALEngine.load(signed, "cpu", key=keys[1]).plan == read_plan(signed)
    comment = verified(signed.read_bytes(), signed, keys[1])
    assert comment.startswith("timestamp:")
    assert "\tfile:x.plan\t" in comment


def test_an_older_reader_does_not_see_the_signature(tmp_path, signed):
    """It is a file of its own: the plan's bytes are those of the plan without it."""
    tiny_plan(tmp_path / "again.plan")
    assert (tmp_path / "again.plan").read_bytes() == signed.read_bytes()


def test_unsigned(tmp_path, keys):
    tiny_plan(tmp_path / "y.plan")
    refused(PlanFault.UNSIGNED, r"y\.plan: is not signed", lambda: TALEngine.load(tmp_path / "y.plan", key=keys[1]))


def test_the_embedded_plan_is_not_signed_by_anybody(keys):
    refused(PlanFault.UNSIGNED, r"people\.plan: is not signed", lambda: TALEngine.load(key=keys[1]))


@pytest.mark.parametrize("at", [0, 100, -1])
def test_changed_plans(signed, keys, at):
    data = bytearray(signed.read_bytes())
    data[at] ^= 1
    signed.write_bytes(data)
    refused(PlanFault.BAD_SIGNATURE, "not of these bytes", lambda: verified(signed.read_bytes(), signed, keys[1]))


def test_the_signature_is_looked_at_before_the_plan_is(tmp_path, keys):
    """What is not signed reaches no parser."""
    bad = tmp_path / "bad.plan"
    bad.write_bytes(b"PK\x03\x04 and then nothing that is a plan")
    refused(PlanFault.UNSIGNED, "is not signed", lambda: read_plan(bad, key=keys[1]))
    sign(bad, bad.read_bytes(), keys[0])
    with pytest.raises(PlanError) as e:
        read_plan(bad, key=keys[1])
    assert e.value.fault is PlanFault.NOT_A_PLAN


def test_a_signature_of_another_plan(tmp_path, signed, keys):
    other = tmp_path / "other.plan"
    tiny_plan(other, name="other")
    shutil.copy(signature_path(signed), signature_path(other))
    refused(PlanFault.BAD_SIGNATURE, "not of these bytes", lambda: read_plan(other, key=keys[1]))
    # nor does the other plan under the name of this one
    signed.write_bytes(other.read_bytes())
    refused(PlanFault.BAD_SIGNATURE, "not of these bytes", lambda: read_plan(signed, key=keys[1]))


def test_another_key(tmp_path, signed):
    generate(tmp_path / "you.key", tmp_path / "you.pub")
    refused(PlanFault.BAD_SIGNATURE, "signed by another key", lambda: read_plan(signed, key=tmp_path / "you.pub"))


def test_another_key_under_the_number_of_the_right_one(tmp_path, signed, keys):
    """The number is a hint for people and no secret."""
    generate(tmp_path / "you.key", tmp_path / "you.pub")
    sign(signed, signed.read_bytes(), tmp_path / "you.key")
    number = read_public_key(keys[1]).id
    path = signature_path(signed)
    lines = path.read_text().splitlines()
    raw = base64.b64decode(lines[1])
    lines[1] = base64.b64encode(raw[:2] + number + raw[10:]).decode()
    path.write_text("\n".join(lines) + "\n")
    refused(PlanFault.BAD_SIGNATURE, "not of these bytes by this key", lambda: read_plan(signed, key=keys[1]))


def edited(line, change):
    def edit(text):
        lines = text.splitlines()
        lines[line] = change(lines[line])
        return "\n".join(lines) + "\n"

    return edit


@pytest.mark.parametrize(
    "change",
    [
        lambda t: "",
        lambda t: t[: len(t) // 2],
        lambda t: t + "more\n",
        lambda t: t.replace("\n", " "),
        lambda t: "\n".join(t.splitlines()[:3]) + "\n",
        edited(1, lambda s: s[:-8]),
        edited(1, lambda s: s[:20] + ("A" if s[20] != "A" else "B") + s[21:]),
        edited(1, lambda s: "Ä" + s),
        edited(1, lambda s: base64.b64encode(b"Ed" + base64.b64decode(s)[2:]).decode()),
        edited(2, lambda s: s.replace("x.plan", "y.plan")),
        edited(2, lambda s: s.replace("trusted", "other")),
        edited(3, lambda s: base64.b64encode(bytes(64)).decode()),
        edited(3, lambda s: ""),
        lambda t: "\x00" * 300,
        lambda t: t + "#" * 100_000,
    ],
)
def test_damaged_signatures(signed, keys, change):
    path = signature_path(signed)
    path.write_text(change(path.read_text()))
    refused(PlanFault.BAD_SIGNATURE, "minisig", lambda: read_plan(signed, key=keys[1]))


def test_every_flipped_bit_of_a_signature_is_noticed(signed, keys):
    """But for the comment that nobody signs, and base64's unused bits."""
    path = signature_path(signed)
    whole = path.read_bytes()
    begin = whole.index(b"\n") + 1
    for at in range(begin, len(whole), 3):
        hurt = bytearray(whole)
        hurt[at] ^= 1 << at % 7
        path.write_bytes(hurt)
        with suppress(PlanError):  # and no other error
            verified(signed.read_bytes(), signed, keys[1])
            a, b = (content.decode().splitlines() for content in (bytes(hurt), whole))
            assert (a[2], *map(base64.b64decode, a[1::2])) == (b[2], *map(base64.b64decode, b[1::2]))


# -- keys --------------------------------------------------------------------------------------


def test_the_private_key_is_for_its_owner_alone(keys):
    assert stat.S_IMODE(keys[0].stat().st_mode) == 0o600


def test_keys_are_not_replaced(tmp_path, keys):
    before = keys[0].read_bytes()
    with pytest.raises(UsageError, match=r"me\.key: is there already"):
        generate(*keys)
    with pytest.raises(UsageError, match=r"me\.pub: is there already"):
        generate(tmp_path / "other.key", keys[1])
    assert keys[0].read_bytes() == before
    assert not (tmp_path / "other.key").exists()


def test_keys_with_a_password(tmp_path, signed):
    generate(tmp_path / "s.key", tmp_path / "s.pub", "secret")
    data = signed.read_bytes()
    for password, words in (("", "is encrypted: set TAL_KEY_PASSWORD"), ("wrong", "another password")):
        with pytest.raises(UsageError, match=words):
            sign(signed, data, tmp_path / "s.key", password)
    sign(signed, data, tmp_path / "s.key", "secret")
    assert read_plan(signed, key=tmp_path / "s.pub")


def test_a_password_that_is_not_needed(signed, keys):
    with pytest.raises(UsageError, match="is not encrypted"):
        sign(signed, signed.read_bytes(), keys[0], "secret")


def test_what_is_no_public_key(tmp_path, keys, signed):
    (tmp_path / "empty.pub").write_text("")
    (tmp_path / "binary.pub").write_bytes(bytes(range(256)))
    (tmp_path / "large.pub").write_text("A" * 100_000)
    (tmp_path / "pem.pub").write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    for bad in ("nothing", "RWS", *tmp_path.glob("[eblp]*.pub"), keys[0], tmp_path, "AAAA" * 14):
        with pytest.raises(UsageError):
            read_plan(signed, key=bad)


def test_keys_of_other_kinds(tmp_path, signed):
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "ec.key").write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
    public = key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "ec.pub").write_bytes(public)
    with pytest.raises(UsageError, match="is not an ed25519 key"):
        sign(signed, signed.read_bytes(), tmp_path / "ec.key")
    with pytest.raises(UsageError, match="not the PEM of an ed25519 public key"):
        read_plan(signed, key=tmp_path / "ec.pub")


def test_the_key_itself_and_its_pem(tmp_path, signed, keys):
    from cryptography.hazmat.primitives import serialization as s

    assert read_plan(signed, key=keys[1].read_text().splitlines()[1])
    private = s.load_pem_private_key(keys[0].read_bytes(), None)
    pem = private.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "pem.pub").write_bytes(pem)
    assert read_plan(signed, key=tmp_path / "pem.pub")


def test_without_the_extra(monkeypatch, signed, keys):
    def none(module):
        raise MissingExtraError("cryptography is not installed: pip install 'tal-engine[sign]'")

    monkeypatch.setattr("tal_engine.plan.signatures.need", none)
    with pytest.raises(MissingExtraError, match="sign"):
        read_plan(signed, key=keys[1])


# -- minisign ----------------------------------------------------------------------------------


def test_what_minisign_wrote_verifies(tmp_path):
    path = tmp_path / "x.plan"
    signature_path(path).write_text(MINISIGN_SIGNATURE)
    assert verified(b"a plan", path, MINISIGN_KEY) == "made by minisign 0.11"
    refused(PlanFault.BAD_SIGNATURE, "not of these bytes", lambda: verified(b"A plan", path, MINISIGN_KEY))


@pytest.mark.skipif(shutil.which("minisign") is None, reason="the program minisign is not installed")
def test_minisign_verifies_what_we_wrote(tmp_path, signed, keys):
    call = ["minisign", "-Vm", signed, "-p", keys[1]]
    assert subprocess.run(call, capture_output=True, check=False, timeout=LONG_S).returncode == 0
    signed.write_bytes(signed.read_bytes() + b"x")
    assert subprocess.run(call, capture_output=True, check=False, timeout=LONG_S).returncode != 0


# -- the command line --------------------------------------------------------------------------


def test_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_plan(tmp_path / "x.plan")
    assert tal("plan", "keygen", "me").returncode == 0
    assert tal("plan", "verify", "x.plan", "--key", "me.pub").returncode == 3
    done = tal("plan", "sign", "x.plan", "--key", "me.key")
    assert (done.returncode, "x.plan.minisig" in done.stdout) == (0, True)
    done = tal("plan", "verify", "x.plan", "--key", "me.pub")
    assert done.returncode == 0, done.stderr
    assert "signed by this key (timestamp:" in done.stdout
    done = tal("localize", "none.npz", "--plan", "x.plan", "--key", "me.pub")
    assert done.returncode not in (0, 3)  # the plan was taken, its source is not there
    (tmp_path / "x.plan.minisig").rename(tmp_path / "elsewhere")
    assert tal("plan", "verify", "x.plan", "--key", "me.pub", "--signature", "elsewhere").returncode == 0
    done = tal("localize", "none.npz", "--plan", "x.plan", "--key", "me.pub")
    assert (done.returncode, "is not signed" in done.stderr) == (3, True)
    done = tal("plan", "doctor", "x.plan", "--key", "me.pub")
    assert (done.returncode, "is not signed" in done.stdout) == (3, True)
    assert tal("plan", "verify", "x.plan", "--signature", "elsewhere").returncode == 2
    assert tal("plan", "sign", "me.pub", "--key", "me.key").returncode == 1  # no plan


def test_a_key_in_the_environment_is_required_of_every_plan(tmp_path, monkeypatch):
    """So that a deployment cannot forget it."""
    tiny_plan(tmp_path / "x.plan")
    generate(tmp_path / "me.key", tmp_path / "me.pub")
    monkeypatch.setenv("TAL_PLAN_KEY", str(tmp_path / "me.pub"))
    for call in (("localize", "a.npz", "--plan"), ("stream", "a.mp4", "--plan"), ("bench", "--synthetic", "8")):
        done = tal(*call, tmp_path / "x.plan")
        assert done.returncode == 3, (call, done.stderr)


def test_doctor_says_what_helps(tmp_path, signed, keys):
    found = examine(signed, "cpu", key=str(keys[1]))
    assert found.status == 0
    write_plan(signed, tiny_plan(name="another"))
    found = examine(signed, "cpu", key=str(keys[1]))
    assert (found.status, found.findings[0].fix) == (3, "get plan and signature from who made them")
