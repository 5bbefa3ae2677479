"""An ordinary user without Docker, with the engine runc, or the rootless BuildKit that Lineal starts: the whole
demo; and what a killed run leaves, which is nothing. `make test-long` runs it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.e2e.ordinary_user import ROOT, UID, OrdinaryUser, unable
from tests.e2e.parts import read_until, wait_until

pytestmark = [pytest.mark.long, pytest.mark.server, pytest.mark.skipif(bool(unable()), reason=unable())]
PYTHON = sys.executable


@pytest.fixture
def user() -> Iterator[OrdinaryUser]:
    # Others may not look into pytest's own directories.
    home = Path(tempfile.mkdtemp(prefix="ada-"))
    if os.geteuid() == 0:
        os.chown(home, UID, UID)
    yield OrdinaryUser(home)
    shutil.rmtree(home)


def test_the_whole_demo_needs_no_root_and_no_docker(user: OrdinaryUser) -> None:
    demo = user.command(PYTHON, str(ROOT / "examples/demo.py"))
    done = subprocess.run(
        demo, cwd=user.home, env=user.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "RUN goes to an OCI runtime of this machine (engine runc)." in done.stdout
    assert "✓ the shop is open, with the new price and the decimal comma" in done.stdout
    left = [path for path in user.home.rglob("*") if not path.is_dir()]
    assert left == [], "neither the engine's data nor the demo's"


# Directories of users whom only the user's own namespace has, one that nobody may look into, and a command that runs.
SCRIPT = (
    "/busybox --install -s /bin; mkdir -p /h/x && touch /h/x/f && chown -R 1000:1000 /h && chmod 0 /h; "
    "echo began; sleep"
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_leaves_no_process_and_no_file(user: OrdinaryUser, number: signal.Signals) -> None:
    repo, mark = servers.Repository.create(user.home / "repo"), f"9{secrets.randbelow(10**8):08}"
    dockerfile = f'FROM scratch\nCOPY --chmod=755 busybox /\nRUN ["/busybox", "sh", "-c", "{SCRIPT} {mark}"]\n'
    repo.write({"Dockerfile": dockerfile, "busybox": Path(servers.program("busybox")).read_bytes()})
    command = user.command(PYTHON, "-m", "lineal", "build", "--engine", "buildkitd", "--repo", "layout:../store")
    trusted = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    if os.geteuid() == 0:
        for path in (user.home, *user.home.rglob("*")):
            os.chown(path, UID, UID)
    running = subprocess.Popen(
        command,
        cwd=repo.path,
        env=user.environment(trusted),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        read_until(running, "| began")
        assert processes(user.home.name) and processes(mark)
        running.send_signal(number)
        assert running.wait(300) == {signal.SIGTERM: 130, signal.SIGKILL: -9}[number]
    finally:
        running.kill()
    wait_until(lambda: not processes(user.home.name) and not processes(mark))
    wait_until(lambda: {path.name for path in user.home.iterdir()} <= {"repo", "store"})


def processes(mark: str) -> list[str]:
    """Of any user, by a word of their arguments."""
    found = subprocess.run(["pgrep", "--full", "--list-full", mark], capture_output=True, text=True)
    return found.stdout.splitlines()
