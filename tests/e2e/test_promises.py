"""What Lineal promises (DESIGN §1), tried from outside: real git, a real registry, real engines."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.e2e.conftest import NewEngine
from tests.e2e.parts import NOWHERE, ONCE, Project, Ran, containers_of, docker, read_until, wait_until

pytestmark = [pytest.mark.engine, pytest.mark.registry]


def dockerfile(base: str, *lines: str) -> str:
    """A Dockerfile whose first RUN stands on a COPY, so that its parent is this test's own."""
    return "\n".join([f"FROM {base}", "COPY mark /mark", *lines, ""])


# --- G1 -------------------------------------------------------------------------------------------------------------


def test_g1_a_published_tag_never_moves(project: Project, base_image: str, mark: str) -> None:
    known: dict[str, str] = {}

    def nothing_moved() -> None:
        """Every tag ever seen is there and means what it meant."""
        now = project.contents.tags()
        assert {tag: now.get(tag) for tag in known} == known
        known.update(now)

    project.write(dockerfile(base_image, ONCE, "COPY app /app"), {"mark": mark, "app": "1"})
    project.build()
    nothing_moved()
    assert len(known) == 8, "a stage tag and an anchor for each of four stages"

    project.repo.branch("feature")
    project.write(dockerfile(base_image, ONCE, "RUN cat /once >/twice", "COPY app /app"))
    project.build()
    nothing_moved()

    project.repo.switch("main")
    project.repo.write({"NEWS": "a tree of its own"})
    project.repo.git("cherry-pick", "feature")
    hidden = project.build()
    assert "RUN" in hidden.made, "main has to build what the branch has published already"
    nothing_moved()

    project.repo.put({"app": "uncommitted"})
    project.build("--dev")
    project.repo.git("checkout", "app")
    nothing_moved()

    project.repo.merge("feature")
    assert project.build(env=NOWHERE).made == []
    project.repo.write({"app": "2"})
    project.build(env=NOWHERE)
    nothing_moved()


def test_g1_two_runs_at_once_agree_on_one_publication_of_each_stage(
    layout: Project, base_image: str, mark: str
) -> None:
    project = layout
    project.write(dockerfile(base_image, ONCE, "RUN cat /once >/twice"), {"mark": mark})
    runners = [project.clone(name) for name in ("one", "two")]
    results = together(runners)
    tags = project.contents.tags()
    anchors = {tag: digest for tag, digest in tags.items() if "-" not in tag}
    assert results[0] == results[1], "both runs give the same image"
    assert set(results[0].values()) <= set(anchors.values()), "and it is what the anchor names"
    assert project.build(env=NOWHERE).digests == results[0]


def together(runners: list[Project], env: Mapping[str, str] | None = None) -> list[dict[str, str | None]]:
    """Builds in all at the same time; the images' digests of each."""
    results: dict[int, dict[str, str | None]] = {}
    threads = [
        threading.Thread(target=lambda n=number, r=runner: results.update({n: r.build(env=env).digests}))
        for number, runner in enumerate(runners)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[number] for number in range(len(runners))]


# --- G2 -------------------------------------------------------------------------------------------------------------


def test_g2_a_commit_means_the_same_digests_on_every_machine_for_ever(
    project: Project, base_image: str, mark: str, new_engine: NewEngine
) -> None:
    project.write(dockerfile(base_image, ONCE), {"mark": mark})
    first = project.build()
    assert first.made == ["FROM", "COPY", "RUN"]

    again = project.build()
    assert (again.made, again.digests) == ([], first.digests)

    elsewhere = project.clone("elsewhere")
    without_engine = elsewhere.build(env=NOWHERE)
    assert (without_engine.made, without_engine.digests) == ([], first.digests)

    empty_engine = elsewhere.build(env=new_engine())
    assert (empty_engine.made, empty_engine.digests) == ([], first.digests)


def test_g2_a_later_commit_builds_on_the_very_bytes_of_the_first(
    project: Project, base_image: str, mark: str, new_engine: NewEngine
) -> None:
    project.write(dockerfile(base_image, ONCE), {"mark": mark})
    first = project.build()
    project.write(dockerfile(base_image, ONCE, "RUN cat /once >/copy"))
    later = project.clone("elsewhere").build(env=new_engine())
    assert later.made == ["RUN"], "only the new line runs"
    before, after = (project.contents.files(str(run.digests["app"])) for run in (first, later))
    assert after["copy"] == before["once"]


def test_g2_a_base_tag_that_moves_changes_nothing_that_is_built(
    project: Project, base_image: str, mark: str, registry: str, tmp_path: Path
) -> None:
    moving = servers.push_base_image(f"{registry}/moving-{mark}:1", tmp_path / "layout")
    project.write(f"FROM {moving}\nCOPY mark /mark\n", {"mark": mark})
    first = project.build()
    # Another image under the same tag: what was just built.
    copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"]
    another = f"docker://{project.store}:{first.stage('COPY')['tag']}"
    subprocess.run([*copy, another, f"docker://{moving}"], check=True)
    project.repo.write({"mark": f"{mark} 2"})
    later = project.build()
    assert later.made == ["COPY"]
    bases = [project.contents.layers(str(ran.digests["app"]))[0] for ran in (first, later)]
    assert bases[0] == bases[1]


# --- G3 -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def feature(project: Project, base_image: str, mark: str) -> Project:
    """Main with one published commit, and a branch `feature` that has built a RUN of its own; main is checked out."""
    project.write(dockerfile(base_image, "RUN echo main >/main"), {"mark": mark})
    project.build()
    project.repo.branch("feature")
    project.write(dockerfile(base_image, "RUN echo main >/main", ONCE))
    assert project.build().made == ["RUN"]
    project.repo.switch("main")
    return project


@pytest.mark.parametrize("where", ["main", "sibling"])
def test_g3_what_a_branch_built_is_invisible_to_others(feature: Project, where: str) -> None:
    built = feature.repo.git("rev-parse", "--short=7", "feature")
    if where == "sibling":
        feature.repo.branch("sibling")
    feature.repo.write({"NEWS": "a tree of its own"})
    feature.repo.git("cherry-pick", "feature")
    plan = feature.plan("--format", "json")
    stage = plan.stage("/once")
    assert stage["outcome"] == "missing"
    assert stage["reason"] == f"hidden: only on feature ({built})"
    assert feature.build().made == ["RUN"], "it builds its own"


def test_g3_two_lines_of_history_each_keep_their_own_result(feature: Project) -> None:
    feature.repo.write({"NEWS": "a tree of its own"})
    feature.repo.git("cherry-pick", "feature")
    on_main = feature.build().digests
    feature.repo.switch("feature")
    on_feature = feature.build(env=NOWHERE).digests
    assert on_main != on_feature
    feature.repo.switch("main")
    assert feature.build(env=NOWHERE).digests == on_main


@pytest.mark.parametrize("how", ["merge", "fast-forward", "squash", "rebase"])
def test_g3_it_becomes_visible_when_it_is_merged_and_nothing_is_rebuilt(feature: Project, how: str) -> None:
    feature.repo.switch("feature")
    on_branch = feature.build(env=NOWHERE).digests
    feature.repo.switch("main")
    head = feature.repo.git("rev-parse", "--short=7", "feature")
    if how == "merge":
        feature.repo.write({"NEWS": "main went on"})
        feature.repo.merge("feature")
        reason = f"ancestor {head}"
    elif how == "fast-forward":
        feature.repo.git("merge", "--quiet", "--ff-only", "feature")
        reason = "this commit"
    elif how == "squash":
        feature.repo.git("merge", "--quiet", "--squash", "feature")
        reason = f"same tree as {feature.repo.commit('Squashed')[:7]}"
    else:
        # As a forge does it: the same changes as new commits.
        feature.repo.clock += 3600
        feature.repo.git("cherry-pick", "feature")
        assert feature.repo.git("rev-parse", "--short=7", "HEAD") != head
        reason = f"same tree as {feature.repo.head()[:7]}"
    plan = feature.plan("--format", "json", "--exit-code", env=NOWHERE)
    assert plan.stage("/once")["reason"] == reason
    merged = feature.build(env=NOWHERE)
    assert (merged.made, merged.digests) == ([], on_branch)


# --- G5 -------------------------------------------------------------------------------------------------------------


def test_g5_a_killed_run_loses_only_the_stage_it_was_building(
    project: Project, base_image: str, mark: str, machine: dict[str, str]
) -> None:
    # A secret is no part of the checksum: it decides from outside whether the second RUN takes long.
    wait = f"if grep -q yes /run/secrets/slow; then echo {mark}; sleep 300; fi"
    slow = f"RUN --mount=type=secret,id=slow {wait}; echo 2 >/two"
    project.write(dockerfile(base_image, ONCE, slow, "COPY mark /last"), {"mark": mark})
    killed = project.start("build", "--secret", "id=slow,env=SLOW", env={"SLOW": "yes yes"})
    try:
        read_until(killed, f"| {mark}")
        # Published beside the command that goes on.
        wait_until(lambda: len(project.contents.tags()) >= 6)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    finally:
        killed.kill()
        for container in containers_of(mark, machine):
            docker("rm", "--force", container, env=machine)
    assert len(project.contents.tags()) == 6, "FROM, COPY and the first RUN are there for others already"
    rest = project.clone("elsewhere").build("--secret", "id=slow,env=SLOW", env={"SLOW": "no no"})
    assert [stage["outcome"] for stage in rest.stages] == ["cached", "cached", "cached", "built", "assembled"]


# --- G6 -------------------------------------------------------------------------------------------------------------


def test_g6_checksums_depend_on_content_alone(project: Project, base_image: str, mark: str, tmp_path: Path) -> None:
    project.repo.write(
        {
            "lineal.yaml": (
                "project: shop\nimages:\n  base: {dockerfile: base.Dockerfile}\n  app: {needs: {BASE: base}}\n"
            ),
            "base.Dockerfile": f"FROM {base_image}\nRUN echo base >/base\n",
            "Dockerfile": "ARG BASE\nFROM ${BASE}\nCOPY --chmod=644 src /src\nENV A=b\nRUN echo app\nUSER app\n",
            "src/a": mark,
        }
    )

    def checksums(project: Project, **more: Any) -> list[str]:
        return project.plan("--format", "json", **more).checksums

    before = checksums(project)
    assert len(before) == len(set(before)) == 5
    other_path = project.clone("a much longer name of a directory")
    assert checksums(other_path) == before
    assert checksums(project, store=f"layout:{tmp_path / 'store'}") == before, "another store"
    assert checksums(project, env={"TZ": "Asia/Tokyo", "LANG": "de_DE.UTF-8", **NOWHERE}) == before, "surroundings"
    project.repo.clock += 10**8
    project.repo.commit("Another commit, years later")
    assert checksums(project) == before
    project.repo.write({"README": "not copied", ".gitattributes": "* text=auto\n"})
    assert checksums(project) == before, "other files"
    project.build()
    assert checksums(project) == before, "what is published"
    project.repo.write({"src/a": "other"})
    changed = checksums(project)
    assert [a == b for a, b in zip(before, changed, strict=True)] == [True, True, False, False, False]


# --- G7 -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def committed(layout: Project, mark: str) -> Project:
    """A project without any RUN, everything committed."""
    layout.repo.write(
        {
            "lineal.yaml": "project: shop\nimages: {app: {}}\n",
            "Dockerfile": "FROM scratch\nCOPY src /src\n",
            ".dockerignore": "src/*.log\n",
            ".gitignore": "*.tmp\n",
            "src/app": mark,
            "docs/index": "not read by the build",
        }
    )
    return layout


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"src/app": "changed"}, "src/app (modified)"),
        ({"src/app": None}, "src/app (deleted)"),
        ({"src/new": "new"}, "src/new (untracked)"),
        ({"Dockerfile": "FROM scratch\nCOPY src /else\n"}, "Dockerfile (modified)"),
        ({".dockerignore": ""}, ".dockerignore (modified)"),
        ({"lineal.yaml": "project: other\n"}, "lineal.yaml (modified)"),
        ({"lineal-giterminism.yaml": "uncommitted: ['**']\n"}, "lineal-giterminism.yaml (untracked)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_g7_uncommitted_changes_are_named_and_refused(
    committed: Project, changes: dict[str, str | None], named: str
) -> None:
    committed.repo.put(changes)
    refused = committed.build(code=4)
    assert refused.error == (
        f"Uncommitted changes would influence the result: {named}. Commit them, build the working tree with --dev, "
        "or leave them out with --ignore-uncommitted."
    )
    assert not Path(committed.store[7:]).exists(), "nothing was written"


def test_g7_a_staged_change_is_uncommitted_too(committed: Project) -> None:
    committed.repo.put({"src/app": "changed"})
    committed.repo.git("add", "--all")
    assert "src/app (modified)" in committed.build(code=4).error


@pytest.mark.parametrize("how", ["flag", "variable", "file"])
def test_g7_tolerated_changes_are_left_out_with_a_warning(committed: Project, how: str) -> None:
    clean = committed.build().digests
    if how == "file":
        committed.repo.write({"lineal-giterminism.yaml": "uncommitted: [src/]\n"})
    committed.repo.put({"src/app": "changed", "src/new": "new"})
    flag, env = (["--ignore-uncommitted"] if how == "flag" else []), {"LINEAL_IGNORE_UNCOMMITTED": "1"}
    build = committed.build(*flag, env=env if how == "variable" else None)
    assert build.digests == clean
    for named in ("src/app is modified", "src/new is untracked"):
        assert f"{named}; the commit is built, without that." in build.stderr


def test_g7_files_that_the_build_does_not_read_may_differ(committed: Project) -> None:
    clean = committed.build().digests
    committed.repo.put({"docs/index": "changed", "src/a.log": "ignored by docker", "src/a.tmp": "ignored by git"})
    build = committed.build()
    assert build.digests == clean
    assert "warning" not in build.stderr
    assert set(committed.contents.files(str(build.digests["app"]))) == {"src/app"}


# --- G8 -------------------------------------------------------------------------------------------------------------


def test_g8_a_secret_is_nowhere(layout: Project, base_image: str, mark: str) -> None:
    token, password = f"tok-{mark}", f"pass-{mark}\nline-{mark}"
    layout.repo.write(
        {
            "lineal.yaml": (
                "project: shop\nimages:\n  app:\n"
                "    secrets: [{id: token, env: TOKEN}, {id: login, file: login.txt}]\n"
            ),
            ".gitignore": "login.txt\n",
            "mark": "mark",
            "Dockerfile": dockerfile(
                base_image,
                "RUN --mount=type=secret,id=token,target=/a/token cat /a/token; wc -c </a/token >/size",
                'RUN --mount=type=secret,id=token,env=TOKEN echo "the token is $TOKEN"; env | grep -c TOKEN >/seen',
                "RUN --mount=type=secret,id=login cat /run/secrets/login >&2",
                "COPY mark /end",
            ),
        }
    )
    layout.repo.put({"login.txt": password})
    # Outside a CI the user would be asked first.
    built = layout.build(env={"TOKEN": token, "CI": "true"})
    files = layout.contents.files(str(built.digests["app"]))
    assert (files["size"].strip(), files["seen"].strip()) == (str(len(token)).encode(), b"1"), "the RUNs had it"
    secrets = [token.encode(), *password.encode().split(b"\n")]
    for digest, content in layout.contents.everything():
        assert not [secret for secret in secrets if secret in content], digest
    said = f"{built.stdout}{built.stderr}{built.report}".encode()
    assert b"the token is ***" in said, "the output is shown, the value masked"
    assert not [secret for secret in secrets if secret in said]
    layout.repo.put({"login.txt": "another"})
    other = layout.build(env={**NOWHERE, "TOKEN": "another", "CI": "true"})
    assert (other.made, other.checksums) == ([], built.checksums)


def test_g8_a_failing_command_does_not_give_a_secret_away(layout: Project, base_image: str, mark: str) -> None:
    layout.write(
        dockerfile(base_image, "RUN --mount=type=secret,id=token cat /run/secrets/token; exit 3"), {"mark": mark}
    )
    failed = layout.build("--secret", "id=token,env=TOKEN", env={"TOKEN": f"tok-{mark}"}, code=1)
    assert "| ***" in failed.stderr
    assert f"tok-{mark}" not in failed.stdout + failed.stderr + str(failed.report)


def test_g8_a_secret_that_a_command_copies_into_the_image_is_refused(
    layout: Project, base_image: str, mark: str
) -> None:
    layout.write(
        dockerfile(base_image, "RUN --mount=type=secret,id=token cp /run/secrets/token /root/.token"), {"mark": mark}
    )
    layout.build("--secret", "id=token,env=TOKEN", env={"TOKEN": f"tok-{mark}"}, code=1)
    for digest, content in layout.contents.everything():
        assert f"tok-{mark}".encode() not in content, digest


def test_g8_registry_credentials_are_in_no_output(
    project: Project, auth_registry: str, base_image: str, mark: str
) -> None:
    project.store = f"{auth_registry}/{mark}/app"
    project.write("FROM scratch\nCOPY mark /mark\n", {"mark": mark})
    login = {"LINEAL_REGISTRY_USERNAME": servers.USER, "LINEAL_REGISTRY_PASSWORD": servers.PASSWORD}
    built = project.build(env=login)
    config = project.run("config", env=login)
    assert servers.PASSWORD not in f"{built.stdout}{built.stderr}{built.report}{config.stdout}{config.stderr}"


# --- two machines ---------------------------------------------------------------------------------------------------


def test_two_machines_assemble_the_same_bytes(project: Project, mark: str, tmp_path: Path) -> None:
    project.write(
        'FROM scratch\nCOPY mark /etc/mark\nWORKDIR /srv/app\nADD src .\nENV A=b\nCMD ["/bin/true"]\n',
        {"mark": mark, "src/run": "#!/bin/sh\n", "src/deep/file": mark},
    )
    digests = []
    for name in ("one", "two"):
        machine = project.clone(name)
        machine.store = f"layout:{tmp_path / f'{name}-store'}"
        built = machine.build("--jobs", "1" if name == "one" else "4", env=NOWHERE)
        digests.append([machine.contents.image_digest(stage["digest"]) for stage in built.stages])
    assert len(digests[0]) == 3
    assert digests[0] == digests[1]


def test_two_machines_at_once_share_what_the_first_publishes(
    project: Project, base_image: str, mark: str, new_engine: NewEngine
) -> None:
    # Neither finds what the other's RUN makes, and the first is at its end before the second goes on.
    slow = f"RUN echo {mark}; until [ -e /dev/shm/go ]; do sleep 0.1; done; {ONCE[4:]}"
    project.write(dockerfile(base_image, slow, "COPY mark /last"), {"mark": mark})
    machines = [(project.clone(name), new_engine()) for name in ("one", "two")]
    runs = []
    for machine, engine in machines:
        runs.append(machine.start("build", "--report", "report.json", env=engine))
        read_until(runs[-1], f"| {mark}")
        wait_until(lambda: len(project.contents.tags()) >= 4)
    for run, (_, engine) in zip(runs, machines, strict=True):
        (container,) = containers_of(mark, engine)
        docker("exec", container, "/bin/touch", "/dev/shm/go", env=engine)
        _, said = run.communicate(timeout=300)
        assert run.returncode == 0, said
    reports = (json.loads((machine.repo.path / "report.json").read_text()) for machine, _ in machines)
    first, second = (Ran(0, "", "", report) for report in reports)
    assert [stage["outcome"] for stage in first.stages] == ["built", "assembled", "built", "assembled"]
    assert [stage["outcome"] for stage in second.stages] == ["cached", "cached", "adopted", "adopted"]
    assert second.digests == first.digests
    assert [stage["digest"] for stage in second.stages[2:]] == [stage["digest"] for stage in first.stages[2:]]
