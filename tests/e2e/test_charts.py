"""Charts that were not written for Lineal: in the shapes that docs/deploy.md shows, and from elsewhere."""

from __future__ import annotations

import hashlib
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project
from tests.helms import HELM4_SOONER
from tests.tools import helm as binaries

pytestmark = pytest.mark.helm

PAGE = Path(__file__).resolve().parents[2] / "docs/deploy.md"
# What the charts in question do, in the order of the page.
SHAPES = [
    '"{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"',
    '"{{ .Values.image.repository }}{{ with .Values.image.digest }}@{{ . }}{{ end }}"',
    '"{{ .Values.image.registry }}/{{ .Values.image.repository }}@{{ .Values.image.digest }}"',
    '"{{ .Values.image }}"',
]
CONFIG = """
project: shop
images: {shop: {}}
deploy: {chart: CHART, release: shop, namespace: shop, values: [images.yaml.j2]}
"""


def templates() -> list[str]:
    section = PAGE.read_text().split("\n## Charts of others\n")[1].split("\n## ")[0]
    return re.findall(r"^```yaml\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def chart(image: str) -> dict[str, str]:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: %s}]}\n"
    return {"Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.2.3\n", "templates/pod.yaml": pod % image}


@pytest.fixture(params=HELM4_SOONER)
def project(
    request: pytest.FixtureRequest, repo: servers.Repository, lineal: Lineal, tmp_path: Path
) -> Project:  # fmt: skip
    binaries.fetch(binaries.directory())
    lineal.env.update(NOWHERE | {"LINEAL_HELM": str(binaries.directory() / request.param)})
    files = {"Dockerfile": "FROM scratch\nCOPY app /\n", "app": "1", "images.yaml.j2": templates()[-1]}
    repo.write({**files, "lineal.yaml": CONFIG.replace("CHART", "chart")})
    made = Project(repo, lineal, f"layout:{tmp_path}/store", tmp_path)
    made.build()
    return made


def image(manifest: str) -> str:
    return str(yaml.safe_load(manifest)["spec"]["containers"][0]["image"])


def test_the_page_has_a_template_for_each_shape() -> None:
    assert len(templates()) == len(SHAPES)


@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_a_chart_in_a_common_shape_gets_the_digest(project: Project, number: int) -> None:
    values = templates()[number].replace("images.shop.repository.split", "('127.0.0.1:1/team/shop').split")
    files = {f"chart/{path}": text for path, text in chart(SHAPES[number]).items()}
    project.repo.write({**files, "images.yaml.j2": values})
    built = project.plan().report["images"][0]
    found = image(project.run("render").stdout)
    assert found.endswith(f"@{built['digest']}")
    assert found.startswith("127.0.0.1:1/team/shop@" if number == 2 else built["repository"])


# --- from elsewhere -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def https(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A chart repository behind https and the certificate to trust it."""
    folder = tmp_path_factory.mktemp("charts")
    for path, text in chart('"{{ .Values.image }}"').items():
        (folder / "shop" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "shop" / path).write_text(text)
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = [servers.program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
               "/CN=charts", "-addext", "subjectAltName=IP:127.0.0.1",
               "-keyout", str(key), "-out", str(certificate)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    served = folder / "served"
    served.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(served)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://127.0.0.1:{server.server_port}"
    binaries.fetch(binaries.directory())
    helm = str(binaries.directory() / "helm4")
    subprocess.run([helm, "package", str(folder / "shop"), "-d", str(served)], check=True, capture_output=True)
    subprocess.run([helm, "repo", "index", str(served), "--url", url], check=True, capture_output=True)
    (served / "latest.tgz").write_bytes((served / "shop-1.2.3.tgz").read_bytes())
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield url, certificate
    server.shutdown()
    server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize("written", ["shop:1.2.3", "shop-1.2.3.tgz", "shop-1.2.3.tgz@DIGEST", "latest.tgz@DIGEST"])
def test_a_chart_behind_https(project: Project, https: tuple[str, Path], written: str) -> None:
    url, certificate = https
    project.lineal.env["SSL_CERT_FILE"] = str(certificate)
    digest = hashlib.sha256((certificate.parent / "served/latest.tgz").read_bytes()).hexdigest()
    where = f"{url}/{written}".replace("DIGEST", f"sha256:{digest}")
    project.repo.write({"lineal.yaml": CONFIG.replace("CHART", f'"{where}"')})
    assert image(project.run("render").stdout) == project.plan().report["images"][0]["image"]


@pytest.mark.parametrize(
    ("written", "code", "says"),
    [
        ("shop", 3, "has no version, so every run might deploy another one"),
        ("shop:1", 3, "has no whole version: `1` may be another one tomorrow"),
        ("latest.tgz", 3, "has no version, so every run might deploy another one"),
        ("latest.tgz@sha256:" + "0" * 64, 1, "is another one now: its digest is sha256:"),
        ("shop:9.9.9", 5, "helm could not fetch the chart"),
        ("shop:1.2.3?x", 3, "is not a chart behind https"),
    ],
)
def test_a_chart_that_is_not_pinned_or_not_there_is_refused(
    project: Project, https: tuple[str, Path], written: str, code: int, says: str
) -> None:
    url, certificate = https
    project.lineal.env["SSL_CERT_FILE"] = str(certificate)
    project.repo.write({"lineal.yaml": CONFIG.replace("CHART", f'"{url}/{written}"')})
    assert says in project.run("render", code=code).error


@pytest.mark.registry
@pytest.mark.parametrize("kind", ["oci", "https"])
def test_a_chart_from_elsewhere_becomes_a_bundle(
    project: Project, https: tuple[str, Path], repository: str, kind: str
) -> None:
    url, certificate = https
    project.lineal.env["SSL_CERT_FILE"] = str(certificate)
    helm, archive = project.lineal.env["LINEAL_HELM"], certificate.parent / "served/shop-1.2.3.tgz"
    push = [helm, "push", str(archive), f"oci://{repository}", "--plain-http"]
    subprocess.run(push, check=True, capture_output=True, env=project.lineal.environment())
    where = f"{url}/shop:1.2.3" if kind == "https" else f"oci://{repository}/shop:1.2.3"
    project.repo.write({"lineal.yaml": CONFIG.replace("CHART", f'"{where}"')})
    given = ("--insecure-registry", repository.partition("/")[0])
    project.build(store=repository)
    rendered = project.run("render", *given, store=repository).stdout
    published = project.run("bundle", "publish", *given, store=repository).stdout
    version = f"1.2.3-{project.repo.git('rev-list', '--count', 'HEAD')}.g{project.repo.head()[:12]}"
    assert published.startswith(f"oci://{repository}/shop:{version}@")
    command = [helm, "template", "x", f"oci://{repository}/shop", "--version", version, "--plain-http"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=project.lineal.environment())
    assert image(done.stdout) == image(rendered)
