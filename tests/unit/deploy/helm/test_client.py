from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from lineal.deploy.attempt import Attempt
from lineal.deploy.helm.client import IMAGE_TARGET, Helm
from lineal.deploy.release import Chart
from lineal.deploy.values import ValuesText
from lineal.errors import BadConfiguration, DeployFailed, LinealError, Unreachable
from tests.unit.deploy.conftest import DIGEST, MakeRelease, environment


def by_kind(manifests: str) -> dict[str, Any]:
    return {document["kind"]: document for document in yaml.safe_load_all(manifests) if document}


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def kubeconfig(directory: Path, server: str) -> Path:
    file = directory / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": server}}
    context = {"name": "staging", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {"token": "very-secret"}}
    config = {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [context], "users": [user]}
    file.write_text(yaml.safe_dump({**config, "current-context": "staging"}))
    return file


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_manifests_name_images_by_digest_and_know_the_commit(helm: Helm, release: MakeRelease) -> None:
    made = by_kind(helm.template(release()))
    container = made["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == f"registry.example.com/team/app:v1@{DIGEST}"
    assert made["Deployment"]["metadata"] == {"name": "shop-prod-api", "namespace": "shop"}
    about = yaml.safe_load(made["ConfigMap"]["data"]["about"])
    assert about == {"project": "shop", "env": "prod", "commit": "c" * 40, "branch": "main"}


def test_later_values_win_and_set_wins_over_all(helm: Helm, release: MakeRelease) -> None:
    one, two = ValuesText("one.yaml", "greeting: one\nreplicas: 2\n"), ValuesText("two.yaml", "greeting: two\n")

    def seen(*files: ValuesText, sets: tuple[str, ...] = ()) -> tuple[str, int]:
        made = by_kind(helm.template(release(files, sets=sets)))
        return made["ConfigMap"]["data"]["greeting"], made["Deployment"]["spec"]["replicas"]

    assert seen() == ("from the chart", 1)
    assert seen(one) == ("one", 2)
    assert seen(one, two) == ("two", 2)
    assert seen(one, two, sets=("greeting=three", "replicas=5")) == ("three", 5)


def test_global_lineal_wins_over_a_values_file(helm: Helm, release: MakeRelease) -> None:
    forged = ValuesText("one.yaml", "global: {lineal: {commit: forged, mine: kept}}\n")
    about = yaml.safe_load(by_kind(helm.template(release((forged,))))["ConfigMap"]["data"]["about"])
    assert (about["commit"], about["mine"]) == ("c" * 40, "kept")


def test_a_path_with_a_comma_is_one_values_file(helm: Helm, release: MakeRelease, tmp_path: Path) -> None:
    made = release()
    odd = tmp_path / 'a,"b'
    odd.mkdir()
    moved = tuple(type(file)(file.path.rename(odd / file.path.name), file.name) for file in made.values)
    assert by_kind(helm.template(release(values=moved)))["Deployment"]


def test_kubernetes_version_is_what_templates_see(helm: Helm, release: MakeRelease, chart: Path) -> None:
    with (chart / "templates/settings.yaml").open("a") as file:
        file.write("  kube: {{ .Capabilities.KubeVersion.Version }}\n")
    assert by_kind(helm.template(release(kube_version="1.34.2")))["ConfigMap"]["data"]["kube"] == "v1.34.2"


BROKEN = [
    ("x: {{ .Values.no.such }}", "deploy/chart/templates/settings.yaml:8", "nil pointer evaluating"),
    ("x: {{ .Values.no", "deploy/chart/templates/settings.yaml:", "unclosed action"),
    ("x: {{ nofunction . }}", "deploy/chart/templates/settings.yaml:8", 'function "nofunction" not defined'),
    ('x: {{ include "nope" . }}', "deploy/chart/templates/settings.yaml:8", 'no template "nope"'),
    (
        'x: {{ required "Set the colour." .Values.colour }}',
        "deploy/chart/templates/settings.yaml:8",
        "Set the colour.",
    ),
    ("x: y: z", "deploy/chart/templates/settings.yaml: ", "mapping values are not allowed"),
]


@pytest.mark.parametrize(("line", "place", "reason"), BROKEN)
def test_a_broken_template_is_named_with_its_line(
    helm: Helm, release: MakeRelease, chart: Path, line: str, place: str, reason: str
) -> None:
    with (chart / "templates/settings.yaml").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DeployFailed) as caught:
        helm.template(release())
    text = str(caught.value)
    assert text.startswith(place)
    assert reason in text
    assert "\n" not in text
    assert "--debug" not in text


@pytest.mark.parametrize(
    ("file", "text", "error", "words"),
    [
        ("Chart.yaml", "a: [\n", DeployFailed, "deploy/chart/Chart.yaml:"),
        ("values.yaml", "a: [\n", DeployFailed, "deploy/chart/values.yaml:"),
        ("Chart.yaml", 'kubeVersion: ">=1.99.0"\n', DeployFailed, "The chart requires kubeVersion: >=1.99.0"),
    ],
)
def test_a_broken_chart_file_is_named(
    helm: Helm, release: MakeRelease, chart: Path, file: str, text: str, error: type[LinealError], words: str
) -> None:
    with (chart / file).open("a") as opened:
        opened.write(text)
    with pytest.raises(error) as caught:
        helm.template(release())
    assert words in str(caught.value)


UNREADABLE = [
    # What YAML takes, and JSON has not.
    ("a: 1\nhost: {{ .Values.x }}\n", 2, ": invalid map key: map[", "Put quotes around a text"),
    ("a: 1\nb:\n  - {c: {[d]: e}}\n", 3, "invalid map key: ", "Put quotes around a text"),
    ("a: 1\n? null\n: x\n", 2, ": unsupported map key of type: ", "Put the key in quotes."),
    ("a: 1\nb: *unknown\n", 2, "unknown anchor 'unknown' referenced", "Correct the file."),
]


@pytest.mark.parametrize(("text", "line", "reason", "remedy"), UNREADABLE)
def test_what_helm_says_of_values_is_told_whole_with_the_line(
    helm: Helm, release: MakeRelease, chart: Path, text: str, line: int, reason: str, remedy: str
) -> None:
    made = release((ValuesText("deploy/my values.yaml", "a: 1\n"),))
    made.values[0].path.write_text(text)
    with pytest.raises(BadConfiguration) as caught:
        helm.template(made)
    told = str(caught.value)
    assert told.startswith(f"deploy/my values.yaml:{line}: helm cannot read the values: "), told
    assert reason in told and remedy in told, told
    (chart / "values.yaml").write_text(text)
    with pytest.raises(DeployFailed) as failed:
        helm.template(release())
    told = str(failed.value)
    assert told.startswith(f"deploy/chart/values.yaml:{line}: helm cannot read the chart: ") and reason in told, told


def test_values_against_the_schema_of_the_chart_are_bad_configuration(helm: Helm, release: MakeRelease) -> None:
    with pytest.raises(BadConfiguration, match=r"do not fit the schema of the chart shop: .*replicas.*integer"):
        helm.template(release(sets=("replicas=many",)))


def test_helm_names_a_values_file_as_the_user_does(helm: Helm, release: MakeRelease, tmp_path: Path) -> None:
    made = release((ValuesText("deploy/values.yaml", "a: 1\n"),))
    made.values[0].path.write_text("a: [\n")
    with pytest.raises(BadConfiguration) as caught:
        helm.template(made)
    assert str(caught.value).startswith("deploy/values.yaml:1: ")
    assert str(tmp_path) not in str(caught.value)


def test_a_chart_in_a_registry_that_is_down(helm: Helm, release: MakeRelease) -> None:
    reference = f"oci://127.0.0.1:{closed_port()}/charts/shop:0.1.0"
    with pytest.raises(Unreachable, match=r"could not fetch the chart oci://.*connection refused"):
        helm.template(release(chart=Chart.registry(reference), plain_http=True))


def test_a_chart_in_a_registry_is_fetched_by_its_version(
    helm: Helm, release: MakeRelease, registry: str, chart: Path, tmp_path: Path
) -> None:
    assert helm.run(["package", str(chart), "--destination", str(tmp_path)]).code == 0
    pushed = helm.run(["push", "--plain-http", str(tmp_path / "shop-0.1.0.tgz"), f"oci://{registry}/{tmp_path.name}"])
    assert pushed.code == 0, pushed.stderr
    location = Chart.registry(f"oci://{registry}/{tmp_path.name}/shop:0.1.0")
    assert "Deployment" in by_kind(helm.template(release(chart=location, plain_http=True)))
    with pytest.raises(Unreachable, match="could not fetch the chart"):
        helm.template(release(chart=Chart.registry(f"oci://{registry}/{tmp_path.name}/shop:9.9.9"), plain_http=True))


def test_an_unreachable_cluster_is_named_with_its_address_context_and_kubeconfig(
    helm: Helm, release: MakeRelease, tmp_path: Path
) -> None:
    port = closed_port()
    file = kubeconfig(tmp_path, f"https://127.0.0.1:{port}")
    with pytest.raises(Unreachable) as caught:
        Attempt(Helm(helm.path, helm.version, {**helm.environ, "KUBECONFIG": str(file)}), release()).run()
    text = str(caught.value)
    assert text.startswith(
        f"helm could not reach the Kubernetes cluster at 127.0.0.1:{port} (context staging of {file}): "
        "connection refused."
    )
    assert "very-secret" not in text
    assert caught.value.exit_code == 5


def test_without_a_kubeconfig_the_error_says_so(helm: Helm, release: MakeRelease) -> None:
    home = helm.environ["HOME"]
    with pytest.raises(Unreachable, match=rf"Set KUBECONFIG .*there is none at {home}/.kube/config"):
        Attempt(helm, release()).run()


def test_an_unknown_context_lists_those_there_are(helm: Helm, release: MakeRelease, tmp_path: Path) -> None:
    file = kubeconfig(tmp_path, "https://127.0.0.1:1")
    known = Helm(helm.path, helm.version, {**helm.environ, "KUBECONFIG": str(file)})
    with pytest.raises(BadConfiguration, match=r"no Kubernetes context stagin in .*Did you mean `staging`"):
        Attempt(known, release(kube_context="stagin")).run()


def test_each_major_knows_the_flags_it_is_given(helm: Helm, release: MakeRelease) -> None:
    """`upgrade` with all our flags gets as far as the cluster: helm refuses flags it does not know before that."""
    deprecated: list[str] = []
    with pytest.raises(Unreachable):
        Attempt(helm, release(description="shop at cccccc", sets=("a=1",)), deprecated.append).run()
    assert not [line for line in deprecated if "deprecated" in line.lower()]


def test_the_version_that_was_found_is_known(helm: Helm) -> None:
    assert (helm.version, helm.major) in [("v3.19.0", 3), ("v4.3.1", 4)]


def test_without_helm_the_error_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"There is no helm on PATH\. Install Helm") as caught:
        Helm.find({"PATH": str(tmp_path)})
    assert caught.value.exit_code == 3


def test_the_image_for_builds_says_that_it_is_the_one_without_helm(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="is the one for builds, and has no helm") as caught:
        Helm.find({"PATH": str(tmp_path), IMAGE_TARGET: "build"})
    assert "`your_org/lineal@v1`" in str(caught.value) and caught.value.exit_code == 3


def test_a_wrong_lineal_helm_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="LINEAL_HELM names `/no/such/helm`"):
        Helm.find(environment(tmp_path / "home", "/no/such/helm"))


def test_helm_is_found_on_path(tmp_path: Path) -> None:
    script(tmp_path / "helm", "echo v3.18.5")
    assert Helm.find({"PATH": f"{tmp_path}:/usr/bin:/bin"}).path == str(tmp_path / "helm")


@pytest.mark.parametrize("version", ["v3.17.3", "v3.18.4", "v2.17.0", "v5.0.0"])
def test_another_helm_than_we_know_is_refused(tmp_path: Path, version: str) -> None:
    helm = script(tmp_path / "helm", f"echo {version}")
    with pytest.raises(BadConfiguration, match=f"is helm {version}, which is not supported"):
        Helm.find(environment(tmp_path / "home", helm))


def test_something_else_called_helm_is_refused(tmp_path: Path) -> None:
    helm = script(tmp_path / "helm", "echo 'unknown option' >&2; exit 2")
    with pytest.raises(BadConfiguration, match="does not say which helm it is: unknown option"):
        Helm.find(environment(tmp_path / "home", helm))


def test_a_file_that_cannot_be_run_is_refused(tmp_path: Path) -> None:
    helm = tmp_path / "helm"
    helm.write_bytes(b"\x7fELF nonsense")
    helm.chmod(0o755)
    with pytest.raises(BadConfiguration, match="cannot be run: Exec format error"):
        Helm.find(environment(tmp_path / "home", helm))


def test_secrets_are_masked_in_what_helm_prints_and_in_errors(tmp_path: Path, release: MakeRelease) -> None:
    text = 'case $1 in version) echo v4.0.0;; *) echo "pw hunter2"; echo "Error: pw hunter2" >&2; exit 1;; esac'
    env = environment(tmp_path / "home", script(tmp_path / "helm", text))
    lines: list[str] = []
    with pytest.raises(DeployFailed) as caught:
        Attempt(Helm.find(env, lambda line: line.replace("hunter2", "***")), release(), lines.append).run()
    assert sorted(lines) == ["Error: pw ***", "pw ***"]
    assert "hunter2" not in str(caught.value)
    assert "***" in str(caught.value)


def test_helm_does_not_inherit_its_debug_mode(tmp_path: Path) -> None:
    helm = script(tmp_path / "helm", 'echo "v3.19.0 ${HELM_DEBUG-none} $OTHER"')
    found = Helm.find(environment(tmp_path / "home", helm, {"HELM_DEBUG": "1", "OTHER": "kept"}))
    assert found.run(["list"]).stdout.split() == ["v3.19.0", "none", "kept"]
    assert found.run(["template"]).stdout.split() == ["v3.19.0", "none"]


def test_a_chart_in_a_registry_that_wants_credentials(helm: Helm, release: MakeRelease, auth_registry: str) -> None:
    location = Chart.registry(f"oci://{auth_registry}/charts/shop:0.1.0")
    with pytest.raises(Unreachable, match=r"could not fetch the chart oci://.*docker login"):
        helm.template(release(chart=location, plain_http=True))
