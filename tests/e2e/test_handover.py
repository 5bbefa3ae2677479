"""`render --to-git`: manifests and values as commits of another repository, on a real git server."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests import servers
from tests.cluster.parts import kubectl
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project
from tests.tools import helm as binaries
from tests.unit.git import forge

pytestmark = pytest.mark.helm
TOKEN = "glpat-0123456789abcdef"
GITLAB = {
    "GITLAB_CI": "true", "CI_JOB_URL": "https://gitlab.example.com/acme/shop/-/jobs/7",
    "CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main", "CI_DEFAULT_BRANCH": "main",
}  # fmt: skip
_DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: shop, image: "{{ .Values.image }}"}]}
"""
_REST = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {short: "12e4567"}}
data: {greeting: "hello\\nworld\\n", mode: "0800"}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "shop:reader"}
rules: []
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: elsewhere}
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {helm.sh/hook: pre-upgrade}}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: m, image: "{{ .Values.image }}"}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: try, annotations: {helm.sh/hook: test}}
spec: {containers: [{name: t, image: "{{ .Values.image }}"}]}
"""


BOTH = pytest.mark.parametrize("shop", ["helm3", "helm4"], indirect=True)


@pytest.fixture
def shop(request: pytest.FixtureRequest, repo: servers.Repository, lineal: Lineal, tmp_path: Path) -> Project:
    binaries.fetch(binaries.directory())
    project = Project(repo, lineal, f"layout:{tmp_path / 'store'}", tmp_path)
    repo.write({
        "Dockerfile": "FROM scratch\nCOPY file /\n", "file": "one\n",
        "lineal.yaml": "project: shop\nimages: {app: {}}\n"
                       "deploy: {chart: chart, namespace: shop, values: [values.yaml.j2]}\n",
        "values.yaml.j2": "image: {{ images.app.image }}\nenvironment: {{ env }}\n",
        "chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 0.1.0\n",
        "chart/templates/app.yaml": _DEPLOYMENT, "chart/templates/rest.yaml": _REST,
    })  # fmt: skip
    lineal.env.update({**NOWHERE, "LINEAL_HELM": str(binaries.directory() / getattr(request, "param", "helm4"))})
    project.build()
    return project


@pytest.fixture
def server(tmp_path: Path) -> Iterator[forge.Forge]:
    work = servers.Repository.create(tmp_path / "work")
    work.write({"envs/prod/README": "of people\n"})
    work.git("clone", "--quiet", "--bare", str(work.path), str(tmp_path / "served" / "envs.git"))
    servers.Repository(tmp_path / "served" / "envs.git").git("config", "http.receivepack", "true")
    with forge.serve(tmp_path / "served", ("x-access-token", TOKEN)) as found:
        yield found


class Envs:
    """The repository on the server, as whoever deploys from it sees it."""

    def __init__(self, server: forge.Forge) -> None:
        self.url, self._bare = f"{server.url}/envs.git", servers.Repository(server.root / "envs.git")
        self.environ = {"LINEAL_GIT_TOKEN": TOKEN}

    def git(self, *args: str) -> str:
        return self._bare.git(*args)

    def files(self, branch: str = "main") -> list[str]:
        return self.git("ls-tree", "-r", "--name-only", branch).splitlines()

    def count(self) -> int:
        return int(self.git("rev-list", "--count", "main"))


@pytest.fixture
def envs(server: forge.Forge) -> Envs:
    return Envs(server)


def to(envs: Envs, *more: str) -> list[str]:
    return ["render", "--env", "prod", "--to-git", envs.url, "--branch", "main", *more]


@BOTH
def test_manifests_are_committed_one_file_for_each_object(shop: Project, envs: Envs) -> None:
    command = to(envs, "--path", "envs/prod", "--no-hooks", "--with-namespace", "--kustomization")
    outputs = shop.scratch / "outputs"
    ran = shop.run(*command, env={**envs.environ, **GITLAB, "GITHUB_OUTPUT": str(outputs)})
    assert f"\n{ran.stdout.strip()}\n" in outputs.read_text().partition("commit<<")[2]
    assert ran.stdout.strip() == envs.git("rev-parse", "main") == ran.report["handover"]["commit"]
    assert ran.report["handover"]["outcome"] == "committed"
    assert TOKEN not in ran.stdout + ran.stderr + str(ran.report)
    names = ["clusterrole-shop-reader-f1a0d5f5.yaml", "configmap-settings.yaml", "configmap-settings_elsewhere.yaml",
             "deployment-shop.yaml", "kustomization.yaml", "namespace-shop.yaml"]  # fmt: skip
    found = [name.removeprefix("envs/prod/") for name in envs.files()]
    names[0] = next(name for name in found if name.startswith("clusterrole-shop-reader-"))
    assert found == [".lineal-render", "README", *names]
    digest = ran.digests["app"]
    message = envs.git("log", "-1", "--format=%B", "main")
    assert message.startswith(f"shop prod: {shop.repo.head()[:12]}\n\nCommit: {shop.repo.head()}")
    assert "Pipeline: https://gitlab.example.com/acme/shop/-/jobs/7\nImage: app " in message
    assert message.endswith(str(digest))
    deployment = yaml.safe_load(envs.git("show", "main:envs/prod/deployment-shop.yaml"))
    assert deployment["metadata"] == {"name": "shop", "namespace": "shop"}
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"].endswith(f"@{digest}")
    settings = envs.git("show", "main:envs/prod/configmap-settings.yaml")
    assert "greeting: |\n    hello\n    world\n  mode: '0800'" in settings and "short: '12e4567'" in settings
    role = yaml.safe_load(envs.git("show", f"main:envs/prod/{names[0]}"))
    assert role["metadata"] == {"name": "shop:reader"}

    again = shop.run(*command, env=envs.environ)
    assert again.report["handover"]["outcome"] == "unchanged"
    assert "so nothing is committed" in again.stderr
    assert again.stdout == ran.stdout and envs.count() == 2

    # One object goes, one changes; what people wrote stays.
    rest = _REST.split("---\n", 1)[1].replace("rules: []", "rules: [{verbs: [get]}]")
    shop.repo.write({"chart/templates/rest.yaml": rest})
    changed = shop.run(*command, env=envs.environ)
    assert envs.git("diff", "--name-status", "main^", "main").splitlines() == [
        "M\tenvs/prod/.lineal-render", f"M\tenvs/prod/{names[0]}", "D\tenvs/prod/configmap-settings.yaml",
        "M\tenvs/prod/kustomization.yaml",
    ]  # fmt: skip
    assert changed.report["handover"]["changed"] == [
        f"envs/prod/{name}" for name in (".lineal-render", names[0], "configmap-settings.yaml", "kustomization.yaml")
    ]
    assert envs.git("show", "main:envs/prod/README") == "of people"


@pytest.mark.skipif(kubectl() is None, reason="there is no kubectl")
def test_the_files_are_what_kustomize_reads(shop: Project, envs: Envs, tmp_path: Path) -> None:
    shop.run(*to(envs, "--no-hooks", "--with-namespace", "--kustomization"), env=envs.environ)
    envs.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "out"), "main")
    built = subprocess.run(
        [str(kubectl()), "kustomize", str(tmp_path / "out")], capture_output=True, text=True, check=True
    )
    kinds = sorted(one["kind"] for one in yaml.safe_load_all(built.stdout))
    assert kinds == ["ClusterRole", "ConfigMap", "ConfigMap", "Deployment", "Namespace"]
    mode = next(one for one in yaml.safe_load_all(built.stdout) if one["metadata"].get("namespace") == "shop")
    assert mode["data"]["mode"] == "0800"


def test_values_alone(shop: Project, envs: Envs) -> None:
    command = to(envs, "--path", "envs/prod/values.yaml", "--values-only", "--set", "replicas=3")
    ran = shop.run(*command, env=envs.environ)
    text = envs.git("show", "main:envs/prod/values.yaml")
    values = yaml.safe_load(text)
    assert values["environment"] == "prod" and values["replicas"] == 3
    assert values["image"] == f"{shop.store[7:]}@{ran.digests['app']}" or values["image"].endswith(ran.digests["app"])
    assert values["global"]["lineal"]["images"]["app"]["digest"] == ran.digests["app"]
    assert set(values["global"]["lineal"]) == {"images"}
    shop.repo.write({"elsewhere": "nothing that is deployed\n"})
    again = shop.run(*command, env=envs.environ)
    assert again.report["handover"]["outcome"] == "unchanged"
    theirs = shop.run(*to(envs, "--path", "envs/prod/README.yaml", "--values-only"), env=envs.environ)
    assert theirs.report["handover"]["changed"] == ["envs/prod/README.yaml"]


def test_files_of_others_are_not_overwritten(shop: Project, envs: Envs, tmp_path: Path) -> None:
    clone = servers.Repository.create(tmp_path / "clone")
    clone.git("fetch", "--quiet", str(tmp_path / "served" / "envs.git"), "main")
    clone.git("reset", "--quiet", "--hard", "FETCH_HEAD")
    clone.write({"deployment-shop.yaml": "theirs: true\n", "values.yaml": "theirs: true\n"})
    clone.git("push", "--quiet", str(tmp_path / "served" / "envs.git"), "main")
    refused = shop.run(*to(envs), env=envs.environ, code=3)
    assert "`deployment-shop.yaml` of the branch was not written by `lineal render`." in refused.error
    refused = shop.run(*to(envs, "--path", "values.yaml", "--values-only"), env=envs.environ, code=3)
    assert "`values.yaml` of the branch was not written by" in refused.error
    refused = shop.run(*to(envs, "--path", "envs/prod/README/x"), env=envs.environ, code=3)
    assert "`envs/prod/README` of the branch is in the way" in refused.error
    assert envs.count() == 2


@pytest.mark.parametrize("several", [5, pytest.param(10, marks=pytest.mark.long)])
def test_several_pipelines_at_once_and_the_latest_commit_stays(shop: Project, envs: Envs, several: int) -> None:
    """Runs of commits in a row, in any order: what the last one wants is there in the end, and no commit of anybody
    is lost."""
    clones = []
    for number in range(several):
        shop.repo.write({"values.yaml.j2": f"image: {{{{ images.app.image }}}}\nnumber: {number}\n",
                         "chart/templates/number.yaml": "kind: ConfigMap\napiVersion: v1\nmetadata: {name: number}\n"
                                                        'data: {number: "{{ .Values.number }}"}\n'})  # fmt: skip
        clones.append(shop.clone(f"clone-{number}"))

    def run(number: int) -> str:
        same = clones[number].run(*to(envs, "--path", "same"), env=envs.environ)
        clones[number].run(*to(envs, "--path", f"own/{number}"), env=envs.environ)
        return str(same.report["handover"]["outcome"])

    with ThreadPoolExecutor(several) as pool:
        outcomes = list(pool.map(run, range(several)))
    assert set(outcomes) <= {"committed", "left"} and outcomes[-1] == "committed"
    assert yaml.safe_load(envs.git("show", "main:same/configmap-number.yaml"))["data"]["number"] == str(several - 1)
    for number in range(several):
        data = yaml.safe_load(envs.git("show", f"main:own/{number}/configmap-number.yaml"))["data"]
        assert data == {"number": str(number)}
    assert envs.count() == 1 + several + outcomes.count("committed")
    assert envs.git("rev-list", "--merges", "main") == ""
    late = clones[3].run(*to(envs, "--path", "same"), env=envs.environ)
    assert late.report["handover"]["outcome"] == "left"
    assert "is of commit" in late.stderr and "which comes after this one" in late.stderr


def test_what_makes_no_sense_is_refused(shop: Project, envs: Envs) -> None:
    def said(*options: str, env: dict[str, str] | None = None, code: int = 3) -> str:
        return shop.run("render", "--env", "prod", *options, env=env, code=code).error

    assert said("--branch", "main") == "--branch is for --to-git. Give both, or neither."
    assert said("--to-git", envs.url).startswith("--to-git needs a branch.")
    assert said(*to(envs, "--output", "x")[3:]).startswith("--to-git and --output are two places.")
    assert said(*to(envs, "--values-only")[3:]).startswith("--values-only writes a file.")
    assert said("--kustomization").startswith("--kustomization lists files.")
    assert "--dev is about the working tree" in said(*to(envs, "--dev")[3:])
    fork = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_REF": "refs/heads/main",
            "GITHUB_REPOSITORY": "acme/shop", **envs.environ}  # fmt: skip
    assert "so it commits nothing to another repository" in said(*to(envs)[3:], env=fork, code=1)
    assert envs.count() == 1


def test_values_that_are_new_each_time_are_named(shop: Project) -> None:
    secret = 'apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: "{{ randAlphaNum 12 }}"}\n'
    quiet = shop.run("render", "--env", "prod")
    assert "in every render" not in quiet.stderr
    shop.repo.write({"chart/templates/secret.yaml": secret})
    ran = shop.run("render", "--env", "prod")
    assert "Secret db has other values in every render: stringData.password." in ran.stderr


@BOTH
def test_options_for_manifests_hold_for_a_directory_and_for_stdout(shop: Project, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["render", "--env", "prod", "--no-hooks", "--with-namespace"]
    shop.run(*options, "--kustomization", "--output", str(out))
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.yaml"))
    assert found == ["kustomization.yaml", "namespace.yaml", "shop/templates/app.yaml", "shop/templates/rest.yaml"]
    listed = yaml.safe_load((out / "kustomization.yaml").read_text())["resources"]
    assert listed == ["namespace.yaml", "shop/templates/app.yaml", "shop/templates/rest.yaml"]
    written = [one for name in listed for one in yaml.safe_load_all((out / name).read_text())]
    printed = list(yaml.safe_load_all(shop.run(*options).stdout))
    place = lambda one: (one["kind"], one["metadata"]["name"], one["metadata"].get("namespace"))  # noqa: E731
    assert sorted(map(place, written), key=str) == sorted(map(place, printed), key=str) == [
        ("ClusterRole", "shop:reader", None), ("ConfigMap", "settings", "elsewhere"),
        ("ConfigMap", "settings", "shop"), ("Deployment", "shop", "shop"), ("Namespace", "shop", None),
    ]  # fmt: skip
    with_hooks = shop.run("render", "--env", "prod").stdout
    assert "kind: Job" in with_hooks and "kind: Pod" in with_hooks


def test_values_for_a_chart_from_a_registry(shop: Project, envs: Envs, registry: str) -> None:
    helm = shop.lineal.env["LINEAL_HELM"]
    packed = shop.scratch / "packed"
    push = ["push", str(packed / "shop-0.1.0.tgz"), f"oci://{registry}/charts", "--plain-http"]
    for command in (["package", "chart", "--destination", str(packed)], push):
        subprocess.run(
            [helm, *command], cwd=shop.repo.path, env=shop.lineal.environment(), check=True, capture_output=True
        )
    config = (shop.repo.path / "lineal.yaml").read_text()
    shop.repo.write({"lineal.yaml": config.replace("chart: chart", f'chart: "oci://{registry}/charts/shop:0.1.0"')})
    command = to(envs, "--path", "values.yaml", "--values-only", "--insecure-registry", registry)
    ran = shop.run(*command, env=envs.environ)
    values = yaml.safe_load(envs.git("show", "main:values.yaml"))
    assert values["image"].endswith(f"@{ran.digests['app']}")
