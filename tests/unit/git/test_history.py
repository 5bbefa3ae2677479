"""What history says about earlier commits: in complete clones, in shallow ones, and where it cannot be known."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lineal.git.history import Ancestry, GitHistory
from lineal.git.repository import Repository
from tests import servers
from tests.unit.git import forge

pytestmark = pytest.mark.server

NOBODY = "f" * 40


class Asker:
    """A history with its answers as short words."""

    def __init__(self, repo: servers.Repository, cache: Path, *tips: str, **environ: str) -> None:
        self.repository = Repository.open(repo.path, repo.environment() | environ)
        self.history = GitHistory(self.repository, tips or [self.repository.head()], cache)

    def knows(self, *commits: str) -> list[str]:
        lineage = self.history.seek(commits, [])
        return [lineage.ancestors[commit].value for commit in commits]

    def trees(self, *trees: str) -> list[str | None]:
        lineage = self.history.seek([], trees)
        return [lineage.trees[tree] for tree in trees]


def line(repo: servers.Repository, count: int, name: str = "a") -> list[str]:
    return [repo.write({name: f"{name}{number}"}) for number in range(count)]


def tree(repo: servers.Repository, commit: str) -> str:
    return repo.git("rev-parse", f"{commit}^{{tree}}")


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- complete clones ------------------------------------------------------------------------------------------------


def test_ancestors_are_yes_and_everything_else_is_no(repo: servers.Repository, tmp_path: Path) -> None:
    first, second = line(repo, 2)
    repo.branch("side")
    side = repo.write({"b": "1"})
    repo.switch("main")
    head = repo.write({"c": "1"})
    asker = Asker(repo, tmp_path)
    assert asker.knows(first, second, head, side, NOBODY) == ["yes", "yes", "yes", "no", "no"]
    assert asker.history.seek([NOBODY], []).complete
    repo.merge("side")
    assert Asker(repo, tmp_path).knows(side) == ["yes"]


def test_an_octopus_inherits_from_all_its_parents(repo: servers.Repository, tmp_path: Path) -> None:
    line(repo, 1)
    tips = []
    for name in ("x", "y", "z"):
        repo.branch(name, "main")
        tips.append(repo.write({name: "1"}))
    repo.switch("main")
    repo.git("merge", "--quiet", "--no-gpg-sign", "-m", "octopus", "x", "y", "z")
    assert len(repo.git("rev-parse", "HEAD^@").split()) == 3
    assert Asker(repo, tmp_path).knows(*tips) == ["yes"] * 3


def test_an_unrelated_history_is_no_until_it_is_merged(repo: servers.Repository, tmp_path: Path) -> None:
    line(repo, 2)
    repo.git("checkout", "--quiet", "--orphan", "island")
    island = repo.write({"other": "1"})
    repo.switch("main")
    assert Asker(repo, tmp_path).knows(island) == ["no"]
    repo.git("merge", "--quiet", "--allow-unrelated-histories", "--no-gpg-sign", "-m", "x", "island")
    assert Asker(repo, tmp_path).knows(island) == ["yes"]


def test_dates_do_not_matter(repo: servers.Repository, tmp_path: Path) -> None:
    repo.clock = 2_000_000_000
    first = repo.write({"a": "1"})
    for number in range(40):
        repo.clock = 1_000_000_000 - number * 10_000
        repo.write({"a": f"old {number}"})
    assert Asker(repo, tmp_path).knows(first) == ["yes"]


def test_an_equal_tree_is_found_with_its_nearest_commit(repo: servers.Repository, tmp_path: Path) -> None:
    first = repo.write({"a": "1"})
    repo.write({"a": "2"})
    again = repo.write({"a": "1"})
    repo.branch("side")
    squashed = repo.write({"a": "3"})
    elsewhere = repo.write({"a": "4"})
    repo.switch("main")
    head = repo.write({"a": "3"}, "Squash of side")
    asker = Asker(repo, tmp_path)
    assert asker.knows(squashed) == ["no"]
    assert asker.trees(tree(repo, squashed), tree(repo, first), tree(repo, elsewhere)) == [head, again, None]


def test_several_tips_have_all_their_histories(repo: servers.Repository, tmp_path: Path) -> None:
    (base,) = line(repo, 1)
    repo.branch("side")
    side = repo.write({"b": "1"})
    repo.switch("main")
    main = repo.write({"c": "1"})
    assert Asker(repo, tmp_path, main, side).knows(base, main, side, NOBODY) == ["yes", "yes", "yes", "no"]


def test_only_as_much_is_read_as_the_question_needs(repo: servers.Repository, tmp_path: Path) -> None:
    commits = line(repo, 5)
    asker = Asker(repo, tmp_path)
    lineage = asker.history.seek(commits[-2:], [])
    assert set(lineage.ancestors.values()) == {Ancestry.YES} and not lineage.complete
    assert asker.knows(commits[0], NOBODY) == ["yes", "no"]
    asker.history.close()


def test_replaced_commits_and_settings_of_the_user_do_not_change_history(
    repo: servers.Repository, tmp_path: Path
) -> None:
    first, second, _ = line(repo, 3)
    repo.git("replace", "--graft", second)
    for setting in ("log.showSignature=true", "color.ui=always", "log.decorate=full", "format.pretty=oneline"):
        repo.git("config", *setting.split("="))
    assert Asker(repo, tmp_path).knows(first, NOBODY) == ["yes", "no"]


def test_a_repository_with_sha256_ids(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    repo = servers.Repository(tmp_path / "new")
    repo.git("init", "--quiet", "--object-format=sha256", "--initial-branch=main")
    commits = line(repo, 4)
    shallow = repo.clone(tmp_path / "shallow", "--depth=1")
    for place in (repo, shallow):
        assert Asker(place, tmp_path / "cache").knows(*commits, "f" * 64) == ["yes"] * 4 + ["no"]


# --- shallow clones -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 20])
def test_a_shallow_clone_gets_what_it_lacks_and_stays_as_it_is(
    repo: servers.Repository, tmp_path: Path, depth: int
) -> None:
    commits = line(repo, 30)
    repo.branch("side", commits[3])
    side = repo.write({"b": "1"})
    repo.switch("main")
    shallow = repo.clone(tmp_path / "shallow", f"--depth={depth}")
    before = everything(shallow.path)
    asker = Asker(shallow, tmp_path / "cache")
    assert asker.knows(commits[-1]) == ["yes"]
    assert not (tmp_path / "cache").exists()
    assert asker.knows(*commits, side, NOBODY) == ["yes"] * 30 + ["no", "no"]
    assert asker.trees(tree(repo, commits[0]), tree(repo, side)) == [commits[0], None]
    assert asker.history.notes == []
    assert everything(shallow.path) == before


def test_only_commits_are_fetched(repo: servers.Repository, tmp_path: Path) -> None:
    line(repo, 5)
    repo.git("config", "uploadpack.allowFilter", "true")
    shallow = repo.clone(tmp_path / "shallow", "--depth=1")
    asker = Asker(shallow, tmp_path / "cache")
    assert asker.knows(NOBODY) == ["no"]
    (side,) = (tmp_path / "cache/history").glob("*.git")
    asked = ["git", "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)"]
    done = subprocess.run(asked, cwd=side, env=repo.environment(), capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["commit"] * 4


def test_a_server_that_knows_no_filters_serves_as_well(repo: servers.Repository, tmp_path: Path) -> None:
    commits = line(repo, 5)
    repo.git("config", "uploadpack.allowFilter", "false")
    asker = Asker(repo.clone(tmp_path / "shallow", "--depth=1"), tmp_path / "cache")
    assert asker.knows(commits[0], NOBODY) == ["yes", "no"]


def test_a_second_run_fetches_what_is_new_and_nothing_when_nothing_is(
    repo: servers.Repository, tmp_path: Path
) -> None:
    commits = line(repo, 3)
    with forge.serve(tmp_path) as server:
        repo.git("config", "uploadpack.allowFilter", "true")

        def ask(name: str) -> int:
            shallow = tmp_path / name
            repo.git("clone", "--quiet", "--depth=1", f"{server.url}/repo/.git", str(shallow))
            server.seen.clear()
            asker = Asker(servers.Repository(shallow), tmp_path / "cache")
            assert asker.knows(*commits, NOBODY) == ["yes"] * len(commits) + ["no"]
            return len(server.seen)

        assert ask("first") > 0
        assert ask("again") == 0
        commits.append(repo.write({"a": "new"}))
        commits.append(repo.write({"a": "newer"}))
        assert ask("later") > 0


def test_a_merge_ref_inherits_from_both_parents_also_when_it_is_gone_from_the_server(
    repo: servers.Repository, tmp_path: Path
) -> None:
    (base,) = line(repo, 1)
    repo.branch("side")
    side = line(repo, 2, "b")
    repo.switch("main")
    main = line(repo, 2, "c")
    repo.git("checkout", "--quiet", "--detach")
    merge = repo.merge("side")
    repo.git("update-ref", "refs/pull/1/merge", merge)
    work = servers.Repository.create(tmp_path / "work")
    work.git("remote", "add", "origin", f"file://{repo.path}")
    work.git("fetch", "--quiet", "--depth=1", "origin", "refs/pull/1/merge")
    work.git("checkout", "--quiet", "--detach", "FETCH_HEAD")
    repo.git("update-ref", "-d", "refs/pull/1/merge")
    repo.switch("main")
    asker = Asker(work, tmp_path / "cache")
    assert asker.knows(merge, base, *side, *main, NOBODY) == ["yes"] * 6 + ["no"]


def test_commits_that_nobody_has_pushed_are_no_hindrance(repo: servers.Repository, tmp_path: Path) -> None:
    commits = line(repo, 4)
    shallow = repo.clone(tmp_path / "shallow", "--depth=1")
    own = line(shallow, 3, "own")
    assert Asker(shallow, tmp_path / "cache").knows(*commits, *own, NOBODY) == ["yes"] * 7 + ["no"]


def test_a_clone_that_is_shallow_but_reaches_the_root_fetches_nothing(
    repo: servers.Repository, tmp_path: Path
) -> None:
    (commit,) = line(repo, 1)
    shallow = repo.clone(tmp_path / "shallow", "--depth=1")
    (shallow.path / ".git/shallow").write_text(commit + "\n")
    shallow.git("remote", "remove", "origin")
    asker = Asker(shallow, tmp_path / "cache")
    assert asker.repository.shallow
    assert (asker.knows(commit, NOBODY), asker.history.notes) == (["yes", "no"], [])


def test_a_linked_worktree_of_a_shallow_clone(repo: servers.Repository, tmp_path: Path) -> None:
    commits = line(repo, 4)
    shallow = repo.clone(tmp_path / "shallow", "--depth=1")
    shallow.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    assert Asker(servers.Repository(tmp_path / "linked"), tmp_path / "cache").knows(*commits) == ["yes"] * 4


def test_a_remote_may_be_a_relative_path(repo: servers.Repository, tmp_path: Path) -> None:
    commits = line(repo, 4)
    shallow = repo.clone(tmp_path / "shallow", "--depth=1")
    shallow.git("remote", "set-url", "origin", "../repo")
    assert Asker(shallow, tmp_path / "cache").knows(*commits, NOBODY) == ["yes"] * 4 + ["no"]


# --- when it cannot be known ----------------------------------------------------------------------------------------


def unknown(asker: Asker, inside: str, outside: str) -> str:
    """The one note of a history that can only say yes."""
    for _ in range(2):
        assert asker.knows(inside, outside, NOBODY) == ["yes", "unknown", "unknown"]
    assert not asker.history.seek([outside], []).complete
    (note,) = asker.history.notes
    assert "fetch-depth: 0" in note and "\n" not in note
    return note


def test_without_a_remote_what_is_missing_is_unknown_and_said_once(repo: servers.Repository, tmp_path: Path) -> None:
    first, _, last = line(repo, 3)
    shallow = repo.clone(tmp_path / "shallow", "--depth=1")
    shallow.git("remote", "remove", "origin")
    assert "the clone has no remote" in unknown(Asker(shallow, tmp_path / "cache"), last, first)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/x.git", "file:///nowhere", "/nowhere", "http://[broken/x", "ssh://"]
)
def test_a_server_that_does_not_answer_makes_it_unknown(repo: servers.Repository, tmp_path: Path, url: str) -> None:
    first, _, last = line(repo, 3)
    shallow = repo.clone(tmp_path / "shallow", "--depth=1")
    shallow.git("remote", "set-url", "origin", url)
    unknown(Asker(shallow, tmp_path / "cache", GIT_SSH_COMMAND="false"), last, first)


def test_a_remote_that_lacks_the_history_makes_it_unknown(repo: servers.Repository, tmp_path: Path) -> None:
    first, _, last = line(repo, 3)
    shallow = repo.clone(tmp_path / "shallow", "--depth=1")
    other = servers.Repository.create(tmp_path / "other")
    other.write({"else": "1"})
    shallow.git("remote", "set-url", "origin", f"file://{other.path}")
    unknown(Asker(shallow, tmp_path / "cache"), last, first)


def test_a_remote_that_is_shallow_itself_makes_it_unknown(repo: servers.Repository, tmp_path: Path) -> None:
    commits = line(repo, 6)
    middle = repo.clone(tmp_path / "middle", "--depth=3")
    shallow = middle.clone(tmp_path / "shallow", "--depth=1")
    unknown(Asker(shallow, tmp_path / "cache"), commits[-1], commits[0])


def test_a_cache_that_cannot_be_written_makes_it_unknown(repo: servers.Repository, tmp_path: Path) -> None:
    first, _, last = line(repo, 3)
    (tmp_path / "cache").write_text("a file")
    unknown(Asker(repo.clone(tmp_path / "shallow", "--depth=1"), tmp_path / "cache"), last, first)


# --- credentials ----------------------------------------------------------------------------------------------------

TOKEN = "s3cret-t0ken%2Fwith%40signs"
PLAIN = "s3cret-t0ken/with@signs"


@pytest.fixture
def private(repo: servers.Repository, tmp_path: Path) -> servers.Repository:
    """A shallow clone of a repository with four commits; where it came from is for the test to say."""
    line(repo, 4)
    repo.git("config", "uploadpack.allowFilter", "true")
    shallow = repo.clone(tmp_path / "shallow", "--depth=1")
    shallow.git("remote", "remove", "origin")
    return shallow


@pytest.mark.parametrize(
    "how", ["header", "included header", "address", "helper", "helper of the address", "name and helper"]
)
def test_credentials_reach_the_server_and_nothing_else(private: servers.Repository, tmp_path: Path, how: str) -> None:
    path, argv = forge.telling_git(tmp_path / "telling")
    with forge.serve(tmp_path, login=("ci", PLAIN)) as server:
        url = f"{server.url}/repo/.git"
        header = f"AUTHORIZATION: {forge.basic('ci', PLAIN)}"
        helper = f"!f() {{ echo username=ci; echo 'password={PLAIN}'; }}; f"
        if how == "header":
            private.git("config", f"http.{server.url}/.extraheader", header)
        elif how == "included header":
            (tmp_path / "credentials").write_text(f'[http "{server.url}/"]\n\textraheader = {header}\n')
            private.git("config", f"includeIf.gitdir:{private.path}/.git.path", str(tmp_path / "credentials"))
        elif how == "address":
            url = url.replace("//", f"//ci:{TOKEN}@")
        elif how == "helper":
            private.git("config", "credential.helper", helper)
        elif how == "helper of the address":
            private.git("config", f"credential.{server.url}.helper", helper)
        else:
            url = url.replace("//", "//ci@")
            private.git("config", "credential.helper", f"!f() {{ echo 'password={PLAIN}'; }}; f")
        private.git("remote", "add", "origin", url)
        before = everything(private.path)
        asker = Asker(private, tmp_path / "cache", PATH=path)
        assert asker.knows(private.head(), NOBODY) == ["yes", "no"], asker.history.notes
        assert forge.basic("ci", PLAIN) in {given for _, given in server.seen}
    assert everything(private.path) == before
    told = argv.read_text()
    assert "git-remote-http" in told
    for secret in (PLAIN, TOKEN, forge.basic("ci", PLAIN).removeprefix("Basic ")):
        assert secret not in told
        assert not [name for name, data in everything(tmp_path / "cache").items() if secret.encode() in data]


def test_a_refused_token_is_not_told(private: servers.Repository, tmp_path: Path) -> None:
    with forge.serve(tmp_path, login=("ci", "other")) as server:
        private.git("remote", "add", "origin", f"{server.url}/repo/.git".replace("//", f"//ci:{TOKEN}@"))
        asker = Asker(private, tmp_path / "cache")
        assert asker.knows(NOBODY) == ["unknown"]
    (note,) = asker.history.notes
    assert "t0ken" not in note and "git fetch ended with status 128" in note


def test_a_token_in_the_address_does_not_make_another_cache(private: servers.Repository, tmp_path: Path) -> None:
    with forge.serve(tmp_path) as server:
        for token in ("one", "two"):
            private.git("remote", "add", "origin", f"{server.url}/repo/.git".replace("//", f"//ci:{token}@"))
            assert Asker(private, tmp_path / "cache").knows(NOBODY) == ["no"]
            private.git("remote", "remove", "origin")
    assert len(list((tmp_path / "cache/history").glob("*.git"))) == 1


def test_a_header_for_one_host_is_not_sent_to_another(private: servers.Repository, tmp_path: Path) -> None:
    with forge.serve(tmp_path, login=("ci", PLAIN)) as server, forge.serve(tmp_path) as elsewhere:
        private.git("remote", "add", "origin", f"{elsewhere.url}/repo/.git")
        private.git("config", f"http.{server.url}/.extraheader", f"AUTHORIZATION: {forge.basic('ci', PLAIN)}")
        assert Asker(private, tmp_path / "cache").knows(NOBODY) == ["no"]
        assert {given for _, given in elsewhere.seen} == {""}


def test_the_key_of_a_checkout_over_ssh_is_used(private: servers.Repository, tmp_path: Path) -> None:
    key = tmp_path / "ssh"
    key.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/ssh-argv\nshift $(($# - 1))\nexec sh -c "$1"\n')
    key.chmod(0o755)
    private.git("config", "core.sshCommand", f"{key} -i the-key")
    private.git("remote", "add", "origin", f"ssh://git@127.0.0.1{tmp_path}/repo")
    assert Asker(private, tmp_path / "cache").knows(NOBODY) == ["no"]
    assert "-i the-key" in (tmp_path / "ssh-argv").read_text()


def test_two_runs_fetch_at_once(repo: servers.Repository, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    commits = line(repo, 6)
    clones = [repo.clone(tmp_path / f"shallow-{number}", "--depth=1") for number in range(4)]
    askers = [Asker(clone, tmp_path / "cache") for clone in clones]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda asker: asker.knows(*commits, NOBODY), askers))
    assert answers == [["yes"] * 6 + ["no"]] * 4
