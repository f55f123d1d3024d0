"""Signatures of plans: who made a plan, which its hashes cannot tell.

A signature is a file of its own beside the plan, so that the plan stays what every reader knows. It is of the whole
file, byte for byte, in minisign's form (ed25519 over the BLAKE2b hash): `minisign -Vm x.plan -p NAME.pub` verifies what
`tal plan sign` wrote, and the other way round. The cryptography is that of the `cryptography` package.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from .._util.extras import need
from .._util.files import write_text
from .._util.untrusted import decode, read_bytes
from ..errors import PlanError, PlanFault, UsageError

#: Ending of a plan's signature, after that of the plan.
SUFFIX = ".minisig"
#: Environment variable with the password of a private key.
PASSWORD = "TAL_KEY_PASSWORD"  # noqa: S105 - the name of a variable

_KEY_KIND, _HASHED = b"Ed", b"ED"
_ID_BYTES, _KEY_BYTES, _SIGNATURE_BYTES = 8, 32, 64
_TRUSTED = "trusted comment: "
#: Most bytes of a file with a key or a signature.
_LIMIT = 16_384


class PublicKey(NamedTuple):
    """A key to verify with: 32 bytes, and the number that its signatures carry; b"" where it is not known."""

    id: bytes
    key: bytes


def signature_path(plan: str | Path) -> Path:
    """Return where the signature of a plan lies."""
    return Path(f"{plan}{SUFFIX}")


def read_public_key(key: str | Path) -> PublicKey:
    """Read a public key.

    Args:
        key: a file of `tal plan keygen` or minisign, a PEM file, or the key itself ("RW...", as minisign -P takes it).

    Raises:
        UsageError: it is none of these.
    """
    text = str(key)
    if Path(key).is_file():
        text = decode(read_bytes(key, "public key", UsageError, _LIMIT), key, "public key", UsageError)
    if "-----BEGIN" in text:
        return PublicKey(b"", _of_pem(text, key))
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("untrusted comment:")]
    raw = _unpacked(lines[0]) if len(lines) == 1 else b""
    if len(raw) != len(_KEY_KIND) + _ID_BYTES + _KEY_BYTES or not raw.startswith(_KEY_KIND):
        what = f"{key}: no such file, and" if not Path(key).is_file() else f"{key}:"
        raise UsageError(f"{what} not a public key: give NAME.pub of tal plan keygen or minisign, or the key in it")
    return PublicKey(raw[2 : 2 + _ID_BYTES], raw[2 + _ID_BYTES :])


def _of_pem(text: str, key: str | Path) -> bytes:
    load = need("cryptography.hazmat.primitives.serialization").load_pem_public_key
    kind = need("cryptography.hazmat.primitives.asymmetric.ed25519").Ed25519PublicKey
    found = None
    with suppress(ValueError, TypeError, need("cryptography.exceptions").UnsupportedAlgorithm):
        found = load(text.encode())
    if not isinstance(found, kind):
        raise UsageError(f"{key}: not the PEM of an ed25519 public key")
    return bytes(found.public_bytes_raw())


def verified(data: bytes, plan: str | Path, key: str | Path, signature: str | Path | None = None) -> str:
    """Verify the signature of a plan's bytes.

    Args:
        data: all bytes of the plan's file.
        plan: its path, for messages, and beside which the signature lies.
        key: see `read_public_key`.
        signature: file of the signature, if it lies elsewhere.

    Returns:
        The comment that was signed with it: when, and which file.

    Raises:
        PlanError: `UNSIGNED`: there is no signature; `BAD_SIGNATURE`: it is damaged, by another key, or of other bytes.
        UsageError: `key` is no public key.
    """
    public = read_public_key(key)
    path = signature_path(plan) if signature is None else Path(signature)
    if not path.is_file():
        raise PlanError(PlanFault.UNSIGNED, f"{plan}: is not signed, there is no {path}; a signature is required")
    bad = partial(PlanError, PlanFault.BAD_SIGNATURE)
    text = decode(read_bytes(path, "signature", bad, _LIMIT), path, "signature", bad)
    lines = text.splitlines()
    raw, whole = (_unpacked(line) for line in (lines[1], lines[3])) if len(lines) == 4 else (b"", b"")
    head = len(_HASHED) + _ID_BYTES
    formed = len(raw) == head + _SIGNATURE_BYTES and len(whole) == _SIGNATURE_BYTES and lines[2].startswith(_TRUSTED)
    if not formed or not raw.startswith(_HASHED):
        raise bad(f"{path}: is not a signature as tal plan sign or minisign writes it")
    number, signed, comment = raw[2:head], raw[head:], lines[2].removeprefix(_TRUSTED)
    if public.id and number != public.id:
        raise bad(f"{plan}: is signed by another key, number {_shown(number)}, required is {_shown(public.id)}")
    if not _holds(public.key, signed, hashlib.blake2b(data).digest()):
        raise bad(f"{plan}: the signature {path} is not of these bytes by this key: the plan was changed or exchanged")
    if not _holds(public.key, whole, signed + comment.encode()):
        raise bad(f"{path}: the comment of the signature was changed")
    return comment


def _holds(key: bytes, signature: bytes, message: bytes) -> bool:
    ed25519 = need("cryptography.hazmat.primitives.asymmetric.ed25519")
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except need("cryptography.exceptions").InvalidSignature:
        return False
    return True


def generate(private: str | Path, public: str | Path, password: str = "") -> PublicKey:
    """Make a pair of keys and write them; files that are there are not replaced.

    Args:
        private: PEM file (PKCS #8), readable by its owner only.
        public: minisign's form.
        password: that encrypts the private key; "" leaves it readable.

    Raises:
        UsageError: one of the files is there.
    """
    for path in (private, public):
        if Path(path).exists():
            raise UsageError(f"{path}: is there already; a key that was used is not replaced")
    serialization = need("cryptography.hazmat.primitives.serialization")
    key = need("cryptography.hazmat.primitives.asymmetric.ed25519").Ed25519PrivateKey.generate()
    how = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
    Path(private).parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    made = _public_of(key)
    packed = base64.b64encode(_KEY_KIND + made.id + made.key).decode()
    write_text(public, f"untrusted comment: minisign public key {_shown(made.id)}\n{packed}\n")
    return made


def sign(plan: str | Path, data: bytes, private: str | Path, password: str = "", *, now: float | None = None) -> Path:
    """Sign a plan's bytes and write the signature beside the plan.

    Args:
        plan: its path.
        data: all bytes of that file.
        private: PEM file of an ed25519 key, of `tal plan keygen` or `openssl genpkey -algorithm ed25519`.
        password: of the private key; "" if it has none.
        now: seconds since 1970 that the comment says; None takes the time.

    Returns:
        The file of the signature.

    Raises:
        UsageError: the key cannot be read, is of another kind, or needs a password.
    """
    key = _private_key(private, password)
    signed = key.sign(hashlib.blake2b(data).digest())
    seconds = int(time.time() if now is None else now)
    name = "".join(c if c.isprintable() else "_" for c in Path(plan).name)
    comment = f"timestamp:{seconds}\tfile:{name}\thashed"
    lines = (
        "untrusted comment: signature from tal plan sign",
        base64.b64encode(_HASHED + _public_of(key).id + signed).decode(),
        f"{_TRUSTED}{comment}",
        base64.b64encode(key.sign(signed + comment.encode())).decode(),
    )
    path = signature_path(plan)
    write_text(path, "".join(f"{line}\n" for line in lines))
    return path


def _private_key(path: str | Path, password: str) -> Any:
    load = need("cryptography.hazmat.primitives.serialization").load_pem_private_key
    kind = need("cryptography.hazmat.primitives.asymmetric.ed25519").Ed25519PrivateKey
    pem = read_bytes(path, "private key", UsageError, _LIMIT)
    try:
        key = load(pem, password.encode() or None)
    except TypeError as e:  # a password that is missing, or not needed
        why = f"is encrypted: set {PASSWORD}" if not password else f"is not encrypted, but {PASSWORD} is set"
        raise UsageError(f"{path}: {why}") from e
    except Exception as e:  # the library's errors differ by what is wrong and by its version
        raise UsageError(f"{path}: not a private key in PEM form, or another password ({e})") from e
    if not isinstance(key, kind):
        raise UsageError(f"{path}: is not an ed25519 key, but {type(key).__name__}")
    return key


def _public_of(key: Any) -> PublicKey:
    """Derive the public key, with a number computed from the key, so that it has the same one everywhere."""
    raw = bytes(key.public_key().public_bytes_raw())
    return PublicKey(hashlib.blake2b(raw, digest_size=_ID_BYTES).digest(), raw)


def _unpacked(line: str) -> bytes:
    try:
        return base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _shown(number: bytes) -> str:
    """Format a key's number as minisign does."""
    return number[::-1].hex().upper()
