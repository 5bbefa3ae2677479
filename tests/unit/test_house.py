"""What a newcomer runs first: the locks, the scripts, the example."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def locked(name: str) -> dict[str, str]:
    """Package -> its whole entry."""
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / "requirements" / name).read_text())
    return {entry.split("==")[0]: entry for entry in entries if "==" in entry.splitlines()[0]}


def version(entry: str) -> str:
    return entry.split()[0]


def normal(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=\[; ]", requirement)[0]).lower()


@pytest.mark.parametrize("name", ["test.txt", "lint.txt", "image.txt", "image-build.txt"])
def test_every_locked_package_has_hashes_and_no_address(name: str) -> None:
    entries = locked(name)
    assert len(entries) > 5
    assert not [package for package, entry in entries.items() if "--hash=sha256:" not in entry]
    assert "://" not in (ROOT / "requirements" / name).read_text()


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["build-system"]["requires"]
    assert {normal(requirement) for requirement in wanted} <= locked("test.txt").keys()


@pytest.mark.parametrize("name", ["lint.txt", "image.txt", "image-build.txt"])
def test_the_locks_agree(name: str) -> None:
    test, other = locked("test.txt"), locked(name)
    assert test.keys() & other.keys()
    for package in test.keys() & other.keys():
        assert version(test[package]) == version(other[package])


def test_the_image_has_what_lineal_needs_and_no_tests() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["kubernetes"]
    image = locked("image.txt").keys()
    assert {normal(requirement) for requirement in wanted} <= image
    assert not {"pytest", "hypothesis", "hatchling", "pip"} & image


@pytest.mark.parametrize("script", ["setup", "engine"])
def test_a_script_called_wrongly_says_how_in_one_line(script: str) -> None:
    done = subprocess.run([ROOT / "scripts" / script, "nonsense"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"usage: scripts/{script} ") and done.stderr.count("\n") == 1


def test_an_engine_that_does_not_answer_is_named(tmp_path: Path) -> None:
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path), "DOCKER_HOST": "unix:///no/engine/here"}
    done = subprocess.run(
        [ROOT / "scripts" / "engine", "start"], env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1
    assert (
        done.stderr
        == "No Docker Engine answers at DOCKER_HOST=unix:///no/engine/here: start it, or unset DOCKER_HOST.\n"
    )


def test_the_shop_s_libraries_match_their_lock() -> None:
    done = subprocess.run(["sha256sum", "--check", "--quiet", "vendor.lock"], cwd=ROOT / "examples/shop/vendor")
    assert done.returncode == 0
