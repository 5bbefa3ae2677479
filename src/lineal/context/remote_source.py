"""Remote sources of `ADD`: a file behind a URL, or a git repository at a commit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from posixpath import basename, normpath
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

_SCP = re.compile(r"[a-zA-Z0-9\-_]+@[a-zA-Z0-9\-.]+:")
_SCHEMES = re.compile(r"(https?|git|ssh)://", re.IGNORECASE)
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_SWITCH = {"": True, "true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class HttpSource:
    """A file behind a URL. Without a digest, only the text of the URL enters the checksum."""

    url: str
    name: str
    digest: str = ""

    @property
    def pinned(self) -> bool:
        return bool(self.digest)


@dataclass(frozen=True, slots=True)
class GitSource:
    """A git repository: `ref` as written, `commit` the full id that it must be, when one is known."""

    url: str
    ref: str = ""
    commit: str = ""
    folder: str = ""
    submodules: bool = True
    keep_git: bool = False

    @property
    def pinned(self) -> bool:
        return bool(self.commit)


Remote = HttpSource | GitSource


def unpinned(text: str, remote: Remote) -> tuple[str, str]:
    """Message and remedy for a remote source whose text does not fix its content."""
    allow = "Or list it under `dockerfile.unpinned` in lineal-giterminism.yaml: then its text is all that counts."
    if isinstance(remote, GitSource):
        what = f"{remote.ref!r} is no full commit id" if remote.ref else "no commit is named"
        return f"ADD of {text!r}: {what}, so it may mean something else tomorrow.", f"Write `…#<40 digits>`. {allow}"
    message = f"ADD of {text!r} has no checksum, so it may bring something else tomorrow."
    return message, f"Write `ADD --checksum=sha256:<64 digits> …`. {allow}"


def parse(text: str, checksum: str = "", keep_git: bool | None = None) -> Remote | None:
    """The remote source that a word means; None for a path. Raises ValueError for one that cannot be used."""
    if not _SCHEMES.match(text):
        if _SCP.match(text):
            raise ValueError(_SSH)
        return None
    parts = urlsplit(text)
    scheme = parts.scheme.lower()
    if scheme == "ssh":
        raise ValueError(_SSH)
    if not parts.hostname:
        raise ValueError("has no host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("has a user name or password in it, which would be kept in the image's history")
    if scheme == "git" or parts.path.endswith(".git"):
        return _clone(parts._replace(scheme=scheme), checksum, keep_git)
    if checksum and not _DIGEST.fullmatch(checksum):
        raise ValueError(f"--checksum={checksum} is not `sha256:` and 64 hexadecimal digits")
    last = basename(normpath(unquote(parts.path, errors="surrogateescape"))) if parts.path.strip("/") else ""
    return HttpSource(text, last or "__unnamed__", checksum)


_SSH = "is reached with ssh, whose keys Lineal does not use for ADD"


def _clone(parts: SplitResult, checksum: str, keep_git: bool | None) -> GitSource:
    """`URL.git#ref:folder`, or the same as a query: `?ref=…&subdir=…` and so on."""
    ref, _, folder = unquote(parts.fragment).partition(":")
    query = _query(parts.query)
    ref = _agreed("ref", ref, query.pop("ref", ""))
    for key, prefix in (("tag", "refs/tags/"), ("branch", "refs/heads/")):
        if name := query.pop(key, ""):
            ref = _agreed("ref", ref, prefix + name.removeprefix(prefix))
    folder = _agreed("subdir", folder.strip("/"), query.pop("subdir", "").strip("/"))
    for key in ("checksum", "commit"):
        checksum = _agreed("checksum", checksum, query.pop(key, ""))
    submodules = _switch(query, "submodules")
    keep = _switch(query, "keep-git-dir")
    if None not in (keep, keep_git) and keep != keep_git:
        raise ValueError("says both to keep .git and not to")
    _switch(query, "fetch-by-commit")
    if query.pop("mtime", "checkout") not in ("checkout", "commit"):
        raise ValueError("has an `mtime` that is neither checkout nor commit")
    if query:
        raise ValueError(f"has an option that is not known: {next(iter(query))!r}")
    if ".." in folder.split("/") or ref.startswith("-"):
        raise ValueError("leads out of the repository")
    return GitSource(
        url=urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")),
        ref=ref,
        commit=_commit(ref, checksum),
        folder=folder,
        submodules=submodules is not False,
        keep_git=bool(keep if keep_git is None else keep_git),
    )


def _commit(ref: str, checksum: str) -> str:
    if _COMMIT.fullmatch(ref):
        if not ref.startswith(checksum):
            raise ValueError(f"names the commit {ref}, and the checksum {checksum} is another one")
        return ref
    if checksum and not _COMMIT.fullmatch(checksum):
        raise ValueError(f"has the checksum {checksum!r}, which is no full commit id")
    return checksum


def _query(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True)
    if len(dict(pairs)) < len(pairs):
        raise ValueError("has an option twice")
    return dict(pairs)


def _switch(query: dict[str, str], name: str) -> bool | None:
    if name not in query:
        return None
    text = query.pop(name)
    if text.lower() not in _SWITCH:
        raise ValueError(f"has {name}={text!r}, which is neither true nor false")
    return _SWITCH[text.lower()]


def _agreed(name: str, first: str, second: str) -> str:
    if first and second and first != second:
        raise ValueError(f"has two values for {name}: {first!r} and {second!r}")
    return first or second
