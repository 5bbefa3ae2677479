"""`add_hosts`, `shm_size`, `ulimits` and `cgroup_parent` of an image: how its RUNs run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lineal.build.environment import BuildEnvironment
from lineal.config.giterminism import Giterminism
from lineal.config.load import LoadedProject, load
from lineal.config.template import GitFacts
from lineal.dockerfile.images import read_images
from lineal.dockerfile.stage import Stage, closure
from lineal.engine import RunOptions
from lineal.errors import BadConfiguration
from lineal.progress import Notes
from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import Project
from tests.strangers.commits import opened
from tests.unit.build.factory import Factory
from tests.unit.build.test_stage_builder import command as run_of
from tests.unit.build.test_stage_builder import document

DOCKERFILE = "FROM busybox\nCOPY Dockerfile /\nRUN make\n"


def loaded(image: Mapping[str, Any]) -> LoadedProject:
    text = json.dumps({"project": "shop", "images": {"app": image}})
    facts = GitFacts("1" * 40, "1" * 7, "main", None)
    return load(text, env=None, vars={}, git=facts, environ={}, giterminism=Giterminism())


def stages(repo: servers.Repository, **image: Any) -> dict[str, Stage]:
    """By the first word of the instruction."""
    last = read_images(opened(repo), loaded(image)).last["app"]
    return {stage.text.split()[0]: stage for stage in closure([last])}


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        ({"add_hosts": {"mirror": "192.0.2.7"}}, True),
        ({"shm_size": "256m"}, True),
        ({"ulimits": {"nofile": 1024}}, True),
        ({"source_date_epoch": 0}, True),
        ({"source_date_epoch": 1700000000}, True),
        ({"cgroup_parent": "builds"}, False),
        ({"add_hosts": {}, "ulimits": {}}, False),
    ],
)
def test_what_may_change_a_result_counts_for_its_run(
    repo: servers.Repository, given: dict[str, Any], counts: bool
) -> None:
    """Otherwise a branch could build with its own mirror, and what it built be found without it after the merge."""
    repo.write({"Dockerfile": DOCKERFILE})
    plain, with_it = stages(repo), stages(repo, **given)
    assert (plain["RUN"].checksum != with_it["RUN"].checksum) is counts
    assert all(plain[name].checksum == with_it[name].checksum for name in ("FROM", "COPY"))


def test_one_meaning_is_one_checksum(repo: servers.Repository) -> None:
    repo.write({"Dockerfile": DOCKERFILE})

    def checksum(**image: Any) -> str:
        return stages(repo, **image)["RUN"].checksum

    assert checksum(shm_size="1g") == checksum(shm_size="1024MB") != checksum(shm_size="2g")
    limits = {"nofile": 5}, {"nofile": {"soft": 5, "hard": 5}}, {"nofile": {"soft": 4, "hard": 5}}
    assert checksum(ulimits=limits[0]) == checksum(ulimits=limits[1]) != checksum(ulimits=limits[2])
    hosts = {"a": "192.0.2.1", "b": "192.0.2.2"}
    assert checksum(add_hosts=hosts) == checksum(add_hosts=dict(reversed(hosts.items())))
    assert checksum(add_hosts=hosts) != checksum(add_hosts=hosts | {"b": "192.0.2.3"})


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ({"add_hosts": {"a b": "192.0.2.7"}}, "add_hosts.a b: `a b` is not the name of a host."),
        ({"add_hosts": {"mirror": "example.com"}}, "add_hosts.mirror: `example.com` is not an address."),
        ({"add_hosts": {"mirror": "fe80::1%eth0"}}, "is not an address."),
        ({"add_hosts": {"mirror": "192.0.2.7\n192.0.2.8 evil"}}, "is not an address."),
        ({"add_hosts": ["mirror:192.0.2.7"]}, "add_hosts: The value must be a mapping"),
        ({"shm_size": "much"}, "shm_size: `much` is not a size of memory."),
        ({"shm_size": "0"}, "is not a size of memory."),
        ({"shm_size": "-1m"}, "is not a size of memory."),
        ({"shm_size": 64}, "The value must be text"),
        ({"ulimits": {"nofiles": 5}}, "ulimits.nofiles: There is no limit `nofiles`. Did you mean `nofile`?"),
        ({"ulimits": {"nofile": -2}}, "ulimits.nofile"),
        ({"ulimits": {"nofile": "1024:2048"}}, "ulimits.nofile"),
        ({"ulimits": {"nofile": {"soft": 6, "hard": 5}}}, "The soft limit 6 is above the hard one, 5."),
        ({"ulimits": {"nofile": {"soft": -1, "hard": 5}}}, "The soft limit -1 is above the hard one, 5."),
        ({"ulimits": {"nofile": {"soft": 6}}}, "ulimits.nofile"),
        ({"source_date_epoch": -1}, "source_date_epoch"),
        ({"source_date_epoch": "now"}, "source_date_epoch: The value must be a whole number"),
        ({"source_date_epoch": 1 << 33}, "Write seconds since 1970, at most 8589934591."),
        ({"source_date_epoch": True}, "source_date_epoch"),
        ({"cgroup_parent": "../x"}, "cgroup_parent: `../x` is not the name of a control group."),
        ({"cgroup_parent": ""}, "is not the name of a control group."),
    ],
)
def test_what_is_wrong_is_said_with_its_key(image: Mapping[str, Any], said: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        loaded(image)
    assert said in str(refused.value)


OPTIONS = RunOptions(hosts=[("mirror", "192.0.2.7")], shm_size=1, ulimits=[("core", 0, 0)], cgroup_parent="builds")


@pytest.mark.parametrize("may_write", [True, False])
def test_no_stranger_chooses_a_control_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, may_write: bool
) -> None:
    usual, told = Factory.environment, list[str]()

    def environment(self: Factory) -> BuildEnvironment:
        images = dict.fromkeys(("app", "one", "shop"), OPTIONS)
        return replace(usual(self), options=images, may_write=may_write, notes=Notes(told.append, told.append))

    monkeypatch.setattr(Factory, "environment", environment)
    made = run_of(Factory(tmp_path), "FROM base:base\nRUN x\n")
    assert made.options == (OPTIONS if may_write else replace(OPTIONS, cgroup_parent=""))
    assert [note for note in told if "cgroup_parent is left out" in note] == (
        [] if may_write else ["Dockerfile:2: cgroup_parent is left out: this commit is not the project's own."]
    )


def test_programs_and_the_config_have_the_time(
    repo: servers.Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write({"Dockerfile": "FROM busybox\nARG SOURCE_DATE_EPOCH\nRUN make\n"})
    for given, seen in ({}, "7"), ({"args": {"SOURCE_DATE_EPOCH": "5"}}, "5"):
        assert stages(repo, source_date_epoch=7, **given)["RUN"].scope.variables["SOURCE_DATE_EPOCH"] == seen
    usual = Factory.environment

    def environment(self: Factory) -> BuildEnvironment:
        return replace(usual(self), options=dict.fromkeys(("app", "one", "shop"), RunOptions(epoch=7)))

    monkeypatch.setattr(Factory, "environment", environment)
    config = document(Factory(tmp_path), "FROM base:base\nRUN x\n")
    assert config["created"] == config["history"][-1]["created"] == "1970-01-01T00:00:07Z"


@pytest.mark.engine
def test_a_run_has_them(repo: servers.Repository, lineal: Lineal, base_image: str, tmp_path: Path) -> None:
    check = "grep -q 'mirror.example.com' /etc/hosts && grep -q 'size=16384k' /proc/mounts && ulimit -Hn"
    image = {"add_hosts": {"mirror.example.com": "192.0.2.7"}, "shm_size": "16m", "ulimits": {"nofile": 2345}}
    repo.write({
        "lineal.yaml": json.dumps({"project": "shop", "images": {"app": image}}),
        "Dockerfile": f"FROM {base_image}\nRUN {check} >/limit\n",
    })  # fmt: skip
    project = Project(repo, lineal, f"layout:{tmp_path / 'store'}", tmp_path)
    digest = project.build("--engine-network", "host").digests["app"]
    assert digest is not None
    files = project.contents.files(digest)
    assert files["limit"] == b"2345\n" and "etc/hosts" not in files
