"""The template and the line that a message of the API server is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineal.deploy.helm.template_location import find
from lineal.deploy.release import Chart, Release

APP = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  replicas: {{ .Values.replicas }}
"""
SERVICE = "kind: Service\nmetadata: {name: shop}\nspec:\n  ports:\n    - port: 80\n    - port: 81\n"
WIDGET = "apiVersion: example.com/v1\nkind: Widget\nmetadata:\n  name: other\n"
RENDERED = """\
---
# Source: shop/templates/app.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
---
# Source: shop/templates/worker.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  name: worker
---
# Source: shop/templates/service.yaml
kind: Service
metadata: {name: shop}
"""


@pytest.fixture
def release(tmp_path: Path) -> Release:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: shop\nversion: 0.1.0\n")
    for name, text in {"app.yaml": APP, "service.yaml": SERVICE, "widget.yaml": WIDGET}.items():
        (tmp_path / "templates" / name).write_text(text)
    return Release(name="shop", namespace="ns", chart=Chart.directory(tmp_path, "deploy/chart"))


def with_worker(release: Release) -> Release:
    """A second Deployment in the chart."""
    worker = APP.replace("{{ .Release.Name }}", "worker")
    (Path(release.chart.location) / "templates" / "worker.yaml").write_text(worker)
    return release


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ('Deployment.apps "shop" is invalid: spec.replicas: Invalid value: -1: must be greater', "app.yaml:6"),
        ('Deployment.apps "worker" is invalid: spec.replicas: Invalid value: -1', "worker.yaml:6"),
        ('Deployment.apps "shop" is invalid: spec.selector: Invalid value: {}: field is immutable', "app.yaml:2"),
        ('deployments.apps "worker" is forbidden: ValidatingAdmissionPolicy', "worker.yaml:2"),
        ("A value in spec.labels of Deployment worker is longer than the 63 characters of a label", "worker.yaml:2"),
        # The field stands there twice, so the line of the kind is shown.
        ('Service "shop" is invalid: spec.ports[1].port: Required value', "service.yaml:1"),
        ('cannot patch "worker" with kind Deployment: the server is busy', "worker.yaml:2"),
        ('Deployment.apps "gone" is invalid: spec.replicas: Invalid value: -1', None),
        ("exceeded quota: q, requested: pods=1", None),
    ],
)
def test_an_object_of_the_manifest_is_found_by_kind_and_name(release: Release, said: str, place: str | None) -> None:
    found = find(said, with_worker(release), RENDERED)
    assert (found and str(found)) == (place and f"deploy/chart/templates/{place}")


@pytest.mark.parametrize(
    ("said", "place"),
    [
        (
            'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go '
            "struct field DeploymentSpec.spec.replicas of type int32",
            "app.yaml:6",
        ),
        ("The cluster knows no Widget of example.com/v1: its definition (CRD) is not installed.", "widget.yaml:2"),
        ("The cluster knows no Gadget of example.com/v1: its definition (CRD) is not installed.", None),
    ],
)
def test_without_a_manifest_the_kind_is_looked_for_in_the_templates(
    release: Release, said: str, place: str | None
) -> None:
    found = find(said, release, "")
    assert (found and str(found)) == (place and f"deploy/chart/templates/{place}")


def test_of_two_templates_that_fit_none_is_named(release: Release) -> None:
    assert find('cannot be handled as a Deployment: unknown field "spec.x"', with_worker(release), "") is None


def test_a_chart_from_elsewhere_has_no_templates_in_the_commit() -> None:
    chart = Chart.registry("oci://registry.example.com/charts/shop:1.2.3")
    release = Release(name="shop", namespace="ns", chart=chart)
    assert find('Deployment.apps "shop" is invalid: spec.replicas: Invalid value: -1', release, RENDERED) is None
