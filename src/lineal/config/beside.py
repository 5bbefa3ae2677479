"""What a stage was made with and no checksum holds, as far as a commit named it: where values of secrets came from.

A commit on a branch may name a source of its own, and the next one take it back: what was built in between must not
be inherited at the merge. So a stage remembers the sources, and only a commit that names the same ones uses it. What
the caller gives is not the commit's to choose, and leaves nothing here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from lineal.config.model import Secret


def entry(secret: Secret) -> str | None:
    """`<id>=<digest of its source>`, None for a secret that only the caller gives. A source is a name in a committed
    file, never a value."""
    if secret.env is None and secret.file is None:
        return None
    source = json.dumps(["secret", secret.id, secret.env, secret.file], separators=(",", ":"))
    return f"{secret.id}={hashlib.sha256(source.encode()).hexdigest()}"


def entries(secrets: Iterable[Secret]) -> frozenset[str]:
    return frozenset(found for secret in secrets if (found := entry(secret)) is not None)
