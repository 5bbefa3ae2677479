"""The remote of a partial clone, which promised to give what the clone left out (`git clone --filter=…`)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from threading import Lock

from lineal.git.command import GitFailed, run_git

_SECONDS = 600
"""How long one fetch may take."""
_SETTINGS = r"^(extensions\.partialclone|remote\..*\.promisor)$"


class Promisor:
    """Fetches objects into the clone as git does for its own commands. Several threads may ask."""

    def __init__(self, root: Path, environ: dict[str, str], *, may_ask: bool = True) -> None:
        self._root, self._environ, self.may_ask = root, environ, may_ask
        self._guard = Lock()
        self._fetched: set[str] = set()
        self._failed = not may_ask

    def fetch(self, oids: Collection[str]) -> bool:
        """Whether the clone has these objects now. Nothing more is asked of a remote that failed once."""
        with self._guard:
            wanted = sorted(set(oids) - self._fetched)
            if wanted and not self._failed:
                self._failed = not self._ask(wanted)
            if not self._failed:
                self._fetched.update(wanted)
            return self._fetched.issuperset(oids)

    def has(self, oid: str) -> bool:
        """Whether the object was fetched here."""
        return oid in self._fetched

    def _ask(self, oids: list[str]) -> bool:
        if not self.remote:
            return False
        # The options are those of git's own promisor-remote.c.
        asked = ["git", "-c", "fetch.negotiationAlgorithm=noop", "fetch", "--quiet", "--no-tags",
                 "--no-write-fetch-head", "--no-auto-maintenance", "--recurse-submodules=no", "--filter=blob:none",
                 "--stdin", self.remote]  # fmt: skip
        with suppress(OSError, subprocess.TimeoutExpired):
            # git's messages hold addresses and texts of the server: they are not repeated.
            done = subprocess.run(asked, cwd=self._root, env=self._environ, input="\n".join([*oids, ""]).encode(),
                                  capture_output=True, check=False, timeout=_SECONDS)  # fmt: skip
            return done.returncode == 0
        return False

    @cached_property
    def remote(self) -> str:
        """The remote's name, empty where the clone names none."""
        try:
            out = os.fsdecode(run_git(["config", "-z", "--get-regexp", _SETTINGS], self._root, self._environ))
        except GitFailed:
            return ""
        for record in out.split("\0")[:-1]:
            key, _, value = record.partition("\n")
            if key == "extensions.partialclone":
                return value
            if value.lower() in ("", "true", "yes", "on", "1"):
                return key[len("remote.") : -len(".promisor")]
        return ""
