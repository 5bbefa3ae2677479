"""The user's word on what commits of a repository may have of this machine: asked once for each list, and kept."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lineal.progress import Progress
from lineal.text import printable


class Consent:
    """Of one repository, by its place on this machine. A list that differs in anything is another list."""

    def __init__(self, root: Path, environ: Mapping[str, str], progress: Progress) -> None:
        self._root = os.path.realpath(root)
        self._folder = _config_directory(environ)
        self._progress = progress
        self._answers: dict[tuple[str, ...], bool] = {}
        self._lock = threading.Lock()

    def agreed(self, wishes: Sequence[str]) -> bool:
        """Whether the user lets the repository have all of this: now, or in an earlier run. No without a terminal."""
        key = tuple(wishes)
        with self._lock:
            if key not in self._answers:
                self._answers[key] = self._kept(key) or self._ask(key)
            return self._answers[key]

    def _kept(self, wishes: tuple[str, ...]) -> bool:
        try:
            return self._file(wishes).read_text(encoding="utf-8") == self._text(wishes)
        except (OSError, ValueError):
            return False

    def _ask(self, wishes: tuple[str, ...]) -> bool:
        if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        self._progress.close()
        self._progress.note(f"The commit that is checked out in {printable(self._root, 1000)} asks this machine for")
        for wish in wishes:
            self._progress.note(f"  - {wish}")
        self._progress.note("Its commands can send that anywhere.")
        sys.stderr.write("Let this repository have it? [y/N] ")
        sys.stderr.flush()
        yes = sys.stdin.readline().strip().lower() in ("y", "yes")
        if yes:
            self._keep(wishes)
        return yes

    def _keep(self, wishes: tuple[str, ...]) -> None:
        if self._folder is None:
            return
        file = self._file(wishes)
        # Who cannot keep it is asked again.
        with suppress(OSError):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = file.with_suffix(f".{os.getpid()}")
            part.write_text(self._text(wishes), encoding="utf-8")
            part.replace(file)
            self._progress.note(f"Kept in {file}; remove it to be asked again.")

    def _file(self, wishes: tuple[str, ...]) -> Path:
        name = hashlib.sha256(self._text(wishes).encode()).hexdigest()[:32]
        return Path(self._folder or os.devnull, "allowed", f"{name}.json")

    def _text(self, wishes: tuple[str, ...]) -> str:
        return json.dumps({"repository": self._root, "may have": wishes}, indent=2) + "\n"


def _config_directory(environ: Mapping[str, str]) -> Path | None:
    """Where Lineal keeps what the user decided; None for a user without a home."""
    if not environ.get("XDG_CONFIG_HOME") and not environ.get("HOME"):
        return None
    return Path(environ.get("XDG_CONFIG_HOME") or Path(environ["HOME"], ".config"), "lineal")
