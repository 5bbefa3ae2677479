from __future__ import annotations

import json
from pathlib import Path

import pytest

from lineal.deploy.helm.environment import of_command

JOB = {
    "PATH": "/bin", "HOME": "/nowhere", "https_proxy": "http://proxy", "SSL_CERT_FILE": "/c", "XDG_CONFIG_HOME": "/x",
    "HELM_CACHE_HOME": "/h", "DOCKER_CONFIG": "/d", "LC_ALL": "C",
}  # fmt: skip
"""What any command of helm gets."""
CLUSTER = {
    "KUBECONFIG": "/k",
    "HELM_KUBETOKEN": "t",
    "HELM_DRIVER_SQL_CONNECTION_STRING": "s",
    "CI_JOB_JWT": "of a plugin",
}
CLOUD = {"AWS_SECRET_ACCESS_KEY": "a", "GOOGLE_APPLICATION_CREDENTIALS": "g"}
OURS = {"LINEAL_REGISTRY_PASSWORD": "p", "LINEAL_TRUST_KEY": "k", "INPUT_PASSWORD": "p"}
ALL = JOB | CLUSTER | CLOUD | OURS | {"HELM_DEBUG": "1", "GITHUB_TOKEN": "g"}


@pytest.mark.parametrize("command", ["template", "package", "dependency", "pull", "show", "version"])
def test_a_command_that_reads_charts_gets_no_secret_of_the_job(command: str) -> None:
    assert of_command(ALL, [command, "x"]) == JOB


@pytest.mark.parametrize("args", [["upgrade"], ["rollback"], ["list"], ["template", "--dry-run=server"]])
def test_one_for_the_cluster_gets_all_that_a_kubeconfig_may_name(args: list[str]) -> None:
    assert of_command(ALL, args) == JOB | CLUSTER | CLOUD | {"GITHUB_TOKEN": "g"}


@pytest.mark.parametrize("how", ["helper", "store", "plugin", "nothing"])
def test_one_that_fetches_gets_a_clouds_login_where_a_program_needs_it(tmp_path: Path, how: str) -> None:
    named = {"helper": {"credHelpers": {"x.amazonaws.com": "ecr-login"}}, "store": {"credsStore": "gcloud"}}
    (tmp_path / "config.json").write_text(json.dumps(named.get(how, {"auths": {"x": {}}})))
    (tmp_path / "plugins" / "s3").mkdir(parents=True)
    plugins = tmp_path / ("plugins" if how == "plugin" else "none")
    own = {**JOB, "DOCKER_CONFIG": str(tmp_path), "HELM_PLUGINS": str(plugins)}
    expected = own if how == "nothing" else own | CLOUD
    for args in (["pull", "oci://h/c"], ["dependency", "build"], ["template", "x", "oci://h/c"]):
        assert of_command(ALL | own, args) == expected
    assert of_command(ALL | own, ["template", "x", "/chart"]) == own
