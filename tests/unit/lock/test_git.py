"""The lock on a git server: what it sends, what it leaves alone, and what a server may refuse."""

from __future__ import annotations

import subprocess
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from lineal.lock import LockTimeouts
from lineal.lock.git import REFS, _read
from tests import servers
from tests.unit.git import forge
from tests.unit.lock import parts, worker
from tests.unit.lock.conftest import clone
from tests.unit.lock.worker import CHECKSUM, Told

pytestmark = pytest.mark.server

Given = dict[str, Any]
OTHER = "6" * 64


def refs(origin: servers.Repository) -> list[str]:
    return origin.git("for-each-ref", "--format=%(refname)", REFS).split()


def test_a_held_lock_is_a_ref_on_an_empty_commit_that_says_who(origin: servers.Repository, git_given: Given) -> None:
    with worker.lock(git_given, Told(), "https://ci.example.com/jobs/7").hold(CHECKSUM):
        assert refs(origin) == [REFS + CHECKSUM]
        parents, message = origin.git("log", "-1", "--format=%P%x00%B", REFS + CHECKSUM).split("\0")
        assert parents == "" and origin.git("ls-tree", REFS + CHECKSUM) == ""
        assert "holder: https://ci.example.com/jobs/7\nlease: 60\n" in message
    assert refs(origin) == []


def test_the_workspace_stays_as_it_was(git_given: Given) -> None:
    def files() -> dict[str, tuple[int, bytes]]:
        root = Path(git_given["clone"])
        return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in root.rglob("*") if p.is_file()}

    before = files()
    with worker.lock(git_given, Told()).hold(CHECKSUM) as held:
        assert held
    assert files() == before


def test_two_claims_never_push_the_same_object(git_given: Given) -> None:
    one = worker.service(git_given, LockTimeouts(), Event(), "same")
    two = worker.service(git_given, LockTimeouts(), Event(), "same")
    assert len({one.token(), one.token(), two.token()}) == 3
    # What was pushed once and is pushed again is no second success.
    token = one.token()
    assert one.claim(CHECKSUM, token, None) and not one.claim(CHECKSUM, token, None)
    one.release(CHECKSUM, token)


def test_who_may_not_push_is_told_once_and_goes_on(origin: servers.Repository, tmp_path: Path) -> None:
    with forge.serve(origin.path.parent) as server:  # http.receivepack is off: it may only be read
        told = Told()
        mine = worker.lock(clone(origin, f"{server.url}/app.git", tmp_path / "clone"), told)
        for checksum in (CHECKSUM, OTHER):
            with mine.hold(checksum) as held:
                assert not held
        asked = len(server.seen)
        with mine.hold("7" * 64) as held:
            assert not held
        assert len(server.seen) == asked
    (warning,) = told.warnings
    assert warning.startswith("The lock git (refs/lineal/locks/… of the project's remote) cannot be used: git push ")
    assert "may not push" in warning and "This run goes on without it" in warning


def test_a_server_that_refuses_such_refs_is_told_once(origin: servers.Repository, git_given: Given) -> None:
    origin.git("config", "receive.hideRefs", "refs/lineal")
    told = Told()
    with worker.lock(git_given, told, poll=0.01).hold(CHECKSUM) as held:
        assert not held
    (warning,) = told.warnings
    assert "it is not given to this run" in warning


def test_a_server_that_keeps_what_should_be_deleted_is_told(origin: servers.Repository, git_given: Given) -> None:
    hook = origin.path / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ncase "$3" in *[1-9a-f]*) ;; *) exit 1 ;; esac\n')
    hook.chmod(0o755)
    told = Told()
    with worker.lock(git_given, told).hold(CHECKSUM) as held:
        assert held
    assert "does not let it be deleted" in told.warnings[0]


@pytest.mark.parametrize("how", ["address", "header", "helper"])
def test_the_credentials_of_the_clone_are_used_and_told_to_nobody(
    origin: servers.Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    origin.git("config", "http.receivepack", "true")
    path, log = forge.telling_git(tmp_path / "programs")
    given = clone(origin, f"file://{origin.path}", tmp_path / "clone")
    work = servers.Repository(Path(given["clone"]))
    with forge.serve(origin.path.parent, login=("robot", "s3cr3t")) as server:
        address = f"{server.url}/app.git"
        if how == "address":
            work.git("remote", "set-url", "origin", address.replace("//", "//robot:s3cr3t@"))
        else:
            work.git("remote", "set-url", "origin", address)
        if how == "header":
            work.git("config", f"http.{server.url}/.extraheader", f"Authorization: {forge.basic('robot', 's3cr3t')}")
        if how == "helper":
            work.git("config", "credential.helper", "!f() { echo username=robot; echo password=s3cr3t; }; f")
        given["environ"]["PATH"] = path
        told = Told()
        with worker.lock(given, told).hold(CHECKSUM) as held:
            assert held and told.warnings == []
            assert refs(origin) == [REFS + CHECKSUM]
    assert "refs/lineal/locks" in log.read_text()
    arguments = log.read_text().replace("f() { echo username=robot; echo password=s3cr3t; }; f", "")
    assert "s3cr3t" not in arguments and forge.basic("robot", "s3cr3t").split()[1] not in arguments
    kept = [file for file in Path(given["private"]).rglob("*") if file.is_file()]
    assert kept and not [file for file in kept if b"s3cr3t" in file.read_bytes()]


def test_a_wrong_password_is_not_repeated(origin: servers.Repository, tmp_path: Path) -> None:
    given = clone(origin, f"file://{origin.path}", tmp_path / "clone")
    with forge.serve(origin.path.parent, login=("robot", "right")) as server:
        url = f"{server.url}/app.git".replace("//", "//robot:wr0ng@")
        servers.Repository(Path(given["clone"])).git("remote", "set-url", "origin", url)
        told = Told()
        with worker.lock(given, told).hold(CHECKSUM) as held:
            assert not held
    assert len(told.warnings) == 1 and "wr0ng" not in told.warnings[0]


def test_what_is_pushed_elsewhere_is_locked_there(origin: servers.Repository, git_given: Given) -> None:
    work = servers.Repository(Path(git_given["clone"]))
    work.git("remote", "set-url", "origin", "file:///nowhere")
    work.git("remote", "set-url", "--push", "origin", f"file://{origin.path}")
    with worker.lock(git_given, Told()).hold(CHECKSUM) as held:
        assert held and refs(origin) == [REFS + CHECKSUM]


def test_without_a_remote_there_is_no_lock(git_given: Given) -> None:
    servers.Repository(Path(git_given["clone"])).git("remote", "remove", "origin")
    told = Told()
    with worker.lock(git_given, told).hold(CHECKSUM) as held:
        assert not held
    assert "the clone has no remote" in told.warnings[0]


def test_it_works_with_sha256(tmp_path: Path) -> None:
    work = servers.Repository(tmp_path / "work")
    work.path.mkdir()
    work.git("init", "--quiet", "--object-format=sha256", "--initial-branch=main")
    work.write({"Dockerfile": "FROM scratch\n"})
    work.git("clone", "--quiet", "--bare", str(work.path), str(tmp_path / "app.git"))
    origin = servers.Repository(tmp_path / "app.git")
    given = clone(origin, f"file://{origin.path}", tmp_path / "clone")
    told = Told()
    with worker.lock(given, told).hold(CHECKSUM) as held:
        assert held and refs(origin) == [REFS + CHECKSUM]
    assert told.warnings == [] and refs(origin) == []


def test_the_user_s_git_configuration_changes_nothing(
    origin: servers.Repository, git_given: Given, tmp_path: Path
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text(
        "[safe]\n bareRepository = explicit\n[push]\n gpgSign = true\n followTags = true\n"
        "[commit]\n gpgSign = true\n[core]\n hooksPath = /nowhere\n[log]\n showSignature = true\n"
    )
    git_given["environ"]["GIT_CONFIG_GLOBAL"] = str(config)
    told = Told()
    with worker.lock(git_given, told).hold(CHECKSUM) as held:
        assert held, told.warnings
    assert refs(origin) == []


def test_a_server_that_goes_away_in_the_middle_is_a_warning(
    origin: servers.Repository, git_given: Given, tmp_path: Path
) -> None:
    told = Told()
    mine = worker.lock(git_given, told)
    with mine.hold(CHECKSUM) as held:
        assert held
        origin.path.rename(tmp_path / "gone.git")
    with mine.hold(OTHER) as held:
        assert not held
    assert len(told.warnings) == 1 and "cannot be used" in told.warnings[0]


def test_a_server_that_does_not_answer_holds_up_no_interrupted_run(git_given: Given, tmp_path: Path) -> None:
    """git push hangs: the signal ends the run, and no git is left."""
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text('#!/bin/sh\ncase " $* " in *" push "*) echo $$ >>"$LOG"; exec sleep 300 ;; esac\n'
                    f'exec {servers.program("git")} "$@"\n')  # fmt: skip
    slow.chmod(0o755)
    git_given["environ"] |= {"PATH": f"{slow.parent}:/usr/bin:/bin", "LOG": str(tmp_path / "pids")}
    process = parts.start(git_given, "hold")
    while not (tmp_path / "pids").exists() and process.poll() is None:
        Event().wait(0.05)
    process.terminate()
    _, errors = process.communicate(timeout=300)
    assert "Interrupted: The run was stopped." in errors
    for pid in (tmp_path / "pids").read_text().split():
        assert subprocess.run(["kill", "-0", pid], capture_output=True).returncode != 0


def test_a_push_that_does_not_end_leaves_no_lock_when_the_run_is_stopped(
    origin: servers.Repository, git_given: Given, tmp_path: Path
) -> None:
    """The server has made the ref; git hangs before it says so."""
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\n{servers.program("git")} "$@"; code=$?\n'
                    'case " $* " in *" push "*) [ -e "$LOG" ] || { : >"$LOG"; exec sleep 300; } ;; esac\n'
                    'exit $code\n')  # fmt: skip
    slow.chmod(0o755)
    git_given["environ"] |= {"PATH": f"{slow.parent}:/usr/bin:/bin", "LOG": str(tmp_path / "pushed")}
    process = parts.start(git_given, "hold")
    while not (tmp_path / "pushed").exists() and process.poll() is None:
        Event().wait(0.05)
    assert refs(origin) == [REFS + CHECKSUM]
    process.terminate()
    _, errors = process.communicate(timeout=300)
    assert "Interrupted: The run was stopped." in errors
    assert refs(origin) == []


@examples(st.text())
def test_any_commit_message_is_read_or_not_believed(text: str) -> None:
    for message in (text, f"lineal lock 1\n{text}", f"lineal lock 1\nholder: {text}\nlease: {text}"):
        who, lease = _read(message)
        assert 0 < len(who) <= 200 and who.isprintable()
        assert lease is None or lease > 0
