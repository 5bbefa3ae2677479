"""Finished images: what people outside of the pipeline find in the final repositories, and what a run refuses."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project, Published
from tests.registries.proxy import Answer, Forward, Quirk, Request, proxy, refusal
from tests.runner.runner import file_command
from tests.tools.helm import directory as helm_directory

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
KEYS = "org.opencontainers.image."
VERSION = "{{ git.tag | semver('{major}.{minor}.{patch}') }}"


@pytest.fixture
def project(repo: servers.Repository, lineal: Lineal, registry: str, tmp_path: Path) -> Project:
    lineal.env |= NOWHERE
    return Project(repo, lineal, f"{registry}/strangers-{secrets.token_hex(6)}/stages", tmp_path)


@pytest.fixture
def final(registry: str) -> str:
    """The address of a repository that nobody has used."""
    return f"{registry}/final-{secrets.token_hex(6)}/app"


@pytest.fixture
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another registry, with a password."""
    with servers.docker_registry(tmp_path_factory.mktemp("other"), htpasswd=servers.HTPASSWD) as host:
        yield host


def config(to: list[str], tags: list[str], images: str = "{app: {}}") -> str:
    return f"project: shop\nimages: {images}\npublish: {json.dumps({'to': to, 'tags': tags})}\n"


def commit(project: Project, to: list[str], tags: list[str], images: str = "{app: {}}", **files: str) -> str:
    base = {"Dockerfile": "FROM scratch\nCOPY hello /\n", "hello": "hello"}
    return project.repo.write({"lineal.yaml": config(to, tags, images), **base, **files})


def manifest(repository: str, reference: str) -> requests.Response:
    """As a service asks that takes one plain image only."""
    host, _, path = repository.partition("/")
    url = f"http://{host}/v2/{path}/manifests/{reference}"
    return requests.get(url, headers={"Accept": MANIFEST}, timeout=300)


def tags_in(repository: str) -> dict[str, str]:
    """Without those by which statements are found where a registry has no list of referrers."""
    return {tag: digest for tag, digest in Published(repository).tags().items() if not tag.startswith("sha256-")}


def tags_of(ran: Any) -> dict[str, str]:
    return {f"{tag['repository']}:{tag['name']}": tag["outcome"] for tag in ran.report["images"][0]["tags"]}


def test_a_finished_image_is_a_plain_manifest_under_its_tags(project: Project, final: str) -> None:
    dockerfile = f"FROM scratch\nLABEL {KEYS}licenses=MIT {KEYS}title=other\nCOPY hello /\n"
    commit(project, [final], [VERSION, "sha-{{ git.short }}"], Dockerfile=dockerfile)
    project.repo.git("tag", "v1.4.2")
    project.repo.git("switch", "--quiet", "--detach")  # as in the pipeline of a tag
    ran = project.build()
    answer = manifest(final, "1.4.2")
    digest = answer.headers["Docker-Content-Digest"]
    assert ran.stdout == f"app {final}:1.4.2@{digest}\n"
    assert (answer.headers["Content-Type"], answer.json()["mediaType"]) == (MANIFEST, MANIFEST)
    assert answer.json()["annotations"][KEYS + "revision"] == project.repo.head()
    assert answer.json()["annotations"][KEYS + "version"] == "1.4.2"
    assert answer.json()["annotations"][KEYS + "licenses"] == "MIT"
    assert answer.json()["annotations"][KEYS + "title"] == "app"
    assert b"dev.lineal" not in answer.content
    assert set(tags_in(final)) == {"1.4.2", f"sha-{project.repo.head()[:7]}"}
    (image,) = ran.report["images"]
    assert (image["digest"], image["media_type"], image["size"]) == (digest, MANIFEST, len(answer.content))
    assert tags_of(ran) == {f"{final}:1.4.2": "written", f"{final}:sha-{project.repo.head()[:7]}": "written"}
    assert f"app  {final}: 1.4.2 written; sha-{project.repo.head()[:7]} written" in ran.stderr


def test_without_a_tag_an_image_has_a_short_one(project: Project, final: str) -> None:
    commit(project, [final], [VERSION])
    image = project.build().report["images"][0]
    assert image["tag"] == f"image-{image['digest'][7:23]}"
    assert tags_in(final) == {image["tag"]: image["digest"]}


def test_commits_that_change_nothing_in_an_image_have_one_digest_everywhere(
    project: Project, registry: str, other: str, tmp_path: Path
) -> None:
    """In the store's registry by mounts, in another one by streams, in a directory; found again without a byte."""
    name = secrets.token_hex(6)
    to = [f"{registry}/{name}/app", f"{other}/{name}", f"layout:{tmp_path}/{name}"]
    project.lineal.env["DOCKER_AUTH_CONFIG"] = login(other)
    commit(project, to, ["sha-{{ git.short }}"])
    first = project.build().digests["app"]
    project.repo.write({"README.md": "Something else"})
    second = project.build()
    assert second.digests["app"] == first
    assert tags_of(second) == {f"{address}:sha-{project.repo.head()[:7]}": "written" for address in to}
    assert set(tags_in(to[0]).values()) == {first}
    index = json.loads((tmp_path / name / "index.json").read_text())["manifests"]
    assert {entry["digest"] for entry in index if entry["mediaType"] == MANIFEST} == {first}
    # A clone on another machine comes to the same, and writes nothing.
    assert set(tags_of(project.clone("other").build(env={"DOCKER_AUTH_CONFIG": login(other)})).values()) == {"there"}


def login(host: str, password: str = servers.PASSWORD) -> str:
    return json.dumps({"auths": {host: {"username": servers.USER, "password": password}}})


def test_a_run_where_nothing_changed_only_looks(project: Project, registry: str) -> None:
    with proxy(registry) as server:
        commit(project, [f"{server.host}/quiet-{secrets.token_hex(6)}"], ["sha-{{ git.short }}"])
        project.build()
        before = len(server.seen)
        ran = project.build()
        assert [request.method for request in server.seen[before:]] == ["HEAD"]
        # Three more find the stage in the store and read its image; the report counts all.
        assert ran.report["requests"] == 4
        assert project.plan("--exit-code").code == 0


def test_blobs_are_mounted_and_what_is_there_is_not_sent_again(project: Project, registry: str) -> None:
    name = secrets.token_hex(6)
    with proxy(registry) as server:
        project.store = f"{server.host}/{name}/stages"
        commit(project, [f"{server.host}/{name}/app"], ["a-{{ git.short }}"])
        project.build()
        sent = [request for request in server.seen if request.path.startswith(f"/v2/{name}/app/blobs")]
        assert {request.query.get("from") for request in sent if request.method == "POST" and request.query} == {
            f"{name}/stages"
        }
        # What is sent is a statement's, neither layer nor config.
        written = [request.body for request in sent if request.method in ("PUT", "PATCH")]
        assert not [body for body in written if body.startswith(b"\x1f\x8b") or b"rootfs" in body]
        before = len(server.seen)
        project.repo.write({"README.md": "Something else"})
        project.build()
        later = [request for request in server.seen[before:] if request.path.startswith(f"/v2/{name}/app")]
        assert [request for request in later if request.kind == "blobs"] == []
        assert [request.tag for request in later if request.tag] == [f"a-{project.repo.head()[:7]}"]


def test_a_version_is_written_once(project: Project, final: str) -> None:
    commit(project, [final], [VERSION, "sha-{{ git.short }}"])
    project.repo.git("tag", "v1.0.0")
    first = project.build().digests["app"]
    project.repo.write({"hello": "changed"})
    project.repo.git("tag", "--force", "v1.0.0")
    refused = project.build(code=1)
    assert f"{final}:1.0.0 is {first} already, and the image app of this commit is sha256:" in refused.error
    assert "--overwrite-tag" in refused.error
    # Nothing of the image was written, not even the tag that nobody has.
    assert len(tags_in(final)) == 2
    assert tags_in(final)["1.0.0"] == first
    moved = project.build("--overwrite-tag")
    assert tags_in(final)["1.0.0"] == moved.digests["app"] != first
    assert tags_of(moved)[f"{final}:1.0.0"] == "moved"


class RefusesTag(Quirk):
    """Takes no tag of this name, while it is `closed`."""

    def __init__(self, name: str) -> None:
        self.name, self.closed = name, True

    def __call__(self, request: Request, forward: Forward) -> Answer:
        if self.closed and request.tag == self.name:
            return refusal(403, "DENIED", "this tag is protected")
        return forward(request)


def test_what_was_written_before_a_refusal_is_named_and_a_second_run_finishes_it(
    project: Project, registry: str
) -> None:
    rule = RefusesTag("v2.0.0")
    with proxy(registry, rule) as server:
        final = f"{server.host}/half-{secrets.token_hex(6)}"
        commit(project, [final], [VERSION, "v" + VERSION])
        project.repo.git("tag", "v2.0.0")
        ran = project.build(code=5)
        assert ran.error.startswith(f"The tag {final}:v2.0.0 was not taken: ")
        assert f"Written were: {final}:2.0.0." in ran.error
        assert tags_of(ran) == {f"{final}:2.0.0": "written", f"{final}:v2.0.0": "refused"}
        assert ran.stdout == ""
        rule.closed = False
        again = project.build()
        assert tags_of(again) == {f"{final}:2.0.0": "there", f"{final}:v2.0.0": "written"}


def test_every_missing_login_is_said_before_anything_is_built(
    project: Project, registry: str, other: str, auth_registry: str
) -> None:
    to = [f"{registry}/{secrets.token_hex(6)}", f"{other}/a", f"{auth_registry}/b"]
    project.lineal.env["DOCKER_AUTH_CONFIG"] = login(other, "wrong")
    commit(project, to, ["x-{{ git.short }}"])
    ran = project.build(code=5)
    assert f"{other} refuses to let the credentials from DOCKER_AUTH_CONFIG write a." in ran.stderr
    assert f"{auth_registry} does not let anyone write b without credentials" in ran.stderr
    assert Published(project.store).tags() == {}


def test_the_store_of_another_project_is_refused(project: Project, registry: str) -> None:
    commit(project, [], [])
    project.build()
    store = project.store
    project.store = f"{registry}/another-{secrets.token_hex(6)}"
    text = config([store], ["latest"]).replace("project: shop", "project: blog")
    project.repo.write({"lineal.yaml": text})
    ran = project.build(code=3)
    assert f"The final repository {store} is the store of another project, 'shop'." in ran.error
    assert Published(project.store).tags() == {}
    assert "latest" not in Published(store).tags()


def test_the_store_itself_is_a_final_repository(project: Project) -> None:
    commit(project, [], ["{{ image }}-{{ git.short }}"], images="{app: {}, web: {}}")
    ran = project.build()
    tags = Published(project.store).tags()
    short = project.repo.head()[:7]
    assert {tags[f"{name}-{short}"] for name in ("app", "web")} == set(ran.digests.values())
    assert project.lineal("cleanup", "--keep-days", "0", "--repo", project.store).code == 0
    assert set(Published(project.store).tags()) >= {f"app-{short}", f"web-{short}"}


def test_a_working_tree_and_a_fork_publish_nothing_and_say_so(project: Project, final: str, tmp_path: Path) -> None:
    commit(project, [final], ["{{ git.branch }}-{{ git.short }}"])
    ran = project.build("--dev")
    assert "--dev builds the working tree: its images get no tags" in ran.stderr
    assert ran.report["images"][0]["repository"] == project.store
    fork = {
        "pull_request": {
            "number": 1,
            "head": {"sha": project.repo.head(), "ref": "x", "repo": {"full_name": "m/shop"}},
        }
    }
    (tmp_path / "event.json").write_text(json.dumps(fork))
    env = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request", "GITHUB_REPOSITORY": "acme/shop",
           "GITHUB_EVENT_PATH": str(tmp_path / "event.json"), "GITHUB_SHA": project.repo.head(),
           "GITHUB_REF": "refs/pull/1/merge"}  # fmt: skip
    ran = project.build(env=env)
    assert "This run may not write: it publishes no finished image and no tag." in ran.stderr
    assert Published(final).tags() == {}


def test_a_plan_shows_the_tags_that_a_build_would_write(project: Project, final: str) -> None:
    commit(project, [final], ["a-{{ git.short }}"])
    project.build()
    # The next commit needs no build, and a tag: that is work for a job.
    project.repo.write({"README.md": "Something else"})
    short = project.repo.head()[:7]
    ran = project.plan("--exit-code", code=2)
    assert tags_of(ran) == {f"{final}:a-{short}": "planned"}
    assert f"app  {final}: a-{short} to write" in ran.stdout
    assert json.loads(project.plan("--format", "matrix").stdout) == {"include": [{"image": "app"}]}
    project.build()
    planned = project.plan("--exit-code")
    assert tags_of(planned) == {f"{final}:a-{short}": "there"}
    assert f"app  {final}: a-{short} there already" in planned.stdout


def test_later_steps_find_tags_and_what_build_push_action_says(project: Project, final: str, tmp_path: Path) -> None:
    commit(project, [final], ["a-{{ git.short }}", "b-{{ git.short }}"])
    env = {"GITHUB_OUTPUT": str(tmp_path / "output"), "LINEAL_DOTENV": str(tmp_path / "env")}
    ran = project.build(env=env)
    found = dict(file_command((tmp_path / "output").read_text()))
    short, digest = project.repo.head()[:7], ran.digests["app"]
    assert found["tags"].splitlines() == [f"{final}:a-{short}", f"{final}:b-{short}"]
    assert (found["image"], found["digest"]) == (final, digest)
    told = json.loads(found["metadata"])
    assert told["containerimage.digest"] == digest
    assert told["image.name"] == f"{final}:a-{short},{final}:b-{short}"
    body = manifest(final, str(digest))
    assert told["containerimage.config.digest"] == body.json()["config"]["digest"]
    assert told["containerimage.descriptor"] == {"mediaType": MANIFEST, "digest": digest, "size": len(body.content)}
    assert f"LINEAL_TAGS={final}:a-{short},{final}:b-{short}\n" in (tmp_path / "env").read_text()


def test_without_publish_nothing_is_new(project: Project) -> None:
    project.write("FROM scratch\nCOPY Dockerfile /\n")
    image = project.build().report["images"][0]
    assert image["repository"] == project.store
    assert (image["tags"], image["media_type"]) == ([], None)
    assert all(len(tag) >= 64 for tag in Published(project.store).tags())


def test_an_image_that_needs_another_sees_its_finished_reference(project: Project, final: str) -> None:
    images = "{base: {dockerfile: base.Dockerfile}, app: {needs: {BASE: base}}}"
    user = "ARG BASE\nFROM ${BASE}\nARG BASE\nENV SEEN=${BASE}\nCOPY hello /\n"
    commit(project, [f"{final}/{{{{ image }}}}"], ["a-{{ git.short }}"], images,
           **{"base.Dockerfile": "FROM scratch\nCOPY hello /\n", "Dockerfile": user})  # fmt: skip
    base, app = sorted(project.build().report["images"], key=lambda image: image["name"], reverse=True)
    config = Published(f"{final}/app").json(app["config"])
    assert f"SEEN={base['ref']}" in config["config"]["Env"]
    assert base["ref"] == f"{final}/base:a-{project.repo.head()[:7]}@{base['digest']}"


CHART = {
    "chart/Chart.yaml": "apiVersion: v2\nname: c\nversion: 0.1.0\n",
    "chart/templates/d.yaml": """apiVersion: v1
kind: ConfigMap
metadata: {name: c, labels: {app.kubernetes.io/version: {{ .Values.image.tag | quote }}}}
data: {image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}@{{ .Values.image.digest }}"}
""",
    "images.yaml.j2": "image: {repository: '{{ images.app.repository }}', tag: '{{ images.app.tag }}', "
    "digest: '{{ images.app.digest }}'}\n",
}


@pytest.mark.helm
def test_a_chart_gets_the_finished_digest_and_a_tag_that_fits_a_label(project: Project, final: str) -> None:
    project.lineal.env["LINEAL_HELM"] = str(helm_directory() / "helm4")
    deploy = "deploy: {chart: chart, values: [images.yaml.j2]}\n"
    commit(project, [final], [VERSION], **CHART)
    project.repo.write({"lineal.yaml": config([final], [VERSION]) + deploy})
    missing = project.run("render", code=1)
    assert "An image is missing for this commit: app (not published yet)." in missing.error
    digest = project.build().digests["app"]
    rendered = project.run("render").stdout
    tag = f"image-{str(digest)[7:23]}"
    assert f'app.kubernetes.io/version: "{tag}"' in rendered
    assert f"{final}:{tag}@{digest}" in rendered
    # Built for another final repository, it has yet to go to this one.
    project.repo.write({"lineal.yaml": config([f"{final}/new"], [VERSION]) + deploy})
    error = project.run("render", code=1).error
    assert f"app (it is built, and not in {final}/new yet)." in error


@pytest.mark.helm
def test_a_copied_bundle_has_all_its_images_though_their_tags_are_the_same(
    project: Project, final: str, registry: str
) -> None:
    """Each image has a repository of its own, and the copy has one for all of them."""
    project.lineal.env["LINEAL_HELM"] = str(helm_directory() / "helm4")
    template = "metadata: {name: c}\napiVersion: v1\nkind: Pod\nspec: {containers: [%s]}\n"
    containers = ", ".join(f"{{name: {n}, image: {{{{ .Values.{n} }}}}}}" for n in ("app", "web"))
    files = {**CHART, "chart/templates/d.yaml": template % containers,
             "images.yaml.j2": "{app: '{{ images.app.image }}', web: '{{ images.web.image }}'}\n"}  # fmt: skip
    commit(project, [], [], **files)
    to = [f"{final}/{{{{ image }}}}"]
    deploy = "deploy: {chart: chart, values: [images.yaml.j2]}\n"
    project.repo.write({"lineal.yaml": config(to, ["9.9.9"], "{app: {}, web: {}}") + deploy})
    digests = project.build().digests
    reference = project.run("bundle", "publish").stdout.strip()
    target = f"{registry}/copied-{secrets.token_hex(6)}"
    copied = project.lineal("bundle", "copy", reference, target)
    assert copied.code == 0, copied.stderr
    assert set(Published(target).tags().values()) == set(digests.values())
    assert f"{target}:9.9.9 stays {digests['app']}: the image web is there by its digest alone." in copied.stderr


def test_a_password_in_an_address_is_not_shown(project: Project) -> None:
    commit(project, ["robot:hunter2@registry.example.com/app"], [])
    for command in ("config", "plan", "build"):
        ran = project.lineal(command, "--repo", project.store)
        assert ran.code == 3
        assert "publish.to[0]: The final repository " in ran.stderr
        assert "hunter2" not in ran.stdout + ran.stderr


def test_the_cleanup_knows_the_default_branch_from_every_other(project: Project) -> None:
    """What the default branch builds otherwise than others is kept."""
    channel = "project: shop\nimages: {app: {args: {C: \"{{ 'stable' if git.is_default_branch else 'edge' }}\"}}}\n"
    project.repo.write({"lineal.yaml": channel, "Dockerfile": "FROM scratch\nARG C\nCOPY Dockerfile /${C}\n"})
    project.build()
    tags = Published(project.store).tags()
    project.repo.branch("other")
    assert project.lineal("cleanup", "--keep-days", "0", "--repo", project.store).code == 0
    assert Published(project.store).tags() == tags
