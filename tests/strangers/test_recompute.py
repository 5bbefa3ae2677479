"""Stages that git proves are used although nobody vouches for them, and nothing else that nobody vouches for is."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lineal.assemble.filesystem import Filesystem
from lineal.oci import Store
from lineal.oci.image import encode
from lineal.oci.types import Manifest
from lineal.publish.referrer import statements
from lineal.stages.eligibility import MOST
from lineal.store.open import StoreOpener
from lineal.store.record import CONTENT, PREFIX
from lineal.store.statement import UNKNOWN
from lineal.store.tags import stage_tag
from lineal.trust.mark import MARK
from tests.e2e.parts import Project, Ran
from tests.strangers.test_trust import ANOTHER, FEATURE, PROTECTED
from tests.strangers.test_verify import base, evil, forged, store_of
from tests.unit.assemble.test_http_source import DIGEST, running
from tests.unit.trust.signing import new_key, pem, public_pem

CONFIG = "project: shop\nimages: {{app: {{}}}}\ntrust: {{key: required}}\npublish: {{to: ['{}/app']}}\n"
FROM = "FROM {}/base:1\n"
TWO = "COPY --chown=app one /\nCOPY two /\nLABEL a=b\n"


@pytest.fixture
def project(fresh: Project) -> Project:
    base(store_of(fresh, "/base"))
    commit(fresh, "")
    fresh.build(env=PROTECTED)
    return fresh


def commit(project: Project, dockerfile: str = TWO, content: str = "1", **files: str) -> None:
    project.repo.write(
        {"lineal.yaml": CONFIG.format(project.store), "Dockerfile": FROM.format(project.store) + dockerfile,
         "one": content, "two": content, **files}
    )  # fmt: skip


def of_branch(project: Project) -> Ran:
    """What a branch without the key has published of HEAD, which main gets by fast-forward."""
    found = project.build(env=FEATURE)
    assert found.made == ["COPY", "COPY", "LABEL"]
    return found


def test_a_protected_run_uses_what_git_gives_on_what_it_believes(project: Project) -> None:
    commit(project)
    opened = of_branch(project)
    plan = project.plan(env=PROTECTED)
    assert [stage["outcome"] for stage in plan.stages] == ["cached"] * 4
    assert "proved from git" in plan.stage("two")["reason"]
    protected = project.build(env=PROTECTED)
    assert protected.made == [] and protected.stage("a=b")["digest"] == opened.stage("a=b")["digest"]
    verified = project.lineal("verify", "--repo", project.store, protected.stdout.split()[-1], env=PROTECTED)
    assert "proved from git" in verified.stdout


def test_what_was_proved_is_remembered(project: Project) -> None:
    commit(project)
    of_branch(project)
    first, again = project.plan(env=PROTECTED), project.plan(env=PROTECTED)
    assert again.stage("two")["reason"] == "not asked for: a later stage is there"
    assert again.report["requests"] < first.report["requests"] / 2, "nothing is made again"
    # With another key everything is judged anew.
    assert "missing" in {stage["outcome"] for stage in project.plan(env={"LINEAL_TRUST_KEY": ANOTHER.hex()}).stages}


def test_the_commit_can_have_it_off(project: Project) -> None:
    commit(project)
    config = CONFIG.format(project.store).replace("required", "required, recompute: false")
    project.repo.write({"lineal.yaml": config})
    of_branch(project)
    assert project.build(env=PROTECTED).made == ["COPY", "COPY", "LABEL"]


def test_what_a_stranger_claims_of_a_proved_stage_is_in_nothing_that_others_see(project: Project) -> None:
    commit(project)
    of_branch(project)
    reference = project.build(env={**PROTECTED, "LINEAL_SIGNING_KEY": pem(new_key())}).stdout.split()[-1]
    image = store_of(project, "/app").manifest(reference.rpartition("@")[2])
    assert image is not None
    told = image.json["annotations"]
    assert not {"org.opencontainers.image.revision", "org.opencontainers.image.created"} & set(told)
    (said,) = statements(store_of(project, "/app"), image.digest)
    assert said["predicate"]["runDetails"]["builder"]["id"] == UNKNOWN
    stages = said["predicate"]["buildDefinition"]["internalParameters"]["stages"]
    assert [bool(stage["commits"]) for stage in stages] == [True, False, False, False], "the base is vouched for"


def other_image(store: Store, index: Manifest) -> Manifest:
    image = evil(store, index)
    return forged(store, index, lambda _: None, image)


def other_files(store: Store, index: Manifest) -> Manifest:
    """The true image beside an index of files in which everything belongs to root."""
    beside = store.manifest(index.json["manifests"][1]["digest"])
    assert beside is not None
    record, document = json.loads(beside.data), json.loads(index.data)
    record["layers"][1]["annotations"][CONTENT] = b64encode(Filesystem.empty().encode()).decode()
    manifest = Manifest(encode(record), beside.media_type)
    store.put_manifest(manifest)
    document["manifests"][1] |= {"digest": manifest.digest, "size": len(manifest.data)}
    return Manifest(encode(document), index.media_type)


def other_inputs(store: Store, index: Manifest) -> Manifest:
    return forged(store, index, lambda made: made["internalParameters"]["inputs"].update(evil=1))


def other_commits(store: Store, index: Manifest) -> Manifest:
    """Annotations that claim something else than the statement."""
    del store
    return edited(index, lambda document: document["annotations"].update({PREFIX + "project": "evil"}))


def more_beside(store: Store, index: Manifest) -> Manifest:
    """Another image for another platform beside the true one."""
    more = {**evil(store, index).descriptor().to_json(), "platform": {"os": "linux", "architecture": "arm64"}}
    return edited(index, lambda document: document["manifests"].append(more))


def other_platform(store: Store, index: Manifest) -> Manifest:
    return edited(
        index, lambda document: document["manifests"][0].update(platform={"os": "linux", "architecture": "arm"})
    )


def edited(index: Manifest, change: Callable[[dict[str, Any]], object]) -> Manifest:
    document = json.loads(index.data)
    change(document)
    return Manifest(encode(document), index.media_type)


FORGERIES = [other_image, other_files, other_inputs, other_commits, more_beside, other_platform]


@pytest.mark.parametrize("forge", FORGERIES)
def test_what_git_does_not_give_is_made_again(project: Project, forge: Callable[[Store, Manifest], Manifest]) -> None:
    commit(project)
    opened, store = of_branch(project), store_of(project)
    two = opened.stage("two")
    genuine = store.manifest(two["tag"])
    assert genuine is not None
    index = forge(store, genuine)
    # It stands at every name under which the stage is looked for.
    for tag in (two["tag"], two["checksum"], f"{two['checksum']}.open"):
        store.put_manifest(index, tag)
    planned = project.plan(env=PROTECTED)
    assert [stage["outcome"] for stage in planned.stages] == ["cached", "cached", "missing", "missing"]
    assert planned.stage("two")["reason"].startswith("hidden: not from a protected pipeline")
    assert project.build(env=PROTECTED).made == ["COPY", "LABEL"]


def test_a_flood_of_forged_stages_is_bounded_and_told_of_once(project: Project) -> None:
    commit(project)
    opened, store = of_branch(project), store_of(project)
    two = opened.stage("two")
    genuine = store.manifest(two["tag"])
    assert genuine is not None
    image = evil(store, genuine)
    for created in range(1, MOST + 8):
        index = forged(store, genuine, lambda _: None, image, created=str(created))
        store.put_manifest(index, stage_tag(two["checksum"], created))
    for tag in (two["checksum"], f"{two['checksum']}.open"):
        store.put_manifest(index, tag)
    ran = project.plan(env=PROTECTED)
    assert ran.stderr.count("publications of the stage") == 1
    assert ran.stage("two")["digest"] == two["digest"], "it is among the newest"


def test_one_true_stage_among_forged_ones_is_found(project: Project) -> None:
    commit(project)
    opened, store = of_branch(project), store_of(project)
    two = opened.stage("two")
    genuine = store.manifest(two["tag"])
    assert genuine is not None
    image = evil(store, genuine)
    for created in ("1", "2", "3"):
        index = forged(store, genuine, lambda _: None, image, created=created)
        for tag in (stage_tag(two["checksum"], int(created)), two["checksum"], f"{two['checksum']}.open"):
            store.put_manifest(index, tag)
    assert project.plan(env=PROTECTED).stage("two")["digest"] == two["digest"]


def test_a_proof_on_a_stage_of_another_line_counts_for_that_line_alone(project: Project) -> None:
    """Both lines have a base of their own: its tag moved in between. What was proved on the other's is remembered,
    and a stranger says of it that it is of a commit that both have."""
    text, project = project.store, replace(project, store=f"{project.store}/two")
    store = store_of(project)
    common = project.repo.git("rev-parse", "HEAD").strip()
    config = {"Dockerfile": FROM.format(text) + TWO}
    project.repo.write(config)
    main = project.build(env=PROTECTED)
    base(StoreOpener(project.scratch).store(f"{text}/base"), b"app:x:8:8::/:/bin/sh\n")
    project.repo.git("checkout", "--quiet", "-b", "other", common)
    project.repo.write({**config, "more": "2"})
    last = project.build(env=PROTECTED).stage("a=b")
    assert last["digest"] != main.stage("a=b")["digest"]
    genuine = store.manifest(last["tag"])
    assert genuine is not None

    def claim(made: dict[str, Any]) -> None:
        made["resolvedDependencies"][0]["digest"]["gitCommit"] = common

    index = edited(forged(store, genuine, claim, commits=common), lambda one: one["annotations"].pop(MARK))
    for tag in (last["tag"], last["checksum"], f"{last['checksum']}.open"):
        store.put_manifest(index, tag)
    assert project.plan(env=PROTECTED).stage("a=b")["reason"].endswith("proved from git")
    # Main's own is gone. This machine remembers the proof, which is worth nothing there.
    project.repo.git("checkout", "--quiet", "main")
    store.put_manifest(index, main.stage("a=b")["tag"])
    assert project.plan(env=PROTECTED).stage("a=b")["outcome"] == "missing"
    assert project.build(env=PROTECTED).made == ["LABEL"]


# --- what is fetched by its digest --------------------------------------------------------------------------------

ACCEPT = "trust: {accept: [{key: keys/ci.pub}]}\n"


@pytest.fixture
def pinned(fresh: Project) -> Project:
    """A branch without the key has published all that main has: a base that is named by its digest, and files."""
    base(store_of(fresh, "/base"))
    digest = store_of(fresh, "/base").digest("1")
    fresh.repo.write({
        "lineal.yaml": f"project: shop\nimages: {{app: {{}}}}\n{ACCEPT}", "one": "1",
        "Dockerfile": f"FROM {fresh.store}/base@{digest}\nCOPY --chown=app one /\nLABEL a=b\n",
        "keys/ci.pub": public_pem(new_key()).decode(),
    })  # fmt: skip
    assert fresh.build(env=FEATURE).made == ["FROM", "COPY", "LABEL"]
    return fresh


def outcomes(ran: Ran) -> list[str]:
    return [stage["outcome"] for stage in ran.stages]


def test_who_cannot_vouch_uses_a_base_that_the_commit_names_by_its_digest(pinned: Project) -> None:
    first = pinned.plan("--exit-code")
    assert outcomes(first) == ["cached"] * 3 and "proved from git" in first.stage("FROM")["reason"]
    again = pinned.plan("--exit-code")
    assert again.report["requests"] < first.report["requests"] / 2, "what was proved is remembered"
    # Who vouches fetches it once for all.
    assert pinned.clone("other").build(env={"LINEAL_SIGNING_KEY": pem(new_key())}).made == ["FROM", "COPY", "LABEL"]


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_base_that_is_not_the_named_one_is_not_used(
    pinned: Project, forge: Callable[[Store, Manifest], Manifest]
) -> None:
    store, stage = store_of(pinned), pinned.plan(env=FEATURE).stage("FROM")
    tag = next(tag for tag in store.tags() if tag.startswith(f"{stage['checksum']}-"))
    genuine = store.manifest(tag)
    assert genuine is not None
    index = forge(store, genuine)
    for name in (tag, stage["checksum"], f"{stage['checksum']}.open"):
        store.put_manifest(index, name)
    assert outcomes(pinned.plan()) == ["missing"] * 3


def test_a_base_that_is_gone_is_no_failure(pinned: Project) -> None:
    base_store = store_of(pinned, "/base")
    digest = base_store.digest("1")
    assert digest is not None
    base_store.delete(digest)
    assert outcomes(pinned.plan()) == ["missing"] * 3


def test_a_base_by_its_tag_is_nothing_that_git_proves(project: Project) -> None:
    commit(project)
    config = (project.repo.path / "lineal.yaml").read_text().replace("trust: {key: required}\n", ACCEPT)
    project.repo.write({"lineal.yaml": config, "keys/ci.pub": public_pem(new_key()).decode()})
    project.build(env=FEATURE)
    assert outcomes(project.plan())[0] == "missing"


def test_who_cannot_vouch_uses_what_a_url_has_by_its_checksum(pinned: Project) -> None:
    with running() as server:
        pinned.lineal.env |= {"http_proxy": server.url}
        text = f"FROM scratch\nADD --checksum={DIGEST} http://files.example.com/b /d/\nLABEL a=b\n"
        pinned.repo.write({"Dockerfile": text})
        pinned.build(env=FEATURE)
        asked = len(server.asked)
        plan = pinned.plan("--exit-code")
        assert outcomes(plan) == ["cached"] * 2 and "proved from git" in plan.stage("ADD")["reason"]
        assert len(server.asked) == asked + 1
        pinned.plan("--exit-code")
        assert len(server.asked) == asked + 1, "what was proved is remembered"
