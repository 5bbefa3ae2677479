"""The pipelines of docs/gitlab.md are run whole, each as a project's `.gitlab-ci.yml`."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests import servers
from tests.conftest import Lineal
from tests.gitlab import tls
from tests.gitlab.conftest import EXAMPLES, ROOT, VERSION
from tests.gitlab.runner import SERVER, Project
from tests.onefile.conftest import TARGET, build, wheels_of
from tests.tools import kube

pytestmark = [pytest.mark.engine, pytest.mark.registry, pytest.mark.helm]

MERGE_REQUEST = {
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_MERGE_REQUEST_IID": "7",
    "CI_MERGE_REQUEST_EVENT_TYPE": "detached",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "tea",
    "CI_MERGE_REQUEST_PROJECT_PATH": "team/shop",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "team/shop",
}
NOT_A_BRANCH = ("CI_COMMIT_BRANCH",)


def use(project: Project, name: str) -> None:
    project.repo.write({".gitlab-ci.yml": (EXAMPLES / name).read_text()}, "Build in a pipeline")


def deployed(cluster: kube.Cluster) -> str:
    """The image that the release has."""
    (found,) = [thing for (kind, _, name), thing in cluster.objects.items() if (kind, name) == ("configmaps", "shop")]
    image = found["data"]["image"]
    assert isinstance(image, str)
    return image


def test_a_push_is_built_and_deployed_and_the_next_one_builds_nothing(
    shop: Project, cluster: kube.Cluster, door: tuple[tls.Door, Path]
) -> None:
    use(shop, "gitlab.yml")
    visitors = door[0].visitors
    first = shop.pipeline()
    assert first.code == 0, first.text
    assert first.passed == {"lineal-build", "lineal-converge"}
    assert {"built", "assembled"} <= first.outcomes("lineal-build")
    assert first.outcomes("lineal-converge") == {"cached"}
    assert door[0].visitors > visitors, "a RUN came through TLS"
    assert re.search(r"^create .*--network-alias docker docker:28-dind *$", first.services, re.MULTILINE)
    assert cluster.releases() == {"shop-production.v1": "deployed"}
    assert re.fullmatch(re.escape(shop.variables["CI_REGISTRY_IMAGE"]) + r"@sha256:\w{64}", deployed(cluster))
    assert f"shop {shop.variables['CI_REGISTRY_IMAGE']}:" in first.said("lineal-build")
    assert servers.PASSWORD not in first.text
    shop.repo.commit("Nothing in particular")
    shop.variables["DOCKER_HOST"] = "tcp://127.0.0.1:1"
    second = shop.pipeline()
    assert second.code == 0, second.text
    assert second.outcomes("lineal-build") == {"cached"}


@pytest.mark.long
def test_without_docker_a_push_is_built_in_the_buildkitd_beside_the_job(
    shop: Project, buildkitd: str, auth_registry: str
) -> None:
    use(shop, "gitlab-buildkit.yml")
    shop.variables |= {"DOCKER_HOST": "tcp://127.0.0.1:1", "LINEAL_ENGINE": f"buildkit:{buildkitd}"}
    done = shop.pipeline()
    assert done.code == 0, done.text
    assert done.passed == {"lineal-build"}
    assert {"built", "assembled"} <= done.outcomes("lineal-build")
    service = r"--network-alias buildkit .*moby/buildkit:rootless --oci-worker-no-process-sandbox --addr tcp://"
    assert re.search(rf"^create .*{service}0\.0\.0\.0:1234 *$", done.services, re.M)
    assert "does not reach" not in done.said("lineal-build"), "with the job's own login it pushes the layers"
    assert servers.PASSWORD not in done.text


@pytest.mark.long
def test_a_merge_request_is_built_and_not_deployed(shop: Project, cluster: kube.Cluster) -> None:
    use(shop, "gitlab.yml")
    shop.repo.branch("tea")
    done = shop.pipeline(variables=MERGE_REQUEST, without=NOT_A_BRANCH)
    assert done.code == 0, done.text
    assert done.passed == {"lineal-build"}
    assert cluster.releases() == {}


def test_a_merge_request_of_a_fork_publishes_nothing(shop: Project) -> None:
    use(shop, "gitlab.yml")
    fork = MERGE_REQUEST | {"CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "somebody/shop"}
    done = shop.pipeline(variables=fork, without=NOT_A_BRANCH)
    assert done.code == 0, done.text
    assert "publishes nothing" in done.said("lineal-build")
    assert {"built", "assembled"} <= done.outcomes("lineal-build")
    address = shop.variables["CI_REGISTRY_IMAGE"].replace("/", "/v2/", 1)
    answer = requests.get(f"http://{address}/tags/list", auth=(servers.USER, servers.PASSWORD), timeout=300)
    assert answer.status_code == 404, "the registry knows no such repository"


@pytest.mark.parametrize(
    ("variables", "without", "jobs"),
    [
        ({"CI_COMMIT_BRANCH": "main"}, (), {"lineal-build", "lineal-converge"}),
        ({"CI_COMMIT_BRANCH": "tea"}, (), {"lineal-build"}),
        ({"CI_COMMIT_BRANCH": "tea", "CI_OPEN_MERGE_REQUESTS": "team/shop!7"}, (), set()),
        (MERGE_REQUEST, NOT_A_BRANCH, {"lineal-build"}),
        (MERGE_REQUEST | {"CI_MERGE_REQUEST_EVENT_TYPE": "merged_result"}, NOT_A_BRANCH, {"lineal-build"}),
        (MERGE_REQUEST | {"CI_MERGE_REQUEST_EVENT_TYPE": "merge_train"}, NOT_A_BRANCH, {"lineal-build"}),
        ({"CI_COMMIT_TAG": "v1"}, NOT_A_BRANCH, {"lineal-build"}),
        ({"CI_PIPELINE_SOURCE": "schedule", "CI_COMMIT_BRANCH": "main"}, (), {"lineal-build", "lineal-converge"}),
    ],
    ids=[
        "main",
        "branch",
        "branch with a merge request",
        "merge request",
        "merged result",
        "train",
        "tag",
        "schedule",
    ],
)
def test_each_kind_of_pipeline_has_its_jobs_once(
    shop: Project, variables: dict[str, str], without: tuple[str, ...], jobs: set[str]
) -> None:
    use(shop, "gitlab.yml")
    listed = shop.pipeline("--list-csv", variables=variables, without=without)
    found = {line.partition(";")[0] for line in listed.text.splitlines() if ";" in line} - {"name"}
    assert found == jobs, listed.text


@pytest.mark.long
def test_a_review_environment_comes_and_goes(shop: Project, cluster: kube.Cluster) -> None:
    use(shop, "gitlab-review.yml")
    shop.repo.branch("tea")
    started = shop.pipeline(variables=MERGE_REQUEST, without=NOT_A_BRANCH)
    assert started.code == 0, started.text
    assert started.passed == {"review"}
    (release,) = cluster.releases()
    assert re.fullmatch(r"shop-review-tea-\w+\.v1", release)
    assert re.search(r"^review environment: .* name: review/tea, url: https://", started.text, re.MULTILINE)
    stopped = shop.pipeline("stop-review", variables=MERGE_REQUEST, without=NOT_A_BRANCH)
    assert stopped.code == 0, stopped.text
    assert cluster.releases() == {}
    name = release.removesuffix(".v1")
    assert f"Release {name} in namespace {name} was uninstalled" in stopped.said("stop-review")
    assert not [key for key in cluster.objects if name in key]


@pytest.mark.long
def test_the_next_job_has_the_outputs(shop: Project) -> None:
    use(shop, "gitlab-outputs.yml")
    done = shop.pipeline()
    assert done.code == 0, done.text
    said = done.said("scan")
    assert "Anything new? true" in said
    assert re.search(rf"by digest, {re.escape(shop.variables['CI_REGISTRY_IMAGE'])}@sha256:\w{{64}}$", said, re.M)
    again = shop.pipeline()
    assert "Anything new? false" in again.said("scan")


@pytest.mark.long
def test_a_job_keeps_its_page(shop: Project) -> None:
    use(shop, "gitlab-page.yml")
    done = shop.pipeline()
    assert done.code == 0, done.text
    assert "<h1>✅ Built " in (done.folder / "builds/lineal-build/.lineal/report.html").read_text()
    assert done.outcomes("lineal-build")


@pytest.mark.long
def test_jobs_run_in_an_image_of_ones_own_beside_its_programs(
    shop: Project, cluster: kube.Cluster, kubeconfig: Path, tmp_path: Path
) -> None:
    """What that image has is first in PATH here: the one file, which needs no package of this machine, and a
    program that gives the cluster's credentials."""
    build("file", str(wheels_of(TARGET, tmp_path / "wheels")), str(shop.home / "bin/lineal"))
    called = tmp_path / "called"
    aws = shop.home / "bin/aws"
    aws.write_text(f'#!/bin/sh\necho "$@" >>{called}\ncat {tmp_path}/credential\n')
    aws.chmod(0o755)
    plugin = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "aws", "args": ["eks", "get-token"],
              "interactiveMode": "Never"}  # fmt: skip
    credential = {"apiVersion": plugin["apiVersion"], "kind": "ExecCredential", "status": {"token": "t0ken"}}
    (tmp_path / "credential").write_text(json.dumps(credential))
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"][0]["user"] = {"exec": plugin}
    kubeconfig.write_text(yaml.safe_dump(config))
    use(shop, "gitlab-own-image.yml")
    done = shop.pipeline()
    assert done.code == 0, done.text
    assert done.passed == {"lineal-build", "lineal-converge"}
    assert (shop.home / ".cache/lineal").is_dir(), "the one file unpacked itself"
    assert "eks get-token" in called.read_text()
    assert cluster.releases() == {"shop-production.v1": "deployed"}
    found = jobs(shop)
    own, usual = (found[name]["image"]["name"] for name in ("lineal-converge", "lineal-build"))
    assert own == "$CI_REGISTRY_IMAGE/deployer:1" and "lineal" in usual


@pytest.mark.long
def test_what_one_job_makes_is_in_the_image_of_the_next(shop: Project) -> None:
    make = "#!/bin/sh\nmkdir -p web/dist && tr a-z A-Z <web/page >web/dist/page\n"
    shop.repo.git("rm", "--quiet", "-r", ".")
    shop.repo.write({
        "Dockerfile": "FROM scratch\nCOPY web/dist /srv/\n", "web/page": "hello", "web/build": make,
        ".gitignore": "dist/\n", "lineal-giterminism.yaml": "artifacts: [web/dist/**]\n",
    })  # fmt: skip
    use(shop, "gitlab-artifacts.yml")
    done = shop.pipeline()
    assert done.code == 0, done.text
    assert done.passed == {"site", "lineal-build"}
    assert done.outcomes("lineal-build") == {"assembled"}
    assert shop.pipeline().outcomes("lineal-build") == {"cached"}
    text = (EXAMPLES / "gitlab-artifacts.yml").read_text()
    shop.repo.write({".gitlab-ci.yml": text.replace("  artifacts:\n    paths: [web/dist/]\n", "")})
    alone = shop.pipeline()
    assert alone.code != 0
    assert "The artifact web/dist/** of lineal-giterminism.yaml is needed here" in alone.said("lineal-build")


@pytest.mark.parametrize("name", ["gitlab-project.yml", "gitlab-remote.yml"])
def test_the_other_ways_to_include_come_to_the_same(shop: Project, component: Path, name: str) -> None:
    use(shop, "gitlab.yml")
    wanted = jobs(shop)
    assert {"lineal-build", "lineal-converge"} <= wanted.keys()
    with raw_files(component) as address:
        text = (EXAMPLES / name).read_text().replace("https://git.example.com", address)
        shop.repo.write({".gitlab-ci.yml": text})
        assert jobs(shop) == wanted


def test_the_component_may_lie_in_the_project_itself(shop: Project) -> None:
    use(shop, "gitlab.yml")
    wanted = jobs(shop)
    shutil.copytree(ROOT / "gitlab-ci/templates", shop.repo.path / "ci")
    text = (EXAMPLES / "gitlab.yml").read_text()
    text = re.sub(r"component: \S+/(\w+)@\S+", r"local: ci/\1.yml", text)
    shop.repo.write({".gitlab-ci.yml": text})
    assert jobs(shop) == wanted


def jobs(project: Project) -> dict[str, Any]:
    """What a pipeline is after all that it includes."""
    said = project.pipeline("--preview").text
    found: dict[str, Any] = yaml.safe_load(said[said.index("---") :])
    return found


@contextmanager
def raw_files(repository: Path) -> Iterator[str]:
    """A server that has the files of the version, as GitLab gives them to anyone."""
    prefix = f"/projects/lineal/-/raw/{VERSION}/"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.removeprefix(prefix)
            data = servers.Repository(repository).git("show", f"{VERSION}:{path}").encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.long
def test_every_image_has_a_job_of_its_own_in_a_child_pipeline(shop: Project, cluster: kube.Cluster) -> None:
    use(shop, "gitlab-child.yml")
    done = shop.pipeline()
    assert done.code == 0, done.text
    base, shops = "[lineal-images] -> build base", "[lineal-images] -> build shop"
    assert {"lineal-plan", base, shops, "lineal-converge"} <= done.passed
    assert done.text.index(f"{base} finished") < done.text.index(f"{shops} starting"), "it needs the other"
    assert "built" in done.said(base)
    assert done.outcomes("lineal-converge") == {"cached"}
    assert cluster.releases() == {"shop-production.v1": "deployed"}
    again = shop.pipeline()
    assert again.code == 0, again.text
    assert "[lineal-images] -> nothing to build" in again.passed
    assert base not in again.passed


def test_the_components_own_pipeline_uses_all_of_it(
    own: Project, cluster: kube.Cluster, door: tuple[tls.Door, Path]
) -> None:
    visitors = door[0].visitors
    done = own.pipeline()
    assert done.code == 0, done.text
    jobs = {"lineal-build", "lineal-plan", "lineal-images", "[lineal-images] -> nothing to build", "outputs"}
    assert done.passed == jobs | {"lineal-converge"}
    assert cluster.releases() == {"hello.v1": "deployed"}
    assert door[0].visitors == visitors, "nothing is run"
    tagged = own.pipeline("--list-csv", variables={"CI_COMMIT_TAG": VERSION}, without=NOT_A_BRANCH)
    assert re.search(r"^release;", tagged.text, re.MULTILINE)


def test_a_schedule_deletes_what_nothing_needs(
    shop: Project, cluster: kube.Cluster, auth_registry: str, tmp_path: Path
) -> None:
    shop.repo.git("rm", "--quiet", "-r", ".")
    config = "project: shop\nimages: {shop: {}}\n"
    shop.repo.write({"lineal.yaml": config, "Dockerfile": "FROM scratch\nCOPY app /app\n", "app": "0"})
    use(shop, "gitlab-cleanup.yml")
    store = shop.variables["CI_REGISTRY_IMAGE"]
    login = {"LINEAL_REGISTRY_USERNAME": servers.USER, "LINEAL_REGISTRY_PASSWORD": servers.PASSWORD}
    lineal = Lineal(shop.repo.path, tmp_path, login)
    references = {}
    for branch in ("old", "running", "main"):
        shop.repo.git("checkout", "--quiet", "-B", branch)
        shop.repo.write({"app": branch})
        built = lineal("build", "shop", "--repo", store)
        assert built.code == 0, built.stderr
        references[branch] = built.stdout.strip()
        shop.repo.git("checkout", "--quiet", "main")
    shop.repo.git("branch", "--quiet", "--delete", "--force", "old", "running")
    cluster.pods = [{"spec": {"containers": [{"image": references["running"]}]}}]
    # The server has the branches that are here.
    shop.variables |= {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{shop.repo.path}.insteadOf",
        "GIT_CONFIG_VALUE_0": f"{SERVER}/{shop.path}.git",
    }
    shop.variables |= {"LINEAL_KEEP_DAYS": "0"}
    done = shop.pipeline(variables={"CI_PIPELINE_SOURCE": "schedule"})
    assert done.code == 0, done.text
    said = done.said("lineal-cleanup")
    assert "wanted by 1 branch and 0 tags" in said and "1 used in a cluster" in said
    assert references["old"].partition("@")[0].rpartition(":")[2] in said
    assert lineal("plan", "--exit-code", "--repo", store).code == 0
    for branch, left in {"old": 404, "running": 200}.items():
        digest = references[branch].partition("@")[2]
        url = f"http://{auth_registry}/v2/{store.partition('/')[2]}/manifests/{digest}"
        accept = {"Accept": "application/vnd.oci.image.index.v1+json"}
        answer = requests.get(url, auth=(servers.USER, servers.PASSWORD), headers=accept, timeout=300)
        assert answer.status_code == left, branch
    assert not shop.pipeline("--list-csv").text.count("lineal-cleanup;"), "no other pipeline has the job"
