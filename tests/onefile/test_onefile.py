"""`lineal` as one file: the same bytes each time, for anybody, with nothing but Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lineal import __version__
from tests import servers
from tests.e2e.ordinary_user import UID, OrdinaryUser, unable
from tests.onefile.conftest import build

pytestmark = pytest.mark.slow


def run(file: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    plain = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", **environ}
    return subprocess.run([str(file), *words], env=plain, capture_output=True, text=True)


@pytest.mark.long
@pytest.mark.parametrize("onefile", ["released"], indirect=True)
def test_another_build_gives_the_same_bytes(own_wheels: Path, onefile: Path, tmp_path: Path) -> None:
    for folder in sorted(own_wheels.iterdir()):
        # Found in another order, and of another day.
        for wheel in sorted(folder.iterdir(), reverse=True):
            (tmp_path / folder.name).mkdir(exist_ok=True)
            shutil.copyfile(wheel, tmp_path / folder.name / wheel.name)
    build("file", str(tmp_path), str(tmp_path / "lineal"))
    assert (tmp_path / "lineal").read_bytes() == onefile.read_bytes()


def test_every_module_is_there_and_nothing_of_the_machine_is_used(onefile: Path, home: Path) -> None:
    done = run(onefile, "--version", HOME=str(home))
    assert (done.returncode, done.stdout) == (0, f"lineal {__version__}\n"), done.stderr
    (unpacked,) = (home / ".cache/lineal").iterdir()
    script = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import lineal
for module in pkgutil.walk_packages(lineal.__path__, "lineal."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
import h2.connection, lightkube, nacl.pwhash, rich.live
from cryptography.hazmat.primitives.asymmetric import ed25519
ed25519.Ed25519PrivateKey.generate()
"""
    subprocess.run([sys.executable, "-I", "-S", "-c", script, str(unpacked)], check=True)


def test_an_ordinary_user_whose_home_is_not_there_builds(onefile: Path) -> None:
    if reason := unable():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="ada-") as folder:
        user = OrdinaryUser(Path(folder))
        repo = servers.Repository.create(user.home / "repo")
        repo.write({"Dockerfile": "FROM scratch\nCOPY hello /\n", "hello": "hello"})
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{UID}:{UID}", folder], check=True)
        script = 'cd "$1" && exec "$0" build --repo layout:../store'
        command = user.command("sh", "-c", script, str(onefile), str(repo.path))
        environ = user.environment({"HOME": "/nonexistent"})
        done = subprocess.run(command, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "layout:" in done.stdout and "@sha256:" in done.stdout
        # Where HOME cannot be: a folder of the user's own for temporary files.
        assert any(user.home.glob("lineal-*/*/lineal/__init__.py"))


@pytest.mark.parametrize("several", [2, pytest.param(4, marks=pytest.mark.long)])
def test_several_at_once_leave_one_folder(onefile: Path, tmp_path: Path, several: int) -> None:
    with ThreadPoolExecutor(several) as pool:
        ended = list(pool.map(lambda _: run(onefile, "--version", HOME=str(tmp_path)), range(several)))
    assert [done.returncode for done in ended] == [0] * several, [done.stderr for done in ended]
    assert len(list((tmp_path / ".cache/lineal").iterdir())) == 1


def test_a_folder_that_others_may_write_to_is_not_used(onefile: Path, tmp_path: Path) -> None:
    (tmp_path / "cache/lineal").mkdir(parents=True)
    (tmp_path / "cache/lineal").chmod(0o777)
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    assert run(onefile, "--version", **environ).returncode == 0
    assert not list((tmp_path / "cache/lineal").iterdir())
    (tmp_path / f"lineal-{os.geteuid()}").chmod(0o775)
    done = run(onefile, "--version", **environ)
    assert done.returncode == 3
    assert "it is not yours alone" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("names", [("python3",), ("python3", "python3.12")])
def test_it_says_which_python_it_needs(onefile: Path, tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    nowhere: Mapping[str, str] = {"PATH": str(tmp_path), "RUNNER_TOOL_CACHE": str(tmp_path)}
    done = subprocess.run(["/bin/sh", str(onefile)], env=nowhere, capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr.startswith("Error: Lineal needs Python 3.11 to 3.14")


def test_a_python_of_the_runners_tools_will_do(onefile: Path, home: Path, tmp_path: Path) -> None:
    tool = tmp_path / "Python/3.12.4/x64/bin/python3"
    tool.parent.mkdir(parents=True)
    tool.symlink_to(sys.executable)
    environ = {"PATH": "", "RUNNER_TOOL_CACHE": str(tmp_path), "HOME": str(home)}
    done = subprocess.run(["/bin/sh", str(onefile), "--version"], env=environ, capture_output=True, text=True)
    assert done.stdout == f"lineal {__version__}\n", done.stderr
