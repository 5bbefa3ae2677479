"""The mounts of a `RUN`, on an engine that may be on another machine: volumes, and files put in while it runs.

A directory becomes a volume, filled through a helper container that never starts. A single file cannot be a volume:

- inside a bind mount's directory it is put into that mount's volume;
- a secret whose directory the image lacks (`/run/secrets`) gets a volume for that directory, so that it never touches
  the container's own file system; what else the command writes there is added to the layer afterwards;
- the sockets of SSH agents are in a volume of their own, and a link to one is where it is wanted;
- otherwise it is put into the container and left out of the layer. A volume in place of the directory would hide what
  the image has there, and what the command writes there.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lineal.engine import BindMount, CacheMount, Command, Mount, SecretMount, SshMount, TmpfsMount
from lineal.engine.docker.cache_mounts import Caches, KeptVolumes
from lineal.engine.docker.client import Client
from lineal.engine.docker.container_files import ContainerFiles, Content
from lineal.engine.docker.engine_files import HOSTNAME
from lineal.engine.docker.resources import RunResources
from lineal.engine.layer import LayerExclusions
from lineal.engine.secret_parts import parts
from lineal.errors import BadConfiguration, Unreachable
from lineal.tar import raw
from lineal.tar.compression import ChunkStream
from lineal.tar.header import END, HARDLINK, SYMLINK, padding

_MARK = b".dockerenv"
"""A file that an engine makes in every container; only its deletion could show up in a layer."""

_CACHE = "/lineal-cache"

_PLAIN = (0o755, 0, 0)
"""Mode, uid and gid of a new volume's root."""


@dataclass(slots=True)
class _Volume:
    name: str
    target: str
    writable: bool = True
    tar: list[Iterator[bytes]] = field(default_factory=list)
    """To unpack at its root, in order."""
    files: dict[str, Content] = field(default_factory=dict)
    """To put at paths in it."""
    owner: tuple[int, int, int] | None = None
    """Mode, uid and gid to give to its root."""
    cache: bool = False
    kept: bool = False
    """The files that the command writes belong to the image."""

    def spec(self, target: str, writable: bool) -> dict[str, Any]:
        options = {"NoCopy": True}
        return {
            "Type": "volume",
            "Source": self.name,
            "Target": target,
            "ReadOnly": not writable,
            "VolumeOptions": options,
        }


class Mounts:
    """A command's mounts: make the volumes, give the container's settings, put files in, say what to leave out."""

    def __init__(self, client: Client, resources: RunResources, command: Command, kept: KeptVolumes) -> None:
        self._client = client
        self._resources = resources
        self._command = command
        self._volumes: list[_Volume] = []
        self._tmpfs: dict[str, str] = {}
        self._files: dict[str, Content] = {}
        self._secrets: list[tuple[ContainerFiles, str]] = []
        self._caches = Caches(client, resources, kept)
        self._cache_volumes: dict[str, _Volume] = {}
        self._links: dict[str, str] = {}
        self.sockets: dict[str, SshMount] = {}
        """The SSH agents to forward, by the names of their sockets in the volume ..."""
        self.socket_volume = ""
        self._made = {part for directory in command.directories for part in _prefixes(directory.path)}
        for mount in command.mounts:
            self._plan_directory(mount)
        self._plan_sockets()
        for mount in command.mounts:
            self._plan_file(mount)
        self._plan_nested()

    def _plan_directory(self, mount: Mount) -> None:
        if isinstance(mount, CacheMount):
            volume = self._cache_volumes[mount.target] = self._cache(mount)
            self._volumes.append(volume)
        elif isinstance(mount, TmpfsMount):
            size = "" if mount.size is None else f",size={mount.size}"
            access = "rw" if mount.writable else "ro"
            self._tmpfs[_tidy(mount.target)] = f"{access},nosuid,exec,mode=1777{size}"
        elif isinstance(mount, BindMount) and not mount.single:
            volume = _Volume(self._resources.volume(), _tidy(mount.target), mount.writable, [mount.tar()])
            volume.owner = mount.root if mount.root != _PLAIN else None
            self._volumes.append(volume)

    def _cache(self, mount: CacheMount) -> _Volume:
        name, fresh = self._caches.volume(mount)
        owner = (mount.mode, mount.uid, mount.gid)
        volume = _Volume(name, _tidy(mount.target), mount.writable, cache=True)
        volume.owner = owner if fresh and owner != _PLAIN else None
        volume.tar = [mount.tar()] if fresh and mount.tar else []
        return volume

    def _plan_sockets(self) -> None:
        """A volume for the sockets, which no directory of the image lies under."""
        agents = [mount for mount in self._command.mounts if isinstance(mount, SshMount)]
        if not agents:
            return
        directory = "/run/buildkit"
        while not self._is_missing(directory):
            directory += "-ssh"
        self.socket_volume = self._resources.volume()
        self._volumes.append(_Volume(self.socket_volume, directory, writable=False))
        for number, mount in enumerate(agents):
            name = f"ssh_agent.{number}"
            self.sockets[name] = mount
            if _tidy(mount.target) != f"{directory}/{name}":
                self._links[_tidy(mount.target)] = f"{directory}/{name}"

    def _plan_file(self, mount: Mount) -> None:
        if isinstance(mount, SecretMount):
            content: Content = partial(_secret, mount)
        elif isinstance(mount, BindMount) and mount.single:
            content = partial(_single, mount)
        elif isinstance(mount, SshMount) and _tidy(mount.target) in self._links:
            content = partial(_link, self._links[_tidy(mount.target)])
        else:
            return
        target = _tidy(mount.target)
        directory = target.rpartition("/")[0] or "/"
        around = self._around(target)
        if around is not None:
            around.files[target] = content
        elif isinstance(mount, SecretMount) and self._is_missing(directory):
            self._volumes.append(_Volume(self._resources.volume(), directory, files={target: content}, kept=True))
        else:
            self._files[target] = content

    def _around(self, target: str) -> _Volume | None:
        """The volume that a file would be in. Raises `BadConfiguration` where it would stay or be hidden."""
        inside = [volume for volume in self._volumes if target.startswith(volume.target.rstrip("/") + "/")]
        if any(target.startswith(path.rstrip("/") + "/") for path in self._tmpfs):
            raise BadConfiguration(
                f"A file cannot be mounted at {target}, inside a tmpfs mount.", id="LN-5011", remedy=_ELSEWHERE
            )
        if not inside:
            return None
        volume = max(inside, key=lambda one: len(one.target))
        if volume.cache:
            raise BadConfiguration(
                f"A file cannot be mounted at {target}, inside a cache mount.", id="LN-5011", remedy=_ELSEWHERE
            )
        return volume

    def _plan_nested(self) -> None:
        """A mount inside a read-only one needs its directory there beforehand."""
        for outer in self._volumes:
            if outer.writable:
                continue
            for target in [volume.target for volume in self._volumes] + list(self._tmpfs):
                if target.startswith(outer.target.rstrip("/") + "/"):
                    outer.files.setdefault(target + "/", _nothing)

    def _is_missing(self, path: str) -> bool:
        return path != "/" and path not in self._made and not self._command.existing(path)

    def settings(self) -> dict[str, Any]:
        """The part of a container's `HostConfig`."""
        return {"Mounts": [one.spec(one.target, one.writable) for one in self._volumes], "Tmpfs": self._tmpfs}

    def covers(self, path: str) -> bool:
        """Whether a mount is at this path itself."""
        return path in self._tmpfs or any(volume.target == path for volume in self._volumes)

    def fill(self, image: str) -> None:
        """Put the mounts' contents into their volumes."""
        filled = [volume for volume in self._volumes if volume.tar or volume.files or volume.owner]
        if not filled:
            return
        places = [f"/lineal-{number}" for number in range(len(filled))]
        specs = [volume.spec(place, True) for volume, place in zip(filled, places, strict=True)]
        body = {"Image": image, "Cmd": ["-"], "NetworkDisabled": True, "HostConfig": {"Mounts": specs}}
        secrets = {_tidy(mount.target) for mount in self._command.mounts if isinstance(mount, SecretMount)}
        helper = self._resources.container(body, "create a container to fill volumes")
        paths = ContainerFiles(self._client, helper)
        for volume, place in zip(filled, places, strict=True):
            if volume.owner:
                paths.directory(place, *volume.owner, again=True)
            for tar in volume.tar:
                self._client.put(helper, "/", _below(_key(place), tar), f"fill the mount at {volume.target}")
            for target, content in volume.files.items():
                inner = place + target.removeprefix(volume.target.rstrip("/"))
                if target.endswith("/"):
                    paths.directory(inner, 0o755, 0, 0)
                else:
                    paths.file(inner, content)
                    if target in secrets:
                        self._secrets.append((paths, inner))
        self._caches.filled()

    def save(self, image: str, caches: Sequence[CacheMount]) -> None:
        """Give away what these caches hold, through a container that shows nothing else."""
        for mount in caches:
            if mount.kept is None or mount.kept.keep is None:
                continue
            specs = [self._cache_volumes[mount.target].spec(_CACHE, False)]
            body = {"Image": image, "Cmd": ["-"], "NetworkDisabled": True, "HostConfig": {"Mounts": specs}}
            helper = self._resources.container(body, "create a container to read a cache")
            what = f"read the cache at {mount.target}"
            with self._client.reader(f"/containers/{helper}/archive", what, {"path": f"{_CACHE}/."}) as stream:
                mount.kept.keep(stream)

    def wipe_secrets(self) -> None:
        """Empty the files of secrets in volumes: these can only be removed after their container, which still has to
        be read."""
        for paths, inner in self._secrets:
            # The command may have moved it, and the volume goes in a moment anyway.
            with suppress(Unreachable):
                paths.file(inner, _empty)

    def place(self, paths: ContainerFiles) -> None:
        """Make the command's directories and put its single files into the container."""
        for one in self._command.directories:
            if self._volume_over(one.path) is None:
                # The engine has made the work directory and those above it, in its own way, with the container.
                missing = not self._command.existing(one.path)
                paths.directory(one.path, one.mode, one.uid, one.gid, again=missing)
        for target, content in self._files.items():
            paths.file(target, content)

    def _volume_over(self, path: str) -> str | None:
        """The outermost volume's directory that `path` is or is in: what is put there goes into the volume."""
        over = [one.target for one in self._volumes if one.target in ("/", *_prefixes(path))]
        return min(over, key=len, default=None)

    def _hidden(self, paths: ContainerFiles) -> Iterator[tuple[bytes, tuple[int, int, int]]]:
        """The command's directories that a volume hides: the engine has made them, with an owner of its own."""
        for one in self._command.directories:
            over = self._volume_over(one.path)
            if over is not None and not self._command.existing(one.path):
                where = paths.real(_parent(over)) + _tidy(one.path).removeprefix(_parent(over).rstrip("/"))
                yield _key(where), (one.mode, one.uid, one.gid)

    def exclusions(self, paths: ContainerFiles, *, uncovered: bool) -> LayerExclusions:
        """The paths of these mounts, which must not be in the layer; `uncovered` when nothing of the engine hides the
        image's own files."""
        dropped, stubs = set(self._files), set(self._tmpfs)
        for volume in self._volumes:
            stubs.add(volume.target)
            if volume.kept:
                dropped.update(volume.files)
        around = {part for path in (*stubs, *dropped) for part in _prefixes(path)} - dropped
        mounted = (mount.value for mount in self._command.mounts if isinstance(mount, SecretMount))
        return LayerExclusions(
            dropped=frozenset(_key(paths.real(_parent(path)) + "/" + path.rpartition("/")[2]) for path in dropped)
            | (set() if uncovered else {_MARK}),
            covers=frozenset() if uncovered else frozenset({_key(HOSTNAME)}),
            stubs=frozenset(_key(paths.real(path)) for path in around if self._is_missing(path)),
            owners=dict(self._hidden(paths)),
            secrets=tuple({part for value in (*mounted, *self._command.secrets) for part in parts(value)}),
        )

    def kept(self) -> list[str]:
        """Directories on volumes in which the command may have written what belongs to the image."""
        return [volume.target for volume in self._volumes if volume.kept]


_ELSEWHERE = "Choose a target outside of the other mounts."


def _empty(name: bytes) -> Iterator[bytes]:
    yield raw.file(name, b"")


def _link(target: str, name: bytes) -> Iterator[bytes]:
    yield raw.header(name, SYMLINK, link=target.encode())


def _nothing(_: bytes) -> Iterator[bytes]:
    return iter(())


def _secret(mount: SecretMount, name: bytes) -> Iterator[bytes]:
    yield raw.file(name, mount.value, mode=mount.mode, uid=mount.uid, gid=mount.gid)


def _single(mount: BindMount, name: bytes) -> Iterator[bytes]:
    """The one entry of a bind mount of a file, renamed."""
    stream = io.BufferedReader(ChunkStream(mount.tar()))
    for entry, body in raw.read(stream):
        entry.name = name
        yield entry.encode()
        yield from body
        yield padding(entry.size)
        return
    raise BadConfiguration(
        f"There is no file to mount at {mount.target}.", id="LN-5011", remedy="Check the mount's source."
    )


def _below(directory: bytes, tar: Iterator[bytes]) -> Iterator[bytes]:
    """A tar with its names in a directory of the root: the engine refuses links that lead out of where it unpacks."""
    for entry, body in raw.read(io.BufferedReader(ChunkStream(tar))):
        if entry.name:
            entry.name = directory + b"/" + entry.name
            entry.link = directory + b"/" + entry.link if entry.kind == HARDLINK else entry.link
            yield entry.encode()
            yield from body
            yield padding(entry.size)
    yield END


def _tidy(path: str) -> str:
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def _prefixes(path: str) -> list[str]:
    """A path and the directories above it, except the root."""
    parts = _tidy(path).split("/")[1:]
    return ["/" + "/".join(parts[: depth + 1]) for depth in range(len(parts)) if parts[0]]


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _key(path: str) -> bytes:
    return path.lstrip("/").replace("//", "/").encode("utf-8", "surrogateescape")
