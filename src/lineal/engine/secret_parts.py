"""What of a secret must not be found in a layer: all of it, each line of its own, and what stands behind a name."""

from __future__ import annotations

import re

ANYWHERE = 16
"""Bytes from which on a part is looked for everywhere; a shorter one can occur by chance."""
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
