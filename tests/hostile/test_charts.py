"""Chart.yaml and its lock of strangers: helm reads what Lineal read, or the file is refused in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lineal.deploy.helm import schemas
from lineal.deploy.helm.chart_metadata import rewritten
from lineal.deploy.helm.dependencies import entries_of
from lineal.errors import Location
from tests.hostile.bounds import answer, bounds
from tests.hostile.inputs import changed, growing, json_bytes

CHART = {
    "apiVersion": "v2", "name": "shop", "version": "1.0.0", "type": "application",
    "dependencies": [
        {"name": "db", "version": "1.2.3", "repository": "https://charts.example.com", "alias": "b"},
        {"name": "own", "version": "0.1.0", "repository": "file://../own", "condition": "own.enabled"},
    ],
    "maintainers": [{"name": "a"}],
}  # fmt: skip
LOCK = {
    "dependencies": [{"name": "db", "version": "1.2.3", "repository": "https://charts.example.com"}],
    "digest": "sha256:" + "0" * 64, "generated": "2026-01-01T00:00:00Z",
}  # fmt: skip
KEYS = ["dependencies", "repository", "repo\u017fitory", "REPOSITORY", "name", "version", "apiVersion", "apiversion"]
PIECES = st.sampled_from([
    *(f"{key}: " for key in KEYS), "- ", "  ", "\n", "file:///etc", "https://e.example", "!!binary ", "!!str ", "!x ",
    "&a ", "*a", "<<: ", "[", "]", "{", "}", ",", "'", '"', "|", ">", "---\n", "...\n", "~", "null", "#",
    "%YAML 1.1\n", "\ufeff", "\u2028", "\x85", "? ", ": ", "\t", "x",
])  # fmt: skip
LAUGH = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 10)
)
PLACE = Location("chart/Chart.yaml")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chart") / "Chart.yaml"


def read(file: Path, data: bytes) -> None:
    """By everything that reads such a file. What was taken is what a plain reader finds in the file afterwards."""
    answer(lambda: entries_of(data))
    file.write_bytes(data)
    found = answer(lambda: rewritten(file, PLACE))
    if not found:
        return
    written = file.read_bytes()
    assert written.isascii() and b"!!" not in written
    listed = yaml.load(written, Loader=yaml.BaseLoader)["dependencies"]
    assert len(listed) == len(found)
    for one, entry in zip(found, listed, strict=True):
        assert all((one[key] or "") in (entry.get(key) or "", "") for key in ("name", "version", "repository"))
    assert answer(lambda: rewritten(file, PLACE)) == found


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(changed(CHART) | changed(LOCK))
def test_a_chart_with_odd_values_is_read_or_refused(file: Path, document: Any) -> None:
    read(file, yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogatepass"))


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(growing(PIECES, 500))
@example("dependencies:\n- repository: !!binary ZmlsZTovLy8=\n")
@example("dependencies:\n- {name: a, repository: file://sub, repo\u017fitory: file:///etc}\n")
@example(LAUGH)
def test_a_text_that_grows_is_read_or_refused(file: Path, text: str) -> None:
    read(file, text.encode("utf-8", "surrogatepass"))


SCHEMA = {"properties": {"a": {"$ref": "#/definitions/b"}}, "definitions": {"b": {"type": "string"}}}


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(json_bytes(SCHEMA))
@example(b'{"$ref": "file:///dev/zero"}')
def test_a_schema_is_read_or_not(data: bytes) -> None:
    with bounds():
        found = schemas.outside(data)
    assert found is None or isinstance(found, str)
