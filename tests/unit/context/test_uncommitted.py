"""Only uncommitted changes of files that a run reads count (G7)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from lineal.context.build_context import BuildContext
from lineal.context.dockerignore import Ignore
from lineal.context.glob import expand
from lineal.context.listing import Listing
from lineal.context.uncommitted import ReadPaths, find, refuse
from lineal.errors import Uncommitted
from lineal.git.commit import Commit
from lineal.git.repository import Change
from tests import servers
from tests.unit.git.modules import LFS, add, create, opened, pointer, update


def found(
    repo: servers.Repository, *patterns: str, files: Iterable[str] = (), folders: Iterable[str] = (),
    context: str = "", ignore: str = "",
) -> set[str]:  # fmt: skip
    repository = Commit.open(repo.path, repo.environment())
    tree = BuildContext(
        repository, context, Listing(repository.listing([context])), Ignore(ignore, file=".dockerignore")
    )
    readings = [ReadPaths(tree, patterns)] if patterns else []
    for pattern in patterns:
        for path in expand(tree.names(), pattern):
            tree.identity(path)
    return {change.path for change in find(repository, files, folders, readings)}


@pytest.fixture
def changed(repo: servers.Repository) -> servers.Repository:
    """Everything in it is changed, and each folder has something new."""
    names = ["Dockerfile", "src/a.py", "src/deep/b.py", "src.txt", "docs/x.md", "chart/templates/a.yaml", "chart2/x"]
    repo.write(dict.fromkeys(names, "1"))
    repo.put(dict.fromkeys([*names, "new", "src/new.py", "docs/new.md"], "2"))
    return repo


@pytest.mark.parametrize(
    ("patterns", "counted"),
    [
        (["src"], {"src/a.py", "src/deep/b.py", "src/new.py"}),
        (["/src/"], {"src/a.py", "src/deep/b.py", "src/new.py"}),
        (["./src/deep/../a.py"], {"src/a.py"}),
        (["src/*.py"], {"src/a.py", "src/new.py"}),
        (["*/*.md"], {"docs/x.md", "docs/new.md"}),
        (["s??"], {"src/a.py", "src/deep/b.py", "src/new.py"}),
        (["../new"], {"new"}),
        (["none", "docs"], {"docs/x.md", "docs/new.md"}),
        (["none"], set()),
        (["src/a.py/x"], set()),
    ],
)
def test_what_an_instruction_copies_counts(
    changed: servers.Repository, patterns: list[str], counted: set[str]
) -> None:
    assert found(changed, *patterns) == counted


@pytest.mark.parametrize("pattern", [".", "/", "*", "./"])
def test_a_copy_of_everything_counts_everything(changed: servers.Repository, pattern: str) -> None:
    assert found(changed, pattern) >= {"Dockerfile", "src/deep/b.py", "new", "chart2/x"}


def test_what_dockerignore_excludes_does_not_count(changed: servers.Repository) -> None:
    assert found(changed, ".", ignore="*\n!src\nsrc/deep") == {"src/a.py", "src/new.py"}


def test_a_context_is_a_folder_of_its_own(changed: servers.Repository) -> None:
    assert found(changed, ".", context="src", ignore="a.py") == {"src/deep/b.py", "src/new.py"}
    assert found(changed, "a.py", context="src") == {"src/a.py"}


def test_single_files_and_whole_folders_count(changed: servers.Repository) -> None:
    assert found(changed, files=["Dockerfile", "none"]) == {"Dockerfile"}
    assert found(changed, folders=["chart"]) == {"chart/templates/a.yaml"}
    assert found(changed, files=["new"], folders=["docs"]) == {"new", "docs/x.md", "docs/new.md"}
    assert len(found(changed, folders=["."])) == 10
    assert found(changed) == set()


def test_a_file_deleted_from_the_working_tree_counts(changed: servers.Repository) -> None:
    changed.put({"src/a.py": None})
    assert "src/a.py" in found(changed, "src")


def test_what_git_ignores_does_not_count(repo: servers.Repository) -> None:
    repo.write({".gitignore": "*.log", "src/a": "1"})
    repo.put({"src/x.log": "1"})
    assert found(repo, ".") == set()


def test_a_clean_workspace_has_nothing_to_count(repo: servers.Repository) -> None:
    repo.write({"a": "1"})
    assert found(repo, ".", files=["a"], folders=["."]) == set()


# --- submodules and Git LFS ----------------------------------------------------------------------------------------


@pytest.fixture
def outer(repo: servers.Repository, tmp_path: Path) -> servers.Repository:
    """vendor/lib is a submodule, and vendor/lib/inner one of that."""
    inner = create(tmp_path / "inner", {"i": "1"})
    lib = create(tmp_path / "lib", {"src/a": "1", "README.md": "1"})
    add(lib, inner, "inner")
    repo.write({"main": "1"})
    add(repo, lib, "vendor/lib")
    update(repo)
    return repo


def test_changes_inside_a_submodule_count_where_it_is_read(outer: servers.Repository) -> None:
    assert found(outer, ".") == set()
    outer.put({"vendor/lib/src/a": "2", "vendor/lib/new": "1", "vendor/lib/inner/i": "2"})
    everything = {"vendor/lib/src/a", "vendor/lib/new", "vendor/lib/inner/i"}
    assert found(outer, ".") == found(outer, "vendor") == everything
    assert found(outer, "vendor/lib/src") == found(outer, "vendor/*/src/a") == {"vendor/lib/src/a"}
    assert found(outer, ".", ignore="vendor/lib/src") == everything - {"vendor/lib/src/a"}
    assert found(outer, "src", context="vendor/lib") == {"vendor/lib/src/a"}
    assert found(outer, folders=["vendor/lib/inner"]) == {"vendor/lib/inner/i"}
    assert found(outer, "main") == found(outer, ".", ignore="vendor") == set()


def test_a_file_that_is_read_from_a_submodule_counts(outer: servers.Repository) -> None:
    outer.put({"vendor/lib/README.md": "2"})
    repository = opened(outer)
    assert repository.file("vendor/lib/README.md") == b"1"
    changes = find(repository, ["vendor/lib/README.md"], [], [])
    assert [(change.path, change.what) for change in changes] == [("vendor/lib/README.md", "modified")]


@pytest.mark.parametrize("setting", ["", "ignore = all"])
def test_another_commit_than_the_pinned_one_counts(outer: servers.Repository, setting: str) -> None:
    if setting:
        text = (outer.path / ".gitmodules").read_text()
        outer.write({".gitmodules": f"{text}\t{setting}\n"})
    servers.Repository(outer.path / "vendor/lib").write({"src/a": "2"})
    repository = opened(outer)
    tree = BuildContext(repository, "", Listing(repository.listing()), Ignore("", file=".dockerignore"))
    tree.identity("vendor/lib/src")
    changes = find(repository, [], [], [ReadPaths(tree, ("vendor/lib/src",))])
    assert changes == [Change("vendor/lib", "checked out at another commit", changes[0].oid)]
    assert found(outer, "main") == set()
    servers.Repository(outer.path / "vendor/lib/inner").write({"i": "2"})
    assert found(outer, "vendor/lib/inner/i") == {"vendor/lib", "vendor/lib/inner"}
    outer.git("rm", "--quiet", "--cached", "vendor/lib")
    assert "vendor/lib" in found(outer, "vendor/lib/src")


def test_a_submodule_that_is_not_checked_out_has_no_changes(outer: servers.Repository) -> None:
    outer.git("submodule", "--quiet", "deinit", "--force", "--all")
    assert found(outer, ".") == set()


@pytest.mark.parametrize("required", [False, True])
def test_the_content_of_a_pointer_is_no_change_also_without_git_lfs(repo: servers.Repository, required: bool) -> None:
    repo.write({".gitattributes": LFS, "a.bin": pointer(b"12345"), "b.bin": pointer(b"1"), "c.bin": pointer(b"1")})
    repo.git("config", "filter.lfs.clean", "no-such-program")
    repo.git("config", "filter.lfs.process", "no-such-program")
    repo.git("config", "filter.lfs.required", str(required).lower())
    repo.put({"a.bin": b"12345", "b.bin": b"2", "c.bin": b"1"})
    (repo.path / "c.bin").chmod(0o755)
    assert found(repo, ".") == {"b.bin", "c.bin"}


# --- the refusal ----------------------------------------------------------------------------------------------------


def test_the_refusal_names_each_file_with_what_happened_to_it() -> None:
    changes = [Change("a", "modified"), Change("b/c", "untracked")]
    with pytest.raises(
        Uncommitted, match=r"a \(modified\), b/c \(untracked\)\..*--dev.*--ignore-uncommitted"
    ) as refused:
        refuse(changes, lambda path: False, pytest.fail)
    assert refused.value.exit_code == 4
    assert "\n" not in str(refused.value)


def test_of_many_files_ten_are_named_and_the_others_counted() -> None:
    changes = [Change(f"f{number:03}", "modified") for number in range(25)]
    with pytest.raises(Uncommitted, match=r"f009 \(modified\) and 15 more\."):
        refuse(changes, lambda path: False, pytest.fail)


def test_what_is_tolerated_is_left_out_with_a_warning_and_the_rest_is_still_refused() -> None:
    warnings: list[str] = []
    changes = [Change("docs/a", "modified"), Change("src/a", "modified")]
    with pytest.raises(Uncommitted) as refused:
        refuse(changes, lambda path: path.startswith("docs/"), warnings.append)
    assert "docs/a" not in str(refused.value)
    assert warnings == ["docs/a is modified; the commit is built, without that."]
    refuse(changes, lambda path: True, warnings.append)
    assert len(warnings) == 3
