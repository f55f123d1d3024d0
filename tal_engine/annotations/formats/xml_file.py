"""XML from outside, without entities, and XML to write."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree as ET

from ..._util.files import whole_file
from ..._util.untrusted import guarded, read_bytes
from ...errors import DataError

#: Characters that XML has not, and the carriage return, which every reader takes for a line feed.
UNFIT = "\x00-\x08\x0b-\x1f\ufffe\uffff"


def read_xml(path: Path, what: str, root: str) -> ET.Element:
    """Read the root element of a file.

    Args:
        path: the file.
        what: kind of file ("ELAN file"), for messages.
        root: required name of its root.

    Raises:
        DataError: missing, no XML, entities declared in it, or another root.
    """
    from defusedxml.ElementTree import fromstring

    data = read_bytes(path, what)
    with guarded(path, what):
        found: ET.Element = fromstring(data)
    if found.tag != root:
        raise DataError(f"{path}: its root is <{found.tag[:40]}>, {what} has <{root}>")
    return found


def write_xml(path: Path, root: ET.Element, kind: str = "") -> None:
    """Write a document, indented, UTF-8.

    Args:
        path: the file.
        root: what to write.
        kind: document type to declare; "": none.
    """
    ET.indent(root)
    buffer = io.BytesIO()
    buffer.write(b'<?xml version="1.0" encoding="UTF-8"?>\n')
    buffer.write(f"<!DOCTYPE {kind}>\n".encode() if kind else b"")
    ET.ElementTree(root).write(buffer, encoding="UTF-8", xml_declaration=False)
    with whole_file(path) as temporary:
        temporary.write_bytes(buffer.getvalue() + b"\n")
