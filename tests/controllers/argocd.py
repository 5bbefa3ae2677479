"""Argo CD beside a test: its application controller and repository server, and the redis that they share."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests import servers
from tests.cluster.fixtures import Cluster
from tests.controllers.parts import PROGRAMS, Controllers, install_kinds, process
from tests.tools import helm

SPACE = "argocd"
_REFRESH = "argocd.argoproj.io/refresh"
_LABEL = {"app.kubernetes.io/part-of": "argocd"}


class Argo(Controllers):
    def refresh(self, name: str) -> dict[str, Any]:
        """As `argocd app get --hard-refresh` asks for it; gives the status then."""
        client = self.cluster.client
        patch = {"metadata": {"annotations": {_REFRESH: "hard"}}}
        client.ask("PATCH", client.path("applications", SPACE, name), patch, "application/merge-patch+json")

        def compared() -> bool:
            """It takes the annotation away then."""
            return _REFRESH not in self._application(name)["metadata"].get("annotations", {})

        self.until(compared, lambda: self.status(name))
        return self.status(name)

    def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._application(name).get("status", {})
        return found

    def until_synced(self, name: str) -> None:
        def is_synced() -> bool:
            status = self.status(name)
            done = status.get("operationState", {}).get("phase") == "Succeeded"
            return bool(done and status["sync"]["status"] == "Synced" and status["health"]["status"] == "Healthy")

        self.until(is_synced, lambda: self.status(name))

    def _application(self, name: str) -> dict[str, Any]:
        return self.get("applications", SPACE, name)

    def repository(self, name: str, about: Mapping[str, str]) -> dict[str, Any]:
        """The Secret by which Argo CD knows how to reach a repository."""
        labels = {"argocd.argoproj.io/secret-type": "repository"}
        meta = {"name": name, "namespace": SPACE, "labels": labels}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": dict(about)}


@contextmanager
def argo(cluster: Cluster, folder: Path, keys: Mapping[str, str]) -> Iterator[Argo]:
    """`keys`: id of a PGP key -> the key, as the ConfigMap argocd-gpg-keys-cm has them."""
    install_kinds(cluster, ["argocd"])
    running = Argo(cluster, folder)
    running.apply(*_settings())
    ports = [servers.free_port() for _ in range(5)]
    redis, repositories = f"127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}"
    programs = _programs(folder)
    env = {
        "PATH": f"{programs}:{os.environ['PATH']}", "TMPDIR": str(folder / "tmp"),
        "KUBECONFIG": str(cluster.kubeconfig),
        "ARGOCD_FAKE_IN_CLUSTER": "true", "HOSTNAME": "argocd-application-controller-0",
        "ARGOCD_TLS_DATA_PATH": str(folder / "tls"), "ARGOCD_SSH_DATA_PATH": str(folder / "ssh"),
        "ARGOCD_GNUPGHOME": str(folder / "gnupg"), "ARGOCD_GPG_DATA_PATH": str(folder / "keys"),
    }  # fmt: skip
    for name in ("tls", "ssh", "gnupg", "keys", "tmp"):
        (folder / name).mkdir(mode=0o700)
    for key, text in keys.items():
        (folder / "keys" / key).write_text(text)
    server = ["--address", "127.0.0.1", "--metrics-address", "127.0.0.1", "--disable-tls", "--redis", redis]
    controller = ["--namespace", SPACE, "--repo-server", repositories, "--repo-server-plaintext", "--redis", redis]
    commands = {
        "redis-server": ["--port", str(ports[0]), "--bind", "127.0.0.1", "--save", ""],
        "argocd-repo-server": [*server, "--port", str(ports[1]), "--metrics-port", str(ports[2])],
        "argocd-application-controller": [*controller, "--metrics-port", str(ports[3]), "--app-resync", "0"],
    }
    with ExitStack() as processes, (PROGRAMS / "argocd.stamp").open() as lock:
        # Its git asks for passwords at a socket in /tmp, which always has one name.
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name, words in commands.items():
            processes.enter_context(process(name, [str(programs / name), *words], folder, env))
        yield running


def _programs(folder: Path) -> Path:
    """What Argo CD's image has on PATH."""
    made = folder / "bin"
    made.mkdir()
    (made / "helm").symlink_to(helm.directory() / "helm3")
    (made / "kustomize").symlink_to(PROGRAMS / "kustomize")
    (made / "redis-server").symlink_to(servers.program("redis-server"))
    # One program, which is what it is called.
    for name in ("argocd", "argocd-repo-server", "argocd-application-controller"):
        (made / name).symlink_to(PROGRAMS / "argocd")
    for script in (PROGRAMS / "argocd.files").glob("*.sh"):
        shutil.copy(script, made / script.name)
        (made / script.name).chmod(0o755)
    return made


def _settings() -> list[dict[str, Any]]:
    """What an installation has before its first application."""

    def named(name: str) -> dict[str, Any]:
        return {"name": name, "namespace": SPACE, "labels": _LABEL}

    maps = ("cm", "rbac-cm", "cmd-params-cm", "tls-certs-cm", "ssh-known-hosts-cm", "gpg-keys-cm")
    everything = [{"group": "*", "kind": "*"}]
    project = {
        "sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}],
        "clusterResourceWhitelist": everything,
    }  # fmt: skip
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}},
        *({"apiVersion": "v1", "kind": "ConfigMap", "metadata": named(f"argocd-{name}")} for name in maps),
        {"apiVersion": "v1", "kind": "Secret", "metadata": named("argocd-secret"),
         "stringData": {"server.secretkey": f"{time.time_ns()}"}},
        {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": named("default"), "spec": project},
    ]  # fmt: skip
