"""`lineal completion`: what each shell offers at the end of a line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import servers
from tests.conftest import Lineal

CONFIG = """
project: shop
images:
  api: {}
  assets: {}
  web: {}
"""
BASH = """
compopt() { :; }
source <(lineal completion bash)
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
_lineal_completion lineal
printf '%s\\n' "${COMPREPLY[@]}"
"""
# zsh completes on a terminal only: what it would be told is printed.
ZSH = """
compdef() { :; }
_describe() { local -a all=("${(@P)3}"); print -l -- ${all%%:*}; }
compadd() { print -l -- "${(@P)5}"; }
_path_files() { :; }
source <(lineal completion zsh)
words=("$@") CURRENT=$#
_lineal_completion
"""
FISH = """
lineal completion fish | source
complete --do-complete "$argv" | string split --fields 1 \\t
"""


def offered(shell: str, lineal: Lineal, *words: str) -> set[str]:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here: `apt-get install {shell}`.")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    program = {
        "bash": ["bash", "--norc", "-c", BASH, "bash", *words],
        "zsh": ["zsh", "-f", "-c", ZSH, "zsh", *words],
        "fish": ["fish", "--no-config", "--command", FISH, " ".join(words)],
    }[shell]
    env = {**lineal.environment(), "PATH": path}
    done = subprocess.run(program, cwd=lineal.cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.stderr == "", done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_commands_options_and_images_are_completed(shell: str, repo: servers.Repository, lineal: Lineal) -> None:
    repo.write({"lineal.yaml": CONFIG})
    assert offered(shell, lineal, "lineal", "do") == {"doctor"}
    assert {"--engine", "--engine-network"} <= offered(shell, lineal, "lineal", "build", "--engine")
    assert {"matrix", "json", "table"} <= offered(shell, lineal, "lineal", "plan", "--format", "")
    assert offered(shell, lineal, "lineal", "build", "a") == {"api", "assets"}
    assert offered(shell, lineal, "lineal", "build", "api", "a") == {"assets"}


def test_a_project_that_cannot_be_read_is_no_message_in_the_middle_of_a_line(
    repo: servers.Repository, lineal: Lineal
) -> None:
    repo.write({"lineal.yaml": "images: ["})
    assert offered("bash", lineal, "lineal", "build", "a") == set()
