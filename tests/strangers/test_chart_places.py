"""What the files of a chart may lead helm to: the commit and the registries that it names, never this machine."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from lineal.deploy.helm.chart_archive import pack
from lineal.deploy.helm.chart_metadata import rewritten
from lineal.deploy.helm.client import Helm, common_flags
from lineal.deploy.helm.dependencies import complete
from lineal.deploy.release import Chart, Release
from lineal.errors import BadConfiguration, Location
from tests.helms import HELM4_SOONER
from tests.tools import helm as binaries

pytestmark = pytest.mark.helm
HEAD = "apiVersion: v2\nname: shop\nversion: 1.0.0\n"
ENTRY = "dependencies:\n- name: evil\n  version: 1.0.0\n"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: evil\nversion: 1.0.0\n")
    (folder / "environ.txt").symlink_to("/proc/self/environ")
    return folder


@pytest.fixture(params=HELM4_SOONER)
def helm(request: pytest.FixtureRequest, tmp_path: Path) -> Helm:
    binaries.fetch(binaries.directory())
    (tmp_path / "home").mkdir()
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home")}
    return Helm.find(environ | {"LINEAL_HELM": str(binaries.directory() / request.param)})


def release(folder: Path, chart: str, lock: str | None = None) -> Release:
    """A chart of a commit, with a chart `evil` of its own that is harmless."""
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "Chart.yaml").write_text("apiVersion: v2\nname: evil\nversion: 1.0.0\n")
    (folder / "Chart.yaml").write_text(HEAD + chart, encoding="utf-8")
    if lock is not None:
        (folder / "Chart.lock").write_text(lock, encoding="utf-8")
    return Release(name="shop", namespace="shop", chart=Chart.directory(folder, "chart"))


def locked(declared: str, where: str, written: str | None = None) -> str:
    """A lock file with the digest that helm counts."""
    entries = [[{"name": "evil", "version": "1.0.0", "repository": place}] for place in (declared, where)]
    digest = hashlib.sha256(json.dumps(entries, separators=(",", ":")).encode()).hexdigest()
    return (
        f"{ENTRY}  {written or f'repository: {where}'}\ndigest: sha256:{digest}\ngenerated: '2026-01-01T00:00:00Z'\n"
    )


@pytest.mark.parametrize("spelled", ["absolute", "by ..", "requirements.lock"])
def test_the_lock_of_a_chart_leads_nowhere_else(helm: Helm, tmp_path: Path, outside: Path, spelled: str) -> None:
    declared = "https://charts.example.com"
    where = "file://../evil" if spelled == "by .." else f"file://{outside}"
    wanted = release(tmp_path / "chart", f"{ENTRY}  repository: {declared}\n", locked(declared, where))
    lock = "Chart.lock"
    if spelled == "requirements.lock":
        lock = spelled
        (tmp_path / "chart" / "Chart.lock").rename(tmp_path / "chart" / lock)
    with pytest.raises(BadConfiguration, match=rf"^chart/{lock}: The dependency `evil` lies outside the commit"):
        complete(helm, wanted, print)
    assert not (tmp_path / "chart" / "charts").exists()


SPELLED = {
    "a long s": "  repository: file://sub\n  repo\u017fitory: file://OUTSIDE\n",
    "upper case": "  repository: file://sub\n  Repository: file://OUTSIDE\n",
    "twice": "  repository: file://sub\n  repository: file://OUTSIDE\n",
    "merged": "  <<: {repository: file://OUTSIDE}\n",
    "binary": "  repository: !!binary BASE64\n",
    "a tag": "  repository: !!str file://OUTSIDE\n",
    "dependencies twice": "  repository: file://sub\nDependencies: [{name: evil, repository: 'file://OUTSIDE'}]\n",
}


@pytest.mark.parametrize("kind", SPELLED)
@pytest.mark.parametrize("place", ["Chart.yaml", "Chart.lock"])
def test_no_spelling_hides_a_place_from_lineal(
    helm: Helm, tmp_path: Path, outside: Path, kind: str, place: str
) -> None:
    coded = base64.b64encode(f"file://{outside}".encode()).decode()
    text = ENTRY + SPELLED[kind].replace("OUTSIDE", str(outside)).replace("BASE64", coded)
    plain = ENTRY + "  repository: file://sub\n"
    wanted = release(
        tmp_path / "chart", text if place == "Chart.yaml" else plain, text if place == "Chart.lock" else None
    )
    with pytest.raises(
        BadConfiguration, match=rf"^chart/{place}: helm might read this file otherwise than Lineal"
    ) as no:
        complete(helm, wanted, print)
    assert no.value.id == "LN-6055"


def test_a_vendored_dependency_with_a_place_outside_is_refused_beside_one_that_is_fetched(
    helm: Helm, tmp_path: Path, outside: Path
) -> None:
    entries = f"- {{name: vendored, version: 1.0.0, repository: 'file://{outside}'}}\n"
    wanted = release(tmp_path / "chart", f"{ENTRY}  repository: file://sub\n{entries}")
    vendored = tmp_path / "chart" / "charts" / "vendored"
    vendored.mkdir(parents=True)
    (vendored / "Chart.yaml").write_text("apiVersion: v2\nname: vendored\nversion: 1.0.0\n")
    with pytest.raises(BadConfiguration, match="The dependency `vendored` lies outside the commit"):
        complete(helm, wanted, print)


def test_aliases_types_and_comments_of_an_honest_chart_stay(helm: Helm, tmp_path: Path) -> None:
    text = "annotations: {about: &text 'a: b', same: *text, é: ü}  # why\nappVersion: \"1.10\"\n"
    chart = (
        "dependencies:\n- name: evil\n  version: &v 1.0.0\n  repository: file://sub\n  condition: evil.on\n"
        "  tags: [a]\n  import-values: [{child: x, parent: y}]\n  enabled: true\n"
    ) + text
    wanted = release(tmp_path / "chart", chart)
    complete(helm, wanted, print)
    assert [path.name for path in (tmp_path / "chart" / "charts").iterdir()] == ["evil-1.0.0.tgz"]
    assert (tmp_path / "chart" / "Chart.yaml").read_text(encoding="utf-8") == HEAD + chart


def test_a_lock_that_helm_wrote_stays_in_step(helm: Helm, tmp_path: Path) -> None:
    wanted = release(tmp_path / "chart", f"{ENTRY}  repository: file://sub\n  enabled: true\n  tags: ['1', yes]\n")
    assert helm.run(["dependency", "update", wanted.chart.location]).code == 0
    next((tmp_path / "chart" / "charts").iterdir()).unlink()
    complete(helm, wanted, print)
    assert [path.name for path in (tmp_path / "chart" / "charts").iterdir()] == ["evil-1.0.0.tgz"]


@pytest.mark.parametrize(
    "text",
    [
        "- a",
        "dependencies: 1",
        "dependencies: [1]",
        "\tx",
        "a: " + "[" * 3000,
        "a: *b",
        "a: 1\n" * 300_000,
        "\ufeffa",
    ],
)
def test_what_is_no_chart_at_all_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "Chart.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadConfiguration, match=r"^Chart\.yaml: helm might read this file otherwise"):
        rewritten(file, Location("Chart.yaml"))


def test_a_tree_of_aliases_ends(tmp_path: Path) -> None:
    file = tmp_path / "Chart.yaml"
    lines = [f"k{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]\n" for n in range(1, 30)]
    file.write_text("k0: &a0 x\n" + "".join(lines))
    with pytest.raises(BadConfiguration, match="has more than 20000 values"):
        rewritten(file, Location("Chart.yaml"))


# --- schemas --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "led"),
    [
        ('{"properties": {"global": {"$ref": "http://127.0.0.1/s"}}}', "http://127.0.0.1/s"),
        ('{"allOf": [{"$ref": "file:///proc/self/environ"}]}', "file:///proc/self/environ"),
        ('{"$id": "http://127.0.0.1/a/", "properties": {"a": {"$ref": "b.json"}}}', "b.json"),
        ('{"$ref": "//127.0.0.1/s"}', "//127.0.0.1/s"),
        ('{"\\u0024ref": "/etc/passwd"}', "/etc/passwd"),
        ('{"a": {"$ref": "http://x/", "$ref": "#/b"}}', "http://x/"),
        ('{"$dynamicRef": "http://127.0.0.1/s"}', "http://127.0.0.1/s"),
        ('{"$schema": "http://127.0.0.1/meta"}', "http://127.0.0.1/meta"),
        ('{"$schema": "http://json-schema.org@127.0.0.1/"}', "http://json-schema.org@127.0.0.1/"),
        ('{"default": {"$id": "http://h/x"}, "$ref": "http://h/x"}', "http://h/x"),
        (
            '{"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/a", "$id": "http://h/s"}',
            None,
        ),
        (
            '{"$schema": "https://json-schema.org/draft/2020-12/schema", "properties": {"$ref": {}}}',
            None,
        ),
        ('{"$ref": "#"', None),
    ],
)
@pytest.mark.parametrize("place", ["", "charts/a", "charts/a.tgz"])
def test_a_schema_leads_nowhere_out_of_itself(tmp_path: Path, schema: str, led: str | None, place: str) -> None:
    chart = tmp_path / "chart"
    (chart / "charts" / "a").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(HEAD)
    if place.endswith(".tgz"):
        (chart / place).write_bytes(pack("a", {"Chart.yaml": HEAD.encode(), "values.schema.json": schema.encode()}))
    else:
        (chart / place / "values.schema.json").write_text(schema)
    wanted = Release(name="shop", namespace="shop", chart=Chart.directory(chart, "chart"))
    assert common_flags(replace(wanted, skip_schema=True))
    if led is None:
        assert common_flags(wanted)
        return
    with pytest.raises(BadConfiguration) as refused:
        common_flags(wanted)
    assert refused.value.id == "LN-6056" and refused.value.message.startswith(f"The schema refers to `{led}`")
    assert refused.value.remedy and "--skip-schema-validation" in refused.value.remedy
