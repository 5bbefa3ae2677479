"""The image itself: what is in it, how large it is, who may run it; and that a second build gives the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from filelock import FileLock

from bench.debian import cache
from tests import servers
from tests.e2e.parts import Directory
from tests.runner.image import BUILD, NAME, Image, Unavailable, build, ready
from tests.runner.runner import DOCKER

MOST = {NAME: 100_000_000, BUILD: 60_000_000}
"""Compressed bytes of all layers."""


@pytest.fixture(scope="module", params=[NAME, BUILD])
def image(request: pytest.FixtureRequest) -> Image:
    return made(request.param)


@pytest.fixture(scope="module")
def whole() -> Image:
    return made(NAME)


def made(name: str) -> Image:
    try:
        return ready(name)
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


@pytest.mark.parametrize("name", MOST)
def test_it_is_small(name: str) -> None:
    image = made(name)
    sizes = [int(str(layer["size"])) for layer in layers(image.store, image.tag)]
    assert sum(sizes) <= MOST[name], sizes


def test_the_whole_image_has_the_layers_of_the_one_for_builds_and_helm(whole: Image) -> None:
    other = made(BUILD)
    ours, theirs = layers(whole.store, whole.tag), layers(other.store, other.tag)
    (helm,) = [layer for layer in ours if layer not in theirs]
    assert [layer for layer in ours if layer != helm] == theirs
    # Lineal itself, which is another one in each release, comes last.
    assert ours[-1] == theirs[-1] and helm != ours[-1]


def test_nothing_is_left_behind_and_no_file_says_when_it_was_made(image: Image) -> None:
    names = []
    for layer in layers(image.store, image.tag):
        with tarfile.open(image.store / "blobs" / str(layer["digest"]).replace(":", "/")) as tar:
            entries = tar.getmembers()
        names += [entry.name for entry in entries]
        assert {entry.mtime for entry in entries} == {_WRITTEN}
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


_IMPORTED = """
import ast, importlib, pathlib
import lineal
wanted = set()
for path in pathlib.Path(lineal.__file__).parent.rglob("*.py"):
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            wanted |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            wanted.add(node.module)
failed = []
for name in sorted(wanted):
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed.append(f"{name}: {error}")
for line in [len(wanted), *failed]:
    print(line)
"""
"""Imports whatever a module of Lineal imports, at its beginning or where it is used."""
_ELSEWHERE = {"compression", "_typeshed", "socks"}
"""Of Python 3.14, with `backports` in its place; of type checkers; and for who installs PySocks."""


def test_all_that_lineal_imports_is_there(image: Image) -> None:
    count, *failed = run(image, "-I", "-c", _IMPORTED, options=("--entrypoint", "python3")).splitlines()
    assert int(count) > 200
    assert {line.partition(":")[0].partition(".")[0] for line in failed} <= _ELSEWHERE, failed


def test_programs_and_libraries_find_what_they_are_linked_with(image: Image) -> None:
    """What Debian's packages need, beside those that are left out."""
    script = r"""
        for file in $(find /usr -type f \( -perm -u+x -o -name '*.so*' \)); do
            case "$(head -c 4 "$file")" in *ELF) ;; *) continue ;; esac
            echo "$file"
            /lib*/ld-linux-*.so.* --list "$file" | grep 'not found' || true
        done
    """
    said = run(image, "-c", script, options=("--entrypoint", "sh")).splitlines()
    assert "/usr/bin/git" in said and len(said) > 100
    assert not [line for line in said if "not found" in line]


def test_servers_are_believed_whose_certificates_debian_knows(image: Image) -> None:
    script = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))"
    assert int(run(image, "-I", "-c", script, options=("--entrypoint", "python3"))) > 100
    # A job may add the one of its own company.
    add = """
        openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=company -days 1 \\
            -out /usr/local/share/ca-certificates/company.crt 2>/dev/null
        before=$(grep -c BEGIN /etc/ssl/certs/ca-certificates.crt)
        update-ca-certificates >/dev/null 2>&1
        echo $(($(grep -c BEGIN /etc/ssl/certs/ca-certificates.crt) - before))
    """
    assert run(image, "-c", add, options=("--entrypoint", "sh")) == "1\n"


def test_text_and_submodules_of_git_are_read_with_its_own_scripts(image: Image) -> None:
    script = """
        cd /tmp && git init -q one && cd one && git config user.email a@example.com && git config user.name A
        git commit -q --allow-empty -m "$(printf 'caf\\xe9')" && git config i18n.commitEncoding ISO-8859-1
        git commit -q --allow-empty --amend -m "$(printf 'caf\\xe9')"
        git -c protocol.file.allow=always submodule add -q /tmp/one sub && git submodule status >/dev/null
        git log -1 --format=%s --encoding=UTF-8
    """
    done = subprocess.run(
        [DOCKER, "run", "--rm", "--entrypoint", "bash", image.name, "-c", script], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "caf\u00e9\n"), done.stderr
    assert "is not a git command" not in done.stderr


def test_its_programs_are_there_and_nothing_that_installs_more(image: Image) -> None:
    script = "git --version && git ls-remote --help >/dev/null 2>&1; lineal --version && command -v git-remote-https"
    script += (
        "; awk 'BEGIN {print 6 * 7}'; echo Zm91bmQ= | base64 -d; PATH=$(git --exec-path) command -v git-remote-https"
    )
    said = run(image, "-c", script, options=("--entrypoint", "sh"))
    assert "git version 2." in said and "lineal " in said and "42" in said and "found/usr/lib/git-core/" in said
    assert run(image, "-c", "command -v pip perl apt dpkg make gcc; true", options=("--entrypoint", "sh")) == ""


def test_only_the_whole_image_has_helm(whole: Image, repo: servers.Repository) -> None:
    assert run(whole, "version", "--short", options=("--entrypoint", "helm")).startswith("v4.")
    repo.write(
        {"lineal.yaml": "project: shop\nimages: {shop: {}}\ndeploy: {chart: chart}\n", "Dockerfile": "FROM scratch\n"}
    )
    place = ("-v", f"{repo.path}:/work", "-w", "/work", *_trust())
    words = ("converge", "--repo", "layout:/tmp/store", "--lock", "none", "--env", "test")
    done = subprocess.run([DOCKER, "run", "--rm", *place, made(BUILD).name, *words], capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert "This image of Lineal is the one for builds, and has no helm. Use the one with Helm: " in done.stderr


def test_the_labels_say_what_it_is(image: Image) -> None:
    done = subprocess.run([DOCKER, "image", "inspect", image.name], capture_output=True, text=True, check=True)
    config = json.loads(done.stdout)[0]["Config"]
    assert config["Labels"]["org.opencontainers.image.title"] == "Lineal"
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert config["Entrypoint"] == ["/entrypoint.sh"]


_WRITTEN = 315619200
"""1980-01-02, as in the Dockerfile."""
TRUST = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "/work"}


def _trust() -> list[str]:
    """Options of `docker run`."""
    return [part for name, value in TRUST.items() for part in ("-e", f"{name}={value}")]


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
        *_trust(),
    )
    assert run(image, "--version", options=options).startswith("lineal ")
    reference = run(image, "build", "--repo", "layout:/tmp/store", "--lock", "none", options=options)
    assert reference.startswith("work layout:/tmp/store:")


@pytest.mark.skipif(not os.environ.get("LINEAL_REBUILD"), reason="a minute; `make test-long` does it")
def test_another_build_from_nothing_gives_the_same_image(whole: Image, tmp_path: Path) -> None:
    with FileLock(cache() / "image/lock"):
        # Others write the working tree anew.
        shutil.copytree(cache() / "image/repository", tmp_path / "repository")
    reference = build(cache() / "image", tmp_path / "repository", tmp_path / "store")
    tag = reference.rpartition("@")[0].rpartition(":")[2]
    assert layers(tmp_path / "store", tag) == layers(whole.store, whole.tag)
