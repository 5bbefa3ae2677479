"""`RUN` on a buildkitd instead of Docker: what a user sees, and what never goes through Lineal."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.conftest import Lineal
from tests.differential.buildkit import PROGRAMS, buildkitd, fast, missing
from tests.e2e.parts import NOWHERE, Published, read_until, wait_until

pytestmark = [pytest.mark.registry, pytest.mark.server, pytest.mark.skipif(bool(missing()), reason=missing())]
LARGE = 5_000_000


@pytest.fixture(scope="module")
def daemon(registry: str) -> Iterator[str]:
    """The address of a daemon that the tests of this module share, as a farm would be shared."""
    with (
        tempfile.TemporaryDirectory(prefix="buildkit-", dir=fast(), ignore_cleanup_errors=True) as short,
        buildkitd(Path(short), registry) as running,
    ):
        yield running.address


@pytest.fixture
def builder(lineal: Lineal, daemon: str, repository: str) -> Lineal:
    """No Docker Engine answers; the store is a registry."""
    lineal.env |= {"LINEAL_ENGINE": f"buildkit:{daemon}", **NOWHERE, "LINEAL_REPO": repository}
    return lineal


def build(lineal: Lineal, *args: str, **more: str) -> dict[str, Any]:
    """The report of a run that ended well, with what it said as `said`."""
    done = lineal("build", "--report", "../report.json", *args, env=more)
    assert done.code == 0, done.stderr
    found = dict(json.loads((lineal.cwd.parent / "report.json").read_text()))
    return found | {"said": done.stderr}


@pytest.fixture
def shop(repo: servers.Repository, base_image: str) -> servers.Repository:
    """A chain in which `COPY` needs what the `RUN` before it has made of the image."""
    repo.write(
        {
            "lineal.yaml": "project: shop\nimages: {app: {}}\n",
            "Dockerfile": (
                f"FROM {base_image}\nRUN mkdir -p /a/b && ln -s b /a/link && echo said && "
                f"head -c {LARGE} /dev/urandom >/a/b/large && echo me:x:7:7::/:/bin/sh >>/etc/passwd\n"
                "USER me\nCOPY --chown=me Dockerfile /a/link/\nRUN id -u >/tmp/id\n"
            ),
        }
    )
    return repo


def test_a_chain_is_built_by_the_daemon_and_found_by_the_next_run(
    builder: Lineal, shop: servers.Repository, repository: str
) -> None:
    first = build(builder)
    assert "| said" in first["said"] and first["stages"][1]["bytes_pushed"] > LARGE
    files = Published(repository).files(first["images"][0]["digest"])
    assert files["tmp/id"] == b"7\n" and files["a/b/Dockerfile"] == (shop.path / "Dockerfile").read_bytes()
    again = build(builder, LINEAL_ENGINE="buildkit:unix:///nowhere/sock")
    assert [stage["outcome"] for stage in again["stages"]] == ["cached"] * 4, "no engine is asked"
    assert again["images"][0]["digest"] == first["images"][0]["digest"]


@pytest.mark.parametrize("base", ["beside the store", "elsewhere"])
def test_a_new_base_is_downloaded_once_and_what_the_run_makes_never(
    lineal: Lineal, repo: servers.Repository, tmp_path: Path, short: Path, base: str
) -> None:
    """Counted by the registries of the base and of the store; the daemon reaches the latter."""
    at_home = base == "beside the store"
    own, other = tmp_path / "own", tmp_path / "other"
    with servers.docker_registry(own) as store, servers.docker_registry(other) as far, buildkitd(short, store):
        image = servers.push_base_image(f"{store if at_home else far}/base:1", tmp_path / "base")
        repo.write(
            {
                "Dockerfile": (
                    f"FROM {image}\nCOPY large /\nRUN --mount=type=secret,id=token cp /large /too\n"
                    "RUN cp /too /pushed\nRUN cmp /large /pushed\n"
                ),
                "large": secrets.token_hex(LARGE),
                "lineal.yaml": lineal_yaml({}),
            }
        )
        lineal.env |= {
            "LINEAL_ENGINE": f"buildkit:unix://{short}/buildkitd.sock",
            **NOWHERE,
            "TOKEN": "no part of it",
        }
        build(lineal, "--repo", f"{store}/shop", "--secret", "id=token,env=TOKEN")
    logs = "".join((place / "log").read_text() for place in (own, other))
    read = re.findall(r'"GET \S*/blobs/(\S+) [^"]*" 200 \d{5,} "" "(\w+)', logs)
    assert [reader for _, reader in read] == ["lineal"], read
    mounted = re.findall(r'"POST \S*mount=\S+ [^"]*" 201 ', logs)
    assert len(mounted) == at_home, "its layer is taken over without a byte"


def test_the_engine_is_found_where_it_is(
    builder: Lineal, shop: servers.Repository, daemon: str, tmp_path: Path
) -> None:
    runtime = tmp_path / "run"
    (runtime / "buildkit").mkdir(parents=True)
    (runtime / "buildkit" / "buildkitd.sock").symlink_to(daemon.removeprefix("unix://"))
    found = build(builder, "--repo", "layout:../a", LINEAL_ENGINE="auto", XDG_RUNTIME_DIR=str(runtime))
    assert f"RUN goes to the buildkitd at unix://{runtime}" in found["said"]
    build(builder, "--repo", "layout:../b", LINEAL_ENGINE="", BUILDKIT_HOST=daemon)
    build(builder, "--repo", "layout:../c", LINEAL_ENGINE="buildkit", BUILDKIT_HOST=daemon)
    own = build(
        builder, "--repo", "layout:../d", "--engine", "buildkitd", "--engine-network", "host",
        PATH=f"{PROGRAMS}:{os.environ['PATH']}",
    )  # fmt: skip
    assert "RUN goes to a buildkitd of this run's own." in own["said"]


def test_a_login_is_given_to_the_daemon_when_it_pushes(
    lineal: Lineal, shop: servers.Repository, daemon: str, auth_registry: str
) -> None:
    repository = f"{auth_registry}/test-{secrets.token_hex(6)}/app"
    lineal.env |= {"LINEAL_ENGINE": f"buildkit:{daemon}", **NOWHERE, "LINEAL_REPO": repository}
    login = {"LINEAL_REGISTRY_USERNAME": servers.USER, "LINEAL_REGISTRY_PASSWORD": servers.PASSWORD}
    found = build(lineal, **login)
    assert "does not reach" not in found["said"]
    # The daemon has no login of its own, and keeps none: the next run has to bring one.
    shop.write({"Dockerfile": (shop.path / "Dockerfile").read_text() + "RUN echo more >/tmp/more\n"})
    refused = lineal("build", env={**login, "LINEAL_REGISTRY_PASSWORD": "wrong"})
    assert refused.code == 5 and servers.PASSWORD not in refused.stderr


def test_what_is_no_engine_is_refused_before_anything_is_done(builder: Lineal, shop: servers.Repository) -> None:
    refused = builder("build", "--engine", "podman")
    assert refused.code == 3 and "`podman` (--engine) is no engine." in refused.stderr


def test_sigterm_ends_the_command_on_the_daemon(builder: Lineal, repo: servers.Repository, base_image: str) -> None:
    mark = f"9{secrets.randbelow(10**8):08}"
    repo.write(
        {
            "lineal.yaml": "project: shop\nimages: {app: {}}\n",
            "Dockerfile": f"FROM {base_image}\nRUN echo began && sleep {mark}\n",
        }
    )
    running = builder.start("build")
    read_until(running, "began")
    running.send_signal(signal.SIGTERM)
    assert running.wait(300) == 130
    wait_until(lambda: subprocess.run(["pgrep", "-f", f"sleep {mark}"], capture_output=True).returncode != 0)


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a short path: that of a socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="lineal-own-") as place:
        yield Path(place)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_leaves_nothing_of_its_own_daemon(
    builder: Lineal, repo: servers.Repository, base_image: str, short: Path, number: signal.Signals
) -> None:
    mark = f"9{secrets.randbelow(10**8):08}"
    repo.write({"Dockerfile": f"FROM {base_image}\nRUN echo began && sleep {mark}\n"})
    place = {"TMPDIR": str(short), "PATH": f"{PROGRAMS}:{os.environ['PATH']}"}
    running = builder.start("build", "--engine", "buildkitd", "--engine-network", "host", env=place)
    read_until(running, "| began")
    running.send_signal(number)
    assert running.wait(300) == {signal.SIGTERM: 130, signal.SIGKILL: -9}[number]
    wait_until(lambda: subprocess.run(["pgrep", "-f", f"{mark}|{short}"], capture_output=True).returncode != 0)
    wait_until(lambda: not list(short.iterdir()))
    assert str(short) not in Path("/proc/mounts").read_text()


def test_a_run_has_the_options_of_its_image_or_is_refused(
    builder: Lineal, repo: servers.Repository, base_image: str, repository: str
) -> None:
    check = "grep -q mirror.example.com /etc/hosts && grep -q size=16384k /proc/mounts && ulimit -Hn"
    options = {"add_hosts": {"mirror.example.com": "192.0.2.7"}, "shm_size": "16m", "ulimits": {"nofile": 2345}}
    repo.write({"Dockerfile": f"FROM {base_image}\nRUN {check} >/limit\n", "lineal.yaml": lineal_yaml(options)})
    found = build(builder)
    files = Published(repository).files(found["images"][0]["digest"])
    assert files["limit"] == b"2345\n" and "etc/hosts" not in files and "dev/shm" not in files
    repo.write({"lineal.yaml": lineal_yaml({"add_hosts": {"mirror.example.com": "host-gateway"}})})
    refused = builder("build")
    assert "host-gateway, which a buildkitd does not know" in refused.stderr and refused.code == 3


@pytest.mark.parametrize(
    ("flag", "name"), [("--network=host", "network.host"), ("--security=insecure", "security.insecure")]
)
def test_what_the_daemon_does_not_grant_is_said(
    builder: Lineal, repo: servers.Repository, base_image: str, flag: str, name: str
) -> None:
    repo.write({"Dockerfile": f"FROM {base_image}\nRUN {flag} true\n", "lineal.yaml": lineal_yaml({})})
    refused = builder("build", "--allow", name)
    assert f"does not grant {name}, which this RUN asks for." in refused.stderr and refused.code == 1
    assert f"--allow-insecure-entitlement {name}" in refused.stderr and "does not reach" not in refused.stderr


def lineal_yaml(image: dict[str, Any]) -> str:
    return json.dumps({"project": "shop", "images": {"app": image}})


def test_a_run_goes_on_from_what_the_daemon_has_and_the_store_gets_each_byte_once(
    lineal: Lineal, repo: servers.Repository, tmp_path: Path, short: Path
) -> None:
    """Counted by the registry: what a RUN made is read by nobody, and the next one asks for no image."""
    own = tmp_path / "own"
    with servers.docker_registry(own) as store, buildkitd(short, store):
        image = servers.push_base_image(f"{store}/base:1", tmp_path / "base")
        make = f"head -c {LARGE} /dev/urandom"
        repo.write(
            {
                "Dockerfile": (
                    f"FROM {image} AS make\nRUN {make} >/made\nFROM {image}\nCOPY --from=make /made /copied\n"
                    f"RUN {make} >/other\nCOPY Dockerfile /\nRUN cmp /copied /other || test -s /Dockerfile\n"
                )
            }
        )
        lineal.env |= {"LINEAL_ENGINE": f"buildkit:unix://{short}/buildkitd.sock", **NOWHERE}
        build(lineal, "--repo", f"{store}/shop")
    asked = re.findall(r'"(\w+ \S+) [^"]*" (\d+) (\d+) "" "(\w+)', (own / "log").read_text())
    base, *others = [line for line in asked if "GET" in line[0] and "/blobs/" in line[0] and len(line[2]) > 5]
    assert base[3] == "lineal" and not others, "it downloads the new base, and that is all"
    daemon = Counter(line[0].split()[0] for line in asked if line[3] == "buildkit")
    # It is asked once whether there is an image at all. A push has a layer, a config and a manifest.
    assert daemon == {"HEAD": 1 + 3 * 3, "POST": 3 * 2, "PUT": 3 * 3}
