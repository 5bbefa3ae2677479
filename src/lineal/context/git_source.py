"""`ADD` of a git repository: a commit of it, checked out by git for this one use, without anybody's credentials."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from lineal.context.remote_source import GitSource
from lineal.context.tree import Kind, Node
from lineal.errors import BuildFailed, Unreachable
from lineal.git.command import ask_server, with_config

_CHUNK = 1 << 18
_LONGEST = 3600
_GIT = ".git"
_PASSED = ("PATH", "GIT_EXEC_PATH", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
_KINDS: dict[int, Kind] = {stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFREG: "file"}


class Folder:
    """A `SourceTree` of a directory on disk that nobody else writes to; owners are 0:0, times are not looked at."""

    def __init__(self, root: Path, holder: object, *, git: bool) -> None:
        self._root = root
        self._holder = holder
        self._git = git

    def lstat(self, path: str) -> Node | None:
        place = self._root / path
        try:
            status = place.lstat()
        except (OSError, ValueError):
            return None
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            return None
        target = str(place.readlink()) if kind == "symlink" else ""
        mode = 0o777 if kind == "symlink" else stat.S_IMODE(status.st_mode) & 0o755
        return Node(path, kind, mode, status.st_size if kind == "file" else 0, target=target)

    def children(self, path: str) -> list[str]:
        try:
            names = os.listdir(self._root / path)  # noqa: PTH208
        except OSError:
            return []
        return sorted((name for name in names if self._git or name != _GIT), key=os.fsencode)

    def walk(self, path: str) -> Iterator[Node]:
        for name in self.children(path):
            node = self.lstat(f"{path}/{name}" if path else name)
            if node is not None:
                yield node
                if node.kind == "directory":
                    yield from self.walk(node.path)

    def open(self, node: Node) -> Iterator[bytes]:
        with (self._root / node.path).open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk


def clone(wanted: GitSource, workspace: Path, told: Callable[[str], None] = lambda _: None) -> Folder:
    """The files of the commit, in a temporary directory in `workspace` that is deleted together with the result;
    `told` is given the commit's id.

    Raises `Unreachable` when git cannot get them, `BuildFailed` for another commit or a folder that is not there."""
    holder = tempfile.TemporaryDirectory(prefix="clone-", dir=workspace)
    checkout = _Checkout(wanted, Path(holder.name))
    told(checkout.make())
    return Folder(checkout.folder(), holder, git=wanted.keep_git and not wanted.folder)


class _Checkout:
    def __init__(self, wanted: GitSource, directory: Path) -> None:
        self._wanted = wanted
        self._tree = directory / "tree"
        self._environ = _environment(directory, wanted.redirected)

    def make(self) -> str:
        """The commit's id."""
        wanted = self._wanted
        self._tree.mkdir()
        form = ["--object-format=sha256"] if len(wanted.commit) == 64 else []
        self._git("init", "--quiet", "--template=", "--initial-branch=master", *form)
        self._git("remote", "add", "origin", wanted.url)
        commit = self._fetch()
        self._git("checkout", "--quiet", "--detach", commit)
        if wanted.submodules and (self._tree / ".gitmodules").exists():
            self._shallow("submodule", "--quiet", "update", "--init", "--recursive")
        (self._tree / _GIT / "FETCH_HEAD").unlink(missing_ok=True)
        if wanted.keep_git:
            # An index without the inode numbers and times of this machine.
            (self._tree / _GIT / "index").unlink()
            self._git("read-tree", "HEAD")
        return commit

    def folder(self) -> Path:
        """The wanted directory in the clone. A link on the way there is refused."""
        place = self._tree
        for name in self._wanted.folder.split("/"):
            place /= name
            if place.is_symlink() or not place.is_dir() or name == _GIT:
                raise BuildFailed(
                    f"{self._wanted.url} has no directory {self._wanted.folder!r} at this commit.", id="LN-5013"
                )
        return place

    def _fetch(self) -> str:
        """Fetch the commit; its full id."""
        wanted = self._wanted
        if wanted.ref and wanted.ref == wanted.commit:
            try:
                self._git("fetch", "--quiet", "--no-tags", "--depth=1", "origin", wanted.commit)
            except Unreachable:
                # A server may give away only what its branches and tags name.
                self._git("fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
            return wanted.commit
        self._shallow("fetch", "--quiet", "--no-tags", "origin", wanted.ref or "HEAD")
        commit = self._git("rev-parse", "--verify", "FETCH_HEAD^{commit}").strip()
        if wanted.commit and commit != wanted.commit:
            raise BuildFailed(
                f"{wanted.ref or 'HEAD'} of {wanted.url} is {commit}, not {wanted.commit}.",
                id="LN-5020",
                remedy="Look at what has changed there, then correct the checksum.",
            )
        return commit

    def _shallow(self, *args: str) -> None:
        """Fetch without history where the server can leave it out; a server of plain files cannot."""
        at = len(args) if args[0] == "submodule" else 1
        try:
            self._git(*args[:at], "--depth=1", *args[at:])
        except Unreachable:
            self._git(*args)

    def _git(self, *args: str) -> str:
        try:
            done = ask_server(list(args), self._tree, self._environ, seconds=_LONGEST, umask=0o022)
        except TimeoutError:
            raise Unreachable(f"{self._wanted.url} takes longer than an hour.", id="LN-5019") from None
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            raise Unreachable(
                f"{self._wanted.url} cannot be fetched: {lines[-1] if lines else 'git failed'}.", id="LN-5019"
            )
        return done.stdout.decode()


def _environment(home: Path, redirected: bool) -> dict[str, str]:
    """An environment for git without this machine's configuration and credentials, without prompts, hooks and other
    protocols. Proxies and certificates of the network stay. `redirected`: redirects have been followed already."""
    environ = os.environ
    kept = {name: value for name, value in environ.items() if name in _PASSED or name.lower().endswith("_proxy")}
    return with_config(
        {
            **kept,
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_ALLOW_PROTOCOL": "http:https:git",
        },
        ("core.hooksPath", os.devnull),
        ("core.logAllRefUpdates", "false"),
        ("credential.helper", ""),
        ("http.followRedirects", "false" if redirected else "initial"),
        ("advice.detachedHead", "false"),
        ("gc.auto", "0"),
    )
