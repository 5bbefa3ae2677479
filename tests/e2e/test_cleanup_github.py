"""`lineal cleanup` on ghcr.io: the API of its packages as a model, before a real registry that holds the images."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from lineal.cleanup.retention import DAY
from lineal.publish.claim import claim_documents
from lineal.store.registry.client import Registry
from lineal.store.tags import Claim, claim_key
from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project, Published
from tests.e2e.test_cleanup import branch, cleanup, opened
from tests.registries.github import API, OWNER, TOKEN, GitHub, Stored, said
from tests.registries.proxy import Answer, proxy

pytestmark = pytest.mark.registry
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass
class Store:
    """A project whose store is a package of ghcr.io."""

    github: GitHub
    project: Project
    registry: str
    """The URL of the repository in the registry behind."""

    def led_to(self) -> set[str]:
        """The digests of the manifests that tags lead to."""
        tags, contents = set(self.project.contents.tags().values()), self.project.contents
        named = {entry["digest"] for digest in tags for entry in contents.json(digest).get("manifests", ())}
        return tags | named

    def push(self, tag: str, document: dict[str, object]) -> None:
        """A manifest as other tools push it."""
        kind = str(document["mediaType"])
        data = json.dumps({"schemaVersion": 2, **document}).encode()
        proxies = {"http": f"http://{self.github.home}"}
        path = self.project.store.removeprefix("ghcr.io/")
        url = f"http://ghcr.io/v2/{path}/manifests/{tag}"
        requests.put(url, data=data, headers={"Content-Type": kind}, proxies=proxies, timeout=300).raise_for_status()

    def drop(self, name: str, **files: str) -> set[str]:
        """Builds a branch and deletes it; gives its stage tags."""
        tags = branch(self.project, name, **files).tags
        self.project.repo.git("branch", "--quiet", "--delete", "--force", name)
        return tags


Open = Callable[[GitHub], Store]


@pytest.fixture
def open_store(repo: servers.Repository, lineal: Lineal, registry: str, tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as running:

        def open_it(github: GitHub) -> Store:
            """An image of two stages on main, built."""
            server = running.enter_context(proxy(registry, github))
            name = f"shop-{secrets.token_hex(6)}/app"
            lineal.env |= NOWHERE | {
                "HTTP_PROXY": f"http://{server.host}",
                "LINEAL_INSECURE_REGISTRY": "ghcr.io",
                "GITHUB_API_URL": f"http://{server.host}{API}",
                "LINEAL_REGISTRY_USERNAME": "ada",
                "LINEAL_REGISTRY_PASSWORD": TOKEN,
            }
            project = Project(repo, lineal, f"ghcr.io/{OWNER}/{name}", tmp_path)
            project.contents = Published(f"{registry}/{OWNER}/{name}")
            return Store(github, opened(project), f"http://{registry}/v2/{OWNER}/{name}")

        yield open_it


@pytest.fixture
def store(open_store: Open) -> Store:
    return open_store(GitHub())


def test_a_stage_goes_with_its_image_and_its_record_and_nothing_else(store: Store) -> None:
    dropped = store.drop("dropped", base="dropped")
    before = store.project.contents.tags()
    foreign = [f"sha256:{number:064x}" for number in range(110)]
    for number, digest in enumerate(foreign):
        store.github.versions[digest] = Stored(number, digest, 0)
    dry = cleanup(store.project, "--dry-run")
    assert store.github.deleted == []

    done = cleanup(store.project)
    assert set(done.stdout.split()) == set(dry.stdout.split()) == dropped and len(dropped) == 2
    assert len(store.github.deleted) == len(set(store.github.deleted)) == 6
    assert "deleted    2 stages" in done.stderr and "4 images and records deleted" in done.stderr
    gone = dropped | {tag.partition("-")[0] for tag in dropped}
    assert store.project.contents.tags() == {tag: digest for tag, digest in before.items() if tag not in gone}
    assert store.github.versions.keys() == store.led_to() | set(foreign)
    assert store.project.build().made == []
    assert cleanup(store.project).stdout == ""
    assert len(store.github.deleted) == 6


def test_an_image_that_something_with_a_tag_names_stays(store: Store) -> None:
    """Main's own index, an index of several platforms, the referrers of an image."""
    config = "project: shop\nimages: {app: {cache_version: '2'}}\n"
    same = store.drop("same", **{"lineal.yaml": config})
    images = {}
    for name in ("platforms", "signed"):
        digest = branch(store.project, name, base=name).digest
        images[name] = store.project.contents.json(digest)["manifests"][0]
        store.project.repo.git("branch", "--quiet", "--delete", "--force", name)
    store.push("v1", {"mediaType": INDEX, "manifests": [images["platforms"]]})
    store.push(images["signed"]["digest"].replace(":", "-"), {"mediaType": INDEX, "manifests": []})
    main = store.project.contents.tags()

    done = cleanup(store.project)
    assert same < set(done.stdout.split()) and len(done.stdout.split()) == 6
    # Six indexes; six records but those of main; four images, for two are main's and two are named otherwise.
    kept = {one["digest"] for one in images.values()}
    assert kept <= store.github.versions.keys()
    assert store.github.versions.keys() == store.led_to() | kept
    assert {tag: main[tag] for tag in store.project.contents.tags()} == store.project.contents.tags()
    assert store.project.build().made == []


def test_a_limit_is_waited_for_and_an_answer_that_is_lost_asked_for_again(store: Store) -> None:
    dropped = store.drop("dropped", app="2")
    secondary = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    now = {"x_ratelimit_remaining": "0", "x_ratelimit_reset": str(int(time.time()) + 2)}
    store.github.answers = [
        said(403, secondary, retry_after="1", x_ratelimit_remaining="900", x_ratelimit_reset="99999999999"),
        Answer(502, {"done": "yes"}),
        said(403, "API rate limit exceeded for installation.", **now),
        said(429, secondary, retry_after="1"),
    ]
    done = cleanup(store.project)
    assert set(done.stdout.split()) == dropped
    assert "limits how often it may be asked: asking again in" in done.stderr
    assert len(store.github.deleted) == 3 and not store.github.answers
    assert store.github.versions.keys() == store.led_to()


def test_another_run_completes_what_a_limit_ended(store: Store) -> None:
    first, second = store.drop("first", app="2"), store.drop("second", app="3")
    limit = {"x_ratelimit_remaining": "0", "x_ratelimit_reset": str(int(time.time()) + 3000)}
    store.github.answers = [Answer(204, {"done": "1"}), said(403, "API rate limit exceeded", **limit)]
    ended = cleanup(store.project, code=5)
    assert "limits how often it may be asked, and the limit is used up and says: 'API rate limit" in ended.stderr
    assert "Wait 50 minutes" in ended.stderr and "deleted    1 stage\n" in ended.stderr
    assert store.project.build().made == []
    done = cleanup(store.project)
    assert set(ended.stdout.split()) | set(done.stdout.split()) == first | second
    assert store.github.versions.keys() == store.led_to()


def test_what_github_keeps_is_a_warning_with_its_words(store: Store) -> None:
    popular, other = store.drop("popular", app="2"), store.drop("other", app="3")
    store.github.popular = {store.project.contents.tags()[tag] for tag in popular}
    done = cleanup(store.project)
    assert set(done.stdout.split()) == other
    assert "1 stage cannot be deleted. GitHub says: 'Publicly visible package versions with more" in done.stderr
    assert store.github.versions.keys() == store.led_to()


def test_a_stage_that_the_registry_s_list_does_not_show_as_tagged_yet_stays(store: Store) -> None:
    """The API knows of the tag already."""
    (tag,) = store.drop("dropped", app="2")
    digest = store.project.contents.tags()[tag]
    store.github.versions[digest].tags.append("stable")
    assert cleanup(store.project).stdout == ""
    assert store.github.deleted == []


def test_the_last_version_with_a_tag_stays(store: Store) -> None:
    store.project.write("FROM scratch\nCOPY app /other\n")
    store.project.repo.git("checkout", "--quiet", "--orphan", "new")
    store.project.repo.commit("New history")
    store.project.repo.git("branch", "--quiet", "--delete", "--force", "main")
    done = cleanup(store.project)
    assert "1 stage cannot be deleted. GitHub says: 'You cannot delete the last tagged version" in done.stderr
    assert len(done.stdout.split()) == 1 and store.github.versions.keys() == store.led_to()


def test_what_is_new_stays_for_an_hour(open_store: Open) -> None:
    """A run may be about to publish an index of it."""
    store = open_store(GitHub(age=0))
    dropped = store.drop("dropped", app="2")
    assert set(cleanup(store.project).stdout.split()) == dropped
    assert len(store.github.versions.keys() - store.led_to()) == 2
    for version in store.github.versions.values():
        version.created -= 3700
    assert "2 images and records deleted" in cleanup(store.project).stderr
    assert store.github.versions.keys() == store.led_to()


def test_an_old_claim_of_a_moving_tag_goes(store: Store, tmp_path: Path) -> None:
    proxied = {"HOME": str(tmp_path), "HTTP_PROXY": f"http://{store.github.home}"}
    registry = Registry("ghcr.io", store.project.store.removeprefix("ghcr.io/"), insecure=True, environ=proxied)
    claim = Claim(claim_key("", "latest"), "0" * 16, int(time.time() * 1000) - 60 * DAY, "c" * 40)
    blobs, manifest = claim_documents(claim, "", "latest", "sha256:" + "0" * 64, "main")
    for blob in blobs:
        registry.put_blob(blob)
    for tag in (claim.tag, claim.withdrawal):
        registry.put_manifest(manifest, tag)
    assert "deleted    0 stages and 1 claim of moving tags" in cleanup(store.project).stderr
    assert store.github.deleted == [manifest.digest]
    assert not {claim.tag, claim.withdrawal} & set(store.project.contents.tags())


def test_a_token_that_may_not_delete_is_told_what_it_needs(store: Store) -> None:
    store.drop("dropped", app="2")
    store.github.may_delete = False
    before = store.project.contents.tags()
    refused = cleanup(store.project, code=5)
    assert "does not let the token from LINEAL_REGISTRY_USERNAME delete versions of the package acme/shop-" in (
        refused.stderr
    )
    assert "`packages: write`" in refused.stderr and "Manage Actions access" in refused.stderr
    assert (refused.stdout, store.project.contents.tags()) == ("", before)
    assert TOKEN not in refused.stderr
    store.project.lineal.env["LINEAL_REGISTRY_PASSWORD"] = "ghp_of_another"
    assert "(status 401), and says: 'Requires authentication'" in cleanup(store.project, code=5).stderr
    store.project.lineal.env |= {"LINEAL_REGISTRY_USERNAME": "", "LINEAL_REGISTRY_PASSWORD": ""}
    assert (
        "needs a token for GitHub's API, and there is no login for ghcr.io" in cleanup(store.project, code=5).stderr
    )
