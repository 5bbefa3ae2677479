"""Checks of what a store hands out, before anything else reads it: digests, JSON objects, manifests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from lineal.errors import Unreachable
from lineal.oci.types import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Manifest
from lineal.regex import regex

MAX_MANIFEST = 4 * 1024 * 1024
MAX_SIZE = 1 << 40
"""Bytes of a blob: a terabyte, more than any registry takes."""
_DIGEST = regex(r"sha256:[0-9a-f]{64}")
_KINDS = {OCI_INDEX: "manifests", DOCKER_LIST: "manifests", OCI_MANIFEST: "layers", DOCKER_MANIFEST: "layers"}


def is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


def digest_of(descriptor: Mapping[str, Any]) -> str:
    """The digest that a descriptor (or an entry of an index) names. Raises `KeyError`, `TypeError` or `ValueError`:
    a document that names its parts by tags or by paths is not one of ours."""
    digest = descriptor["digest"]
    if not isinstance(digest, str) or not is_digest(digest):
        raise ValueError("no sha256 digest")
    return digest


def size_of(descriptor: Mapping[str, Any]) -> int:
    """The bytes that a descriptor names. Raises `KeyError`, `TypeError` or `ValueError`."""
    size = descriptor["size"]
    if type(size) is not int or not 0 <= size < MAX_SIZE:
        raise ValueError("no size")
    return size


def invalid_response(where: str, what: str) -> Unreachable:
    """The error for an answer that no registry gives; `what` completes "`where` answers"."""
    return Unreachable(
        f"{where} answers {what}.", id="LN-4019", remedy="Check that it is an OCI registry and can be trusted."
    )


def read_json(data: bytes, where: str) -> dict[str, Any]:
    """A JSON object, or `Unreachable` naming `where` it came from."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise invalid_response(where, "with something that is not a JSON object")
    return value


def read_manifest(data: bytes, content_type: str, digests: Iterable[str], where: str) -> Manifest:
    """The manifest or index in `data`, which must have every one of `digests`. Raises `Unreachable`."""
    value = read_json(data, where)
    manifest = Manifest(data, _media_type(value, content_type.partition(";")[0].strip(), where))
    for digest in digests:
        if digest != manifest.digest:
            raise invalid_response(where, f"with content that is not {digest} when asked for it")
    return manifest


def _media_type(value: dict[str, Any], header: str, where: str) -> str:
    """The type that the document states, else the server's, else the one it looks like. All must agree, for two
    readings of one digest are an attack (CVE-2021-41190)."""
    said = [kind for kind in (value.get("mediaType"), header) if isinstance(kind, str) and kind in _KINDS]
    looks = OCI_INDEX if "manifests" in value else OCI_MANIFEST
    kind = said[0] if said else looks
    unknown = isinstance(value.get("mediaType"), str) and value["mediaType"] not in _KINDS
    if unknown or any(other != kind for other in said) or not isinstance(value.get(_KINDS[kind]), list):
        raise invalid_response(where, "with a manifest of a kind that is unknown or contradicts itself")
    if "manifests" in value and "layers" in value:
        raise invalid_response(where, "with a manifest that is an index, too")
    return kind
