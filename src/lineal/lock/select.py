"""The choice of a run's lock: checked before anything is built, opened when the first stage is published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lineal.errors import BadConfiguration
from lineal.lock import Lock, LockTimeouts, NoLock
from lineal.lock.address import BadAddress, LockAddress, parse
from lineal.progress import Notes
from lineal.store.open import is_directory
from lineal.value import dataclass

if TYPE_CHECKING:
    from lineal.git.repository import Repository
    from lineal.lock.leased import Service

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Choice:
    address: LockAddress
    why: str

    def __str__(self) -> str:
        """The lock and the reason, for the first lines of a run."""
        where = f" {self.address.where}" if self.address.where else ""
        return f"{self.address.kind}{where}  {self.why}"


def choose(wanted: str, source: str, store: str, may_write: bool, environ: Mapping[str, str]) -> Choice:
    """The lock for the setting `wanted`, whose origin is `source` (`--lock`). Raises `BadConfiguration`."""
    try:
        address = parse(wanted)
    except BadAddress as error:
        raise BadConfiguration(f"{error.problem} ({source}).", id="LN-4029", remedy=error.remedy) from None
    layout = is_directory(store)
    if address.kind == "file" and not layout:
        raise BadConfiguration(
            f"The lock `file` ({source}) is for a layout store, and the store is {store}.",
            id="LN-4029",
            remedy="Use git, kubernetes, etcd or none.",
        )
    if address.kind == "etcd":
        _check_secrecy(address, source, environ)
    if not may_write:
        return Choice(LockAddress("none"), "this run publishes nothing")
    if address.kind == "auto":
        return Choice(LockAddress("file" if layout else "none"), "for a directory" if layout else source)
    return Choice(address, source)


def _check_secrecy(address: LockAddress, source: str, environ: Mapping[str, str]) -> None:
    parts = urlsplit(address.where)
    if parts.scheme == "https" or not environ.get("LINEAL_ETCD_USERNAME"):
        return
    if parts.hostname not in _LOOPBACK:
        raise BadConfiguration(
            f"The lock {address.where} ({source}) would get the password of LINEAL_ETCD_PASSWORD unencrypted.",
            id="LN-4029",
            remedy="Use https, or etcd without a password.",
        )


@dataclass(frozen=True, slots=True)
class LockContext:
    """The part of a run that a lock needs."""

    store: str
    layout: Path | None
    """The directory of a layout store."""
    repository: Repository
    workspace: Path
    kube_context: str
    environ: Mapping[str, str]
    holder: str
    """The name of this run, for the people whose run waits for it: one short printable line."""
    notes: Notes


def open_lock(address: LockAddress, run: LockContext) -> Lock:
    """Make the lock. Its service gets no request before the lock is first held."""
    if address.kind == "none":
        return NoLock()
    if address.kind == "file":
        from lineal.lock.file import FileLocks

        assert run.layout is not None
        return FileLocks(run.layout / "locks", run.notes)
    from lineal.lock.leased import LeasedLock

    return LeasedLock(_service(address, run), run.notes)


def _service(address: LockAddress, run: LockContext) -> Service:
    lease = LockTimeouts().lease
    if address.kind == "git":
        from lineal.lock.git import GitRefs

        return GitRefs(run.repository, run.workspace / "lock.git", run.holder, lease, run.notes.stopped)
    if address.kind == "etcd":
        from lineal.lock.etcd import EtcdKeys

        return EtcdKeys(address.where, f"lineal/locks/{run.store}", run.holder, lease, run.environ)
    from lineal.lock.kubernetes import Leases

    return Leases(address.where, run.kube_context, run.store, run.holder, lease, run.environ)
