"""Engines execute `RUN`: the protocol `Engine`, and the values that a command and its mounts are given as.

A new engine is a folder beside `docker/` with a class that has these methods. `select` makes the one that a run
is told; `layer` writes what a command changed without an engine's marks, and looks for parts of secrets in it
(`secret_parts`); `log_lines` makes lines of what it prints; `frames` is a directory as a cache is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, BinaryIO, Protocol

from lineal.value import dataclass

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from lineal.oci import Store
    from lineal.oci.types import Descriptor, Image, Layer

NETWORK_HOST, SECURITY_INSECURE, DEVICE = "network.host", "security.insecure", "device"
"""What a command may have beside what every container has, in BuildKit's words: only who runs Lineal gives it."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the engine's machine, as the Container Device Interface (CDI) names it: `vendor.com/class=name`."""

    name: str
    required: bool = False
    """Whether the command cannot do without it."""


SAME = b"LINEAL.same"
"""The record of a tar's entry that has no content because the file is as it was (`KeptCache`). One without a name has
the names of many such files as its content, a zero byte between each two."""


class BrokenCache(Exception):
    """The tar that a cache begins with cannot be made: the text says why, for people. The command has not begun."""


@dataclass(frozen=True, slots=True)
class KeptCache:
    """What the run does about a cache by itself, in place of the engine."""

    keep: Callable[[BinaryIO], None] | None = None
    """After a command that ended well, when no other one uses the cache, it gets what is in there, as an uncompressed
    tar stream, which it need not read to its end. What it raises is a failure of the command."""
    known: bool = False
    """Whether `keep` knows the files of the mount's `tar`: one that the engine knows to be still as it was there may
    be an entry without content that has the record `SAME`."""
    restore: Callable[[Callable[[Iterator[bytes]], None]], None] | None = None
    """The same as the mount's `tar`, for an engine that unpacks frames itself: it calls with a stream of `frames`.
    What is called raises `zstd.Invalid` for one that is broken, which becomes `BrokenCache`."""


@dataclass(frozen=True, slots=True)
class CacheMount:
    """A directory kept on the engine between runs; never part of an image."""

    target: str
    id: str
    sharing: str = "shared"
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    writable: bool = True
    tar: Callable[[], Iterator[bytes]] | None = None
    """The first contents of a new cache, as an uncompressed tar stream."""
    kept: KeptCache | None = None
    """Of a cache of this run alone: the engine makes it anew, and it goes with the run."""


@dataclass(frozen=True, slots=True)
class BindMount:
    """Files from the context or from another stage at `target`; `tar` gives an uncompressed tar stream of them.

    `single` when the source is one file: the tar then holds one entry, to be seen as `target` itself."""

    target: str
    tar: Callable[[], Iterator[bytes]]
    single: bool = False
    writable: bool = False
    root: tuple[int, int, int] = (0o755, 0, 0)
    """Mode, uid and gid of a directory itself, which the tar does not hold."""


@dataclass(frozen=True, slots=True)
class SecretMount:
    """A secret as a file at `target` (absolute). The value is read at the last moment and never printed."""

    target: str
    value: bytes
    mode: int = 0o400
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class SshMount:
    """An SSH agent of this machine as a socket at `target`, wherever the engine is."""

    target: str
    agent: Path
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class TmpfsMount:
    target: str
    size: int | None = None
    writable: bool = True


Mount = CacheMount | BindMount | SecretMount | SshMount | TmpfsMount


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory that must exist before the command starts (a `WORKDIR` that no earlier layer made)."""

    path: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a command runs beside what it is. Nothing of it is in the image."""

    hosts: Sequence[tuple[str, str]] = ()
    """Names of hosts and their addresses, `host-gateway` for the engine's machine."""
    shm_size: int | None = None
    """Bytes of /dev/shm; None for the engine's default."""
    ulimits: Sequence[tuple[str, int, int]] = ()
    """Name, soft and hard limit; -1 is none."""
    cgroup_parent: str = ""
    epoch: int | None = None
    """The latest time of a file in the layer, in seconds since 1970; None for the times as they are."""


@dataclass(frozen=True, slots=True)
class Command:
    """One `RUN`, fully expanded. `env` is what the process sees (secrets given as environment included)."""

    argv: Sequence[str]
    env: dict[str, str]
    workdir: str
    user: str
    platform: str = "linux/amd64"
    """Whose programs it executes."""
    network: str = "default"
    insecure: bool = False
    """Whether it has all rights of the engine's root."""
    devices: Sequence[Device] = ()
    mounts: Sequence[Mount] = ()
    options: RunOptions = RunOptions()
    directories: Sequence[Directory] = ()
    etc: tuple[int, int, int] = (0o755, 0, 0)
    """Mode, uid and gid of the parent's /etc, where engines have files of their own."""
    secrets: Sequence[bytes] = field(default=(), repr=False)
    """The values of its secrets, those given as environment included: none may be in the layer."""
    secret_env: frozenset[str] = frozenset()
    """The names in `env` whose values are secrets: an engine that can keep them apart does."""
    existing: Callable[[str], bool] = field(default=bool)
    """Whether the parent has a directory at this path: mount points that the engine had to make are not kept."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The directories, symbolic links and account files of a whole image. Paths have no leading slash, the root is
    empty."""

    directories: dict[str, tuple[int, int, int]]
    """Path -> mode, uid, gid."""
    symlinks: dict[str, str]
    passwd: bytes = b""
    group: bytes = b""


@dataclass(frozen=True, slots=True)
class PushedLayer:
    """A layer that the engine itself brings to the store; no byte of it came here."""

    descriptor: Descriptor
    diff_id: str
    tree: Tree
    """The image with this layer on top."""
    arrival: Future[None]
    """Done when the layer is in the store, or with the reason why not: `MissingContent` where the engine went away
    with it."""
    read: Callable[[], Iterator[bytes]]
    """Its bytes, from the engine. Raises `Unreachable`, before the first of them where it has the layer no more."""


class CommandFailed(Exception):
    """The command ended with a status other than 0."""

    def __init__(self, status: int) -> None:
        super().__init__(f"exit status {status}")
        self.status = status


class NoWorkingDirectory(Exception):
    """The command's directory is a file, or below one."""


class Engine(Protocol):
    """Raises `Unreachable` when the engine cannot be used."""

    def prepare(self, parent: Image, store: Store, platform: str, workspace: Path) -> None:
        """Bring the layers of a parent to where a command for this platform will run, on it or on an image that has
        some layers more. `store` may still be getting them; `workspace` is for files meanwhile. What fails here fails
        again in `run`."""

    def run(
        self, parent: Image, store: Store, command: Command, output: Callable[[str], None], workspace: Path
    ) -> Layer | PushedLayer:
        """Run the command in a container of `parent`, whose blobs are in `store`.

        `output` gets the command's lines as they come (decoded, without newline, not yet masked). The layer's file is
        made in `workspace`. Raises `CommandFailed` and `NoWorkingDirectory`. After `close` no container or volume is
        left of it, interrupted or not (cache mounts stay, but for those that are `kept`)."""

    def stop(self) -> None:
        """End what runs, from any thread: every `run`, also later ones, raises `Interrupted`."""

    def close(self) -> None:
        """End what still goes on in the background, when no `run` does."""


class Engines(Engine, Protocol):
    """One for each platform, which is found and made when it is first needed."""

    def expect(self, platform: str) -> None:
        """A command for this platform comes soon. What fails here fails again in `run`."""
