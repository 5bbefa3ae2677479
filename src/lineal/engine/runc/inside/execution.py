"""One command: the overlay mount of its image, the container's configuration, the runtime, and what was changed.

The task's directory, where it works, has all that is made for it; paths in its orders are relative to it."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
from typing import Any

from lineal.engine.runc.inside import kernel, overlay
from lineal.engine.runc.inside.accounts import Account, Unknown, find
from lineal.engine.runc.inside.control import Control, silence
from lineal.engine.runc.inside.oci_config import HOSTNAME, config
from lineal.engine.runc.inside.places import NotADirectory, Places
from lineal.engine.runc.inside.upper import UpperReader

_SYSTEM = ("dev", "proc", "sys")
"""Directories of every container; an image without them gets them with its first `RUN`, as with BuildKit."""
_PRIVATE = "private"
"""Memory of this task alone: secrets, and what the runtime keeps of an environment that may have some."""


def run(orders: dict[str, Any], control: Control) -> None:
    """Standard output and error are the command's. Answers how it ended; then `layer`, a descriptor, gets the tar,
    and the last answer says whether the upper directory is a layer as it is."""
    os.chdir(orders["directory"])
    task = _Execution(orders)
    answer = task.prepare() or task.execute()
    silence()
    control.send(**answer)
    if answer.get("status") == 0:
        with open(orders["layer"], "wb", buffering=1 << 18) as sink:
            reader = UpperReader(orders["upper"], "base", sink, rootless=orders["rootless"])
            reader.write()
        control.send(plain=reader.plain)


class _Execution:
    def __init__(self, orders: dict[str, Any]) -> None:
        self._orders = orders
        self._command: dict[str, Any] = orders["command"]
        self._rootless: bool = orders["rootless"]
        for name in ("work", "stubs", "empty", "base", "root", "files", _PRIVATE):
            os.mkdir(name, 0o755)
        kernel.mount("tmpfs", _PRIVATE, "tmpfs", kernel.NOSUID | kernel.NODEV, "mode=700")
        self._lower: list[str] = orders["lower"]
        overlay.show([*self._lower, "empty"] if self._lower else ["empty", "stubs"], "base", rootless=self._rootless)
        self._places = Places([orders["upper"], "stubs", "base"])
        self._mounts: list[dict[str, Any]] = []
        self._account = Account()

    def prepare(self) -> dict[str, Any] | None:
        """An answer when there is nothing to be executed."""
        try:
            self._account = find(self._command["user"], self._places.file("/etc/passwd"),
                                 self._places.file("/etc/group"))  # fmt: skip
            self._directories()
        except Unknown as error:
            return {"user": str(error)}
        except NotADirectory:
            return {"workdir": True}
        self._plan_mounts()
        lower = ["stubs", *self._lower]
        overlay.stack(lower, self._orders["upper"], "work", "root", rootless=self._rootless)
        return None

    def _directories(self) -> None:
        upper = self._orders["upper"]
        top = os.lstat("base")
        os.chown(upper, top.st_uid, top.st_gid)
        os.chmod(upper, stat.S_IMODE(top.st_mode))
        for name in _SYSTEM:
            if self._places.stat(name) is None:
                self._places.plant(upper, name)
        for path, mode, uid, gid in self._command["directories"]:
            real = self._places.real(path)
            if real and self._places.stat(real) is None:
                self._places.plant(upper, real, mode=mode, uid=uid, gid=gid)
        workdir = self._places.real(self._command["workdir"])
        found = self._places.stat(workdir)
        if found is not None and not stat.S_ISDIR(found.st_mode):
            raise NotADirectory
        if found is None and not self._mounted(workdir):
            self._places.plant(upper, workdir)

    def _mounted(self, real: str) -> bool:
        return any(f"/{real}/".startswith(f"{one['target'].rstrip('/')}/") for one in self._command["mounts"])

    def _plan_mounts(self) -> None:
        for name, text in (("hosts", self._hosts()), ("resolv.conf", _read("/etc/resolv.conf"))):
            with open(f"files/{name}", "wb") as file:
                file.write(text)
            os.chmod(f"files/{name}", 0o644)
            self._bind(f"/etc/{name}", f"files/{name}", writable=True)
        for number, mount in enumerate(self._command["mounts"]):
            self._plan(number, mount)

    def _plan(self, number: int, mount: dict[str, Any]) -> None:
        target = mount["target"]
        if mount["kind"] == "tmpfs":
            size = [] if mount["size"] is None else [f"size={mount['size']}"]
            # The runtime gives it the mode of the directory that it covers.
            self._stub(target, file=False, mode=0o1777)
            options = ["nosuid", "mode=1777", *size, "rw" if mount["writable"] else "ro"]
            self._mounts.append({"destination": target, "type": "tmpfs", "source": "tmpfs", "options": options})
        elif mount["kind"] == "secret":
            source = f"{_PRIVATE}/{number}"
            with open(source, "wb") as file:
                file.write(base64.b64decode(mount["value"]))
            os.chown(source, mount["uid"], mount["gid"])
            os.chmod(source, mount["mode"])
            self._bind(target, source, writable=False, more=("nosuid", "nodev", "noexec"))
        else:
            if mount["kind"] == "socket":
                os.chown(mount["source"], mount["uid"], mount["gid"])
                os.chmod(mount["source"], mount["mode"])
            self._bind(target, mount["source"], writable=mount["writable"])

    def _bind(self, target: str, source: str, *, writable: bool, more: tuple[str, ...] = ()) -> None:
        self._stub(target, file=not os.path.isdir(source))
        options = ["rbind", "rprivate", *more, "rw" if writable else "ro"]
        self._mounts.append(
            {"destination": target, "type": "bind", "source": os.path.abspath(source), "options": options}
        )

    def _stub(self, target: str, *, file: bool, mode: int = 0o755) -> None:
        """A place to mount at, which is in no layer: a lower one of this task has it, or the mount that it is in."""
        around = [
            one for one in self._mounts if f"{target}/".startswith(f"{one['destination'].rstrip('/')}/")
            and one["destination"] != target
        ]  # fmt: skip
        if around:
            outer = max(around, key=lambda one: len(one["destination"]))
            # In what is writable or a tmpfs, the runtime makes it.
            if outer["type"] == "bind" and "ro" in outer["options"]:
                inner = Places([outer["source"]])
                real = inner.real(target.removeprefix(outer["destination"].rstrip("/")))
                inner.plant(outer["source"], real, file=file)
            return
        real = self._places.real(target)
        if self._places.stat(real) is None:
            self._places.plant("stubs", real, file=file, mode=mode)

    def _hosts(self) -> bytes:
        rows = ["127.0.0.1\tlocalhost " + HOSTNAME, "::1\tlocalhost ip6-localhost ip6-loopback"]
        rows += [f"{address}\t{name}" for name, address in self._command["hosts"]]
        return "".join(f"{row}\n" for row in rows).encode()

    def execute(self) -> dict[str, Any]:
        orders = self._orders
        document = config(
            self._command, self._account, self._mounts, root=os.path.abspath("root"), cgroup=orders["cgroup"],
            rootless=self._rootless,
        )  # fmt: skip
        with open(f"{_PRIVATE}/config.json", "w") as file:
            json.dump(document, file)
        program = orders["program"]
        call = [program, "--root", f"{_PRIVATE}/state", "--log", "log", "--log-format", "json"]
        if os.path.basename(program) == "crun":
            call += [] if orders["cgroup"] else ["--cgroup-manager=disabled"]
        else:
            call += ["--rootless", "false" if orders["cgroup"] else "true"]
        with open(os.devnull) as nothing:
            done = subprocess.run([*call, "run", "--bundle", _PRIVATE, orders["id"]], stdin=nothing, check=False)
        kernel.unmount("root")
        status = done.returncode if done.returncode >= 0 else 128 - done.returncode
        return {"status": status, "log": _errors()}


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError:
        return b""


def _errors() -> list[str]:
    """What the runtime itself has to say, not the command."""
    found = []
    for line in _read("log").decode(errors="replace").splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            said = {"level": "error", "msg": line}
        if isinstance(said, dict) and said.get("level") in ("error", "fatal"):
            found.append(str(said.get("msg", "")))
    return found
