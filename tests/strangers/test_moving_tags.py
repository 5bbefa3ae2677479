"""Moving tags as pipelines see them: `latest` and a branch's own, after slow, repeated and replaced pipelines."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from lineal.publish.claim import claim_documents
from lineal.store.open import StoreOpener
from lineal.store.tags import Claim, claim_key
from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project, Published

LATEST = "latest"


@pytest.fixture
def final(registry: str) -> str:
    return f"{registry}/final-{secrets.token_hex(6)}/app"


@pytest.fixture
def project(repo: servers.Repository, lineal: Lineal, registry: str, tmp_path: Path) -> Project:
    lineal.env |= NOWHERE
    return Project(repo, lineal, f"{registry}/moving-{secrets.token_hex(6)}/stages", tmp_path)


def commit(project: Project, final: str, app: str, more: str = "") -> str:
    return project.repo.write(
        {
            "lineal.yaml": f"project: shop\nimages: {{app: {{}}}}\npublish: {{to: [{final}], tags: [{LATEST}]}}\n",
            "Dockerfile": "FROM scratch\nCOPY app /\n",
            "app": app,
            "README.md": more,
        }
    )


def pipeline(project: Project, name: str, at: str, *args: str, branch: str = "main") -> tuple[str, str, str]:
    """A pipeline of a commit on a machine of its own: the digest, what became of the tag, and the reason."""
    clone = project.clone(name)
    clone.repo.git("switch", "--quiet", "--force-create", branch, at)
    image: dict[str, Any] = clone.build(*args).report["images"][0]
    return image["digest"], image["tags"][0]["outcome"], image["tags"][0]["reason"]


def test_a_slow_pipeline_does_not_move_the_tag_back_from_a_revert(project: Project, final: str) -> None:
    """The revert has the image, and so the digest and its annotations, of the first commit."""
    first, between = commit(project, final, "1"), commit(project, final, "2")
    revert = commit(project, final, "1", "A revert")
    digest, outcome, _ = pipeline(project, "first", first)
    assert outcome in ("written", "moved")
    assert pipeline(project, "revert", revert) == (digest, "there", "")
    _, outcome, reason = pipeline(project, "slow", between)
    assert (outcome, reason) == ("left", f"it is at {revert[:7]}, which is not in the history of this commit")
    assert Published(final).tags()[LATEST] == digest
    other, outcome, _ = pipeline(project, "forced", between, "--overwrite-tag")
    assert outcome == "moved" and Published(final).tags()[LATEST] == other != digest


def test_a_tag_moves_in_a_directory_too(project: Project, tmp_path: Path) -> None:
    """Such as the store that is the default outside of CI, which is one however it is spelt."""
    project.store = f"layout:{tmp_path}/store"
    for app, outcome in {"1": "written", "2": "moved"}.items():
        commit(project, "'layout:../store'", app)
        (image,) = project.build().report["images"]
        (entry,) = [one for one in entries(tmp_path / "store") if one["annotations"].get(NAME) == LATEST]
        assert (image["tags"][0]["outcome"], entry["digest"]) == (outcome, image["digest"])
    claims = [tag for tag in project.contents.tags() if tag.startswith("moving-")]
    assert claims and all(tag.startswith(claim_key("", LATEST)) for tag in claims)


NAME = "org.opencontainers.image.ref.name"


def entries(layout: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((layout / "index.json").read_text())["manifests"]
    return found


def test_the_tag_of_a_branch_follows_a_forced_push_and_no_slow_pipeline_of_what_was_replaced(
    project: Project, final: str
) -> None:
    commit(project, final, "1")
    project.repo.branch("work")
    old = commit(project, final, "2")
    pipeline(project, "old", old, branch="work")
    project.repo.git("reset", "--quiet", "--hard", "HEAD^")
    new = commit(project, final, "3")
    digest, outcome, _ = pipeline(project, "new", new, branch="work")
    assert outcome == "moved"
    assert pipeline(project, "fresh", project.repo.head(), branch="work")[1] == "there"
    project.repo.git("tag", "kept", old)  # a clone still has what was replaced
    assert pipeline(project, "slow", old, branch="work")[1] == "left"
    assert Published(final).tags()[LATEST] == digest


def test_without_history_the_tag_is_left_alone_and_the_run_says_so(project: Project, final: str) -> None:
    first = commit(project, final, "1")
    last = commit(project, final, "2")
    pipeline(project, "first", first)
    shallow = project.clone("shallow", "--depth", "1")
    shallow.repo.git("remote", "remove", "origin")
    ran = shallow.build()
    assert f"left alone (it is at {first[:7]}, and the history here does not tell" in ran.stderr
    assert pipeline(project, "whole", last)[1] == "moved"


def test_what_the_store_remembers_says_of_which_tag_it_is_and_outlives_a_cleanup(
    project: Project, final: str
) -> None:
    for number in range(2):
        pipeline(project, str(number), commit(project, final, str(number)))
    claims = [tag for tag in project.contents.tags() if tag.startswith("moving-")]
    (said,) = [project.contents.json(project.contents.tags()[tag]) for tag in claims if project.repo.head() in tag]
    assert said["annotations"]["dev.lineal.tag"] == LATEST and said["annotations"]["dev.lineal.repository"] == final
    store = StoreOpener(project.scratch, {}).store(project.store)
    old = [Claim(claim_key(final, "1.2"), "0" * 16, 1_700_000_000_000 + day, "c" * 40) for day in range(4)]
    for claim in old:
        _, manifest = claim_documents(claim, final, "1.2", "sha256:" + "0" * 64, "main")
        store.put_manifest(manifest, claim.tag)
    cleaned = project.lineal("cleanup", "--repo", project.store, "--keep-days", "0")
    assert cleaned.code == 0 and "deleted    1 stage and 1 claim of moving tags" in cleaned.stderr
    assert set(claims) <= set(project.contents.tags()), "they are of today"
    assert {claim.tag for claim in old} - set(project.contents.tags()) == {old[0].tag}, "the newest of a tag stay"
