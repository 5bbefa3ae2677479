"""Artifacts: files that an earlier job made in the working tree, and that `lineal-giterminism.yaml` declares."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from lineal.config.giterminism import load_giterminism
from lineal.config.load import LoadedProject, implicit_project
from lineal.context.artifacts import Artifacts
from lineal.context.build_context import BuildContext
from lineal.context.uncommitted import find
from lineal.dockerfile.images import ImageGraphs, read_images
from lineal.errors import BadConfiguration, BuildFailed
from lineal.git.commit import Commit
from lineal.git.working_tree import working_tree
from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import Project
from tests.strangers.commits import opened
from tests.unit.git.modules import add, contents, create

ALL = "FROM scratch\nCOPY . /\n"
DIST = "FROM scratch\nCOPY web/dist /srv/\n"


def shop(
    repo: servers.Repository, dockerfile: str = DIST, patterns: str = "web/dist/**", **files: str | bytes
) -> None:
    """A committed project that declares artifacts; what jobs make is ignored, as everywhere."""
    declared = "artifacts: [" + ", ".join(f'"{one}"' for one in patterns.split()) + "]\n"
    project: dict[str, str | bytes] = {
        "Dockerfile": dockerfile, "lineal-giterminism.yaml": declared, ".gitignore": "dist/\ntarget/\n",
        "web/main.js": "source",
    }  # fmt: skip
    repo.write(project | files)


def made(repo: servers.Repository, files: Mapping[str, str | bytes], links: Mapping[str, str] = {}) -> None:
    """What an earlier job leaves in the working tree."""
    repo.put(files)
    for name, target in links.items():
        (repo.path / name).parent.mkdir(parents=True, exist_ok=True)
        (repo.path / name).symlink_to(target)


def graphs(
    repo: servers.Repository, commit: Commit | None = None, loaded: LoadedProject | None = None
) -> ImageGraphs:
    checkout = opened(repo)
    commit = commit or checkout
    text = commit.file("lineal-giterminism.yaml")
    assert text is not None
    exceptions = load_giterminism(text.decode())
    artifacts = Artifacts(exceptions.artifacts, checkout)
    return read_images(commit, loaded or implicit_project(True, "app"), (), exceptions, artifacts=artifacts)


def checksum(repo: servers.Repository) -> str:
    found = graphs(repo)
    found.require_artifacts()
    return found.last["app"].checksum


def context(found: ImageGraphs) -> BuildContext:
    tree = found.last["app"].context
    assert tree is not None
    return tree


def refused(repo: servers.Repository) -> str:
    with pytest.raises(BadConfiguration) as failure:
        checksum(repo)
    return str(failure.value)


def uncommitted(repo: servers.Repository) -> dict[str, str]:
    found = graphs(repo)
    return {one.path: one.what for one in find(opened(repo), found.files, (), found.readings())}


# --- they are files like committed ones ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dockerfile",
    [
        DIST,
        ALL,
        "FROM scratch\nCOPY web/dist/app.js web/dist/run web/dist/l* /\n",
        "FROM scratch\nCOPY web/*/* /\n",
        "FROM scratch\nADD --chmod=600 web/dist /srv/\n",
        "FROM scratch\nCOPY --link --exclude=*.js web/dist /srv/\n",
        "FROM scratch\nCOPY --parents web/./**/*.js /srv/\n",
        "FROM scratch\nCOPY --parents web/dist/app.js /srv/\n",
        "FROM busybox\nRUN --mount=target=/src,source=web/dist make\n",
        "FROM busybox\nRUN --mount=target=/src make\n",
    ],
)
def test_they_count_as_if_they_were_committed(tmp_path: Path, dockerfile: str) -> None:
    files: dict[str, str | bytes] = {
        "web/dist/app.js": "code",
        "web/dist/css/a.css": b"\r\n\xff",
        "web/dist/run": "#!/bin/sh\n",
    }
    links = {"web/dist/latest": "app.js", "web/dist/gone": "../nowhere"}
    sums = []
    for name in ("made", "committed"):
        format = "sha1" if "COPY" in dockerfile else "sha256"
        repo = create(tmp_path / name, {".gitattributes": "*.bin filter=lfs -text\n"}, format=format)
        shop(repo, dockerfile)
        made(repo, files, links)
        if name == "committed":
            repo.git("add", "--force", "web/dist")
            repo.commit()
        found = graphs(repo)
        sums.append(found.last["app"].checksum)
        assert contents(context(found))["web/dist/css/a.css"] == b"\r\n\xff"
        assert {(node.path, node.mode) for node in context(found).walk("web/dist")} >= {
            ("web/dist/run", 0o755), ("web/dist/app.js", 0o644), ("web/dist/latest", 0o777),
        }  # fmt: skip
        assert not uncommitted(repo)
    assert sums[0] == sums[1]


def test_their_bytes_count_and_nothing_else_of_them(repo: servers.Repository) -> None:
    shop(repo)
    made(repo, {"web/dist/app.js": "1"})
    first = checksum(repo)
    made(repo, {"web/dist/app.js": "2"})
    second = checksum(repo)
    made(repo, {"web/dist/app.js": "1", "web/other": "undeclared", "target/x": "undeclared"})
    os.utime(repo.path / "web/dist/app.js", (1, 1))
    (repo.path / "web/dist/app.js").chmod(0o666)
    assert checksum(repo) == first != second
    (repo.path / "web/dist/app.js").chmod(0o700)
    assert checksum(repo) not in (first, second)


def test_ignore_rules_attributes_and_lfs_are_gits_alone(repo: servers.Repository) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 5\n"
    repo.write({".gitattributes": "* text eol=lf\n*.bin filter=lfs -text\n"})
    shop(repo)
    made(repo, {"web/dist/a.bin": pointer, "web/dist/crlf.txt": "a\r\n", "web/dist/.gitattributes": "* filter=lfs\n"})
    assert contents(context(graphs(repo)), "web/dist") == {
        "web/dist/a.bin": pointer.encode(), "web/dist/crlf.txt": b"a\r\n",
        "web/dist/.gitattributes": b"* filter=lfs\n",
    }  # fmt: skip


def test_dockerignore_leaves_them_out(repo: servers.Repository) -> None:
    shop(repo, ALL, **{".dockerignore": "**/*.map\nweb/dist/secret\n"})
    made(repo, {"web/dist/app.js": "1", "web/dist/app.js.map": "2", "web/dist/secret/key": "3"})
    assert {path for path in contents(context(graphs(repo))) if "dist" in path} == {"web/dist/app.js"}


def test_a_context_may_be_made_of_them_alone(repo: servers.Repository) -> None:
    loaded = implicit_project(True, "app")
    image = loaded.project.images["app"]
    import msgspec

    loaded.project.images["app"] = msgspec.structs.replace(image, context="web/dist", dockerfile="Dockerfile")
    shop(repo, ALL)
    made(repo, {"web/dist/app.js": "1"})
    assert contents(context(graphs(repo, loaded=loaded))) == {"app.js": b"1"}


@pytest.mark.parametrize(
    ("pattern", "means"),
    [
        ("web/dist", {"web/dist/a", "web/dist/b/c.jar"}),
        ("web/dist/", {"web/dist/a", "web/dist/b/c.jar"}),
        ("./web/dist/**", {"web/dist/a", "web/dist/b/c.jar"}),
        ("web/dist/*", {"web/dist/a", "web/dist/b/c.jar"}),
        ("web/dist/?", {"web/dist/a", "web/dist/b/c.jar"}),
        ("**/*.jar", {"web/dist/b/c.jar", "target/d.jar"}),
        ("target/*.jar", {"target/d.jar"}),
        ("WEB/dist/**", set()),
        ("web/dist/a", {"web/dist/a"}),
        ("web/dis", set()),
    ],
)
def test_patterns_mean_files_and_all_in_a_folder(repo: servers.Repository, pattern: str, means: set[str]) -> None:
    shop(repo, ALL, pattern)
    made(repo, {"web/dist/a": "1", "web/dist/b/c.jar": "2", "target/d.jar": "3", "target/d.jar.txt": "4"})
    found = {path for path in contents(context(graphs(repo))) if "dist" in path or "target" in path}
    assert found == means


def test_names_that_are_no_text(repo: servers.Repository) -> None:
    shop(repo)
    (repo.path / "web/dist").mkdir()
    name = os.fsencode(repo.path) + b"/web/dist/\xff\n"
    Path(os.fsdecode(name)).write_text("odd")
    assert contents(context(graphs(repo)), "web/dist") == {"web/dist/\udcff\n": b"odd"}
    made_alone = checksum(repo)
    repo.git("add", "--force", "web/dist")
    repo.commit()
    repo.write({"lineal-giterminism.yaml": ""})
    assert checksum(repo) == made_alone


# --- what git has -------------------------------------------------------------------------------------------------


def test_what_git_has_counts_as_git_has_it(repo: servers.Repository) -> None:
    shop(repo)
    repo.put({"web/dist/index.html": "committed"})
    repo.git("add", "--force", "web/dist/index.html")
    repo.commit()
    made(repo, {"web/dist/index.html": "changed", "web/dist/app.js": "1"})
    assert contents(context(graphs(repo)), "web/dist") == {
        "web/dist/index.html": b"committed", "web/dist/app.js": b"1",
    }  # fmt: skip
    assert uncommitted(repo) == {"web/dist/index.html": "modified"}
    (repo.path / "web/dist/index.html").unlink()
    assert uncommitted(repo) == {"web/dist/index.html": "deleted"}


def test_they_are_no_uncommitted_changes(repo: servers.Repository) -> None:
    shop(repo, ALL, **{".gitignore": ""})
    made(repo, {"web/dist/app.js": "1", "web/new": "2"})
    assert uncommitted(repo) == {"web/new": "untracked"}
    repo.git("add", "web/dist")
    assert uncommitted(repo) == {"web/new": "untracked"}
    assert contents(context(graphs(repo)), "web/dist") == {"web/dist/app.js": b"1"}


def test_a_link_of_the_commit_in_the_way_is_not_followed(repo: servers.Repository) -> None:
    (repo.path / "web").mkdir()
    (repo.path / "web/dist").symlink_to("../out")
    shop(repo, DIST, "web/dist/** out/**", **{".gitignore": "out/\n"})
    repo.git("add", "--all")
    repo.commit()
    assert "The artifact out/** of lineal-giterminism.yaml is needed here and is not there." in refused(repo)
    made(repo, {"out/app.js": "1"})
    assert [path for path in contents(context(graphs(repo))) if path.endswith("app.js")] == ["out/app.js"]
    checksum(repo)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../x", "../../..", "../up/x"])
def test_a_link_that_leads_outside_is_refused(repo: servers.Repository, target: str) -> None:
    (repo.path / "web").mkdir()
    (repo.path / "web/up").symlink_to("../..")
    shop(repo)
    repo.git("add", "--all")
    repo.commit()
    made(repo, {"web/dist/app.js": "1"}, {"web/dist/link": target})
    assert "The artifact web/dist/link is a link to " in refused(repo)
    assert "[LN-3018]" in refused(repo)
    repo.write({"Dockerfile": "FROM scratch\nCOPY web/dist/link /x\n"})
    assert "The artifact web/dist/link is a link to " in refused(repo)
    repo.write({".dockerignore": "**/link\n", "Dockerfile": DIST})
    checksum(repo)


def test_no_file_is_read_through_a_link(repo: servers.Repository, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/key").write_text("secret")
    shop(repo)
    (repo.path / "web/dist").symlink_to(tmp_path / "outside")
    assert "is a link to the absolute path" in refused(repo) or "is not there" in refused(repo)


def test_a_link_on_the_way_is_named(repo: servers.Repository, tmp_path: Path) -> None:
    shop(repo, "FROM scratch\nCOPY bazel-bin/app /\n", "bazel-bin/app")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/app").write_text("1")
    (repo.path / "bazel-bin").symlink_to(tmp_path / "out")
    assert "is not there: bazel-bin is a link, and none is followed to it." in refused(repo)


def test_what_is_no_file_is_refused_where_it_is_needed(
    repo: servers.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop(repo)
    made(repo, {"web/dist/app.js": "1"})
    os.mkfifo(repo.path / "web/dist/pipe")
    assert "The artifact web/dist/pipe is no file, folder or link." in refused(repo)
    (repo.path / "web/dist/pipe").unlink()
    with socket.socket(socket.AF_UNIX) as made_by_a_server, monkeypatch.context() as there:
        there.chdir(repo.path / "web/dist")
        made_by_a_server.bind("socket")
    assert "The artifact web/dist/socket is no file, folder or link." in refused(repo)
    repo.write({".dockerignore": "**/socket\n"})
    checksum(repo)


def test_a_file_that_changes_while_it_is_read_is_no_layer(repo: servers.Repository) -> None:
    shop(repo)
    made(repo, {"web/dist/app.js": "1" * 10})
    tree = context(graphs(repo))
    node = tree.lstat("web/dist/app.js")
    assert node is not None
    for data in ("2" * 10, "1" * 11, "1"):
        (repo.path / "web/dist/app.js").write_text(data)
        with pytest.raises(BuildFailed, match=r"The artifact web/dist/app\.js changed while it was read"):
            list(tree.open(node))


def test_somebody_elses_repository_in_there_is_left_out(repo: servers.Repository) -> None:
    shop(repo)
    made(repo, {"web/dist/app.js": "1", "web/dist/lib/.git/config": "[x]", "web/dist/lib/a.js": "2"})
    assert contents(context(graphs(repo)), "web/dist").keys() == {"web/dist/app.js", "web/dist/lib/a.js"}


def test_those_in_a_submodule_stand_beside_its_files(tmp_path: Path) -> None:
    outer, inner = (
        create(tmp_path / "outer", {"a": "1"}),
        create(tmp_path / "inner", {"b": "2", ".gitignore": "dist"}),
    )
    add(outer, inner, "web")
    outer.write({"Dockerfile": ALL, "lineal-giterminism.yaml": "artifacts: [web/dist/**]\n"})
    made(outer, {"web/dist/app.js": "1", "web/b2": "undeclared"})
    found = {path: data for path, data in contents(context(graphs(outer))).items() if path.startswith("web/")}
    assert found == {"web/b": b"2", "web/.gitignore": b"dist", "web/dist/app.js": b"1"}
    assert uncommitted(outer) == {"web/b2": "untracked"}
    assert context(graphs(outer)).children("web") == [".gitignore", "b", "dist"]


def test_dev_takes_their_bytes_as_they_are(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write({".gitattributes": "* text eol=lf\n"})
    shop(repo, **{".gitignore": ""})
    made(repo, {"web/dist/crlf.txt": "a\r\n", "web/main.js": "changed"})
    built = working_tree(opened(repo), tmp_path / "dev")
    tree = context(graphs(repo, built))
    assert contents(tree, "web") == {"web/dist/crlf.txt": b"a\r\n", "web/main.js": b"changed"}
    assert graphs(repo, built).last["app"].checksum == checksum(repo)


def test_sparse_checkouts_have_them(repo: servers.Repository) -> None:
    shop(repo, ALL, **{"big/a": "1"})
    repo.git("sparse-checkout", "set", "docs")
    made(repo, {"web/dist/app.js": "1"})
    assert not (repo.path / "web/main.js").exists()
    assert {"web/main.js", "big/a", "web/dist/app.js"} <= contents(context(graphs(repo))).keys()
    assert uncommitted(repo) == {}


# --- those that are not there -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dockerfile",
    [
        DIST,
        ALL,
        "FROM scratch\nCOPY web /\n",
        "FROM scratch\nCOPY web/d* /\n",
        "FROM scratch\nCOPY web/dist/app.js /\n",
        "FROM scratch\nCOPY web/dist/*.js /\n",
        "FROM scratch\nCOPY --parents web/./dist/** /\n",
        "FROM scratch\nCOPY --parents web/dist/app.js /\n",
        "FROM scratch\nCOPY --exclude=docs . /\n",
        "FROM busybox\nRUN --mount=target=/src make\n",
        "FROM busybox\nRUN --mount=target=/src,source=web/dist/app.js make\n",
        "FROM scratch\nADD . /\n",
    ],
)
def test_one_that_is_needed_and_not_there_names_the_job_to_run(repo: servers.Repository, dockerfile: str) -> None:
    shop(repo, dockerfile)
    said = refused(repo)
    assert (
        "Dockerfile:2: The artifact web/dist/** of lineal-giterminism.yaml is needed here and is not there." in said
    )
    assert "Run the job that makes it first" in said and "[LN-3019]" in said
    assert graphs(repo).last["app"].unknown == ("web/dist/**",)


@pytest.mark.parametrize(
    ("dockerfile", "ignore"),
    [
        ("FROM scratch\nCOPY Dockerfile /\n", ""),
        ("FROM scratch\nCOPY web/main.js /\n", ""),
        ("FROM scratch\nCOPY web/*.js /\n", ""),
        ("FROM scratch\nCOPY --exclude=dist web /\n", ""),
        (ALL, "web/dist"),
        (ALL, "**/dist/**"),
        (ALL, "*\n!Dockerfile"),
        ("FROM scratch\nCOPY --from=busybox /web/dist /\n", ""),
        ("FROM busybox\nRUN --mount=target=/src,source=web/main.js make\n", ""),
    ],
)
def test_one_that_is_not_needed_need_not_be_there(repo: servers.Repository, dockerfile: str, ignore: str) -> None:
    shop(repo, dockerfile, **({".dockerignore": ignore} if ignore else {}))
    checksum(repo)


def test_a_placeholder_of_git_is_no_artifact(repo: servers.Repository) -> None:
    shop(repo, ALL)
    repo.put({"web/dist/.gitkeep": ""})
    repo.git("add", "--force", "web/dist/.gitkeep")
    repo.commit()
    assert "is not there" in refused(repo)
    made(repo, {"web/dist/app.js": "1"})
    checksum(repo)
    (repo.path / "web/dist/app.js").unlink()
    repo.put({"web/dist/index.html": "git has it"})
    repo.git("add", "--force", "web/dist/index.html")
    repo.commit()
    checksum(repo)
    repo.write({"Dockerfile": "FROM scratch\nCOPY web/dist/app.js /\n"})
    assert "is not there" in refused(repo)


def test_one_of_several_files_that_is_not_there(repo: servers.Repository) -> None:
    shop(repo, "FROM scratch\nCOPY target/shop-2.jar /\n", "target/*.jar")
    made(repo, {"target/shop-1.jar": "1"})
    assert "The artifact target/*.jar of lineal-giterminism.yaml is needed here" in refused(repo)


def test_another_spelling_is_still_said_to_be_one(repo: servers.Repository) -> None:
    shop(repo, "FROM scratch\nCOPY web/Dist/app.js /\n")
    made(repo, {"web/dist/app.js": "1"})
    assert "there is 'web/dist/app.js': case counts" in refused(repo)


def test_an_undeclared_one_stays_what_it_is(repo: servers.Repository) -> None:
    shop(repo, DIST, "target/**")
    made(repo, {"web/dist/app.js": "1", "target/a": "1"})
    assert "it is in the working tree, and .gitignore:1 (dist/) keeps it out of the commit." in refused(repo)


def test_of_another_commit_none_are_there(repo: servers.Repository) -> None:
    shop(repo)
    made(repo, {"web/dist/app.js": "1"})
    exceptions = load_giterminism("artifacts: [web/dist/**]")
    found = read_images(opened(repo), implicit_project(True, "app"), (), exceptions)
    assert found.last["app"].unknown == ("web/dist/**",)


# --- whole runs ---------------------------------------------------------------------------------------------------

TWO = """\
project: shop
images:
  api: {dockerfile: api.Dockerfile}
  web: {dockerfile: web.Dockerfile}
  all: {dockerfile: all.Dockerfile, needs: {WEB: web}}
"""
DOCKERFILES = {
    "api.Dockerfile": "FROM scratch\nCOPY api /\n",
    "web.Dockerfile": "FROM scratch\nCOPY api /api\nCOPY web/dist /web\nLABEL a=b\n",
    "all.Dockerfile": "ARG WEB\nFROM $WEB\nCOPY api /again\n",
    "api/a": "1",
}


@pytest.fixture
def project(repo: servers.Repository, lineal: Lineal, tmp_path: Path) -> Project:
    shop(repo, **{"lineal.yaml": TWO}, **DOCKERFILES)
    return Project(repo, lineal, f"layout:{tmp_path / 'store'}", tmp_path)


def test_a_plan_without_them_says_what_is_unknown(project: Project) -> None:
    made(project.repo, {"web/dist/app.js": "1"})
    built = project.build()
    (project.repo.path / "web/dist/app.js").unlink()
    planned = project.plan("--exit-code", code=2)
    reasons = {stage["instruction"]: (stage["outcome"], stage["reason"]) for stage in planned.stages}
    unknown = ("missing", "unknown until built: web/dist")
    assert reasons["COPY web/dist /web"] == reasons["LABEL a=b"] == reasons["COPY api /again"] == unknown
    assert reasons["COPY api /"][0] == reasons["COPY api /api"][0] == "cached"
    assert project.lineal("plan", "--format", "matrix", f"--repo={project.store}").stdout == (
        '{"include":[{"image":"all"}]}\n'
    )
    assert planned.digests["api"] == built.digests["api"]


@pytest.mark.parametrize("command", [("build",), ("build", "all")])
def test_a_build_without_them_refuses(project: Project, command: tuple[str, ...]) -> None:
    ran = project.run(*command, code=3)
    assert "web.Dockerfile:3: The artifact web/dist/** of lineal-giterminism.yaml is needed here" in ran.stderr
    project.build("api")


def test_what_was_built_of_them_is_found_and_other_bytes_are_another_image(project: Project) -> None:
    made(project.repo, {"web/dist/app.js": "1"})
    first = project.build()
    assert project.build().made == []
    made(project.repo, {"web/dist/app.js": "2"})
    # The tree is the same: only the bytes tell the two apart.
    second = project.build()
    assert second.made == ["COPY", "LABEL", "COPY"]
    made(project.repo, {"web/dist/app.js": "1"})
    assert project.build().digests == first.digests != second.digests
