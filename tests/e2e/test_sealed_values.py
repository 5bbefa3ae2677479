"""Values encrypted with sops: opened where there is a key, shown nowhere, carried unopened by bundles."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
import yaml

from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project, Published
from tests.tools import helm as binaries
from tests.tools import sops as programs
from tests.tools.kube import Cluster
from tests.tools.sops import Sops

pytestmark = [pytest.mark.registry, pytest.mark.helm]

WORD = "correct horse battery staple"
VALUES = f"password: {WORD}\nnested: {{count: 7}}\n"
TEMPLATE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}"}
data: {password: {{ .Values.password | quote }}, count: {{ .Values.nested.count | quote }}}
"""
CONFIG = """
project: shop
images: {}
deploy: {chart: chart, release: shop, namespace: shop, values: [plain.yaml, secret.enc.yaml]}
"""

FORK = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_REF": "refs/heads/main",
        "GITHUB_REPOSITORY": "acme/shop"}  # fmt: skip
"""The job of a pull request that is not known to be of the project itself."""


@pytest.fixture(params=["stand-in", "real"])
def sops(request: pytest.FixtureRequest, tmp_path: Path) -> Sops:
    return programs.real() if request.param == "real" else programs.stand_in(tmp_path / "bin")


@pytest.fixture
def project(repo: servers.Repository, lineal: Lineal, repository: str, sops: Sops, tmp_path: Path) -> Project:
    binaries.fetch(binaries.directory())
    lineal.env.update(NOWHERE | {"LINEAL_HELM": str(binaries.directory() / "helm4")})
    lineal.env["PATH"] = f"{sops.folder}:{os.environ['PATH']}"
    lineal.env["SOPS_AGE_KEY"] = sops.key
    lineal.env["TMPDIR"] = str(tmp_path / "temporary")
    (tmp_path / "temporary").mkdir()
    repo.write({
        "lineal.yaml": CONFIG,
        "chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 0.1.0\n",
        "chart/templates/settings.yaml": TEMPLATE,
        "plain.yaml": "password: none\nnested: {count: 1}\n",
        "secret.enc.yaml": sops.encrypt(VALUES),
    })  # fmt: skip
    return Project(repo, lineal, repository, tmp_path)


def rendered(project: Project, *args: str) -> dict[str, str]:
    done = project.run("render", *args)
    data: dict[str, str] = yaml.safe_load(done.stdout)["data"]
    assert WORD not in done.stderr
    return data


def test_encrypted_values_are_opened_and_nothing_of_them_stays(project: Project) -> None:
    assert rendered(project) == {"password": WORD, "count": "7"}
    assert list((project.scratch / "temporary").iterdir()) == []


def test_a_file_is_known_by_what_is_in_it(project: Project, sops: Sops) -> None:
    (project.scratch / "more.json").write_text(sops.encrypt('{"password": "other words"}', "json"))
    (project.scratch / "more.yaml").write_text(sops.encrypt("nested:\n  count: 8\n"))
    given = [
        argument for name in ("more.json", "more.yaml") for argument in ("--values", f"{project.scratch}/{name}")
    ]
    assert rendered(project, *given) == {"password": "other words", "count": "8"}


def test_no_message_shows_what_was_encrypted(project: Project) -> None:
    broken = '{{ fail (printf "it is %s" .Values.password) }}'
    project.repo.write({"chart/templates/broken.yaml": broken})
    failed = project.run("render", code=1)
    assert "it is ***" in failed.error and WORD not in failed.stderr


@pytest.mark.parametrize(
    ("change", "env", "code", "says"),
    [
        ({}, {"SOPS_AGE_KEY": ""}, 1, "secret.enc.yaml: sops cannot open it: Failed to get the data key"),
        ({}, {"PATH": "/usr/bin:/bin"}, 3, "secret.enc.yaml: is encrypted with sops, and there is no sops on PATH."),
        ({"secret.enc.yaml": VALUES}, {}, 3, "secret.enc.yaml: has the name of an encrypted file, but everybody"),
    ],
)
def test_what_is_missing_is_named(
    project: Project, change: dict[str, str | bytes | None], env: dict[str, str], code: int, says: str
) -> None:
    if change:
        project.repo.write(change)
    failed = project.run("render", code=code, env=env)
    assert says in failed.error and WORD not in failed.stderr


def test_an_encrypted_template_is_refused(project: Project, sops: Sops) -> None:
    project.repo.write({"secret.enc.yaml.j2": sops.encrypt(VALUES),
                        "lineal.yaml": CONFIG.replace("enc.yaml", "enc.yaml.j2")})  # fmt: skip
    assert "is encrypted with sops and a template" in project.run("render", code=3).error


def test_a_bundle_carries_them_unopened(project: Project, sops: Sops) -> None:
    env = {"SOPS_AGE_KEY": "", "PATH": os.environ["PATH"]}
    reference = project.run("bundle", "publish", "--version", "1.0.0", env=env).stdout.strip()
    everything = b"".join(data for _, data in Published(f"{project.store}/bundle").everything())
    assert WORD.encode() not in everything and b"lineal/sealed/000.yaml" in everything
    cluster = Cluster()
    try:
        (project.scratch / "kubeconfig").write_text(cluster.kubeconfig())
        env = {"KUBECONFIG": str(project.scratch / "kubeconfig")}
        done = project.lineal("bundle", "apply", reference, cwd=project.scratch, env=env)
        assert done.code == 0 and WORD not in done.stderr, done.stderr
        assert cluster.objects["configmaps", "shop", "shop"]["data"] == {"password": WORD, "count": "7"}
        done = project.lineal("bundle", "apply", reference, cwd=project.scratch, env=env | {"SOPS_AGE_KEY": ""})
        assert done.code == 1 and "lineal/sealed/000.yaml: sops cannot open it" in done.stderr
    finally:
        cluster.close()


def test_a_bundle_does_not_say_where_a_token_goes(project: Project) -> None:
    """A bundle may be a stranger's, whose Vault would get this job's token; a commit is the project's own."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        address = f"http://127.0.0.1:{stranger.getsockname()[1]}"
        seal_for(project, address)
        reference = project.run("bundle", "publish", "--version", "1.0.0").stdout.strip()
        env = {"VAULT_TOKEN": "a token", "VAULT_ADDR": "https://vault.example.com"}
        done = project.lineal("bundle", "apply", reference, cwd=project.scratch, env=env)
        stranger.settimeout(0)
        with pytest.raises(BlockingIOError):
            stranger.accept()
    assert done.code == 3
    assert (
        f"lineal/sealed/000.yaml: would have the Vault token of this job sent to `{address}`, but VAULT_ADDR of this "
        "job is `https://vault.example.com`. Set VAULT_ADDR to it if that is the Vault of this job"
    ) in " ".join(done.stderr.split())


def seal_for(project: Project, vault: str) -> None:
    """Commits that a Vault has a key of the encrypted file too."""
    sealed = yaml.safe_load((project.repo.path / "secret.enc.yaml").read_text())
    sealed["sops"]["hc_vault"] = [
        {"vault_address": vault, "engine_path": "transit", "key_name": "k", "enc": "vault:v1:x",
         "created_at": "2024-01-01T00:00:00Z"}
    ]  # fmt: skip
    project.repo.write({"secret.enc.yaml": yaml.safe_dump(sealed)})


def test_a_fork_does_not_say_where_a_token_goes(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        address = f"http://127.0.0.1:{stranger.getsockname()[1]}"
        seal_for(project, address)
        env = {"VAULT_TOKEN": "a token", "VAULT_ADDR": "https://vault.example.com"}
        refused = project.lineal("render", "--repo", project.store, env=FORK | env)
        stranger.settimeout(0)
        with pytest.raises(BlockingIOError):
            stranger.accept()
    assert (refused.code, refused.stdout) == (3, "")
    assert f"secret.enc.yaml: would have the Vault token of this job sent to `{address}`, but" in refused.stderr


def test_a_fork_s_values_are_rendered_in_any_order(project: Project) -> None:
    project.repo.write(
        {"lineal.yaml": CONFIG.replace("[plain.yaml, secret.enc.yaml]", "[secret.enc.yaml, plain.yaml]")}
    )
    done = project.lineal("render", "--repo", project.store, env=FORK)
    assert done.code == 0, done.stderr
    assert yaml.safe_load(done.stdout)["data"] == {"password": "none", "count": "1"}


def test_in_a_bundle_encrypted_values_come_last(project: Project) -> None:
    project.repo.write(
        {"lineal.yaml": CONFIG.replace("[plain.yaml, secret.enc.yaml]", "[secret.enc.yaml, plain.yaml]")}
    )
    failed = project.run("bundle", "publish", code=3)
    assert "plain.yaml: comes after the encrypted secret.enc.yaml" in failed.error
    assert rendered(project) == {"password": "none", "count": "1"}


def test_the_stand_in_takes_what_the_real_one_takes() -> None:
    command = [str(programs.real().folder / "sops"), "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=300).stdout
    assert all(flag in shown for flag in ("--decrypt", "--input-type", "--output-type"))
