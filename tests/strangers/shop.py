"""A release of a small chart in a real cluster, and cases about it, which run at once: they mostly wait."""

from __future__ import annotations

import io
import secrets
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lineal.deploy.diff import preview
from lineal.deploy.diff.diff import between
from lineal.deploy.helm.client import Helm
from lineal.deploy.release import Chart, Release
from lineal.deploy.uninstall import Dismissal
from lineal.deploy.upgrade import Upgrade
from lineal.deploy.watch.monitor import PollPolicy
from lineal.errors import DeployFailed, LinealError
from lineal.lock import LockTimeouts
from lineal.progress import Notes
from lineal.report.log import LogProgress
from lineal.report.model import ChangeReport, ReleaseReport
from lineal.session.session import Session
from lineal.session.settings import Settings
from tests.cluster.client import Client, Refused
from tests.cluster.fixtures import Cluster
from tests.helms import HELMS
from tests.tools import helm as binaries
from tests.unit.deploy.conftest import environment

_AT_ONCE = 6
_WORKLOAD = """\
apiVersion: %(version)s
kind: %(kind)s
metadata: {name: %(name)s}
spec:
%(spec)s
  template:
    metadata:
      labels: {app: %(name)s}
      annotations: {test/pods: {{ .Values.pods | default "%(pods)s" }}}
    spec: {%(more)s containers: [{name: app, image: "registry.example.com/app:{{ .Values.tag | default "1" }}"}]}
"""
_SELECTOR = "  selector: {matchLabels: {app: %s}}"


def workload(kind: str, name: str = "shop", spec: str = "", pods: str = "ready") -> str:
    """A template with one replica; `pods` is what becomes of its pods where the value `pods` does not say."""
    job = kind == "Job"
    own = "" if job else _SELECTOR % name + ("\n  replicas: 1" if kind != "DaemonSet" else "")
    return _WORKLOAD % {
        "version": "batch/v1" if job else "apps/v1", "kind": kind, "name": name, "pods": pods,
        "spec": f"{own}\n  {spec}", "more": "restartPolicy: Never," if job else "",
    }  # fmt: skip


@dataclass
class Shop:
    helm: Helm
    folder: Path
    client: Client
    namespace: str = field(default_factory=lambda: f"shop-{secrets.token_hex(4)}")
    lines: list[str] = field(default_factory=list)
    """What the last deploy told."""

    @property
    def kubeconfig(self) -> str:
        return self.helm.environ["KUBECONFIG"]

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    # --- the chart ----------------------------------------------------------------------------------------------

    def chart(self, **templates: str) -> None:
        (self.folder / "templates").mkdir(parents=True, exist_ok=True)
        (self.folder / "Chart.yaml").write_text("apiVersion: v2\nname: small\nversion: 0.1.0\n")
        for name, text in templates.items():
            (self.folder / "templates" / f"{name}.yaml").write_text(text)

    def release(self, *sets: str, timeout: float = 300.0, **more: Any) -> Release:
        return Release(name="shop", namespace=self.namespace, chart=Chart.directory(self.folder, "chart"), sets=sets,
                       timeout=timeout, **more)  # fmt: skip

    # --- deploys ------------------------------------------------------------------------------------------------

    def deploy(self, *sets: str, patience: float = 1.0, **more: Any) -> str:
        """The status that is reported. `patience` is in seconds: pods that crash once may need more."""
        self.lines.clear()
        notes = Notes(self.lines.append, lambda line: self.lines.append(f"warning: {line}"))
        timeouts = LockTimeouts(lease=3.0, wait=120.0, poll=0.2, notice=0.2)
        policy = PollPolicy(0.6, patience, 15.0)
        return Upgrade(self.helm, self.release(*sets, **more), notes, "tester", policy, timeouts).run(True).status

    def fails(self, *sets: str, **more: Any) -> str:
        """The error of a deploy that fails."""
        with pytest.raises(LinealError) as caught:
            self.deploy(*sets, **more)
        assert isinstance(caught.value, DeployFailed), caught.value
        return str(caught.value)

    def dismiss(self, timeout: float = 300.0) -> ReleaseReport:
        self.lines.clear()
        told = io.StringIO()
        settings = Settings.of(environ=dict(self.helm.environ))
        report = ReleaseReport(name="shop", namespace=self.namespace, status="unknown")
        session = Session(settings, LogProgress(told), self.folder, self.folder)
        try:
            Dismissal(session, self.helm, self.release(timeout=timeout), None, report).carry_out(False)
        finally:
            session.close()
            self.lines += told.getvalue().splitlines()
        return report

    def changes(self, *sets: str) -> tuple[list[ChangeReport], str]:
        """What `plan --diff` shows, and what it warns of."""
        warned: list[str] = []
        before, wanted = preview.compared(self.helm, self.release(*sets), warned.append)
        return between(before, wanted, lambda line: line), "\n".join(warned)

    def by_hand(self, *command: str) -> None:
        """A helm command of somebody."""
        done = subprocess.run([self.helm.path, *command, "-n", self.namespace], env=dict(self.helm.environ),
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr

    def killed(self, *sets: str, until: Callable[[], bool]) -> Callable[[], None]:
        """A helm of a run of ours that is at work on the release; what kills it."""
        command = [self.helm.path, "upgrade", "--install", "shop", str(self.folder), "-n", self.namespace, "--wait",
                   "--create-namespace", "--labels", f"lineal-run={secrets.token_hex(4)}"]  # fmt: skip
        flags = [flag for one in sets for flag in ("--set", one)]
        process = subprocess.Popen([*command, *flags], env=dict(self.helm.environ), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)  # fmt: skip
        wait_until(until)

        def kill() -> None:
            process.kill()
            process.wait()

        return kill

    # --- the cluster --------------------------------------------------------------------------------------------

    def get(self, kind: str, name: str = "shop") -> dict[str, Any]:
        return self.client.get(kind, self.namespace, name)

    def there(self, kind: str, name: str) -> bool:
        try:
            return bool(self.get(kind, name))
        except Refused:
            return False

    def create(self, kind: str, body: dict[str, Any]) -> None:
        with suppress(Refused):
            self.client.create("namespaces", "", {"metadata": {"name": self.namespace}})
        self.client.create(kind, self.namespace, body)

    def edit(self, kind: str, change: dict[str, Any], manager: str, name: str = "shop") -> None:
        """As `kubectl edit`, `scale` or an autoscaler does."""
        path = self.client.path(kind, self.namespace, name) + f"?fieldManager={manager}"
        self.client.ask("PATCH", path, change, "application/strategic-merge-patch+json")

    @property
    def statuses(self) -> list[str]:
        """Of the revisions, in order."""
        found = self.client.list("secrets", self.namespace, "?labelSelector=owner=helm")
        about = sorted((one["metadata"]["labels"] for one in found), key=lambda one: int(one["version"]))
        return [labels["status"] for labels in about]


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)


Case = Callable[[Shop], None]
Running = dict[tuple[str, str], "Future[None]"]


def with_helms(both: Sequence[Case], either: Sequence[Case]) -> list[tuple[Case, str]]:
    """Cases that helm's own words or deeds decide run with both helms, the others with one of them, in turns."""
    turns = [(case, HELMS[number % 2]) for number, case in enumerate(either)]
    return [(case, name) for case in both for name in HELMS] + turns


@contextmanager
def started(
    request: pytest.FixtureRequest, cluster: Cluster, scratch: pytest.TempPathFactory,
    runs: Iterable[tuple[Case, str]],
) -> Iterator[Running]:  # fmt: skip
    """Those of the cases, each with a helm, whose tests were selected: all at once, each in its own namespace."""
    binaries.fetch(binaries.directory())
    items = (item for item in request.session.items if item.path == request.path)
    params = [
        item.callspec.params for item in items if isinstance(item, pytest.Function) and hasattr(item, "callspec")
    ]
    wanted = {(one["case"], one["helm"]) for one in params if {"case", "helm"} <= set(one)}
    shops: list[Shop] = []

    def one(case: Case, name: str) -> None:
        folder = scratch.mktemp("case")
        environ = environment(folder / "home", binaries.directory() / name, {"KUBECONFIG": str(cluster.kubeconfig)})
        shops.append(shop := Shop(Helm.find(environ), folder / "chart", Client(cluster.kubeconfig)))
        case(shop)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield {
            (case.__name__, name): pool.submit(one, case, name)
            for case, name in runs
            if (case.__name__, name) in wanted
        }
    for shop in shops:
        cluster.client.clear(shop.namespace)
