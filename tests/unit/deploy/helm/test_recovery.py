"""Real helm against an API server in memory: what `helm upgrade` leaves when it ends well, fails, or is cut off."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lineal.deploy.attempt import Attempt
from lineal.deploy.helm import recovery
from lineal.deploy.helm.client import Answer, Helm, common_flags
from lineal.deploy.release import Chart, Release
from lineal.errors import DeployFailed, Interrupted, Unreachable
from tests.tools.kube import Cluster

Deploy = Callable[..., list[str]]
ROLLBACK = ("--atomic", "--rollback-on-failure")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.close()


@pytest.fixture
def helm_of_cluster(helm: Helm, cluster: Cluster, tmp_path: Path) -> Helm:
    (tmp_path / "kubeconfig").write_text(cluster.kubeconfig())
    return Helm(helm.path, helm.version, {**helm.environ, "KUBECONFIG": str(tmp_path / "kubeconfig")})


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Release]:
    """A release of a chart with one config map; `text` is what it holds."""
    chart = tmp_path / "small"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: small\nversion: 0.1.0\n")
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: small}\ndata: {text: '{{ .Values.text }}'}\n"
    (chart / "templates" / "config.yaml").write_text(config)

    def release(text: str, **more: object) -> Release:
        about: dict[str, object] = {"name": "shop", "namespace": "ns", "timeout": 300.0, "sets": (f"text={text}",)}
        return Release(**{**about, "chart": Chart.directory(chart, "deploy/chart"), **more})  # type: ignore[arg-type]

    return release


@pytest.fixture
def deploy(helm_of_cluster: Helm, make: Callable[..., Release]) -> Deploy:
    def run(text: str, **more: object) -> list[str]:
        lines: list[str] = []
        Attempt(helm_of_cluster, make(text, **more), lines.append).run()
        return lines

    return run


def text_of(cluster: Cluster) -> str | None:
    found = cluster.objects.get(("configmaps", "ns", "small"))
    return None if found is None else str(found["data"]["text"])


def once(method: tuple[str, ...], where: str = "/configmaps") -> Callable[[str, str], bool]:
    """Hold the first request of one of these methods with `where` in its path, no other."""
    seen: list[str] = []

    def hold(of: str, path: str) -> bool:
        if of not in method or where not in path or seen:
            return False
        seen.append(path)
        return True

    return hold


def signals(*numbers: signal.Signals) -> Callable[[], None]:
    def send() -> None:
        for number in numbers:
            # To a process, each may go to another thread, and the second be noticed first.
            signal.pthread_kill(threading.main_thread().ident or 0, number)

    return send


def test_a_release_is_installed_and_then_upgraded(deploy: Deploy, cluster: Cluster) -> None:
    lines = deploy("one")
    assert "STATUS: deployed" in lines
    assert text_of(cluster) == "one"
    assert ("namespaces", "", "ns") in cluster.objects
    deploy("two")
    assert text_of(cluster) == "two"
    assert cluster.releases() == {"shop.v1": "superseded", "shop.v2": "deployed"}


def test_values_of_an_earlier_release_are_not_kept(deploy: Deploy, cluster: Cluster) -> None:
    deploy("one")
    deploy("one", sets=())
    assert text_of(cluster) == ""


def test_the_description_names_the_commit(helm_of_cluster: Helm, deploy: Deploy) -> None:
    deploy("one", description="shop at cccccc")
    assert "shop at cccccc" in helm_of_cluster.run(["history", "shop", "-n", "ns"]).stdout


def test_an_upgrade_that_fails_is_rolled_back(deploy: Deploy, cluster: Cluster) -> None:
    deploy("one")
    cluster.break_ = once(("PUT", "PATCH"))
    with pytest.raises(DeployFailed, match=r"helm upgrade of release shop in namespace ns failed: .*rolled back"):
        deploy("two")
    assert cluster.releases() == {"shop.v1": "superseded", "shop.v2": "failed", "shop.v3": "deployed"}
    assert text_of(cluster) == "one"


def test_a_first_installation_that_fails_is_uninstalled(deploy: Deploy, cluster: Cluster) -> None:
    cluster.break_ = once(("POST", "PATCH"))
    with pytest.raises(DeployFailed, match=r"release shop in namespace ns failed: .*uninstalled"):
        deploy("one")
    assert cluster.releases() == {}


@pytest.mark.parametrize("late", [True, False], ids=["after helm", "before helm"])
def test_a_signal_beside_helm_is_noticed(
    deploy: Deploy, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """When nothing runs that it could be forwarded to."""
    deploy("one")
    upgrade, before = Helm.upgrade, signal.signal(signal.SIGTERM, lambda *_: pytest.fail("nobody noticed it"))

    def signalled(self: Helm, *args: Any, **options: Any) -> Answer:
        if late:
            answer = upgrade(self, *args, **options)
            signals(signal.SIGTERM)()
            return answer
        # However slow this process is to stop it, helm changes nothing until then. If nobody stops it, it goes on in
        # the end: the release would be put back all the same when helm gives up by itself.
        cluster.hold = lambda of, path: of in ("PUT", "PATCH") and "/configmaps" in path
        unstopped = threading.Timer(60, cluster.release.set)
        unstopped.start()
        signals(signal.SIGTERM)()
        answer = upgrade(self, *args, **options)
        unstopped.cancel()
        cluster.hold = once(())
        return answer

    monkeypatch.setattr(Helm, "upgrade", signalled)
    try:
        with pytest.raises(Interrupted, match="nterrupted by SIGTERM"):
            deploy("two")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert text_of(cluster) == ("two" if late else "one")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_forwarded_and_the_release_is_rolled_back(
    deploy: Deploy, cluster: Cluster, number: signal.Signals
) -> None:
    deploy("one")
    cluster.hold = once(("PUT", "PATCH"))
    cluster.on_hold = signals(number)
    with pytest.raises(Interrupted, match=f"interrupted by {number.name}. It has been rolled back") as caught:
        deploy("two")
    assert caught.value.exit_code == 130
    assert cluster.releases()["shop.v1"] == "superseded"
    assert cluster.releases()["shop.v3"] == "deployed"
    assert text_of(cluster) == "one"


def test_a_signal_during_the_first_installation_leaves_no_release(deploy: Deploy, cluster: Cluster) -> None:
    cluster.hold = once(("POST", "PATCH"))
    cluster.on_hold = signals(signal.SIGTERM)
    with pytest.raises(Interrupted):
        deploy("one")
    assert cluster.releases() == {}


def test_after_a_second_signal_helm_is_killed_and_the_release_is_rolled_back(
    deploy: Deploy, cluster: Cluster
) -> None:
    deploy("one")
    deploy("two")
    cluster.hold = once(("PUT", "PATCH"))
    cluster.on_hold = signals(signal.SIGINT, signal.SIGTERM)
    with pytest.raises(Interrupted, match=r"SIGINT.* It has been rolled back to revision 2\."):
        deploy("three")
    assert list(cluster.releases().values())[-1] == "deployed"
    assert text_of(cluster) == "two"
    deploy("four")
    assert text_of(cluster) == "four"


def test_after_a_second_signal_a_first_installation_is_uninstalled(deploy: Deploy, cluster: Cluster) -> None:
    cluster.hold = once(("POST", "PATCH"))
    cluster.on_hold = signals(signal.SIGINT, signal.SIGTERM)
    with pytest.raises(Interrupted, match=r"It was a first installation and has been uninstalled\."):
        deploy("one")
    assert cluster.releases() == {}


def test_another_job_s_pending_revision_is_left_alone(
    helm_of_cluster: Helm, make: Callable[..., Release], deploy: Deploy, cluster: Cluster
) -> None:
    deploy("one")
    cut_off(helm_of_cluster, make("two"), cluster)
    with pytest.raises(DeployFailed, match="Another helm is changing release shop in namespace ns, or was killed"):
        deploy("three")
    assert cluster.releases() == {"shop.v1": "deployed", "shop.v2": "pending-upgrade"}


def cut_off(helm: Helm, release: Release, cluster: Cluster) -> str:
    """A helm that is killed amid an upgrade, and that no run undoes; its mark."""
    flags = [*helm.upgrade_flags(release, "theirs"), *release.context_flags, *common_flags(release)]
    killed(helm, ["upgrade", *flags], cluster, once(("PUT", "PATCH")))
    return "theirs"


def killed(helm: Helm, args: list[str], cluster: Cluster, at: Callable[[str, str], bool]) -> None:
    cluster.hold = at
    process = subprocess.Popen([helm.path, *args], env=helm.environ, stdout=subprocess.DEVNULL)
    cluster.on_hold = process.kill
    assert process.wait(300) == -signal.SIGKILL


def test_a_rollback_that_was_cut_off_is_finished(
    helm_of_cluster: Helm, make: Callable[..., Release], deploy: Deploy, cluster: Cluster
) -> None:
    deploy("one")
    mark = cut_off(helm_of_cluster, make("two"), cluster)
    killed(helm_of_cluster, ["rollback", "shop", "1", "-n", "ns"], cluster, once(("PUT",), "shop.v3"))
    assert cluster.releases()["shop.v3"] == "pending-rollback"
    assert recovery.undo_own(helm_of_cluster, make("x"), mark) == "It has been rolled back to revision 1."
    assert (cluster.releases()["shop.v4"], text_of(cluster)) == ("deployed", "one")


def test_a_rollback_from_what_helm_calls_deployed_is_finished_after_a_killed_run_only(
    helm_of_cluster: Helm, make: Callable[..., Release], deploy: Deploy, cluster: Cluster
) -> None:
    """The run had seen that it never became ready; else somebody rolls back by hand."""
    deploy("one")
    deploy("two")
    killed(helm_of_cluster, ["rollback", "shop", "1", "-n", "ns"], cluster, once(("PUT",), "shop.v3"))
    assert cluster.releases()["shop.v3"] == "pending-rollback"
    assert recovery.undo_killed(helm_of_cluster, make("x")) == ""
    told = recovery.undo_killed(helm_of_cluster, make("x"), "its mark")
    assert told.endswith("because it was killed. It has been rolled back to revision 1.")
    assert (cluster.releases()["shop.v4"], text_of(cluster)) == ("deployed", "one")


def test_a_revision_that_helm_gave_up_but_did_not_roll_back_is_rolled_back(
    helm_of_cluster: Helm, make: Callable[..., Release], deploy: Deploy, cluster: Cluster
) -> None:
    deploy("one")
    cluster.break_ = once(("PUT", "PATCH"))
    release = make("two")
    flags = [flag for flag in helm_of_cluster.upgrade_flags(release, "ours") if flag not in ROLLBACK]
    assert helm_of_cluster.run(["upgrade", *flags, *common_flags(release)]).code == 1
    assert cluster.releases()["shop.v2"] == "failed"
    assert recovery.undo_own(helm_of_cluster, release, "another") == ""
    assert recovery.undo_own(helm_of_cluster, release, "ours") == "It has been rolled back to revision 1."
    assert cluster.releases()["shop.v3"] == "deployed"


def test_a_first_installation_after_one_that_was_killed_is_uninstalled(
    helm_of_cluster: Helm, make: Callable[..., Release], cluster: Cluster
) -> None:
    cluster.break_ = once(("POST",))
    release = make("one")
    flags = ["--create-namespace", *helm_of_cluster.upgrade_flags(release, "ours")]
    assert helm_of_cluster.run(["upgrade", *flags, *common_flags(release)]).code == 1
    said = recovery.undo_own(helm_of_cluster, release, "ours", killed="the run before")
    assert said == "It was a first installation and has been uninstalled."
    assert cluster.releases() == {}


def test_a_revision_whose_rollback_failed_too_is_not_gone_back_to(deploy: Deploy, cluster: Cluster) -> None:
    """Helm calls it superseded from then on, as one that worked."""
    deploy("one")
    cluster.objects["configmaps", "ns", "small"]["data"]["text"] = "by hand"
    cluster.break_ = lambda method, path: method in ("PUT", "PATCH") and "/configmaps" in path
    with pytest.raises(DeployFailed, match=r"It is left unfinished: run `helm rollback shop 1 -n ns`\."):
        deploy("two")
    assert cluster.releases() == {"shop.v1": "deployed", "shop.v2": "superseded", "shop.v3": "failed"}
    cluster.break_ = once(("PUT", "PATCH"))
    with pytest.raises(DeployFailed, match=r"It has been rolled back to revision 1\."):
        deploy("three")
    assert (cluster.releases()["shop.v5"], text_of(cluster)) == ("deployed", "one")


HISTORIES: list[tuple[list[tuple[str, str]], int | None]] = [
    ([("deployed", "shop c"), ("failed", 'Upgrade "shop" failed: late')], 1),
    ([("superseded", "shop c"), ("deployed", "shop d"), ("pending-upgrade", "Preparing upgrade")], 2),
    # Nobody goes back from what works.
    ([("superseded", "a"), ("superseded", "b"), ("failed", 'Rollback "shop" failed: late'), ("failed", "x")], 1),
    ([("superseded", "a"), ("superseded", "b"), ("deployed", "Rollback to 1"), ("failed", "x")], 3),
    ([("superseded", "a"), ("deployed", "b"), ("pending-rollback", "Rollback to 1")], 1),
    # Unless nothing else is left of the history.
    ([("superseded", "b"), ("failed", 'Rollback "shop" failed: late'), ("failed", "x")], 1),
    ([("failed", 'Release "shop" failed: late')], None),
    ([("superseded", 'Release "shop" failed: late'), ("failed", "x")], None),
    ([("deployed", "never became ready")], None),
    # Nor to what was uninstalled, of which the history was kept.
    ([("superseded", "a"), ("uninstalled", "Uninstallation complete"), ("failed", "x")], None),
    ([("superseded", "a"), ("superseded", "superseded by new release"), ("failed", "x")], None),
    ([("superseded", "superseded by new release"), ("superseded", "b"), ("failed", "x")], 2),
    ([], None),
]


@pytest.mark.parametrize(("history", "good"), HISTORIES)
def test_the_revision_to_go_back_to_is_the_last_that_worked(history: list[tuple[str, str]], good: int | None) -> None:
    revisions = [recovery.Revision(number, *about) for number, about in enumerate(history, 1)]
    assert recovery.last_good(revisions) == good


def test_a_revision_that_cannot_be_undone_is_said_with_the_command_for_it(
    helm_of_cluster: Helm, make: Callable[..., Release], deploy: Deploy, cluster: Cluster
) -> None:
    deploy("one")
    mark = cut_off(helm_of_cluster, make("two"), cluster)
    cluster.refuse = lambda method, path: method == "POST"
    said = recovery.undo_own(helm_of_cluster, make("x"), mark)
    assert said == "It is left unfinished: run `helm rollback shop 1 -n ns`."


def test_a_cluster_that_went_away_is_said(helm: Helm, make: Callable[..., Release]) -> None:
    assert "is not known, as the cluster does not answer" in recovery.undo_own(helm, make("x"), "mark")


def test_a_cluster_that_refuses_is_named(deploy: Deploy, cluster: Cluster) -> None:
    cluster.refuse = lambda method, path: path.endswith("/secrets")
    with pytest.raises(Unreachable, match=r"refused a request for release shop in namespace ns \(context fake of"):
        deploy("one")
