"""The store: what this run may do there. Nothing is left in it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lineal.doctor.finding import Finding, of_error
from lineal.errors import LinealError

if TYPE_CHECKING:
    from lineal.oci import Store
    from lineal.session.session import Session
    from lineal.store.registry.client import Registry

_LOOKED_AT = 10
"""Tags of the store among which an image is looked for."""
_OFF = 60
"""Seconds that a clock may be wrong before tokens and certificates are refused."""


def store(session: Session) -> Iterator[Finding]:
    from lineal.store.registry.client import Registry

    found = session.store
    tags = found.tags()
    yield Finding("pull", "ok", f"{found.address} can be read, and has {len(tags)} tags.")
    if not session.context.may_write:
        yield Finding("push", "note", "This run may not write: it publishes nothing.")
        return
    yield from _tried("push", found.check_push, "The store takes what is built.")
    if isinstance(found, Registry):
        yield from _registry(found, tags)
    else:
        yield Finding("rights", "ok", "The store is a directory of this machine.")


def _registry(registry: Registry, tags: list[str]) -> Iterator[Finding]:
    yield from _tried(
        "delete",
        registry.check_delete,
        "`lineal cleanup` may delete.",
        "Without it `lineal cleanup` deletes nothing.",
    )
    blob = _some_blob(registry, tags)
    if blob is None:
        yield Finding("mounts", "note", "Nothing is published yet that could be taken over: ask again after a build.")
    elif registry.mounts(blob):
        yield Finding("mounts", "ok", "Layers of other repositories of this registry are taken over without moving.")
    else:
        what = "Layers of other repositories of this registry are uploaded again."
        yield Finding("mounts", "note", what, "Nothing is wrong: builds from a base of this registry take longer.")
    if registry.referrers(_nothing()) is None:
        what = "The registry lists no referrers: statements are found by a tag of their own."
        yield Finding("referrers", "note", what, "Nothing to do: tools that look for signatures know both ways.")
    else:
        yield Finding("referrers", "ok", "Statements lie beside their images (OCI 1.1).")


def clock(session: Session) -> Iterator[Finding]:
    """This machine's clock beside the registry's."""
    if session.store.directory is not None:
        yield Finding("clock", "note", "The store is a directory: there is no other clock to compare with.")
        return
    off = session.store.now() / 1000 - time.time()
    if abs(off) < _OFF:
        yield Finding("clock", "ok", f"It is within {_OFF} s of the registry's.")
        return
    what = f"This machine's clock is {abs(off):.0f} s {'behind' if off > 0 else 'ahead of'} the registry's."
    yield Finding("clock", "problem", what, "Set it (NTP): tokens and certificates are valid for a time only.")


def _tried(check: str, ask: Callable[[], object], good: str, without: str = "") -> Iterator[Finding]:
    """`without`: what a run lacks that may not do this; empty when it cannot do its work at all."""
    try:
        ask()
    except LinealError as error:
        found = of_error(check, error, "note" if without else "problem")
        yield Finding(check, found.state, found.text, f"{found.remedy} {without}".strip(), found.id, found.exit_code)
    else:
        yield Finding(check, "ok", good)


def _some_blob(store: Store, tags: list[str]) -> str | None:
    """The digest of a blob that the store has: one of an image's."""
    for tag in tags[:_LOOKED_AT]:
        manifest = store.manifest(tag)
        if manifest is not None and manifest.is_index:
            manifest = next(filter(None, map(store.manifest, manifest.references)), None)
        if manifest is not None and not manifest.is_index and manifest.references:
            return manifest.references[0]
    return None


def _nothing() -> str:
    """A digest that no registry has."""
    return f"sha256:{secrets.token_hex(32)}"
