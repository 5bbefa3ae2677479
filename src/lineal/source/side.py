"""The history that a shallow clone lacks, fetched without files into a bare repository of Lineal's own."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from lineal.errors import LinealError
from lineal.source.git import GitFailed, git_environment, with_config
from lineal.source.repository import Repository

_REFS = "refs/lineal/"
_SECONDS = 600


def fetch(repository: Repository, commits: Sequence[str], cache: Path) -> Path:
    """A bare repository below `cache` that has the commits with all that came before them; nothing in the workspace
    changes. Raises `LinealError` and `OSError`."""
    from filelock import FileLock, Timeout

    url, settings = _remote(repository)
    side = cache.resolve() / "history" / (hashlib.sha256(url.encode()).hexdigest()[:24] + ".git")
    side.parent.mkdir(parents=True, exist_ok=True)
    environ = with_config(git_environment(side, repository.environ), ("remote.lineal.url", url), *settings)
    try:
        with FileLock(side.with_suffix(".lock"), timeout=_SECONDS):
            if not (side / "HEAD").exists():
                init = ["init", "--quiet", "--bare", "--template=", f"--object-format={repository.object_format}"]
                _git([*init, str(side)], side.parent, environ)
            _complete(side, commits, environ)
    except Timeout:
        raise LinealError("another run has been fetching it for too long") from None
    if (side / "shallow").exists():
        raise LinealError("the remote is a shallow clone itself")
    return side


def _complete(side: Path, commits: Sequence[str], environ: dict[str, str]) -> None:
    # A ref is made when all behind it is there.
    there = set(_git(["for-each-ref", "--format=%(refname)", _REFS], side, environ).split())
    wanted = [commit for commit in commits if _REFS + commit not in there]
    if not wanted:
        return
    fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--filter=tree:0"]
    try:
        _git([*fetch, "--stdin", "lineal"], side, environ, "".join(f"+{one}:{_REFS}{one}\n" for one in wanted))
    except GitFailed:
        # A server that gives no single commits: its branches hold what they hold.
        _git([*fetch, "lineal", f"+refs/heads/*:{_REFS}heads/*"], side, environ)


def _remote(repository: Repository) -> tuple[str, list[tuple[str, str]]]:
    """The remote's address without credentials, and the settings for git that carry them and the rest of what the
    workspace says about connections: by environment, so that a token is in no argument list (git passes an address
    to its helpers as an argument) and in no file of ours."""
    remotes = repository.run("remote").decode().split()
    if not remotes:
        raise LinealError("the clone has no remote")
    url = repository.run("remote", "get-url", "origin" if "origin" in remotes else remotes[0]).decode().strip()
    if url.startswith(("http://", "https://")):
        try:
            clean = _without_user(url)
            return clean, list(_http_settings(repository, url, clean))
        except ValueError:
            raise LinealError("the remote's address cannot be read") from None
    # A relative path means something only inside the workspace.
    local = repository.root / url
    if "://" not in url and local.exists():
        return str(local.resolve()), []
    with suppress(GitFailed):
        return url, [("core.sshCommand", repository.run("config", "--get", "core.sshCommand").decode().strip())]
    return url, []


def _http_settings(repository: Repository, url: str, clean: str) -> Iterator[tuple[str, str]]:
    authorized = False
    for section in ("http", "credential"):
        with suppress(GitFailed):
            for record in repository.run("config", "-z", "--get-urlmatch", section, clean).decode().split("\0")[:-1]:
                key, _, value = record.partition("\n")
                name = key.rpartition(".")[2]
                authorized = authorized or (name == "extraheader" and value.lower().startswith("authorization:"))
                yield f"{section}.{clean}.{name}", value
    parts = urlsplit(url)
    if parts.password and not authorized:
        user = f"{unquote(parts.username or '')}:{unquote(parts.password)}"
        yield f"http.{clean}.extraheader", f"Authorization: Basic {base64.b64encode(user.encode()).decode()}"
    elif parts.username:
        yield f"credential.{clean}.username", unquote(parts.username)


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _git(args: list[str], cwd: Path, environ: dict[str, str], stdin: str = "") -> str:
    try:
        done = subprocess.run(
            ["git", *args], cwd=cwd, env=environ, input=stdin.encode(), capture_output=True, timeout=_SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise LinealError(f"git {args[0]} took longer than {_SECONDS} s") from None
    if done.returncode != 0:
        # git repeats addresses and what a server says: only its kind of complaint is told.
        raise GitFailed(f"git {args[0]} ended with status {done.returncode}")
    return done.stdout.decode(errors="replace")
