"""The ordinary life of a project: what is built, what the result is, who can use it."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import servers
from tests.e2e.parts import NOWHERE, ONCE, Project, Ran, containers_of, docker, read_until
from tests.tools import helm as binaries

pytestmark = [pytest.mark.engine, pytest.mark.registry]


def files(project: Project, ran: Ran, image: str = "app") -> dict[str, bytes]:
    return project.contents.files(str(ran.digests[image]))


# --- Dockerfiles ----------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(layout: Project, base_image: str, mark: str) -> Project:
    """Two images; the second has two targets and needs the first."""
    layout.repo.write(
        {
            "lineal.yaml": (
                "project: shop\nimages:\n  system: {dockerfile: system.Dockerfile}\n"
                "  shop: {needs: {SYSTEM: system}, args: {GREETING: hello}}\n"
            ),
            "system.Dockerfile": f"FROM {base_image}\nCOPY mark /mark\nRUN echo system >/system\n",
            "Dockerfile": (
                "ARG SYSTEM\nFROM ${SYSTEM} AS tools\nRUN echo tool >/tool\n\n"
                "FROM ${SYSTEM}\nARG GREETING\nENV GREETING=$GREETING\nCOPY --from=tools /tool /usr/bin/tool\n"
                'WORKDIR /srv\nCOPY site .\nCMD ["/bin/sh", "-c", "echo $GREETING"]\n'
            ),
            "site/index.html": "tea",
            "mark": mark,
        }
    )
    return layout


def test_images_that_need_each_other(shop: Project) -> None:
    first = shop.build()
    built = files(shop, first, "shop")
    assert {"system", "usr/bin/tool", "srv/index.html"} <= set(built)
    config = shop.contents.config(str(first.digests["shop"]))["config"]
    assert (config["WorkingDir"], config["Cmd"]) == ("/srv", ["/bin/sh", "-c", "echo $GREETING"])
    assert "GREETING=hello" in config["Env"]
    lines = first.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["system", "shop"]
    assert all(line.split()[1].endswith(f"@{first.digests[line.split()[0]]}") for line in lines)


def test_one_image_prints_its_reference_alone(shop: Project) -> None:
    ran = shop.build("system")
    image = ran.report["images"][0]
    assert ran.stdout == f"{image['ref']}\n"
    assert image["ref"] == f"{image['repository']}:{image['tag']}@{image['digest']}"
    assert list(ran.digests) == ["system"], "the other image is left alone"


def test_only_what_a_change_touches_is_made_again(shop: Project) -> None:
    shop.build()
    shop.repo.write({"site/index.html": "dearer tea"})
    change = shop.build(env=NOWHERE)
    assert change.made == ["COPY", "CMD"]
    assert files(shop, change, "shop")["srv/index.html"] == b"dearer tea"


def test_a_change_of_the_first_image_reaches_the_second(shop: Project, mark: str) -> None:
    before = shop.build()
    shop.repo.write({"mark": f"{mark} 2"})
    after = shop.build()
    assert after.digests["shop"] != before.digests["shop"]
    assert files(shop, after, "shop")["mark"] == f"{mark} 2".encode()


def test_files_of_another_image_can_be_copied(layout: Project, base_image: str) -> None:
    layout.write(f"FROM scratch\nCOPY --from={base_image} /bin/busybox /bin/\n")
    built = layout.build(env=NOWHERE)
    assert files(layout, built)["bin/busybox"] == Path(servers.program("busybox")).read_bytes()


def test_an_archive_is_unpacked_by_add_and_copied_by_copy(layout: Project) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        entry = tarfile.TarInfo("deep/file")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"hello"))
    layout.write("FROM scratch\nADD a.tar.gz /added/\nCOPY a.tar.gz /copied/\n", {"a.tar.gz": packed.getvalue()})
    assert files(layout, layout.build(env=NOWHERE)) == {
        "added/deep/file": b"hello",
        "copied/a.tar.gz": packed.getvalue(),
    }


def test_heredocs(layout: Project, base_image: str, mark: str) -> None:
    layout.write(
        f'FROM {base_image}\nARG WHO=you\nCOPY <<one <<-"two" /texts/\nhello $WHO\none\n\t$WHO stays\ntwo\n'
        f"RUN <<end\nset -e\necho {mark} >/a\ncat /a >/b\nend\n"
        "RUN <<end\n#!/bin/sh\necho $0 >/c\nend\n"
    )
    built = files(layout, layout.build())
    assert {name: built[name] for name in ("texts/one", "texts/two", "a", "b")} == {
        "texts/one": b"hello you\n", "texts/two": b"$WHO stays\n",
        "a": f"{mark}\n".encode(), "b": f"{mark}\n".encode(),
    }  # fmt: skip
    assert built["c"].startswith(b"/dev/pipes/")


def test_mounts_are_seen_by_the_command_and_are_no_part_of_the_image(
    layout: Project, base_image: str, mark: str, machine: dict[str, str]
) -> None:
    run = (
        f"RUN --mount=type=cache,target=/cache,id={mark} --mount=source=src,target=/src "
        "--mount=from=tools,source=/tool,target=/tool --mount=type=tmpfs,target=/scratch "
        "--mount=type=secret,id=key,target=/key,mode=0440 "
        "echo $((`cat /cache/count || echo 0` + 1)) >/cache/count && touch /scratch/x && "
        "cat /cache/count /src/a /tool >/seen && stat -c %a /key >>/seen"
    )
    tools = f"FROM {base_image} AS tools\nCOPY mark /mark\nRUN echo tool >/tool\n\n"
    last = f"FROM {base_image}\nCOPY mark /mark\n"
    layout.write(f"{tools}{last}{run}\n", {"src/a": "a\n", "mark": mark})
    secret = ("--secret", "id=key,env=KEY")
    try:
        built = files(layout, layout.build(*secret, env={"KEY": "key key"}))
        assert built["seen"].split() == [b"1", b"a", b"tool", b"440"]
        assert not [name for name in built if name.startswith(("cache", "src", "scratch", "key"))]
        # A cache outlives its run; a changed file below a bind mount makes the command run again.
        layout.repo.write({"src/a": "b\n"})
        assert files(layout, layout.build(*secret, env={"KEY": "key key"}))["seen"].split()[:2] == [b"2", b"b"]
    finally:
        names = docker("volume", "ls", "-q", "--filter", f"name={mark}", env=machine).stdout.split()
        docker("volume", "rm", *names, env=machine, check=False)


def test_an_image_runs(project: Project, base_image: str, mark: str, machine: dict[str, str]) -> None:
    project.write(
        f"FROM {base_image}\nCOPY mark /mark\nRUN echo shop:x:1001:1001:Shop:/srv:/bin/sh >>/etc/passwd\n"
        "COPY --chown=shop hello /srv/hello\nUSER shop\n"
        'WORKDIR /srv\nENV NAME=Ada\nENTRYPOINT ["sh", "hello"]\nCMD ["you"]\n',
        {"mark": mark, "hello": 'echo "$NAME says hello to $1 in $PWD as $(id -un)"; stat -c %U hello'},
    )
    name = f"e2e:{mark}"
    copy_to_engine(project, project.build(), name, machine)
    try:
        said = docker("run", "--rm", "--network", "none", name, env=machine).stdout
    finally:
        docker("rmi", name, env=machine)
    assert said.splitlines() == ["Ada says hello to you in /srv as shop", "shop"]


def copy_to_engine(project: Project, ran: Ran, name: str, machine: dict[str, str]) -> None:
    tag = ran.report["images"][0]["tag"]
    source = (
        f"oci:{project.store[7:]}:{tag}" if project.store.startswith("layout:") else f"docker://{project.store}:{tag}"
    )
    skopeo("copy", "--quiet", "--src-tls-verify=false", source, f"docker-daemon:{name}",
           *(["--dest-daemon-host", machine["DOCKER_HOST"]] if machine else []))  # fmt: skip


def skopeo(command: str, *args: str) -> str:
    words = [servers.program("skopeo"), "--insecure-policy", command, *args]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- other tools ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["stage", "anchor"])
def test_docker_pulls_any_tag_of_a_registry(
    project: Project, base_image: str, mark: str, tag: str, engine: Any
) -> None:
    project.write(f"FROM {base_image}\nCOPY mark /mark\nENV A=b\n", {"mark": mark})
    stage = project.build(env=NOWHERE).stage("COPY")
    reference = f"{project.store}:{stage['tag' if tag == 'stage' else 'checksum']}"
    # The engine of this machine: one in a network of its own cannot see a registry on loopback.
    image = engine.images.pull(reference)
    try:
        assert image.attrs["RepoDigests"] == [f"{project.store}@{stage['digest']}"]
        assert "A=b" not in image.attrs["Config"]["Env"]
    finally:
        engine.images.remove(reference)


@pytest.mark.parametrize("kind", ["registry", "layout"])
def test_skopeo_inspects_any_tag(kind: str, project: Project, base_image: str, mark: str, tmp_path: Path) -> None:
    if kind == "layout":
        project.store = f"layout:{tmp_path / 'store'}"
    project.write(f"FROM {base_image}\nCOPY mark /mark\nENV A=b\n", {"mark": mark})
    built = project.build(env=NOWHERE)
    for stage in built.stages:
        for tag in (stage["tag"], stage["checksum"]):
            where = f"oci:{project.store[7:]}" if kind == "layout" else f"docker://{project.store}"
            flags = [] if kind == "layout" else ["--tls-verify=false"]
            seen = json.loads(skopeo("inspect", *flags, f"{where}:{tag}"))
            assert (seen["Os"], seen["Architecture"]) == ("linux", "amd64")
            assert seen["Layers"] == project.contents.layers(stage["digest"])


def test_a_record_says_what_a_stage_was_built_from(layout: Project, mark: str) -> None:
    commit = layout.write("FROM scratch\nCOPY mark /mark\n", {"mark": mark})
    stage = layout.build().stage("COPY")
    prefix = "dev.lineal."
    said = layout.contents.json(stage["digest"])["annotations"]
    assert {key: said[prefix + key] for key in ("commits", "tree", "branch", "checksum", "project", "parent")} == {
        "commits": commit,
        "tree": layout.repo.git("rev-parse", "HEAD^{tree}"),
        "branch": "main",
        "checksum": stage["checksum"],
        "project": "shop",
        "parent": "",
    }
    assert f"{stage['checksum']}-{said[prefix + 'created']}" == stage["tag"]


# --- plan, config, schema -------------------------------------------------------------------------------------------


def test_plan_tells_whether_there_is_work(shop: Project) -> None:
    before = shop.plan("--exit-code", code=2)
    assert "to build" in before.stdout
    assert not Path(shop.store[7:]).exists(), "a plan writes nothing"
    shop.build()
    assert shop.plan("--exit-code", env=NOWHERE).code == 0
    assert shop.plan().code == 0


def test_plan_as_a_job_matrix_names_the_images_with_work(shop: Project) -> None:
    assert json.loads(shop.plan("--format", "matrix").stdout) == {"include": [{"image": "shop"}]}
    shop.build()
    assert json.loads(shop.plan("--format", "matrix").stdout) == {"include": []}
    shop.repo.write({"site/index.html": "dearer tea"})
    assert json.loads(shop.plan("--format", "matrix").stdout) == {"include": [{"image": "shop"}]}


def test_plan_as_json_is_the_report(shop: Project) -> None:
    plan = shop.plan("--format", "json")
    assert json.loads(plan.stdout) == plan.report
    assert {stage["outcome"] for stage in plan.stages} == {"missing"}
    assert [image["ref"] for image in plan.report["images"]] == [None, None]


def test_the_report_tells_everything_about_a_run(project: Project, base_image: str, mark: str) -> None:
    commit = project.write(f"FROM {base_image}\nCOPY mark /mark\n{ONCE}\n", {"mark": mark})
    report = project.build().report
    assert [report[key] for key in ("schema", "command", "project", "store")] == [1, "build", "shop", project.store]
    assert report["context"] == {
        "provider": "local", "event": "none", "commit": commit, "branch": "main", "tag": None, "pull_request": None,
        "may_write": True,
    }  # fmt: skip
    image = report["images"][0]
    assert (image["name"], image["built"], image["digest"]) == ("app", True, report["stages"][-1]["digest"])
    stage = report["stages"][2]
    assert (stage["image"], stage["line"], stage["instruction"], stage["outcome"]) == ("app", 3, ONCE, "built")
    assert stage["bytes_pushed"] > 0
    assert stage["duration"] > 0
    assert project.contents.tags()[stage["tag"]] == stage["digest"]
    assert report["requests"] > 0
    again = project.build(env=NOWHERE).report
    assert again["images"][0]["built"] is False
    assert again["stages"][-1]["reason"] == "this commit"
    assert again["requests"] <= 3, "DESIGN's promise to a run that finds everything"
    assert all(one["saved"] > 0 for one in again["stages"]), "the last stage tells of all that it is made of"
    assert again["saved"] == pytest.approx(sum(one["saved"] for one in again["stages"])) and report["saved"] == 0


def test_stdout_has_the_result_and_nothing_else(shop: Project) -> None:
    built = shop.build()
    assert len(built.stdout.splitlines()) == 2
    assert "RUN echo system" in built.stderr


def test_config_shows_each_value_with_its_origin(shop: Project) -> None:
    shown = shop.run("config", env={"LINEAL_JOBS": "2"})
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "project: shop # lineal.yaml:1" in lines
    assert "SYSTEM: system # lineal.yaml:4" in lines
    assert "jobs: 2 # LINEAL_JOBS" in lines
    assert any(line.startswith("repo: ") and line.endswith("# --repo") for line in lines)
    assert yaml.safe_load(shown.stdout)["images"]["shop"]["args"] == {"GREETING": "hello"}


def test_schema_is_a_json_schema(shop: Project) -> None:
    done = shop.lineal("schema")
    schema = json.loads(done.stdout)
    assert (done.code, "$schema" in schema) == (0, True)
    assert "images" in json.dumps(schema)


# --- working trees and clones ---------------------------------------------------------------------------------------


@pytest.fixture
def working(layout: Project, base_image: str, mark: str) -> Project:
    """A project with a RUN, built once, and an uncommitted change below it."""
    layout.write(f"FROM {base_image}\nCOPY src /src\n{ONCE}\n", {"src/mark": mark})
    layout.build()
    layout.repo.put({"src/mark": f"{mark} changed", "src/new": "untracked"})
    return layout


def test_dev_builds_the_working_tree_and_only_what_changed_since(working: Project, mark: str) -> None:
    status = working.repo.git("status", "--porcelain")
    first = working.build("--dev")
    assert first.made == ["COPY", "RUN"]
    assert files(working, first)["src/mark"] == f"{mark} changed".encode()
    assert files(working, first)["src/new"] == b"untracked"
    again = working.build("--dev", env=NOWHERE)
    assert (again.made, again.digests) == ([], first.digests)
    working.repo.put({"README": "not copied"})
    assert working.build("--dev", env=NOWHERE).made == []
    (working.repo.path / "README").unlink()
    assert working.repo.git("status", "--porcelain") == status, "nothing is staged or committed"


def test_dev_is_invisible_even_to_the_commit_of_exactly_that_tree(working: Project) -> None:
    dev = working.build("--dev")
    working.repo.git("add", "--all")
    working.repo.commit("What was tried")
    plan = working.plan("--format", "json")
    assert [stage["outcome"] for stage in plan.stages] == ["cached", "missing", "missing"]
    assert plan.stages[1]["reason"] == "src/mark changed", "as if nobody had tried it"
    built = working.build()
    assert built.digests != dev.digests
    assert working.clone("elsewhere").build(env=NOWHERE).digests == built.digests


def test_dev_of_another_clone_does_not_see_it(working: Project, mark: str) -> None:
    working.build("--dev")
    other = working.clone("elsewhere")
    other.repo.put({"src/mark": f"{mark} changed", "src/new": "untracked"})
    assert other.plan("--dev", "--format", "json").stages[1]["outcome"] == "missing"


@contextmanager
def http_server(repository: servers.Repository) -> Iterator[str]:
    """The repository over smart http, as a forge serves it; gives its URL."""
    import threading
    from http.server import CGIHTTPRequestHandler, ThreadingHTTPServer

    backend = Path(repository.git("--exec-path")) / "git-http-backend"
    repository.git("config", "uploadpack.allowFilter", "true")
    repository.git("config", "uploadpack.allowAnySHA1InWant", "true")

    class Backend(CGIHTTPRequestHandler):
        have_fork = False

        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            self.serve()

        def do_POST(self) -> None:
            self.serve()

        def serve(self) -> None:
            path, _, query = self.path.partition("?")
            env = {
                "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(repository.path.parent),
                "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command,
                **servers.GIT_ISOLATION,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            }  # fmt: skip
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if env["HTTP_CONTENT_ENCODING"] == "gzip":
                body = gzip.decompress(body)
                env["HTTP_CONTENT_ENCODING"] = ""
            answer = subprocess.run([str(backend)], input=body, env=env, capture_output=True, timeout=300)
            head, _, content = answer.stdout.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{repository.path.name}/.git"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("transport", ["file", "http"])
def test_a_shallow_clone_inherits_from_its_whole_history(
    project: Project, base_image: str, mark: str, transport: str, tmp_path: Path
) -> None:
    project.write(f"FROM {base_image}\nCOPY mark /mark\n{ONCE}\n", {"mark": mark})
    first = project.build()
    for number in range(3):
        project.repo.write({"README": str(number)})
    with http_server(project.repo) as url:
        if transport == "http":
            project.repo.git("clone", "--quiet", "--depth", "1", url, str(tmp_path / "runner"))
            home = tmp_path / "runner-home"
            home.mkdir()
            runner = Project(servers.Repository(tmp_path / "runner"), project.lineal, project.store, home)
        else:
            runner = project.clone("runner", "--depth", "1")
        before = depth(runner)
        assert before == ("true", "1")
        inherited = runner.build(env=NOWHERE)
    assert (inherited.made, inherited.digests) == ([], first.digests)
    assert depth(runner) == before, "the workspace is as it was checked out"


def depth(project: Project) -> tuple[str, str]:
    """Whether a clone is shallow, and how many commits it has."""
    return project.repo.git("rev-parse", "--is-shallow-repository"), project.repo.git("rev-list", "--count", "HEAD")


def test_a_shallow_clone_without_its_remote_says_what_it_cannot_know(
    project: Project, base_image: str, mark: str
) -> None:
    project.write(f"FROM {base_image}\nCOPY mark /mark\nRUN true\n", {"mark": mark})
    project.build()
    project.repo.write({"README": "more"})
    runner = project.clone("runner", "--depth", "1")
    runner.repo.git("remote", "set-url", "origin", "file:///nowhere")
    plan = runner.plan("--format", "json")
    assert "unknown" in plan.stages[-1]["reason"]
    assert "fetch-depth: 0" in plan.stderr, "the remedy"


# --- pipelines ------------------------------------------------------------------------------------------------------


@pytest.fixture
def request_(project: Project, base_image: str, mark: str) -> Project:
    """A pull request's merge ref is checked out, as a forge makes it; main and `feature` are its parents."""
    project.write(f"FROM {base_image}\nCOPY mark /mark\nRUN echo 1 >/one\n", {"mark": mark})
    project.build()
    project.repo.branch("feature")
    project.write(f"FROM {base_image}\nCOPY mark /mark\nRUN echo 1 >/one\n{ONCE}\n")
    project.repo.switch("main")
    project.repo.write({"NEWS": "main went on"})
    project.repo.git("switch", "--quiet", "--detach", "main")
    project.repo.merge("feature", "Merge feature into main")
    return project


def github(project: Project, head_repository: str) -> dict[str, str]:
    """The environment of a pull request's run."""
    head = {"ref": "feature", "sha": project.repo.git("rev-parse", "feature"), "repo": {"full_name": head_repository}}
    base = {"ref": "main", "sha": project.repo.git("rev-parse", "main")}
    payload = {"number": 7, "pull_request": {"number": 7, "head": head, "base": base}}
    event = project.scratch / "event.json"
    event.write_text(json.dumps(payload))
    return {
        "CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_REF": "refs/pull/7/merge", "GITHUB_SHA": project.repo.head(),
        "GITHUB_REPOSITORY": "acme/shop", "GITHUB_EVENT_PATH": str(event),
        "GITHUB_HEAD_REF": "feature", "GITHUB_BASE_REF": "main", "GITHUB_SERVER_URL": "https://github.com",
    }  # fmt: skip


def gitlab(project: Project, source: str) -> dict[str, str]:
    """The environment of a merge request's job in a pipeline for merged results."""
    return {
        "CI": "true", "GITLAB_CI": "true", "CI_COMMIT_SHA": project.repo.head(),
        "CI_PIPELINE_SOURCE": "merge_request_event",
        "CI_PROJECT_PATH": "acme/shop", "CI_REGISTRY_IMAGE": project.store, "CI_MERGE_REQUEST_IID": "7",
        "CI_MERGE_REQUEST_EVENT_TYPE": "merged_result", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "feature", "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": source,
        "CI_MERGE_REQUEST_PROJECT_PATH": "acme/shop",
    }  # fmt: skip


@pytest.mark.parametrize("forge", [github, gitlab])
def test_what_a_pull_request_built_is_inherited_by_its_real_merge(request_: Project, forge: Any) -> None:
    env = forge(request_, "acme/shop")
    built = request_.build(env=env)
    assert built.made == ["RUN"]
    assert built.report["context"]["pull_request"] == 7
    record = request_.contents.json(str(built.digests["app"]))["annotations"]
    parents = [request_.repo.git("rev-parse", name) for name in ("main", "feature")]
    assert record["dev.lineal.commits"].split() == parents, "a merge ref exists for one run only"
    # The forge merges for good: another commit, with these parents.
    request_.repo.switch("main")
    request_.repo.clock += 3600
    request_.repo.merge("feature", "Merge pull request 7")
    merged = request_.build(env=NOWHERE)
    assert (merged.made, merged.digests) == ([], built.digests)


@pytest.mark.parametrize("forge", [github, gitlab])
def test_what_a_pull_request_built_is_invisible_to_main_before(request_: Project, forge: Any) -> None:
    request_.build(env=forge(request_, "acme/shop"))
    request_.repo.switch("main")
    request_.repo.write({"NEWS": "a tree of its own"})
    request_.repo.git("cherry-pick", "feature")
    assert request_.plan("--format", "json").stage("/once")["outcome"] == "missing"


@pytest.mark.parametrize("forge", [github, gitlab])
def test_a_fork_builds_and_publishes_nothing(request_: Project, forge: Any) -> None:
    before = request_.contents.tags()
    built = request_.build(env=forge(request_, "stranger/shop"))
    assert [stage["outcome"] for stage in built.stages] == ["cached", "cached", "cached", "built"]
    assert built.report["context"]["may_write"] is False
    assert "publishes nothing" in built.stderr
    assert request_.contents.tags() == before
    assert not any(stage["bytes_pushed"] for stage in built.stages), "what it keeps for itself went nowhere"
    assert built.stdout == "", "a reference that nobody can pull is no result"
    assert [image["ref"] for image in built.report["images"]] == [None]


@pytest.mark.parametrize("forge", [github, gitlab])
def test_a_fork_does_not_deploy(request_: Project, forge: Any) -> None:
    config = request_.repo.path / "lineal.yaml"
    request_.repo.put(
        {
            "lineal.yaml": f"{config.read_text()}deploy: {{chart: chart}}\n",
            "chart/Chart.yaml": "apiVersion: v2\nname: app\nversion: 0.1.0\n",
        }
    )
    refused = request_.run("deploy", "--dev", code=1, env=forge(request_, "stranger/shop"))
    assert "Error: This run may not write (a pull request from a fork), so it does not deploy." in refused.stderr


# --- interruption and company ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_run_leaves_nothing_running_and_a_valid_store(
    layout: Project, base_image: str, mark: str, machine: dict[str, str], number: signal.Signals
) -> None:
    slow = f"RUN --mount=type=secret,id=slow if grep -q yes /run/secrets/slow; then echo {mark}; sleep 300; fi"
    layout.write(f"FROM {base_image}\nCOPY mark /mark\n{ONCE}\n{slow}\n", {"mark": mark})
    run = layout.start("build", "--secret", "id=slow,env=SLOW", env={"SLOW": "yes yes"})
    read_until(run, f"| {mark}")
    run.send_signal(number)
    _, said = run.communicate(timeout=300)
    assert run.returncode == 130, said
    assert said.splitlines()[-1] == "Error: Interrupted; what was published before stays. [LN-9002]"
    assert "Traceback" not in said
    assert containers_of(mark, machine) == []
    rest = layout.build("--secret", "id=slow,env=SLOW", env={"SLOW": "no no"})
    assert rest.made == ["RUN"]


def test_two_runs_share_a_layout_store_without_building_twice(layout: Project, mark: str) -> None:
    large = {f"src/{number}": os.urandom(1000) for number in range(50)}
    layout.write("FROM scratch\nCOPY src /src\nCOPY mark /mark\nCOPY src /again\n", {"mark": mark, **large})
    other = layout.clone("other")
    runs = [layout.start("build"), other.start("build"), layout.start("build"), other.start("build")]
    results = [run.communicate(timeout=300) for run in runs]
    assert [run.returncode for run in runs] == [0] * 4, results
    assert len({out for out, _ in results}) == 1, "all name the same image"
    assert len(layout.contents.tags()) == 6, "each stage was published once"
    list(layout.contents.everything())


def test_two_branches_publish_into_one_layout_store_at_once(layout: Project, mark: str) -> None:
    layout.write("FROM scratch\nCOPY mark /mark\n", {"mark": mark})
    clones = []
    for name in ("one", "two", "three"):
        clone = layout.clone(name)
        clone.repo.branch(name)
        clone.repo.write({"mark": f"{mark} {name}"})
        clones.append(clone)
    runs = [clone.start("build") for clone in clones]
    assert [run.communicate(timeout=300) and run.returncode for run in runs] == [0] * 3
    assert len(layout.contents.tags()) == 6


# --- render ---------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["helm3", "helm4"])
def helm(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment of a machine with this Helm."""
    binaries.fetch(binaries.directory())
    return {"LINEAL_HELM": str(binaries.directory() / request.param)}


@pytest.fixture
def release(layout: Project, mark: str) -> Project:
    """A project with a chart, a values file and a values template."""
    layout.repo.write(
        {
            "lineal.yaml": (
                'project: shop\nimages: {app: {}}\ndeploy:\n  chart: deploy\n  release: "shop-{{ env }}"\n'
                "  values: [values.yaml, images.yaml.j2]\n"
            ),
            "Dockerfile": "FROM scratch\nCOPY mark /mark\n",
            "mark": mark,
            "values.yaml": "replicas: 1\nport: 80\n",
            "images.yaml.j2": "app: {{ images.app.ref }}\nreplicas: {{ vars.replicas }}\n",
            "deploy/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
            "deploy/templates/app.yaml": (
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\n"
                "data:\n  app: {{ .Values.app | quote }}\n  image: {{ .Values.global.lineal.images.app.image }}\n"
                '  scale: "{{ .Values.replicas }} {{ .Values.port }} {{ .Values.extra }}"\n'
                "  commit: {{ .Values.global.lineal.commit }}\n"
            ),
        }
    )
    return layout


def test_render_puts_the_digests_into_the_manifests(release: Project, helm: dict[str, str]) -> None:
    built = release.build()
    image = built.report["images"][0]
    args = ("--env", "prod", "--var", "replicas=3", "--set", "extra=x")
    rendered = release.run("render", *args, env={**NOWHERE, **helm})
    (manifest,) = yaml.safe_load_all(rendered.stdout)
    assert manifest["metadata"]["name"] == "shop-prod"
    assert manifest["data"] == {
        "app": image["ref"], "image": image["image"], "scale": "3 80 x", "commit": release.repo.head(),
    }  # fmt: skip


def test_render_writes_files_and_prints_their_names(release: Project, helm: dict[str, str], tmp_path: Path) -> None:
    release.build()
    out = tmp_path / "manifests"
    args = ("--env", "prod", "--var", "replicas=3", "--output", str(out))
    rendered = release.run("render", *args, env=helm)
    (name,) = rendered.stdout.splitlines()
    assert yaml.safe_load(Path(name).read_text())["kind"] == "ConfigMap"
    assert Path(name).is_relative_to(out)


def test_render_reads_the_commit_not_the_working_tree(release: Project, helm: dict[str, str]) -> None:
    release.build()
    release.repo.put({"values.yaml": "port: 81\n", "deploy/templates/new.yaml": "kind: X\n"})
    args = ("render", "--env", "prod", "--var", "replicas=3")
    refused = release.run(*args, env=helm, code=4).error
    assert "values.yaml (modified)" in refused
    assert "deploy/templates/new.yaml (untracked)" in refused
    left_out = release.run(*args, "--ignore-uncommitted", env=helm)
    (manifest,) = yaml.safe_load_all(left_out.stdout)
    assert manifest["data"]["scale"].startswith("3 80")
