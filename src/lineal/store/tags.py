"""Names that Lineal gives in a store: the stage tag and the anchor tag (DESIGN §2), and the claims of moving tags."""

from __future__ import annotations

import hashlib
import re

from lineal.regex import regex
from lineal.value import dataclass

_CHECKSUM = regex(r"[0-9a-f]{64}")
_STAGE_TAG = regex(r"([0-9a-f]{64})-([0-9]{13})")
_NAMED = regex(rb"sha256:[0-9a-f]{64}|(?<![0-9a-f])[0-9a-f]{64}-[0-9]{13}(?![0-9])")
_CACHE = "cache-"
_CACHE_TAG = regex(r"cache-([0-9a-f]{64})-([0-9]{13})")
_OPEN = ".open"
_CLAIM_KEY = regex(r"moving-[0-9a-f]{20}")
_CLAIM = regex(rf"({_CLAIM_KEY.pattern})-([0-9a-f]{{16}})-([0-9]{{13}})-([0-9a-f]{{64}}|[0-9a-f]{{40}})(-x)?")
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


def cache_tag(key: str, ms: int) -> str:
    """`cache-<key>-<timestamp>`: a snapshot of a cache mount (`lineal.caches`)."""
    return f"{_CACHE}{stage_tag(key, ms)}"


def cache_tags(key: str) -> str:
    """How the tags begin that are snapshots of one cache."""
    return f"{_CACHE}{anchor_tag(key)}-"


def parse_cache_tag(tag: str) -> tuple[str, int] | None:
    """Key and milliseconds of a snapshot's tag; None for any other tag."""
    match = _CACHE_TAG.fullmatch(tag)
    return (match[1], int(match[2])) if match else None


def named(text: bytes) -> set[str]:
    """The digests and stage tags in a text; more than are images, which keeps too much rather than too little."""
    return {name.decode() for name in _NAMED.findall(text)}


def anchor_tag(checksum: str) -> str:
    """The tag of the first publication of `checksum`: the checksum alone (64 lower-case hex digits)."""
    if not _CHECKSUM.fullmatch(checksum):
        raise ValueError("a checksum is 64 lower-case hex digits")
    return checksum


def open_anchor_tag(checksum: str) -> str:
    """`<checksum>.open`: the anchor of runs that nobody vouches for, in a project with `trust:` (stages/lane.py)."""
    return f"{anchor_tag(checksum)}{_OPEN}"


def parse_anchor(tag: str) -> str | None:
    """The checksum of an anchor tag of either lane; None for any other tag."""
    checksum = tag.removesuffix(_OPEN)
    return checksum if is_checksum(checksum) else None


def is_checksum(text: str) -> bool:
    """Whether it is 64 lower-case hex digits: what an anchor tag is, and what a stage tag begins with."""
    return _CHECKSUM.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Claim:
    """A tag of the store that says: at this time (ms) a run of `commit` set out to point a moving tag at an image.

    `key` names the moving tag (`claim_key`), `digest` the image by 16 digits of its digest."""

    key: str
    digest: str
    created: int
    commit: str

    @property
    def tag(self) -> str:
        return f"{self.key}-{self.digest}-{self.created:013d}-{self.commit}"

    @property
    def withdrawal(self) -> str:
        """The tag beside it that says: this claim counts no more."""
        return f"{self.tag}-x"

    def names(self, digest: str | None) -> bool:
        return digest is not None and short_digest(digest) == self.digest


def claim_key(repository: str, tag: str) -> str:
    """How the tags begin that are claims of one moving tag. `repository` is empty for a tag of the store itself."""
    return f"moving-{hashlib.sha256(f'{repository}:{tag}'.encode()).hexdigest()[:20]}"


def is_claim_key(text: str) -> bool:
    return _CLAIM_KEY.fullmatch(text) is not None


def begins_as_claim(tag: str) -> bool:
    """Whether a tag looks like a claim, or like one of another version of Lineal."""
    return re.match(rf"{_CLAIM_KEY.pattern}-", tag) is not None


def short_digest(digest: str) -> str:
    return digest.partition(":")[2][:16]


def parse_claim(tag: str) -> tuple[Claim, bool] | None:
    """The claim that a tag of the store is, and whether the tag withdraws it; None for any other tag."""
    match = _CLAIM.fullmatch(tag)
    return (Claim(match[1], match[2], int(match[3]), match[4]), match[5] is not None) if match else None
