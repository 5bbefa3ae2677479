"""Fetches the history that a shallow clone lacks, without files, into a bare repository of Lineal's own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from lineal.errors import LinealError
from lineal.git.command import GitFailed, ask_server, git_environment, with_config
from lineal.git.remote import remote
from lineal.git.repository import Repository

_REFS = "refs/lineal/"
_SECONDS = 600
"""How long a fetch may take, and how long a run waits for another run's fetch."""
_MOST_FILES = 300 << 20
"""Bytes that are downloaded from a server that sends files with the history."""
_MARGIN = 14 * 24 * 3600
"""Seconds. A commit may be older than the stage that was built from it."""


def fetch(repository: Repository, commits: Sequence[str], cache: Path, since: int | None = None) -> Path:
    """A bare repository below `cache` with the commits and all their ancestors.

    With `since` (ms since the epoch) it may be a shallow one, with the ancestors since then, if the server can select
    by time. Nothing in the workspace changes. Raises `LinealError` and `OSError`."""
    from filelock import FileLock, Timeout

    url, settings = remote(repository)
    place = cache.resolve() / "history" / hashlib.sha256(url.encode()).hexdigest()[:24]
    place.parent.mkdir(parents=True, exist_ok=True)

    def side(path: Path) -> HistoryClone:
        environ = git_environment(path, repository.environ)
        return HistoryClone(
            path, with_config(environ, ("remote.lineal.url", url), *settings), repository.object_format
        )

    try:
        with FileLock(place.with_suffix(".lock"), timeout=_SECONDS):
            whole = side(place.with_suffix(".git"))
            # A repository with the whole history needs only the new commits, which are few.
            if since is not None and not whole.refs:
                # git cannot always deepen a repository that was fetched by time: the server may have named a commit
                # as the end that it did not send. So the whole history gets a repository of its own.
                recent = side(place.with_name(place.name + "-recent.git"))
                if recent.fetch_recent(commits, since):
                    return recent.path
            whole.fetch_all(commits)
            return whole.path
    except Timeout:
        raise LinealError("another run has been fetching it for too long", id="LN-3014") from None


class HistoryClone:
    """A repository while this process holds its lock. Its history never becomes shorter: others are reading it."""

    def __init__(self, path: Path, environ: dict[str, str], object_format: str) -> None:
        self.path, self._environ, self._format = path, environ, object_format
        self._since_file = path / "lineal-since"

    @property
    def refs(self) -> set[str]:
        """One ref for each commit that was fetched with its ancestors."""
        if not (self.path / "HEAD").exists():
            return set()
        return set(_git(["for-each-ref", "--format=%(refname)", _REFS], self.path, self._environ).split())

    def fetch_recent(self, commits: Sequence[str], since: int) -> bool:
        """Fetch the commits since then. False when the server has none or cannot select them."""
        earlier = self._since()
        start = max(since // 1000 - _MARGIN, 1)
        if earlier is not None and earlier <= start and self._has(commits):
            return True
        self._prepare()
        # A later time than before would hide history from those who read it.
        start = min(start, earlier or start)
        self._since_file.write_text(str(start))
        try:
            self._download([f"--shallow-since=@{start} +0000"], commits)
        except _Refused as refusal:
            if refusal.unreachable:
                raise
            # All commits are older, or the server cannot select by time.
            return False
        return True

    def fetch_all(self, commits: Sequence[str]) -> None:
        if self._has(commits):
            return
        self._prepare()
        try:
            self._download([], commits)
        except _Refused as refusal:
            if refusal.unreachable:
                raise
            # The server gives no single commits. Its branches may hold them.
            self._download([], ["refs/heads/*"])

    def _has(self, commits: Sequence[str]) -> bool:
        return self.refs.issuperset(_REFS + commit for commit in commits)

    def _prepare(self) -> None:
        if not (self.path / "HEAD").exists():
            init = ["init", "--quiet", "--bare", "--template=", f"--object-format={self._format}", str(self.path)]
            _git(init, self.path.parent, self._environ)
        # A fetch that was killed leaves these files.
        for part in (self.path / "objects/pack").glob("tmp_*"):
            part.unlink(missing_ok=True)

    def _since(self) -> int | None:
        with suppress(OSError, ValueError):
            return int(self._since_file.read_text())
        return None

    def _download(self, options: list[str], wanted: Iterable[str]) -> None:
        """Fetch commits without files. A server without filters sends files too: `_refuse_files` limits them."""
        args = ["fetch", "--quiet", "--no-tags", "--no-prune", "--no-write-fetch-head", "--no-auto-maintenance",
                "--filter=tree:0", *options, "--stdin", "lineal"]  # fmt: skip
        specs = "".join(f"+{one}:{_REFS}{one.removeprefix('refs/')}\n" for one in wanted)
        _git(args, self.path, self._environ, specs, self._refuse_files)

    def _refuse_files(self, said: bytes) -> None:
        size = sum(_size(part) for part in (self.path / "objects/pack").glob("tmp_pack_*"))
        if size > _MOST_FILES and b"filtering not recognized" in said:
            raise LinealError(
                f"its server sends no history without files, and with them it is more than {_MOST_FILES >> 20} MB",
                id="LN-3014",
            )


class _Refused(GitFailed):
    """git ended with an error. `unreachable`: because it could not reach the server."""

    unreachable = False


def _git(
    args: list[str], cwd: Path, environ: dict[str, str], stdin: str = "",
    look: Callable[[bytes], None] = lambda _: None,
) -> str:  # fmt: skip
    """The output of git; `look` as in `ask_server`."""
    try:
        done = ask_server(args, cwd, environ, seconds=_SECONDS, stdin=stdin.encode(), look=look)
    except TimeoutError as error:
        raise LinealError(str(error), id="LN-3014") from None
    if done.returncode != 0:
        # git's messages hold addresses and texts of the server: they are not repeated.
        failed = _Refused(f"git {args[0]} ended with status {done.returncode}", id="LN-3014")
        failed.unreachable = b"unable to access" in done.stderr
        raise failed
    return done.stdout.decode(errors="replace")


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
