"""Whoever may push to the store: what they publish never gets into what a run with the key builds on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lineal.config.secrets import SecretValues, parse_secret
from lineal.deploy.helm.environment import of_command
from lineal.errors import BadConfiguration
from lineal.git.command import git_environment
from lineal.oci import Store
from lineal.oci.image import encode, image_of, read_image
from lineal.oci.types import Blob, Descriptor, Manifest
from lineal.store.open import StoreOpener
from lineal.store.record import PREFIX, Record, image_digest
from lineal.store.tags import stage_tag
from lineal.trust.keys import TOKENS
from lineal.trust.mark import MARK, Marks, TrustKey
from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project, Ran
from tests.unit.trust.signing import new_key, pem

KEY, ANOTHER = bytes(range(3, 35)), bytes(range(90, 122))
PROTECTED = {"LINEAL_TRUST_KEY": KEY.hex()}
FEATURE = {
    "GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/heads/feature", "GITHUB_REF_NAME": "feature",
    "GITHUB_EVENT_NAME": "push",
}  # fmt: skip
CONFIG = "project: shop\nimages: {app: {}}\n"
TRUST = "trust: {key: required, recompute: false}\n"
DOCKERFILE = "FROM scratch\nCOPY one /\nCOPY two /\n"
HIDDEN = "hidden: not from a protected pipeline"


@pytest.fixture
def project(fresh: Project) -> Project:
    commit(fresh, "1")
    return fresh


def commit(project: Project, content: str, config: str = CONFIG) -> str:
    return project.repo.write(
        {"lineal.yaml": config, "Dockerfile": DOCKERFILE, "one": f"one {content}", "two": f"two {content}"}
    )


class Attacker:
    """Has the right to push, and knows Lineal's formats; no key."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.store: Store = StoreOpener(project.scratch).store(project.store)

    def index(self, checksum: str) -> Manifest:
        found = self.store.manifest(checksum)
        assert found is not None
        return found

    def poisoned(self, victim: Manifest, change: Callable[[Record], Record] = lambda found: found) -> Manifest:
        """The victim's index around an image with one more layer."""
        image = read_image(self.store, image_digest(victim), "linux/amd64")
        layer = image.layers[0]
        config = json.loads(image.config)
        config["rootfs"]["diff_ids"].append(config["rootfs"]["diff_ids"][0])
        config["config"] = {"Labels": {"EVIL": "1"}}
        evil = image_of(config, [*image.layers, Descriptor(layer.media_type, layer.digest, layer.size)])
        self.store.put_blob(Blob.of(evil.config))
        self.store.put_manifest(evil.manifest)
        document = json.loads(victim.data)
        document["manifests"][0] |= {"digest": evil.manifest.digest, "size": len(evil.manifest.data)}
        document["annotations"] |= change(Record.read(victim)).annotations()
        return Manifest(encode(document), victim.media_type)

    def put(self, index: Manifest, *, stage: bool = True) -> None:
        found = Record.read(index)
        for name in [*([stage_tag(found.checksum, found.created)] if stage else []), found.checksum]:
            self.store.put_manifest(index, name)

    def is_evil(self, ran: Ran) -> bool:
        digest = ran.stdout.strip().rpartition("@")[2].split()[0]
        index = self.store.manifest(digest)
        assert index is not None
        labels = read_image(self.store, image_digest(index), "linux/amd64").config_json["config"].get("Labels")
        return bool(labels)


@pytest.fixture
def attacker(project: Project) -> Attacker:
    return Attacker(project)


def unmarked(index: Manifest) -> Manifest:
    document = json.loads(index.data)
    document["annotations"].pop(MARK, None)
    return Manifest(encode(document), index.media_type)


def marked_with(key: bytes, repository: str) -> Callable[[Manifest], Manifest]:
    return lambda index: Marks([TrustKey(key)]).marked(unmarked(index), repository)


# --- the three attacks of the case, and what else one who knows the key's marks would try ------------------------


def as_it_was(index: Manifest) -> Manifest:
    return index


FORGERIES: dict[str, tuple[Callable[[Manifest], Manifest], str]] = {
    "no mark": (unmarked, HIDDEN),
    "the mark of the real one": (as_it_was, "hidden: its mark is not true"),
    "a key of one's own": (marked_with(ANOTHER, "x/y"), "hidden: marked with another key"),
    "the true key, for another store": (marked_with(KEY, "registry.example.com/other"), "its mark is not true"),
}


LONG = pytest.mark.long


@pytest.mark.parametrize(
    ("forge", "why"),
    [
        pytest.param(*made, id=name, marks=LONG if number else ())
        for number, (name, made) in enumerate(FORGERIES.items())
    ],
)
def test_an_anchor_that_somebody_moved_hides_nothing(
    project: Project, attacker: Attacker, forge: Callable[[Manifest], Manifest], why: str
) -> None:
    first = project.build(env=PROTECTED)
    last = first.stage("two")
    before = project.plan(env=PROTECTED).report["requests"]
    attacker.put(forge(attacker.poisoned(attacker.index(last["checksum"]))), stage=False)
    again = project.build(env=PROTECTED)
    assert again.stdout == first.stdout and again.made == []
    assert again.report["requests"] <= before + 8
    # Without the key, and without `trust`, a run believes everybody, as it always did.
    assert attacker.is_evil(project.build())
    # When the real one is gone, too, the reason is told, and the stage is made again.
    real = attacker.store.digest(last["tag"])
    attacker.store.delete(str(real), [last["tag"]])
    assert why in project.plan(env=PROTECTED).stage("two")["reason"]
    assert not attacker.is_evil(project.build(env=PROTECTED))


@pytest.mark.parametrize(
    "tree",
    [pytest.param(False, id="a commit of main"), pytest.param(True, id="nothing but a tree of main", marks=LONG)],
)
def test_a_stage_that_strangers_publish_first_is_built_all_the_same(
    project: Project, attacker: Attacker, tree: bool
) -> None:
    first = project.build(env=PROTECTED)
    victim = attacker.index(first.stage("two")["checksum"])
    commit(project, "2")
    missing = project.plan(env=PROTECTED)
    for text in ("one", "two"):

        def change(found: Record, checksum: str = missing.stage(text)["checksum"]) -> Record:
            commits = ("0" * 40,) if tree else found.commits
            return replace(found, checksum=checksum, commits=commits, created=found.created - 5)

        attacker.put(unmarked(attacker.poisoned(victim, change)))
    told = project.plan(env=PROTECTED, code=0)
    assert [told.stage(text)["reason"] for text in ("one", "two")] == [HIDDEN, HIDDEN]
    built = project.build("app", env=PROTECTED)
    assert not attacker.is_evil(built) and built.made == ["COPY", "COPY"]
    assert HIDDEN in built.stderr
    again = project.build("app", env=PROTECTED)
    assert again.made == [] and again.stdout == built.stdout


def test_a_marked_stage_counts_for_no_other_checksum_and_no_other_line_of_history(
    project: Project, attacker: Attacker
) -> None:
    first = project.build(env=PROTECTED)
    victim = attacker.index(first.stage("two")["checksum"])
    commit(project, "2")
    wanted = project.plan(env=PROTECTED).stage("two")["checksum"]
    attacker.store.put_manifest(victim, wanted)
    renamed = json.loads(victim.data)
    renamed["annotations"][PREFIX + "checksum"] = wanted
    attacker.store.put_manifest(Manifest(encode(renamed), victim.media_type), wanted)
    assert project.build(env=PROTECTED).made == ["COPY", "COPY"]
    # What a protected branch marked for itself stays its own, and no edit makes it another one's.
    project.repo.branch("other")
    project.repo.switch("other")
    commit(project, "3")
    theirs = project.build(env=PROTECTED).stage("two")
    project.repo.switch("main")
    project.repo.write({"more": "x"})
    commit(project, "3")
    assert project.plan(env=PROTECTED).stage("two")["reason"].startswith("hidden: only on other")
    edited = json.loads(attacker.index(theirs["checksum"]).data)
    edited["annotations"][PREFIX + "commits"] = project.repo.git("rev-parse", "HEAD")
    attacker.put(Manifest(encode(edited), victim.media_type), stage=False)
    assert "its mark is not true" in project.plan(env=PROTECTED).stage("two")["reason"]


def test_a_cached_run_with_the_key_asks_as_little_as_one_without(project: Project) -> None:
    project.build(env=PROTECTED)
    without, marked = project.build(), project.build(env=PROTECTED)
    assert marked.stdout == without.stdout
    assert marked.report["requests"] == without.report["requests"] == 2


@LONG
def test_keys_rotate_and_old_stages_stay_good_while_their_key_is_given(project: Project) -> None:
    first = project.build(env=PROTECTED)
    both = {"LINEAL_TRUST_KEY": f"{ANOTHER.hex()} {KEY.hex()}"}
    assert project.build(env=both).stdout == first.stdout
    commit(project, "2")
    second = project.build(env=both)
    assert second.made == ["COPY", "COPY"]
    new = {"LINEAL_TRUST_KEY": ANOTHER.hex()}
    assert project.build(env=new).stdout == second.stdout
    told = project.plan(env=PROTECTED).stage("two")
    assert told["outcome"] == "missing" and "marked with another key" in told["reason"]


# --- the policy of the commit -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("build",), ("converge",), ("deploy",), ("render",), ("bundle", "publish")])
def test_a_protected_line_without_its_key_is_refused_before_anything_is_built(
    project: Project, command: tuple[str, ...]
) -> None:
    chart = {"chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n"}
    project.repo.write({"lineal.yaml": CONFIG + TRUST + "deploy: {chart: chart}\n", **chart})
    ran = project.run(*command, code=3)
    assert "LINEAL_TRUST_KEY" in ran.error and "lineal.yaml:3" in ran.stderr
    assert Attacker(project).store.tags() == []


def test_a_branch_builds_without_the_key_in_a_lane_of_its_own(project: Project, attacker: Attacker) -> None:
    commit(project, "1", CONFIG + TRUST)
    project.repo.branch("feature")
    project.repo.switch("feature")
    opened = project.build(env=FEATURE)
    assert opened.made == ["COPY", "COPY"] and project.build(env=FEATURE).stdout == opened.stdout
    checksum = opened.stage("two")["checksum"]
    assert attacker.store.manifest(checksum) is None, "no anchor of a protected line was written"
    protected = project.build(env=PROTECTED)
    assert protected.made == ["COPY", "COPY"], "nothing of it is believed, and nothing had to be listed"
    assert project.build(env=PROTECTED).made == []
    # The branch stays with what it had, and its next commit inherits from the protected line.
    assert project.build(env=FEATURE).stdout == opened.stdout
    commit(project, "3", CONFIG + TRUST)
    main = project.build(env=PROTECTED)
    assert project.build(env=FEATURE).stdout == main.stdout


def test_a_strangers_commit_gets_no_key(project: Project) -> None:
    commit(project, "1", CONFIG + TRUST)
    unknown = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "workflow_dispatch", **PROTECTED}
    ran = project.build(env={**unknown, "LINEAL_REPO": project.store})
    assert "LINEAL_TRUST_KEY is left out" in ran.stderr
    assert Attacker(project).store.tags() == []


def test_a_key_that_is_none_is_refused_and_nowhere_repeated(project: Project) -> None:
    ran = project.build(code=3, env={"LINEAL_TRUST_KEY": f"{KEY.hex()} hunter2-hunter2"})
    assert "Key number 2 of LINEAL_TRUST_KEY" in ran.error
    assert "hunter2" not in ran.stderr and KEY.hex() not in ran.stderr + ran.stdout


def test_no_program_that_a_repository_or_a_chart_names_gets_the_key() -> None:
    environ = {"PATH": "/bin", **PROTECTED, "LINEAL_SIGNING_KEY": "x"}
    assert not set(TOKENS) & set(git_environment(Path("/x"), {**environ, **dict.fromkeys(TOKENS, "x")}))
    commands = (["template", "x"], ["pull", "oci://x"], ["upgrade", "x"], ["dependency", "build"], ["package", "x"])
    given = [git_environment(Path("/x"), environ), *(of_command(environ, args) for args in commands)]
    assert all("PATH" in one and not any(name.startswith("LINEAL_") for name in one) for one in given)


def test_a_file_or_variable_with_a_key_in_it_is_no_secret_of_a_command(tmp_path: Path) -> None:
    key = tmp_path / "ci.key"
    key.write_text(pem(new_key()))
    environ = {**PROTECTED, "LINEAL_SIGNING_KEY": str(key), "COSIGN_PASSWORD": "open", "COPY": f"x {KEY.hex()}",
               "SAME": "open\n", "FINE": "opened", "PEM": pem(new_key()),
               "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "bearer", "TOKEN": "x=bearer"}  # fmt: skip
    for given in (f"id=k,src={key}", "id=k,env=COPY", "id=k,env=SAME", "id=k,env=PEM", "id=k,env=TOKEN"):
        secrets = SecretValues({}, [parse_secret(given, tmp_path)], environ, tmp_path)
        with pytest.raises(BadConfiguration, match="a key of this run"):
            secrets.value("app", "k")
    assert SecretValues({}, [parse_secret("id=k,env=FINE", tmp_path)], environ, tmp_path).value("app", "k")


@pytest.mark.parametrize("name", ["LINEAL_TRUST_KEY", "LINEAL_SIGNING_KEY", "COSIGN_PASSWORD", *TOKENS])
def test_no_argument_of_a_build_is_a_key(repo: servers.Repository, lineal: Lineal, name: str) -> None:
    repo.write({"Dockerfile": "FROM scratch\nARG X\n"})
    ran = lineal("plan", "--build-arg", name, env={**NOWHERE, name: KEY.hex()}, cwd=repo.path)
    assert ran.code == 3 and f"--build-arg gives a command {name}" in ran.stderr


def test_no_command_and_no_template_gets_the_key(project: Project) -> None:
    dockerfile = "FROM scratch\nCOPY one /\nRUN --mount=type=secret,id=k cat /run/secrets/k\n"
    given = ("--secret", "id=k,env=LINEAL_TRUST_KEY")
    project.repo.write({"lineal.yaml": CONFIG, "Dockerfile": dockerfile})
    ran = project.build(*given, code=3, env=PROTECTED)
    assert "--secret gives a command LINEAL_TRUST_KEY" in ran.error
    project.repo.write(
        {
            "lineal.yaml": 'project: {{ env_var("LINEAL_TRUST_KEY") }}\nimages: {app: {}}\n',
            "lineal-giterminism.yaml": "config: {environment: [LINEAL_TRUST_KEY]}\n",
        }
    )
    ran = project.build(code=3, env=PROTECTED)
    assert KEY.hex() not in ran.stderr
