"""Which lock a run uses, and why."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.errors import BadConfiguration
from lineal.lock import LockTimeouts
from lineal.lock.address import PATTERN, BadAddress, LockAddress, parse
from lineal.lock.select import choose
from tests import servers
from tests.conftest import Lineal
from tests.unit.lock import worker

NO_VARIABLES: Mapping[str, str] = {}
REGISTRY, LAYOUT = "registry.example.com/team/app", "layout:/store"


def chosen(
    lock: str, store: str = REGISTRY, may_write: bool = True, environ: Mapping[str, str] = NO_VARIABLES
) -> str:
    return str(choose(lock, "default" if lock == "auto" else "--lock", store, may_write, environ))


@pytest.mark.parametrize(
    ("lock", "store", "said"),
    [
        ("auto", LAYOUT, "file  for a directory"),
        ("auto", REGISTRY, "none  default"),
        ("file", LAYOUT, "file  --lock"),
        ("git", REGISTRY, "git  --lock"),
        ("git", LAYOUT, "git  --lock"),
        ("kubernetes:ci", REGISTRY, "kubernetes ci  --lock"),
        ("etcd:https://etcd.example.com", REGISTRY, "etcd https://etcd.example.com:2379  --lock"),
        ("none", LAYOUT, "none  --lock"),
    ],
)
def test_the_run_says_which_lock_and_why(lock: str, store: str, said: str) -> None:
    assert chosen(lock, store) == said


def test_a_run_that_publishes_nothing_takes_no_lock() -> None:
    assert chosen("git", may_write=False) == "none  this run publishes nothing"


@pytest.mark.parametrize(
    ("lock", "message", "remedy"),
    [
        ("gti", "There is no lock `gti` (--lock).", "Did you mean `git`?"),
        ("redis", "There is no lock `redis` (--lock).", "The locks are: auto, file, git, kubernetes, etcd, none."),
        ("none:x", "The lock `none` takes nothing behind its name (--lock).", "Write `none`."),
        ("file", "The lock `file` (--lock) is for a layout store", "Use git, kubernetes, etcd or none."),
        ("kubernetes:No", "The lock's namespace is none that Kubernetes takes (--lock).", "kubernetes:NAMESPACE"),
        ("etcd", "The lock `etcd` does not say where etcd is (--lock).", "Write `etcd:https://HOST:2379`"),
    ],
)
def test_a_lock_that_is_none_says_what_to_write(lock: str, message: str, remedy: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        chosen(lock)
    assert message in caught.value.message and remedy in (caught.value.remedy or "")


@pytest.mark.parametrize("lock", ["etcd:https://me:pa55@etcd:2379", "etcd:https://etcd/?password=pa55"])
def test_a_password_in_the_address_is_refused_and_not_repeated(lock: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        chosen(lock)
    assert "pa55" not in str(caught.value)


def test_a_password_is_never_sent_unencrypted() -> None:
    account = {"LINEAL_ETCD_USERNAME": "me", "LINEAL_ETCD_PASSWORD": "x"}
    with pytest.raises(BadConfiguration, match="unencrypted"):
        chosen("etcd:http://etcd.example.com:2379", environ=account)
    for endpoint in ("http://127.0.0.1:2379", "http://[::1]:2379", "https://etcd.example.com:2379"):
        assert chosen(f"etcd:{endpoint}", environ=account)
    assert chosen("etcd:http://etcd.example.com:2379")


@given(st.text() | st.from_regex(PATTERN, fullmatch=True))
def test_the_schema_s_pattern_and_the_program_agree(text: str) -> None:
    try:
        found: LockAddress | None = parse(text)
    except BadAddress as error:
        assert error.problem and error.remedy
        found = None
    # In JSON Schema `$` is the very end.
    assert (found is not None) is (re.search(PATTERN.replace("$", r"\Z"), text) is not None)


def test_a_build_with_a_lock_on_its_remote_says_so(repo: servers.Repository, lineal: Lineal, tmp_path: Path) -> None:
    repo.write({"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
    repo.git("clone", "--quiet", "--bare", str(repo.path), str(tmp_path / "origin.git"))
    repo.git("remote", "add", "origin", f"file://{tmp_path / 'origin.git'}")
    done = lineal("build", "--lock", "git", "--repo", f"layout:{tmp_path / 'store'}")
    assert done.code == 0 and "\nlock       git  --lock\n" in done.stderr and "warning" not in done.stderr
    assert servers.Repository(tmp_path / "origin.git").git("for-each-ref", "refs/lineal") == ""
    plain = lineal("build", "--repo", f"layout:{tmp_path / 'other'}")
    assert "\nlock       file  for a directory\n" in plain.stderr


def test_a_build_that_waits_for_a_lock_says_for_whom_and_ends_at_once_when_told(
    repo: servers.Repository, lineal: Lineal, tmp_path: Path
) -> None:
    repo.write({"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
    repo.git("clone", "--quiet", "--bare", str(repo.path), str(tmp_path / "origin.git"))
    repo.git("remote", "add", "origin", f"file://{tmp_path / 'origin.git'}")
    store = ("--repo", f"layout:{tmp_path / 'store'}")
    (stage,) = json.loads(lineal("plan", "--format", "json", *store).stdout)["stages"]
    checksum = stage["checksum"]
    given = {"kind": "git", "clone": str(repo.path), "private": str(tmp_path / "other"), "environ": {}}
    other = worker.service(given, LockTimeouts(), Event(), "https://ci.example.com/jobs/7")
    token = other.token()
    assert other.claim(checksum, token, None)
    command = [sys.executable, "-m", "lineal", "build", "--lock", "git", *store]
    with subprocess.Popen(command, cwd=repo.path, env=lineal.environment(), stderr=-1, text=True) as build:
        assert build.stderr is not None
        said: list[str] = []
        while not said or (said[-1] and not said[-1].startswith("waiting")):
            said.append(build.stderr.readline())
        assert checksum[:12] in said[-1] and "waits for it at most 90 s" in said[-1], said
        build.send_signal(signal.SIGTERM)
        rest = build.stderr.read()
    assert build.returncode == 130 and "Error: Interrupted" in rest
    other.release(checksum, token)
    assert servers.Repository(tmp_path / "origin.git").git("for-each-ref", "refs/lineal") == ""
    assert lineal("build", "--lock", "git", *store).code == 0


def test_a_wrong_lock_is_told_before_anything_is_built(repo: servers.Repository, lineal: Lineal) -> None:
    repo.write({"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
    done = lineal("build", env={"LINEAL_LOCK": "gti"})
    assert done.code == 3
    assert done.stderr.endswith("Error: There is no lock `gti` (LINEAL_LOCK). Did you mean `git`? [LN-4029]\n")
