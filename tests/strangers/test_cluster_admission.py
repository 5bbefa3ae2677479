"""The policies of docs/admission.md are such as an API server takes with the definitions that Kyverno and sigstore's
policy-controller install, from their Go modules (tests/admission)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.cluster.client import Refused
from tests.cluster.fixtures import Cluster

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "admission.md").read_text()
POLICIES = {found["kind"]: found for found in map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", PAGE, re.S))}
DEFINITIONS = {
    found["spec"]["names"]["kind"]: found
    for found in (json.loads(path.read_text()) for path in (ROOT / "tests" / "admission").glob("*.json"))
}
KINDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def admitted(kubernetes: Cluster, policy: dict[str, Any]) -> None:
    """Raises `Refused`, also for a key that the definition does not have."""
    spec = DEFINITIONS[policy["kind"]]["spec"]
    path = f"/apis/{policy['apiVersion']}/{spec['names']['plural']}?fieldValidation=Strict&dryRun=All"
    kubernetes.client.ask("POST", path, policy)


@pytest.fixture(scope="module", params=sorted(POLICIES))
def policy(request: pytest.FixtureRequest, kubernetes: Cluster) -> Iterator[dict[str, Any]]:
    """One that the API server takes as it is, in a cluster that knows its kind."""
    found: dict[str, Any] = POLICIES[request.param]
    kubernetes.client.ask("POST", KINDS, definition := DEFINITIONS[request.param])
    deadline = time.monotonic() + 300
    while True:
        try:
            admitted(kubernetes, found)
            break
        except (Refused, requests.JSONDecodeError) as error:
            # A new kind is known after a moment; before, the answer is a page.
            assert getattr(error, "code", 404) in (404, 500, 503) and time.monotonic() < deadline, error
            time.sleep(0.2)
    yield found
    kubernetes.client.ask("DELETE", f"{KINDS}/{definition['metadata']['name']}")


def test_a_policy_of_the_page_with_a_key_misspelt_is_refused(kubernetes: Cluster, policy: dict[str, Any]) -> None:
    paths = list(_keys(policy["spec"]))
    assert len(paths) > 10
    for path in paths:
        wrong = deepcopy(policy)
        inside = wrong["spec"]
        for step in path[:-1]:
            inside = inside[step]
        inside[f"{path[-1]}x"] = inside.pop(path[-1])
        with pytest.raises(Refused, match=f"{path[-1]}x"):
            admitted(kubernetes, wrong)


def test_a_policy_of_the_page_with_a_value_that_means_nothing_is_refused(
    kubernetes: Cluster, policy: dict[str, Any]
) -> None:
    spec = deepcopy(policy)["spec"]
    if policy["kind"] == "ClusterImagePolicy":
        spec["authorities"][0]["ctlog"] = "https://rekor.sigstore.dev"
    else:
        spec["validationActions"] = ["Refuse"]
    with pytest.raises(Refused, match=r"(Unsupported|Invalid) value"):
        admitted(kubernetes, {**policy, "spec": spec})


def _keys(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each key."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        if isinstance(value, dict):
            yield (*path, key)
        yield from _keys(part, (*path, key))
