"""Which lock a run uses, and why: checked before anything is built, opened when the first stage is published."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lineal.config.setting import Setting
from lineal.errors import BadConfiguration
from lineal.lock import Lock, LockTimeouts, NoLock
from lineal.lock.address import BadAddress, LockAddress, parse
from lineal.store.open import is_directory

if TYPE_CHECKING:
    from lineal.git.repository import Repository
    from lineal.lock.leased import Service

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Choice:
    address: LockAddress
    why: str

    def __str__(self) -> str:
        """For the run's first lines."""
        where = f" {self.address.where}" if self.address.where else ""
        return f"{self.address.kind}{where}  {self.why}"


def choose(wanted: Setting[str], store: str, may_write: bool, environ: Mapping[str, str]) -> Choice:
    """Raises `BadConfiguration`."""
    source = wanted.origin.source
    try:
        address = parse(wanted.value)
    except BadAddress as error:
        raise BadConfiguration(f"{error.message[:-1]} ({source}).", remedy=error.remedy) from None
    layout = is_directory(store)
    if address.kind == "file" and not layout:
        raise BadConfiguration(
            f"The lock `file` ({source}) is for a layout store, and the store is {store}.",
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
            remedy="Use https, or etcd without a password.",
        )


@dataclass(frozen=True, slots=True)
class LockContext:
    """What a lock needs to know of its run."""

    store: str
    layout: Path | None
    """The directory of a layout store."""
    repository: Repository
    workspace: Path
    kube_context: str
    environ: Mapping[str, str]
    stopped: threading.Event
    warn: Callable[[str], None]
    note: Callable[[str], None]


def open_lock(address: LockAddress, run: LockContext) -> Lock:
    """Nothing is asked of a service before the lock is first held."""
    if address.kind == "none":
        return NoLock()
    if address.kind == "file":
        from lineal.lock.file import FileLocks

        assert run.layout is not None
        return FileLocks(run.layout / "locks", run.warn, note=run.note, stopped=run.stopped)
    from lineal.lock.leased import LeasedLock

    return LeasedLock(_service(address, run), run.warn, run.note, run.stopped)


def _service(address: LockAddress, run: LockContext) -> Service:
    from lineal.lock.holder import describe

    holder, lease = describe(run.environ), LockTimeouts().lease
    if address.kind == "git":
        from lineal.lock.git import GitRefs

        return GitRefs(run.repository, run.workspace / "lock.git", holder, lease, run.stopped)
    if address.kind == "etcd":
        from lineal.lock.etcd import EtcdKeys

        return EtcdKeys(address.where, f"lineal/locks/{run.store}", holder, lease, run.environ)
    from lineal.lock.kubernetes import Leases

    return Leases(address.where, run.kube_context, run.store, holder, lease, run.environ)
