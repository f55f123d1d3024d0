"""Texts without the passwords in them: for names, logs, errors and files."""

from __future__ import annotations

import re

_KINDS = (
    "pass|passwd|password|pwd|token|key|secret|auth|sig|signature|hmac|md5|jwt|ticket|credential|session(?:_?id)?"
    "|hdn(?:ts|ea|tl)"  # Akamai's
)
_HIDDEN = rf"(?:{_KINDS})="
#: User and password of an address. Of a password that holds / ? # or a blank, which no address may, all goes as well:
#: what follows the first colon is no port then, and the last @ of the line ends it.
_USER = re.compile(r"(?<=://)(?:[^/?#\s]*@|[^/?#\s:@\[\]]*:(?!\d*(?:[/?#\s]|$))[^\n]*@)")
_PARAMETER = re.compile(rf"(?i)([?&;][a-z_-]*{_HIDDEN})[^&#\s]+")
#: Recorders that have no accounts of their own take them in the path: /user=admin_password=x_channel=1.sdp.
_IN_PATH = re.compile(rf"(?i)([/_][a-z-]*{_HIDDEN})[^&#\s/]+?(?=_[a-z]+=|[&#\s/]|$)")


def redact(text: str) -> str:
    """Remove user, password, and parameters that look like secrets from the addresses in `text`."""
    return _IN_PATH.sub(r"\1***", _PARAMETER.sub(r"\1***", _USER.sub("***@", text)))


def redact_address(text: str) -> str:
    """Do the same for an address that may lack its ``//``."""
    return redact(text) if "://" in text else re.sub(r"[^\n]*@", "***@", text)
