from __future__ import annotations

from typing import Any

from lineal.kube.managed_fields import Ownership, shown

OBJECT: dict[str, Any] = {
    "metadata": {
        "labels": {"app": "shop"},
        "managedFields": [
            {"manager": "helm", "operation": "Update", "fieldsV1": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {"f:list": {".": {}, 'k:{"name":"b"}': {".": {}, "f:name": {}, "f:image": {}}},
                           "f:atomic": {}, "f:gone": {}},
            }},
            {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {
                "f:spec": {"f:set": {'v:"two"': {}}, "f:replicas": {},
                           "f:list": {'k:{"name":"nobody"}': {"f:x": {}}}},
            }},
            {"manager": "kubelet", "subresource": "status", "fieldsV1": {"f:status": {"f:ready": {}}}},
            {"fieldsV1": {"f:spec": {"f:list": {"k:{": {}, "i:9": {}, "i:x": {}, "?": {}}}}},
            {"manager": "odd", "fieldsV1": "text"},
        ],
    },
    "spec": {"list": [{"name": "a"}, {"name": "b", "image": "x"}], "set": ["one", "two"], "replicas": 3,
             "atomic": {"deep": [1, 2]}},
    "status": {"ready": True},
}  # fmt: skip


def test_each_leaf_that_is_there_has_its_owner() -> None:
    assert Ownership.of(OBJECT).by_path == {
        ("metadata", "labels", "app"): {"helm"},
        ("spec", "list", 1, "name"): {"helm"},
        ("spec", "list", 1, "image"): {"helm"},
        ("spec", "atomic"): {"helm"},
        ("spec", "set", 1): {"kubectl-edit"},
        ("spec", "replicas"): {"kubectl-edit"},
    }


def test_the_owner_of_what_nobody_owns_by_itself() -> None:
    found = Ownership.of(OBJECT)
    assert found.owners(("spec", "atomic", "deep", 0)) == {"helm"}
    assert found.owners(("spec",)) == {"helm", "kubectl-edit"}
    assert found.owners(("spec", "list", 0)) == set()
    assert Ownership.of({}).owners(("spec",)) == set()


def test_a_path_for_people() -> None:
    assert shown(("spec", "containers", 0, "image")) == "spec.containers[0].image"
