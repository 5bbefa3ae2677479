"""The claims of moving tags that nobody needs any more (`lineal.publish.moving_tag`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from lineal.oci import Store
from lineal.store.tags import Claim, parse_claim

_DAY = 24 * 3600 * 1000
_KEPT = 3
"""So many claims of each moving tag stay, the newest: without them nobody could tell where the tag is."""


def old_claims(tags: Iterable[str], now: int, since: int) -> list[Claim]:
    """The claims older than `since` and than a day (both in ms), but for the newest of each moving tag; of those that
    were withdrawn, all that are older than a day."""
    parsed = [found for tag in tags if (found := parse_claim(tag)) is not None]
    withdrawn = {claim for claim, withdrawal in parsed if withdrawal}
    claims = {claim for claim, _ in parsed}
    old, day = [claim for claim in withdrawn if claim.created < now - _DAY], now - _DAY
    standing = sorted(claims - withdrawn, key=lambda claim: (claim.key, -claim.created, claim.tag))
    for _, of_tag in groupby(standing, key=lambda claim: claim.key):
        old += [claim for claim in list(of_tag)[_KEPT:] if claim.created < min(since, day)]
    return sorted(old, key=lambda claim: claim.tag)


def delete_claim(store: Store, claim: Claim, delete: Callable[[str, Sequence[str]], None]) -> None:
    """Delete a claim, and what withdraws it: both tags point at one manifest of their own. `delete` takes a digest
    and its tags."""
    found = {tag: digest for tag in (claim.tag, claim.withdrawal) if (digest := store.digest(tag)) is not None}
    for digest in dict.fromkeys(found.values()):
        delete(digest, [tag for tag in found if found[tag] == digest])
