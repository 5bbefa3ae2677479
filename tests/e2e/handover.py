"""What the tests of docs/handover.md share: its recipes, a shop that is handed over, and keys that sign."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests import servers
from tests.built import COSIGN
from tests.conftest import Lineal
from tests.controllers.parts import Controllers
from tests.e2e.parts import NOWHERE, Project, Ran
from tests.gitlab.tls import certificates
from tests.tools import helm as binaries
from tests.unit.git import forge

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/handover.md").read_text()
CHART = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: shop, image: "{{ .Values.global.lineal.images.shop.image }}"}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {helm.sh/hook: pre-upgrade}}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: m, image: x}]}}}
"""


def recipe(name: str) -> str:
    """The block of the page that begins with this comment."""
    found = re.findall(rf"^```\w+\n# {re.escape(name)}\n(.*?)^```$", PAGE, re.M | re.S)
    assert len(found) == 1, name
    return str(found[0])


def objects(name: str) -> dict[str, Any]:
    """Kind -> object of a recipe."""
    return {one["kind"]: one for one in yaml.safe_load_all(recipe(name))}


def options(path: str, *, after: str) -> list[str]:
    """The options of the `lineal render --to-git` of a section."""
    section = PAGE.split(f"\n## {after}\n", 1)[1].split("\n## ", 1)[0]
    command = re.search(r"^lineal render (.*?)\n```", section, re.M | re.S)
    assert command is not None and f"--path {path}" in command[1]
    return command[1].replace("\\\n", " ").split()


def shop_in(repo: servers.Repository, lineal: Lineal, repository: str, scratch: Path) -> Project:
    """A shop with a chart, which is built."""
    binaries.fetch(binaries.directory())
    lineal.env.update(NOWHERE | {"LINEAL_HELM": str(binaries.directory() / "helm4")})
    repo.write({
        "lineal.yaml": "project: shop\nimages: {shop: {}}\ndeploy: {chart: chart, namespace: shop}\n",
        "Dockerfile": "FROM scratch\nCOPY file /\n", "file": "one\n",
        "chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 0.1.0\n", "chart/values.yaml": "replicas: 1\n",
        "chart/templates/app.yaml": CHART,
    })  # fmt: skip
    project = Project(repo, lineal, repository, scratch)
    project.build()
    return project


def publish(shop: Project, env: Mapping[str, str] | None = None) -> str:
    """The reference of the bundle of the commit."""
    shop.build(env=env)
    return shop.run("bundle", "publish", env=env).stdout.strip()


def image_of(shop: Project) -> str:
    """The image of the commit, by its digest."""
    return str(shop.plan().report["images"][0]["image"])


@dataclass(frozen=True)
class Cosign:
    """cosign with a pair of keys in `home`, for a registry without encryption."""

    home: Path

    def __call__(self, *args: str, code: int = 0) -> None:
        env = {"HOME": str(self.home), "PATH": os.environ["PATH"], "COSIGN_PASSWORD": "open"}
        done = subprocess.run([COSIGN, *args], cwd=self.home, env=env, capture_output=True, text=True, timeout=300)
        assert (done.returncode == 0) == (code == 0), done.stderr

    @classmethod
    def with_key(cls, home: Path) -> Cosign:
        home.mkdir(exist_ok=True)
        made = cls(home)
        made("generate-key-pair")
        return made

    @property
    def public(self) -> str:
        return (self.home / "cosign.pub").read_text()

    @property
    def signing(self) -> dict[str, str]:
        """The environment of a run of Lineal that has the key."""
        return {"LINEAL_SIGNING_KEY": str(self.home / "cosign.key"), "COSIGN_PASSWORD": "open"}

    def sign(self, reference: str) -> None:
        """As the page does, without the public log, which cannot be reached."""
        assert 'cosign sign --yes --key cosign.key "${reference#oci://}"' in PAGE
        private = ("--tlog-upload=false", "--use-signing-config=false", *_PLAIN)
        self("sign", "--yes", "--key", "cosign.key", *private, reference.removeprefix("oci://"))

    def verify(self, reference: str, code: int = 0) -> None:
        command = ("verify", "--key", "cosign.pub", "--insecure-ignore-tlog", *_PLAIN)
        self(*command, reference.removeprefix("oci://"), code=code)


_PLAIN = ("--allow-http-registry", "--allow-insecure-registry")


@contextmanager
def pgp_key(home: Path) -> Iterator[dict[str, str]]:
    """The environment of gpg with a key of the pipeline, and that key as a variable."""
    home.mkdir(mode=0o700)
    env = {"PATH": os.environ["PATH"], "GNUPGHOME": str(home), **servers.GIT_ISOLATION}
    make = ("--quick-generate-key", "Robot <robot@example.com>", "ed25519", "sign", "never")
    gpg(env, *make)
    yield {**env, "LINEAL_GIT_SIGNING_KEY": gpg(env, "--armor", "--export-secret-keys")}
    subprocess.run(["gpgconf", "--kill", "all"], env=env, check=False)


def gpg(env: dict[str, str], *args: str) -> str:
    command = ["gpg", "--batch", "--passphrase", "", *args]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


LOGIN = ("robot", "a-token-of-the-forge")


@dataclass(frozen=True)
class Envs:
    """A repository that is handed over to, on a git server by https that asks for LOGIN."""

    shop: Project
    url: str
    bare: servers.Repository
    authority: Path
    """The certificate that vouches for the server."""
    key: str
    """LINEAL_GIT_SIGNING_KEY."""
    section: str
    """Of the page, whose command is run."""

    def commit(self, files: Mapping[str, str | None] | None = None, code: int = 0) -> Ran:
        """Commits a change of the shop, and hands it over as the page says."""
        self.shop.repo.write({**(files or {}), "file": f"{time.time_ns()}\n"})
        self.shop.build()
        words = [
            self.url if word.startswith("https://") else word for word in options("envs/prod", after=self.section)
        ]
        env = {
            "GIT_SSL_CAINFO": str(self.authority), "LINEAL_GIT_USERNAME": LOGIN[0], "LINEAL_GIT_TOKEN": LOGIN[1],
            "LINEAL_GIT_SIGNING_KEY": self.key,
        }  # fmt: skip
        return self.shop.run("render", *words, env=env, code=code)

    def clone(self, path: Path) -> servers.Repository:
        """What somebody has who may push, and has no key."""
        return self.bare.clone(path)


@contextmanager
def envs_of(shop: Project, key: str, section: str, folder: Path) -> Iterator[Envs]:
    tls = certificates(folder / "tls")
    bare = servers.Repository.create(folder / "served" / "envs.git", "--bare")
    bare.git("config", "http.receivepack", "true")
    with forge.serve(bare.path.parent, LOGIN, certificates=tls) as server:
        yield Envs(shop, f"{server.url}/envs.git", bare, tls / "ca.pem", key, section)


@dataclass(frozen=True)
class Followed:
    """A repository that controllers follow by a recipe of the page; they deploy to `namespace`."""

    envs: Envs
    controllers: Controllers
    namespace: str

    @property
    def image(self) -> str:
        return self.controllers.image(self.namespace)

    def configs(self) -> set[str]:
        return {one["metadata"]["name"] for one in self.controllers.cluster.client.list("configmaps", self.namespace)}
