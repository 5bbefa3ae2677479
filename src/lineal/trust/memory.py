"""Verdicts that outlive a run: what has cost requests or work once is not asked again, in the user's own cache.

A published stage is named by its digest, so what was found of it stays true for as long as it is judged on the same
basis. Whoever can write to this directory can have anything believed, as they can by the run's own home."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from lineal.oci.types import Manifest, sha256
from lineal.store.record import Record
from lineal.trust import Evidence, Verdict, Verifier
from lineal.value import dataclass

_MOST = 5000
"""Verdicts of one basis that are kept."""


class Memory:
    """The believed stages of one basis. A directory that cannot be written, or is somebody else's, remembers
    nothing."""

    def __init__(self, cache: Path, basis: str, version: str) -> None:
        """`version` of Lineal: a later one may know better."""
        self._directory = cache / "trust" / sha256(f"{version}\n{basis}".encode()).removeprefix("sha256:")[:32]

    def __bool__(self) -> bool:
        """Whether it has anything."""
        with suppress(OSError):
            return self._is_ours() and any(self._directory.iterdir())
        return False

    def recall(self, digest: str) -> Verdict | None:
        """What was found of the stage whose index has this digest; None when nothing is known."""
        try:
            if not self._is_ours():
                return None
            found = json.loads((self._directory / _name(digest)).read_bytes())
            footing = found["footing"]
            return Verdict(True, str(found["reason"]), None if footing is None else tuple(map(_record, footing)))
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def keep(self, digest: str, verdict: Verdict) -> None:
        """Remember of a stage that it is believed."""
        footing = None if verdict.footing is None else [record.annotations() for record in verdict.footing]
        with suppress(OSError):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._is_ours():
                return
            self._forget()
            with NamedTemporaryFile("w", dir=self._directory, delete=False) as file:
                json.dump({"reason": verdict.reason, "footing": footing}, file)
            os.replace(file.name, self._directory / _name(digest))  # noqa: PTH105 (atomic)

    def _is_ours(self) -> bool:
        found = self._directory.stat()
        return found.st_uid == os.geteuid() and not found.st_mode & 0o022

    def _forget(self) -> None:
        """The older half, when there are too many."""
        entries = list(self._directory.iterdir())
        if len(entries) >= _MOST:
            for entry in sorted(entries, key=lambda one: one.stat().st_mtime)[: _MOST // 2]:
                entry.unlink(missing_ok=True)


@dataclass(frozen=True)
class Remembered:
    """A verifier whose work is remembered."""

    verifier: Verifier
    memory: Memory

    def __str__(self) -> str:
        return str(self.verifier)

    @property
    def basis(self) -> str:
        return self.verifier.basis

    def judge(self, evidence: Evidence) -> Verdict:
        known = self.memory.recall(evidence.index.digest)
        if known is not None and known.footing is None:
            return known
        found = self.verifier.judge(evidence)
        if found.trusted:
            self.memory.keep(evidence.index.digest, found)
        return found


def _name(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _record(annotations: dict[str, str]) -> Record:
    """Raises ValueError, as `Record.read`."""
    return Record.read(Manifest(json.dumps({"annotations": annotations}).encode(), ""))
