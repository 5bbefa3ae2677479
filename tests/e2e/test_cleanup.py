"""`lineal cleanup` from outside: real git, a real registry, a directory. No stage has a RUN: no engine is needed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from lineal.store.registry.client import Registry
from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project
from tests.forks import Result
from tests.registries.proxy import Answer, Forward, Quirk, Request, proxy, refusal
from tests.unit.store.conftest import manifest_of

pytestmark = pytest.mark.registry
_STAGE = re.compile(r"([0-9a-f]{64})-[0-9]{13}")


@pytest.fixture(params=["registry", "layout"])
def project(
    request: pytest.FixtureRequest, repo: servers.Repository, lineal: Lineal, repository: str, tmp_path: Path
) -> Project:
    """An image of two stages on main, built."""
    lineal.env.update(NOWHERE)
    store = repository if request.param == "registry" else f"layout:{tmp_path / 'store'}"
    return opened(Project(repo, lineal, store, tmp_path))


@pytest.fixture
def published(repo: servers.Repository, lineal: Lineal, repository: str, tmp_path: Path) -> Project:
    """The same, in the registry only."""
    lineal.env.update(NOWHERE)
    return opened(Project(repo, lineal, repository, tmp_path))


def opened(project: Project) -> Project:
    project.write("FROM scratch\nCOPY base /base\nCOPY app /app\n", {"base": "0", "app": "main"})
    project.build()
    return project


class Branch(NamedTuple):
    """The stage tags that are new with it, and the digest of its image."""

    tags: set[str]
    digest: str


def branch(project: Project, name: str, **files: str) -> Branch:
    """Build a branch with other files. Ends on main."""
    before = set(project.contents.tags())
    project.repo.branch(name, "main")
    project.repo.write({**files})
    digest = str(project.build().digests["app"])
    project.repo.switch("main")
    return Branch({tag for tag in set(project.contents.tags()) - before if _STAGE.fullmatch(tag)}, digest)


def cleanup(project: Project, *args: str, code: int = 0, days: int | None = 0) -> Result:
    age = [] if days is None else ["--keep-days", str(days)]
    done = project.lineal("cleanup", "--repo", project.store, *age, *args, cwd=project.repo.path)
    assert done.code == code, f"exit {done.code}:\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def test_the_stages_of_a_deleted_branch_go_and_all_others_stay(project: Project) -> None:
    merged = branch(project, "merged", app="merged").tags
    project.repo.merge("merged")
    dropped = branch(project, "dropped", base="dropped").tags
    branch(project, "open", app="open")
    project.repo.git("tag", "--annotate", "--message", "One", "v1", "main~1")
    project.repo.git("branch", "--quiet", "--delete", "--force", "merged", "dropped")
    before, contents = project.contents.tags(), dict(project.contents.everything())
    assert len(dropped) == 2 and len(merged) == 1

    dry = cleanup(project, "--dry-run")
    assert project.contents.tags() == before
    done = cleanup(project)
    assert set(done.stdout.split()) == set(dry.stdout.split()) == dropped
    assert "wanted by 2 branches and 1 tag" in done.stderr and "deleted    2 stages" in done.stderr

    gone = dropped | {tag.partition("-")[0] for tag in dropped}
    after = project.contents.tags()
    assert after == {tag: digest for tag, digest in before.items() if tag not in gone}
    left = dict(project.contents.everything())
    assert left == {digest: contents[digest] for digest in left}
    for ref in ("main", "v1", "open"):
        project.repo.git("checkout", "--quiet", ref)
        assert project.build().made == [], f"{ref} has all it needs"
    assert cleanup(project).stdout == ""


def test_what_is_young_stays_whatever_needs_it(published: Project) -> None:
    branch(published, "dropped", app="2")
    published.repo.git("branch", "--quiet", "--delete", "--force", "dropped")
    before = published.contents.tags()
    done = cleanup(published, days=None)
    assert (done.stdout, published.contents.tags()) == ("", before)
    assert "3 published in the last 30 days" in done.stderr
    published.write("FROM scratch\nCOPY app /app\n", {"lineal.yaml": "project: shop\nimages: {app: {}}\n"
                                                      "cleanup: {keep_days: 0}\n"})  # fmt: skip
    assert len(cleanup(published, "--dry-run", days=None).stdout.split()) == 3
    published.lineal.env["LINEAL_KEEP_DAYS"] = "1"
    assert cleanup(published, "--dry-run", days=None).stdout == ""


def test_without_a_lineal_yaml_it_says_that_flags_may_have_described_more(published: Project) -> None:
    published.repo.write({"lineal.yaml": None})
    assert "images that flags described" in cleanup(published, "--dry-run").stderr
    published.repo.write({"lineal.yaml": "project: shop\nimages: {app: {}}\n"})
    assert "flags" not in cleanup(published, "--dry-run").stderr


def test_the_remote_says_which_branches_there_are(published: Project) -> None:
    """A clone that has seen a branch which is gone by now; and a branch that it has not seen."""
    old = branch(published, "old", app="old").tags
    clone = published.clone("runner")
    published.repo.git("branch", "--quiet", "--delete", "--force", "old")
    published.repo.branch("new", "main")
    published.repo.write({"app": "new"})
    before = published.contents.tags()
    refused = cleanup(clone, code=3)
    assert "cannot be told what new needs. new: its commit" in refused.stderr
    assert 'GitLab: GIT_DEPTH: "0"' in refused.stderr and "--ignore-ref" in refused.stderr
    assert (refused.stdout, clone.contents.tags()) == ("", before)
    clone.repo.git("fetch", "--quiet")
    assert set(cleanup(clone).stdout.split()) == old


def test_a_shallow_clone_deletes_nothing(published: Project) -> None:
    branch(published, "feature", app="2")
    clone = published.clone("runner", "--depth", "1")
    before = published.contents.tags()
    assert "fetch-depth: 0" in cleanup(clone, code=3).stderr
    assert published.contents.tags() == before
    assert "There is no branch and no tag" in cleanup(clone, "--ignore-ref", "*", code=3).stderr
    assert len(cleanup(clone, "--ignore-ref", "feat*").stdout.split()) == 1


def test_a_branch_that_cannot_be_planned_gets_a_line_and_stops_nothing(published: Project) -> None:
    branch(published, "dropped", app="2")
    published.repo.git("branch", "--quiet", "--delete", "--force", "dropped")
    published.repo.branch("broken", "main")
    published.repo.write({"lineal.yaml": "project: shop\nimages: {app: {contxt: .}}\n"})
    # What is checked out has to be known: nothing else says whose stages these are.
    refused = cleanup(published, code=3)
    assert "images.app.contxt: The key `contxt` is not known." in refused.stderr and refused.stdout == ""
    published.repo.switch("main")
    told = cleanup(published, "--dry-run")
    assert (
        "It cannot be told what broken needs, so what was built for it stays and nothing else: "
        "lineal.yaml:2: images.app.contxt: The key `contxt` is not known." in told.stderr
    )
    assert len(told.stdout.split()) == 1
    published.lineal.env["LINEAL_IGNORE_REF"] = "v*\nrefs/heads/broken\n"
    done = cleanup(published)
    assert "cannot be told" not in done.stderr and done.stdout == told.stdout


def test_what_has_another_tag_stays(project: Project) -> None:
    (tag,) = branch(project, "dropped", app="2").tags
    project.repo.git("branch", "--quiet", "--delete", "--force", "dropped")
    retag(project, tag, "stable")
    before = project.contents.tags()
    done = cleanup(project)
    assert (done.stdout, project.contents.tags()) == ("", before)
    assert "1 have another tag" in done.stderr


def test_a_repository_of_finished_images_loses_nothing(published: Project) -> None:
    """Named as the store by mistake: what has a tag of people stays, and so does what is pulled by digest alone."""
    final = Project(published.repo, published.lineal, f"{published.store}-final", published.scratch)
    target = final.store.partition("/")
    finals = Registry(target[0], target[2], environ={"HOME": str(published.scratch)})
    for number, tags in enumerate([["1.4.2", "1.4", "latest"], ["sha-3f6c1d2"], []]):
        manifest = manifest_of(finals, str(number))
        finals.put_manifest(manifest)
        for tag in tags:
            finals.put_manifest(manifest, tag)
    before = final.contents.tags()
    done = cleanup(final)
    assert (done.stdout, final.contents.tags()) == ("", before) and len(before) == 4
    assert finals.digest(manifest.digest) == manifest.digest


def retag(project: Project, tag: str, new: str) -> None:
    """Another tag for the same bytes, by the registry's own means."""
    digest = project.contents.tags()[tag]
    if project.store.startswith("layout:"):
        index = Path(project.store[7:]) / "index.json"
        document = json.loads(index.read_text())
        (entry,) = [one for one in document["manifests"] if tag in one["annotations"].values()]
        name = "org.opencontainers.image.ref.name"
        document["manifests"].append({**entry, "annotations": {name: new}})
        index.write_text(json.dumps(document))
        return
    host, _, path = project.store.partition("/")
    kind = {"Content-Type": "application/vnd.oci.image.index.v1+json"}
    url = f"http://{host}/v2/{path}/manifests/{new}"
    requests.put(url, data=project.contents.blob(digest), headers=kind, timeout=300).raise_for_status()


def test_stages_of_another_project_stay(published: Project) -> None:
    before = published.contents.tags()
    other = published.repo.create(published.scratch / "other")
    other.write(
        {"lineal.yaml": "project: other\nimages: {app: {}}\n", "Dockerfile": "FROM scratch\nCOPY x /x\n", "x": "1"}
    )
    cleaner = Project(other, published.lineal, published.store, published.scratch)
    done = cleanup(cleaner)
    assert "Stages of other projects (shop) are in this store" in done.stderr
    assert (done.stdout, published.contents.tags()) == ("", before)


def test_a_branch_that_calls_itself_another_project_deletes_nothing_of_it(published: Project) -> None:
    other = published.repo.create(published.scratch / "other")
    other.write(
        {"lineal.yaml": "project: other\nimages: {app: {}}\n", "Dockerfile": "FROM scratch\nCOPY x /x\n", "x": "1"}
    )
    Project(other, published.lineal, published.store, published.scratch / "home").build()
    published.repo.branch("takeover", "main")
    published.repo.write({"lineal.yaml": "project: other\nimages: {app: {}}\n"})
    published.repo.switch("main")
    before = published.contents.tags()
    done = cleanup(published)
    assert "Stages of other projects (other) are in this store" in done.stderr
    assert (done.stdout, published.contents.tags()) == ("", before)


def test_a_branch_with_a_line_separator_in_its_name_hides_no_other(published: Project) -> None:
    """Its line of `git ls-remote` must not be read as one of the branch whose name it begins with."""
    branch(published, "release", app="release")
    published.repo.git("branch", "release\u2028x", "main")
    clone, before = published.clone("runner"), published.contents.tags()
    done = cleanup(clone)
    assert "wanted by 3 branches" in done.stderr
    assert (done.stdout, published.contents.tags()) == ("", before)


def test_what_a_bundle_names_stays_with_what_it_is_made_from(published: Project) -> None:
    names = {"shipped": {"base": "1"}, "unused": {"app": "2"}}
    made = {name: branch(published, name, **files) for name, files in names.items()}
    published.repo.git("branch", "--quiet", "--delete", "--force", *names)
    tag = next(tag for tag, digest in published.contents.tags().items() if digest == made["shipped"].digest)
    push_bundle(published, f"{published.store}:{tag}@{made['shipped'].digest}")
    done = cleanup(published)
    assert set(done.stdout.split()) == made["unused"].tags
    assert "1 used in a cluster or named by a bundle" in done.stderr and "1 needed by those" in done.stderr


def push_bundle(project: Project, image: str) -> None:
    """What `lineal bundle publish` leaves beside the store, as far as it names images."""
    host, _, path = project.store.partition("/")
    base, empty = f"http://{host}/v2/{path}/bundle", b"{}"
    digest = f"sha256:{hashlib.sha256(empty).hexdigest()}"
    started = requests.post(f"{base}/blobs/uploads/", timeout=300)
    requests.put(started.headers["Location"], params={"digest": digest}, data=empty, timeout=300).raise_for_status()
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {
        "schemaVersion": 2, "mediaType": kind, "layers": [],
        "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": digest, "size": len(empty)},
        "annotations": {"dev.lineal.image.app": image},
    }  # fmt: skip
    data, headers = json.dumps(manifest).encode(), {"Content-Type": kind}
    requests.put(f"{base}/manifests/1.0.0", data=data, headers=headers, timeout=300).raise_for_status()


class Closed(Quirk):
    """A registry that keeps one kind of request about bundles to itself."""

    def __init__(self, kind: str) -> None:
        self.kind_of = kind

    def __call__(self, request: Request, forward: Forward) -> Answer:
        if "/bundle/" in request.path and request.kind == self.kind_of:
            return refusal(403, "DENIED", "requested access to the resource is denied")
        return forward(request)


@pytest.mark.parametrize("kind", ["tags", "manifests"])
def test_nothing_goes_when_bundles_cannot_be_read(published: Project, kind: str) -> None:
    branch(published, "dropped", app="2")
    published.repo.git("branch", "--quiet", "--delete", "--force", "dropped")
    push_bundle(published, f"{published.store}:x@{published.build().digests['app']}")
    before = published.contents.tags()
    upstream, _, path = published.store.partition("/")
    with proxy(upstream, Closed(kind)) as closed:
        there = Project(published.repo, published.lineal, f"{closed.host}/{path}", published.scratch)
        refused = cleanup(there, code=5)
    assert f"it cannot be told what the bundles in {closed.host}/{path}/bundle name: " in refused.stderr
    assert (refused.stdout, published.contents.tags()) == ("", before)


def test_a_store_without_bundles_is_nothing_to_warn_of(project: Project) -> None:
    (tag,) = branch(project, "dropped", app="2").tags
    project.repo.git("branch", "--quiet", "--delete", "--force", "dropped")
    done = cleanup(project)
    assert done.stdout.split() == [tag] and "warning" not in done.stderr


def test_a_registry_that_does_not_delete_says_so(repo: servers.Repository, lineal: Lineal, tmp_path: Path) -> None:
    with servers.docker_registry(tmp_path / "registry", delete=False) as address:
        lineal.env.update(NOWHERE)
        project = opened(Project(repo, lineal, f"{address}/team/app", tmp_path))
        branch(project, "dropped", app="2")
        repo.git("branch", "--quiet", "--delete", "--force", "dropped")
        before = project.contents.tags()
        refused = cleanup(project, code=5)
        assert "does not allow to delete stages of team/app (status 405)" in refused.stderr
        assert "storage.delete.enabled" in refused.stderr
        assert (refused.stdout, project.contents.tags()) == ("", before)


def test_wrong_credentials_are_named(
    repo: servers.Repository, lineal: Lineal, auth_registry: str, tmp_path: Path
) -> None:
    lineal.env.update(NOWHERE)
    project = Project(repo, lineal, f"{auth_registry}/cleanup/app", tmp_path)
    project.write("FROM scratch\nCOPY app /app\n", {"app": "1"})
    lineal.env |= {"LINEAL_REGISTRY_USERNAME": servers.USER, "LINEAL_REGISTRY_PASSWORD": "wrong"}
    assert "LINEAL_REGISTRY_USERNAME" in cleanup(project, code=5).stderr


def test_a_fork_s_run_deletes_nothing(published: Project) -> None:
    fork = {"GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "merge_request_event", "CI_COMMIT_SHA": published.repo.head(),
            "CI_PROJECT_PATH": "team/shop", "CI_MERGE_REQUEST_PROJECT_PATH": "team/shop", "CI_MERGE_REQUEST_IID": "1",
            "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "somebody/shop"}  # fmt: skip
    published.lineal.env.update(fork)
    assert "may not write" in cleanup(published, code=1).stderr


# --- clusters -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    running = Cluster(tmp_path / "kubeconfig")
    yield running
    running.server.shutdown()
    running.server.server_close()


class Cluster:
    """An API server that knows one list, of pods, in pages of one; all other lists are empty."""

    def __init__(self, kubeconfig: Path) -> None:
        self.images: list[str] = []
        self.denied = ""
        self.asked: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        url = f"http://127.0.0.1:{self.server.server_port}"
        config = {
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
        }
        kubeconfig.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **config}))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None: ...

            def do_GET(self) -> None:
                kind = self.path.partition("?")[0].rpartition("/")[2]
                cluster.asked.append(kind)
                found = re.search("continue=([0-9]+)", self.path)
                number = int(found[1]) if found else 0
                images = cluster.images if kind == "pods" else []
                items = [{"spec": {"containers": [{"image": image}]}} for image in images[number : number + 1]]
                metadata = {"continue": str(number + 1)} if number + 1 < len(images) else {}
                data = json.dumps({"kind": "List", "metadata": metadata, "items": items}).encode()
                self.send_response(403 if kind == cluster.denied else 200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        return Handler


def test_what_a_cluster_uses_stays_with_what_it_is_made_from(published: Project, cluster: Cluster) -> None:
    published.lineal.env["KUBECONFIG"] = str(published.scratch / "kubeconfig")
    names = {"running": {"base": "1"}, "digest": {"app": "2"}, "copied": {"app": "3"}, "unused": {"app": "4"}}
    made = {name: branch(published, name, **files) for name, files in names.items()}
    published.repo.git("branch", "--quiet", "--delete", "--force", *names)
    tags = {digest: tag for tag, digest in published.contents.tags().items() if _STAGE.fullmatch(tag)}
    cluster.images = [
        "busybox:1",
        f"{published.store}:{tags[made['running'].digest]}",
        f"{published.store}@{made['digest'].digest}",
        f"mirror.example.com/app@{published.contents.image_digest(made['copied'].digest)}",
    ]
    done = cleanup(published, "--kube-context", "prod")
    assert set(done.stdout.split()) == made["unused"].tags
    assert "3 used in a cluster" in done.stderr and "1 needed by those" in done.stderr
    assert {"pods", "replicasets", "cronjobs"} <= set(cluster.asked)


def test_a_cluster_that_cannot_be_read_stops_everything(published: Project, cluster: Cluster) -> None:
    branch(published, "dropped", app="2")
    published.repo.git("branch", "--quiet", "--delete", "--force", "dropped")
    before = published.contents.tags()
    cluster.denied = "cronjobs"
    kubeconfig = {"KUBECONFIG": str(published.scratch / "kubeconfig")}
    published.lineal.env |= kubeconfig | {"LINEAL_KUBE_CONTEXT": "prod\n"}
    refused = cleanup(published, code=5)
    assert "the context prod uses: this job may not list cronjobs in all namespaces" in refused.stderr
    cluster.server.shutdown()
    cluster.server.server_close()
    assert "cannot be reached" in cleanup(published, code=5).stderr
    assert "kubeconfig cannot be used" in cleanup(published, "--kube-context", "typo", code=5).stderr
    assert published.contents.tags() == before


# --- directories ----------------------------------------------------------------------------------------------------


def test_a_directory_loses_the_files_that_nothing_needs(
    repo: servers.Repository, lineal: Lineal, tmp_path: Path
) -> None:
    lineal.env.update(NOWHERE)
    project = opened(Project(repo, lineal, f"layout:{tmp_path / 'store'}", tmp_path))
    blobs = tmp_path / "store/blobs/sha256"
    needed = set(blobs.iterdir())
    branch(project, "dropped", app="2" * 5000)
    repo.git("branch", "--quiet", "--delete", "--force", "dropped")
    cleanup(project)
    assert len(set(blobs.iterdir())) > len(needed), "what is young may be on its way to get a tag"
    for file in blobs.iterdir():
        os.utime(file, (0, 0))
    cleanup(project)
    assert set(blobs.iterdir()) == needed
    assert project.build().made == []


ARTIFACTS = {"lineal-giterminism.yaml": "artifacts: [dist/**]\n", ".gitignore": "dist/\n"}


@pytest.mark.parametrize("base", ["", "COPY base /base\n"])
def test_what_may_be_made_of_artifacts_stays_on_its_history(published: Project, base: str) -> None:
    project = published
    old = set(project.contents.tags())

    def built(bytes: str) -> set[str]:
        before = set(project.contents.tags())
        project.repo.put({"dist/app": bytes})
        assert project.build().code == 0
        return {tag for tag in set(project.contents.tags()) - before if _STAGE.fullmatch(tag)}

    project.write(f"FROM scratch\n{base}COPY dist /dist\nCOPY app /app\n", ARTIFACTS | {"base": "new"})
    first = built("1")
    project.repo.branch("dropped", "main")
    project.repo.write({"app": "dropped"})
    dropped = built("2")
    project.repo.switch("main")
    project.repo.git("branch", "--quiet", "--delete", "--force", "dropped")
    second = built("3")
    (project.repo.path / "dist/app").unlink()
    gone = set(cleanup(project).stdout.split())
    assert gone >= dropped and dropped
    assert gone.isdisjoint(first | second) and second
    # What stands on nothing may have been of artifacts.
    assert bool(gone & old) is bool(base)
    project.repo.put({"dist/app": "3"})
    assert project.build().made == []
