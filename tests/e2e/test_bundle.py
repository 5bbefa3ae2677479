"""`lineal bundle`: published, installed by Lineal and by plain Helm, moved.

A real registry, both Helms, an API server in memory. What is in the registry is read without Lineal's own code."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml

from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project, Published
from tests.forks import Result
from tests.helms import HELM4_SOONER
from tests.tools import helm as binaries
from tests.tools.kube import Cluster

pytestmark = [pytest.mark.registry, pytest.mark.helm]

CONFIG = """
project: shop
images: {api: {}, web: {}}
deploy:
  chart: deploy/chart
  release: "shop-{{ env }}"
  namespace: "shop-{{ env }}"
  values: [deploy/values.yaml, deploy/images.yaml.j2]
"""
SETTINGS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}"}
data:
  api: {{ .Values.api.image | quote }}
  web: {{ .Values.global.lineal.images.web.image | quote }}
  env: {{ .Values.global.lineal.env | quote }}
  commit: {{ .Values.global.lineal.commit | quote }}
  greeting: {{ .Values.greeting | quote }}
  registry: {{ .Values.split.registry | quote }}
  part: {{ include "part" . | quote }}
"""
FILES: dict[str, str | bytes | None] = {
    "lineal.yaml": CONFIG,
    "Dockerfile": "FROM scratch\nCOPY app /\n",
    "app": "1",
    "deploy/chart/Chart.yaml": "# The shop\napiVersion: v2\nname: shop\nversion: 0.1.0\nappVersion: '1.10'\n"
    "dependencies: [{name: part, version: 0.1.0, repository: 'file://part'}]\n",
    "deploy/chart/values.yaml": "greeting: from the chart\ngone: 1\napi: {image: ''}\n",
    "deploy/chart/.helmignore": "*.secret\npart/\n",
    "deploy/chart/note.secret": "not for others",
    "deploy/chart/templates/settings.yaml": SETTINGS,
    "deploy/chart/part/Chart.yaml": "apiVersion: v2\nname: part\nversion: 0.1.0\n",
    "deploy/chart/part/templates/_part.tpl": '{{ define "part" }}{{ .Values.global.lineal.project }}{{ end }}',
    "deploy/values.yaml": "greeting: hello\ngone: null\n",
    "deploy/images.yaml.j2": "api: {image: '{{ images.api.image }}'}\n"
    "split: {registry: '{{ images.api.repository.split('/', 1)[0] }}', "
    "repository: '{{ images.api.repository.split('/', 1)[1] }}'}\n",
}


@pytest.fixture(params=HELM4_SOONER)
def helm(request: pytest.FixtureRequest) -> Path:
    binaries.fetch(binaries.directory())
    return binaries.directory() / str(request.param)


@pytest.fixture
def project(
    repo: servers.Repository, lineal: Lineal, repository: str, helm: Path, tmp_path: Path
) -> Project:  # fmt: skip
    """The shop, committed and built. No engine is needed for it."""
    lineal.env.update(NOWHERE | {"LINEAL_HELM": str(helm)})
    repo.write(FILES)
    made = Project(repo, lineal, repository, tmp_path)
    made.build()
    return made


@pytest.fixture
def cluster(lineal: Lineal, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster()
    (tmp_path / "kubeconfig").write_text(made.kubeconfig())
    lineal.env["KUBECONFIG"] = str(tmp_path / "kubeconfig")
    yield made
    made.close()


def away(project: Project) -> Path:
    """A directory in which there is no repository."""
    folder = project.scratch / "away"
    folder.mkdir(exist_ok=True)
    return folder


def applied(project: Project, *args: str, code: int = 0) -> Result:
    done = project.lineal("bundle", "apply", *args, cwd=away(project))
    assert done.code == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def files(bundles: Published, tag: str) -> dict[str, bytes]:
    """The chart's files, as plain tar reads them."""
    manifest = bundles.json(bundles.tags()[tag])
    with tarfile.open(fileobj=io.BytesIO(bundles.blob(manifest["layers"][0]["digest"]))) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]


def settings(cluster: Cluster, name: str, namespace: str) -> dict[str, str]:
    """The data of the release's config map."""
    data: dict[str, str] = cluster.objects["configmaps", namespace, name]["data"]
    return data


# --- publish --------------------------------------------------------------------------------------------------------


def test_a_range_follows_the_default_branch(project: Project) -> None:
    """By the library that Helm, Flux and Argo CD share for versions."""
    helm = project.lineal.env["LINEAL_HELM"]

    def publish() -> str:
        project.build()
        return project.run("bundle", "publish").stdout.rpartition("@")[0].rpartition(":")[2]

    def newest(range: str) -> str:
        command = [helm, "show", "chart", f"oci://{project.store}/shop", "--version", range, "--plain-http"]
        done = subprocess.run(command, capture_output=True, text=True, env=project.lineal.environment())
        assert done.returncode == 0, done.stderr
        return str(yaml.safe_load(done.stdout)["version"])

    for number in range(9):
        project.repo.commit(f"Nothing {number}")
    versions = [publish()]
    for number in range(3):
        project.repo.commit(f"More {number}")
        versions.append(publish())
        assert newest(">=0.1.0-0") == versions[-1]
    project.repo.branch("Feature/Login")
    for number in range(5):
        project.repo.commit(f"Login {number}")
    branch = publish()
    assert branch.startswith("0.1.0-0.feature-login.")
    assert newest(">=0.1.0-0") == versions[-1]
    assert newest(">=0.1.0-0.feature-login.0 <0.1.0-1") == branch
    assert len(set(versions)) == 4


def test_a_bundle_is_a_chart_with_the_digests_of_this_commit(project: Project) -> None:
    commit = project.repo.head()
    images = {image["name"]: image for image in project.plan().report["images"]}
    printed = project.run("bundle", "publish").stdout
    version = f"0.1.0-{project.repo.git('rev-list', '--count', 'HEAD')}.g{commit[:12]}"
    bundles = Published(f"{project.store}/shop")
    digest = bundles.tags()[version]
    assert printed == f"oci://{project.store}/shop:{version}@{digest}\n"
    assert bundles.tags() == {version: digest, commit: digest}
    manifest = bundles.json(digest)
    assert manifest["config"]["mediaType"] == "application/vnd.cncf.helm.config.v1+json"
    assert [layer["mediaType"] for layer in manifest["layers"]] == [
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
    ]
    about = manifest["annotations"]
    assert about["org.opencontainers.image.version"] == version
    assert about["org.opencontainers.image.revision"] == commit
    assert about["dev.lineal.image.api"] == images["api"]["ref"]
    found = files(bundles, version)
    values = json.loads(found["shop/values.yaml"])
    assert values["api"]["image"] == images["api"]["image"] and values["greeting"] == "hello"
    assert "gone" not in values
    assert values["global"]["lineal"]["images"]["web"]["digest"] == images["web"]["digest"]
    assert yaml.safe_load(found["shop/Chart.yaml"])["version"] == version
    assert json.loads(bundles.blob(manifest["config"]["digest"]))["appVersion"] == "1.10"
    assert "shop/note.secret" not in found and "shop/charts/part/Chart.yaml" in found


def test_plain_helm_installs_it(project: Project, cluster: Cluster, helm: Path) -> None:
    reference = project.run("bundle", "publish", "--version", "1.2.3+linux").stdout.partition("@")[0]
    command = [str(helm), "install", "mine", "--version", "1.2.3+linux", reference.rpartition(":")[0], "--plain-http"]
    done = subprocess.run(command, env=project.lineal.environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = settings(cluster, "mine", "default")
    assert found["commit"] == project.repo.head() and found["part"] == "shop" and found["greeting"] == "hello"
    assert found["api"] == found["web"] == project.plan().report["images"][0]["image"]


def test_the_same_commit_is_the_same_bundle_on_another_machine_with_another_helm(project: Project) -> None:
    first = project.run("bundle", "publish", "--version", "1.0.0", "--to", f"{project.store}/one").stdout
    other = project.clone("other")
    other.repo.git("checkout", "-b", "elsewhere")
    for name in ("helm3", "helm4"):
        other.lineal.env["LINEAL_HELM"] = str(binaries.directory() / name)
        again = other.run("bundle", "publish", "--version", "1.0.0", "--to", f"{project.store}/{name}").stdout
        assert again.rpartition("@")[2] == first.rpartition("@")[2]
        assert set(Published(f"{project.store}/{name}").tags()) == set(Published(f"{project.store}/one").tags())


def test_a_published_version_never_changes(project: Project) -> None:
    published = project.run("bundle", "publish", "--version", "1.0.0").stdout
    again = project.run("bundle", "publish", "--version", "1.0.0")
    assert again.stdout == published and "The bundle 1.0.0 is published already." in again.stderr
    before = Published(f"{project.store}/shop").tags()
    later = project.run("bundle", "publish", "--version", "1.0.1")
    assert f"The tag {project.repo.head()} stays" in later.stderr
    project.repo.write({"deploy/values.yaml": "greeting: good day\n"})
    project.build()
    refused = project.run("bundle", "publish", "--version", "1.0.0", code=1)
    assert "a published version never changes. Give another one with `--version`." in refused.error
    assert before.items() <= Published(f"{project.store}/shop").tags().items()


def test_the_version_is_that_of_the_tag(project: Project) -> None:
    project.repo.git("tag", "v2.1.0")
    env = {"GITLAB_CI": "true", "CI_COMMIT_SHA": project.repo.head(), "CI_COMMIT_TAG": "v2.1.0"}
    assert f"{project.store}/shop:2.1.0@" in project.run("bundle", "publish", env=env).stdout


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("--version", "1.2"), 3, "`1.2` is not a version that Helm takes."),
        (("--version", "latest"), 3, "`latest` is not a version"),
        (("--dev",), 3, "A bundle is of a commit"),
        (("--to", "registry.example.com/a:1"), 3, "has a tag, a digest or a user name too many"),
    ],
)
def test_what_cannot_be_published_is_refused_at_once(
    project: Project, args: tuple[str, ...], code: int, says: str
) -> None:
    assert says in project.run("bundle", "publish", *args, code=code).error


def test_images_that_are_missing_are_named(project: Project) -> None:
    project.repo.write({"app": "2"})
    assert "Images are missing for this commit: api, web" in project.run("bundle", "publish", code=1).error
    assert Published(f"{project.store}/shop").tags() == {}


def test_a_directory_as_a_store_is_no_place_for_clusters(project: Project) -> None:
    failed = project.run("bundle", "publish", store=f"layout:{project.scratch}/store", code=3)
    assert "where no cluster finds them" in failed.error


# --- apply ----------------------------------------------------------------------------------------------------------


def test_a_bundle_is_installed_without_a_repository(project: Project, cluster: Cluster) -> None:
    reference = project.run("bundle", "publish", "--version", "1.0.0").stdout.strip()
    folder = away(project)
    (folder / "more.yaml.j2").write_text("greeting: '{{ images.api.digest }} {{ vars.who }} {{ env }}'\n")
    done = applied(
        project, reference, "--env", "prod", "--values", "more.yaml.j2", "--var", "who=you", "--set", "x=1"
    )
    assert cluster.releases() == {"shop-prod.v1": "deployed"}
    found = settings(cluster, "shop-prod", "shop-prod")
    assert found["env"] == "prod" and found["commit"] == project.repo.head()
    assert found["greeting"] == f"{found['api'].partition('@')[2]} you prod"
    assert "Deploying release shop-prod in namespace shop-prod" in done.stderr and done.stdout == ""
    applied(project, reference.partition("@")[0].removeprefix("oci://"), "--release", "x", "--namespace", "y")
    assert settings(cluster, "x", "y")["greeting"] == "hello"


@pytest.mark.parametrize(
    ("reference", "code", "says"),
    [
        ("STORE/shop", 3, "has no version, so every run might install another one"),
        ("oci://STORE/shop:9.9.9", 1, "There is no bundle `oci://STORE/shop:9.9.9`."),
        ("STORE:TAG", 1, "is no Helm chart"),
        ("bundle:1.0.0", 3, "is not a bundle in a registry"),
        ("https://STORE/shop:1.0.0", 3, "is not a bundle in a registry"),
    ],
)
def test_what_is_no_bundle_is_named(
    project: Project, cluster: Cluster, reference: str, code: int, says: str
) -> None:  # fmt: skip
    tag = next(iter(project.contents.tags()))
    written = reference.replace("STORE", project.store).replace("TAG", tag)
    assert says.replace("STORE", project.store) in applied(project, written, code=code).stderr
    assert cluster.releases() == {}


def test_a_chart_that_is_no_bundle_is_not_installed(project: Project, cluster: Cluster, helm: Path) -> None:
    chart = project.repo.path / "deploy/chart/part"
    env = project.lineal.environment()
    subprocess.run([str(helm), "package", str(chart), "-d", str(project.scratch)], env=env, check=True)
    push = [str(helm), "push", str(project.scratch / "part-0.1.0.tgz"), f"oci://{project.store}", "--plain-http"]
    subprocess.run(push, env=env, check=True, capture_output=True)
    assert "is no bundle" in applied(project, f"{project.store}/part:0.1.0", code=1).stderr
    assert cluster.releases() == {}


# --- copy -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """Another registry, in which there is nothing."""
    with servers.docker_registry(tmp_path / "elsewhere") as address:
        yield address


def test_a_bundle_is_copied_with_its_images_to_another_registry(
    project: Project, cluster: Cluster, elsewhere: str
) -> None:
    reference = project.run("bundle", "publish", "--version", "1.0.0").stdout.strip()
    images = project.plan().report["images"]
    done = project.lineal("bundle", "copy", reference, f"{elsewhere}/customer/shop", cwd=away(project))
    assert done.code == 0, done.stderr
    new, old = Published(f"{elsewhere}/customer/shop"), project.contents
    for image in images:
        assert new.tags()[image["tag"]] == image["digest"]
    moved = dict(new.everything())
    assert moved.items() <= dict(old.everything()).items() and len(moved) > 4
    bundles = Published(f"{elsewhere}/customer/shop/shop")
    assert done.stdout == f"oci://{elsewhere}/customer/shop/shop:1.0.0@{bundles.tags()['1.0.0']}\n"
    text = b"".join(files(bundles, "1.0.0").values()).decode()
    assert project.store.partition("/")[0] not in text and "still names" not in done.stderr
    applied(project, done.stdout.strip(), "--release", "mine", "--namespace", "mine")
    found = settings(cluster, "mine", "mine")
    assert found["api"] == f"{elsewhere}/customer/shop@{images[0]['digest']}" and found["registry"] == elsewhere
    again = project.lineal("bundle", "copy", reference, f"{elsewhere}/customer/shop", cwd=away(project))
    assert (again.code, again.stdout) == (0, done.stdout)


def test_copying_within_a_registry_mounts_what_is_there(project: Project) -> None:
    reference = project.run("bundle", "publish", "--version", "1.0.0").stdout.strip()
    done = project.lineal("bundle", "copy", reference, f"{project.store}-customer", cwd=away(project))
    assert done.code == 0, done.stderr
    assert "0 streamed" in done.stderr
    assert json.loads(files(Published(f"{project.store}-customer/shop"), "1.0.0")["shop/values.yaml"])["api"] == {
        "image": f"{project.store}-customer@{project.plan().report['images'][0]['digest']}"
    }


def test_a_place_that_cannot_be_changed_is_named(project: Project, elsewhere: str) -> None:
    project.repo.write({"deploy/chart/templates/fixed.yaml": f"# from {project.store}:latest\n"})
    reference = project.run("bundle", "publish", "--version", "1.0.0").stdout.strip()
    done = project.lineal("bundle", "copy", reference, f"{elsewhere}/customer", cwd=away(project))
    assert done.code == 0 and "still names the old place in templates/fixed.yaml." in done.stderr


def test_an_image_that_is_gone_stops_the_copy(project: Project, elsewhere: str) -> None:
    reference = project.run("bundle", "publish", "--version", "1.0.0").stdout.strip()
    digest = project.plan().report["images"][0]["digest"]
    host, _, path = project.store.partition("/")
    assert requests.delete(f"http://{host}/v2/{path}/manifests/{digest}", timeout=300).status_code == 202
    done = project.lineal("bundle", "copy", reference, f"{elsewhere}/customer", cwd=away(project))
    assert done.code == 1 and "is not whole" in done.stderr
    assert Published(f"{elsewhere}/customer/shop").tags() == {}


@pytest.mark.parametrize("target", ["layout:/tmp/x", "registry.example.com", "registry.example.com/a:1"])
def test_a_target_that_is_no_repository_is_refused(project: Project, target: str) -> None:
    done = project.lineal("bundle", "copy", f"{project.store}/shop:1.0.0", target, cwd=away(project))
    assert done.code == 3 and "Traceback" not in done.stderr
