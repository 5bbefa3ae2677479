"""A run that wants locks, as a process of its own: `python -m tests.unit.lock.worker SPECIFICATION COMMAND…`.

Commands: `hold` says "held true|false" and keeps the lock until its standard input ends; `contend FOLDER ROUNDS`
takes the lock again and again and fails when anybody else has it at the same time; `contend FOLDER ROUNDS PROCESSES`
is as many processes that do so."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lineal.lock import Lock, LockTimeouts
from lineal.lock.leased import LeasedLock, Service
from lineal.progress import Notes

CHECKSUM = "5" * 64


@dataclass
class Told:
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def by(self) -> Notes:
        """What a lock gets, so that it tells this."""
        return Notes(self.notes.append, self.warnings.append, self.stopped)


def service(given: dict[str, Any], timeouts: LockTimeouts, stopped: threading.Event, who: str = "worker") -> Service:
    """The real service, made as a run makes it. `given` can be written as JSON."""
    if given["kind"] == "git":
        from lineal.git.repository import Repository
        from lineal.lock.git import GitRefs

        environ = dict(os.environ) | given.get("environ", {})
        repository = Repository.open(Path(given["clone"]), environ)
        folder = Path(given["private"]) / f"{os.getpid()}-{random.getrandbits(32)}.git"
        return GitRefs(repository, folder, who, timeouts.lease, stopped)
    if given["kind"] == "etcd":
        from lineal.lock.etcd import EtcdKeys

        return EtcdKeys(given["endpoint"], given["folder"], who, timeouts.lease, given.get("environ", {}))
    from lineal.lock.kubernetes import Leases

    return Leases(given["namespace"], "", given["store"], who, timeouts.lease, given["environ"])


def lock(given: dict[str, Any], told: Told, who: str = "worker", **times: float) -> Lock:
    if given["kind"] == "file":
        from lineal.lock.file import FileLocks

        wait = times.get("wait", 60)
        return FileLocks(Path(given["folder"]), told.by, wait)
    agreed = LockTimeouts(**times)
    made = service(given, agreed, told.stopped, who)
    return LeasedLock(made, told.by, agreed)


def contend(mine: Lock, folder: Path, rounds: int) -> int:
    """How often the lock was held."""
    inside, count = folder / "inside", 0
    for _ in range(rounds):
        with mine.hold(CHECKSUM) as held:
            if held:
                # Whoever is in here makes this directory; two at once cannot.
                inside.mkdir()
                time.sleep(random.uniform(0, 0.01))
                inside.rmdir()
                count += 1
    return count


def become(processes: int) -> None:
    """Returns in as many new processes, which have imported everything; here it ends with them."""
    children = []
    for _ in range(processes):
        if (child := os.fork()) == 0:
            return
        children.append(child)
    ends = {os.waitpid(child, 0)[1] for child in children}
    sys.exit(ends != {0})


def main() -> None:
    given = json.loads(sys.argv[1])
    told, times = Told(), given.pop("timeouts", {})
    if len(sys.argv) > 5:
        lock(given, told, **times)
        become(int(sys.argv[5]))
    mine = lock(given, told, f"worker {os.getpid()}", **times)
    if sys.argv[2] == "contend":
        held = contend(mine, Path(sys.argv[3]), int(sys.argv[4]))
        print(json.dumps({"held": held, "warnings": told.warnings}))
        return
    # As a run does it: the signal ends the main thread's work, which stops the others.
    signal.signal(signal.SIGTERM, lambda *_: told.stopped.set())
    print("ready", flush=True)
    with mine.hold(CHECKSUM) as really:
        print(f"held {str(really).lower()}", flush=True)
        sys.stdin.read()
    print(json.dumps(told.warnings), flush=True)


if __name__ == "__main__":
    main()
