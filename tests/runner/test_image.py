"""The image itself: what is in it, how large it is, who may run it; and that a second build gives the same."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from bench.debian import cache
from tests import servers
from tests.e2e.parts import Directory
from tests.runner.image import Image, Unavailable, build, ready
from tests.runner.runner import DOCKER

MOST = 112_000_000


@pytest.fixture(scope="module")
def image() -> Image:
    try:
        return ready()
    except Unavailable as error:
        pytest.skip(str(error))


def layers(store: Path, tag: str) -> list[dict[str, object]]:
    contents = Directory(store)
    found: list[dict[str, object]] = contents.image(contents.tags()[tag])["layers"]
    return found


def run(image: Image, *args: str, options: tuple[str, ...] = ()) -> str:
    done = subprocess.run([DOCKER, "run", "--rm", *options, image.name, *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_small(image: Image) -> None:
    sizes = [int(str(layer["size"])) for layer in layers(image.store, image.tag)]
    assert sum(sizes) <= MOST, sizes


def test_nothing_is_left_behind_and_no_file_says_when_it_was_made(image: Image) -> None:
    names = []
    for layer in layers(image.store, image.tag)[1:]:
        with tarfile.open(image.store / "blobs" / str(layer["digest"]).replace(":", "/")) as tar:
            entries = tar.getmembers()
        names += [entry.name for entry in entries]
        # The youngest Debian package is older than the build; whatever the build wrote itself is from 1980.
        born = max(entry.mtime for entry in entries)
        assert born < image.store.parent.joinpath("build.log").stat().st_mtime - 24 * 3600
    places = (
        "var/log/",
        "var/cache/",
        "var/lib/apt/",
        "root/",
        "tmp/",
        "run/",
        "usr/share/man/",
        "source/",
        "build/",
    )
    assert not [name for name in names if name.startswith(places)]
    docs = [name.split("/") for name in names if name.startswith("usr/share/doc/")]
    assert {parts[4] for parts in docs if len(parts) > 4} == {"copyright"}
    assert not [name for name in names if "/pip/" in name or name.endswith(("machine-id", "aux-cache", ".pyo"))]


_USED = (
    "import lightkube, rich.console, rich.live, h2.connection, google.protobuf, nacl.secret, nacl.pwhash; "
    "from cryptography.hazmat.primitives.asymmetric import ec, ed25519; ed25519.Ed25519PrivateKey.generate()"
)


def test_its_programs_are_there_and_nothing_that_installs_more(image: Image) -> None:
    script = f"git --version && helm version --short && lineal --version && python3 -c '{_USED}'"
    said = run(image, "-c", script, options=("--entrypoint", "sh"))
    assert "git version 2." in said and "v4." in said and "lineal " in said
    assert run(image, "-c", "command -v pip perldoc make gcc; true", options=("--entrypoint", "sh")) == ""


def test_the_labels_say_what_it_is(image: Image) -> None:
    done = subprocess.run([DOCKER, "image", "inspect", image.name], capture_output=True, text=True, check=True)
    config = json.loads(done.stdout)[0]["Config"]
    assert config["Labels"]["org.opencontainers.image.title"] == "Lineal"
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert config["Entrypoint"] == ["/entrypoint.sh"]


TRUST = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "/work"}


def test_anyone_may_run_it_with_nothing_but_tmp_to_write_to(image: Image, repo: servers.Repository) -> None:
    repo.write({"Dockerfile": "FROM scratch\nCOPY hello /\n", "hello": "hello"})
    options = (
        "--read-only",
        "--user",
        "12345:12345",
        "--tmpfs",
        "/tmp",
        "-v",
        f"{repo.path}:/work:ro",
        "-w",
        "/work",
        # The repository belongs to another user, whose configuration git would not read (docs/security.md).
        *(part for name, value in TRUST.items() for part in ("-e", f"{name}={value}")),
    )
    assert run(image, "--version", options=options).startswith("lineal ")
    reference = run(image, "build", "--repo", "layout:/tmp/store", "--lock", "none", options=options)
    assert reference.startswith("work layout:/tmp/store:")


@pytest.mark.skipif(not os.environ.get("LINEAL_REBUILD"), reason="a minute; `make test-long` does it")
def test_another_build_from_nothing_gives_the_same_image(image: Image, tmp_path: Path) -> None:
    reference = build(cache() / "image", cache() / "image/repository", tmp_path / "store")
    tag = reference.rpartition("@")[0].rpartition(":")[2]
    assert layers(tmp_path / "store", tag) == layers(image.store, image.tag)
