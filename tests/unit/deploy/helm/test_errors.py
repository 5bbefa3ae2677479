"""What only a real cluster says; the rest is in test_helm.py, said by helm itself."""

from __future__ import annotations

import pytest

from lineal.deploy.helm import errors
from lineal.errors import DeployFailed, LinealError, Unreachable
from tests.unit.deploy.conftest import MakeRelease


def explained(release: MakeRelease, *stderr: str) -> LinealError:
    return errors.explain(stderr, release(), {"HOME": "/nowhere"}, "helm upgrade")


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        (
            "Error: UPGRADE FAILED: context deadline exceeded",
            DeployFailed,
            "was not ready within 5 s",
        ),
        (
            "Error: UPGRADE FAILED: resource Deployment/shop/api not ready. status: InProgress, message: 0 of 1\n"
            "context deadline exceeded",
            DeployFailed,
            "resource Deployment/shop/api not ready",
        ),
        (
            "Error: Kubernetes cluster unreachable: the server has asked for the client to provide credentials",
            Unreachable,
            "refused helm's credentials",
        ),
        (
            'Error: query: failed to query with labels: secrets is forbidden: User "ci" cannot list x',
            Unreachable,
            'User "ci" cannot list x',
        ),
        (
            'Error: 1 error occurred:\n\t* pods "p" is forbidden: no PriorityClass with name nope was found',
            DeployFailed,
            "A rule of the cluster refuses something of release shop-prod",
        ),
        (
            'Error: roles.rbac.authorization.k8s.io "r" is forbidden: user "ci" (groups=["a"]) is attempting to '
            "grant RBAC permissions not currently held",
            Unreachable,
            "Give the user of that context the permission",
        ),
        (
            'Error: Kubernetes cluster unreachable: Get "https://k8s.example:6443/version": dial tcp 10.0.0.1:6443: '
            "i/o timeout",
            Unreachable,
            "at k8s.example:6443 (no kubeconfig): timeout.",
        ),
        (
            'Error: UPGRADE FAILED: Put "https://10.0.0.1:6443/api/v1/x": dial tcp: connect: no route to host',
            Unreachable,
            "at 10.0.0.1:6443 (no kubeconfig): no route to host.",
        ),
        (
            "Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress",
            DeployFailed,
            "helm rollback shop-prod -n shop",
        ),
        (
            'Error: UPGRADE FAILED: "shop-prod" has no deployed releases',
            DeployFailed,
            "helm uninstall shop-prod -n shop",
        ),
        (
            "Error: something new",
            DeployFailed,
            "helm upgrade of release shop-prod in namespace shop failed: something new.",
        ),
        ("", DeployFailed, "helm upgrade failed without saying why."),
        ("panic: runtime error", DeployFailed, "panic: runtime error"),
    ],
)
def test_helm_s_words_become(release: MakeRelease, said: str, error: type[LinealError], words: str) -> None:
    made = explained(release, *said.split("\n"))
    assert type(made) is error
    assert words in str(made)
    assert "\n" not in str(made)


def test_control_characters_of_a_chart_do_not_reach_the_terminal(release: MakeRelease) -> None:
    assert "\x1b" not in str(explained(release, "Error: \x1b[2Jgone"))


def test_warnings_before_the_error_are_not_the_reason(release: MakeRelease) -> None:
    stderr = (
        "WARNING: Kubernetes configuration file is group-readable.",
        "level=WARN msg=x",
        "Error: real",
        "level=INFO",
    )
    assert errors.reason_of(stderr) == "real"
