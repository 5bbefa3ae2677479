"""A deploy beside plain helm: the same small chart, image, cluster and helm, in turns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.limits import Limit
from bench.process import environment, run
from bench.sides import NOWHERE, lineal
from tests.cluster.controller import controller
from tests.cluster.fixtures import APP, SECRET
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


@dataclass
class _Side:
    """Seconds of each kind of deploy."""

    first: list[float] = field(default_factory=list)
    change: list[float] = field(default_factory=list)


def deploys(scratch: Path, repetitions: int) -> list[Limit]:
    """Seconds of `lineal deploy` beyond those of `helm upgrade --install --wait`. Nothing where there is no API
    server; that is said."""
    if program() is None:
        print("  no API server: see `make cluster`", flush=True)
        return []
    binaries.fetch(binaries.directory())
    with _cluster(scratch / "cluster") as kubeconfig:
        return [limit for name in _WAIT for limit in _measured(name, scratch / name, kubeconfig, repetitions)]


@contextmanager
def _cluster(directory: Path) -> Iterator[Path]:
    directory.mkdir()
    with api_server(directory) as kubeconfig, controller(kubeconfig, directory / "kubelet"):
        yield kubeconfig


def _measured(name: str, directory: Path, kubeconfig: Path, repetitions: int) -> Iterator[Limit]:
    repo, helm = Repository.create(directory / "repo"), str(binaries.directory() / name)
    repo.write(_FILES)
    ours, plain = _Side(), _Side()
    with tempfile.TemporaryDirectory(dir=directory) as home:
        env = {
            **environment(Path(home)), "DOCKER_HOST": NOWHERE, "KUBECONFIG": str(kubeconfig), "LINEAL_HELM": helm,
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
    for kind, one, other in (("first", ours.first, plain.first), ("a change", ours.change, plain.change)):
        remark = f"`lineal deploy` {median(one):.2f} s, `helm upgrade --install {_WAIT[name]}` {median(other):.2f} s"
        yield Limit(f"deploy with {name}, {kind}, less plain helm", median(one) - median(other), 1.5, "s", remark)
