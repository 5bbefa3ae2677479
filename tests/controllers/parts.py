"""Flux's controllers and Argo CD as processes beside a test, against its API server: what `make controllers` built.

They run as on a cluster, without leaders, metrics and probes."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import servers
from tests.built import CACHE
from tests.cluster.fixtures import Cluster

PROGRAMS = CACHE / "controllers"
FLUX = ("source-controller", "kustomize-controller", "helm-controller")
_SECONDS = 300


def require(*names: str, machine: Sequence[str] = ()) -> None:
    """Skips the test where these programs, and those of the machine, do not run; with LINEAL_REQUIRE_CONTROLLERS it
    fails."""
    if os.environ.get("LINEAL_TEST_KUBECONFIG"):
        pytest.skip("controllers run beside an API server of the tests only, not that of LINEAL_TEST_KUBECONFIG")
    gone = [name for name in names if not (PROGRAMS / f"{name}.stamp").exists()]
    gone += [name for name in machine if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if gone:
        why = f"there is no {', no '.join(gone)}: `make controllers` sees to it"
        if os.environ.get("LINEAL_REQUIRE_CONTROLLERS"):
            pytest.fail(why, pytrace=False)
        # Skips are quiet, warnings are not.
        warnings.warn(f"THE RECIPES WERE NOT HANDED OVER TO ANYBODY: {why}", stacklevel=2)
        pytest.skip(why)


@dataclass(frozen=True)
class Controllers:
    """What runs beside `cluster`; `folder` has the logs."""

    cluster: Cluster
    folder: Path

    def apply(self, *objects: Mapping[str, Any]) -> None:
        kubectl(self.cluster, "apply", "--server-side", "--filename", "-", text=yaml.safe_dump_all(objects))

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        return self.cluster.client.get(kind, namespace, name)

    def image(self, namespace: str) -> str:
        """Of the Deployment `shop`; empty while there is none."""
        for one in self.cluster.client.list("deployments", namespace):
            return str(one["spec"]["template"]["spec"]["containers"][0]["image"])
        return ""

    def until(self, true: Callable[[], object], about: Callable[[], object]) -> None:
        """Waits. `about` says in a failure how things stand then."""
        end = time.monotonic() + _SECONDS
        while not true():
            assert time.monotonic() < end, f"it did not happen: {about()}\n{self._logs()}"
            time.sleep(0.2)

    def _logs(self) -> str:
        return "\n".join(
            f"{log.name}: …{log.read_text(errors='replace')[-2000:]}" for log in self.folder.glob("*.log")
        )


class Flux(Controllers):
    def condition(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        """`Ready`, as Flux writes it; empty before it has looked at this generation."""
        found = self.get(kind, namespace, name)
        ready = [one for one in found.get("status", {}).get("conditions", []) if one["type"] == "Ready"]
        seen = [one for one in ready if one.get("observedGeneration") == found["metadata"]["generation"]]
        return seen[0] if seen else {}

    def until_ready(self, kind: str, namespace: str, name: str) -> None:
        def ready() -> dict[str, Any]:
            return self.condition(kind, namespace, name)

        self.until(lambda: ready().get("status") == "True", ready)

    def reconcile(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        """As `flux reconcile` asks for it, before the interval is over; gives the condition `Ready` then."""
        when = str(time.time_ns())
        patch = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": when}}}
        client = self.cluster.client
        client.ask("PATCH", client.path(kind, namespace, name), patch, "application/merge-patch+json")

        def handled() -> bool:
            status = self.get(kind, namespace, name).get("status", {})
            return status.get("lastHandledReconcileAt") == when and (
                self.condition(kind, namespace, name).get("status") in ("True", "False")
            )

        self.until(handled, lambda: self.get(kind, namespace, name).get("status"))
        return self.condition(kind, namespace, name)


@contextmanager
def flux(cluster: Cluster, folder: Path) -> Iterator[Flux]:
    install_kinds(cluster, FLUX)
    artifacts = f"127.0.0.1:{servers.free_port()}"
    common = ["--metrics-addr=0", "--health-addr=0", "--enable-leader-election=false", "--requeue-dependency=1s"]
    own = {"source-controller": [
        f"--storage-path={folder / 'artifacts'}",
        f"--storage-addr={artifacts}", f"--storage-adv-addr={artifacts}",
    ]}  # fmt: skip
    (folder / "artifacts").mkdir()
    with ExitStack() as running:
        for name in FLUX:
            command = [str(PROGRAMS / name), *common, *own.get(name, [])]
            env = {"RUNTIME_NAMESPACE": "flux-system", "KUBECONFIG": str(cluster.kubeconfig)}
            running.enter_context(process(name, command, folder, env))
        yield Flux(cluster, folder)


@contextmanager
def process(
    name: str, command: Sequence[str], folder: Path, env: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A program until the end of the block, its log `NAME.log` in `folder`, which is its home too."""
    mine = {"PATH": os.environ["PATH"], "HOME": str(folder), "GOGC": "400", **servers.GIT_ISOLATION, **env}
    with (folder / f"{name}.log").open("wb") as log:
        running = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=mine)
    try:
        yield running
    finally:
        running.kill()
        running.wait(300)


def kubectl(cluster: Cluster, *args: str, text: str | None = None) -> str:
    command = [servers.program("kubectl"), "--kubeconfig", str(cluster.kubeconfig), *args]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=300).stdout


def install_kinds(cluster: Cluster, programs: Sequence[str]) -> None:
    files = [path for name in programs for path in sorted((PROGRAMS / f"{name}.files").glob("*.yaml"))]
    applied = kubectl(cluster, "apply", "--server-side", "--output=name", *[f"--filename={path}" for path in files])
    for name in applied.split():
        while not _established(cluster, name.partition("/")[2]):
            time.sleep(0.1)


def _established(cluster: Cluster, kind: str) -> bool:
    """`kubectl wait` fails for a kind that has no conditions yet."""
    found = cluster.client.ask("GET", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind}")
    conditions = found.get("status", {}).get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
