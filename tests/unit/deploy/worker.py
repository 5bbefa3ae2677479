"""A process that deploys a release once, for tests that need several, or need to kill one.

Its arguments: the path of helm, a kubeconfig, a chart's directory, a namespace, and `--set` expressions."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lineal.deploy.helm.client import Helm
from lineal.deploy.release import Chart, Release
from lineal.deploy.upgrade import Upgrade
from lineal.deploy.watch.monitor import PollPolicy
from lineal.errors import LinealError
from lineal.lock import LockTimeouts
from lineal.progress import Notes


def main() -> int:
    program, kubeconfig, chart, namespace, *sets = sys.argv[1:]
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(Path(kubeconfig).parent),
        "KUBECONFIG": kubeconfig,
        "LINEAL_HELM": program,
    }
    release = Release(name="shop", namespace=namespace, chart=Chart.directory(Path(chart), "deploy/chart"),
                      sets=tuple(sets), timeout=300.0)  # fmt: skip
    upgrade = Upgrade(Helm.find(environ), release, Notes(_say, _say), "worker", PollPolicy(0.2, 1.0),
                      LockTimeouts(lease=8.0, wait=120.0, poll=0.2, notice=0.2))  # fmt: skip
    try:
        print(upgrade.run(skip_unchanged=True).status, flush=True)
    except LinealError as error:
        print(error, flush=True)
        return error.exit_code
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
