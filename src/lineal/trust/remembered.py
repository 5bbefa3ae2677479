"""Identities that were verified on this machine before, by the digest of what was verified: nothing of it can change,
so a run that finds them here verifies nothing again and imports nothing for it."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from lineal.trust.identity import Identity

_MAX = 64 << 10


class Remembered:
    """A directory of the user, who trusts it as much as the program. It may be lost or not be written at any time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, digest: str) -> Identity | None:
        try:
            with (self._directory / digest).open("rb") as file:
                return Identity.read(file.read(_MAX))
        except (OSError, ValueError, TypeError, RecursionError):
            return None

    def put(self, digest: str, identity: Identity) -> None:
        with suppress(OSError):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self._directory)
            with os.fdopen(handle, "wb") as file:
                file.write(identity.encode())
            Path(temporary).replace(self._directory / digest)
