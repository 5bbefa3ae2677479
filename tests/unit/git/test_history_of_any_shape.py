"""Ancestry and equal trees in random histories, against a model that only follows parents."""

from __future__ import annotations

import random
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineal.git.command import git_environment
from lineal.git.history import GitHistory
from lineal.git.repository import Repository
from tests import servers


class Dag:
    """Commits with any number of parents, several roots, any dates; `ids[n]` and `trees[n]` are of commit n."""

    def __init__(self, path: Path, seed: int, count: int, skew: int) -> None:
        rng = random.Random(seed)
        self.repo = servers.Repository.create(path)
        self.parents = [self._parents(rng, number) for number in range(count)]
        content = [rng.randrange(count) for _ in range(count)]
        text = ["blob\nmark :1\ndata 1\nx\n"]
        for number, parents in enumerate(self.parents):
            date = max(0, 1_700_000_000 + number * 60 + rng.randint(-skew, skew))
            text.append(f"commit refs/heads/c{number}\nmark :{number + 2}\n")
            text.append(f"committer A <a@example.com> {date} +0000\ndata {len(str(number))}\n{number}\n")
            text += [f"{'merge' if at else 'from'} :{one + 2}\n" for at, one in enumerate(parents)]
            text.append(f"deleteall\nM 100644 :1 f{content[number]}\n")
        subprocess.run(
            ["git", "fast-import", "--quiet"], cwd=path, env=self.repo.environment(), check=True,
            input="".join(text).encode(),
        )  # fmt: skip
        names = self.repo.git("for-each-ref", "--format=%(refname:short) %(objectname) %(tree)", "refs/heads")
        found = {line.split()[0]: line.split()[1:] for line in names.splitlines()}
        self.ids, self.trees = zip(*(found[f"c{number}"] for number in range(count)), strict=True)

    @staticmethod
    def _parents(rng: random.Random, number: int) -> list[int]:
        wanted = rng.choice([1, 1, 1, 1, 2, 2, 3, 5, 0]) if number else 0
        return rng.sample(range(max(0, number - rng.choice([3, 30])), number), min(wanted, number, 3))

    def past(self, *tips: int) -> set[int]:
        seen: set[int] = set()
        waiting = list(tips)
        while waiting:
            number = waiting.pop()
            if number not in seen:
                seen.add(number)
                waiting += self.parents[number]
        return seen

    def check(self, repository: Repository, tips: list[int], cache: Path, asked: list[int], *since: int) -> None:
        history = GitHistory(repository, [self.ids[tip] for tip in tips], cache)
        past = self.past(*tips)
        unknown = "f" * 40
        for some in (asked[:2], asked):
            if since:
                history.seek([self.ids[one] for one in some], [], since=since[0])
            lineage = history.seek([*(self.ids[one] for one in some), unknown], [self.trees[one] for one in some])
            assert lineage.complete, history.notes
            said = {one: lineage.ancestors[self.ids[one]].value for one in some}
            assert said == {one: "yes" if one in past else "no" for one in some}
            assert lineage.ancestors[unknown].value == "no"
            for one in some:
                at = lineage.trees[self.trees[one]]
                same = {self.ids[other] for other in past if self.trees[other] == self.trees[one]}
                assert at in same if same else at is None
        history.close()


dags = given(st.integers(0, 1 << 32), st.integers(2, 60), st.sampled_from([0, 3_000, 400_000_000]))
few = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


@few
@dags
def test_in_a_complete_clone(seed: int, count: int, skew: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        dag = Dag(Path(folder, "repo"), seed, count, skew)
        rng = random.Random(seed)
        tips = rng.sample(range(count), min(count, rng.choice([1, 1, 2])))
        asked = rng.sample(range(count), min(count, 20))
        environ = git_environment(dag.repo.path, dag.repo.environment())
        subprocess.run(["git", "symbolic-ref", "HEAD", f"refs/heads/c{tips[0]}"], cwd=dag.repo.path, check=True)
        for graph in ("none", "older", "whole"):
            if graph != "none":
                known = dag.ids if graph == "whole" else dag.ids[: count // 2 + 1]
                write = ["git", "commit-graph", "write", "--stdin-commits"]
                subprocess.run(
                    write, cwd=dag.repo.path, env=environ, input="\n".join(known).encode(), check=True,
                    capture_output=True,
                )  # fmt: skip
                assert (dag.repo.path / ".git/objects/info/commit-graph").exists()
            repository = Repository.open(dag.repo.path, dag.repo.environment())
            dag.check(repository, tips, Path(folder, "cache"), asked)
            repository.close()


@few
@dags
def test_in_a_shallow_clone(seed: int, count: int, skew: int) -> None:
    """Runs one after the other share what was fetched, each with another idea of how much that has to be."""
    with tempfile.TemporaryDirectory() as folder:
        dag = Dag(Path(folder, "repo"), seed, count, skew)
        dag.repo.git("config", "uploadpack.allowFilter", "true")
        rng = random.Random(seed)
        for run in range(3):
            tip = rng.randrange(count)
            clone = dag.repo.clone(Path(folder, str(run)), f"--depth={rng.choice([1, 2, 5])}", "-b", f"c{tip}")
            repository = Repository.open(clone.path, clone.environment())
            asked = rng.sample(range(count), min(count, 20))
            since = (1_700_000_000 + rng.randint(-2_000, count * 60) + 14 * 24 * 3600) * 1000
            dag.check(repository, [tip], Path(folder, "cache"), asked, since)
            repository.close()


@pytest.mark.parametrize("damage", ["short", "header", "numbers", "parents", "size"])
def test_a_broken_commit_graph_is_not_read(tmp_path: Path, damage: str) -> None:
    dag = Dag(tmp_path / "repo", 7, 30, 0)
    dag.repo.git("symbolic-ref", "HEAD", "refs/heads/c29")
    dag.repo.git("commit-graph", "write", "--reachable")
    path = dag.repo.path / ".git/objects/info/commit-graph"
    data = bytearray(path.read_bytes())
    path.unlink()
    if damage == "short":
        del data[100:]
    elif damage == "header":
        data[4] = 9
    elif damage == "numbers":
        data[8 + 12 * 4 : 8 + 12 * 4 + 1024] = b"\xff" * 1024
    elif damage == "parents":
        rows = data.index(b"CDAT")
        start = int.from_bytes(data[rows + 4 : rows + 12], "big")
        for number in range(30):
            data[start + number * 36 + 20 : start + number * 36 + 24] = b"\x00\xff\xff\xff"
    else:
        del data[-200:]
    path.write_bytes(data)
    # git itself would complain of the file.
    dag.repo.git("config", "core.commitGraph", "false")
    dag.check(Repository.open(dag.repo.path, dag.repo.environment()), [29], tmp_path, list(range(30)))
