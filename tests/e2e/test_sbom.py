"""The SBOM of a finished image: a scanner made for BuildKit's protocol finds its files once, and what it writes lies
beside the image."""

from __future__ import annotations

import json
import shutil
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lineal.publish.referrer import referrers, statements
from lineal.store.open import StoreOpener
from lineal.store.statement import PROVENANCE, SPDX
from lineal.trust.sigstore_bundle import BUNDLE
from tests import servers
from tests.conftest import Lineal
from tests.differential.buildkit import buildkitd, fast, missing
from tests.e2e.parts import NOWHERE, Project
from tests.unit.trust.signing import new_key, pem

pytestmark = [pytest.mark.registry, pytest.mark.server]
# What BuildKit promises a scanner, and a document that is another one each time.
SCAN = r"""set -e
[ "$(id -u):$PWD" = 0:/work ]
[ "$BUILDKIT_SCAN_DESTINATION" = /run/out/ ]
if echo x 2>/dev/null >"$BUILDKIT_SCAN_SOURCE/new"; then echo "it can be written to"; exit 1; fi
touch /tmp/here
name=$(basename "$BUILDKIT_SCAN_SOURCE")
cd "$BUILDKIT_SCAN_SOURCE"
files=$(for file in *; do printf '{"fileName":"%s:%s"},' "$file" "$(head -c 9 "$file" | tr -d '\n')"; done)
cat >"$BUILDKIT_SCAN_DESTINATION/$name.spdx.json" <<END
{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","predicate":
{"spdxVersion":"SPDX-2.3","name":"$(cat /proc/sys/kernel/random/uuid)","files":[${files%,}]}}
END
"""


@pytest.fixture(scope="module")
def scanner(registry: str, base_image: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A scanner's image."""
    return make_scanner(f"{registry}/scanner:1", base_image, SCAN, tmp_path_factory.mktemp("scanner"))


def make_scanner(name: str, base: str, script: str, folder: Path, entry: str = 'ENTRYPOINT ["sh", "/scan"]') -> str:
    repo = servers.Repository.create(folder / "repo")
    (folder / "home").mkdir()
    dockerfile = f"FROM {base}\nCOPY scan /\nWORKDIR /work\nUSER app\n{entry}\n"
    repo.write({"Dockerfile": dockerfile, "scan": script})
    lineal = Lineal(repo.path, folder / "home", {**NOWHERE, "LINEAL_REPO": f"layout:{folder}/store"})
    made = lineal("build", "--tag", name, "--push", ".")
    assert made.code == 0, made.stderr
    return name


@pytest.fixture(params=["docker", "runc", "buildkit"])
def ran_by(request: pytest.FixtureRequest, registry: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a machine with one engine."""
    if request.param == "docker":
        yield request.getfixturevalue("machine")
    elif request.param == "runc":
        if shutil.which("runc") is None:
            pytest.skip("needs runc")
        yield {**NOWHERE, "LINEAL_ENGINE": "runc", "LINEAL_RUNC_ROOT": str(tmp_path / "runc")}
    elif reason := missing():
        pytest.skip(reason)
    else:
        with (
            tempfile.TemporaryDirectory(prefix="buildkit-", dir=fast(), ignore_cleanup_errors=True) as short,
            buildkitd(Path(short), registry) as running,
        ):
            yield {**NOWHERE, "LINEAL_ENGINE": f"buildkit:{running.address}"}


@pytest.fixture
def shop(repo: servers.Repository, lineal: Lineal, repository: str, tmp_path: Path) -> Project:
    return Project(repo, lineal, repository, tmp_path)


def commit(project: Project, sbom: str, dockerfile: str = "FROM scratch\nCOPY one /\n", more: str = "") -> None:
    to = f"to: ['{project.store}/{{{{ image }}}}'], sbom: {sbom}"
    config = f"project: shop\nimages: {{app: {{{more}}}}}\npublish: {{{to}}}\n"
    project.repo.write({"lineal.yaml": config, "Dockerfile": dockerfile, "one": "1"})


def said(project: Project, digest: str, kind: str = SPDX) -> list[dict[str, Any]]:
    """The statements of a kind about an image."""
    final = StoreOpener(project.scratch).store(f"{project.store}/app")
    return [one for one in statements(final, digest) if one["predicateType"] == kind]


def test_an_image_is_scanned_once_and_its_sbom_lies_beside_it(
    shop: Project, scanner: str, ran_by: dict[str, str]
) -> None:
    commit(shop, scanner)
    planned = shop.plan("--exit-code", code=2)
    assert [stage["instruction"] for stage in planned.stages] == [
        "COPY one /", f"FROM {scanner}", f"SBOM by {scanner}",
    ]  # fmt: skip
    built = shop.build(env=ran_by)
    digest = built.stdout.strip().rpartition("@")[2]
    (statement,) = said(shop, digest)
    assert statement["subject"] == [{"name": "app", "digest": {"sha256": digest.removeprefix("sha256:")}}]
    assert statement["predicate"]["files"] == [{"fileName": "one:1"}]
    assert len(said(shop, digest, PROVENANCE)) == 1
    # Another machine, without an engine: found along the history.
    again = shop.clone("again").build(env=NOWHERE)
    assert again.made == [] and again.stdout == built.stdout
    # Metadata is no file: what is scanned is the same. The image is another, and has its statement.
    commit(shop, scanner, "FROM scratch\nCOPY one /\nLABEL a=b\n")
    labelled = shop.build(env=NOWHERE)
    assert labelled.made == ["LABEL"]
    (other,) = said(shop, labelled.stdout.strip().rpartition("@")[2])
    assert other["predicate"] == statement["predicate"] and other["subject"] != statement["subject"]


def test_cleanup_keeps_the_scans_of_what_it_keeps(shop: Project, scanner: str, machine: dict[str, str]) -> None:
    commit(shop, scanner)
    shop.build(env=machine)
    commit(shop, scanner, "FROM scratch\nCOPY lineal.yaml /\n")
    shop.build(env=machine)
    cleaned = shop.lineal("cleanup", "--repo", shop.store, "--keep-days", "0")
    assert cleaned.code == 0, cleaned.stderr
    assert shop.build(env=NOWHERE).made == []
    shop.repo.git("checkout", "--quiet", "HEAD~1")
    assert shop.plan(code=0).stages[-1]["outcome"] == "missing"


def test_a_run_with_a_key_signs_the_sbom(shop: Project, scanner: str, machine: dict[str, str]) -> None:
    commit(shop, scanner)
    digest = shop.build(env={**machine, "LINEAL_SIGNING_KEY": pem(new_key())}).stdout.strip().rpartition("@")[2]
    final = StoreOpener(shop.scratch).store(f"{shop.store}/app")
    entries = referrers(final, digest)
    assert {one["artifactType"] for one in entries} == {BUNDLE}
    kinds = {one["annotations"]["dev.sigstore.bundle.predicateType"] for one in entries}
    assert kinds == {PROVENANCE, SPDX}
    (entry,) = [one for one in entries if one["annotations"]["dev.sigstore.bundle.predicateType"] == SPDX]
    manifest = final.manifest(entry["digest"])
    assert manifest is not None
    bundle = json.loads(b"".join(final.blob(manifest.json["layers"][0]["digest"])))
    assert json.loads(b64decode(bundle["dsseEnvelope"]["payload"]))["predicate"]["spdxVersion"] == "SPDX-2.3"


def test_an_image_may_have_another_scanner_or_none(shop: Project, scanner: str) -> None:
    commit(shop, "true", more="publish: {sbom: false}")
    assert [stage["instruction"] for stage in shop.plan().stages] == ["COPY one /"]
    commit(shop, "true", more=f"publish: {{sbom: '{scanner}'}}")
    assert shop.plan().stages[-1]["instruction"] == f"SBOM by {scanner}"
    commit(shop, "true")
    assert shop.plan().stages[-1]["instruction"] == "SBOM by docker.io/docker/buildkit-syft-scanner:stable-1"
    commit(shop, "'a b'")
    refused = shop.plan(code=3)
    assert "lineal.yaml:3" in refused.stderr and "a b" in refused.error


def test_a_run_that_finishes_nothing_scans_nothing(shop: Project, scanner: str) -> None:
    commit(shop, scanner)
    assert [stage["instruction"] for stage in shop.plan("--dev").stages] == ["COPY one /"]


@pytest.mark.parametrize(
    ("script", "entry", "why"),
    [
        ("exit 0", 'ENTRYPOINT ["sh", "/scan"]', "wrote no file /run/out/NAME.spdx.json"),
        (
            "echo x >/run/out/a.spdx.json",
            'ENTRYPOINT ["sh", "/scan"]',
            "wrote /run/out/a.spdx.json, which is no SPDX",
        ),
        ("", "ENTRYPOINT []\nCMD []", "neither ENTRYPOINT nor CMD"),
        ("exit 7", 'CMD ["sh", "/scan"]', "ended with status 7"),
    ],
)
def test_a_scanner_that_gives_no_document_fails_the_build_and_is_not_published(
    shop: Project, base_image: str, machine: dict[str, str], script: str, entry: str, why: str
) -> None:
    name = make_scanner(f"{shop.store}/scanner:1", base_image, script, shop.scratch / "other", entry)
    commit(shop, name)
    failed = shop.build(env=machine, code=1)
    assert why in failed.error
    assert shop.plan().stages[-1]["outcome"] == "missing"
    assert failed.stdout == ""


def test_the_flag_is_the_one_of_docker(repo: servers.Repository, lineal: Lineal, repository: str, scanner: str,
                                       machine: dict[str, str]) -> None:  # fmt: skip
    repo.write({"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
    flags = ("--tag", f"{repository}:1", "--push", ".")
    refused = lineal("build", "--sbom=generator", *flags)
    assert refused.code == 3 and "names no scanner" in refused.stderr
    alone = lineal("build", f"--sbom=generator={scanner}", ".")
    assert alone.code == 3 and "--push" in alone.stderr
    lineal.env |= {**machine, "LINEAL_REPO": repository}
    pushed = lineal("build", f"--sbom=generator={scanner}", *flags)
    assert pushed.code == 0, pushed.stderr
    final = StoreOpener(lineal.home / "cache").store(repository)
    digest = pushed.stdout.strip().rpartition("@")[2]
    assert [one["predicateType"] for one in statements(final, digest)] == [PROVENANCE, SPDX]
