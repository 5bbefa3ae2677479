"""Locks as Leases: what is asked of an API server, what it may refuse, and where the cluster comes from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lineal.lock import LockTimeouts
from lineal.lock.kubernetes import Leases
from lineal.lock.leased import LeasedLock
from tests.cluster import parts as clusters
from tests.unit.lock import conversation
from tests.unit.lock.worker import CHECKSUM, Told

pytestmark = pytest.mark.server


def config(path: Path, server: str, **context: str) -> dict[str, str]:
    """The environment of a run whose kubeconfig names this server."""
    text = {
        "apiVersion": "v1", "kind": "Config", "current-context": "one",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "s3cr3t"}}],
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u", **context}}],
    }  # fmt: skip
    path.write_text(json.dumps(text))
    return {"KUBECONFIG": str(path)}


@contextmanager
def spoken(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "recorded":
        with conversation.player() as address:
            yield address
        return
    kubeconfig = request.getfixturevalue("cluster")
    turns: conversation.Turns = []
    with conversation.recorder(kubeconfig, turns) as address:
        yield address
    if os.environ.get("LINEAL_RECORD"):
        conversation.FILE.write_text(json.dumps(turns, indent=1) + "\n")


@pytest.fixture(params=["recorded", "real"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    with spoken(request) as address:
        yield address


def test_a_lease_is_made_contested_renewed_taken_over_and_deleted(server: str, tmp_path: Path) -> None:
    """One conversation: the order of the requests is what was recorded."""
    environ = config(tmp_path / "config", server, namespace="default")
    tokens = iter(["a" * 32, "b" * 32])

    def leases(who: str) -> Leases:
        return Leases("", "", "conversation", who, 60, environ)

    first, second = leases("first"), leases("second")
    mine, theirs = next(tokens), next(tokens)
    assert first.look(CHECKSUM) is None
    assert first.claim(CHECKSUM, mine, None)
    assert not second.claim(CHECKSUM, theirs, None)
    seen = second.look(CHECKSUM)
    assert seen is not None and (seen.who, seen.lease) == ("first", 60)
    assert first.renew(CHECKSUM, mine) == mine
    assert not second.claim(CHECKSUM, theirs, seen.version)
    seen = second.look(CHECKSUM)
    assert seen is not None and second.claim(CHECKSUM, theirs, seen.version)
    # It is the other's now.
    assert first.renew(CHECKSUM, mine) is None
    first.release(CHECKSUM, mine)
    seen = second.look(CHECKSUM)
    assert seen is not None and seen.who == "second"
    second.release(CHECKSUM, theirs)
    second.release(CHECKSUM, theirs)
    assert second.look(CHECKSUM) is None


def test_a_lease_that_was_deleted_is_not_made_anew_by_who_saw_it(cluster: Path) -> None:
    leases = Leases("default", "", "deleted", "tester", 60, {"KUBECONFIG": str(cluster)})
    first, second = leases.token(), leases.token()
    assert leases.claim(CHECKSUM, first, None)
    seen = leases.look(CHECKSUM)
    assert seen is not None
    leases.release(CHECKSUM, first)
    assert not leases.claim(CHECKSUM, second, seen.version)
    assert leases.look(CHECKSUM) is None


def test_a_lease_says_what_it_is_for(cluster: Path) -> None:
    store, environ = "registry.example.com/team/app", {"KUBECONFIG": str(cluster)}
    leases = Leases("default", "", store, "https://ci.example.com/jobs/7", 60, environ)
    token = leases.token()
    assert leases.claim(CHECKSUM, token, None)
    kubectl = clusters.kubectl()
    if kubectl is not None:
        command = [
            kubectl,
            "--kubeconfig",
            str(cluster),
            "get",
            "leases",
            "--namespace",
            "default",
            "--output",
            "json",
        ]
        managed = [*command, "--selector", "app.kubernetes.io/managed-by=lineal"]
        shown = json.loads(subprocess.run(managed, capture_output=True, check=True).stdout)["items"]
        (lease,) = [one for one in shown if one["metadata"]["annotations"]["lineal.dev/store"] == store]
        assert lease["metadata"]["name"].endswith(CHECKSUM)
        assert lease["spec"]["holderIdentity"] == "https://ci.example.com/jobs/7"
        assert lease["spec"]["leaseDurationSeconds"] == 60
    leases.release(CHECKSUM, token)


def test_an_account_without_the_right_is_told_what_it_needs_once(cluster: Path) -> None:
    told = Told()
    mine = held_by({"KUBECONFIG": str(clusters.nobody(cluster))}, told, namespace="default")
    for checksum in (CHECKSUM, "6" * 64):
        with mine.hold(checksum) as held:
            assert not held
    (warning,) = told.warnings
    assert "this job may not create Leases in the namespace default; docs/locks.md has the Role" in warning


def test_a_namespace_that_does_not_exist_is_named(cluster: Path) -> None:
    told = Told()
    with held_by({"KUBECONFIG": str(cluster)}, told, namespace="nowhere").hold(CHECKSUM) as held:
        assert not held
    assert 'namespaces "nowhere" not found' in told.warnings[0]


def held_by(environ: dict[str, str], told: Told, namespace: str = "", context: str = "") -> LeasedLock:
    service = Leases(namespace, context, "store", "tester", 60, environ)
    return LeasedLock(service, told.by, LockTimeouts())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "which does not exist"),
        ("", "the kubeconfig cannot be used"),
        ("{", "the kubeconfig cannot be used"),
        ("clusters: 7", "the kubeconfig cannot be used"),
        ("{clusters: [], contexts: [], current-context: gone}", "the kubeconfig cannot be used"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_one_warning(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "config").write_text(text)
    told = Told()
    with held_by({"KUBECONFIG": str(tmp_path / "config")}, told).hold(CHECKSUM) as held:
        assert not held
    (warning,) = told.warnings
    assert said in warning and "This run goes on without it" in warning


def test_without_any_cluster_it_is_told(tmp_path: Path) -> None:
    told = Told()
    with held_by({"HOME": str(tmp_path)}, told).hold(CHECKSUM) as held:
        assert not held
    assert "there is no kubeconfig, and this is no pod with a service account" in told.warnings[0]


def test_several_kubeconfig_files_are_refused(tmp_path: Path) -> None:
    told = Told()
    with held_by({"KUBECONFIG": "/a:/b"}, told).hold(CHECKSUM) as held:
        assert not held
    assert "KUBECONFIG names several files" in told.warnings[0]


def test_an_api_server_that_is_not_there_is_one_warning_without_the_token(tmp_path: Path) -> None:
    told = Told()
    mine = held_by(config(tmp_path / "config", "http://127.0.0.1:9"), told)
    for _ in range(2):
        with mine.hold(CHECKSUM) as held:
            assert not held
    (warning,) = told.warnings
    assert "127.0.0.1 cannot be reached" in warning and "s3cr3t" not in warning


def test_without_the_package_the_remedy_is_told(tmp_path: Path) -> None:
    """In another process, where no import of it can succeed."""
    (tmp_path / "lightkube").mkdir()
    (tmp_path / "lightkube" / "__init__.py").write_text("raise ImportError")
    script = (
        "from lineal.lock.kubernetes import Leases\nfrom lineal.lock.leased import LeasedLock\n"
        "from lineal.progress import Notes\n"
    )
    script += "lock = LeasedLock(Leases('', '', 's', 'w', 60, {}), Notes(print, print))\n"
    script += "with lock.hold('5' * 64) as held: print(held)\n"
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=300)
    assert 'lightkube is not installed; run `pip install "lightkube<2"`' in done.stdout, done.stderr
    assert done.stdout.endswith("False\n")


def test_the_context_and_its_namespace_count(tmp_path: Path, cluster: Path) -> None:
    text = json.loads(cluster.read_text())
    text["current-context"] = "other"
    text["contexts"] = [
        {"name": "other", "context": {"cluster": "tests", "user": "tests", "namespace": "nowhere"}},
        {"name": "wanted", "context": {"cluster": "tests", "user": "tests", "namespace": "default"}},
    ]
    (tmp_path / "config").write_text(json.dumps(text))
    environ = {"KUBECONFIG": str(tmp_path / "config")}
    told = Told()
    with held_by(environ, told, context="wanted").hold(CHECKSUM) as held:
        assert held, told.warnings
    with held_by(environ, told, namespace="default").hold(CHECKSUM) as held:
        assert held, told.warnings
    with held_by(environ, told).hold(CHECKSUM) as held:
        assert not held
