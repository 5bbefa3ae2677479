"""What is fetched for a shallow clone: as little as answers, from every kind of server, never less than before."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lineal.git import history_fetch
from lineal.git.history import GitHistory
from lineal.git.repository import Repository
from tests import servers
from tests.unit.git import forge

pytestmark = pytest.mark.server

NOBODY = "f" * 40
DAY = 24 * 3600
COUNT = 60


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> servers.Repository:
    repo = servers.Repository.create(tmp_path_factory.mktemp("template") / "repo")
    repo.git("config", "uploadpack.allowFilter", "true")
    for number in range(COUNT):
        repo.clock += DAY - 60
        repo.write({"a": f"{number}" * 100, f"f{number}": str(number)})
    return repo


@pytest.fixture
def origin(template: servers.Repository, tmp_path: Path) -> servers.Repository:
    """One commit a day."""
    shutil.copytree(template.path, tmp_path / "repo")
    return servers.Repository(tmp_path / "repo", template.clock)


def commits(repo: servers.Repository) -> list[str]:
    """The oldest first."""
    return repo.git("rev-list", "--reverse", "main").split()


def made(number: int) -> int:
    """When the commit was made, in ms."""
    return (1_700_000_000 + (number + 1) * DAY) * 1000


def seek(clone: servers.Repository, cache: Path, since: int | None, *asked: str, **environ: str) -> GitHistory:
    """The history after these commits were all asked for."""
    history = GitHistory(opened := Repository.open(clone.path, clone.environment() | environ), [opened.commit], cache)
    history.answers = [answer.value for answer in history.seek(asked, [], since=since).ancestors.values()]  # type: ignore[attr-defined]
    return history


def ask(clone: servers.Repository, cache: Path, since: int | None, *asked: str, **environ: str) -> list[str]:
    history = seek(clone, cache, since, *asked, **environ)
    assert history.notes == []
    history.close()
    return history.answers  # type: ignore[attr-defined, no-any-return]


def stored(cache: Path) -> list[str]:
    """The kinds of all objects that were fetched, the whole history's if there is one."""
    place = min((cache / "history").glob("*.git"), key=lambda path: len(path.name))
    asked = ["git", "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)"]
    return subprocess.run(asked, cwd=place, capture_output=True, text=True, check=True).stdout.split()


def visible(cache: Path) -> int:
    """How many commits the fetched history has, the whole one if there is one."""
    place = min((cache / "history").glob("*.git"), key=lambda path: len(path.name))
    counted = ["git", "rev-list", "--count", "--all"]
    return int(subprocess.run(counted, cwd=place, capture_output=True, text=True, check=True).stdout)


def files(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns if path.is_file() else 0, content)
    return found


# --- no more than is needed -----------------------------------------------------------------------------------------


def test_only_what_is_not_much_older_than_the_candidate_is_fetched(
    origin: servers.Repository, tmp_path: Path
) -> None:
    all_of = commits(origin)
    clone = origin.clone(tmp_path / "shallow", "--depth=1")
    before = files(clone.path)
    assert ask(clone, tmp_path / "cache", made(50), all_of[50]) == ["yes"]
    kinds = stored(tmp_path / "cache")
    assert set(kinds) == {"commit"} and 10 <= len(kinds) <= 30
    assert files(clone.path) == before


def test_what_that_does_not_answer_needs_all(origin: servers.Repository, tmp_path: Path) -> None:
    all_of = commits(origin)
    clone = origin.clone(tmp_path / "shallow", "--depth=20")
    before = files(clone.path)
    assert ask(clone, tmp_path / "cache", made(30), all_of[30], all_of[0], NOBODY) == ["yes", "yes", "no"]
    assert stored(tmp_path / "cache") == ["commit"] * (COUNT - 20)
    assert files(clone.path) == before


def test_a_later_question_fetches_the_rest(origin: servers.Repository, tmp_path: Path) -> None:
    all_of = commits(origin)
    clone = origin.clone(tmp_path / "shallow", "--depth=1")
    repository = Repository.open(clone.path, clone.environment())
    history = GitHistory(repository, [repository.commit], tmp_path / "cache")
    answers = []
    for number in (55, 40, 40, 3):
        lineage = history.seek([all_of[number]], [], since=made(number))
        answers.append((lineage.ancestors[all_of[number]].value, lineage.complete))
    assert answers == [("yes", False)] * 4
    assert history.seek([NOBODY], []).ancestors[NOBODY].value == "no"
    assert history.notes == []


@pytest.mark.parametrize("since", [1, made(COUNT + 1000), 9_999_999_999_999, -5, None])
def test_a_time_is_only_a_hint(origin: servers.Repository, tmp_path: Path, since: int | None) -> None:
    all_of = commits(origin)
    clone = origin.clone(tmp_path / "shallow", "--depth=1")
    assert ask(clone, tmp_path / "cache", since, all_of[2], NOBODY) == ["yes", "no"]


def test_the_next_run_deepens_what_the_last_one_left(origin: servers.Repository, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    all_of = commits(origin)
    clone = origin.clone(tmp_path / "first", "--depth=1")
    assert ask(clone, cache, made(57), all_of[57]) == ["yes"]
    few = len(stored(cache))
    assert ask(clone, cache, made(57), all_of[57]) == ["yes"]
    assert len(stored(cache)) == few
    assert ask(clone, cache, made(40), all_of[40]) == ["yes"]
    more = visible(cache)
    assert few < more < COUNT - 1
    new = origin.write({"a": "new"})
    origin.write({"a": "newer"})
    later = origin.clone(tmp_path / "later", "--depth=1")
    assert ask(later, cache, made(59), new, all_of[58]) == ["yes", "yes"]
    assert visible(cache) == more + 2, "nothing was cut off again: others may be reading"
    assert ask(clone, cache, made(40), all_of[40]) == ["yes"]
    assert len(list((cache / "history").glob("*.git"))) == 1
    assert ask(later, cache, made(57), all_of[57], all_of[0], NOBODY) == ["yes", "yes", "no"]
    assert ask(clone, cache, made(57), all_of[0], NOBODY) == ["yes", "no"]
    newest = origin.write({"a": "newest"})
    whole = visible(cache)
    assert ask(origin.clone(tmp_path / "last", "--depth=1"), cache, made(59), newest, all_of[58]) == ["yes"] * 2
    assert visible(cache) == whole + 1, "the whole history is there: it only needs what is new"


def test_many_runs_want_different_parts_at_once(origin: servers.Repository, tmp_path: Path) -> None:
    all_of = commits(origin)
    clones = []
    for number in range(6):
        clones.append(origin.clone(tmp_path / f"clone-{number}", "--depth=1"))
        all_of.append(origin.write({"a": f"more {number}"}))
    wanted = [(59, True), (30, True), (3, False), (57, True), (50, False), (45, True)]
    barrier = threading.Barrier(len(clones))

    def run(clone: servers.Repository, number: int, early: bool) -> list[str]:
        barrier.wait(300)
        asked = [all_of[number]] if early else [all_of[number], all_of[0], NOBODY]
        return ask(clone, tmp_path / "cache", made(number), *asked)

    with ThreadPoolExecutor(len(clones)) as pool:
        answers = list(pool.map(run, clones, *zip(*wanted, strict=True)))
    assert answers == [["yes"] if early else ["yes", "yes", "no"] for _, early in wanted]


def test_what_a_killed_fetch_left_behind_goes(origin: servers.Repository, tmp_path: Path) -> None:
    clone = origin.clone(tmp_path / "shallow", "--depth=1")
    assert ask(clone, tmp_path / "cache", made(57), commits(origin)[57]) == ["yes"]
    (place,) = (tmp_path / "cache/history").glob("*.git")
    (place / "objects/pack/tmp_pack_x").write_bytes(b"half")
    assert ask(clone, tmp_path / "cache", made(50), commits(origin)[50]) == ["yes"]
    assert not list((place / "objects/pack").glob("tmp_*"))


# --- every kind of server -------------------------------------------------------------------------------------------


@contextmanager
def daemon(root: Path) -> Iterator[str]:
    port = servers.free_port()
    args = ["git", "daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1", f"--port={port}"]
    with (root / "daemon.log").open("wb") as log:
        process = subprocess.Popen([*args, f"--base-path={root}", str(root)], stderr=log, start_new_session=True)
    try:
        servers.wait_for_port(f"127.0.0.1:{port}", process, root / "daemon.log")
        yield f"git://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(300)


@pytest.mark.parametrize("single", [True, False], ids=["single commits", "branches only"])
@pytest.mark.parametrize("filters", [True, False], ids=["filters", "no filters"])
@pytest.mark.parametrize("server", ["file", "http", "daemon"])
def test_a_server(origin: servers.Repository, tmp_path: Path, server: str, filters: bool, single: bool) -> None:
    origin.git("config", "uploadpack.allowFilter", str(filters).lower())
    origin.git("config", "uploadpack.allowAnySHA1InWant", str(single).lower())
    all_of = commits(origin)
    clone = origin.clone(tmp_path / "shallow", "--depth=1")
    settings = tmp_path / "settings"
    # Version 2 of the protocol gives whatever is asked for.
    settings.write_text("[protocol]\n\tversion = 0\n" if not single else "")
    with daemon(tmp_path) as git, forge.serve(tmp_path) as http:
        url = {"file": f"file://{tmp_path}", "http": http.url, "daemon": git}[server]
        clone.git("remote", "set-url", "origin", f"{url}/repo/.git")
        environ = {"GIT_CONFIG_GLOBAL": str(settings)}
        assert ask(clone, tmp_path / "cache", made(57), all_of[57], **environ) == ["yes"]
        assert ask(clone, tmp_path / "cache", made(57), all_of[0], NOBODY, **environ) == ["yes", "no"]
    assert ("blob" in stored(tmp_path / "cache")) is not filters


def test_files_are_not_fetched_without_end(
    origin: servers.Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without filters whose repository is too large for the sake of its history."""
    origin.git("config", "uploadpack.allowFilter", "false")
    clone = origin.clone(tmp_path / "shallow", "--depth=1")
    monkeypatch.setattr(history_fetch, "_MOST_FILES", 1000)
    slow = tmp_path / "slow"
    slow.write_text('#!/bin/sh\n"$@" | { head -c 9000; sleep 3600; }\n')
    slow.chmod(0o755)
    settings = tmp_path / "settings"
    settings.write_text(f"[uploadpack]\n\tpackObjectsHook = {slow}\n")
    history = seek(clone, tmp_path / "cache", None, commits(origin)[0], NOBODY, GIT_CONFIG_GLOBAL=str(settings))
    assert history.answers == ["unknown", "unknown"]  # type: ignore[attr-defined]
    (note,) = history.notes
    assert "its server sends no history without files" in note and "fetch-depth: 0" in note and "\n" not in note
    (place,) = (tmp_path / "cache/history").glob("*.git")
    assert str(place) not in subprocess.run(["ps", "ax"], capture_output=True, text=True, check=True).stdout
    monkeypatch.undo()
    assert ask(clone, tmp_path / "cache", None, NOBODY) == ["no"], "another run may have more luck"


# --- where credentials go -------------------------------------------------------------------------------------------


def test_a_redirect_does_not_take_the_token_along(origin: servers.Repository, tmp_path: Path) -> None:
    clone = origin.clone(tmp_path / "shallow", "--depth=1")
    secret = forge.basic("ci", "s3cret")
    with forge.serve(tmp_path) as elsewhere:

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(301)
                self.send_header("Location", elsewhere.url + self.path)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            clone.git("remote", "set-url", "origin", f"{url}/repo/.git")
            clone.git("config", f"http.{url}/.extraheader", f"AUTHORIZATION: {secret}")
            clone.git("config", "http.followRedirects", "true")
            history = seek(clone, tmp_path / "cache", made(3), NOBODY)
        finally:
            server.shutdown()
            server.server_close()
        assert elsewhere.seen == []
    assert history.answers == ["unknown"] and len(history.notes) == 1  # type: ignore[attr-defined]


# --- clones of other kinds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["--filter=blob:none", "--filter=tree:0"])
def test_a_partial_clone_fetches_nothing_on_the_way(origin: servers.Repository, tmp_path: Path, what: str) -> None:
    clone = origin.clone(tmp_path / "partial", what)
    clone.git("remote", "set-url", "origin", "file:///nowhere")
    before = files(clone.path)
    assert ask(clone, tmp_path / "cache", made(3), *commits(origin), NOBODY) == ["yes"] * COUNT + ["no"]
    assert files(clone.path) == before and not (tmp_path / "cache").exists()


def test_grafts_do_not_change_history(origin: servers.Repository, tmp_path: Path) -> None:
    all_of = commits(origin)
    (origin.path / ".git/info").mkdir(exist_ok=True)
    (origin.path / ".git/info/grafts").write_text(f"{all_of[10]}\n")
    assert ask(origin, tmp_path / "cache", None, all_of[0], NOBODY) == ["yes", "no"]


def test_a_header_that_everybody_has_is_not_sent_twice(origin: servers.Repository, tmp_path: Path) -> None:
    """Servers refuse two authorizations."""
    clone = origin.clone(tmp_path / "shallow", "--depth=1")
    with forge.serve(tmp_path, login=("ci", "s3cret")) as server:
        clone.git("remote", "set-url", "origin", f"{server.url}/repo/.git")
        settings = tmp_path / "settings"
        settings.write_text(f'[http "{server.url}/"]\n\textraheader = AUTHORIZATION: {forge.basic("ci", "s3cret")}\n')
        history = seek(clone, tmp_path / "cache", made(3), NOBODY, GIT_CONFIG_GLOBAL=str(settings))
        assert history.answers == ["no"]  # type: ignore[attr-defined]
        assert server.headers and set(server.headers) == {1}


def test_an_annotated_tag_is_the_commit_that_it_names(origin: servers.Repository, tmp_path: Path) -> None:
    all_of = commits(origin)
    origin.git("tag", "-a", "-m", "x", "v1", all_of[30])
    tag = origin.git("rev-parse", "v1")
    for graph in (False, True):
        if graph:
            origin.git("commit-graph", "write", "--reachable")
        repository = Repository.open(origin.path, origin.environment())
        found = GitHistory(repository, [tag], tmp_path / "cache").seek([all_of[30], all_of[31], tag], [])
        assert [answer.value for answer in found.ancestors.values()] == ["yes", "no", "no"]


def test_a_merge_that_was_reverted_stays_history(origin: servers.Repository, tmp_path: Path) -> None:
    origin.branch("feature")
    feature = origin.write({"b": "1"})
    origin.switch("main")
    before = origin.write({"c": "1"})
    origin.merge("feature")
    origin.git("revert", "--no-edit", "-m", "1", "HEAD")
    tree = origin.git("rev-parse", f"{before}^{{tree}}")
    repository = Repository.open(origin.path, origin.environment())
    found = GitHistory(repository, [repository.commit], tmp_path / "cache").seek([feature], [tree])
    assert found.ancestors[feature].value == "yes" and found.trees == {tree: repository.commit}


def test_a_branch_that_was_pushed_by_force_is_no_history_any_more(origin: servers.Repository, tmp_path: Path) -> None:
    gone = origin.write({"a": "gone"})
    origin.git("reset", "--quiet", "--hard", "HEAD^")
    origin.write({"a": "instead"})
    assert ask(origin, tmp_path / "cache", None, gone) == ["no"]
    clone = origin.clone(tmp_path / "shallow", "--depth=1")
    assert ask(clone, tmp_path / "cache", made(57), gone) == ["no"]


def test_either_all_commits_or_the_tree_is_enough(origin: servers.Repository, tmp_path: Path) -> None:
    """A squash merge within the clone: nothing has to be fetched to see that the tree is the same."""
    all_of = commits(origin)
    clone = origin.clone(tmp_path / "shallow", "--depth=3")
    repository = Repository.open(clone.path, clone.environment())
    tree = origin.git("rev-parse", "HEAD^^{tree}")
    history = GitHistory(repository, [repository.commit], tmp_path / "cache")
    lineage = history.seek([NOBODY, all_of[-1]], [tree, NOBODY], either=[([NOBODY], tree), ([all_of[-1]], NOBODY)])
    assert lineage.trees[tree] == all_of[-2] and lineage.ancestors[all_of[-1]].value == "yes"
    assert not lineage.complete and not (tmp_path / "cache").exists()


@pytest.mark.parametrize("since", [made(57), made(0), None])
def test_a_remote_that_is_shallow_itself_has_no_more(
    origin: servers.Repository, tmp_path: Path, since: int | None
) -> None:
    all_of = commits(origin)
    clone = origin.clone(tmp_path / "middle", "--depth=10").clone(tmp_path / "shallow", "--depth=1")
    history = seek(clone, tmp_path / "cache", since, all_of[-1], all_of[0], NOBODY)
    assert history.answers == ["yes", "unknown", "unknown"]  # type: ignore[attr-defined]
    assert len(history.notes) == 1
