from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lineal.deploy.helm.client import Helm
from lineal.deploy.render import render
from lineal.errors import BadConfiguration, DeployFailed, Unreachable
from tests.unit.deploy.conftest import MakeRelease


def depends(chart: Path, repository: str, version: str = "0.1.0", *, declared: str = "Chart.yaml") -> None:
    with (chart / declared).open("a") as file:
        file.write(f"dependencies: [{{name: sub, version: {version}, repository: '{repository}'}}]\n")


def of_helm_2(chart: Path) -> None:
    file = chart / "Chart.yaml"
    file.write_text(file.read_text().replace("apiVersion: v2", "apiVersion: v1"))


def subchart(directory: Path) -> None:
    (directory / "templates").mkdir(parents=True)
    (directory / "Chart.yaml").write_text("apiVersion: v2\nname: sub\nversion: 0.1.0\n")
    config = "kind: Sub\nmetadata: {name: '{{ .Values.global.lineal.project }}'}\n"
    (directory / "templates" / "sub.yaml").write_text(config)


def lock(helm: Helm, chart: Path, made: str = "Chart.lock") -> None:
    answer = helm.run(["dependency", "update", "--plain-http", str(chart)])
    assert answer.code == 0, answer.stderr
    shutil.rmtree(chart / "charts")
    assert (chart / made).is_file()


def test_a_vendored_dependency_is_used_and_sees_global_lineal(helm: Helm, release: MakeRelease, chart: Path) -> None:
    depends(chart, "https://127.0.0.1:1/never-asked")
    subchart(chart / "charts" / "sub")
    assert "kind: Sub\nmetadata: {name: 'shop'}" in render(helm, release())


def test_a_chart_inside_the_chart_is_taken(helm: Helm, release: MakeRelease, chart: Path) -> None:
    depends(chart, "file://lib/sub")
    subchart(chart / "lib" / "sub")
    assert "kind: Sub" in render(helm, release())


LOCKED = [("v2", "Chart.yaml", "Chart.lock"), ("v1", "requirements.yaml", "requirements.lock"),
          ("v2", "requirements.yaml", "Chart.lock")]  # fmt: skip
"""Helm reads requirements.yaml of any chart."""


@pytest.mark.parametrize(("version", "declared", "locked"), LOCKED)
def test_a_locked_dependency_is_fetched_from_a_registry(
    helm: Helm, release: MakeRelease, chart: Path, registry: str, tmp_path: Path, version: str, declared: str,
    locked: str,
) -> None:  # fmt: skip
    if version == "v1":
        of_helm_2(chart)
    subchart(tmp_path / "sub")
    assert helm.run(["package", str(tmp_path / "sub"), "-d", str(tmp_path)]).code == 0
    where = f"oci://{registry}/{tmp_path.name}"
    assert helm.run(["push", "--plain-http", str(tmp_path / "sub-0.1.0.tgz"), where]).code == 0
    depends(chart, where, declared=declared)
    lock(helm, chart, locked)
    assert "kind: Sub" in render(helm, release(plain_http=True))


def test_a_dependency_without_lock_is_refused(helm: Helm, release: MakeRelease, chart: Path) -> None:
    depends(chart, "https://charts.example.com")
    with pytest.raises(BadConfiguration, match=r"^deploy/chart/Chart\.yaml: The dependency `sub` is not in charts/"):
        render(helm, release())


def test_a_chart_of_helm_2_is_asked_for_the_lock_that_helm_writes_for_it(
    helm: Helm, release: MakeRelease, chart: Path
) -> None:
    of_helm_2(chart)
    depends(chart, "https://charts.example.com", declared="requirements.yaml")
    with pytest.raises(BadConfiguration) as caught:
        render(helm, release())
    assert str(caught.value).startswith("deploy/chart/requirements.yaml: The dependency `sub` is not in charts/")
    assert "and there is no requirements.lock that says which it is" in str(caught.value)
    assert "commit requirements.lock (or charts/)" in str(caught.value)


def test_a_chart_of_helm_2_with_its_dependency_in_it(helm: Helm, release: MakeRelease, chart: Path) -> None:
    of_helm_2(chart)
    depends(chart, "file://lib/sub", declared="requirements.yaml")
    subchart(chart / "lib" / "sub")
    assert "kind: Sub" in render(helm, release())
    shutil.rmtree(chart / "charts")
    (chart / "requirements.yaml").write_text((chart / "requirements.yaml").read_text().replace("lib/sub", "../sub"))
    with pytest.raises(BadConfiguration, match=r"^deploy/chart/requirements\.yaml: .* lies outside the commit"):
        render(helm, release())


@pytest.mark.parametrize("repository", ["file://../sub", "file:///tmp", "file://lib/../../sub"])
def test_a_dependency_outside_the_chart_is_refused(
    helm: Helm, release: MakeRelease, chart: Path, repository: str
) -> None:
    depends(chart, repository)
    with pytest.raises(BadConfiguration, match="lies outside the commit"):
        render(helm, release())


def test_a_repository_that_is_down_is_unreachable(helm: Helm, release: MakeRelease, chart: Path) -> None:
    depends(chart, "file://lib/sub")
    subchart(chart / "lib" / "sub")
    lock(helm, chart)
    for name in ("Chart.yaml", "Chart.lock"):
        file = chart / name
        file.write_text(file.read_text().replace("file://lib/sub", "https://127.0.0.1:1/charts"))
    with pytest.raises((Unreachable, DeployFailed), match="could not fetch the chart's dependencies"):
        render(helm, release())


@pytest.mark.parametrize("version", ["1", "1.x", "'>=1.0.0'", "'*'"])
@pytest.mark.parametrize("locked", ["Chart.lock", "requirements.lock"])
def test_a_lock_that_names_a_range_is_refused(
    helm: Helm, release: MakeRelease, chart: Path, version: str, locked: str
) -> None:
    depends(chart, "https://127.0.0.1:1", "1.x")
    entry = f"{{name: sub, version: {version}, repository: 'https://127.0.0.1:1'}}"
    (chart / locked).write_text(f"dependencies: [{entry}]\ndigest: sha256:{'a' * 64}\n")
    with pytest.raises(BadConfiguration) as caught:
        render(helm, release())
    assert str(caught.value).startswith(f"deploy/chart/{locked}: The dependency `sub` has no whole version")
