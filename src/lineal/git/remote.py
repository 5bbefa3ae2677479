"""The remote of a clone: its address, and the settings with which git reaches it from another repository."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from lineal.errors import LinealError
from lineal.git.command import GitFailed, run_git, with_config
from lineal.git.repository import Repository

_HEX = frozenset("0123456789abcdef")
_WEB = re.compile(r"(?:(?:https?|ssh|git)://(?:[^/@]*@)?([^/:@]+(?::\d+)?)/|[^/@:]+@([^/:]+):)(.+)")
_WITHOUT_USER = re.compile(r"(?!.*://)()([^/:@]+\.[^/:@]+):(.+)")
"""ssh as the user that its own settings name; a name without a dot is one of theirs too."""


def remote(repository: Repository, *, push: bool = False) -> tuple[str, list[tuple[str, str]]]:
    """The remote's address without credentials, and settings for git that carry them.

    The settings hold everything else that the workspace configures for connections, too. `push` asks for the address
    that is pushed to.

    git gets these settings in its environment, so that a token is in no file of ours and in no list of arguments (git
    gives addresses to its helpers as arguments). Raises `LinealError`."""
    remotes = repository.run("remote").decode().split()
    if not remotes:
        raise LinealError("the clone has no remote", id="LN-3014")
    name = "origin" if "origin" in remotes else remotes[0]
    url = repository.run("remote", "get-url", *(["--push"] if push else []), name).decode().split("\n")[0].strip()
    if url.startswith(("http://", "https://")):
        try:
            clean = _without_user(url)
            return clean, list(_http_settings(repository, url, clean))
        except ValueError:
            raise LinealError("the remote's address cannot be read", id="LN-3014") from None
    # A relative path means something only inside the workspace.
    local = repository.root / url
    if "://" not in url and local.exists():
        return str(local.resolve()), []
    with suppress(GitFailed):
        return url, [("core.sshCommand", repository.run("config", "--get", "core.sshCommand").decode().strip())]
    return url, []


def remote_refs(repository: Repository, *flags: str, named: str = "") -> dict[str, str]:
    """Each ref that the server has now -> its object, an annotated tag's commit. `flags`, such as `--heads`, limit
    it; so does `named`, to refs whose names end like that. Raises `LinealError`."""
    url, settings = remote(repository)
    environ = with_config(repository.environ, ("remote.lineal.url", url), *settings)
    pattern = [named] if named else []
    return parse_refs(run_git(["ls-remote", *flags, "lineal", *pattern], repository.root, environ))


def branch_head(repository: Repository, branch: str) -> str | None:
    """The commit that the remote's branch is at now, None when there is no such branch or the remote does not
    answer."""
    ref = f"refs/heads/{branch}"
    try:
        return remote_refs(repository, named=ref).get(ref)
    except LinealError:
        return None


def parse_refs(out: bytes) -> dict[str, str]:
    """Ref -> object, from lines `OBJECT\tREF`. A line `REF^{}` has the commit of the annotated tag before it."""
    found: dict[str, str] = {}
    for line in out.decode("utf-8", "surrogateescape").split("\n"):
        oid, _, ref = line.partition("\t")
        if oid and _HEX.issuperset(oid) and ref.startswith("refs/"):
            found[ref.removesuffix("^{}")] = oid
    return found


def web_address(repository: Repository) -> str | None:
    """The https address where people find the repository, without user and `.git`: the same for every clone of it.

    None when the clone has no remote on another machine."""
    try:
        url, _ = remote(repository)
    except LinealError:
        return None
    # Settings of one machine (`url.*.insteadOf`) may lead to a mirror; they are also what makes an address of `gh:…`.
    found = _WEB.fullmatch(_written(repository)) or _WEB.fullmatch(url) or _WITHOUT_USER.fullmatch(url)
    if found is None:
        return None
    url = found[0]
    host = found[1] or found[2]
    host = host if url.startswith("http") else host.partition(":")[0]
    return f"https://{host.lower()}/{found[3].strip('/').removesuffix('.git')}"


def _written(repository: Repository) -> str:
    """The address of the remote `origin` as the clone has it, empty for none."""
    try:
        return repository.run("config", "--get", "remote.origin.url").decode().strip()
    except GitFailed:
        return ""


def _http_settings(repository: Repository, url: str, clean: str) -> Iterator[tuple[str, str]]:
    authorized = False
    for section in ("http", "credential"):
        # Settings of the machine hold in the other repository too. A header that is set twice would be sent twice,
        # which servers refuse.
        everywhere = _matching(section, clean, {**repository.environ, "GIT_DIR": os.devnull}, repository.root)
        for name, value in _matching(section, clean, repository.environ, repository.root).items():
            authorized = authorized or (name == "extraheader" and value.lower().startswith("authorization:"))
            if everywhere.get(name) != value:
                yield f"{section}.{clean}.{name}", value
    parts = urlsplit(url)
    if parts.password and not authorized:
        user = f"{unquote(parts.username or '')}:{unquote(parts.password)}"
        yield f"http.{clean}.extraheader", f"Authorization: Basic {base64.b64encode(user.encode()).decode()}"
    elif parts.username:
        yield f"credential.{clean}.username", unquote(parts.username)
    # git would send an extra header to every address that the server redirects to.
    yield f"http.{clean}.followRedirects", "false"


def _matching(section: str, url: str, environ: dict[str, str], folder: Path) -> dict[str, str]:
    """The settings of a section that git uses for this address, by name."""
    try:
        out = run_git(["config", "-z", "--get-urlmatch", section, url], folder, environ).decode()
    except GitFailed:
        return {}
    records = (record.partition("\n") for record in out.split("\0")[:-1])
    return {key.rpartition(".")[2]: value for key, _, value in records}


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
