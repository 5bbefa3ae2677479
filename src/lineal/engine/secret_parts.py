"""What of a secret must not be found in a layer: all of it, each line of its own, and what stands behind a name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from lineal.tar.raw import Entry

ANYWHERE = 16
"""Bytes from which on a part is looked for everywhere; a shorter one can occur by chance."""
_WHOLE = 8
"""A secret shorter than ANYWHERE counts only as a file's whole content or name, and below this length not at all."""
_NAMED = re.compile(rb"[=:]\s*[\"']?([^\s\"',;]+)[\"']?,?$")
_PUBLIC = re.compile(rb"-----|#|[a-z+]+://[^@\s]*$", re.IGNORECASE)
"""Lines that say nothing: the frame of a PEM file, comments, addresses without a user."""

_PUBLIC_BLOCK = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]*(?:CERTIFICATE|PUBLIC KEY|CRL|PARAMETERS)[A-Z ]*)-----.*?-----END \1-----", re.DOTALL
)
"""Blocks of a PEM file that everybody has: a bundle of certificates is in most images."""


def parts(value: bytes) -> set[bytes]:
    """The value, and of one with several lines each that may be a secret by itself.

    A line that names a short or public value (`strict-ssl=false`, `registry=https://host/`) may be in any image."""
    whole = value.strip()
    found = {whole}
    for line in map(bytes.strip, re.split(rb"[\r\n]+|\\n", _PUBLIC_BLOCK.sub(b"", whole))):
        named = _NAMED.search(line)
        behind = named[1] if named else line
        if _PUBLIC.match(line) or _PUBLIC.match(behind) or len(behind) < ANYWHERE:
            continue
        last = re.split(rb"[=:]", behind)[-1]
        found |= {line, behind, *([last] if len(last) >= ANYWHERE else [])}
    return {part for part in found if part}


@dataclass(frozen=True)
class SecretSearch:
    """Looks for secrets in what a command leaves."""

    secrets: tuple[bytes, ...] = field(repr=False)

    def in_names(self, entry: Entry) -> bool:
        """Names, targets of links and extended attributes are content too."""
        texts = (entry.name, entry.link, *entry.records.keys(), *entry.records.values())
        words = {word for text in texts[:2] for word in text.split(b"/")}
        return any(
            (len(secret) >= ANYWHERE and any(secret in text for text in texts))
            or (len(secret) >= _WHOLE and secret in words)
            for secret in self.secrets
        )

    def watched(self, body: Iterator[bytes], size: int, failure: Callable[[], Exception]) -> Iterator[bytes]:
        """The content of a file of so many bytes, as it comes; raises `failure` at the chunk with a secret in it."""
        looked_for = [one for one in self.secrets if len(one) >= ANYWHERE or len(one) == size >= _WHOLE]
        keep = max(map(len, looked_for), default=1) - 1
        tail = b""
        for chunk in body:
            if looked_for:
                window = tail + chunk
                if any(secret in window for secret in looked_for):
                    raise failure()
                tail = window[-keep:]
            yield chunk
