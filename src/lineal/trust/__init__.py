"""Who is believed: whether a published stage is used, whatever its record claims about itself (DESIGN §5).

`policy` is what the commit asks for, `mark` the key of protected pipelines, `judge` the one place where a stage is
believed or not. A verifier is a way to be convinced: by a mark, by a signature, by an identity of the CI."""

from __future__ import annotations

from typing import Protocol

from lineal.oci import Store
from lineal.oci.types import Manifest
from lineal.oci.verify import digest_of
from lineal.store.record import Record
from lineal.value import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a stage is believed, for people and for reports. Nothing in it is text that a stranger wrote."""

    trusted: bool
    reason: str
    """Of a believed stage who vouches for it, such as `key 1a2b3c4d`; else why not, such as `not from a protected
    pipeline`."""
    footing: tuple[Record, ...] | None = None
    """Of a stage that git proves on others: the records of those that others vouch for. It may be used where these
    may. None for a stage that is believed, or not, by itself."""


@dataclass(frozen=True)
class Evidence:
    """What a verifier may look at: the index of a stage, which is at hand, and what lies behind it in the store.

    The index has the digest that was asked for, and `record` is what its annotations claim; all of it is as hostile
    as whoever may push."""

    index: Manifest
    record: Record
    repository: str
    """The store in one spelling, the same on every machine."""
    store: Store

    @property
    def image(self) -> str:
        """The digest of the image's manifest."""
        return digest_of(self.index.json["manifests"][0])

    def record_manifest(self) -> Manifest | None:
        """The manifest of the record, None when it is gone: one request. May raise `Unreachable`."""
        return self.store.manifest(digest_of(self.index.json["manifests"][1]))


class Verifier(Protocol):
    """One way to be convinced. Safe to use from several threads."""

    @property
    def basis(self) -> str:
        """All that its verdicts rest on beside the evidence, such as the ids of keys; nothing secret. What was
        remembered counts for the same basis."""

    def judge(self, evidence: Evidence) -> Verdict:
        """Whether this verifier vouches for the stage. What cannot be verified is not trusted; nothing that a store
        hands out makes it raise anything but `Unreachable`."""
