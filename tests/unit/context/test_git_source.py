"""`ADD` of a git repository: real git, real repositories behind a web server on this machine."""

from __future__ import annotations

import functools
import http.server
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lineal.context.git_source import Folder, clone
from lineal.context.remote_source import GitSource
from lineal.errors import BuildFailed, LinealError, Unreachable

pytestmark = pytest.mark.server


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@dataclass
class Forge:
    root: Path
    url: str

    def git(self, name: str, *args: str) -> str:
        base = ["git", "-C", str(self.root / name), "-c", "user.name=n", "-c", "user.email=e@x", "-c",
                "protocol.file.allow=always"]  # fmt: skip
        return subprocess.run([*base, *args], check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, name: str) -> str:
        self.git(name, "add", "-A")
        self.git(name, "commit", "-qm", "x")
        return self.publish(name)

    def publish(self, name: str) -> str:
        bare = self.root / f"{name}.git"
        if not bare.exists():
            subprocess.run(["git", "clone", "-q", "--bare", self.root / name, bare], check=True, capture_output=True)
        self.git(name, "push", "-q", "--force", "--all", str(bare))
        self.git(name, "push", "-q", "--force", "--tags", str(bare))
        subprocess.run(["git", "-C", bare, "update-server-info"], check=True)
        return self.git(name, "rev-parse", "HEAD")

    def new(self, name: str, **files: str) -> str:
        (self.root / name).mkdir()
        self.git(name, "init", "-q", "-b", "main")
        for path, text in files.items():
            (self.root / name / path).write_text(text)
        return self.commit(name)

    def of(self, name: str) -> str:
        return f"{self.url}/{name}.git"


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    root = tmp_path / "forge"
    root.mkdir()
    handler = functools.partial(Quiet, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield Forge(root, f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()


def contents(tree: Folder) -> dict[str, str]:
    return {
        node.path: b"".join(tree.open(node)).decode(errors="replace") if node.kind == "file" else node.target
        for node in tree.walk("") if node.kind != "directory"
    }  # fmt: skip


def test_a_commit_is_brought_that_no_branch_points_at_any_more(forge: Forge, tmp_path: Path) -> None:
    first = forge.new("r", a="1")
    (forge.root / "r/a").write_text("2")
    (forge.root / "r/run").symlink_to("a")
    second = forge.commit("r")
    assert contents(clone(GitSource(forge.of("r"), first, first), tmp_path)) == {"a": "1"}
    assert contents(clone(GitSource(forge.of("r"), second, second), tmp_path)) == {"a": "2", "run": "a"}


def test_modes_are_git_s_and_a_folder_can_be_named(forge: Forge, tmp_path: Path) -> None:
    forge.new("r", a="1")
    place = forge.root / "r/sub/deep"
    place.mkdir(parents=True)
    (place / "run").write_text("x")
    (place / "run").chmod(0o777)
    (forge.root / "r/link").symlink_to("sub")
    commit = forge.commit("r")
    tree = clone(GitSource(forge.of("r"), commit, commit, "sub"), tmp_path)
    assert [(node.path, node.kind, oct(node.mode), node.uid) for node in tree.walk("")] == [
        ("deep", "directory", "0o755", 0), ("deep/run", "file", "0o755", 0),
    ]  # fmt: skip
    for folder in ("nope", "a", "link", ".git", "link/deep"):
        with pytest.raises(BuildFailed, match="has no directory"):
            clone(GitSource(forge.of("r"), commit, commit, folder), tmp_path)


def test_refs_are_looked_up_and_compared_with_the_commit(forge: Forge, tmp_path: Path) -> None:
    commit = forge.new("r", a="1")
    forge.git("r", "tag", "v1")
    forge.publish("r")
    for ref in ("", "main", "v1", "refs/tags/v1"):
        told: list[str] = []
        assert contents(clone(GitSource(forge.of("r"), ref), tmp_path, told.append)) == {"a": "1"}
        assert told == [commit]
        assert contents(clone(GitSource(forge.of("r"), ref, commit), tmp_path)) == {"a": "1"}
        with pytest.raises(BuildFailed, match=f"is {commit}, not {'0' * 40}"):
            clone(GitSource(forge.of("r"), ref, "0" * 40), tmp_path)


def test_the_git_directory_is_kept_on_request(forge: Forge, tmp_path: Path) -> None:
    commit = forge.new("r", a="1")
    assert not any(".git" in path for path in contents(clone(GitSource(forge.of("r"), commit, commit), tmp_path)))
    tree = clone(GitSource(forge.of("r"), commit, commit, keep_git=True), tmp_path)
    kept = contents(tree)
    assert kept[".git/HEAD"].strip() == commit
    assert forge.of("r") in kept[".git/config"]
    assert not any(path.startswith((".git/hooks", ".git/logs")) for path in kept)
    assert subprocess.run(["git", "-C", tree._root, "status", "--porcelain"], capture_output=True).stdout == b""


def test_submodules_come_along_unless_they_are_left_out(forge: Forge, tmp_path: Path) -> None:
    forge.new("inner", i="in")
    forge.new("r", a="1")
    forge.git("r", "submodule", "add", "-q", forge.of("inner"), "sub")
    commit = forge.commit("r")
    files = contents(clone(GitSource(forge.of("r"), commit, commit), tmp_path))
    assert (files["sub/i"], "sub/.git" in files) == ("in", False)
    assert "sub/i" not in contents(clone(GitSource(forge.of("r"), commit, commit, submodules=False), tmp_path))


def test_submodules_lead_to_no_files_of_this_machine(forge: Forge, tmp_path: Path) -> None:
    forge.new("inner", i="in")
    forge.new("r", a="1")
    forge.git("r", "submodule", "add", "-q", str(forge.root / "inner"), "sub")
    commit = forge.commit("r")
    with pytest.raises(Unreachable, match="cannot be fetched"):
        clone(GitSource(forge.of("r"), commit, commit), tmp_path)


def test_nothing_of_this_machine_takes_part(forge: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither hooks nor filters nor credentials that somebody configured here."""
    commit = forge.new("r", a="1")
    (forge.root / "r/.gitattributes").write_text("* filter=evil\n")
    commit = forge.commit("r")
    ran = tmp_path / "ran"
    config = tmp_path / "config"
    config.write_text(f'[filter "evil"]\nsmudge = touch {ran}\n[credential]\nhelper = "!touch {ran}"\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_ASKPASS", f"touch {ran}")
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    assert contents(clone(GitSource(forge.of("r"), commit, commit), tmp_path))["a"] == "1"
    with pytest.raises(LinealError):
        clone(GitSource(f"{forge.url}/none.git", commit, commit), tmp_path)
    assert not ran.exists()


def test_the_temporary_directory_goes_with_the_tree(forge: Forge, tmp_path: Path) -> None:
    commit = forge.new("r", a="1")
    space = tmp_path / "space"
    space.mkdir()
    tree = clone(GitSource(forge.of("r"), commit, commit), space)
    assert list(space.iterdir())
    del tree
    assert not list(space.iterdir())
