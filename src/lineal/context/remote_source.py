"""Remote sources of `ADD`: a file behind a URL, or a git repository at a commit."""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from contextlib import suppress
from posixpath import basename, normpath
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

from lineal.regex import regex
from lineal.value import dataclass

_SCP = regex(r"[a-zA-Z0-9\-_]+@[a-zA-Z0-9\-.]+:")
_SCHEMES = regex(r"(https?|git|ssh)://", re.IGNORECASE)
_COMMIT = regex(r"[0-9a-f]{40}([0-9a-f]{24})?")
_DIGEST = regex(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_SPELT = regex(r"[0-9a-fx.]+")
"""What may be an address of IPv4: `127.1`, `0x7f.1`, `2130706433`."""
_INSIDE = (".localhost", ".localdomain", ".local", ".internal", ".intranet", ".lan", ".home.arpa", ".corp", ".home")
_NAT64 = "0064:ff9b:"
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

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def fixed(self, digest: str) -> str:
        """The instruction that says its content, without the destination."""
        return f"ADD --checksum={digest} {self.url}"


@dataclass(frozen=True, slots=True)
class GitSource:
    """A git repository: `ref` as written, `commit` the full id that it must be, when one is known."""

    url: str
    ref: str = ""
    commit: str = ""
    folder: str = ""
    submodules: bool = True
    keep_git: bool = False
    redirected: bool = False
    """Whether `url` is where all redirects have led."""

    @property
    def pinned(self) -> bool:
        return bool(self.commit)

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def fixed(self, commit: str) -> str:
        """The instruction that says its content, without the destination."""
        options = [*["submodules=false"] * (not self.submodules), *["keep-git-dir=true"] * self.keep_git]
        query = f"?{'&'.join(options)}" if options else ""
        return f"ADD {self.url}{query}#{commit}{':' * bool(self.folder)}{self.folder}"


Remote = HttpSource | GitSource


class BadRemote(ValueError):
    """An address that cannot be used: the text goes on after "it"; `remedy` is what to do."""

    def __init__(self, text: str, remedy: str = "Download it in a RUN and check its digest there.") -> None:
        super().__init__(text)
        self.remedy = remedy


def inside(text: str) -> tuple[str, str]:
    """Message and remedy for a remote source whose content is not fixed and may be a service of this network."""
    message = f"ADD of {text!r} leads to this machine or its network, and no checksum says what it brings."
    return message, "Write `ADD --checksum=sha256:<64 digits> …`, or a full commit id."


def unpinned(text: str, remote: Remote | None) -> tuple[str, str]:
    """Message and remedy for a remote source whose text does not fix its content, where a project wants that."""
    allow = f'Or allow it in lineal-giterminism.yaml: `dockerfile: {{pinned: true, unpinned: ["{text}"]}}`.'
    if isinstance(remote, GitSource):
        what = f"{remote.ref!r} is no full commit id" if remote.ref else "no commit is named"
        return f"ADD of {text!r}: {what}, so it may mean something else tomorrow.", f"Write `…#<40 digits>`. {allow}"
    message = f"ADD of {text!r} has no checksum, so it may bring something else tomorrow."
    return message, f"Write `ADD --checksum=sha256:<64 digits> …`. {allow}"


def is_inside(host: str) -> bool:
    """Whether a host is written as one that means something only on this machine or in its network: an address there,
    in whatever spelling the C library takes, or a name that no public DNS has."""
    name = unicodedata.normalize("NFKC", host).replace("\u3002", ".").lower().rstrip(".")
    if ":" not in name and (_SPELT.fullmatch(name) or "." not in name):
        with suppress(OSError):
            name = socket.inet_ntoa(socket.inet_aton(name))
    try:
        return _is_private(name)
    except ValueError:
        return "." not in name or name.endswith(_INSIDE)


def is_local(address: str) -> bool:
    """Whether an address, to which a name of a host leads, is one that no other machine answers, or a cloud's
    metadata service. Raises ValueError for what is no address."""
    found = _embedded(address)
    return found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast


def _is_private(address: str) -> bool:
    found = _embedded(address)
    return not found.is_global or found.is_multicast


def _embedded(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address, or that of IPv4 which one of IPv6 stands for."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        return found.ipv4_mapped or found.sixtofour or _nat64(found) or found
    return found


def _nat64(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    return ipaddress.IPv4Address(address.packed[-4:]) if address.exploded.startswith(_NAT64) else None


def is_address(text: str) -> bool:
    """Whether a word of ADD begins as an address does, whatever variables follow."""
    return bool(_SCHEMES.match(text) or _SCP.match(text))


def parse(text: str, checksum: str = "", keep_git: bool | None = None) -> Remote | None:
    """The remote source that a word means; None for a path. Raises `BadRemote` for one that cannot be used."""
    if not _SCHEMES.match(text):
        if _SCP.match(text):
            raise _ssh()
        return None
    try:
        parts = urlsplit(text)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        raise BadRemote("is no address", "Correct it.") from None
    scheme = parts.scheme.lower()
    if scheme == "ssh":
        raise _ssh()
    if not host:
        raise BadRemote("has no host", "Correct it.")
    if parts.username is not None or parts.password is not None:
        raise BadRemote("has a user name or password in it, which would be kept in the image's history",
                        "Download it in a RUN with `--mount=type=secret`.")  # fmt: skip
    if scheme == "git" or parts.path.endswith(".git"):
        return _clone(parts._replace(scheme=scheme), checksum, keep_git)
    if checksum and not _DIGEST.fullmatch(checksum):
        raise BadRemote(
            f"has the --checksum {checksum!r}, which is no digest", "Write `sha256:` and 64 hexadecimal digits."
        )
    last = basename(normpath(unquote(parts.path, errors="surrogateescape"))) if parts.path.strip("/") else ""
    return HttpSource(text, last or "__unnamed__", checksum)


def _ssh() -> BadRemote:
    return BadRemote(
        "is reached with ssh, whose keys Lineal does not use for ADD",
        "Write its https address, or clone it in a RUN with `--mount=type=ssh`.",
    )


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
        raise BadRemote("says both to keep .git and not to")
    _switch(query, "fetch-by-commit")
    if query.pop("mtime", "checkout") not in ("checkout", "commit"):
        raise BadRemote("has an `mtime` that is neither checkout nor commit")
    if query:
        raise BadRemote(f"has an option that is not known: {next(iter(query))!r}")
    if ".." in folder.split("/") or ref.startswith("-"):
        raise BadRemote("leads out of the repository")
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
            raise BadRemote(f"names the commit {ref}, and the checksum {checksum} is another one")
        return ref
    if checksum and not _COMMIT.fullmatch(checksum):
        raise BadRemote(f"has the checksum {checksum!r}, which is no full commit id")
    return checksum


def _query(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True)
    if len(dict(pairs)) < len(pairs):
        raise BadRemote("has an option twice")
    return dict(pairs)


def _switch(query: dict[str, str], name: str) -> bool | None:
    if name not in query:
        return None
    text = query.pop(name)
    if text.lower() not in _SWITCH:
        raise BadRemote(f"has {name}={text!r}, which is neither true nor false")
    return _SWITCH[text.lower()]


def _agreed(name: str, first: str, second: str) -> str:
    if first and second and first != second:
        raise BadRemote(f"has two values for {name}: {first!r} and {second!r}")
    return first or second
