from __future__ import annotations

from pathlib import Path

import pytest

from lineal.deploy.release import Chart, Release, seconds
from lineal.errors import BadConfiguration

CHART = Chart.registry("oci://example.com/charts/shop:1.0.0")


@pytest.mark.parametrize("name", ["shop", "shop-prod", "a", "1", "a.b", "a" * 53])
def test_a_name_that_helm_takes_is_taken(name: str) -> None:
    assert Release(name=name, namespace="ns", chart=CHART).name == name


@pytest.mark.parametrize("name", ["", "Shop", "shop_prod", "-rf", "--debug", "a" * 54, "shop/x", "shop\n", "é"])
def test_another_name_is_refused_with_its_key(name: str) -> None:
    with pytest.raises(BadConfiguration, match=r"`deploy\.release` in lineal\.yaml, or give `--release`"):
        Release(name=name, namespace="ns", chart=CHART)


@pytest.mark.parametrize("namespace", ["", "NS", "a.b", "a" * 64, "--all", "feature/x"])
def test_another_namespace_is_refused_with_its_key(namespace: str) -> None:
    with pytest.raises(BadConfiguration, match=r"`deploy\.namespace`"):
        Release(name="shop", namespace=namespace, chart=CHART)


def test_a_release_shows_no_set_values() -> None:
    assert "hunter2" not in repr(Release(name="shop", namespace="ns", chart=CHART, sets=("password=hunter2",)))


@pytest.mark.parametrize(
    "reference",
    [
        "oci://example.com/charts/shop:1.2.3",
        "oci://127.0.0.1:5000/shop:1.2.3-rc.1_build",
        f"oci://example.com/shop@sha256:{'a' * 64}",
        f"oci://example.com/shop:1.0.0@sha256:{'a' * 64}",
    ],
)
def test_a_chart_in_a_registry_has_a_version_or_a_digest(reference: str) -> None:
    chart = Chart.registry(reference)
    assert (chart.location, chart.is_directory) == (reference, False)


def test_a_chart_without_a_version_is_refused() -> None:
    with pytest.raises(BadConfiguration, match=r"has no version, .* `oci://example.com/charts/shop:1\.2\.3`"):
        Chart.registry("oci://example.com/charts/shop")


@pytest.mark.parametrize("reference", ["oci://", "oci://host", "https://host/x:1", "repo/x:1", "oci://h/x:1 --debug"])
def test_what_is_no_reference_is_refused(reference: str) -> None:
    with pytest.raises(BadConfiguration, match="is not a chart in a registry"):
        Chart.registry(reference)


def test_a_directory_without_chart_yaml_is_no_chart(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"^deploy/chart: There is no Chart\.yaml") as caught:
        Chart.directory(tmp_path, "deploy/chart")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("target", ["/etc/hostname", "../../secret", "/etc"])
def test_a_link_out_of_the_chart_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "Chart.yaml").write_text("name: x\n")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "link").symlink_to(target)
    with pytest.raises(BadConfiguration, match=r"^deploy/chart/files/link: .*leads out of the chart"):
        Chart.directory(tmp_path, "deploy/chart")


def test_a_link_within_the_chart_is_taken(tmp_path: Path) -> None:
    (tmp_path / "Chart.yaml").write_text("name: x\n")
    (tmp_path / "link").symlink_to("Chart.yaml")
    assert Chart.directory(tmp_path, "deploy/chart").is_directory


@pytest.mark.parametrize(
    ("text", "number"), [("10m", 600), ("1h30m", 5400), ("90s", 90), ("1h1m1.5s", 3661.5), ("500ms", 0.5)]
)
def test_a_duration_is_seconds(text: str, number: float) -> None:
    assert seconds(text) == number


@pytest.mark.parametrize("text", ["", "10", "m", "0s", "-1m", "1m ", "1..5m", "1d", "ten"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(BadConfiguration, match="is not a duration"):
        seconds(text)
