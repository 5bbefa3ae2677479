"""sops for the tests: the real one if `make sops` built it, and a stand-in with its command line and file format."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lineal-test" / "sops"
_STAND_IN = f"""#!{sys.executable}
import base64, os, sys, yaml
if sys.argv[1:-1] != ["--decrypt", "--input-type", sys.argv[3], "--output-type", "yaml"]:
    sys.exit("usage: " + repr(sys.argv))
content = yaml.safe_load(open(sys.argv[-1]))
meta = content.pop("sops")
if os.environ.get("SOPS_AGE_KEY") != meta["key"]:
    sys.exit("Failed to get the data key required to decrypt the SOPS file.")
def opened(value):
    if isinstance(value, dict): return {{key: opened(part) for key, part in value.items()}}
    if isinstance(value, list): return [opened(part) for part in value]
    if isinstance(value, str) and value.startswith("ENC["): return yaml.safe_load(base64.b64decode(value[4:-1]))
    return value
print(yaml.safe_dump(opened(content)), end="")
"""


@dataclass(frozen=True, slots=True)
class Sops:
    """`folder` is for PATH; `key` is what a job needs as SOPS_AGE_KEY."""

    folder: Path
    key: str
    recipient: str

    def encrypt(self, text: str, kind: str = "yaml") -> str:
        if self.recipient == "stand-in":
            return self._pretend(text)
        command = [str(self.folder / "sops"), "--encrypt", "--age", self.recipient, "--input-type", kind,
                   "--output-type", kind, "/dev/stdin"]  # fmt: skip
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _pretend(self, text: str) -> str:
        def closed(value: object) -> object:
            if isinstance(value, dict):
                return {key: closed(part) for key, part in value.items()}
            return f"ENC[{base64.b64encode(json.dumps(value).encode()).decode()}]"

        return yaml.safe_dump({**yaml.safe_load(text), "sops": {"mac": "x", "key": self.key}} | {
            key: closed(value) for key, value in yaml.safe_load(text).items()
        })  # fmt: skip


def stand_in(folder: Path) -> Sops:
    folder.mkdir(exist_ok=True)
    (folder / "sops").write_text(_STAND_IN)
    (folder / "sops").chmod(0o755)
    return Sops(folder, "the key of the tests", "stand-in")


def real() -> Sops:
    """The test is skipped where it was not built."""
    if not (CACHE / "sops").is_file() or not (CACHE / "age-keygen").is_file():
        # Skips are quiet, warnings are not.
        warnings.warn("NO REAL SOPS: encrypted values were only tried with a stand-in; run `make sops`", stacklevel=2)
        pytest.skip("there is no real sops: `make sops` builds it")
    made = subprocess.run([str(CACHE / "age-keygen")], capture_output=True, text=True, check=True, timeout=300)
    key = next(line for line in made.stdout.splitlines() if line.startswith("AGE-SECRET-KEY-"))
    found = re.search(r"public key: (\S+)", made.stdout + made.stderr)
    assert found
    return Sops(CACHE, key, found[1])
