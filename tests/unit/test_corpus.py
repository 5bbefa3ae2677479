"""`make corpus`: checkouts made here, what their files say about their Dockerfiles, and the table."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

import lineal
from lineal.init import hcl
from lineal.init.build import UNKNOWN, Build
from lineal.init.compose import interpolated
from lineal.init.hints import ways
from tests import servers
from tests.tools.corpus import __main__ as corpus
from tests.tools.corpus.checkout import Checkout
from tests.tools.corpus.planner import Attempt, Outcome
from tests.tools.corpus.processes import NoAnswer, in_processes

COMPOSE = """
services:
  api:
    build: {context: ./api, args: ["TAG=${TAG:-1}", "FROM_ENV", "OTHER=${OTHER}", "GIVEN=${UNSET}"]}
  web:
    build: web
  tool:
    build: {context: ., dockerfile: docker/tool.Dockerfile, target: small, args: {A: 1, B: true, C: }}
  far: {build: "https://example.com/x.git"}
  database: {image: postgres, ports: !reset []}
"""
BAKE = """
variable "VERSION" { default = "3" }
group "default" { targets = ["one", "many"] }
target "_base" {
  args = { VERSION = VERSION, WHO = "${VERSION}-a", WHEN = timestamp() }  # a comment
}
target "one" {
  inherits = ["_base"]
  dockerfile = "one.Dockerfile"
  args = { WHO = null }
}
target "many" {
  name = "many-${part}"
  matrix = { part = ["x", "y"] }
  context = "parts/${part}"
  target = part == "x" ? "a" : "b"
}
target "named" { context = "target:one" }
"""
WORKFLOW = """
jobs:
  build:
    strategy: {matrix: {include: [{image: one, file: one.Dockerfile}, {image: two, file: two/Dockerfile}]}}
    steps:
      - uses: actions/checkout@v4
      - uses: docker/build-push-action@v6
        with:
          context: .
          file: ${{ matrix.file }}
          target: ${{ github.ref_name }}
          build-args: |
            NAME=${{ matrix.image }}
            SHA=${{ github.sha }}
"""
WITH_ARGS = "ARG TAG\nARG OTHER\nARG GIVEN=default\nARG FROM_ENV\n"


def checkout(path: Path, files: dict[str, str]) -> Checkout:
    servers.Repository.create(path).write(files)
    return Checkout(path, path.name)


def said(found: Checkout) -> dict[str, list[tuple[str, str | None, dict[str, str], str]]]:
    return {path: [(one.context, one.target, dict(one.args), one.source) for one in builds]
            for path, builds in ways(found).items()}  # fmt: skip


def test_compose_files_say_contexts_targets_and_arguments(tmp_path: Path) -> None:
    files = {"compose.yaml": COMPOSE, ".env": "TAG=2\n# no\nFROM_ENV='x y'\n",
             "api/Dockerfile": f"{WITH_ARGS}FROM a\n",
             "web/Dockerfile": "FROM a\n", "docker/tool.Dockerfile": "FROM a AS small\n"}  # fmt: skip
    assert said(checkout(tmp_path / "shop", files)) == {
        "api/Dockerfile": [("api", None, {"TAG": "2", "FROM_ENV": "x y", "OTHER": UNKNOWN}, "compose.yaml")],
        "web/Dockerfile": [("web", None, {}, "compose.yaml")],
        "docker/tool.Dockerfile": [(".", "small", {"A": "1", "B": "true"}, "compose.yaml")],
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [("$A-${A}", "1-1"), ("$$A", "$A"), ("${B:-x${A}}", "x1"), ("${E:-x}", "x"), ("${E-x}", ""), ("${A:+y}", "y"),
     ("${B:+y}", ""), ("${B}", UNKNOWN), ("${B:?no}", UNKNOWN), ("a b", "a b")],
)  # fmt: skip
def test_variables_of_compose_have_their_values(text: str, value: str) -> None:
    assert interpolated(text, {"A": "1", "E": ""}) == value


def test_bake_files_say_what_targets_inherit(tmp_path: Path) -> None:
    files = {"docker-bake.hcl": BAKE, "one.Dockerfile": "ARG WHEN=now\nFROM a\n", "parts/x/Dockerfile": "FROM a\n",
             "parts/y/Dockerfile": "FROM a\n"}  # fmt: skip
    found = said(checkout(tmp_path / "tools", files))
    assert found["one.Dockerfile"] == [(".", None, {"VERSION": "3"}, "docker-bake.hcl")]
    assert found["parts/x/Dockerfile"] == [("parts/x", None, {}, "docker-bake.hcl")]
    assert found.keys() == files.keys() - {"docker-bake.hcl"}


def test_workflows_say_what_their_matrix_builds(tmp_path: Path) -> None:
    files = {
        ".github/workflows/ci.yml": WORKFLOW,
        "one.Dockerfile": "ARG SHA=none\nFROM a\n",
        "two/Dockerfile": "FROM a\n",
    }
    assert said(checkout(tmp_path / "ci", files)) == {
        "one.Dockerfile": [(".", None, {"NAME": "one"}, ".github/workflows/ci.yml")],
        "two/Dockerfile": [(".", None, {"NAME": "two", "SHA": UNKNOWN}, ".github/workflows/ci.yml")],
    }


def test_what_nothing_names_is_tried_with_its_own_folder_and_the_root(tmp_path: Path) -> None:
    files = {"a/Dockerfile": "FROM a\n", "Dockerfile": "FROM a\n", "Dockerfile.j2": "FROM {{ a }}\n",
             "x.Dockerfile": "no",
             "compose.yaml": "{", "docker-bake.hcl": "target {", ".github/workflows/a.yml": "jobs: 5"}  # fmt: skip
    found = said(checkout(tmp_path / "plain", {**files, "x.Dockerfile": "one\ntwo\n"}))
    assert {path: [way[0] for way in builds] for path, builds in found.items()} == {
        "Dockerfile": ["."],
        "a/Dockerfile": ["a", "."],
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [('"a"', "a"), ("1", 1), ("true", True), ("null", None), ('["a", V,]', ["a", "v"]),
     ('{ a = "b", "c": 1\n d = V }', {"a": "b", "c": 1, "d": "v"}),
     ('"x${V}y"', "xvy"), ('"${V}"', "v"), ('"$${V}"', "${V}"), ('"a\\"b"', 'a"b'),
     ("{ 1 = V }", {"1": "v"}), ('V == "" ? "a" : "b"', UNKNOWN),
     ("f(V)", UNKNOWN), ('"${f("}")}"', UNKNOWN), ("<<EOT\n a\nEOT", " a"), ("W", UNKNOWN),
     ('concat(["a"], [\n"b"])', UNKNOWN)],
)  # fmt: skip
def test_values_of_hcl(text: str, value: Any) -> None:
    read = hcl.read(f'variable "V" {{\n default = "v"\n}}\ntarget "t" {{\n x = {text}\n y = 1\n}}\n')
    assert read == {"target": {"t": {"x": value, "y": 1}}}


# --- planning -------------------------------------------------------------------------------------------------------


@pytest.fixture
def projects(tmp_path: Path) -> Path:
    """Three checkouts, and one that git cannot use."""
    folder = tmp_path / "projects"
    checkout(folder / "shop", {
        "compose.yaml": 'services: {api: {build: {context: api, args: {TAG: "{{ 1 }}"}}}}', "api/main.py": "",
        "README": "",
        "api/Dockerfile": "ARG TAG\nFROM a\nLABEL tag=$TAG\nCOPY main.py /\n",
        "web/Dockerfile": "FROM a\nCOPY dist /\n", "tool/Dockerfile": "FROM a\nCOPY README /\n",
    })  # fmt: skip
    checkout(folder / "team" / "tools", {"Dockerfile": "FROM a\nRUNN x\n", "crash.Dockerfile": "FROM crash\n"})
    checkout(folder / "die", {"Dockerfile": "FROM die\n"})
    (folder / "broken" / ".git").mkdir(parents=True)
    return folder


def state(folder: Path) -> dict[str, bytes]:
    return {str(place): place.read_bytes() for place in folder.rglob("*") if place.is_file()}


def test_the_table_says_what_became_of_each_dockerfile(
    projects: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = lineal.plan_images

    def hooked(session: lineal.Session) -> Any:
        plan = real(session)
        text = plan.last()[0].text
        if "crash" in text:
            raise KeyError("a hook")
        if "die" in text:
            raise SystemExit(7)
        return plan

    monkeypatch.setattr(lineal, "plan_images", hooked)
    before = state(projects)
    code = corpus.main([str(projects), "--json", str(tmp_path / "details")])
    assert state(projects) == before
    out, err = capsys.readouterr()
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 1
    assert "broken is left out: " in err
    for row in [
        "accepted shop api/Dockerfile (context api, compose.yaml)",
        "accepted shop tool/Dockerfile (context ., guessed)",
        "refused shop web/Dockerfile (context web, guessed)",
        "refused team/tools Dockerfile (context ., guessed)",
        "crashed team/tools crash.Dockerfile (context ., guessed)",
        "crashed die Dockerfile (context ., guessed)",
        "its process ended with 7",
        "3 checkouts, 6 Dockerfiles, 8 plans",
        "2 accepted",
        "2 refused",
        "1 LN-2009 source is not in the context, in 1 checkouts",
        "2 crashed",
    ]:
        assert row in rows, out
    assert any(row.startswith("KeyError: 'a hook' (test_corpus.py:") for row in rows)
    assert any(row.startswith("LN-2002 ") and "unknown instruction: RUNN" in row for row in rows), out
    details = {(row["checkout"], row["dockerfile"]): row for row in json.loads((tmp_path / "details").read_text())}
    assert [one["verdict"] for one in details["shop", "tool/Dockerfile"]["outcome"]["attempts"]] == [
        "refused",
        "accepted",
    ]
    assert details["shop", "api/Dockerfile"]["outcome"]["attempts"][0]["build"]["args"] == {"TAG": "{{ 1 }}"}


def test_without_a_crash_it_ends_with_0_and_without_a_dockerfile_with_3(tmp_path: Path) -> None:
    checkout(tmp_path / "one", {"Dockerfile": "FROM a\n"})
    checkout(tmp_path / "two" / "none", {"README": "x"})
    assert corpus.main([str(tmp_path / "one")]) == 0
    assert corpus.main([str(tmp_path / "two")]) == 3


def test_each_piece_of_work_has_a_process_of_its_own() -> None:
    found = dict(in_processes(lambda number: 10 // number, [0, 2, 5], 2, 20))
    assert (found[2], found[5]) == (5, 2)
    assert isinstance(found[0], NoAnswer)


def test_a_process_that_takes_too_long_is_killed() -> None:
    assert list(in_processes(time.sleep, [60.0], 1, 0.3)) == [(60.0, NoAnswer("no answer within 0.3 s"))]


def test_of_what_files_say_the_worst_counts_and_of_guesses_the_best() -> None:
    guessed = [Attempt(Build("D", "a"), "refused"), Attempt(Build("D", "."), "accepted")]
    named = [Attempt(Build("D", one.build.context, source="compose.yaml"), one.verdict) for one in guessed]
    assert Outcome(tuple(guessed)).worst.verdict == "accepted"
    assert Outcome(tuple(named)).worst.verdict == "refused"
