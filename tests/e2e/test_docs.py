"""The documentation is true: its sessions are run, its lists are compared with the code, its links lead somewhere.

In README.md and docs/, a fence ```console is a session. Lines that start with `$ ` are run, all those of a page in
one shell, in a copy of examples/shop that is committed on main. The lines below a command must be in its output, in
this order; `…` stands for anything, and ids, digests and times for any others. A command must succeed unless an
`Error:` is shown."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import docker
import pytest
import yaml

from lineal import errors
from lineal.cli.commands import cli
from lineal.config.giterminism import Giterminism
from lineal.config.schema import schema
from tests import servers
from tests.conftest import Lineal
from tests.tools.helm import directory as helm_directory

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
STORE = "registry.example.com/team/shop"
"""Written in the pages; a repository of the test's registry stands in for it."""


def text(page: str) -> str:
    return (ROOT / page).read_text()


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, its head left out."""
    below = "\n" + text(page).split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = below.split("\n\n|", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.replace(r"\|", "|").strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def code(cell: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


# --- sessions --------------------------------------------------------------------------------------------------


@dataclass
class Command:
    """One command of a page, and the lines shown below it."""

    line: int
    words: str
    shown: list[str] = field(default_factory=list)


def commands(page: Path) -> list[Command]:
    found: list[Command] = []
    inside = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("$ "):
            found.append(Command(number, line[2:]))
        elif inside and line.startswith("> "):
            found[-1].words += "\n" + line[2:]
        elif inside:
            found[-1].shown.append(line)
    return found


def plain(line: str) -> str:
    """Without what differs from run to run."""
    line = re.sub(r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{7,64}\b", "#", line)
    line = re.sub(r"#-\d{13}|\b\d{13}\b", "#", line)
    return " ".join(re.sub(r"\b\d+(\.\d+)?(s| s)\b", "", line).split())


def shown_in(shown: list[str], output: str) -> str | None:
    """The first shown line that the output does not have after the ones before it."""
    lines = iter([plain(line) for line in output.splitlines()])
    for line in shown:
        pattern = ".*".join(re.escape(part) for part in plain(line).split("…"))
        if pattern != ".*" and not any(re.fullmatch(pattern, said) for said in lines):
            return line
    return None


@pytest.fixture
def shop(repo: servers.Repository) -> servers.Repository:
    """examples/shop as `make demo` has it, committed on main."""
    shutil.copytree(ROOT / "examples/shop", repo.path, dirs_exist_ok=True)
    shutil.copy(servers.program("busybox"), repo.path / "docker/busybox")
    repo.git("add", "--all")
    repo.commit("Open the shop")
    return repo


@pytest.fixture
def shell(
    shop: servers.Repository, lineal: Lineal, engine: docker.DockerClient, repository: str
) -> Mapping[str, str]:
    """The environment of a reader: Lineal, Helm, skopeo that trusts the test's registry."""
    containers = lineal.home / ".config/containers"
    containers.mkdir(parents=True)
    (containers / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    host = repository.partition("/")[0]
    (containers / "registries.conf").write_text(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
    author = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in servers.AUTHOR.items()}
    tools = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin",
        "LINEAL_HELM": str(helm_directory() / "helm4"),
        "COLUMNS": "100",
    }
    return lineal.environment() | author | tools


@pytest.mark.engine
@pytest.mark.registry
@pytest.mark.helm
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_what_a_page_shows_is_what_happens(
    page: Path, shop: servers.Repository, shell: Mapping[str, str], repository: str
) -> None:
    session = commands(page)
    mark = "end of a command"
    script = "exec 2>&1\n" + "".join(
        f"{command.words.replace(STORE, repository)}\nprintf '\\n{mark} %s\\n' $?\n" for command in session
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=shop.path, env=shell, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    results = re.findall(rf"(.*?)\n{mark} (\d+)\n", done.stdout, re.DOTALL)
    assert len(results) == len(session), done.stdout
    for command, (output, status) in zip(session, results, strict=True):
        where = f"{page.name}:{command.line} $ {command.words}"
        wanted_to_fail = any(line.startswith("Error:") for line in command.shown)
        assert (status != "0") == wanted_to_fail, f"{where}\nended with {status}:\n{output}"
        missing = shown_in(command.shown, output.replace(repository, STORE))
        assert missing is None, f"{where}\nshould have said {missing!r}, but said:\n{output}"


def test_a_session_that_tells_something_else_is_noticed() -> None:
    output = "base  cached  0.1s  sha256:0123456789ab\nshop  built\n"
    assert shown_in(["base cached sha256:ba9876543210", "shop …"], output) is None
    assert shown_in(["shop …", "base …"], output) == "base …"
    assert shown_in(["base built …"], output) == "base built …"


def test_the_program_of_the_library_page_plans_and_builds(repo: servers.Repository, lineal: Lineal) -> None:
    """It has no more than 15 lines, and needs no command line."""
    program = re.findall(r"^```python\n(.*?)^```$", text("docs/library.md"), re.M | re.S)[0]
    assert len(program.splitlines()) <= 15
    repo.write(
        {"lineal.yaml": "project: shop\nimages: {app: {}}\n", "Dockerfile": "FROM scratch\nCOPY a /\n", "a": "1"}
    )

    def run() -> tuple[int, list[str]]:
        words = [sys.executable, "-c", f"{program}\nimport sys\nassert 'click' not in sys.modules"]
        environ = lineal.environment()
        done = subprocess.run(words, cwd=repo.path, env=environ, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout.splitlines()

    status, (planned, made) = run()
    assert (status, planned) == (0, "COPY a / - not published yet")
    assert re.fullmatch(r"app layout:stages:[0-9a-f]{64}-\d{13}@sha256:[0-9a-f]{64}", made)
    assert run() == (0, [made])
    (repo.path / "a").write_text("2")
    status, (refusal,) = run()
    assert status == 4
    assert refusal.startswith("Uncommitted changes would influence the result: a (modified).")


# --- links --------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)]+)\)", prose):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        assert file.is_relative_to(ROOT), f"{page.name}: {target} leaves the repository"
        assert not anchor or anchor in anchors(file), f"{page.name}: {target}"


def test_every_page_is_in_the_readme() -> None:
    assert not [page.name for page in (ROOT / "docs").glob("*.md") if f"(docs/{page.name})" not in text("README.md")]


# --- lists --------------------------------------------------------------------------------------------------


def keys(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key of a schema as the pages write it (`images.<name>.args`), with what the schema says about it."""

    def walk(part: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for choice in [part, *part.get("anyOf", [])]:
            found = document["$defs"][choice["$ref"].rpartition("/")[2]] if "$ref" in choice else choice
            for name, inner in found.get("properties", {}).items():
                yield f"{path}{name}", inner
                yield from walk(inner, f"{path}{name}.")
            if isinstance(inner := found.get("additionalProperties"), dict):
                yield from walk(inner, f"{path}<name>.")
            if isinstance(inner := found.get("items"), dict):
                yield from walk(inner, f"{path.removesuffix('.')}[].")

    yield from walk(document, "")


@pytest.mark.parametrize(
    ("heading", "model"),
    [("lineal.yaml", schema()), ("lineal-giterminism.yaml", schema(Giterminism, name="lineal-giterminism.yaml"))],
    ids=["lineal.yaml", "lineal-giterminism.yaml"],
)
def test_every_key_is_documented_with_its_default(heading: str, model: dict[str, Any]) -> None:
    documented = {code(row[0])[0]: code(row[1]) for row in table("docs/configuration.md", heading)}
    known = dict(keys(model))
    assert set(documented) == set(known)
    for key, part in known.items():
        default = part.get("default")
        if default and not isinstance(default, dict):
            assert documented[key] == [default if isinstance(default, str) else json.dumps(default)], key


def all_commands() -> dict[str, click.Command]:
    """By name, those of a group as `bundle publish`."""
    found: dict[str, click.Command] = {}
    for name, command in cli.commands.items():
        inner = command.commands if isinstance(command, click.Group) else {}
        found |= {f"{name} {part}": made for part, made in inner.items()} or {name: command}
    return found


def is_docker_s(option: click.Option) -> bool:
    """Whether a flag is one of `docker buildx build`, which have a page of their own."""
    return option.hidden or str(option.name).startswith("image_")


def test_every_flag_of_docker_is_documented() -> None:
    options = [one for one in cli.commands["build"].params if isinstance(one, click.Option) and is_docker_s(one)]
    rows = [row for heading in ("Flags", "Not needed", "Refused") for row in table("docs/build-flags.md", heading)]
    documented = {flag for row in rows for flag in code(row[0])}
    assert documented == {flag for option in options for flag in option.opts}
    inputs = {name for row in table("docs/build-flags.md", "The action") for name in code(row[0])}
    assert inputs == set(yaml.safe_load(text("build-push/action.yml"))["inputs"])


def test_every_option_is_documented_with_its_variable_and_commands() -> None:
    def key(flag: str, variables: set[str]) -> str:
        """One flag may mean two things, each with a variable of its own."""
        return " ".join([flag, *sorted(variables)])

    documented = {
        key(re.split("[ =]", code(row[0])[0])[0], set(code(row[1]))): (
            code(row[0])[0], set(code(row[1])), set(code(row[2])), row[2],
        )
        for row in table("docs/cli.md", "Options")
    }  # fmt: skip
    commands = all_commands()
    everywhere = {name for name in commands if name not in ("schema", "completion")}
    of_a_commit = everywhere - {
        "init", "bundle apply", "bundle copy", "dismiss", "rollback", "drift", "cleanup", "verify", "doctor",
    }  # fmt: skip
    for *_, said in documented.values():
        assert said == "all but schema and completion" or said.startswith("all of a commit") or "`" in said
    known: dict[str, tuple[str, set[str], set[str]]] = {}
    for name, command in commands.items():
        for option in command.params:
            if not isinstance(option, click.Option) or is_docker_s(option):
                continue
            flag = option.opts[0]
            variables = set(re.findall(r"\[(LINEAL_\w+)\]", option.help or ""))
            _, _, there = known.get(key(flag, variables), ("", set(), set()))
            known[key(flag, variables)] = (
                f"{flag} {option.metavar}" if option.metavar else flag,
                variables,
                there | {name},
            )
    wanted = {
        flag: row[2] | of_a_commit if row[3].startswith("all of a commit") else row[2] or everywhere
        for flag, row in documented.items()
    }
    assert wanted == {f: row[2] for f, row in known.items()}
    for flag, (written, variables, _) in known.items():
        assert documented[flag][:2] == (written, variables) or written == "--format", flag


def test_every_command_variable_and_exit_code_is_documented() -> None:
    shown = {" ".join(re.findall(r"[a-z]+", code(row[0])[0])[1:]) for row in table("docs/cli.md", "Commands")}
    assert shown == set(all_commands())
    page = text("docs/cli.md")
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    assert not [name for name in set(re.findall(r"\bLINEAL_[A-Z_]+[A-Z]\b", source)) if f"`{name}`" not in page]
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    codes = {0, 2, *(kind.exit_code for kind in classes if issubclass(kind, errors.LinealError))}
    assert {int(row[0]) for row in table("docs/cli.md", "Exit codes")} == codes


@pytest.mark.parametrize("row", table("docs/dockerfile.md", "Refused"), ids=lambda row: code(row[0])[0])
def test_what_is_refused_is_refused_in_these_words(row: list[str], repo: servers.Repository, lineal: Lineal) -> None:
    lines = "\n".join(code(row[0]))
    before = "" if lines.startswith("FROM") else "FROM scratch\n"
    repo.write({"Dockerfile": f"{before}{lines}\n", "src/a": "a"})
    done = lineal("plan")
    assert done.code == 3
    assert code(row[1])[0] in done.stderr


def test_the_architecture_page_has_a_line_for_every_folder_in_the_order_of_the_layers() -> None:
    rows = [(code(row[0])[0], int(row[1])) for row in table("docs/architecture.md", "The folders")]
    package = ROOT / "src/lineal"
    folders = {file.parent.relative_to(package).as_posix() + "/" for file in package.glob("*/**/*.py")}
    assert {folder for folder, _ in rows} == folders and len(rows) == len(folders)
    layers = tomllib.loads(text("pyproject.toml"))["tool"]["importlinter"]["contracts"][0]["layers"]
    number = {folder: n for n, layer in enumerate(layers, 1) for folder in layer.split(" | ")}
    assert rows == sorted(((folder, number[folder.split("/")[0]]) for folder, _ in rows), key=lambda row: row[1])


def test_the_paths_of_the_architecture_page_exist() -> None:
    named = set(re.findall(r"`([\w./-]+(?:/|\.py))`", text("docs/architecture.md")))
    assert len(named) > 30
    assert not [path for path in named if not any((root / path).exists() for root in (ROOT / "src/lineal", ROOT))]


def test_the_guarantees_name_tests_that_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", text("docs/guarantees.md")))
    known = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert named
    assert not [name for name in named if f"def {name}(" not in known]


# --- pipelines --------------------------------------------------------------------------------------------------


def test_every_pipeline_is_in_a_page_word_for_word() -> None:
    """What they do is shown by tests/act and tests/gitlab, which run them."""
    pages = [page.read_text() for page in PAGES]
    files = {path.name: f"```yaml\n{path.read_text()}```\n" for path in (ROOT / "examples/ci").glob("*.yml")}
    assert not [name for name, fence in files.items() if not any(fence in page for page in pages)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_has_a_pipeline_that_is_no_file(page: Path) -> None:
    known = {path.read_text() for path in (ROOT / "examples/ci").glob("*.yml")}
    # What others have is read by tests/e2e/test_coming_from.py.
    ours = re.sub(r"^Theirs, [^\n]*\n\n```\w+\n.*?^```$", "", page.read_text(), flags=re.M | re.S)
    fences = re.findall(r"^```yaml\n(.*?)^```$", ours, re.M | re.S)
    pipelines = [fence for fence in fences if re.search(r"^(on|jobs|stages|include|script):", fence, re.M)]
    assert not [fence for fence in pipelines if fence not in known]


def test_the_github_page_lists_every_input_and_output() -> None:
    action = yaml.safe_load(text("action.yml"))
    inputs = {
        name for name, part in action["inputs"].items() if not part["description"].startswith("Set by the action")
    }
    assert {name for row in table("docs/github.md", "Inputs") for name in code(row[0])} == inputs
    assert {name for row in table("docs/github.md", "Outputs") for name in code(row[0])} == set(action["outputs"])
