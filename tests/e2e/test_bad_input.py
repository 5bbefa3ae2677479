"""What goes wrong for a new user: each time one sentence that says what, where and what to do, and the right code."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project, Ran, check
from tests.tools import helm as binaries

pytestmark = [pytest.mark.engine, pytest.mark.registry]

HELLO = "FROM scratch\nCOPY hello /hello\n"
CHART = {
    "deploy/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
    "deploy/templates/app.yaml": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\n"
        "data: {image: {{ .Values.global.lineal.images.app.image | quote }}}\n"
    ),
}
DEPLOYED = "project: shop\nimages: {app: {}}\ndeploy: {chart: deploy}\n"


@pytest.fixture(scope="session")
def helm() -> dict[str, str]:
    """The environment of a machine with Helm."""
    binaries.fetch(binaries.directory())
    return {"LINEAL_HELM": str(binaries.directory() / "helm4")}


def error(project: Project, *args: str, code: int, **more: object) -> str:
    told = project.run(*args, code=code, **more).error  # type: ignore[arg-type]
    # For whoever wants to judge them all at once: pytest -rP.
    print(f"exit {code}: {told}")
    return told


# --- no project -----------------------------------------------------------------------------------------------------


def test_no_git_repository(layout: Project, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert error(layout, "build", code=3, cwd=empty) == (
        f"There is no git repository at {empty}. Run Lineal inside a clone (in CI: after the checkout step)."
    )


def test_a_repository_without_a_commit(layout: Project) -> None:
    assert error(layout, "build", code=3) == (
        f"The git repository {layout.repo.path} has no commit yet. Lineal builds commits: run `git add` and "
        "`git commit` first."
    )


def test_neither_lineal_yaml_nor_dockerfile(layout: Project) -> None:
    layout.repo.write({"README": "hello"})
    assert error(layout, "build", code=3) == (
        "The commit has neither lineal.yaml nor Dockerfile at its root. Write one of them and commit it."
    )


def test_lineal_yaml_that_was_never_committed(layout: Project) -> None:
    layout.repo.write({"README": "hello"})
    layout.repo.put({"lineal.yaml": "project: shop\n"})
    assert error(layout, "build", code=4) == (
        "lineal.yaml is in the working tree, but not in the commit. Run `git add` and `git commit` first, or build "
        "the working tree with --dev."
    )


def test_a_carriage_return_hides_nothing_of_an_error(layout: Project) -> None:
    layout.repo.write({"Dockerfile": HELLO, "hello": "hello", ".dockerignore": "[--z]\r"})
    assert error(layout, "build", code=3) == (
        ".dockerignore: Invalid ignore pattern '[--z] ': syntax error in pattern."
    )


def test_a_dockerfile_alone_is_enough(layout: Project) -> None:
    layout.repo.write({"Dockerfile": HELLO, "hello": "hello"})
    built = layout.build()
    assert "There is no lineal.yaml: building ./Dockerfile as the image 'repo'." in built.stderr
    assert list(built.digests) == ["repo"]


# --- lineal.yaml ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("project: shop\nimages:\n  app: {context: [}\n", ["lineal.yaml:3:"]),
        ("project: shop\nproject: shop\n", ["lineal.yaml:2:", "project"]),
        ("project: shop\nimages:\n\tapp: {}\n", ["lineal.yaml:3: A tab stands where YAML takes spaces only."]),
        ("project: shop\nimages: {app: {args: {A: {{ vars.version }}}}}\n", ["lineal.yaml:2:", "version", "--var"]),
        ("project: shop\nimages:\n{% for i in 3 %}\n", ["lineal.yaml:3:", "for"]),
        ("project: {{ 1 / 0 }}\n", ["lineal.yaml:1:", "zero"]),
        ("project: shop\nimages: {app: {dockerfle: x}}\n", ["lineal.yaml:2: images.app.dockerfle", "Did you mean"]),
        ("project: shop\nimage: {}\n", ["lineal.yaml:2: image", "images"]),
        ("project: shop\nimages: {app: {args: {V: 3.13}}}\n", ["lineal.yaml:2: images.app.args.V", '"3.13"']),
        ("project: Shop\n", ["lineal.yaml:1: project", "lower-case"]),
        ("images: {app: {}}\n", ["lineal.yaml", "project"]),
        ("project: shop\nimages: {a: {needs: {B: b}}, b: {needs: {A: a}}}\n", ["lineal.yaml:2: images", "needs"]),
        ("", ["lineal.yaml: The file is empty. Begin with `project: NAME`."]),
    ],
    ids=["yaml", "duplicate key", "tab", "jinja2 undefined", "jinja2 syntax", "jinja2 run", "unknown key",
         "unknown section", "number", "name", "no project", "cycle", "empty"],
)  # fmt: skip
def test_a_wrong_lineal_yaml_names_line_and_key(layout: Project, text: str, said: list[str]) -> None:
    layout.repo.write({"lineal.yaml": text, "Dockerfile": HELLO, "hello": ""})
    told = error(layout, "build", code=3)
    assert [part for part in said if part not in told] == [], told


def test_an_unknown_image(layout: Project) -> None:
    layout.write(HELLO, {"hello": ""})
    assert error(layout, "build", "ap", code=3) == "There is no image 'ap' in lineal.yaml. Did you mean 'app'?"
    assert error(layout, "build", "web", code=3) == "There is no image 'web' in lineal.yaml. It has app."


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["bild"], "No such command 'bild'"),
        (["build", "--relase", "x"], "No such option '--relase'"),
        (["build", "--jobs", "0"], "--jobs"),
        (["build", "--var", "version"], "--var (or line of LINEAL_VAR) number 1 is not NAME=VALUE. Write each"),
        (["build", "--secret", "npm"], "--secret cannot be read. Write --secret id=NAME,env=VARIABLE"),
        (["build", "--lock", "redis"], "There is no lock `redis` (--lock). The locks are: auto, file, git, "),
    ],
    ids=["command", "option", "jobs", "var", "secret", "lock"],
)  # fmt: skip
def test_wrong_usage(layout: Project, args: list[str], said: str) -> None:
    layout.write(HELLO, {"hello": ""})
    done = layout.lineal(*args)
    assert (done.code, done.stdout) == (3, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


# --- the Dockerfile -------------------------------------------------------------------------------------------------


def test_a_missing_dockerfile(layout: Project) -> None:
    layout.repo.write({"lineal.yaml": "project: shop\nimages:\n  app: {context: api}\n"})
    assert error(layout, "build", code=3) == (
        "lineal.yaml:3: images.app: The Dockerfile api/Dockerfile of image 'app' does not exist in the commit. "
        "Write it, or name it with `dockerfile:`."
    )
    layout.repo.put({"api/Dockerfile": HELLO})
    assert (
        "The Dockerfile api/Dockerfile of image 'app' is in the working tree, but not in the commit. Run "
        in error(layout, "build", code=4)
    )


@pytest.mark.parametrize(
    ("dockerfile", "said"),
    [
        ("FROM scratch\nCOPI a /a\n", "Dockerfile:2: "),
        ("FROM scratch\nRUN --security=strange true\n", "Dockerfile:2: --security=strange is not known."),
        ("FROM scratch\nRUN --mount=type=volume true\n", "Dockerfile:2: "),
        ("FROM scratch\nADD http://localhost/a /a\n", "Dockerfile:2: ADD of 'http://localhost/a'"),
        ("FROM ${BASE}\n", "Dockerfile:1: "),
        ("FROM Debian:13\n", "Dockerfile:1: 'Debian:13' is not an image reference: its name must be lower case."),
        ("RUN true\n", "Dockerfile:1: RUN stands before the first FROM."),
        ("# nothing\n", "Dockerfile: "),
    ],
    ids=["typing error", "flag", "mount", "url", "undefined", "upper case", "no FROM", "empty"],
)  # fmt: skip
def test_a_dockerfile_that_cannot_be_built_names_the_line(layout: Project, dockerfile: str, said: str) -> None:
    layout.write(dockerfile)
    assert error(layout, "build", code=3).startswith(said)


@pytest.mark.parametrize("instruction", ["COPY {} /x", "ADD {} /x", "RUN --mount=source={},target=/x true"])
@pytest.mark.parametrize(
    ("source", "code", "why"),
    [
        ("new", 3, "it is in the working tree, but not in the commit. Run `git add` and `git commit` first"),
        ("ignored.log", 3, "it is excluded by .dockerignore"),
        ("absent", 3, "there is no such file in the commit"),
    ],
)
def test_a_source_that_is_not_in_the_commit(
    layout: Project, base_image: str, instruction: str, source: str, code: int, why: str
) -> None:
    files = {".dockerignore": "*.log\n", "ignored.log": "", "there": ""}
    layout.write(f"FROM {base_image}\nCOPY there /there\n{instruction.format(source)}\n", files)
    layout.repo.put({"new": ""})
    told = error(layout, "build", code=code)
    assert told.startswith(f"Dockerfile:3: {instruction.split('{')[0].split(' --mount')[0].split()[0]}")
    assert f"{source!r}: {why}" in told


def test_a_base_image_that_does_not_exist(layout: Project, registry: str) -> None:
    layout.write(f"FROM {registry}/no/such:1\nRUN true\n")
    assert error(layout, "build", code=1) == (
        f"Dockerfile:1: The base image {registry}/no/such:1 does not exist. Check the name and the tag; a private "
        "base needs credentials in the docker config."
    )


def test_a_run_that_fails(layout: Project, base_image: str, mark: str) -> None:
    lines = [f"FROM {base_image}", "COPY mark /mark", "RUN echo one >/one", "RUN echo about to fail >&2; exit 7", ""]
    layout.write("\n".join(lines), {"mark": mark})
    failed = layout.build(code=1)
    assert failed.error == (
        "Dockerfile:4: `RUN echo about to fail >&2; exit 7` ended with status 7. Its output is above; the stages "
        "before it are published."
    )
    assert "| about to fail" in failed.stderr
    assert [stage["outcome"] for stage in failed.stages] == ["built", "assembled", "built", "failed"]
    assert failed.report["images"][0]["digest"] is None
    # Mended, only the failed line is left to do.
    layout.write("\n".join([*lines[:3], "RUN echo good", ""]))
    assert layout.build().made == ["RUN"]


def test_a_program_that_the_image_does_not_have(layout: Project, base_image: str, mark: str) -> None:
    layout.write(f'FROM {base_image}\nCOPY mark /mark\nRUN ["/usr/bin/python3", "-V"]\n', {"mark": mark})
    failed = layout.build(code=1)
    assert failed.error.startswith('Dockerfile:3: `RUN ["/usr/bin/python3", "-V"]` ended with status 127.')
    assert "python3" in failed.stderr.split("Error:")[0], "what is missing is said above"


def test_a_user_that_the_image_does_not_have(layout: Project, base_image: str, mark: str) -> None:
    layout.write(f"FROM {base_image}\nCOPY mark /mark\nUSER nobody-there\nRUN true\n", {"mark": mark})
    assert "nobody-there" in error(layout, "build", code=1)


def test_a_secret_that_is_not_given(layout: Project, base_image: str, mark: str) -> None:
    run = "RUN --mount=type=secret,id=npm,required=true true"
    layout.write(f"FROM {base_image}\nCOPY mark /mark\n{run}\n", {"mark": mark})
    assert error(layout, "build", code=3) == (
        "Dockerfile:3: The secret 'npm' is required here and not given. Give it with --secret id=npm,env=NAME "
        "(LINEAL_SECRET); a commit of the project's own may name it under `secrets:` in lineal.yaml."
    )
    told = error(layout, "build", "--secret", "id=npm,env=NPM_TOKEN", code=3)
    assert "'npm' comes from the environment variable NPM_TOKEN, which is not set. Set it" in told


# --- the store ------------------------------------------------------------------------------------------------------


@pytest.fixture
def hello(layout: Project) -> Project:
    """A project that needs neither engine nor registry."""
    layout.write(HELLO, {"hello": "hello"})
    return layout


def test_a_registry_that_is_down(hello: Project) -> None:
    host = f"127.0.0.1:{servers.free_port()}"
    told = error(hello, "build", code=5, store=f"{host}/shop")
    assert told == f"{host} cannot be reached: connection refused. Check that it is up and that its address is right."


def test_no_credentials(hello: Project, auth_registry: str) -> None:
    told = error(hello, "build", code=5, store=f"{auth_registry}/shop")
    assert auth_registry in told
    assert "docker login" in told


def test_wrong_credentials(hello: Project, auth_registry: str) -> None:
    login = {"LINEAL_REGISTRY_USERNAME": servers.USER, "LINEAL_REGISTRY_PASSWORD": "battery-staple"}
    told = error(hello, "build", code=5, store=f"{auth_registry}/shop", env=login)
    assert auth_registry in told
    assert "LINEAL_REGISTRY_USERNAME" in told
    assert "battery-staple" not in told


def test_a_fork_s_commit_does_not_say_who_gets_the_password(
    repo: servers.Repository, lineal: Lineal, stranger: Stranger, tmp_path: Path
) -> None:
    repo.write({"lineal.yaml": f"project: shop\nrepo: {stranger.host}/shop\nimages: {{app: {{}}}}\n",
                "Dockerfile": HELLO, "hello": ""})  # fmt: skip
    head = {"ref": "x", "sha": repo.head(), "repo": {"full_name": "stranger/shop", "fork": True}}
    (tmp_path / "event.json").write_text(json.dumps({"pull_request": {"number": 7, "head": head}}))
    fork = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_SHA": "b" * 40,
            "GITHUB_REF": "refs/heads/main", "GITHUB_REPOSITORY": "acme/shop",
            "GITHUB_EVENT_PATH": str(tmp_path / "event.json")}  # fmt: skip
    lineal.env |= {"LINEAL_REGISTRY_USERNAME": "bot", "LINEAL_REGISTRY_PASSWORD": "s3cret"}
    refused = lineal("plan", env=fork)
    assert refused.code == 5 and "s3cret" not in refused.stderr
    assert f"{stranger.host}/shop comes from the commit (lineal.yaml:2), which is not" in refused.stderr
    assert stranger.asked and not any(stranger.asked)
    # Whoever wrote the job, or the project itself, may say so.
    for args, env in ((["--repo", f"{stranger.host}/shop"], fork), ([], {})):
        stranger.asked.clear()
        told = lineal("plan", *args, env=env)
        assert told.code == 5 and "comes from the commit" not in told.stderr
        assert f"Basic {base64.b64encode(b'bot:s3cret').decode()}" in stranger.asked


class Stranger(NamedTuple):
    """A registry that lets nobody in, and the Authorization of each request that it got."""

    host: str
    asked: list[str | None]


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    asked: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            asked.append(self.headers["Authorization"])
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="stranger"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield Stranger(f"127.0.0.1:{server.server_port}", asked)
    server.shutdown()
    server.server_close()


def test_no_permission_to_push(hello: Project, read_only_registry: str) -> None:
    plan = hello.plan("--exit-code", code=2, store=f"{read_only_registry}/shop")
    assert plan.stage("COPY")["outcome"] == "missing", "reading is allowed"
    told = error(hello, "build", code=5, store=f"{read_only_registry}/shop")
    assert read_only_registry in told
    assert "shop" in told
    assert "push" in told or "write" in told


@pytest.fixture
def read_only_registry(registry: str) -> Iterator[str]:
    """The registry as a user without the right to push sees it: every write is answered with 403."""
    import requests

    class Front(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def read(self) -> None:
            answer = requests.request(
                self.command, f"http://{registry}{self.path}", headers=dict(self.headers), timeout=30
            )
            self.answer(answer.status_code, answer.content, answer.headers.get("Content-Type", ""))

        def write(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b'{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}'
            self.answer(403, body, "application/json")

        def answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = read
        do_POST = do_PUT = do_PATCH = write

    server = ThreadingHTTPServer(("127.0.0.1", 0), Front)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("registry.example.com/Team/App", "Write 'registry.example.com/team/app'."),
        ("registry.example.com", "has no valid repository after the host"),
        ("https://registry.example.com/app", "Leave that out: 'registry.example.com/app'."),
        ("registry.example.com/app:latest", "has a tag"),
        ("team/app", "does not begin with a host"),
        ("layout:", "A layout store needs a directory"),
    ],
)
def test_an_invalid_store_address(hello: Project, address: str, said: str) -> None:
    assert said in error(hello, "build", code=3, store=address)


def test_a_directory_of_other_things_as_layout_store(hello: Project, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"meow")
    told = error(hello, "build", code=3, store=f"layout:{tmp_path / 'photos'}")
    assert told == (
        f"{tmp_path / 'photos'} is not an OCI Image Layout and holds other things, such as 'cat.jpg'. "
        "Choose a new or empty directory for the layout store."
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "lineal", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("No permission to mount a small file system.")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_under_a_layout_store(layout: Project, small_disk: Path) -> None:
    store = f"layout:{small_disk / 'store'}"
    layout.write("FROM scratch\nCOPY small /small\nCOPY large /large\n", {"small": "s", "large": os.urandom(400_000)})
    failed = layout.build(code=5, store=store)
    assert failed.error == (
        f"The layout store {small_disk / 'store'} cannot be written: no space left on device. Free some space, or "
        "choose another store."
    )
    layout.write("FROM scratch\nCOPY small /small\n")
    assert layout.build(store=store).made == [], "what was published before is whole"


# --- the engine -----------------------------------------------------------------------------------------------------


def test_no_engine_while_a_run_is_missing(layout: Project, base_image: str, mark: str) -> None:
    layout.write(f"FROM {base_image}\nCOPY mark /mark\nRUN true\n", {"mark": mark})
    failed = layout.build(code=5, env=NOWHERE | {"LINEAL_ENGINE": "docker"})
    assert failed.error.startswith("The Docker Engine at unix:///nowhere/docker.sock cannot be reached. Start Docker")
    assert [stage["outcome"] for stage in failed.stages] == ["built", "assembled", "failed"]


def test_no_engine_while_no_run_is_missing(layout: Project, base_image: str, mark: str) -> None:
    layout.write(f"FROM {base_image}\nCOPY mark /mark\nRUN true\nCOPY mark /end\nENV A=b\n", {"mark": mark})
    layout.build()
    layout.write(f"FROM {base_image}\nCOPY mark /mark\nRUN true\nCOPY mark /other\nENV A=c\n")
    assert layout.build(env=NOWHERE).made == ["COPY", "ENV"]


# --- helm -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(hello: Project) -> Project:
    """The same with a chart."""
    hello.repo.write({"lineal.yaml": DEPLOYED, **CHART})
    return hello


@pytest.mark.parametrize("command", ["render", "deploy", "converge"])
def test_no_helm(shop: Project, command: str, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "git").symlink_to(str(shutil.which("git")))
    told = error(shop, command, code=3, env={"PATH": str(tools)})
    assert "helm" in told
    assert "LINEAL_HELM" in told
    assert not Path(shop.store[7:]).exists(), "nothing was built for a release that cannot be"


def test_a_missing_chart(shop: Project, helm: dict[str, str]) -> None:
    shop.repo.write({"lineal.yaml": DEPLOYED.replace("deploy}", "charts/shop}")})
    for command in ("render", "deploy", "converge"):
        assert error(shop, command, code=3, env=helm) == (
            "lineal.yaml:3: deploy.chart: The chart charts/shop does not exist in the commit. Correct the path."
        )


def test_a_chart_that_was_never_committed(shop: Project, helm: dict[str, str]) -> None:
    shop.repo.write({"lineal.yaml": DEPLOYED.replace("deploy}", "charts/shop}")})
    shop.repo.put({"charts/shop/Chart.yaml": "x"})
    assert "charts/shop" in error(shop, "render", code=4, env=helm)


@pytest.mark.parametrize(
    ("files", "code", "said"),
    [
        ({"deploy/templates/app.yaml": "a: {{ .Values.x\n"}, 1, "deploy/templates/app.yaml:"),
        ({"deploy/templates/app.yaml": 'a: {{ required "no port" .Values.port }}\n'}, 1, "no port"),
        ({"deploy/templates/app.yaml": "a: [\n"}, 1, "deploy/templates/app.yaml"),
        ({"deploy/Chart.yaml": "name: [\n"}, 1, "deploy/Chart.yaml"),
        ({"deploy/Chart.yaml": None}, 3, "deploy: There is no Chart.yaml"),
        ({"deploy/values.yaml": "a: b: c\n"}, 1, "deploy/values.yaml"),
    ],
    ids=["template", "required", "manifest", "Chart.yaml", "no Chart.yaml", "values.yaml"],
)
def test_a_broken_chart_names_its_file(
    shop: Project, helm: dict[str, str], files: dict[str, str | None], code: int, said: str
) -> None:
    shop.repo.write(files)
    shop.build()
    assert said in error(shop, "render", code=code, env=helm)


def test_no_deploy_section(hello: Project, helm: dict[str, str]) -> None:
    assert error(hello, "deploy", code=3, env=helm) == (
        "lineal.yaml: There is nothing to deploy: the key `deploy` is missing. Write `deploy: {chart: PATH}`."
    )


def test_an_environment_that_is_not_given(shop: Project, helm: dict[str, str]) -> None:
    shop.repo.write({"lineal.yaml": DEPLOYED.replace("deploy}", 'deploy, release: "shop-{{ env }}"}')})
    shop.build()
    told = error(shop, "render", code=3, env=helm)
    assert told.startswith("lineal.yaml:3: deploy.release:")
    assert "--env" in told


@pytest.mark.parametrize("command", ["deploy", "render"])
def test_an_image_that_is_not_published(shop: Project, helm: dict[str, str], command: str) -> None:
    told = error(shop, command, code=1, env=helm)
    assert told.startswith("An image is missing for this commit: app (")
    assert told.endswith("Run `lineal build` first, or `lineal converge`, which does both.")


def test_a_cluster_that_is_down(shop: Project, helm: dict[str, str], tmp_path: Path) -> None:
    host = f"127.0.0.1:{servers.free_port()}"
    (tmp_path / "kubeconfig").write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n"
        f"clusters: [{{name: c, cluster: {{server: 'http://{host}'}}}}]\n"
        "contexts: [{name: here, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n"
    )
    shop.build()
    told = error(shop, "deploy", code=5, env={**helm, "KUBECONFIG": str(tmp_path / "kubeconfig")})
    assert host in told
    assert "connection refused" in told


# --- a report that has no place -------------------------------------------------------------------------------------


def test_a_report_that_cannot_be_written(hello: Project, tmp_path: Path) -> None:
    done = hello.lineal("build", "--repo", hello.store, "--report", str(tmp_path / "no" / "report.json"))
    check(Ran(done.code, done.stdout, done.stderr), 3)
    assert "report" in done.stderr.splitlines()[-1]
