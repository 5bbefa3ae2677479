"""Names that Lineal gives in a store: the stage tag and the anchor tag (DESIGN §2)."""

from __future__ import annotations

import re

_CHECKSUM = re.compile(r"[0-9a-f]{64}")
_STAGE_TAG = re.compile(r"([0-9a-f]{64})-([0-9]{13})")
_NAMED = re.compile(rb"sha256:[0-9a-f]{64}|(?<![0-9a-f])[0-9a-f]{64}-[0-9]{13}(?![0-9])")
LAST = 10**13 - 1
"""The last millisecond that 13 digits can say (in the year 2286)."""


def stage_tag(checksum: str, ms: int) -> str:
    """`<checksum>-<timestamp>`: 64 hex digits, a dash, 13 digits of milliseconds since the epoch."""
    if not 0 <= ms <= LAST:
        raise ValueError(f"{ms} is not a time in milliseconds that fits 13 digits")
    return f"{anchor_tag(checksum)}-{ms:013d}"


def parse_stage_tag(tag: str) -> tuple[str, int] | None:
    """Checksum and milliseconds of a stage tag; None for any other tag."""
    match = _STAGE_TAG.fullmatch(tag)
    return (match[1], int(match[2])) if match else None


def named(text: bytes) -> set[str]:
    """The digests and stage tags in a text; more than are images, which keeps too much rather than too little."""
    return {name.decode() for name in _NAMED.findall(text)}


def anchor_tag(checksum: str) -> str:
    """The tag of the first publication of `checksum`: the checksum alone (64 lower-case hex digits)."""
    if not _CHECKSUM.fullmatch(checksum):
        raise ValueError("a checksum is 64 lower-case hex digits")
    return checksum


def is_checksum(text: str) -> bool:
    """Whether it is 64 lower-case hex digits: what an anchor tag is, and what a stage tag begins with."""
    return _CHECKSUM.fullmatch(text) is not None
