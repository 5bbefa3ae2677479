from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lineal.errors import BadConfiguration, LinealError, Unreachable
from lineal.git.login import parse_address, secret_values, signing
from lineal.git.target_branch import Snapshot, TargetBranch, check_branch, check_path
from tests import servers
from tests.unit.git import forge

ENVIRON = {"PATH": os.environ["PATH"], **servers.GIT_ISOLATION}


@pytest.fixture
def target(tmp_path: Path) -> servers.Repository:
    """A bare repository with one commit on main, that takes pushes over http too."""
    work = servers.Repository.create(tmp_path / "work")
    work.write({"README": "theirs\n", "envs/other/a.yaml": "a: 1\n"})
    work.git("clone", "--quiet", "--bare", str(work.path), str(tmp_path / "served" / "envs.git"))
    bare = servers.Repository(tmp_path / "served" / "envs.git")
    bare.git("config", "http.receivepack", "true")
    return bare


def branch(url: str, folder: Path, environ: Mapping[str, str] = ENVIRON, name: str = "main") -> TargetBranch:
    address = parse_address(url, folder.parent, environ)
    return TargetBranch(address.url, name, folder, environ, login=address.login)


def put(path: str, text: str) -> object:
    def change(now: Snapshot) -> Mapping[str, bytes | None]:
        return {} if now.has(path, text.encode()) else {path: text.encode()}

    return change


def test_files_are_committed_on_top_and_nothing_else_changes(target: servers.Repository, tmp_path: Path) -> None:
    before = target.git("rev-parse", "main")
    done = branch(str(target.path), tmp_path / "x").commit(put("envs/prod/a.yaml", "b: 2\n"), "Hello\n")  # type: ignore[arg-type]
    assert done.changed and done.paths == ("envs/prod/a.yaml",)
    assert target.git("rev-parse", "main") == done.commit
    assert target.git("rev-parse", "main^") == before
    assert target.git("diff", "--name-status", "main^", "main") == "A\tenvs/prod/a.yaml"
    assert target.git("log", "-1", "--format=%an <%ae> %s", "main") == "Lineal <lineal@localhost> Hello"
    again = branch(str(target.path), tmp_path / "y").commit(put("envs/prod/a.yaml", "b: 2\n"), "Again\n")  # type: ignore[arg-type]
    assert (again.changed, again.commit) == (False, done.commit)


def test_a_branch_that_is_not_there_begins_with_these_files(target: servers.Repository, tmp_path: Path) -> None:
    done = branch(f"file://{target.path}", tmp_path / "x", name="env/new").commit(put("a", "1"), "New\n")  # type: ignore[arg-type]
    assert target.git("ls-tree", "-r", "--name-only", "env/new") == "a"
    assert target.git("rev-list", "--count", "env/new") == "1"
    assert done.commit == target.git("rev-parse", "env/new")


def test_an_empty_repository_gets_its_first_commit(tmp_path: Path) -> None:
    empty = servers.Repository.create(tmp_path / "empty.git", "--bare", "--object-format=sha1")
    branch(str(empty.path), tmp_path / "x").commit(put("a", "1"), "New\n")  # type: ignore[arg-type]
    assert empty.git("show", "main:a") == "1"


def test_a_repository_of_the_other_object_format(tmp_path: Path) -> None:
    work = servers.Repository.create(tmp_path / "work", "--object-format=sha256")
    work.write({"a": "1"})
    work.git("config", "receive.denyCurrentBranch", "ignore")
    done = branch(str(work.path), tmp_path / "x").commit(put("b", "2"), "More\n")  # type: ignore[arg-type]
    assert done.commit and len(done.commit) == 64
    assert work.git("show", "main:b") == "2"


def test_many_pipelines_at_once_all_arrive(target: servers.Repository, tmp_path: Path) -> None:
    with forge.serve(target.path.parent, ("robot", "s3cret-token")) as server:
        environ = {**ENVIRON, "LINEAL_GIT_TOKEN": "s3cret-token", "LINEAL_GIT_USERNAME": "robot"}

        def run(number: int) -> None:
            there = branch(f"{server.url}/envs.git", tmp_path / f"run-{number}", environ)
            assert there.commit(put(f"envs/{number}.yaml", f"n: {number}\n"), f"Run {number}\n").changed  # type: ignore[arg-type]

        with ThreadPoolExecutor(10) as pool:
            list(pool.map(run, range(10)))
        assert {count for count in server.headers if count > 1} == set()
    found = target.git("ls-tree", "-r", "--name-only", "main").splitlines()
    assert found == ["README", *(f"envs/{number}.yaml" for number in range(10)), "envs/other/a.yaml"]
    assert target.git("rev-list", "--count", "main") == "11"
    assert target.git("rev-list", "--merges", "main") == ""


def test_a_token_is_in_no_argument_and_reaches_no_other_host(target: servers.Repository, tmp_path: Path) -> None:
    path, log = forge.telling_git(tmp_path / "bin")
    with forge.serve(target.path.parent, ("x-access-token", "s3cret-token")) as server:
        environ = {**ENVIRON, "PATH": path, "LINEAL_GIT_TOKEN": "s3cret-token"}
        branch(f"{server.url}/envs.git", tmp_path / "x", environ).commit(put("a", "1"), "One\n")  # type: ignore[arg-type]
        with forge.serve(target.path.parent, host="127.0.0.2") as other:
            settings = parse_address(f"{server.url}/envs.git", tmp_path, environ).login
            there = TargetBranch(f"{other.url}/envs.git", "main", tmp_path / "y", environ, login=settings)
            there.commit(put("b", "1"), "Two\n")  # type: ignore[arg-type]
            assert {given for _, given in other.seen} == {""}
    encoded = forge.basic("x-access-token", "s3cret-token").removeprefix("Basic ")
    said = log.read_text() + "".join(
        file.read_text(errors="replace") for file in tmp_path.glob("x/**/*") if file.is_file()
    )
    assert "push" in said
    assert "s3cret-token" not in said and encoded not in said


def test_a_server_that_refuses_is_an_error_with_its_words(target: servers.Repository, tmp_path: Path) -> None:
    hook = target.path / "hooks" / "pre-receive"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\necho 'main is protected: open a merge request' >&2\nexit 1\n")
    hook.chmod(0o755)
    before = target.git("rev-parse", "main")
    with pytest.raises(Unreachable, match=r"does not take a commit on main: .*main is protected") as failed:
        branch(str(target.path), tmp_path / "x").commit(put("a", "1"), "One\n")  # type: ignore[arg-type]
    assert failed.value.id == "LN-6062"
    assert target.git("rev-parse", "main") == before


def test_a_wrong_token_and_a_missing_repository_are_named(target: servers.Repository, tmp_path: Path) -> None:
    with forge.serve(target.path.parent, ("robot", "right-token")) as server:
        environ = {**ENVIRON, "LINEAL_GIT_TOKEN": "wrong-token"}
        with pytest.raises(Unreachable, match="git cannot use http://127") as failed:
            branch(f"{server.url}/envs.git", tmp_path / "x", environ).commit(put("a", "1"), "One\n")  # type: ignore[arg-type]
        assert "wrong-token" not in str(failed.value)
    with pytest.raises(Unreachable, match="not appear to be a git repository"):
        branch(f"file://{tmp_path}/nothing", tmp_path / "y").commit(put("a", "1"), "One\n")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["text", "path"])
def test_a_commit_is_signed_with_an_ssh_key(kind: str, target: servers.Repository, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "robot", "-f", key], check=True)
    environ = {**ENVIRON, "LINEAL_GIT_SIGNING_KEY": key.read_text() if kind == "text" else str(key)}
    settings, more = signing(environ, tmp_path / "keys", before=lambda: None, at_end=lambda _: None)
    there = TargetBranch(str(target.path), "main", tmp_path / "x", {**environ, **more}, login=settings)
    there.commit(put("a", "1"), "Signed\n", sign=True)  # type: ignore[arg-type]
    (tmp_path / "signers").write_text(f"robot {key.with_suffix('.pub').read_text()}")
    target.git("config", "gpg.ssh.allowedSignersFile", str(tmp_path / "signers"))
    assert target.git("log", "-1", "--format=%G? %GS", "main") == "G robot"


def test_a_commit_is_signed_with_a_pgp_key(target: servers.Repository, tmp_path: Path) -> None:
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    env = {"PATH": os.environ["PATH"], "GNUPGHOME": str(home)}

    def gpg(*args: str) -> str:
        command = ["gpg", "--batch", "--passphrase", "", *args]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout

    gpg("--quick-generate-key", "Robot <robot@example.com>", "ed25519", "sign", "never")
    environ = {**ENVIRON, "LINEAL_GIT_SIGNING_KEY": gpg("--armor", "--export-secret-keys")}
    ends: list[object] = []
    settings, more = signing(environ, tmp_path / "keys", before=lambda: None, at_end=ends.append)
    there = TargetBranch(str(target.path), "main", tmp_path / "x", {**environ, **more}, login=settings)
    there.commit(put("a", "1"), "Signed\n", sign=True)  # type: ignore[arg-type]
    for end in ends:
        end()  # type: ignore[operator]
    assert "gpgsig -----BEGIN PGP SIGNATURE-----" in target.git("cat-file", "commit", "main")
    shown = subprocess.run(
        ["git", "verify-commit", "main"], cwd=target.path, env={**ENVIRON, **env}, capture_output=True, text=True
    )
    assert 'Good signature from "Robot' in shown.stderr
    subprocess.run(["gpgconf", "--kill", "all"], env=env, check=True)


def test_a_key_that_cannot_sign_is_named(target: servers.Repository, tmp_path: Path) -> None:
    environ = {**ENVIRON, "LINEAL_GIT_SIGNING_KEY": "-----BEGIN OPENSSH PRIVATE KEY-----\nabcdef\n-----END"}
    assert secret_values(environ)[1].startswith("-----BEGIN")
    settings, more = signing(environ, tmp_path / "keys", before=lambda: None, at_end=lambda _: None)
    there = TargetBranch(str(target.path), "main", tmp_path / "x", {**environ, **more}, login=settings)
    with pytest.raises(BadConfiguration, match="git cannot sign the commit") as failed:
        there.commit(put("a", "1"), "Signed\n", sign=True)  # type: ignore[arg-type]
    assert "abcdef" not in str(failed.value)
    with pytest.raises(BadConfiguration, match="names a file that is not there"):
        signing({"LINEAL_GIT_SIGNING_KEY": "/no/such/key"}, tmp_path, before=lambda: None, at_end=lambda _: None)


@pytest.mark.parametrize(
    "address",
    ["https://user:hunter2@example.com/a.git", "http://example.com/a.git", "ext::sh -c date", "--upload-pack=date",
     "ssh://git:hunter2@example.com/a", "", "nowhere", "https:///a", "ftp://example.com/a", "-x@y:z", "https://[/a"],
)  # fmt: skip
def test_addresses_that_are_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(LinealError) as failed:
        parse_address(address, tmp_path, {"LINEAL_GIT_TOKEN": "s3cret"})
    assert failed.value.exit_code == 3
    assert "hunter2" not in str(failed.value) and "s3cret" not in str(failed.value)


@pytest.mark.parametrize(
    "address", ["git@example.com:acme/envs.git", "ssh://git@example.com:22/envs", "example.com:a"]
)
def test_ssh_gets_no_token(address: str, tmp_path: Path) -> None:
    assert parse_address(address, tmp_path, {"LINEAL_GIT_TOKEN": "s3cret"}).login == ()


@pytest.mark.parametrize(
    "name", ["", "-x", "a..b", "a b", "a:b", "refs^", "a/", ".a", "x.lock", "a@{1}", "@", "a\\b"]
)
def test_names_that_are_no_branch(name: str) -> None:
    with pytest.raises(BadConfiguration, match="not the name of a branch"):
        check_branch(name)


def test_paths_stay_inside() -> None:
    assert check_path("./envs//prod/") == "envs/prod"
    assert check_path(".") == check_path("") == ""
    for path in ("../x", "a/../../x", "/etc", "a/.git/hooks", ".GIT", "a\nb", "a\\b"):
        with pytest.raises(BadConfiguration):
            check_path(path)
