"""A deploy beside plain helm: the same small chart, image, cluster and helm, in turns. And the recovery of one that
was killed."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.limits import Limit
from bench.process import Failed, environment, run
from bench.sides import NOWHERE, lineal
from tests.cluster.controller import controller
from tests.cluster.fixtures import APP, SECRET, Cluster
from tests.cluster.parts import api_server, program
from tests.servers import Repository
from tests.tools import helm as binaries

_CONFIG = "project: shop\nimages: {app: {}}\ndeploy: {chart: chart, release: shop, values: [values.yaml.j2]}\n"
_FILES: dict[str, str | bytes | None] = {
    "Dockerfile": "FROM scratch\nCOPY file /\n",
    "file": "one\n",
    "lineal.yaml": _CONFIG,
    "values.yaml.j2": 'text: "{{ images.app.digest }}"\n',
    "chart/Chart.yaml": "apiVersion: v2\nname: small\nversion: 0.1.0\n",
    "chart/templates/app.yaml": APP,
    "chart/templates/secret.yaml": SECRET,
}
_WAIT = {"helm3": "--wait", "helm4": "--wait=legacy"}
"""Lineal has helm wait like this."""


_RECOVERY = 15.0
"""Seconds after the start of a run until it has put in order what a killed one left, and helm is at work."""
_LONGEST = 120.0


@dataclass
class _Side:
    """Seconds of each kind of deploy."""

    first: list[float] = field(default_factory=list)
    change: list[float] = field(default_factory=list)


def deploys(scratch: Path, repetitions: int) -> list[Limit]:
    """Seconds of `lineal deploy` beyond those of `helm upgrade --install --wait`, and of a recovery. Nothing where
    there is no API server; that is said."""
    if program() is None:
        print("  no API server: see `make cluster`", flush=True)
        return []
    binaries.fetch(binaries.directory())
    with _cluster(scratch / "cluster") as cluster:
        return [limit for name in _WAIT for limit in _measured(name, scratch / name, cluster, repetitions)]


@contextmanager
def _cluster(directory: Path) -> Iterator[Cluster]:
    directory.mkdir(parents=True)
    with api_server(directory) as kubeconfig, controller(kubeconfig, directory / "kubelet") as client:
        yield Cluster(kubeconfig, client)


def _measured(name: str, directory: Path, cluster: Cluster, repetitions: int) -> Iterator[Limit]:
    repo, helm = Repository.create(directory / "repo"), str(binaries.directory() / name)
    repo.write(_FILES)
    ours, plain = _Side(), _Side()
    with tempfile.TemporaryDirectory(dir=directory) as home:
        env = {
            **environment(Path(home)), "DOCKER_HOST": NOWHERE, "LINEAL_HELM": helm,
            "KUBECONFIG": str(cluster.kubeconfig),
            "LINEAL_REPO": f"layout:{directory / 'store'}",
        }  # fmt: skip

        def by_lineal(space: str) -> float:
            run([lineal(), "build"], repo.path, env)
            return run([lineal(), "deploy", "--namespace", space], repo.path, env).seconds

        def by_helm(space: str) -> float:
            flags = ["--install", "--create-namespace", _WAIT[name], "--namespace", space, "--set", f"text={space}"]
            flags[-1] += str(len(plain.first) + len(plain.change))
            return run([helm, "upgrade", *flags, "shop", "chart"], repo.path, env).seconds

        for number in range(repetitions):
            sides: list[tuple[_Side, Callable[[str], float], str]] = [
                (ours, by_lineal, f"{name}-lineal-{number}"), (plain, by_helm, f"{name}-plain-{number}"),
            ]  # fmt: skip
            for side, deploy, space in sides:
                side.first.append(deploy(space))
            repo.write({"file": f"{number}\n"})
            for side, deploy, space in reversed(sides):
                side.change.append(deploy(space))
        deployed = [lineal(), "deploy", "--namespace", f"{name}-lineal-0"]
        recovered = [_recovery(deployed, cluster, repo.path, env) for _ in range(repetitions)]
    for kind, one, other in (("first", ours.first, plain.first), ("a change", ours.change, plain.change)):
        remark = f"`lineal deploy` {median(one):.2f} s, `helm upgrade --install {_WAIT[name]}` {median(other):.2f} s"
        yield Limit(f"deploy with {name}, {kind}, less plain helm", median(one) - median(other), 1.5, "s", remark)
    killed = (
        f"the longest of {repetitions}, median {median(recovered):.1f} s; 6 s of these are the killed run's Lease"
    )
    yield Limit(
        f"deploy with {name}, after kill -9, until helm is at work again", max(recovered), _RECOVERY, "s", killed
    )


def _recovery(deploy: list[str], cluster: Cluster, where: Path, env: dict[str, str]) -> float:
    """Seconds from the start of the run after one that was killed until its helm makes a revision."""
    space = deploy[-1]
    last = max(cluster.releases(space))
    killed = subprocess.Popen([*deploy, "--set", "pods=never"], cwd=where, env=env, stderr=subprocess.DEVNULL)
    _until(lambda: max(cluster.releases(space)) > last)
    killed.kill()
    killed.wait()
    start = time.monotonic()
    again = subprocess.Popen([*deploy, "--no-skip-unchanged"], cwd=where, env=env, stderr=subprocess.DEVNULL)
    _until(lambda: max(cluster.releases(space)) > last + 2)  # the killed one, the rollback, this one
    seconds = time.monotonic() - start
    if again.wait() != 0:
        raise Failed(f"the deploy after a killed one in {space} failed")
    return seconds


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + _LONGEST
    while not true():
        if time.monotonic() > end:
            raise Failed("a deploy did not get as far as it should")
        time.sleep(0.1)
