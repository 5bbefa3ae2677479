"""Which words of a kubelet end a deploy, and which are waited out."""

from __future__ import annotations

from typing import Any

import pytest

from lineal.deploy.watch.diagnosis import of_pod

DIGEST = "sha256:" + "a" * 64
TAG = "registry.example.com/team/shop:" + "b" * 64 + "-1795444795575"
LONG = (
    f'Failed to pull image "{TAG}@{DIGEST}": rpc error: code = NotFound desc = failed to pull and unpack image '
    f'"{TAG}@{DIGEST}": failed to resolve reference "{TAG}@{DIGEST}": {TAG}@{DIGEST}: not found'
)


def pod(state: dict[str, Any], restarts: int = 0, image: str = "r/app:1", **more: Any) -> dict[str, Any]:
    status = {"name": "app", "image": image, "ready": False, "restartCount": restarts, "state": state, **more}
    return {"metadata": {"name": "shop-1"}, "status": {"containerStatuses": [status]}}


def waiting(reason: str, message: str = "", image: str = "r/app:1", restarts: int = 0) -> dict[str, Any]:
    return pod({"waiting": {"reason": reason, "message": message}}, restarts, image)


@pytest.mark.parametrize(
    ("reason", "message", "image", "certain"),
    [
        ("ErrImagePull", LONG, f"{TAG}@{DIGEST}", True),
        ("ErrImagePull", "manifest unknown", "r/app:1", True),
        ("ErrImagePull", "no match for platform in manifest", "r/app:1", True),
        ("InvalidImageName", 'couldn\'t parse image name "A:1"', "A:1", True),
        # The image's own name is no reason.
        ("ErrImagePull", 'failed to pull "r/not found:1": dial: i/o timeout', "r/not found:1", None),
        ("ErrImagePull", "r/not-found: 429 Too Many Requests", "r/not-found", None),
        ("ErrImagePull", 'Head "https://r/v2/": dial tcp: lookup r: no such host', "r/app:1", None),
        ("ErrImagePull", "unexpected status: 503 Service Unavailable", "r/app:1", None),
        # A pull secret may come a moment later.
        ("ErrImagePull", "pull access denied, authorization failed", "r/app:1", False),
        ("ErrImagePull", "401 Unauthorized", "r/app:1", False),
        ("CreateContainerConfigError", 'configmap "x" not found', "r/app:1", False),
        ("ContainerStatusUnknown", "", "r/app:1", None),
    ],
)
def test_what_is_certain_of_a_container_that_waits(
    reason: str, message: str, image: str, certain: bool | None
) -> None:
    found = of_pod(waiting(reason, message, image))
    assert found is not None and found.certain is certain


def test_the_end_of_a_long_message_is_shown() -> None:
    found = of_pod(waiting("ErrImagePull", LONG))
    assert str(found).startswith('pod shop-1: ErrImagePull: Failed to pull image "registry.example.com/team/shop:')
    assert str(found).endswith(": not found")
    assert len(str(found)) < 400


@pytest.mark.parametrize(("restarts", "certain", "terminal"), [(2, None, False), (3, True, False), (6, True, True)])
def test_a_container_that_crashes_may_be_waiting_for_a_neighbour(
    restarts: int, certain: bool | None, terminal: bool
) -> None:
    found = of_pod(waiting("CrashLoopBackOff", restarts=restarts))
    assert found is not None and (found.certain, found.terminal) == (certain, terminal)


def test_a_container_that_ended_badly_is_named_and_one_that_ended_well_is_not() -> None:
    found = of_pod(pod({"terminated": {"exitCode": 1, "reason": "Error"}}))
    assert str(found) == "pod shop-1: Failed: its container app ended with 1"
    assert of_pod(pod({"terminated": {"exitCode": 0}})) is None


def test_a_pod_that_goes_away_is_in_no_trouble() -> None:
    leaving = waiting("ErrImagePull", "not found")
    leaving["metadata"]["deletionTimestamp"] = "2026-11-23T15:00:00Z"
    assert of_pod(leaving) is None


@pytest.mark.parametrize("nonsense", [{}, {"status": None}, {"status": {"containerStatuses": [3, {"state": []}]}}])
def test_what_is_no_pod_is_in_no_trouble(nonsense: dict[str, Any]) -> None:
    assert of_pod(nonsense) is None
