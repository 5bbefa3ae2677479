"""Ancestry of 1,000 candidates in a long history, beside `git rev-list --stdin` over the same commits."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.limits import Limit
from bench.process import Failed
from lineal.git.history import GitHistory
from lineal.git.log_walk import Question
from lineal.git.repository import Repository as Opened
from tests.servers import Repository

COMMITS = 1_000_000
_LINES, _SIDES, _CANDIDATES, _RECENT = 60, 200, 1000, 10_000
_NEVER, _UNKNOWN = 30, 10
"""Candidates of branches that were never merged, and of commits that exist nowhere any more."""
_ROUNDS = 2


def history(scratch: Path, commits: int = COMMITS) -> list[Limit]:
    """Times of Lineal / times of git."""
    repository = Repository.create(scratch / "history")
    print(f"  {commits:,} commits", flush=True)
    _import(repository, commits)
    limits = []
    for graph in ("no commit-graph", "commit-graph"):
        if graph == "commit-graph":
            repository.git("config", "gc.auto", "0")
            _git(repository, ["commit-graph", "write", "--reachable", "--no-progress"])
        for name, asked in _candidates(repository).items():
            limits += _measure(repository, scratch, f"{commits:,} commits, {graph}, {name} candidates", asked)
    return limits


@dataclass
class _Times:
    """Each time is (of the clock, of the processors)."""

    lineal: list[tuple[float, float]] = field(default_factory=list)
    everything: list[tuple[float, float]] = field(default_factory=list)
    question: list[tuple[float, float]] = field(default_factory=list)


def _measure(repository: Repository, scratch: Path, name: str, asked: list[Question]) -> list[Limit]:
    """In turns, on one machine at one time; the best of each is compared."""
    times = _Times()
    known = "".join(f"{commit}\n" for commits, _ in asked[:-_UNKNOWN] for commit in commits)
    for _ in range(_ROUNDS):
        times.lineal.append(_timed(lambda: _ask(repository, scratch, asked)))
        times.everything.append(_timed(lambda: _rev_list(repository, "main\n")))
        times.question.append(_timed(lambda: _rev_list(repository, f"{known}^main\n")))
    (lineal, lineal_cpu), (everything, everything_cpu) = min(times.lineal), min(times.everything)
    question, question_cpu = min(times.question)
    remark = (
        f"Lineal {lineal:.2f} s (processors {lineal_cpu:.2f} s), all of `git rev-list` {everything:.2f} s "
        f"({everything_cpu:.2f} s). `git rev-list --stdin CANDIDATES ^HEAD`, which looks for no trees and is not "
        f"exact without a commit-graph: {question:.2f} s ({question_cpu:.2f} s), Lineal takes "
        f"{lineal / question:.2f} times that"
    )
    print(f"  {name}: {remark}", flush=True)
    return [Limit(f"history of {name}, Lineal / git rev-list", lineal / everything, 2, "×", remark)]


def _ask(repository: Repository, scratch: Path, asked: list[Question]) -> None:
    opened = Opened.open(repository.path, repository.environment())
    walk = GitHistory(opened, [opened.commit], scratch / "cache")
    ids = [commit for commits, _ in asked for commit in commits]
    lineage = walk.seek(ids, [tree for _, tree in asked], either=asked)
    walk.close()
    opened.close()
    visible = sum(answer.value == "yes" for answer in lineage.ancestors.values())
    if (visible, lineage.complete) != (_CANDIDATES - _NEVER - _UNKNOWN, True):
        raise Failed(f"history: {visible} of {_CANDIDATES} candidates are visible.")


def _candidates(repository: Repository) -> dict[str, list[Question]]:
    """Of the last commits, and of all; most of them in the history of main."""
    form = ["log", "--format=%H %T"]
    inside = _git(repository, [*form, "main"]).splitlines()
    # Not by `--not main`: that is not exact where dates are wrong.
    outside = sorted(set(_git(repository, [*form, "--all"]).splitlines()).difference(inside))
    draw = random.Random(2)
    found: dict[str, list[Question]] = {}
    for name, some in (("recent", inside[:_RECENT]), ("spread", inside)):
        lines = draw.sample(some, _CANDIDATES - _NEVER - _UNKNOWN) + draw.sample(outside, _NEVER)
        lines += [f"{number:040x} {number:040x}" for number in range(_UNKNOWN)]
        found[name] = [([commit], tree) for commit, tree in map(str.split, lines)]
    return found


def _import(repository: Repository, count: int) -> None:
    importer = subprocess.Popen(
        ["git", "fast-import", "--quiet", "--force"],
        cwd=repository.path, env=repository.environment(), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert importer.stdin is not None
    with importer.stdin as out:
        for text in _commits(count):
            out.write(text.encode())
    if importer.wait():
        raise Failed("git fast-import failed.")


def _commits(count: int) -> Iterator[str]:
    """Sixty lines of work with merges between them, some wrong dates, 3 % on branches that are never merged."""
    draw = random.Random(1)
    lines: list[int] = []
    sides: list[int] = []
    yield "blob\nmark :1\ndata 1\nx\n"
    clock = 1_200_000_000
    for mark in range(2, count + 2):
        clock += draw.randrange(1, 1200)
        parents = _parents(draw, mark, lines, sides)
        date = clock - draw.randrange(10_000_000) if draw.random() < 0.001 else clock
        yield _commit("refs/scratch", mark, date, parents)
    mark = count + 2
    for start in range(0, len(lines), 15):
        above = [mark - 1] if start else []
        yield _commit("refs/heads/main", mark, clock, above + lines[start : start + 15])
        mark += 1
    yield from (f"reset refs/heads/side{number}\nfrom :{side}\n\n" for number, side in enumerate(sides))


def _parents(draw: random.Random, mark: int, lines: list[int], sides: list[int]) -> list[int]:
    """Where the commit comes from; it takes the place of the first one, or of none."""
    if not lines or (len(lines) < _LINES and draw.random() < 0.01):
        parents = [draw.choice(lines)] if lines else []
        lines.append(mark)
    elif draw.random() < 0.03:
        if len(sides) < _SIDES:
            parents = [draw.choice(lines)]
            sides.append(mark)
        else:
            at = draw.randrange(_SIDES)
            parents, sides[at] = [sides[at]], mark
    else:
        at, other = draw.randrange(len(lines)), draw.randrange(len(lines))
        parents = [lines[at], lines[other]] if at != other and draw.random() < 0.18 else [lines[at]]
        lines[at] = mark
    return parents


def _commit(ref: str, mark: int, date: int, parents: list[int]) -> str:
    text = f"commit {ref}\nmark :{mark}\ncommitter A <a@example.com> {date} +0000\ndata 60\n{mark:060}"
    text += "".join(f"{'merge' if at else 'from'} :{parent}\n" for at, parent in enumerate(parents))
    return f"{text}deleteall\nM 100644 :1 f{mark}\n"


def _rev_list(repository: Repository, stdin: str) -> None:
    """To nowhere: nobody's reading slows it down."""
    subprocess.run(
        ["git", "rev-list", "--stdin"], cwd=repository.path, env=repository.environment(), input=stdin, text=True,
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def _git(repository: Repository, args: list[str], stdin: str = "") -> str:
    return subprocess.run(
        ["git", *args], cwd=repository.path, env=repository.environment(), input=stdin, text=True, check=True,
        stdout=subprocess.PIPE,
    ).stdout  # fmt: skip


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    start, used = time.perf_counter(), sum(os.times()[:4])
    work()
    return time.perf_counter() - start, sum(os.times()[:4]) - used
