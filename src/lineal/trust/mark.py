"""The mark of a protected pipeline: an HMAC over everything that a reader of a stage relies on.

Whoever has the key marks and verifies; nobody else can do either. The mark is an annotation of the stage's index, so
that a look at a stage costs no further request."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import field
from functools import cached_property
from typing import Any

from lineal.errors import BadConfiguration
from lineal.oci.image import encode
from lineal.oci.types import OCI_INDEX, Manifest
from lineal.regex import regex
from lineal.store.open import LAYOUT, is_directory, normal_address
from lineal.store.record import PREFIX
from lineal.trust import Evidence, Verdict
from lineal.value import dataclass

TRUST_KEY = "LINEAL_TRUST_KEY"
MARK = PREFIX + "mark"
UNMARKED = "not from a protected pipeline"
BYTES = 32
_STAGE = "lineal stage 1"
_STRANGE = "its mark is not one that Lineal writes"
Covered = Callable[[dict[str, Any]], bytes]
"""What a mark covers of a document: everything but the mark that a reader relies on. Raises ValueError, LookupError
or TypeError for a document of another kind."""
_MARK = regex(r"hmac-sha256:([0-9a-f]{8}):([0-9a-f]{64})")
_INDEX = {"schemaVersion", "mediaType", "manifests", "annotations"}
_DESCRIPTOR = ("mediaType", "digest", "size", "platform", "annotations")
_FEW = 12
"""Different bytes that 32 random ones have at least as good as always: what has fewer was typed."""


@dataclass(frozen=True)
class TrustKey:
    secret: bytes = field(repr=False)

    @cached_property
    def id(self) -> str:
        """What a mark names the key by: 8 hex digits, which tell nothing of it."""
        return hashlib.sha256(b"id" + self.secret).hexdigest()[:8]


def parse_keys(text: str) -> tuple[TrustKey, ...]:
    """The keys in the value of `TRUST_KEY`, separated by white space; none in an empty one.

    Each is 32 random bytes as 64 hex digits or as base64 of either alphabet. Raises `BadConfiguration`, which
    repeats nothing of the value."""
    keys = []
    for number, word in enumerate(text.split(), 1):
        secret = _bytes(word)
        if secret is None or len(set(secret)) < _FEW:
            raise BadConfiguration(
                f"Key number {number} of {TRUST_KEY} is not {BYTES} random bytes as hex or base64.",
                id="LN-1040",
                remedy="Make one with `openssl rand -hex 32`; several, for rotation, have spaces between them.",
            )
        keys.append(TrustKey(secret))
    return tuple(dict.fromkeys(keys))


def repository_of(address: str) -> str:
    """The store that a mark is for, spelled the same on every machine. A directory is at another path on each."""
    return LAYOUT if is_directory(address) else normal_address(address)


def is_marked(index: Manifest) -> bool:
    """Whether a stage says of itself that it has a mark, true or not."""
    return MARK in index.json.get("annotations", {})


class Marks:
    """A verifier, and what marks: the first key makes marks, all of them verify (`lineal.trust.Verifier`)."""

    def __init__(self, keys: Sequence[TrustKey]) -> None:
        self._keys = tuple(keys)

    @property
    def basis(self) -> str:
        return f"marks {' '.join(sorted(key.id for key in self._keys))}"

    def marked(self, index: Manifest, repository: str) -> Manifest:
        """The index of a stage that this run publishes to a repository (`repository_of`), with its mark."""
        return self.mark(index, lambda document: _stage(document, repository))

    def judge(self, evidence: Evidence) -> Verdict:
        return self.verify(evidence.index, lambda document: _stage(document, evidence.repository))

    def mark(self, manifest: Manifest, covered: Covered) -> Manifest:
        """A manifest of any kind with a mark over what is `covered` of it."""
        document = json.loads(manifest.data)
        key = self._keys[0]
        document["annotations"][MARK] = f"hmac-sha256:{key.id}:{_mac(key, covered(document))}"
        return Manifest(encode(document), manifest.media_type)

    def verify(self, manifest: Manifest, covered: Covered) -> Verdict:
        try:
            document = manifest.json
            mark = document["annotations"].get(MARK)
            if mark is None:
                return Verdict(False, UNMARKED)
            match = _MARK.fullmatch(mark)
            message = covered(document)
            # Only bytes that Lineal writes: another reader of JSON must see in them what this one sees.
            if match is None or document["mediaType"] != manifest.media_type or encode(document) != manifest.data:
                return Verdict(False, _STRANGE)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return Verdict(False, _STRANGE)
        from hmac import compare_digest

        for key in self._keys:
            if compare_digest(_mac(key, message), match[2]):
                return Verdict(True, f"key {key.id}")
        if any(key.id == match[1] for key in self._keys):
            return Verdict(False, "its mark is not true: it was made for something else, or by somebody else")
        return Verdict(False, f"marked with another key than this run's ({match[1]})")


def _bytes(word: str) -> bytes | None:
    if re.fullmatch(r"[0-9a-fA-F]{64}", word):
        return bytes.fromhex(word)
    if not re.fullmatch(r"[0-9A-Za-z+/_-]{43}=?", word):
        return None
    return base64.urlsafe_b64decode(word.rstrip("=").replace("+", "-").replace("/", "_") + "=")


def _stage(document: dict[str, Any], repository: str) -> bytes:
    """Whatever a reader believes of a stage's index, and for which store."""
    if set(document) != _INDEX or document["mediaType"] != OCI_INDEX or len(document["manifests"]) != 2:
        raise ValueError("more or less than a stage's index")
    manifests = []
    for descriptor in document["manifests"]:
        if not set(descriptor) <= set(_DESCRIPTOR):
            raise ValueError("more than a stage's descriptors have")
        manifests.append([descriptor.get(name) for name in _DESCRIPTOR])
    return canonical([_STAGE, repository, unmarked(document), manifests])


def unmarked(document: dict[str, Any]) -> dict[str, Any]:
    """All annotations but the mark."""
    return {name: value for name, value in document["annotations"].items() if name != MARK}


def canonical(value: Any) -> bytes:
    """The one JSON text of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _mac(key: TrustKey, message: bytes) -> str:
    # A run without a key loads neither this nor what it needs.
    from hmac import new

    return new(key.secret, message, hashlib.sha256).hexdigest()
