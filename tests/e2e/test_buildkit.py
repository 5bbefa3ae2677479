"""`RUN` on a buildkitd instead of Docker: what a user sees, and what never goes through Lineal."""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.conftest import Lineal
from tests.differential.buildkit import buildkitd, fast, missing
from tests.e2e.parts import NOWHERE, Contents

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


def report(lineal: Lineal, *args: str) -> dict[str, Any]:
    done = lineal("build", "--report", "../report.json", *args)
    assert done.code == 0, done.stderr
    return dict(json.loads((lineal.cwd.parent / "report.json").read_text()))


def test_the_daemon_pushes_and_no_byte_of_a_layer_goes_through_lineal(
    builder: Lineal, repo: servers.Repository, base_image: str, repository: str
) -> None:
    mark = secrets.token_hex(8)
    repo.write(
        {
            "lineal.yaml": "project: shop\nimages: {app: {}}\n",
            "Dockerfile": (
                f"FROM {base_image}\nRUN mkdir -p /a/b && ln -s b /a/link && echo {mark} && "
                f"head -c {LARGE} /dev/urandom >/a/b/large && echo me:x:7:7::/:/bin/sh >>/etc/passwd\n"
                "USER me\nCOPY --chown=me Dockerfile /a/link/\nRUN id -u >/tmp/id\n"
            ),
        }
    )
    done = builder("build", "--report", "../report.json")
    assert done.code == 0, done.stderr
    assert mark in done.stderr
    found = json.loads((builder.cwd.parent / "report.json").read_text())
    print(json.dumps(found, indent=1)[:3000])
    print(done.stderr)
