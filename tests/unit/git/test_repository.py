"""What the commit and the working tree say, in the kinds of repository that people and CIs have."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lineal.errors import BadConfiguration
from lineal.git.command import GitFailed
from lineal.git.commit import Commit
from tests import servers

NAMES = [
    "plain.txt", "with space/in name.txt", "line\nbreak.txt", "tab\there", ":(glob)*", ":!a", "*", "[a-z]", "-n",
    "a\\b", '"quoted"', "\u2028separator", "é", os.fsdecode(b"latin-\xe9"),
]  # fmt: skip


def opened(repo: servers.Repository, start: Path | None = None, environ: dict[str, str] | None = None) -> Commit:
    return Commit.open(start or repo.path, repo.environment() | (environ or {}))


def changes(repository: Commit, *paths: str) -> set[tuple[str, str]]:
    return {(change.path, change.what) for change in repository.changes(paths or [""])}


# --- which repository, which commit ---------------------------------------------------------------------------------


def test_a_folder_without_a_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=f"There is no git repository at {tmp_path}"):
        Commit.open(tmp_path, {"PATH": os.environ["PATH"]})


def test_a_repository_without_a_commit_is_refused(repo: servers.Repository) -> None:
    with pytest.raises(BadConfiguration, match="has no commit yet"):
        opened(repo)


def test_a_bare_repository_is_no_place_to_build(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write({"a": "1"})
    bare = repo.clone(tmp_path / "bare.git", "--bare")
    with pytest.raises(BadConfiguration, match="There is no git repository"):
        opened(bare)


@pytest.mark.parametrize("content", ["gitdir: /nowhere", "nonsense", None])
def test_a_broken_git_folder_is_named(tmp_path: Path, content: str | None) -> None:
    if content is None:
        (tmp_path / ".git").mkdir()
    else:
        (tmp_path / ".git").write_text(content)
    with pytest.raises(BadConfiguration, match=f"{tmp_path} has a .git, but git cannot use it"):
        Commit.open(tmp_path, {"PATH": os.environ["PATH"]})


def test_a_machine_without_git_is_told_to_install_it(
    repo: servers.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write({"a": "1"})
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BadConfiguration, match="git is not installed"):
        Commit.open(repo.path, {"PATH": "/nowhere"})


def test_a_run_may_start_in_a_subdirectory(repo: servers.Repository) -> None:
    commit = repo.write({"deep/er/a": "1"})
    repository = opened(repo, repo.path / "deep" / "er")
    assert (repository.root, repository.head()) == (repo.path.resolve(), commit)
    assert repository.file("deep/er/a") == b"1"


def test_a_linked_worktree_has_its_own_commit_branch_and_changes(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write({"a": "1"})
    repo.git("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "linked"))
    linked = servers.Repository(tmp_path / "linked", repo.clock)
    commit = linked.write({"a": "2"})
    linked.put({"a": "3"})
    repository = opened(linked)
    assert (repository.head(), repository.branch(), repository.file("a")) == (commit, "side", b"2")
    assert changes(repository) == {("a", "modified")}
    assert changes(opened(repo)) == set()


@pytest.mark.parametrize("name", ["with space", "line\nbreak", "\u2028odd\x85", "colon:here", os.fsdecode(b"\xe9")])
def test_the_path_of_the_repository_may_be_anything(tmp_path: Path, name: str) -> None:
    repo = servers.Repository.create(tmp_path / name)
    commit = repo.write({"a": "1"})
    repository = opened(repo)
    assert (repository.head(), repository.object_format, repository.shallow) == (commit, "sha1", False)
    assert repository.git_dir == repo.path.resolve() / ".git"
    assert repository.file("a") == b"1"


def test_the_branch_is_named_as_it_is_also_beside_a_tag_of_the_same_name(repo: servers.Repository) -> None:
    repo.write({"a": "1"})
    repo.git("tag", "main")
    assert opened(repo).branch() == "main"


def test_a_branch_may_have_slashes_and_odd_letters(repo: servers.Repository) -> None:
    repo.write({"a": "1"})
    repo.branch("feature/\u2028x")
    assert opened(repo).branch() == "feature/\u2028x"


def test_a_detached_head_has_no_branch(repo: servers.Repository) -> None:
    repo.write({"a": "1"})
    repo.git("checkout", "--quiet", "--detach")
    assert opened(repo).branch() is None


def test_a_repository_with_sha256_ids(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    repo = servers.Repository(tmp_path / "new")
    repo.git("init", "--quiet", "--object-format=sha256")
    commit = repo.write({"a": "1", "d/b": "2"})
    repository = opened(repo)
    assert (repository.object_format, repository.head(), len(commit)) == ("sha256", commit, 64)
    assert [path for path, _, _ in repository.listing()] == ["a", "d", "d/b"]
    assert repository.file("d/b") == b"2"


def test_objects_may_be_packed_or_borrowed(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write({"a": "1"})
    repo.write({"a": "2" * 5000, "b": "1"})
    repo.git("gc", "--quiet")
    repo.git("clone", "--quiet", "--shared", str(repo.path), str(tmp_path / "shared"))
    for place in (repo.path, tmp_path / "shared"):
        repository = Commit.open(place, repo.environment())
        assert (repository.file("a"), repository.file("b")) == (b"2" * 5000, b"1")


def test_a_workspace_of_another_user_is_trusted_in_a_ci(repo: servers.Repository) -> None:
    repo.write({"a": "1"})
    for place in [repo.path, *repo.path.rglob("*")]:
        os.chown(place, 12345, 12345)
    with pytest.raises(subprocess.CalledProcessError):  # git itself says: dubious ownership
        subprocess.run(["git", "status"], cwd=repo.path, env=repo.environment(), check=True, capture_output=True)
    repository = opened(repo, environ={"GITLAB_CI": "true"})
    assert (repository.file("a"), changes(repository)) == (b"1", set())


def test_another_user_can_build_a_workspace_of_root(repo: servers.Repository) -> None:
    commit = repo.write({"a": "1"})
    for folder in [repo.path, *repo.path.parents][:-2]:
        folder.chmod(0o755)
    script = "import sys; from lineal.git.commit import *; r = Commit.open(Path(sys.argv[1]));"
    done = subprocess.run(
        ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", sys.executable, "-c",
         script + "print(r.head(), r.changes(['']))", str(repo.path)],
        env=repo.environment() | {"GITHUB_ACTIONS": "true", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == f"{commit} []\n", done.stderr


def test_the_git_variables_of_a_hook_do_not_lead_elsewhere(repo: servers.Repository, tmp_path: Path) -> None:
    commit = repo.write({"a": "1"})
    other = servers.Repository.create(tmp_path / "other")
    other.write({"b": "1"})
    leaks = {"GIT_DIR": str(other.path / ".git"), "GIT_WORK_TREE": str(other.path), "GIT_PREFIX": "x/",
             "GIT_INDEX_FILE": str(other.path / ".git/index"), "GIT_OBJECT_DIRECTORY": "/nowhere",
             "GIT_NAMESPACE": "x", "GIT_GLOB_PATHSPECS": "1"}  # fmt: skip
    repository = opened(repo, environ=leaks)
    assert (repository.head(), repository.file("a"), changes(repository)) == (commit, b"1", set())


def test_settings_of_the_caller_for_git_stay(repo: servers.Repository) -> None:
    repo.write({"a": "1"})
    extra = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "x.y", "GIT_CONFIG_VALUE_0": "z"}
    repository = opened(repo, environ=extra)
    assert repository.run("config", "x.y") == b"z\n"
    assert repository.run("config", "core.fsmonitor") == b"false\n"


def test_no_hook_of_the_repository_runs(repo: servers.Repository) -> None:
    repo.write({"a": "1"})
    mark = repo.path / "ran"
    repo.put({".git/hooks/post-index-change": f"#!/bin/sh\ntouch {mark}\n"})
    repository = opened(repo)
    repository.run("update-index", "--refresh")
    repository.run("add", "a")
    assert not mark.exists()


# --- facts ----------------------------------------------------------------------------------------------------------


def test_a_merge_commit_names_its_parents_also_where_a_shallow_clone_cuts_them_off(
    repo: servers.Repository, tmp_path: Path
) -> None:
    repo.write({"a": "1"})
    repo.branch("side")
    side = repo.write({"b": "1"})
    repo.switch("main")
    main = repo.write({"c": "1"})
    merge = repo.merge("side")
    shallow = opened(repo.clone(tmp_path / "shallow", "--depth=1"))
    assert shallow.shallow
    assert shallow.parents(merge) == (main, side)


def test_peel_finds_commits_and_nothing_else(repo: servers.Repository) -> None:
    commit = repo.write({"a": "1"})
    repo.git("tag", "-a", "v1", "-m", "x")
    tag = repo.git("rev-parse", "refs/tags/v1")
    repository = opened(repo)
    assert [repository.peel(rev) for rev in ("v1", tag, commit, "main")] == [commit] * 4
    assert [repository.peel(rev) for rev in ("f" * 40, "--all", "-x", "HEAD:a", "")] == [None] * 5


def test_tags_at_head_are_those_of_this_commit(repo: servers.Repository) -> None:
    repo.write({"a": "1"})
    repo.git("tag", "old")
    repo.write({"a": "2"})
    assert opened(repo).tags_at_head() == []
    for name in ("v1", "odd\u3000name"):
        repo.git("tag", "-a", name, "-m", "x")
    assert opened(repo).tags_at_head() == ["odd\u3000name", "v1"]


@pytest.mark.parametrize("kept", ["loose", "packed", "in another worktree"])
def test_tags_are_found_however_git_keeps_them(repo: servers.Repository, tmp_path: Path, kept: str) -> None:
    repo.write({"a": "1"})
    repo.git("tag", "a/nested/tag")
    if kept == "packed":
        repo.git("pack-refs", "--all", "--prune")
    elif kept == "in another worktree":
        repo.git("worktree", "add", "--detach", str(tmp_path / "other"))
        repo = replace(repo, path=tmp_path / "other")
    assert opened(repo).tags_at_head() == ["a/nested/tag"]


def test_a_clone_without_tags_needs_no_process_to_say_so(
    repo: servers.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write({"a": "1"})
    repo.git("pack-refs", "--all", "--prune")
    repository = opened(repo)
    monkeypatch.setattr(Commit, "run", None)
    assert repository.tags_at_head() == []


# --- content --------------------------------------------------------------------------------------------------------


def test_every_name_that_git_takes_is_listed_and_read(repo: servers.Repository) -> None:
    repo.write({f"d/{name}": f"text of {name}".encode("utf-8", "surrogateescape") for name in NAMES})
    repository = opened(repo)
    files = {path for path, mode, _ in repository.listing(["d"]) if mode != "040000"}
    assert files == {f"d/{name}" for name in NAMES}
    for name in NAMES:
        assert repository.file(f"d/{name}") == f"text of {name}".encode("utf-8", "surrogateescape")


def test_a_pattern_is_no_pattern_for_git(repo: servers.Repository) -> None:
    repo.write({"a/x": "1", "b/x": "1", ":(glob)*/x": "1"})
    repository = opened(repo)
    assert [path for path, _, _ in repository.listing([":(glob)*"])] == [":(glob)*", ":(glob)*/x"]
    assert repository.listing(["*"]) == []
    assert repository.file("*/x") is None


def test_a_listing_has_parents_first_and_only_what_was_asked_for(repo: servers.Repository) -> None:
    repo.write({"a/b/c": "1", "a/d": "#!/bin/sh", "a.b": "1", "e/f": "1"})
    (repo.path / "a/link").symlink_to("d")
    repo.git("add", "--all")
    repo.commit()
    repository = opened(repo)
    listing = [(path, mode) for path, mode, _ in repository.listing(["a"])]
    assert listing == [
        ("a", "040000"),
        ("a/b", "040000"),
        ("a/b/c", "100644"),
        ("a/d", "100755"),
        ("a/link", "120000"),
    ]
    assert [path for path, _, _ in repository.listing(["a/b", "e"])] == ["a", "a/b", "a/b/c", "e", "e/f"]
    assert len(repository.listing(["a", ""])) == len(repository.listing()) == 8


def test_only_a_file_has_a_content(repo: servers.Repository) -> None:
    repo.write({"d/a": "1", "big": b"\0" * 3_000_000})
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{repo.head()},sub")
    repo.commit()
    repository = opened(repo)
    assert [repository.file(path) for path in ("d", "sub", "none", "d/none", "d/a/x")] == [None] * 5
    assert repository.file("big") == b"\0" * 3_000_000


def test_the_working_tree_does_not_change_a_file_of_the_commit(repo: servers.Repository) -> None:
    repo.write({"a": "committed"})
    repo.put({"a": "changed"})
    repo.git("add", "a")
    assert opened(repo).file("a") == b"committed"


def test_a_link_is_followed_to_a_file_of_the_commit(repo: servers.Repository) -> None:
    repo.put({"real/e/Dockerfile": "FROM scratch\n"})
    (repo.path / "Dockerfile").symlink_to("real/e/Dockerfile")
    (repo.path / "d").symlink_to("real")
    (repo.path / "x").symlink_to("/etc/passwd")
    repo.git("add", "--all")
    repo.commit()
    commit = opened(repo)
    assert [commit.file(path) for path in ("Dockerfile", "d/e/Dockerfile", "d/none", "Dockerfile/x")] == [
        b"FROM scratch\n", b"FROM scratch\n", None, None
    ]  # fmt: skip
    assert commit.follow("d/e/Dockerfile").read == ("d", "real/e/Dockerfile")
    with pytest.raises(BadConfiguration, match=r"^x: is a symbolic link that leads to the absolute path"):
        commit.file("x")


def test_many_readers_do_not_mix_up_and_one_may_stop_in_the_middle(repo: servers.Repository) -> None:
    from concurrent.futures import ThreadPoolExecutor

    repo.write({f"f{number}": bytes([number]) * 2_500_000 for number in range(8)})
    repository = opened(repo)
    oids = {path: oid for path, _, oid in repository.listing()}
    half = repository.stream(oids["f1"])
    next(half)
    del half
    with ThreadPoolExecutor(4) as pool:
        contents = list(pool.map(repository.object, [oids[f"f{number}"] for number in range(8)] * 3))
    assert all(content == bytes([number % 8]) * 2_500_000 for number, content in enumerate(contents))
    assert max(len(chunk) for chunk in repository.stream(oids["f2"])) <= 1 << 20
    repository.close()


def test_sizes_of_many_and_the_sentence_for_an_object_that_is_not_there(repo: servers.Repository) -> None:
    repo.write({"a": "", "b": "12345"})
    repository = opened(repo)
    oids = {path: oid for path, _, oid in repository.listing()}
    assert repository.sizes([oids["a"], oids["b"], oids["b"]]) == {oids["a"]: 0, oids["b"]: 5}
    assert repository.sizes([]) == {}
    for ask in (lambda: repository.sizes(["f" * 40]), lambda: repository.object("f" * 40)):
        with pytest.raises(GitFailed, match=r"git has no object f{40} in .*clone without --filter"):
            ask()


def test_a_partial_clone_reads_what_it_has_and_fetches_the_rest(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write({"a": "old"})
    old = repo.git("rev-parse", "HEAD:a")
    repo.write({"a": "new"})
    repo.git("config", "uploadpack.allowFilter", "true")
    partial = repo.clone(tmp_path / "partial", "--filter=blob:none")
    repository = opened(partial)
    assert repository.file("a") == b"new"
    assert (repository.objects.has(old), repository.object(old), repository.objects.has(old)) == (False, b"old", True)
    with pytest.raises(GitFailed):
        repository.object("f" * 40)


# --- changes --------------------------------------------------------------------------------------------------------


def test_each_kind_of_change_has_its_word(repo: servers.Repository) -> None:
    names = ["same", "modified", "staged", "deleted", "removed", "moved", "mode", "kind", "uncached"]
    repo.write({name: f"{name}\n" * 10 for name in names} | {".gitignore": "*.log\n"})
    repo.put({"modified": "x", "staged": "x", "deleted": None, "kind": None, "new": "x", "added": "x",
              "intended": "x", "x.log": "x", "folder/inner": "x"})  # fmt: skip
    (repo.path / "kind").symlink_to("same")
    (repo.path / "mode").chmod(0o755)
    repo.git("add", "staged", "added")
    repo.git("add", "--intent-to-add", "intended")
    repo.git("rm", "--quiet", "removed")
    repo.git("rm", "--quiet", "--cached", "uncached")
    repo.git("mv", "moved", "there")
    assert changes(opened(repo)) == {
        ("modified", "modified"), ("staged", "modified"), ("deleted", "deleted"), ("removed", "deleted"),
        ("moved", "deleted"), ("there", "added"), ("mode", "modified"), ("kind", "modified"), ("added", "added"),
        ("intended", "added"), ("new", "untracked"), ("folder/inner", "untracked"),
        ("uncached", "deleted"), ("uncached", "untracked"),
    }  # fmt: skip


def test_a_conflict_is_a_change(repo: servers.Repository) -> None:
    repo.write({"a": "1\n"})
    repo.branch("side")
    repo.write({"a": "2\n"})
    repo.switch("main")
    repo.write({"a": "3\n"})
    subprocess.run(["git", "merge", "side"], cwd=repo.path, env=repo.environment(), capture_output=True)
    assert changes(opened(repo)) == {("a", "modified")}


def test_changes_are_those_below_the_paths_that_were_asked_for(repo: servers.Repository) -> None:
    repo.write({"a/x": "1", "ab/x": "1", "*/x": "1", "c": "1"})
    repo.put({"a/x": "2", "ab/x": "2", "*/x": "2", "c": "2", "a/new": "1"})
    repository = opened(repo)
    assert changes(repository, "a") == {("a/x", "modified"), ("a/new", "untracked")}
    assert changes(repository, "*") == {("*/x", "modified")}
    assert changes(repository, "c", "none") == {("c", "modified")}
    assert len(changes(repository, ".", "a")) == 5


def test_changes_of_every_name_are_told(repo: servers.Repository) -> None:
    repo.write({f"d/{name}": "1" for name in NAMES})
    repo.put({f"d/{name}": "22" for name in NAMES} | {f"new/{name}": "1" for name in NAMES})
    repository = opened(repo)
    assert {path for path, _ in changes(repository, "d")} == {f"d/{name}" for name in NAMES}
    for name in NAMES:
        assert changes(repository, f"new/{name}") == {(f"new/{name}", "untracked")}


def test_settings_of_the_user_do_not_hide_changes(repo: servers.Repository) -> None:
    repo.write({"a": "1", "d/b": "1"})
    for setting in ("status.showUntrackedFiles=no", "status.renames=copies", "status.relativePaths=true",
                    "core.quotePath=true", "status.short=true", "status.branch=true"):  # fmt: skip
        repo.git("config", *setting.split("="))
    repo.put({"d/new": "1", "a": None})
    assert changes(opened(repo, repo.path / "d")) == {("d/new", "untracked"), ("a", "deleted")}


def test_asking_for_changes_leaves_the_index_as_it_is(repo: servers.Repository) -> None:
    repo.write({"a": "1"})
    os.utime(repo.path / "a", (1, 1))
    before = (repo.path / ".git/index").read_bytes()
    assert changes(opened(repo)) == set()
    assert (repo.path / ".git/index").read_bytes() == before


def test_a_checkout_without_all_files_has_no_changes(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write({"a/x": "1", "b/x": "1"})
    sparse = repo.clone(tmp_path / "sparse", "--sparse")
    sparse.git("sparse-checkout", "set", "a")
    assert not (sparse.path / "b").exists()
    repository = opened(sparse)
    assert (changes(repository), repository.file("b/x")) == (set(), b"1")
