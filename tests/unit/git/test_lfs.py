"""Files of Git LFS are their content, wherever on this machine it is, and otherwise an error."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineal.context.checkout import check_out
from lineal.errors import BadConfiguration
from lineal.git.lfs import Lfs
from tests import servers
from tests.unit.git.modules import LFS, Noted, add, contents, create, opened, pointer, store, tree

BIG = bytes(range(256)) * 9000


def committed(repo: servers.Repository, *, attributes: str = LFS, name: str = "d/model.bin") -> None:
    repo.write({".gitattributes": attributes, name: pointer(BIG), "d/a": "1"})


@pytest.mark.parametrize("where", ["store", "lfs.storage", "relative", "working tree"])
def test_the_content_is_read_where_it_is(repo: servers.Repository, tmp_path: Path, where: str) -> None:
    committed(repo)
    if where == "working tree":
        repo.put({"d/model.bin": BIG})
    elif where == "store":
        store(repo.path / ".git/lfs", BIG)
    else:
        storage = tmp_path / "storage" if where == "lfs.storage" else repo.path / ".git/kept"
        repo.git("config", "lfs.storage", str(storage) if where == "lfs.storage" else "kept")
        store(storage, BIG)
    found = tree(opened(repo), "d")
    assert contents(found) == {"a": b"1", "model.bin": BIG}
    node = found.lstat("model.bin")
    assert node is not None and (node.size, b"".join(found.open(node))) == (len(BIG), BIG)
    assert opened(repo).file("d/model.bin") == BIG
    assert check_out(opened(repo), "d", tmp_path / "out") and (tmp_path / "out/model.bin").read_bytes() == BIG


def test_checksums_need_no_content_and_are_those_of_what_the_pointer_names(repo: servers.Repository) -> None:
    committed(repo)
    oid = hashlib.sha256(BIG).hexdigest()
    assert ("d/model.bin", "100644", f"lfs:{oid}") in tree(opened(repo)).identity("d")
    assert tree(opened(repo), "d").identity("model.bin") == [("model.bin", "100644", f"lfs:{oid}")]


@pytest.mark.parametrize("place", ["", "d/", "d/e/"])
def test_attributes_alone_change_what_a_copy_depends_on(repo: servers.Repository, place: str) -> None:
    repo.write({"d/e/model.bin": pointer(BIG), "d/e/a": "1"})

    def identity() -> dict[str, str]:
        return {path: oid for path, _, oid in tree(opened(repo), "d").identity("e") if "/.git" not in path}

    before = identity()
    repo.write({f"{place}.gitattributes": LFS})
    assert {path for path, oid in identity().items() if oid != before[path]} == {"e/model.bin"}
    repo.write({f"{place}.gitattributes": "*.bin -text"})
    assert identity() == before


@pytest.mark.parametrize("kind", ["nothing", "another size", "another content", "link", "folder"])
def test_what_is_not_here_is_named_with_the_way_out(repo: servers.Repository, tmp_path: Path, kind: str) -> None:
    committed(repo)
    other = b"x" * len(BIG)
    if kind == "another size":
        store(repo.path / ".git/lfs", BIG[1:], name=BIG)
    elif kind == "another content":
        store(repo.path / ".git/lfs", other, name=BIG)
        repo.put({"d/model.bin": other})
    elif kind in ("link", "folder"):
        (repo.path / "d/model.bin").unlink()
        (tmp_path / "real").write_bytes(BIG)
        if kind == "link":
            (repo.path / "d/model.bin").symlink_to(tmp_path / "real")
        else:
            (repo.path / "d/model.bin").mkdir()
    with pytest.raises(BadConfiguration, match=r"^d/model\.bin: is a Git LFS file whose content") as refused:
        contents(tree(opened(repo), "d"))
    oid = pointer(BIG).split("sha256:")[1][:64]
    for said in (oid, f"{len(BIG)} bytes", "`git lfs pull`", "`lfs: true`", ".dockerignore"):
        assert said in str(refused.value)


def test_a_damaged_store_does_not_hide_a_good_working_tree(repo: servers.Repository) -> None:
    committed(repo)
    store(repo.path / ".git/lfs", b"x" * len(BIG), name=BIG)
    repo.put({"d/model.bin": BIG})
    assert contents(tree(opened(repo), "d"))["model.bin"] == BIG


@pytest.mark.parametrize(
    ("attributes", "counts"),
    [
        ({".gitattributes": "*.bin filter=lfs"}, True),
        ({"d/.gitattributes": "*.bin filter=lfs"}, True),
        ({".gitattributes": "[attr]big filter=lfs -text\n/d/*.bin big"}, True),
        ({".gitattributes": '"d/mod\\145l.bin" filter=lfs'}, True),
        ({".gitattributes": "d/** filter=lfs"}, True),
        ({".gitattributes": "*.bin filter=lfs", "d/.gitattributes": "*.bin -filter"}, False),
        ({".gitattributes": "*.bin filter=lfs\n*.bin !filter"}, False),
        ({".gitattributes": "*.bin filter=other # lfs"}, False),
        ({".gitattributes": "/*.bin filter=lfs"}, False),
        ({"other/.gitattributes": "*.bin filter=lfs"}, False),
        ({"x.gitattributes": "*.bin filter=lfs"}, False),
        ({}, False),
    ],
)
def test_the_commit_s_attributes_say_what_a_pointer_is(
    repo: servers.Repository, attributes: dict[str, str], counts: bool
) -> None:
    repo.write({**attributes, "d/model.bin": pointer(BIG)})
    store(repo.path / ".git/lfs", BIG)
    # Neither the working tree's attributes nor the clone's and the machine's: another clone has others.
    repo.put({".gitattributes": "*.bin -filter" if counts else "*.bin filter=lfs"})
    repo.put({".git/info/attributes": "*.bin -filter" if counts else "*.bin filter=lfs"})
    repo.put({".git/mine": "*.bin filter=lfs"})
    repo.git("config", "core.attributesFile", str(repo.path / ".git/mine"))
    assert contents(tree(opened(repo), "d"))["model.bin"] == (BIG if counts else pointer(BIG).encode())


@pytest.mark.parametrize(
    "text",
    ["", "version 1\n", "about " + pointer(BIG), pointer(BIG) + "x" * 2000, pointer(BIG).replace("sha256", "md5"),
     pointer(BIG).upper(), pointer(BIG).replace("size", "size -"), pointer(BIG) + "more\n",
     pointer(BIG).replace("git-lfs.github.com", "example.com")],
)  # fmt: skip
def test_what_is_no_pointer_is_a_file(repo: servers.Repository, text: str) -> None:
    repo.write({".gitattributes": LFS, "d/model.bin": text, "d/large.bin": BIG})
    assert contents(tree(opened(repo), "d")) == {"model.bin": text.encode(), "large.bin": BIG}


@pytest.mark.parametrize("change", [str, str.rstrip, lambda text: text.replace("\n", "\r\n"),
                                    lambda text: text.replace("git-lfs", "hawser")])  # fmt: skip
def test_a_pointer_as_git_lfs_takes_it(repo: servers.Repository, change: object) -> None:
    assert callable(change)
    repo.write({".gitattributes": LFS, "model.bin": change(pointer(BIG))})
    store(repo.path / ".git/lfs", BIG)
    assert contents(tree(opened(repo)))["model.bin"] == BIG


def test_a_pointer_with_an_extension_is_refused(repo: servers.Repository) -> None:
    text = pointer(BIG).replace("oid", f"ext-0-fold sha256:{'a' * 64}\noid")
    repo.write({".gitattributes": LFS, "model.bin": text})
    with pytest.raises(BadConfiguration, match=r"^model\.bin: is a Git LFS file with an extension"):
        contents(tree(opened(repo)))


def test_an_empty_file_is_stored_nowhere(repo: servers.Repository) -> None:
    repo.write({".gitattributes": LFS, "model.bin": pointer(b"")})
    assert contents(tree(opened(repo)))["model.bin"] == b""


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_are_a_file_or_a_pointer_and_never_a_surprise(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, before: bytes, after: bytes
) -> None:
    repo = servers.Repository.create(tmp_path_factory.mktemp("any") / "repo")
    text = before + pointer(content).encode() + after
    repo.write({".gitattributes": LFS, "a.bin": text, "b.bin": pointer(content)})
    store(repo.path / ".git/lfs", content)
    found = contents(tree(opened(repo)))
    assert found["b.bin"] == content
    assert found["a.bin"] == (content if not before and not after.strip() else text)


def test_names_of_any_bytes(repo: servers.Repository) -> None:
    name = os.fsdecode(b'latin-\xe9 "q"\n\\.bin')
    committed(repo, name=name)
    store(repo.path / ".git/lfs", BIG)
    assert contents(tree(opened(repo)))[name] == BIG


def test_in_a_linked_worktree_the_store_is_the_first_one_s(repo: servers.Repository, tmp_path: Path) -> None:
    committed(repo)
    store(repo.path / ".git/lfs", BIG)
    repo.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    assert contents(tree(opened(servers.Repository(tmp_path / "linked"))), "d")["d/model.bin"] == BIG


@pytest.mark.parametrize("format", ["sha1", "sha256"])
def test_in_a_submodule_everything_is_its_own(tmp_path: Path, format: str) -> None:
    lib = create(tmp_path / "lib", {".gitattributes": LFS, "d/model.bin": pointer(BIG)}, format=format)
    outer = create(tmp_path / "outer", {"top.bin": pointer(BIG)}, format=format)
    checkout = add(outer, lib, "vendor/lib")
    store(outer.path / ".git/lfs", BIG)
    with pytest.raises(BadConfiguration, match=r"^vendor/lib/d/model\.bin: is a Git LFS file"):
        contents(tree(opened(outer)))
    checkout.put({"d/model.bin": BIG})
    assert contents(tree(opened(outer)), "vendor")["vendor/lib/d/model.bin"] == BIG
    checkout.put({"d/model.bin": None})
    store(outer.path / ".git/modules/vendor/lib/lfs", BIG)
    found = contents(tree(opened(outer)))
    assert (found["vendor/lib/d/model.bin"], found["top.bin"]) == (BIG, pointer(BIG).encode())


def test_a_commit_without_lfs_costs_no_process_for_attributes(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write({".gitattributes": "* text=auto\n", **{f"f{number}": "1" for number in range(5)}})
    git = Noted(tmp_path / "git")
    here = opened(repo, PATH=git.path)
    assert len(contents(tree(here))) == 6
    assert git.commands() == ["rev-parse", "ls-tree", "cat-file"]
    assert isinstance(here.lfs, Lfs) and here.lfs is here.lfs
