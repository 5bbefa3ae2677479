"""The files of a submodule stand in the commit as if it had them, when they are here and somebody reads them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineal.context.build_context import BuildContext
from lineal.context.checkout import check_out
from lineal.context.glob import expand
from lineal.context.missing_source import explain
from lineal.errors import BadConfiguration
from tests import servers
from tests.unit.git.modules import Noted, add, contents, create, opened, pin, tree, update

FAR = "f" * 40
ABSENT = r"^The submodule {} is pinned to commit [0-9a-f]{{40}}, which is not here\. Run `git submodule update --init"


@pytest.fixture
def lib(tmp_path: Path) -> servers.Repository:
    return create(tmp_path / "lib", {"src/a.c": "1", "run": "#!/bin/sh", "README.md": "1"})


# --- as if they were in the tree ------------------------------------------------------------------------------------


def test_its_files_count_and_are_read_as_the_commit_s_own(
    repo: servers.Repository, lib: servers.Repository, tmp_path: Path
) -> None:
    (lib.path / "link").symlink_to("src/a.c")
    lib.git("add", "--all")
    lib.commit()
    repo.write({"main.c": "2"})
    add(repo, lib, "vendor/lib")
    flat = servers.Repository.create(tmp_path / "flat")
    flat.put({"main.c": "2", ".gitmodules": (repo.path / ".gitmodules").read_text()})
    shutil.copytree(lib.path, flat.path / "vendor/lib", symlinks=True, ignore=shutil.ignore_patterns(".git"))
    flat.git("add", "--all")
    flat.commit()
    one, other = tree(opened(repo)), tree(opened(flat))
    assert one.identity("") == other.identity("")
    assert list(one.walk("vendor/lib/src")) == list(other.walk("vendor/lib/src"))
    assert contents(one) == contents(other)
    assert contents(tree(opened(repo), "vendor"), "lib/src") == {"lib/src/a.c": b"1"}


NAMES = st.sampled_from(["a", "b", "c.md"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PATTERNS = st.lists(
    st.builds("{}{}".format, st.sampled_from(["", "", "!"]), st.one_of(PATHS, st.sampled_from(
        ["*", "**", "*/*", "**/*.md", "*/b", "a/*", "**/b", "a/**/c.md", "[^x]"]))), max_size=4,
).map("\n".join)  # fmt: skip


def plain(paths: set[str]) -> dict[str, str]:
    """Files without those that would have to be a file and a folder."""
    return {path: path for path in paths if not any(other.startswith(path + "/") for other in paths)}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sets(PATHS, max_size=5), st.sets(PATHS, min_size=1, max_size=5), st.sampled_from(["b", "a/b", "a/b/a"]),
    PATTERNS, st.sampled_from(["", "a", "a/b", "a/b/a"]),
    st.lists(st.tuples(st.sampled_from("lcbie"), PATHS | st.just("")), max_size=6),
)  # fmt: skip
def test_no_question_tells_a_submodule_from_a_folder(
    around: set[str], inside: set[str], place: str, ignore: str, folder: str, questions: list[tuple[str, str]]
) -> None:
    """Any files, any submodule, any .dockerignore, any context, and questions in any order: a lazily read submodule
    answers as the folder does."""
    outside = {p for p in around if p != place and not p.startswith(place + "/") and not place.startswith(p + "/")}
    with tempfile.TemporaryDirectory() as name:
        lib = create(Path(name, "lib"), plain(inside))
        nested, flat = (servers.Repository.create(Path(name, kind)) for kind in ("nested", "flat"))
        for repo in (nested, flat):
            repo.write({**plain(outside), "top": "1"})
        flat.write({f"{place}/{path}": text for path, text in plain(inside).items()})
        add(nested, lib, place)
        nested.git("rm", "--quiet", "--cached", ".gitmodules")
        nested.commit()
        one, other = tree(opened(nested), folder, ignore), tree(opened(flat), folder, ignore)
        for kind, path in [*questions, ("b", "")]:
            assert answer(one, kind, path) == answer(other, kind, path), (kind, path)


def answer(tree: BuildContext, kind: str, path: str) -> object:
    if kind == "l":
        node = tree.lstat(path)
        return node and (node.path, node.kind, node.mode, node.size)
    if kind == "e":
        return expand(tree.names(), path.replace("c.md", "*"))
    if kind == "i":
        return tree.identity(path) if tree.lstat(path) else None
    return tree.children(path) if kind == "c" else tree.below(path)


def test_a_wildcard_and_dockerignore_reach_into_it(repo: servers.Repository, lib: servers.Repository) -> None:
    add(repo, lib, "vendor/lib")
    here = opened(repo)
    assert expand(tree(here), "vendor/*/*.md") == ["vendor/lib/README.md"]
    assert expand(tree(here), "vendor/lib/s*/a.c") == ["vendor/lib/src/a.c"]
    found = tree(here, ignore="**/*.md\n.gitmodules\nvendor/lib/src")
    assert [path for path, _, _ in found.identity("")] == ["vendor/lib/run"]
    assert explain(found, "vendor/lib/src/a.c").startswith("it is excluded by .dockerignore.")
    only = tree(here, ignore="*\n!vendor/lib/src")
    assert [path for path, _, _ in only.identity("")] == ["vendor/lib/src/a.c"]
    assert tree(here, ignore="*\n!vendor/lib/src").children("") == only.children("") == ["vendor"]


@pytest.mark.parametrize("folder", ["vendor/lib", "vendor/lib/src", "vendor"])
def test_the_context_may_be_or_lie_in_it(repo: servers.Repository, lib: servers.Repository, folder: str) -> None:
    add(repo, lib, "vendor/lib")
    files = {"vendor/lib/src/a.c", "vendor/lib/run", "vendor/lib/README.md"}
    assert contents(tree(opened(repo), folder)).keys() == {
        path.removeprefix(folder + "/") for path in files if path.startswith(folder + "/")
    }
    assert opened(repo).file("vendor/lib/src/a.c") == b"1"
    assert opened(repo).file("vendor/lib/none") is None


def test_one_inside_of_another(repo: servers.Repository, lib: servers.Repository, tmp_path: Path) -> None:
    middle = create(tmp_path / "middle", {"m": "1"})
    add(middle, lib, "inner")
    add(repo, middle, "mid")
    with pytest.raises(BadConfiguration, match=ABSENT.format("mid/inner")):
        tree(opened(repo)).identity("mid")
    update(repo)
    here = opened(repo)
    assert contents(tree(here), "mid/inner") == {
        "mid/inner/src/a.c": b"1", "mid/inner/run": b"#!/bin/sh", "mid/inner/README.md": b"1"
    }  # fmt: skip
    assert contents(tree(here, "mid/inner/src")) == {"a.c": b"1"}
    assert here.file("mid/inner/run") == b"#!/bin/sh"
    assert here.submodules().keys() == {"mid", "mid/inner"}


def test_a_repository_with_sha256_ids(tmp_path: Path) -> None:
    lib = create(tmp_path / "lib", {"a": "1"}, format="sha256")
    outer = create(tmp_path / "outer", {"b": "1"}, format="sha256")
    add(outer, lib, "lib")
    assert contents(tree(opened(outer)), "lib") == {"lib/a": b"1"}


# --- where its repository is ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["emptied", "gone", "deinit", "elsewhere"])
def test_what_git_keeps_of_it_is_enough(repo: servers.Repository, lib: servers.Repository, kind: str) -> None:
    checkout = add(repo, lib, "vendor/lib", "another name")
    if kind == "deinit":
        repo.git("submodule", "--quiet", "deinit", "--all")
    elif kind == "elsewhere":
        (checkout.path / ".git").write_text("gitdir: /nowhere/of/another/container")
    else:
        shutil.rmtree(checkout.path)
        if kind == "emptied":
            checkout.path.mkdir()
    assert contents(tree(opened(repo)), "vendor/lib/src") == {"vendor/lib/src/a.c": b"1"}


def test_a_checkout_with_a_git_folder_of_its_own(repo: servers.Repository, lib: servers.Repository) -> None:
    repo.write({"a": "1"})
    clone = lib.clone(repo.path / "lib")
    repo.git("-c", "advice.addEmbeddedRepo=false", "add", "lib")
    repo.commit()
    assert (clone.path / ".git").is_dir() and not (repo.path / ".gitmodules").exists()
    assert contents(tree(opened(repo)), "lib/src") == {"lib/src/a.c": b"1"}


def test_in_a_linked_worktree(repo: servers.Repository, lib: servers.Repository, tmp_path: Path) -> None:
    add(repo, lib, "lib")
    repo.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    linked = servers.Repository(tmp_path / "linked")
    assert contents(tree(opened(linked)), "lib/src") == {"lib/src/a.c": b"1"}


def test_of_another_user(repo: servers.Repository, lib: servers.Repository) -> None:
    add(repo, lib, "lib")
    for place in [repo.path, *repo.path.rglob("*")]:
        os.chown(place, 12345, 12345, follow_symlinks=False)
    here = opened(repo, GITHUB_ACTIONS="true")
    assert contents(tree(here), "lib/src") == {"lib/src/a.c": b"1"}
    assert here.submodules()["lib"].changes([""]) == []


def test_the_pinned_commit_counts_and_not_what_is_checked_out(
    repo: servers.Repository, lib: servers.Repository
) -> None:
    checkout = add(repo, lib, "lib")
    checkout.write({"src/a.c": "2"})
    assert contents(tree(opened(repo)), "lib/src") == {"lib/src/a.c": b"1"}
    repo.git("add", "lib")
    repo.commit()
    assert contents(tree(opened(repo)), "lib/src") == {"lib/src/a.c": b"2"}


# --- what is not here -----------------------------------------------------------------------------------------------


def test_what_nothing_reads_need_not_be_here(repo: servers.Repository) -> None:
    repo.write({"src/a": "1", "vendor/b": "1"})
    pin(repo, "vendor/lib", FAR)
    here = opened(repo)
    assert [path for path, _, _ in tree(here).identity("src")] == ["src/a"]
    assert expand(tree(here).names(), "*/b") == ["vendor/b"]
    assert tree(here).children("vendor") == ["b", "lib"]
    assert tree(here, "src").identity("") and tree(here, ignore="vendor/lib").identity("")
    assert [path for path, _, _ in tree(here, ignore="*\n!src").identity("")] == ["src/a"]
    assert "excluded by .dockerignore" in explain(tree(here, ignore="vendor/lib"), "vendor/lib/x")


@pytest.mark.parametrize("pattern", ["vendor", "vendor/lib", "vendor/lib/x", "vendor/*/x", "*", "."])
def test_what_is_read_must_be_here(repo: servers.Repository, pattern: str) -> None:
    repo.write({"src/a": "1"})
    pin(repo, "vendor/lib", FAR)
    found = tree(opened(repo))
    with pytest.raises(BadConfiguration, match=ABSENT.format("vendor/lib")) as refused:
        for path in expand(found.names(), pattern):
            found.identity(path)
    for remedy in (FAR, "submodules: recursive", "GIT_SUBMODULE_STRATEGY: recursive", ".dockerignore"):
        assert remedy in str(refused.value)
    with pytest.raises(BadConfiguration, match=ABSENT.format("vendor/lib")):
        tree(opened(repo), "vendor/lib/deep")
    with pytest.raises(BadConfiguration, match=ABSENT.format("vendor/lib")):
        opened(repo).file("vendor/lib/Dockerfile")


def test_a_commit_that_its_repository_lacks_is_not_here(repo: servers.Repository, lib: servers.Repository) -> None:
    add(repo, lib, "lib")
    pin(repo, "lib", FAR)
    with pytest.raises(BadConfiguration, match=f"lib is pinned to commit {FAR}"):
        tree(opened(repo)).identity("lib")


def test_a_commit_of_the_outer_repository_is_no_content_of_a_submodule(repo: servers.Repository) -> None:
    """Whether it is there would depend on how much history a clone has."""
    repo.write({"a": "1"})
    pin(repo, "lib", repo.head())
    with pytest.raises(BadConfiguration, match=ABSENT.format("lib")):
        tree(opened(repo)).identity("lib")


def test_nothing_is_fetched(repo: servers.Repository, lib: servers.Repository) -> None:
    pin(
        repo,
        "lib",
        lib.head(),
        f'[submodule "lib"]\n\tpath = lib\n\turl = file://{lib.path}\n\tupdate = !touch {repo.path}/ran\n',
    )
    repo.git("config", "submodule.lib.url", f"file://{lib.path}")
    repo.git("config", "protocol.file.allow", "always")
    with pytest.raises(BadConfiguration, match=ABSENT.format("lib")):
        tree(opened(repo)).identity("lib")
    assert not (repo.path / ".git/modules").exists() and not (repo.path / "ran").exists()


# --- hostile .gitmodules --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../../evil", "x/../../../evil", "..", "/{evil}", "x\\\\..\\\\..", ""])
def test_a_name_that_leads_elsewhere_leads_nowhere(
    repo: servers.Repository, lib: servers.Repository, tmp_path: Path, name: str
) -> None:
    """What looks like a git directory in the commit would bring its own configuration: programs to run."""
    evil = repo.path / "evil"
    lib.git("clone", "--quiet", "--bare", ".", str(evil))
    repo.write({"a": "1"})
    text = name.replace("{evil}", str(evil).lstrip("/"))
    pin(repo, "lib", lib.head(), f'[submodule "{text}"]\n\tpath = lib\n\turl = x\n')
    (repo.path / ".git/modules").mkdir()
    with pytest.raises(BadConfiguration, match=ABSENT.format("lib")):
        tree(opened(repo)).identity("lib")


def test_a_link_below_modules_leads_nowhere(
    repo: servers.Repository, lib: servers.Repository, tmp_path: Path
) -> None:
    repo.write({"a": "1"})
    pin(repo, "lib", lib.head(), '[submodule "x"]\n\tpath = lib\n')
    (repo.path / ".git/modules").mkdir()
    (repo.path / ".git/modules/x").symlink_to(lib.path / ".git")
    with pytest.raises(BadConfiguration, match=ABSENT.format("lib")):
        tree(opened(repo)).identity("lib")


def test_a_linked_folder_on_the_way_leads_nowhere(repo: servers.Repository, lib: servers.Repository) -> None:
    repo.write({"a": "1"})
    pin(repo, "dir/lib", lib.head())
    (repo.path / "dir").symlink_to(lib.path.parent)
    with pytest.raises(BadConfiguration, match=ABSENT.format("dir/lib")):
        tree(opened(repo)).identity("dir")


@pytest.mark.parametrize("text", ["not a config [", '[submodule "lib"]\n', "[include]\n\tpath = /etc/passwd\n"])
def test_a_gitmodules_that_says_nothing(repo: servers.Repository, text: str) -> None:
    repo.write({"a": "1"})
    pin(repo, "lib", FAR, text)
    with pytest.raises(BadConfiguration, match=ABSENT.format("lib")):
        tree(opened(repo)).identity("lib")


def test_names_in_it_that_git_would_not_check_out_are_refused(
    repo: servers.Repository, lib: servers.Repository, tmp_path: Path
) -> None:
    checkout = add(repo, lib, "lib")
    blob = checkout.git("rev-parse", "HEAD:run")
    record = b"100644 ..\0" + bytes.fromhex(blob)
    made = subprocess.run(["git", "hash-object", "-t", "tree", "-w", "--literally", "--stdin"], cwd=checkout.path,
                          env=repo.environment(), input=record, capture_output=True, check=True)  # fmt: skip
    commit = checkout.git("commit-tree", "-m", "bad", made.stdout.decode().strip())
    pin(repo, "lib", commit)
    with pytest.raises(BadConfiguration, match=r"^lib/\.\.: is not a path that a file can have"):
        check_out(opened(repo), "lib", tmp_path / "out")
    assert not (tmp_path / "run").exists()


# --- for tools that read files --------------------------------------------------------------------------------------


def test_a_chart_may_have_one_and_may_lie_in_one(
    repo: servers.Repository, lib: servers.Repository, tmp_path: Path
) -> None:
    repo.write({"chart/Chart.yaml": "1"})
    add(repo, lib, "chart/charts/lib")
    (repo.path / "chart/far").symlink_to("charts/lib/src")
    repo.git("add", "--all")
    repo.commit()
    own = {"src/a.c", "run", "README.md"}
    wanted = {
        "chart": {"Chart.yaml", "far/a.c", *(f"charts/lib/{name}" for name in own)},
        "chart/charts/lib": own,
        "chart/charts/lib/src": {"a.c"},
    }
    for number, folder in enumerate(wanted):
        place = tmp_path / str(number)
        assert check_out(opened(repo), folder, place)
        found = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
        assert found == wanted[folder]
    assert not check_out(opened(repo), "chart/charts/lib/none", tmp_path / "none")


def test_a_commit_without_submodules_costs_no_process_more(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write({"a/b": "1", ".gitattributes": "*.png binary"})
    git = Noted(tmp_path / "git")
    found = tree(opened(repo, PATH=git.path))
    for path in expand(found.names(), "*"):
        found.identity(path)
    assert git.commands() == ["rev-parse", "ls-tree"]
