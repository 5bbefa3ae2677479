from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lineal.deploy.helm.client import Helm
from lineal.deploy.helm.objects import read_objects
from lineal.deploy.manifest_files import document, file_name, files, kustomization, read, with_namespace, written
from lineal.errors import DeployFailed

_TEXT = st.text(max_size=12) | st.sampled_from(
    ["12e4567", "0800", "0o17", "1e3", "yes", "y", "12:30", "2026-01-01", "=", "~", "null", ".5", "-", "1_000",
     "0x1f", "a\nb\n", " a\nb ", "\ta\n", "# a", "a: b", "{{ x }}", "'", '"', "\x85", "\ufeffx\ny"]
)  # fmt: skip
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


def make(kind: str, name: str, namespace: str = "", version: str = "v1") -> dict[str, Any]:
    about = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": version, "kind": kind, "metadata": about}


@given(st.dictionaries(_TEXT, _VALUES, max_size=4))
def test_an_object_is_read_as_it_was_written(data: dict[str, Any]) -> None:
    one = {"kind": "ConfigMap", "data": data}
    assert read_objects(written(one)) == [one]


@given(st.dictionaries(_TEXT, _TEXT, max_size=4))
def test_a_text_is_a_text_to_any_reader(data: dict[str, Any]) -> None:
    """Also to those that know YAML 1.1 alone."""
    assert yaml.safe_load(written({"data": data})) == {"data": data}


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20)), max_size=8))
def test_names_of_files_lead_nowhere_and_meet_nowhere(about: list[tuple[str, str, str]]) -> None:
    found = files([make(kind, name, namespace) for kind, name, namespace in about], "home")
    assert len(found) == len(about)
    for name in found:
        assert re.fullmatch(r"[a-z0-9.\-_]+\.yaml", name) and not name.startswith(".") and len(name) < 256


def test_a_name_depends_on_the_object_alone() -> None:
    assert file_name(make("Deployment", "shop", version="apps/v1"), "home") == "deployment-shop"
    assert file_name(make("Deployment", "shop", "home", "apps/v1"), "home") == "deployment-shop"
    assert file_name(make("Role", "a", "other", "rbac.authorization.k8s.io/v1"), "home") == "role-a_other"
    certificate = make("Certificate", "shop", version="cert-manager.io/v1")
    assert file_name(certificate, "home") == "certificate.cert-manager.io-shop"
    assert file_name(make("ClusterRole", "system:a"), "home") != file_name(make("ClusterRole", "system-a"), "home")
    assert list(files([make("Job", "a"), make("Job", "a")], "")) == ["job-a-2.yaml", "job-a.yaml"]
    job = {"kind": "Job", "metadata": {"generateName": "migrate-"}}
    assert file_name(job, "") == "job-migrate"
    assert len(file_name(make("ConfigMap", "x" * 253), "")) == 200


def test_the_namespace_goes_where_it_belongs() -> None:
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "x"},
           "spec": {"group": "example.com", "scope": "Cluster", "names": {"kind": "Fleet"}}}  # fmt: skip
    objects = [
        crd, make("Fleet", "one", version="example.com/v1"), make("Widget", "one", version="example.com/v1"),
        make("ConfigMap", "a"), make("ConfigMap", "b", "other"),
        make("ClusterRole", "c", version="rbac.authorization.k8s.io/v1"),
    ]  # fmt: skip
    placed = with_namespace(objects, "home")
    assert [one["metadata"].get("namespace") for one in placed] == [None, None, None, "home", "home", "other", None]
    assert placed[0] == {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "home"}}
    own = {**make("Namespace", "home"), "labels": {"a": "b"}}
    assert with_namespace([own], "home") == [own]
    assert "namespace" not in objects[3]["metadata"]  # those given stay as they are


def test_what_cannot_be_taken_apart_is_refused() -> None:
    with pytest.raises(DeployFailed, match="cannot be taken apart"):
        read("a: [")
    assert read(document([make("ConfigMap", "a"), make("ConfigMap", "b")]))[1]["metadata"]["name"] == "b"


def test_a_kustomization_lists_files() -> None:
    assert yaml.safe_load(kustomization(["a.yaml", "b.yaml"]))["resources"] == ["a.yaml", "b.yaml"]


def test_helm_and_the_cluster_read_the_same(helm: Helm, tmp_path: Path) -> None:
    """The YAML of Go, which takes other texts for numbers than that of Python."""
    texts = [
        "12e4567", "0800", "0o17", "1e3", "+1", "-.5", "1_000", "0x1f", "0b1", "yes", "No", "y", "N", "on", "null",
        "~", "12:30", "2026-01-01", "=", "<<", "*", "&a", "!x", "@", "`", "%", "a: b", "- a", "# a", "a #b", "a\nb\n",
        "\na", " a\n  b", "a\r\nb", "\ta", "", " ", "\x85", "\u2028a", "\ufeff", "é", "'", '"', "\\n", "{{ x }}",
        "1.2.3", ".inf", ".nan", "0.", "1__0", "_1", "0777", "00", "1,000", "12e03", "-", "--", "---", "...", "? a",
    ]  # fmt: skip
    numbers = [0, -7, 1.5, 2**53, 1e300, True, False, None]
    value = {"texts": texts, "numbers": numbers, "keys": dict.fromkeys(texts, 1)}
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: x\nversion: 0.1.0\n")
    (chart / "value.yaml").write_text(written(value), encoding="utf-8")
    (chart / "templates" / "x.yaml").write_text('v: {{ .Files.Get "value.yaml" | fromYaml | toJson | b64enc }}\n')
    printed = helm.run(["template", "x", str(chart)])
    assert printed.code == 0, printed.stderr
    found = json.loads(base64.b64decode(yaml.safe_load(printed.stdout)["v"]))
    assert found["texts"] == texts
    assert found["numbers"] == numbers
    assert set(found["keys"]) == set(texts)
