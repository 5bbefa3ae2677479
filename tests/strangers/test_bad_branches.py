"""Branches that anybody may push and nobody can plan: main's cleanup goes on without them."""

from __future__ import annotations

from tests import servers
from tests.conftest import Lineal

STORE = ("--repo", "layout:../store")
YAML = "project: p\nimages: {app: {}}\n"
DOCKERFILE = "FROM scratch\nCOPY x /\n"


def built(repo: servers.Repository, lineal: Lineal, text: str) -> str:
    """The tag of the stage that a build of this content publishes."""
    repo.write({"x": text})
    done = lineal("build", *STORE)
    assert done.code == 0, done.stderr
    return done.stdout.split(":", 1)[1].partition("@")[0].rpartition(":")[2]


BAD: dict[str, dict[str, str | bytes | None]] = {
    "not yaml": {"lineal.yaml": "project: [\n"},
    "no image": {"lineal.yaml": "project: p\nimages: {app: {dockerfile: none}}\n"},
    "a large file": {"Dockerfile": DOCKERFILE + "# " + "x" * (1 << 20)},
    "too many instructions": {"Dockerfile": DOCKERFILE + "COPY x /\n" * 10_001},
    "too many patterns": {".dockerignore": "".join(f"*{number}a\n" for number in range(1001))},
    "a template that fills the memory": {"lineal.yaml": "{{ 'a'.ljust(3000000000) }}" + YAML},
    "a link to nothing": {"Dockerfile": None},
}  # fmt: skip


def test_bad_branches_cost_a_line_and_their_own_stages_stay(repo: servers.Repository, lineal: Lineal) -> None:
    repo.write({"lineal.yaml": YAML, "Dockerfile": DOCKERFILE, "x": "0"})
    old = built(repo, lineal, "old")
    repo.git("switch", "--quiet", "--create", "evil")
    own = built(repo, lineal, "evil")
    for number, files in enumerate(BAD.values()):
        repo.git("switch", "--quiet", "--create", f"bad{number}", "main" if number else "evil")
        repo.write(files)
    repo.git("switch", "--quiet", "evil")
    repo.write(BAD["not yaml"])
    repo.git("switch", "--quiet", "main")
    new = built(repo, lineal, "new")
    done = lineal("cleanup", *STORE, "--keep-days", "0")
    assert done.code == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if "It cannot be told what" in line]
    assert len(told) == len(BAD) + 1, done.stderr
    assert all("needs, so what was built for it stays and nothing else: " in line for line in told)
    gone = done.stdout.split()
    assert old in gone and new not in gone and own not in gone, done.stderr


def test_what_is_checked_out_has_to_be_known(repo: servers.Repository, lineal: Lineal) -> None:
    repo.write({"lineal.yaml": YAML, "Dockerfile": DOCKERFILE, "x": "0"})
    lineal("build", *STORE)
    repo.write({"Dockerfile": "FROM\n"})
    done = lineal("cleanup", *STORE, "--keep-days", "0")
    assert done.code == 3 and "Nothing is deleted, because it cannot be told what HEAD" in done.stderr
