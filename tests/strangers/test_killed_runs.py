"""A run that is killed leaves nothing of a secret on the machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import sys, time
from lineal.session.session import Session
from lineal.session.settings import Settings
with Session.open(Settings.of(environ={"KUBECONFIG": "apiVersion: v1\\nusers: [{user: {token: hush}}]"})) as session:
    print(session.settings.environ["KUBECONFIG"], flush=True)
    if sys.argv[1] == "wait":
        time.sleep(600)
"""


@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM", "by itself"])
def test_the_kubeconfig_of_a_run_is_gone_however_it_ends(tmp_path: Path, end: str) -> None:
    how = "go" if end == "by itself" else "wait"
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", SCRIPT, how], env=env, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        file = Path(run.stdout.readline().strip())
        if how == "wait":
            assert "hush" in file.read_text() and file.parent.parent == tmp_path
            # The group as well: a CI ends a job so.
            run.send_signal(signal.Signals[end])
    deadline = time.monotonic() + 300
    while list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not list(tmp_path.iterdir())
