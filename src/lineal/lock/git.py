"""A lock on the project's own git server: a ref that only one push can make.

The server compares and swaps refs. Every claim pushes a commit of its own, without parents or files: a server takes
a push of what is there already for a success, so two runs that push the same object would both win. All of it happens
in a bare repository that is nobody's workspace."""

from __future__ import annotations

import secrets
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lineal.errors import Interrupted, LinealError
from lineal.git.command import ask_server, git_environment, with_config
from lineal.git.remote import remote
from lineal.git.repository import Repository
from lineal.lock.leased import SOMEBODY, Holder, LockFailed
from lineal.text import one_line

REFS = "refs/lineal/locks/"
_SECONDS = 30.0
"""Seconds that a command to the server may take."""
_LAST_SECONDS = 3.0
"""Seconds that an interrupted run gives a push to end: the server may carry out a push that is cut off."""
_PUSH = ["push", "--porcelain", "--no-verify", "--no-signed", "--no-follow-tags", "--recurse-submodules=no"]
_FORMAT = "lineal lock 1"
_AUTHOR = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER")
            for key, value in {"NAME": "Lineal", "EMAIL": "lineal@localhost"}.items()}  # fmt: skip


class GitRefs:
    """The service of `LeasedLock` on a git server; a token is the id of the commit that the ref points at."""

    name = "git"
    takes_over = True

    def __init__(
        self, repository: Repository, folder: Path, holder: str, lease: float, stopped: threading.Event
    ) -> None:
        """`folder` is private to this run and may not exist yet."""
        self._repository = repository
        self._folder = folder
        self._holder = holder
        self._lease = lease
        self._stopped = stopped
        self._guard = threading.Lock()
        self._environ: dict[str, str] = {}
        self._tree = ""
        self.where = f"{REFS}… of the project's remote"

    def token(self) -> str:
        self._prepare()
        message = f"{_FORMAT}\n\nholder: {self._holder}\nlease: {self._lease:g}\nnonce: {secrets.token_hex(16)}\n"
        return self._local(["commit-tree", self._tree], message)

    def claim(self, checksum: str, token: str, over: str | None) -> bool:
        return self._push(checksum, token, over or "") == ("+" if over else "*")

    def look(self, checksum: str) -> Holder | None:
        self._prepare()
        ref = REFS + checksum
        done = self._remote(["ls-remote", "--refs", "lineal", ref])
        if done.returncode != 0:
            raise LockFailed(f"git ls-remote ended with status {done.returncode}")
        for line in done.stdout.decode(errors="replace").splitlines():
            oid, _, name = line.partition("\t")
            # The pattern also matches refs whose name ends so.
            if name == ref and oid.isalnum():
                return Holder(oid)
        return None

    def identify(self, checksum: str, holder: Holder) -> Holder:
        fetch = ["fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"]
        self._remote([*fetch, "--filter=tree:0", "lineal", REFS + checksum])
        try:
            # The fetched lock may be that of another run by now, so ask for the commit by its id.
            said = self._local(["cat-file", "commit", holder.version]).partition("\n\n")[2]
        except LockFailed:
            return holder
        return Holder(holder.version, *_read(said))

    def renew(self, checksum: str, token: str) -> str | None:
        new = self.token()
        return new if self.claim(checksum, new, token) else None

    def release(self, checksum: str, token: str) -> None:
        if self._push(checksum, "", token, last=True) == "!":
            with suppress(Interrupted):
                holder = self.look(checksum)
                if holder is not None and holder.version == token:
                    raise LockFailed("the server does not let it be deleted")

    # --- git ----------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        with self._guard:
            if self._tree:
                return
            try:
                url, settings = remote(self._repository, push=True)
            except LinealError as error:
                raise LockFailed(error.words.rstrip(".")) from None
            base = git_environment(self._folder, self._repository.environ)
            named = with_config(base, ("remote.lineal.url", url), *settings)
            self._environ = named | _AUTHOR | {"GIT_DIR": str(self._folder)}
            self._folder.mkdir(parents=True, exist_ok=True)
            # The server refuses a push from a repository with another object format.
            kind = f"--object-format={self._repository.object_format}"
            self._local(["init", "--quiet", "--bare", "--template=", kind])
            self._tree = self._local(["hash-object", "-t", "tree", "-w", "--stdin"])

    def _push(self, checksum: str, oid: str, over: str, *, last: bool = False) -> str:
        """The flag that git gives the ref: `*` made, `+` swapped, `-` deleted, `!` refused, `=` nothing to do."""
        ref = REFS + checksum
        done = self._remote([*_PUSH, f"--force-with-lease={ref}:{over}", "lineal", f"{oid}:{ref}"], last=last)
        for line in done.stdout.decode(errors="replace").splitlines():
            flag, _, rest = line.partition("\t")
            # The source of a deletion is empty there, or `(delete)`.
            if rest.partition("\t")[0].endswith(f":{ref}"):
                return flag
        if done.returncode == 0:
            return "="
        raise LockFailed(
            f"git push ended with status {done.returncode}; the token or key of this job may not push, or the server "
            "is not there"
        )

    def _local(self, args: Sequence[str], stdin: str = "") -> str:
        done = subprocess.run(
            ["git", *args], cwd=self._folder, env=self._environ, input=stdin.encode(errors="replace"),
            capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise LockFailed(f"git {args[0]} ended with status {done.returncode}")
        return done.stdout.decode(errors="replace").strip("\n")

    def _remote(self, args: Sequence[str], *, last: bool = False) -> subprocess.CompletedProcess[bytes]:
        """Run git, little longer than the run lasts. `last` marks the command that an interrupted run still
        finishes."""
        end: float | None = None

        def look(_: bytes) -> None:
            nonlocal end
            if end is None and self._stopped.is_set():
                end = time.monotonic() + _LAST_SECONDS
            if end is not None and time.monotonic() >= end:
                if last:
                    raise TimeoutError(f"git {args[0]} was still running at the end")
                raise Interrupted("The run was stopped.")

        try:
            return ask_server(list(args), self._folder, self._environ, seconds=_SECONDS, look=look)
        except TimeoutError as error:
            raise LockFailed(str(error)) from None


def _read(message: str) -> tuple[str, float | None]:
    """Holder and lease of a lock's commit. Anybody who may push can have written it."""
    who, lease = SOMEBODY, None
    if message.startswith(_FORMAT + "\n"):
        for line in message.splitlines()[:10]:
            key, _, value = line.partition(": ")
            if key == "holder":
                who = one_line(value) or SOMEBODY
            elif key == "lease":
                with suppress(ValueError):
                    lease = float(value[:20])
    return who, lease if lease is not None and lease > 0 else None
