"""What of a release the cluster has lost, and which definitions it has otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from lineal.deploy.cluster_objects import ClusterObjects, changed_definitions
from lineal.kube.client import KubeRefused

KINDS = {
    "/api/v1": [("ConfigMap", "configmaps", True), ("Namespace", "namespaces", False)],
    "/apis/batch/v1": [("Job", "jobs", True)],
}


class Answers:
    """An API server that has these objects, by path, and refuses to tell of others."""

    def __init__(self, objects: dict[str, Any], refused: tuple[str, ...] = ()) -> None:
        self.objects, self.refused = objects, refused

    def get(self, path: str) -> Any:
        if path in self.refused:
            raise KubeRefused(403, "no")
        if path in KINDS:
            return {
                "resources": [
                    {"kind": kind, "name": name, "namespaced": inside} for kind, name, inside in KINDS[path]
                ]
            }
        return self.objects.get(path)


def thing(kind: str, name: str, version: str = "v1", **more: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **more}


def told(api: Answers, *objects: dict[str, Any]) -> list[str]:
    return ClusterObjects(api, "shop").lost(objects)[1]  # type: ignore[arg-type]


def test_what_is_gone_is_named_and_what_cannot_be_asked_is_not() -> None:
    there: dict[str, Any] = {"/api/v1/namespaces/shop/configmaps/a": {}, "/api/v1/namespaces/x": {}}
    api = Answers(there, refused=("/api/v1/namespaces/shop/configmaps/secret", "/apis/other.io/v1"))
    assert told(api, thing("ConfigMap", "a"), thing("Namespace", "x")) == []
    assert told(api, thing("ConfigMap", "b"), thing("Namespace", "y")) == [
        "ConfigMap b is not there", "Namespace y is not there",
    ]  # fmt: skip
    assert told(api, thing("ConfigMap", "secret"), thing("X", "x", "other.io/v1"), thing("Unknown", "x")) == []
    elsewhere = thing("ConfigMap", "a")
    elsewhere["metadata"]["namespace"] = "other"
    assert told(api, elsewhere) == ["ConfigMap a is not there"]


def test_a_job_that_its_ttl_deletes_is_not_missed() -> None:
    assert told(Answers({}), thing("Job", "j", "batch/v1", spec={"ttlSecondsAfterFinished": 60})) == []
    assert told(Answers({}), thing("Job", "j", "batch/v1", spec={})) == ["Job j is not there"]


@pytest.mark.parametrize(
    ("wanted", "found", "differs"),
    [
        ({"a": 1}, {"a": 1, "conversion": {"strategy": "None"}}, False),
        ({"a": 1, "preserveUnknownFields": False, "b": {}}, {"a": 1}, False),
        ({"versions": [{"name": "v1"}]}, {"versions": [{"name": "v1", "served": True}]}, False),
        ({"versions": [{"name": "v1"}]}, {"versions": [{"name": "v1"}, {"name": "v2"}]}, True),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, True),
        ({"a": {"b": 1}}, {"a": {}}, True),
    ],
)
def test_a_definition_differs_when_the_cluster_lacks_something_of_it(
    wanted: dict[str, Any], found: dict[str, Any], differs: bool
) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/x.example.org"
    definition = {"metadata": {"name": "x.example.org"}, "spec": wanted}
    api: Any = Answers({path: {"spec": found}})
    assert list(changed_definitions(api, [(definition, "f")])) == [("x.example.org", "f")] * differs
    assert list(changed_definitions(Answers({}), [(definition, "f")])) == []  # type: ignore[arg-type]
