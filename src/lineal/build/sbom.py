"""The documents that a scanner has written: SPDX, as in-toto statements or by themselves, in the last layer of the
stage that it ran in (`lineal.dockerfile.scan`)."""

from __future__ import annotations

import json
from typing import Any

from lineal.dockerfile.scan import OUTPUT
from lineal.errors import BuildFailed
from lineal.oci import Store
from lineal.oci.image import content
from lineal.oci.types import Descriptor
from lineal.store.record import MAX_STATEMENT
from lineal.store.statement import SPDX
from lineal.tar.compression import open_archive
from lineal.tar.header import Malformed
from lineal.tar.reader import HeaderReader
from lineal.text import printable

_ENDING = b".spdx.json"
_MOST = 16
"""Documents of one scan."""


def documents(store: Store, layer: Descriptor) -> list[dict[str, Any]]:
    """The SPDX documents in a scanner's layer, by their files' names. Raises `BuildFailed` where there is none, or
    what is none, and `Unreachable` or `MissingContent` for the store."""
    found: dict[bytes, bytes] = {}
    folder = OUTPUT.encode().lstrip(b"/") + b"/"
    try:
        reader = HeaderReader(open_archive(content(store, layer)))
        for header in reader:
            name = header.name.removeprefix(b"./").lstrip(b"/")
            if header.kind != "file" or not name.startswith(folder) or not name.endswith(_ENDING):
                continue
            if header.size > MAX_STATEMENT or len(found) == _MOST:
                raise _refusal(f"wrote more than {_MOST} documents, or one of more than {MAX_STATEMENT >> 20} MiB")
            found[name] = b"".join(reader.content())
    except Malformed as error:
        raise _refusal(f"left a layer that cannot be read: {error}") from None
    if not found:
        raise _refusal(f"wrote no file {OUTPUT}/NAME.spdx.json")
    return [_document(printable(name.decode(errors="replace")), data) for name, data in sorted(found.items())]


def _document(name: str, data: bytes) -> dict[str, Any]:
    """What stands in a file: an SPDX document, or a statement that has one as its predicate."""
    try:
        found = json.loads(data)
        if str(found.get("predicateType", "")).startswith(SPDX):
            found = found["predicate"]
        version = found.get("spdxVersion") or found.get("@context")
    except (ValueError, LookupError, AttributeError, RecursionError):
        version = None
    if not isinstance(version, str):
        raise _refusal(f"wrote /{name}, which is no SPDX document in JSON")
    return dict(found)


def _refusal(what: str) -> BuildFailed:
    return BuildFailed(
        f"The scanner {what}.",
        id="LN-5049",
        remedy="Name one that follows BuildKit's protocol in `publish.sbom`, such as docker/buildkit-syft-scanner.",
    )
