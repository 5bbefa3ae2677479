"""A command and its mounts as an operation of BuildKit; what they hold comes through the session."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence

from lineal.engine import BindMount, CacheMount, Command, Directory, Mount, SecretMount, SshMount, TmpfsMount
from lineal.engine.buildkit.blobs import FILE, ROOT, SessionBlobs
from lineal.engine.buildkit.failures import COMMAND
from lineal.engine.buildkit.kept import KeptTree
from lineal.engine.buildkit.llb import NOTHING, Graph, Output
from lineal.engine.buildkit.protocol import ops_pb2
from lineal.engine.buildkit.session import Session
from lineal.errors import BadConfiguration
from lineal.text import quoted

STORE = "lineal"
"""The name of a session's blobs, for the daemon."""
_ROOT = f"/{ROOT.decode()}"
_SHARING = {"shared": ops_pb2.SHARED, "private": ops_pb2.PRIVATE, "locked": ops_pb2.LOCKED}
_NETWORKS = {"host": ops_pb2.HOST, "none": ops_pb2.NONE}


class Execution:
    """One command on a parent, in a graph."""

    def __init__(
        self, graph: Graph, session: Session, blobs: SessionBlobs, platform: dict[str, str], scope: str,
        trees: Mapping[str, KeptTree],
    ) -> None:  # fmt: skip
        """`scope` sets the caches of this store apart from those of others; `trees` are the caches that the run keeps
        by itself, by their targets."""
        self._trees = trees
        self.changed: list[tuple[KeptTree, Output, int]] = []
        """Of these that the command may write: the image that it gets, and the number of the output that has it
        afterwards."""
        self._graph = graph
        self._session = session
        self._blobs = blobs
        self._platform = platform
        self._scope = scope
        self._inputs: list[Output] = []

    def add(self, command: Command, parent: Output | None, network: str) -> Output:
        directories = made_beforehand(command)
        root = self._root(directories, parent)
        self._inputs = [] if root is None else [root]
        mounts = [ops_pb2.Mount(input=NOTHING if root is None else 0, dest="/", output=0)]
        # As BuildKit's own client orders them: a mount in another one comes after it, single files are last.
        by_target = sorted(
            command.mounts, key=lambda mount: (isinstance(mount, SecretMount | SshMount), mount.target)
        )
        mounts += [self._mount(mount) for mount in by_target]
        options = command.options
        if options.shm_size is not None:
            mounts.append(self._mount(TmpfsMount(target="/dev/shm", size=options.shm_size)))  # noqa: S108
        operation = ops_pb2.ExecOp(
            meta=ops_pb2.Meta(
                args=command.argv,
                env=[f"{name}={value}" for name, value in command.env.items() if name not in command.secret_env],
                cwd=command.workdir or "/",
                user=command.user,
                extraHosts=[ops_pb2.HostIP(Host=name, IP=_host_address(name, ip)) for name, ip in options.hosts],
                ulimit=[ops_pb2.Ulimit(Name=name, Soft=soft, Hard=hard) for name, soft, hard in options.ulimits],
                cgroupParent=options.cgroup_parent,
                removeMountStubsRecursive=True,
            ),
            mounts=mounts,
            network=_NETWORKS.get(network, ops_pb2.UNSET),
            security=ops_pb2.INSECURE if command.insecure else ops_pb2.SANDBOX,
            cdiDevices=[ops_pb2.CDIDevice(name=one.name, optional=not one.required) for one in command.devices],
            secretenv=[self._variable(name, command.env[name]) for name in sorted(command.secret_env)],
        )
        # A daemon answers from its cache, and makes one of two equal commands that run at the same time, whoever
        # asks. A secret that nobody has makes this one different from all others, and leaves no trace. `ignore_cache`
        # would not do: equal ones still become one, and cache mounts are emptied.
        nobody = ops_pb2.SecretOpt(ID=_unique(), optional=True)
        operation.mounts.append(
            ops_pb2.Mount(
                input=NOTHING, dest="/dev/lineal", output=NOTHING, mountType=ops_pb2.SECRET, secretOpt=nobody
            )
        )
        return self._graph.execute(operation, tuple(self._inputs), COMMAND)

    def _root(self, directories: Sequence[Directory], parent: Output | None) -> Output | None:
        """The parent with the directories that the command needs."""
        actions = [
            ops_pb2.FileAction(
                mkdir=ops_pb2.FileActionMkDir(
                    path=one.path,
                    mode=one.mode & 0o777,
                    makeParents=True,
                    owner=_owner(one.uid, one.gid),
                    timestamp=-1,
                )
            )
            for one in directories
        ]
        return self._graph.file(parent, actions) if actions else parent

    def _variable(self, name: str, value: str) -> ops_pb2.SecretEnv:
        return ops_pb2.SecretEnv(ID=self._session.secret(value.encode("utf-8", "surrogateescape")), name=name)

    def _input(self, made: Output) -> int:
        if made not in self._inputs:
            self._inputs.append(made)
        return self._inputs.index(made)

    def _mount(self, mount: Mount) -> ops_pb2.Mount:
        if isinstance(mount, CacheMount):
            return self._cache(mount)
        if isinstance(mount, BindMount):
            return self._bind(mount)
        if isinstance(mount, TmpfsMount):
            return ops_pb2.Mount(
                input=NOTHING, dest=mount.target, output=NOTHING, mountType=ops_pb2.TMPFS,
                readonly=not mount.writable, TmpfsOpt=ops_pb2.TmpfsOpt(size=mount.size or 0),
            )  # fmt: skip
        if isinstance(mount, SecretMount):
            secret = ops_pb2.SecretOpt(
                ID=self._session.secret(mount.value), uid=mount.uid, gid=mount.gid, mode=mount.mode
            )
            return ops_pb2.Mount(
                input=NOTHING, dest=mount.target, output=NOTHING, mountType=ops_pb2.SECRET, secretOpt=secret
            )
        agent = ops_pb2.SSHOpt(ID=self._session.agent(mount.agent), uid=mount.uid, gid=mount.gid, mode=mount.mode)
        return ops_pb2.Mount(input=NOTHING, dest=mount.target, output=NOTHING, mountType=ops_pb2.SSH, SSHOpt=agent)

    def _bind(self, mount: BindMount) -> ops_pb2.Mount:
        digest = self._blobs.directory(mount.tar(), mount.root, self._platform, single=mount.single)
        return ops_pb2.Mount(
            input=self._input(self._graph.image(*layout(digest, self._session))),
            selector=f"{_ROOT}/{FILE.decode()}" if mount.single else _ROOT,
            dest=mount.target, output=NOTHING, readonly=not mount.writable,
            # Its files need not be hashed to look for another command on equal ones.
            contentCache=ops_pb2.OFF,
        )  # fmt: skip

    def _cache(self, mount: CacheMount) -> ops_pb2.Mount:
        if mount.target in self._trees:
            return self._kept(mount, self._trees[mount.target])
        owner = (mount.mode, mount.uid, mount.gid)
        if mount.tar is None:
            mkdir = ops_pb2.FileActionMkDir(
                path=_ROOT, mode=mount.mode, owner=_owner(mount.uid, mount.gid), timestamp=-1
            )
            made = self._graph.file(None, [ops_pb2.FileAction(mkdir=mkdir)])
        else:
            made = self._graph.image(
                *layout(self._blobs.directory(mount.tar(), owner, self._platform), self._session)
            )
        name = hashlib.sha256(f"{self._scope}\0{mount.id}".encode("utf-8", "surrogateescape")).hexdigest()
        return ops_pb2.Mount(
            input=self._input(made), selector=_ROOT, dest=mount.target, output=NOTHING,
            mountType=ops_pb2.CACHE, readonly=not mount.writable,
            cacheOpt=ops_pb2.CacheOpt(ID=f"lineal-{name}", sharing=_SHARING[mount.sharing]),
        )  # fmt: skip

    def _kept(self, mount: CacheMount, tree: KeptTree) -> ops_pb2.Mount:
        lower = self._graph.image(*layout(self._blobs.offer(tree.layers, self._platform), self._session))
        output = NOTHING
        if mount.writable:
            output = len(self.changed) + 1
            self.changed.append((tree, lower, output))
        return ops_pb2.Mount(
            input=self._input(lower), selector=_ROOT, dest=mount.target, output=output, readonly=not mount.writable,
            contentCache=ops_pb2.OFF,
        )  # fmt: skip


def _host_address(name: str, address: str) -> str:
    """Only Docker Engine knows the address of its own machine. Raises `BadConfiguration`."""
    if address == "host-gateway":
        raise BadConfiguration(
            f"`add_hosts` gives {quoted(name)} the address host-gateway, which a buildkitd does not know.",
            id="LN-5033",
            remedy="Write the address of the engine's machine, or use the engine docker.",
        )
    return address


def _unique() -> str:
    return secrets.token_hex(16)


def made_beforehand(command: Command) -> Sequence[Directory]:
    """The directories that a layer of their own brings. The container makes its working directory itself, and those
    above it, as this user's; it takes those away again that only a mount needed."""
    root = command.user in ("", "0", "root", "0:0", "root:root")
    path = f"{command.workdir.rstrip('/')}/"
    for one in command.directories:
        here = f"{one.path}/"
        targets = [f"{mount.target.rstrip('/')}/" for mount in command.mounts]
        mounted = any(here.startswith(target) or target.startswith(here) for target in targets)
        if mounted or not root or (one.mode, one.uid, one.gid) != (0o755, 0, 0) or not path.startswith(here):
            return command.directories
    return ()


def layout(digest: str, session: Session) -> tuple[str, dict[str, str]]:
    """An image among the session's blobs, as a source."""
    return f"oci-layout://{STORE}/blobs@{digest}", {"oci.session": session.id, "oci.store": STORE}


def _owner(uid: int, gid: int) -> ops_pb2.ChownOpt:
    return ops_pb2.ChownOpt(user=ops_pb2.UserOpt(byID=uid), group=ops_pb2.UserOpt(byID=gid))
