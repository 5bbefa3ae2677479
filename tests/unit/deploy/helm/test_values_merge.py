"""Values that helm merged for a bundle render what the files one after another render."""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lineal.deploy import values
from lineal.deploy.bundle.bundle import written
from lineal.deploy.bundle.nulls import settle
from lineal.deploy.helm.client import Helm
from lineal.deploy.helm.values_merge import Merged, merged, parsed
from lineal.deploy.release import Chart, Release
from lineal.deploy.values import ValuesText
from lineal.errors import LinealError
from tests.unit.deploy.conftest import GLOBAL

KEYS = st.sampled_from(["a", "b", "ü", "on"])
WORDS = ["", "x", "yes", "0x10", "1e3", "2001-01-01", "null", "\x7f\x80\x9f", "\u2028\ufeff", "😀", "{{ .x }}"]
SCALARS = st.sampled_from([*WORDS, 0, 7, 1.5, 2**60, True, False, None])
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner), max_leaves=4)
VALUES = st.dictionaries(KEYS, TREES, max_size=3)
WITH_SUB = st.builds(lambda values, sub: {**values, "sub": sub}, VALUES, VALUES) | VALUES
SHOWN = '{{ toJson (omit .Values "global") | b64enc }}'


def chart(folder: Path, own: dict[str, Any], sub: dict[str, Any] | None = None) -> Chart:
    if sub is not None:
        chart(folder / "charts/sub", sub)
        (folder / "charts/sub/Chart.yaml").write_text("apiVersion: v2\nname: sub\nversion: 0.1.0\n")
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: shop\nversion: 0.1.0\n")
    (folder / "templates/shown.yaml").write_text(f"shown: {SHOWN}\n")
    (folder / "values.yaml").write_text(yaml.safe_dump(own, allow_unicode=True))
    return Chart.directory(folder, "chart")


def release(chart: Chart, files: list[dict[str, Any]], folder: Path) -> Release:
    texts = [ValuesText(f"{number}.yaml", yaml.safe_dump(file)) for number, file in enumerate(files)]
    written_files = values.write(folder, texts, {}, GLOBAL)
    return Release(name="shop", namespace="shop", chart=chart, values=written_files)


def plain(value: Any) -> Any:
    """Without nulls in mappings: Helm 4 has none for a key that no chart has."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items() if part is not None}
    return [plain(part) for part in value] if isinstance(value, list) else value


def shown(manifests: str) -> list[Any]:
    return [plain(json.loads(base64.b64decode(one["shown"]))) for one in yaml.safe_load_all(manifests)]


def bundled(helm: Helm, folder: Path, together: Merged, scratch: Path) -> dict[str, Any]:
    """Write a bundle of the chart over it, and return its values."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    read = count()
    made, values = settle(files, *together, lambda data: parsed(helm, data, scratch / str(next(read))))
    for path, data in {**made, "values.yaml": written(values)}.items():
        (folder / path).write_bytes(data)
    return values


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(own=WITH_SUB, files=st.lists(WITH_SUB, max_size=2), sub=VALUES)
@example(own={"sub": {"a": None}}, files=[{"sub": {}}], sub={"a": ""})
@example(own={"sub": {"a": {"b": None}}}, files=[{"sub": {"on": 1}}], sub={"a": {"b": 1, "on": 2}})
@example(own={"sub": {"a": None}}, files=[], sub={"a": ""})
@example(own={"sub": {"a": 1}}, files=[{"sub": {"a": None, "b": {"on": None}}}], sub={"a": 2, "b": {"on": 3}})
def test_a_bundle_renders_what_a_deployment_renders(
    helm: Helm, own: dict[str, Any], files: list[dict[str, Any]], sub: dict[str, Any]
) -> None:
    folder = Path(tempfile.mkdtemp(prefix="merge-"))
    try:
        asked = release(chart(folder / "chart", own, sub), files, folder / "values")
        wanted = helm.template(asked)
        together = merged(helm, asked, folder / "merge")
        assert together.values["global"]["lineal"] == GLOBAL["global"]["lineal"]
        bundled(helm, folder / "chart", together, folder / "bundle")
        assert shown(helm.template(Release(name="shop", namespace="shop", chart=asked.chart))) == shown(wanted)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("given", [{}, {"sub": {}}, {"sub": {"deep": {}}}, {"sub": {"deep": {"a": None}}}])
def test_a_null_of_a_subchart_for_its_own_subchart_is_as_in_a_deployment(
    helm: Helm, tmp_path: Path, given: dict[str, Any]
) -> None:
    made = chart(tmp_path / "chart", {}, {"deep": {"b": None}})
    chart(tmp_path / "chart/charts/sub/charts/deep", {"a": 1, "b": 2, "on": 3})
    (tmp_path / "chart/charts/sub/charts/deep/Chart.yaml").write_text("apiVersion: v2\nname: deep\nversion: 0.1.0\n")
    asked = release(made, [given], tmp_path / "values")
    wanted = helm.template(asked)
    bundled(helm, tmp_path / "chart", merged(helm, asked, tmp_path / "merge"), tmp_path / "bundle")
    assert shown(helm.template(Release(name="shop", namespace="shop", chart=made))) == shown(wanted)


def test_null_takes_a_value_away(helm: Helm, tmp_path: Path) -> None:
    own = {"kept": 1, "gone": 2, "deep": {"kept": 1, "gone": 2}}
    asked = release(chart(tmp_path / "chart", own), [{"gone": None, "deep": {"gone": None}}], tmp_path / "values")
    together = merged(helm, asked, tmp_path / "merge").values
    del together["global"]
    assert json.loads(json.dumps(together)) == {"kept": 1, "deep": {"kept": 1}}


def test_values_that_helm_cannot_read_are_named(helm: Helm, tmp_path: Path) -> None:
    asked = release(chart(tmp_path / "chart", {}), [], tmp_path / "values")
    (tmp_path / "chart/values.yaml").write_text("a: [\n")
    with pytest.raises(LinealError, match=r"chart/values\.yaml"):
        merged(helm, asked, tmp_path / "merge")
