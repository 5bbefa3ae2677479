"""What a `RUN` sees and no checksum holds comes from the job: a commit that gave it would leave a stage behind that
main inherits at the merge, when the line that gave it is long gone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from lineal.build.proxies import JobProxies
from lineal.ci.context import Context
from lineal.config.beside import entries, entry
from lineal.config.grants import Grants
from lineal.config.model import Secret
from lineal.config.secrets import SecretValues
from lineal.dockerfile.scope import PROXY_ARGS
from lineal.engine import CacheMount
from lineal.errors import BadConfiguration
from lineal.stages.eligibility import Eligibility
from lineal.stages.lookup import Lookup
from tests import servers
from tests.strangers.commits import opened, write
from tests.unit.build.factory import Factory
from tests.unit.build.test_stage_builder import build, command
from tests.unit.stages.workbench import HERE, Says, planned


@pytest.fixture
def factory(tmp_path: Path) -> Factory:
    return Factory(tmp_path)


# --- proxies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PROXY_ARGS))
def test_a_proxy_of_the_commit_is_refused_with_the_way_out(name: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        planned("FROM b:1\nRUN x\n", args={name: "http://attacker.example"})
    assert str(refused.value) == (
        f"lineal.yaml: images.app.args.{name}: {name} is the job's: a proxy is part of no checksum, so no commit "
        f"says which one a RUN sees. Set {name} in the environment of the job, or write `ARG {name}` in the "
        "Dockerfile: then it counts. [LN-2015]"
    )


PROXIED = [
    "ARG http_proxy=http://attacker.example\n",
    "ENV http_proxy=http://attacker.example\n",
    "ENV http_proxy=http://good.example\nARG http_proxy=http://attacker.example\n",
    "ARG GIVEN\nARG HTTPS_PROXY=$GIVEN\n",
]


@pytest.mark.parametrize("lines", PROXIED)
def test_a_proxy_that_a_dockerfile_writes_is_part_of_the_checksum(lines: str) -> None:
    checksums = {planned(f"FROM b:1\n{text}RUN x\n").checksum for text in ("", lines, lines.replace("attacker", "x"))}
    assert len(checksums) == (3 if "attacker" in lines else 2)


def test_before_the_first_from_it_counts_as_well() -> None:
    used = planned("ARG ALL_PROXY=http://attacker.example\nFROM b:1\nARG ALL_PROXY\nRUN x\n")
    assert used.checksum != planned("FROM b:1\nARG ALL_PROXY\nRUN x\n").checksum


def test_the_job_s_proxy_reaches_a_run_and_the_dockerfile_s_own_wins(factory: Factory) -> None:
    factory.proxies = JobProxies({"HTTP_PROXY": "http://proxy.example:1", "no_proxy": "a,b", "OTHER": "x"})
    given = command(factory, "FROM base:base\nRUN x\n").env
    assert {name: given[name] for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY")} == {
        "http_proxy": "http://proxy.example:1", "HTTP_PROXY": "http://proxy.example:1", "no_proxy": "a,b",
        "NO_PROXY": "a,b",
    }  # fmt: skip
    assert "OTHER" not in given
    own = command(factory, "FROM base:base\nENV http_proxy=http://own.example\nRUN y\n").env
    assert own["http_proxy"] == "http://own.example"


@pytest.mark.parametrize("host", ["127.0.0.1:3128", "localhost:1", "[::1]:1", "user:pw@127.0.0.1:1", "0x7f000001"])
@pytest.mark.parametrize("scheme", ["http://", "socks5://", ""])
def test_a_proxy_on_loopback_is_for_the_network_of_the_host_alone(scheme: str, host: str) -> None:
    proxies = JobProxies({"http_proxy": scheme + host, "NO_PROXY": "localhost"})
    assert proxies.variables() == {"no_proxy": "localhost", "NO_PROXY": "localhost"}
    assert proxies.variables("host")["HTTP_PROXY"] == scheme + host
    assert replace(proxies, network="host").variables()["HTTP_PROXY"] == scheme + host


def test_a_stranger_s_commit_gets_the_proxy_without_its_password() -> None:
    proxies = JobProxies({"HTTPS_PROXY": "http://me:s3cret@proxy.example:1/", "http_proxy": "me:p@proxy.example"})
    assert proxies.variables()["https_proxy"] == "http://me:s3cret@proxy.example:1/"
    assert sorted(set(proxies.passwords)) == ["p", "s3cret"]
    strange = replace(proxies, trusted=False).variables()
    assert strange["HTTPS_PROXY"] == "http://proxy.example:1/" and strange["HTTP_PROXY"] == "proxy.example"


# --- secrets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", ["docs/npmrc", "./docs/../docs/npmrc", "link", "away/npmrc", "/abs", "outside/npmrc"]
)
def test_a_file_that_git_tracks_is_no_secret_whoever_names_it(
    repo: servers.Repository, tmp_path: Path, given: str
) -> None:
    write(repo, {"docs/npmrc": "evil"}, {"link": "docs/npmrc"})
    (tmp_path / "around").symlink_to(repo.path / "docs")
    (repo.path / "away").symlink_to("docs")
    file = {"/abs": f"{repo.path}/docs/npmrc", "outside/npmrc": f"{tmp_path}/around/npmrc"}.get(given, given)
    commit = opened(repo)
    secrets = SecretValues(
        {}, [Secret(id="npm", file=file)], {}, repo.path, Grants({}, repo.path, committed=commit.has)
    )
    with pytest.raises(BadConfiguration, match="a file of the commit: it is no secret") as refused:
        secrets.value("app", "npm")
    assert refused.value.id == "LN-1029" and "--mount=type=bind,source=" in str(refused.value.remedy)
    commit.close()


def test_a_file_beside_the_commit_is_one(repo: servers.Repository, tmp_path: Path) -> None:
    write(repo, {"docs/npmrc": "evil", ".gitignore": "/npmrc\n"})
    (repo.path / "npmrc").write_text("token")
    (tmp_path / "npmrc").write_text("token")
    commit = opened(repo)
    for file in ("npmrc", f"{tmp_path}/npmrc"):
        grants = Grants({}, repo.path, committed=commit.has)
        assert SecretValues({}, [Secret(id="npm", file=file)], {}, repo.path, grants).value("app", "npm") == b"token"
    commit.close()


# --- cache mounts ---------------------------------------------------------------------------------------------------

COMMIT = "1" * 40
LINES = [
    (Context("github", "push", COMMIT, "main", protected=True), "protected"),
    (Context("github", "push", COMMIT, "release", protected=True), "protected"),
    (Context("gitlab", "tag", COMMIT, tag="v1", protected=True), "protected"),
    (Context("github", "push", COMMIT, "main"), "branch main"),
    (Context("local", "none", COMMIT, "evil"), "branch evil"),
    (Context("github", "pull_request", COMMIT, "evil", pull_request=5), "branch evil"),
    (Context("github", "pull_request", COMMIT, pull_request=5, may_write=False), "pull request 5"),
    (Context("github", "pull_request_target", COMMIT, pull_request=5, may_write=False, protected=True),
     "pull request 5"),
    (Context("local", "none", COMMIT, tag="v1"), "tag v1"),
    (Context("local", "none", COMMIT), f"commit {COMMIT}"),
]  # fmt: skip


@pytest.mark.parametrize(("context", "line"), LINES)
def test_protected_runs_are_one_line_and_every_branch_is_its_own(context: Context, line: str) -> None:
    assert context.line == line


def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, *, may_write: bool = True) -> str:
    """The id of the cache that a `RUN` of this line mounts."""
    factory = Factory(tmp_path / re.sub(r"\W", "-", f"{line} {may_write}"))
    usual = Factory.environment
    monkeypatch.setattr(Factory, "environment", lambda self: replace(usual(self), line=line, may_write=may_write))
    try:
        (mount,) = command(factory, "FROM base:base\nRUN --mount=type=cache,id=npm,target=/c x\n").mounts
    finally:
        monkeypatch.setattr(Factory, "environment", usual)
    assert isinstance(mount, CacheMount)
    return mount.id


def test_a_cache_that_a_branch_fills_is_no_other_line_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["protected", "branch evil", "branch protected", "branch main", "pull request 5", f"commit {COMMIT}"]
    found = [caches(tmp_path, monkeypatch, line) for line in lines]
    found.append(caches(tmp_path, monkeypatch, "branch main", may_write=False))
    assert len(set(found)) == len(found)
    assert caches(tmp_path / "again", monkeypatch, "branch main") == found[3]


def test_no_id_of_a_cache_leads_into_another_line_s(factory: Factory) -> None:
    for id in ("npm", "protected:npm", "../../x"):
        (mount,) = command(factory, f"FROM base:base\nRUN --mount=type=cache,id={id},target=/c x\n").mounts
        assert isinstance(mount, CacheMount) and mount.id == f"test, branch main: {id}"


def test_a_build_of_the_shared_base_still_works(factory: Factory) -> None:
    build(factory, "FROM base:base\nRUN --mount=type=cache,target=/c x\n")
    assert len(factory.engine.commands) == 1


# --- where a commit has its secrets from ------------------------------------------------------------------------


FILE, VARIABLE, GIVEN = Secret(id="npm", file="npmrc"), Secret(id="npm", env="NPM"), Secret(id="npm")
SECRET_RUN = "FROM base:base\nRUN --mount=type=secret,id=npm install\nCOPY f /\n"


def built(factory: Factory, by: Secret, dockerfile: str = SECRET_RUN, image: str = "app") -> list[str]:
    """What a run of a commit makes that names this source, with its first words."""
    factory.secrets.values, factory.secrets.sources = {"npm": b"x" * 20}, {}
    if (found := entry(by)) is not None:
        factory.secrets.sources = {"npm": found}
    factory.run({image: planned(dockerfile, {"f": "1"}, name=image)}, beside={image: entries([by])})
    return [outcome.split(" --")[0] for outcome in factory.outcomes()]


@pytest.mark.parametrize("later", [VARIABLE, GIVEN, Secret(id="npm", file="other")])
def test_what_was_built_with_a_source_that_is_taken_back_is_not_inherited(factory: Factory, later: Secret) -> None:
    assert built(factory, FILE) == ["built FROM base:base", "built RUN", "assembled COPY f /"]
    assert built(factory, FILE) == []
    # The FROM is good; the RUN is not, and neither is what was copied onto its result.
    assert built(factory, later) == ["built RUN", "assembled COPY f /"]
    assert built(factory, later) == []
    assert built(factory, FILE) == [], "each commit keeps what it had"


def test_a_squash_of_a_later_stage_does_not_bring_it_in_either(factory: Factory) -> None:
    built(factory, FILE)
    lookup = Lookup(factory.store, Eligibility(factory.store, HERE, Says()))
    last = planned(SECRET_RUN, {"f": "1"})
    assert lookup.find([last.checksum])[last.checksum].reason == "hidden: built with other sources of secrets (npm)"
    lookup.close()


def test_what_the_caller_gives_leaves_nothing_and_is_good_for_every_commit(factory: Factory) -> None:
    built(factory, GIVEN)
    assert built(factory, FILE) == built(factory, VARIABLE) == []


def test_another_image_inherits_it_neither_by_copying_nor_by_sharing(factory: Factory) -> None:
    built(factory, FILE)
    copied = "FROM base:base AS a\nRUN --mount=type=secret,id=npm install\nFROM scratch\nCOPY --from=a /bin /bin\n"
    built(factory, FILE, copied, "other")
    assert built(factory, VARIABLE, copied, "other") == ["built RUN", "assembled COPY"]


def test_a_source_s_digest_is_of_its_name_and_the_caller_wins(tmp_path: Path) -> None:
    values = SecretValues({"app": [FILE]}, [], {}, tmp_path)
    assert values.beside("app", "npm") == entry(FILE) != entry(VARIABLE)
    assert values.beside("app", "other") is None and values.beside("x", "npm") is None
    given = SecretValues({"app": [FILE]}, [Secret(id="npm", env="X")], {"X": "1"}, tmp_path)
    assert given.beside("app", "npm") is None
